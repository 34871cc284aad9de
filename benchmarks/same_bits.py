"""Whether this checkout gives the results of another commit, to the bit: both run here, side by side, on this machine.

    python benchmarks/same_bits.py COMMIT

COMMIT is taken into a temporary worktree. Old and new code train the CASES in float32, one of them stopped in the middle of a
bank and carried on; every network's row, log and weights must be the same. Only the command line and a study's files are used,
so that modules may move between the two. Exits with 1 where anything differs, and shows the first differences.
"""

import hashlib
import importlib
import importlib.util
import json
import multiprocessing
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import click
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[1]
SIDES = ("old", "new")
SHOWN = 5  # differences of each case
TRIES = 5  # to stop a sweep in the middle of a bank

# What a row says of when, where and how its network was trained; all else must be the same, and more columns may come.
OF_THE_RUN = ("commit", "finished", "bank", "bank_seconds", "pictures_per_second", "device", "version")

# Between them: each treatment, layer, network, normalisation, velocity, mean and stream. Batches divide neither part's pictures.
COMMON = """
judged: false
targets: [A, B]
seeds: [0, 1]
"""
SMALL = "pictures: {size: 14, crop: 12, divide: 64, builtin: {classes: 8, train: 8, val: 5}, "
BATCH = f"""
{COMMON}
name: batch
layers: [1, 4, 7]
{SMALL} mean: none, mirror: false}}
network: {{name: small, widths: [4, 4, 6, 6, 4, 8, 8], normalisation: batch}}
training:
  {{steps: 24, batch: 9, schedule: {{name: one-cycle, rate: 0.06}}, velocity: pytorch, nesterov: true, adaptive_clip: 0.08,
   stream: fresh, precision: float32, checkpoint_steps: 4}}
evaluation: {{every: 10, batch: 11}}
"""
PLAIN = f"""
{COMMON}
name: plain
{SMALL} mean: channel}}
network: {{name: small, widths: [4, 4, 6, 6, 4, 8, 8]}}
training:
  {{steps: 7, batch: 9, schedule: {{name: step, rate: 0.1, gamma: 0.1, every: 3}}, bias_rate: 2, bias_decay: true,
   precision: float32}}
evaluation: {{every: 3, batch: 11}}
"""
LRN = f"""
{COMMON}
name: lrn
layers: [1, 4, 7]
{SMALL} mean: image, channels: bgr}}
network: {{name: small, widths: [4, 4, 6, 6, 4, 8, 8], normalisation: lrn, init: caffe, outputs: 9}}
training:
  {{epochs: 2.1, batch: 9, schedule: {{name: inverse, rate: 0.02, gamma: 0.1, power: 0.75}}, velocity: caffe, bias_rate: 2,
   weight_decay: 0.01, stream: shared, precision: float32, channels_last: false}}
evaluation: {{times: 3, batch: 11}}
"""
CAFFENET = """
name: caffenet
judged: false
splits: [0, 1]
targets: [alternate]
layers: [1, 4, 7]
pictures: {size: 43, crop: 39, mean: image, divide: 64, builtin: {classes: 8, train: 6, val: 4}}
network: {name: caffenet, widths: [4, 4, 6, 6, 4, 8, 8], normalisation: lrn}
training:
  {steps: 6, batch: 7, schedule: {name: cosine, rate: 0.01, warmup: 2}, velocity: caffe, stream: fresh, precision: float32}
evaluation: {every: 4, batch: 11}
"""


@dataclass(frozen=True)
class Case:
    recipe: str
    sweep: tuple[str, ...] = ()  # further words of the sweep
    stopped: bool = False


CASES = {
    "plain": Case(PLAIN),
    "batch": Case(BATCH),
    "lrn": Case(LRN),
    "caffenet": Case(CAFFENET),
    "stopped": Case(BATCH, ("--layers", "1,7", "--bank-size", "7"), stopped=True),  # and so several banks
}


