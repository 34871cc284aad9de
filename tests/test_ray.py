"""Several devices by Ray: the same table as alone, whatever dies on the way. All on this machine, with tiny networks."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from conftest import TINY, Tiny, tiny_recipe

import transfercli
from transfercli.plan.networks import Network, named
from transfercli.recipe import reading as recipes
from transfercli.study import attempts
from transfercli.study.folder import Study
from transfercli.system.device_names import Remote
from transfercli.system.errors import TransferError
from transfercli.training import cluster, worker
from transfercli.training.reporter import SILENT

pytest.importorskip("ray")
# How a network came to be trained, which may differ between two ways to train the same (docs/reliability.md); and where.
CAME_ABOUT = {"bank", "bank_seconds", "pictures_per_second", "finished", "commit", "device"}
STEPS = 120
SMALL: dict[str, Any] = {
    "judged": False,
    "layers": [2, 5],
    "treatments": ["BnB", "AnB", "AnB+", "RnB"],
    "targets": ["A", "B"],
    "training": {**TINY["training"], "schedule": {"name": "constant", "rate": 0.002}, "steps": STEPS, "checkpoint_steps": 20},
    "evaluation": {"every": 40, "batch": 11},
}
TWO = Remote(device="cpu", workers=2, cpus=1)
slow = pytest.mark.slow


def table(study: Study) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in CAME_ABOUT} for row in study.rows()]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(recipes.dump(recipes.validate({**TINY, **SMALL}, "small")))
    return path


@pytest.fixture(scope="module")
def alone(tiny: Tiny, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = Study(tmp_path_factory.mktemp("alone") / "study")
    transfercli.run(study, str(recipe), tiny.study.root / "pictures", device="cpu")
    return study


@pytest.fixture
def run(tiny: Tiny, recipe: Path, tmp_path: Path) -> Callable[[Remote | None], Study]:
    """The whole study in one folder, as often as it is called."""

    def whole(remote: Remote | None = TWO, say: Callable[[str], None] = print) -> Study:
        study = Study(tmp_path / "study")
        reporter = replace(SILENT, say=say)
        pictures, how = tiny.study.root / "pictures", {"device": "cpu", "remote": remote}
        transfercli.run(study, str(recipe), pictures, reporting=lambda label: nullcontext(reporter), **how)  # type: ignore[arg-type]
        return study

    return whole


class Strike(threading.Thread):
    """Does something to a worker that is in the middle of its bank, so many times, each at another worker."""

    def __init__(self, root: Path, what: Callable[[dict[str, Any]], None], times: int = 1):
        super().__init__(daemon=True)
        self.study, self.what, self.times, self.struck = Study(root), what, times, list[int]()

    def run(self) -> None:
        until = time.monotonic() + 240
        while len(self.struck) < self.times and time.monotonic() < until:
            for one in attempts.attempts(self.study):
                steps = list[int]()
                with suppress(FileNotFoundError):  # swept meanwhile
                    steps += [int(path.stem.rpartition("-")[2]) for path in one.made.root.rglob("[!.]*-*.safetensors")]
                beat = one.beat()
                if beat and 40 <= max(steps, default=0) < STEPS - 40 and beat["pid"] not in self.struck:
                    self.struck.append(beat["pid"])
                    self.what(beat)
                    break
            time.sleep(0.02)


def by(number: int) -> Callable[[dict[str, Any]], None]:
    return lambda worker: os.kill(worker["pid"], number)


@slow
def test_two_workers_make_the_table_of_one(alone: Study, run: Callable[..., Study]) -> None:
    study = run()
    assert table(study) == table(alone)
    assert not (study.root / attempts.FOLDER).exists() and not list(study.root.rglob("*checkpoints*"))
    assert len({row["bank"] for row in study.rows()}) > 2 and "ray" not in {path.name for path in study.root.iterdir()}
    assert run(None).rows() == study.rows(), "there was nothing left to do"


@slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "preempted"])
def test_a_worker_that_dies_in_its_bank(number: int, alone: Study, run: Callable[..., Study], tmp_path: Path) -> None:
    strike, said = Strike(tmp_path / "study", by(number), times=2), list[str]()
    strike.start()
    assert table(run(say=said.append)) == table(alone) and len(strike.struck) == 2
    ended = "stopped" if number == signal.SIGTERM else r"the worker died \(.*\)"
    assert len([line for line in said if re.search(rf" did not end: {ended}$", line)]) == 2, said


@slow
def test_a_worker_that_hangs_and_comes_back(
    alone: Study, run: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "LOST_SECONDS", 12.0)
    strike = Strike(tmp_path / "study", by(signal.SIGSTOP))
    strike.start()
    back = threading.Timer(30, lambda: [os.kill(pid, signal.SIGCONT) for pid in strike.struck if psutil.pid_exists(pid)])
    back.start()
    study = run()
    back.join()
    assert len(strike.struck) == 1 and table(study) == table(alone)
    time.sleep(1)
    assert table(run(None)) == table(alone), "what it wrote late is nowhere"


def to_all_of(node: Any, number: int) -> None:
    """As a machine gives a signal to all processes of a job: the node's and its workers'."""
    raylets = [psutil.Process(one.process.pid) for one in node.all_processes.get("raylet", ())]  # none once the cluster has ended
    for process in [each for one in raylets for each in (*one.children(recursive=True), one)]:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def hang(node: Any) -> None:
    to_all_of(node, signal.SIGSTOP)
    threading.Timer(30, to_all_of, [node, signal.SIGCONT]).start()


@slow
@pytest.mark.parametrize("what", ["dies", "is taken away", "hangs and comes back"])
def test_a_node_that(what: str, alone: Study, run: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setattr(cluster, "LOST_SECONDS", 12.0)
    own = signal.getsignal(signal.SIGTERM)  # in whose place the cluster's machines put theirs
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = nodes.add_node(num_cpus=1)
        befalls = {
            "dies": lambda worker: nodes.remove_node(second, allow_graceful=False),
            "is taken away": lambda worker: to_all_of(second, signal.SIGTERM),
            "hangs and comes back": lambda worker: hang(second),
        }
        strike = Strike(tmp_path / "study", befalls[what])
        strike.start()
        study = run(Remote(address=nodes.address, device="cpu", cpus=1))
        assert len(strike.struck) == 1 and table(study) == table(alone)
    finally:
        nodes.shutdown()
        signal.signal(signal.SIGTERM, own)


@pytest.fixture
def command(tiny: Tiny, recipe: Path, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    begun = list[subprocess.Popen[str]]()

    def start() -> subprocess.Popen[str]:
        words = ["run", str(recipe), str(tiny.study.root / "pictures"), "--study", str(tmp_path / "study"), "--device", "cpu"]
        line = [sys.executable, "-m", "transfercli", *words, "--workers", "2", "--cpus-per-bank", "1", "--ray"]
        begun.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True))
        return begun[-1]

    yield start
    for one in begun:
        one.kill()
        one.communicate()


@slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_the_command_that_dies_goes_on(
    number: int,
    alone: Study,
    run: Callable[..., Study],
    command: Callable[[], subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    process = command()
    strike = Strike(tmp_path / "study", lambda worker: process.send_signal(number))
    strike.start()
    out, err = process.communicate(timeout=300)
    assert len(strike.struck) == 1, out + err
    if number == signal.SIGINT:
        assert process.returncode == 130 and "the banks in training have saved a checkpoint each" in err
        assert list((tmp_path / "study").rglob("checkpoints/*.safetensors"))
    until = time.monotonic() + 60
    while any(psutil.pid_exists(pid) for pid in strike.struck):
        assert time.monotonic() < until, "its workers go with it"
        time.sleep(0.1)
    assert table(run(None)) == table(alone), "alone, from what the workers left"


@slow
def test_a_bank_that_fails_three_times_leaves_the_others(tiny: Tiny, tmp_path: Path) -> None:
    pictures, study, said = tmp_path / "pictures", Study(tmp_path / "study"), list[str]()
    shutil.copytree(tiny.study.root / "pictures", pictures)
    own = {**TINY, **SMALL, "pictures": {**TINY["pictures"], "mean": "none"}}
    (tmp_path / "own.yaml").write_text(recipes.dump(recipes.validate(own, "own")))
    transfercli.split(study, pictures, recipe=str(tmp_path / "own.yaml"))
    (split,) = study.split_names()
    bad = next((pictures / "train" / study.halves(split).split.A[0]).iterdir())
    whole = bad.read_bytes()
    bad.write_bytes(b"x" * len(whole))
    with pytest.raises(TransferError, match=rf"{split} baseA failed 3 times \(.*{bad.name}.*\); the others are done"):
        transfercli.train_base(study, remote=TWO, reporter=replace(SILENT, say=said.append))
    assert [row["network"] for row in study.rows()] == ["baseB"]
    assert len([line for line in said if f"{split}: baseA did not end: " in line]) == 3
    bad.write_bytes(whole)
    assert not transfercli.train_base(study, remote=TWO).failed and len(study.rows()) == 2


def test_a_worker_waits_for_files_that_its_machine_sees_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, there = Study(tmp_path), tmp_path / "weights"
    there.write_text("wei")
    threading.Timer(0.5, there.write_text, ["weights"]).start()
    began = time.monotonic()
    worker._await(study, [("weights", 7)])
    assert 0.4 < time.monotonic() - began < 10 and there.read_text() == "weights"
    monkeypatch.setattr(worker, "LATE_SECONDS", 0.3)
    worker._await(study, [("never", 7)])  # what then is missing is said by who needs it


def test_workers_without_ray_are_a_mistake(transfer: Callable[..., Any]) -> None:
    said = transfer("sweep", "--workers", "2")
    assert said.code == 2 and "--workers and --cpus-per-bank go with --ray" in said.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--device", "cuda:1", "--ray"), "which of several is Ray's to say, not cuda:1"),
        (("--ray", "."), "put --ray last"),
    ],
)
def test_what_does_not_go_with_ray(words: tuple[str, ...], said: str, transfer: Callable[..., Any]) -> None:
    told = transfer("sweep", *words)
    assert told.code == 2 and said in " ".join(told.err.split())


def work_of(study: Study, tiny: Tiny, devices: int, networks: Iterable[Network]) -> cluster.Work:
    """Work at so many workers, none of which is there."""
    recipe = tiny_recipe()
    several = recipe.model_copy(update={"networks": None})
    nets = {network.net for network in networks} - {""}
    if nets:
        each = tuple(recipe.network.model_copy(update={"label": net}) for net in sorted(nets))
        several = recipe.model_copy(update={"networks": each, "network": None})
    halves = {network.split: tiny.halves for network in networks}
    return cluster.Work(study, several, halves, SimpleNamespace(size=devices), {}, "", None, SILENT)  # type: ignore[arg-type]


def test_a_bank_is_of_one_network_target_split_and_seed(tiny: Tiny, tmp_path: Path) -> None:
    every = [
        named(split, seed, f"{name}{net}")
        for split in ("random-0", "random-1")
        for seed in (0, 1)
        for name in ("R2A", "R3A", "R3B")
        for net in ("@net=plain", "@net=skips")
    ]
    work, waiting, banks = work_of(Study(tmp_path), tiny, 1, every), dict.fromkeys(every), 0
    while job := work._next(waiting):
        banks += 1
        assert len({(one.net, one.target, one.split, one.seed) for one in job.networks}) == 1
        for network in job.networks:
            del waiting[network]
    assert not waiting and banks == 16


def test_a_network_waits_for_its_base_alone(tiny: Tiny, tmp_path: Path) -> None:
    """RnB begins at once; AnB when the other half's base is there, of both targets in banks of their own."""
    every = [named("random-0", 0, name) for name in ("baseA", "baseB", "A3B", "B3B", "R3B", "B3A", "R3A")]
    work, waiting, order = work_of(Study(tmp_path), tiny, 2, every), dict.fromkeys(every), list[list[str]]()
    while job := work._next(waiting):
        order.append([network.name for network in job.networks])
        for network in job.networks:
            del waiting[network]
            work.statuses[network] = "done"
    assert sorted(map(str, order[:2])) == ["['baseA']", "['baseB']"]
    assert sorted(name for names in order for name in names) == sorted(one.name for one in every)
    work.statuses.clear()
    ready = work._next({network: None for network in every if network.name in ("A3B", "R3B", "R3A")})
    assert ready is not None and {network.name for network in ready.networks} <= {"R3B", "R3A"}
