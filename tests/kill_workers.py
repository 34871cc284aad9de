"""Workers, machines and the command killed, stopped or hung at random moments; the study must be the one trained alone.

    python tests/kill_workers.py --strikes 60 --seed 1

Two virtual machines of one processor each train a study by Ray (`transfer run --ray ADDRESS`). As long as there are strikes
left, one befalls it up to some seconds after a worker has begun: a worker, a machine with all its processes, or the command
gets SIGKILL or SIGTERM (SIGINT for the command), or hangs for longer than it takes to count as lost, and comes back. A machine
that is gone is replaced; a command that ended is given again. In the end every file must be that of the study trained alone,
but for what a row says of how its network came to be trained.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import psutil
from kill_many import contents, fail

from transfercli.study import attempts
from transfercli.study.folder import Study

LOST = 10.0  # seconds without a sign of life; a minute without this script
SOONEST, LATEST = 0.0, 8.0  # seconds between a worker's first sign of life and a strike
RECIPE = """
name: tiny
judged: false
targets: [A, B]
layers: [2, 5]
treatments: [BnB, AnB, AnB+, RnB]
pictures: {size: 14, crop: 12, mean: image, divide: 64, builtin: {classes: 8, train: 12, val: 5}}
network: {name: small, widths: [4, 4, 6, 6, 4, 8, 8], normalisation: batch}
training: {steps: 1500, batch: 9, schedule: {name: one-cycle, rate: 0.03}, precision: float32, checkpoint_steps: 30}
evaluation: {every: 300, batch: 11}
"""
WORDS = ["run", "tiny.yaml", "--study", "study", "--device", "cpu"]
COMMAND = f"""
import sys
from transfercli.cli import main
from transfercli.training import cluster
cluster.LOST_SECONDS = {LOST}
main(sys.argv[1:])
"""
KINDS = [
    *(f"worker {what}" for what in ("killed", "taken away", "hung")),
    *(f"machine {what}" for what in ("killed", "taken away", "hung")),
    *(f"command {what}" for what in ("killed", "interrupted")),
]


class Machines:
    """A cluster whose head trains nothing, and two machines that do."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(2)]

    @property
    def address(self) -> str:
        return self.cluster.address

    def replace(self, node: Any) -> None:
        self.cluster.remove_node(node, allow_graceful=False)
        self.nodes[self.nodes.index(node)] = self.cluster.add_node(num_cpus=1)


def processes(node: Any) -> list[psutil.Process]:
    """A machine's workers, and what begins them."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [*raylet.children(recursive=True), raylet]


def signal_all(victims: list[psutil.Process], number: int) -> None:
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.send_signal(number)


def workers(study: Study) -> list[psutil.Process]:
    """Those at work, by their signs of life."""
    found = []
    for beat in (attempt.beat() for attempt in attempts.attempts(study)):
        if beat is not None:
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(beat["pid"]))
    return found


def strike(kind: str, command: subprocess.Popen[bytes], study: Study, machines: Machines, draw: random.Random) -> bool:
    """Whether there was something to strike."""
    victim, _, what = kind.partition(" ")
    if victim == "command":
        command.send_signal(signal.SIGKILL if what == "killed" else signal.SIGINT)
        command.wait()
        return True
    node = draw.choice(machines.nodes)
    victims = processes(node) if victim == "machine" else workers(study)[:1]
    if what == "hung":
        signal_all(victims, signal.SIGSTOP)
        time.sleep(1.5 * LOST)
        signal_all(victims, signal.SIGCONT)
        time.sleep(2)  # in which it may write what it likes
    else:
        signal_all(victims, signal.SIGKILL if what == "killed" else signal.SIGTERM)
    if victim == "machine":
        time.sleep(draw.uniform(0, 3))
        machines.replace(node)
    return bool(victims)


def train(folder: Path, machines: Machines, draw: random.Random, struck: Counter[str], strikes: int) -> int:
    """The study, struck until enough have been; how often the command was given."""
    study, given = Study(folder / "study"), 0
    while True:
        given += 1
        with (folder / "said.log").open("ab") as log:
            line = [sys.executable, "-c", COMMAND, *WORDS, "--ray", machines.address]
            command = subprocess.Popen(line, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        while command.poll() is None:
            if struck.total() >= strikes or not workers(study):
                time.sleep(0.2)
                continue
            kind = KINDS[struck.total() % len(KINDS)] if struck.total() < len(KINDS) else draw.choice(KINDS)
            time.sleep(draw.uniform(SOONEST, LATEST))
            if command.poll() is None and strike(kind, command, study, machines, draw):
                struck[kind] += 1
                print(f"{struck.total()}: {kind}", flush=True)
        said = (folder / "said.log").read_text(errors="replace")
        gave_up = command.returncode == 1 and "failed 3 times" in said.rstrip().rpartition("\n")[2]
        if command.returncode == 0:
            return given
        if not gave_up and command.returncode not in (130, -signal.SIGKILL):
            fail(folder, f"the command ended with {command.returncode}")


def made(folder: Path) -> dict[str, object]:
    """As of kill_many.py, without where a network was trained, and in which order the table's banks were."""
    found = contents(folder)
    for name, value in found.items():
        for row in value if isinstance(value, list) else [value]:
            if isinstance(row, dict) and name.endswith(("row.json", "results.csv")):
                row.pop("device", None)
    return {name: value for name, value in found.items() if "/figures/" not in name and not name.endswith("report.html")}


def new_folder(place: Path) -> Path:
    folder = Path(tempfile.mkdtemp(dir=place))
    (folder / "tiny.yaml").write_text(RECIPE)
    return folder


@click.command()
@click.option("--strikes", default=10, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the kinds and moments.")
def kill_workers(strikes: int, seed: int) -> None:
    """Strike workers, machines and commands at random moments and compare what they make with what one process makes."""
    began, struck, draw, studies, given = time.monotonic(), Counter[str](), random.Random(seed), 0, 0
    place = Path(tempfile.mkdtemp(prefix="kills-"))
    alone = new_folder(place)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if subprocess.run([sys.executable, "-m", "transfercli", *WORDS, "--quiet"], cwd=alone).returncode:
        sys.exit("the study could not be trained alone")
    expected, machines = made(alone), Machines()
    while struck.total() < strikes:
        folder = new_folder(place)
        given += train(folder, machines, draw, struck, strikes)
        found = made(folder)
        if wrong := [name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)]:
            fail(folder, f"not as in the study trained alone: {', '.join(wrong)}")
        studies += 1
    machines.cluster.shutdown()
    shutil.rmtree(place)
    each = ", ".join(f"{kind} {struck[kind]}" for kind in KINDS)
    print(
        f"{struck.total()} strikes ({each}) in {studies} studies, {given} commands: {len(expected)} files each, "
        f"all as trained alone ({time.monotonic() - began:.0f} s, seed {seed})"
    )


if __name__ == "__main__":
    kill_workers()