@dataclass
class Found:
    """What was compared, counted, and every difference in a line."""

    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def same(self, what: str, where: str, old: Any, new: Any) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        if old != new:
            self.problems.append(f"{where}: {shortened(old)} → {shortened(new)}")


def shortened(value: Any) -> str:
    """A value in few words; of bytes and digests only whether they are the same says anything."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()[:12]
    text = str(value)
    return text if len(text) < 60 else text[:57] + "..."


HEAVY = ["torch", "torchvision", "pandas", "matplotlib.figure", "pydantic", "rich.progress", "jinja2", "PIL"]


def load() -> None:
    """What commands load of others' packages, once: their processes are forked from one that has it, and begin at once."""
    for name in HEAVY:
        importlib.import_module(name)


def transfer(tree: Path, words: Sequence[str]) -> None:
    """What `python -m transfercli` does, with the code of a tree."""
    for key in [key for key in os.environ if key.startswith("TRANSFER_")]:
        del os.environ[key]
    sys.path.insert(0, str(tree))
    sys.argv = ["transfer", *words]
    found = importlib.util.find_spec("transfercli")
    assert found and Path(str(found.origin)).is_relative_to(tree), f"the code would be taken from {found}, not from {tree}"
    runpy.run_module("transfercli", run_name="__main__", alter_sys=True)


