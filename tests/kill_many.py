"""Commands killed at random moments (SIGKILL), each followed by the same command; the studies must be those never killed.

    python tests/kill_many.py --kills 100 --seed 1

A study is split, packed, trained, swept and drawn once without a kill. Then again, where each command is killed several times at
moments drawn evenly from the time that it took, and begun anew until it ends. All files must be the same to the byte, but for
what a row says of the bank that made it, and when (OF_THE_BANK). Processes are forked from one that has torch loaded, so that
the moments fall into the work and not into Python's start.
"""

import csv
import importlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import click

import transfercli
from transfercli.cli import COMMANDS, main
from transfercli.pictures import store as stores
from transfercli.study.folder import Study

OF_THE_BANK = ("bank", "bank_seconds", "pictures_per_second", "finished", "commit")
ENDED = (0,)
EACH = 4  # kills of a command in one study

RECIPE = """
name: tiny
judged: false
targets: [A, B]
layers: [2, 7]
pictures: {size: 14, crop: 12, mean: image, divide: 64, builtin: {classes: 8, train: 8, val: 5}}
network: {name: small, widths: [4, 4, 6, 6, 4, 8, 8], normalisation: batch}
training: {steps: 12, batch: 9, schedule: {name: one-cycle, rate: 0.03}, precision: float32, checkpoint_steps: 1}
evaluation: {every: 4, batch: 11}
"""

STUDY = ("--study", "study")
STEPS = {
    "split": ("split", "--recipe", "tiny.yaml", *STUDY),
    "pack": ("pack", "study/pictures", "--out", "store", "--recipe", "tiny.yaml"),
    "train-base": ("train-base", "--device", "cpu", *STUDY),
    "sweep": ("sweep", "--device", "cpu", *STUDY),
    "plot": ("plot", *STUDY),
}


def load_everything() -> None:
    """Import what commands import when they are called; no thread may run before a fork."""
    for name in {*COMMANDS.values()}:
        importlib.import_module(f"transfercli.cli.{name}")
    for name in transfercli.__all__:
        getattr(transfercli, name)
    for name in ("pyarrow.ipc", "rich.progress"):
        importlib.import_module(name)


def start(words: tuple[str, ...], folder: Path) -> int:
    """A command in a process of its own; its number."""
    if child := os.fork():
        return child
    os.chdir(folder)
    log = os.open("said.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code: object = 99
    try:
        main(list(words))
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 99)


def wait(child: int, seconds: float | None = None) -> int | None:
    """The exit code; None where the process was killed after so many seconds."""
    if seconds is not None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(min(0.0005, max(0.0, end - time.monotonic())))
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == -signal.SIGKILL else code


def fail(folder: Path, what: str) -> None:
    print((folder / "said.log").read_text(errors="replace")[-3000:])
    sys.exit(f"{what}; the study is left in {folder}")


def undisturbed(folder: Path) -> dict[str, float]:
    """Make the whole study; the seconds of each command."""
    seconds = {}
    for name, words in STEPS.items():
        began = time.monotonic()
        code = wait(start(words, folder))
        seconds[name] = time.monotonic() - began
        if code not in ENDED:
            fail(folder, f"{name} ended with {code}")
    return seconds


def disturbed(folder: Path, seconds: dict[str, float], draw: random.Random, killed: Counter[str]) -> None:
    """The same, each command killed EACH times (fewer where it ended before) and begun anew."""
    rows: dict[str, str] = {}
    for name, words in STEPS.items():
        for _ in range(EACH):
            moment = draw.uniform(0, seconds[name])
            code = wait(start(words, folder), moment)
            if code is not None and code not in ENDED:
                fail(folder, f"{name} ended with {code}")
            killed[name] += code is None
            now = {str(path): path.read_text() for path in folder.glob("study/*/*/row.json")}
            if rows.items() - now.items():
                fail(folder, f"a row was lost or changed when {name} was killed after {moment:.3f} s")
            if (folder / "study/recipe.yaml").exists():
                Study(folder / "study").rows()
            rows = now
        if (code := wait(start(words, folder))) not in ENDED:
            fail(folder, f"{name}, begun anew, ended with {code}")
        if name == "sweep" and (left := [str(path) for path in folder.glob("study/random-0/**/.*")]):
            fail(folder, f"left aside: {', '.join(left)}")


def contents(folder: Path) -> dict[str, object]:
    """Every file of the study and the store but hidden ones; rows without what only says which bank made them, and when."""
    made: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name == "said.log" or "/." in f"/{name}":
            continue
        data = path.read_bytes()
        if path.name == "row.json":
            made[name] = own(json.loads(data))
        elif path.name == "results.csv":
            made[name] = [own(row) for row in csv.DictReader(io.StringIO(data.decode()))]
        elif path.name == "store.json":
            made[name] = {key: value for key, value in json.loads(data).items() if key != "source"}
        else:
            made[name] = data
    return {name: own_place(value, folder) for name, value in made.items()}


def own(row: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in row.items() if key not in OF_THE_BANK}


def own_place(value: object, folder: Path) -> object:
    return value.replace(str(folder).encode(), b"FOLDER") if isinstance(value, bytes) else value


def new_folder(place: Path) -> Path:
    folder = Path(tempfile.mkdtemp(dir=place))
    (folder / "tiny.yaml").write_text(RECIPE)
    return folder


@click.command()
@click.option("--kills", default=20, show_default=True, help="How many processes to kill.")
@click.option("--seed", default=0, show_default=True, help="Of the moments.")
def kill_many(kills: int, seed: int) -> None:
    """Kill commands at random moments and compare what they make with what undisturbed ones make."""
    load_everything()
    began, killed, draw, studies = time.monotonic(), Counter[str](), random.Random(seed), 0
    stores.SHARD_BYTES = 20 * 3 * 14 * 14  # so that even these pictures are several shards
    place = Path(tempfile.mkdtemp(prefix="kills-"))
    whole = new_folder(place)
    seconds = undisturbed(whole)
    expected = contents(whole)
    networks = len(Study(whole / "study").rows())
    assert networks == 2 + 2 * 5 * 2, networks
    while killed.total() < kills:
        folder = new_folder(place)
        disturbed(folder, seconds, draw, killed)
        found = contents(folder)
        if wrong := [name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)]:
            fail(folder, f"not as in the study that was never killed: {', '.join(wrong)}")
        studies += 1
    shutil.rmtree(place)
    each = ", ".join(f"{name} {killed[name]}" for name in STEPS)
    print(
        f"{killed.total()} kills ({each}) in {studies} studies of {networks} networks: "
        f"{len(expected)} files each, all as if never killed ({time.monotonic() - began:.0f} s, seed {seed})"
    )


if __name__ == "__main__":
    kill_many()
