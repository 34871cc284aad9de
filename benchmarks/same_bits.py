"""Whether this checkout gives the results of another commit, to the bit: both run here, side by side, on this machine.

    python benchmarks/same_bits.py COMMIT

COMMIT is taken into a temporary worktree. Old and new code train the CASES in float32, one of them stopped in the middle of a
bank and carried on; every network's row, log and weights must be the same. Then both read copies of the same studies, those kept
in results/reference and those that the old code has trained; what they print and write must be the same to the byte. Only the
command line and a study's files are used, so that modules may move between the two. Exits with 1 where anything differs, and
shows the first differences.
"""

import hashlib
import importlib
import importlib.util
import json
import multiprocessing
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, repeat, zip_longest
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


# What is typed of a study that is read, {} being its folder. The kept ones hold no logs and weights, of which a report is made.
READ = (
    "analyze {}",
    "analyze {} --networks --metric best10 --csv {}/differences.csv",
    "analyze {} --json",
    "compare {}",
    "compare {} --accuracy --metric best10 --csv {}/points.csv",
    "compare {} --json",
    "status {}",
    "status {} --json",
    "plot {}",
)
READ_KEPT = (*READ, "plot {} --paper --out {}/beside-the-paper")
VERIFY, REPORT = "verify {} --device cpu", "report {}"
READ_TRAINED = {"plain": (*READ, REPORT, VERIFY), "caffenet": (REPORT, VERIFY), "batch": (VERIFY,), "lrn": (VERIFY,)}
READING = "reading"
READ_ALONE = (
    "analyze --paper",
    "analyze --paper --json",
    "plot --paper --study {}/study --out {}/paper",
    "layers yosinski2014 --json",
    "layers demo --json",
    "recipes keys --markdown",
)
MADE_BY = re.compile(rb"Made by transfer \S+:")  # in a report, with the version that wrote it: all that is masked


Step = tuple[str, Sequence[float]]  # what was done, and the seconds of old and new


@dataclass
class Found:
    """What was compared, counted, and every difference in a line."""

    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def same(self, what: str, where: str, old: Any, new: Any) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
        if old != new:
            if isinstance(old, str) and isinstance(new, str):  # the first line that differs
                pairs = zip_longest(old.splitlines(), new.splitlines())
                old, new = next((pair for pair in pairs if pair[0] != pair[1]), (repr(old[-9:]), repr(new[-9:])))
            self.problems.append(f"{where}: {shortened(old)} → {shortened(new)}")


def shortened(value: Any) -> str:
    """A value in few words; of bytes and digests only whether they are the same says anything."""
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()[:12]
    text = str(value)
    return text if len(text) < 60 else text[:57] + "..."


HEAVY = ["torch", "torchvision", "pandas", "matplotlib.figure", "pydantic", "rich.progress", "jinja2", "PIL"]


def load(place: Path) -> None:
    """What commands load of others' packages, once: their processes are forked from one that has it, and begin at once."""
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(place / "bytecode")  # compiled once, and not into the checkout
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
            raise click.ClickException(f"the {self.name} code: transfer {' '.join(words)} exits with {code}: {err or out}")
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
            raise click.ClickException(f"the {self.name} code began anew after it was stopped: {said}")
        return time.monotonic() - began

    def read(self, commands: Sequence[str]) -> tuple[dict[str, tuple[int, str, str]], float]:
        """What each of the commands says, and the seconds of all."""
        began = time.monotonic()
        return {command: self.type(*command.split()) for command in commands}, time.monotonic() - began

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
        raise click.ClickException(f"the {self.name} code was never stopped in the middle of a bank, in {TRIES} tries")


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


def train(old: Side, new: Side, both: Executor, found: Found) -> Iterator[Step]:
    """Train every case with both, and compare; yields what was done."""
    for name in CASES:
        seconds = list(both.map(Side.train, (old, new), repeat(name)))
        compare_studies(name, old.folder / name, new.folder / name, found)
        if CASES[name].stopped:  # no bit depends on it
            compare_studies(f"{name} against never stopped", old.folder / name, old.folder / "batch", found)
        yield f"{name}, {len(networks(old.folder / name))} networks trained", seconds


