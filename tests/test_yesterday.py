"""A study that an earlier version began, and that was stopped half-way, is carried on, checked and shown without a flag.

tests/data/README.md says what made it. Only the command line and the study's files are used: they are what versions share.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from statistics import median

import pytest
import torch
from conftest import with_slow

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tests/data"
KEPT = json.loads((DATA / "half-swept.json").read_text(encoding="utf-8"))
DONE = ["random-0/B1B", "random-0/B4B", *(f"random-0/{seed}base{half}" for seed in ("", "seed-1/") for half in "AB")]
LOSS, PICTURES, TYPICAL = 0.02, 2, 1e-4  # how far another machine may be, of a loss and of an accuracy; half of the losses

Said = subprocess.CompletedProcess[str]


def transfer(folder: Path, *words: str) -> Said:
    """A command in a process of its own, on the CPU as the study was begun."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TRANSFER_")}
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**kept, "PYTHONPATH": paths, "CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "transfercli", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=300)
    assert done.returncode == 0, done.stderr or done.stdout
    return done


def contents(study: Path, names: list[str]) -> dict[str, bytes]:
    return {f"{name}/{path.name}": path.read_bytes() for name in names for path in sorted((study / name).iterdir())}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study as it was left."""
    folder = tmp_path_factory.mktemp("yesterday")
    with zipfile.ZipFile(DATA / "half-swept.zip") as kept:
        kept.extractall(folder)
    # A study is not carried on with other libraries unless one says so, and rightly. Here the question is another: what this
    # version of transfer does. So the study is made one of the libraries that are installed, and of nothing else.
    file = folder / "half-swept/versions.json"
    installed = {"torch": torch.__version__} | {name: metadata.version(name) for name in ("torchvision", "pillow")}
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **installed}), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def carried_on(begun: Path) -> tuple[Path, Said, dict[str, bytes]]:
    """Where the study lies after its sweep, what the sweep said, and the files of networks that were done before."""
    before = contents(begun / "half-swept", DONE)
    status = json.loads(transfer(begun, "status", "--study", "half-swept", "--json").stdout)
    assert status["counts"]["done"] == len(DONE) and [kept["step"] for kept in status["checkpoints"]] == [25]
    return begun, transfer(begun, "sweep", "--study", "half-swept"), before


def test_the_sweep_goes_on_where_it_was(carried_on: tuple[Path, Said, dict[str, bytes]]) -> None:
    folder, said, before = carried_on
    assert "2 networks go on at step 25 of 40" in said.stderr
    assert len(before) == 3 * len(DONE) and contents(folder / "half-swept", DONE) == before
    assert not list(folder.rglob("checkpoints"))


def test_its_networks_end_where_they_ended_yesterday(carried_on: tuple[Path, Said, dict[str, bytes]]) -> None:
    study = carried_on[0] / "half-swept"
    found = {path.parent.relative_to(study).as_posix(): json.loads(path.read_bytes()) for path in study.rglob("row.json")}
    assert found.keys() == KEPT["networks"].keys()
    new = next(row for name, row in found.items() if name not in DONE)
    machine = f"torch {new['torch']}, {new['device'].rpartition(', ')[0]}, {torch.backends.cpu.get_cpu_capability()}"
    if machine == KEPT["machine"]:
        assert {name: {key: row[key] for key in KEPT["networks"][name]} for name, row in found.items()} == KEPT["networks"]
    away = {name: abs(row["loss"] / KEPT["networks"][name]["loss"] - 1) for name, row in found.items() if name not in DONE}
    assert max(away.values()) < LOSS and median(away.values()) < TYPICAL, away
    for name, row in found.items():
        assert abs(row["top1"] - KEPT["networks"][name]["top1"]) * row["val_pictures"] < PICTURES + 0.5, name


@pytest.mark.parametrize(
    "command", with_slow(["verify", "analyze", "plot", "report", "compare", "compare copy", "status"], ["plot", "report"])
)
def test_it_is_checked_and_shown(carried_on: tuple[Path, Said, dict[str, bytes]], command: str) -> None:
    folder = carried_on[0]
    shutil.copytree(folder / "half-swept", folder / "copy", dirs_exist_ok=True)
    said = transfer(folder, *command.split(), "--study", "half-swept").stdout
    assert said
    if command == "plot":
        assert {path.stem for path in (folder / "half-swept/figures").glob("*.png")} == {
            path.stem for path in (ROOT / "results/reference/demo/figures").glob("*.png")
        }
    if command == "report":
        assert "half-swept" in (folder / "half-swept/report.html").read_text(encoding="utf-8")
    if command == "status":
        assert "34 of 34" in said
    if command == "compare copy":
        points = re.search(r"Of (\d+) gains over the base (\d+) lie in the other study's spread", said)
        assert points and points[1] == points[2] == "15"