class Side:
    """The old or the new code, in a folder of its own."""

    def __init__(self, name: str, tree: Path, place: Path):
        self.name, self.tree, self.folder = name, tree, place / name
        self.said = place / f"{name}.out", place / f"{name}.err"
        self.folder.mkdir()

    def begin(self, *words: str) -> int:
        """Begin a command; the number of its process."""
        if child := os.fork():
            return child
        code: object = 0
        try:
            os.chdir(self.folder)
            for number, path in enumerate(self.said, start=1):
                os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
            transfer(self.tree, words)
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
            code = 99
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 99)

    def type(self, *words: str) -> tuple[int, str, str]:
        """A command's exit code, standard output and standard error."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.begin(*words), 0)[1])
        out, err = (path.read_text(encoding="utf-8") for path in self.said)
        return code, out, err

    def must(self, *words: str) -> str:
        """What a command that must succeed says: standard output, then standard error."""
        code, out, err = self.type(*words)
        if code:
            raise RuntimeError(f"the {self.name} code: transfer {' '.join(words)} exits with {code}: {err or out}")
        return out + err

    def train(self, name: str) -> float:
        """The study of a case, split, trained and swept; the seconds that it took."""
        case = CASES[name]
        began = time.monotonic()
        (self.folder / f"{name}.yaml").write_text(case.recipe, encoding="utf-8")
        self.must("split", "--recipe", f"{name}.yaml", "--study", name)
        self.must("train-base", "--study", name, "--device", "cpu")
        sweep = ("sweep", "--study", name, "--device", "cpu", *case.sweep)
        if case.stopped:
            self.stop(self.folder / name, sweep)
        said = self.must(*sweep)
        if case.stopped and " go on at step " not in said:
            raise RuntimeError(f"the {self.name} code began anew after it was stopped: {said}")
        return time.monotonic() - began

    def stop(self, study: Path, sweep: Sequence[str]) -> None:
        """Begin a sweep and stop it (SIGTERM) where a bank is done and the next is in its middle."""
        before = study.with_name("before")
        shutil.copytree(study, before)
        for _ in range(TRIES):
            code = stopped_in_second_bank(self.begin(*sweep), study)
            kept = json.loads(self.type("status", "--study", study.name, "--json")[1])
            steps = kept["networks"][0]["steps"]
            done, going = kept["counts"]["done"], [one["step"] for one in kept["checkpoints"]]
            if code == 128 + signal.SIGTERM and done > BASES and going and all(0 < step < steps for step in going):
                shutil.rmtree(before)
                return
            shutil.rmtree(study)
            shutil.copytree(before, study)
        raise RuntimeError(f"the {self.name} code was never stopped in the middle of a bank, in {TRIES} tries")


BASES = 4  # of a stopped study: two halves, two seeds


def stopped_in_second_bank(process: int, study: Path) -> int:
    """Stop the process when rows of a first bank are there and then a further checkpoint was written; its exit code."""
    old, sent = None, False
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        now = {*study.rglob("checkpoints/[!.]*")}
        if old is None and sum(1 for _ in study.rglob("row.json")) > BASES:
            old = now
        elif old is not None and now - old and not sent:
            os.kill(process, signal.SIGTERM)
            sent = True
        time.sleep(0.002)


def networks(study: Path) -> dict[str, Path]:
    """Every network by its folder, the bases first, of which the others are made."""
    found = sorted(path.parent for path in study.rglob("row.json"))
    return {one.relative_to(study).as_posix(): one for one in sorted(found, key=lambda one: not one.name.startswith("base"))}


def compare_studies(name: str, old: Path, new: Path, found: Found) -> None:
    """Row, log and weights of every network of the old study."""
    mine, theirs = networks(new), networks(old)
    for which, folder in theirs.items():
        where = f"{name} {which}"
        found.same("networks", where, True, which in mine)
        if which not in mine:
            continue
        rows = [json.loads((one / "row.json").read_text(encoding="utf-8")) for one in (folder, mine[which])]
        for column in rows[0]:
            if column not in OF_THE_RUN:
                found.same("columns", f"{where} {column}", rows[0][column], rows[1].get(column, "missing"))
        found.same("logs", f"{where} log.csv", *((one / "log.csv").read_bytes() for one in (folder, mine[which])))
        weights = [load_file(one / "weights.safetensors") for one in (folder, mine[which])]
        for tensor in sorted(weights[0].keys() | weights[1].keys()):
            kinds = [f"{one[tensor].dtype} {one[tensor].shape}" if tensor in one else "missing" for one in weights]
            bits = [one[tensor].tobytes() if tensor in one else b"" for one in weights]
            found.same("tensors", f"{where} {tensor}", *(bits if kinds[0] == kinds[1] else kinds))


def train(old: Side, new: Side, found: Found) -> Iterator[tuple[str, Sequence[float]]]:
    """Train every case with both, and compare; yields what was done, and the seconds of both."""
    with ProcessPoolExecutor(len(SIDES), multiprocessing.get_context("spawn"), load) as both:
        for name in CASES:
            seconds = list(both.map(Side.train, (old, new), repeat(name)))
            compare_studies(name, old.folder / name, new.folder / name, found)
            if CASES[name].stopped:  # no bit depends on it
                compare_studies(f"{name} against never stopped", old.folder / name, old.folder / "batch", found)
            yield f"{name}, {len(networks(old.folder / name))} networks trained", seconds


@click.command(help=__doc__)
@click.argument("commit")
def main(commit: str) -> None:
    os.nice(10)
    began, found = time.monotonic(), Found()
    place = Path(tempfile.mkdtemp(prefix="same-bits-")).resolve()
    git = ("git", "-C", str(ROOT))
    subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(place / "tree"), commit], check=True)
    try:
        old, new = (Side(name, tree, place) for name, tree in zip(SIDES, (place / "tree", ROOT), strict=True))
        seen = 0
        for what, seconds in train(old, new, found):
            problems, seen = found.problems[seen:], len(found.problems)
            said = f"{len(problems)} differences" if problems else "the same"
            click.echo(f"{what:<36} {said:<20} {seconds[0]:4.0f} s old {seconds[1]:4.0f} s new")
            for problem in problems[:SHOWN]:
                click.echo(f"  {problem}")
    finally:
        subprocess.run([*git, "worktree", "remove", "--force", str(place / "tree")], check=False)
        shutil.rmtree(place, ignore_errors=True)
    counted = ", ".join(f"{count} {what}" for what, count in found.counts.items())
    click.echo(f"{len(found.problems)} differences in {counted} ({time.monotonic() - began:.0f} s)")
    sys.exit(bool(found.problems))


if __name__ == "__main__":
    main()