def read(old: Side, new: Side, both: Executor, found: Found) -> Iterator[Step]:
    """Both read copies of the same studies, the kept ones and those that the old code trained; yields what was read."""
    kept = [path for path in sorted((ROOT / "results/reference").iterdir()) if path.is_dir()]
    studies = dict.fromkeys(kept, READ_KEPT) | {old.folder / name: forms for name, forms in READ_TRAINED.items()}
    made = shutil.ignore_patterns("figures", "report.html", "differences.csv", ".*")
    for source, forms in studies.items():
        for side in (old, new):
            shutil.copytree(source, side.folder / READING / source.name, ignore=made)
        yield read_one(f"{READING}/{source.name}", forms, old, new, both, found)
    yield read_one(f"{READING}/none", READ_ALONE, old, new, both, found)


def read_one(study: str, forms: Iterable[str], old: Side, new: Side, both: Executor, found: Found) -> Step:
    """What the commands say, and every file of the study thereafter."""
    commands = [form.replace("{}", study) for form in forms]
    (said, seconds), (mine, others) = both.map(Side.read, (old, new), repeat(commands))
    refusals = 0
    for command, (code, *outputs) in said.items():
        codes = code, mine[command][0]
        if refused := codes == (1, 1) and outputs[1].startswith("Error: "):  # as to compare a study with one of other splits
            refusals += 1
        found.same("commands", f"transfer {command}, exit codes", (0, 0), (0, 0) if refused else codes)
        for what, *both_say in zip(("output", "errors"), outputs, mine[command][1:], strict=True):
            found.same("outputs", f"transfer {command}, {what}", *both_say)
    files = [written(side.folder / study) for side in (old, new)]
    for file in sorted(files[0].keys() | files[1].keys()):
        found.same("files", f"{study}/{file}", *(one.get(file, "missing") for one in files))
    return f"{study}, {len(said)} commands" + f", {refusals} refused" * (refusals > 0), (seconds, others)


def written(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): MADE_BY.sub(b"", path.read_bytes()) for path in paths}


@click.command(help=__doc__)
@click.argument("commit")
def main(commit: str) -> None:
    os.nice(10)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: nothing is left behind
    began, found, seen = time.monotonic(), Found(), 0
    place = Path(tempfile.mkdtemp(prefix="same-bits-")).resolve()
    git = ("git", "-C", str(ROOT), "worktree")
    try:
        if subprocess.run([*git, "add", "--quiet", "--detach", str(place / "tree"), commit]).returncode:
            raise click.BadParameter(f"there is no tree of {commit}")
        old, new = (Side(name, tree, place) for name, tree in zip(SIDES, (place / "tree", ROOT), strict=True))
        with ProcessPoolExecutor(len(SIDES), multiprocessing.get_context("spawn"), load, (place,)) as both:
            for what, seconds in chain(train(old, new, both, found), read(old, new, both, found)):
                problems, seen = found.problems[seen:], len(found.problems)
                said = f"{len(problems)} differences" if problems else "the same"
                click.echo(f"{what:<44} {said:<18} {seconds[0]:3.0f} s old {seconds[1]:3.0f} s new")
                for problem in problems[:SHOWN]:
                    click.echo(f"  {problem}")
    finally:
        subprocess.run([*git, "remove", "--force", str(place / "tree")], stderr=subprocess.DEVNULL)
        shutil.rmtree(place, ignore_errors=True)
    counted = ", ".join(f"{count} {what}" for what, count in found.counts.items())
    click.echo(f"{len(found.problems)} differences in {counted} ({time.monotonic() - began:.0f} s)")
    sys.exit(bool(found.problems))


if __name__ == "__main__":
    main()
