"""A study of whichever layout the pictures have: the commands say what they took, and the pictures are found again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CLASSES, SIZE, TRAIN, VAL, Said, tiny_recipe

from transfercli.pictures import formula
from transfercli.recipe import reading as recipes

Transfer = Callable[..., Said]
SPLIT = ("split", "pictures", "--recipe", "tiny.yaml")
ORDER = "(the first that is there of val, validation, valid, test)"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with pictures and the tiny recipe, of three networks and three steps."""
    formula.write(tmp_path / "pictures", CLASSES, TRAIN, VAL, SIZE, seed=0)
    made = tiny_recipe({"training": {"steps": 3}})
    made = made.model_copy(update={"layers": (1,), "treatments": ("AnB",), "targets": ("B",)})
    (tmp_path / "tiny.yaml").write_text(recipes.dump(made))
    return tmp_path


@pytest.fixture
def alone(here: Path) -> Path:
    """The same with the training pictures' class folders alone."""
    (here / "pictures").rename(here / "whole")
    (here / "whole" / "train").rename(here / "pictures")
    return here


def said_of_validation(said: Said) -> list[str]:
    assert said.code == 0, said.err
    return [line for line in said.out.splitlines() if line.startswith("Validation")]


def counts(root: Path, split: str = "random-0") -> list[int]:
    values = json.loads((root / split / "split.json").read_text())
    return [values[half][part] for half in "AB" for part in ("train", "val")]


def test_the_usual_layout_needs_no_word(transfer: Transfer, here: Path) -> None:
    assert said_of_validation(transfer(*SPLIT)) == []


def test_the_folder_that_was_taken_is_said(transfer: Transfer, here: Path) -> None:
    (here / "pictures" / "test").mkdir()
    assert said_of_validation(transfer(*SPLIT)) == [f"Validation pictures: val/; test/ is not used {ORDER}"]
    digest = json.loads((here / "results/study/random-0/split.json").read_text())["digest"]
    (here / "pictures" / "test").rmdir()
    (here / "pictures" / "val").rename(here / "pictures" / "test")
    assert said_of_validation(transfer(*SPLIT)) == [f"Validation pictures: test/ {ORDER}"]
    assert json.loads((here / "results/study/random-0/split.json").read_text())["digest"] != digest
    assert transfer("train-base", "--device", "cpu").code == 0


def test_class_folders_alone_are_a_study(transfer: Transfer, alone: Path) -> None:
    line = "Validation pictures: 25% of each class is held out (pictures.held_out), since pictures has class folders alone"
    quarter = ("--set", "pictures.held_out=0.25")
    assert said_of_validation(transfer("run", "tiny.yaml", "pictures", *quarter, "--device", "cpu")) == [line]
    half = CLASSES // 2
    assert counts(alone / "results/study") == [half * 6, half * 2, half * 6, half * 2]
    assert transfer("verify", "--device", "cpu").code == 0

    shutil.move(alone / "pictures", alone / "moved")  # the same pictures are held out, wherever they lie
    assert said_of_validation(transfer("split", "moved")) == [line.replace("since pictures", "since moved")]
    assert transfer("sweep", "--device", "cpu").code == 0
    said = transfer("split", "moved", "--set", "pictures.held_out_seed=1")
    assert said.code == 1 and "trained by another recipe" in said.err


def test_a_store_of_class_folders_alone(transfer: Transfer, alone: Path) -> None:
    assert transfer(*SPLIT).code == 0
    of_folder = json.loads((alone / "results/study/random-0/split.json").read_text())
    said = transfer("pack", "pictures", "--out", "pictures/store", "--recipe", "tiny.yaml")
    assert said.err == (
        "Error: pictures/store is among the pictures, and would be taken for one of their classes; "
        "choose another folder: --out STORE\n"
    )
    assert transfer("pack", "pictures", "--out", "store", "--recipe", "tiny.yaml").code == 0
    shutil.rmtree(alone / "pictures")
    assert len(said_of_validation(transfer("split", "store"))) == 1
    of_store = json.loads((alone / "results/study/random-0/split.json").read_text())
    assert {**of_store, "folder": ""} == {**of_folder, "folder": ""}
    assert transfer("train-base", "--device", "cpu").code == 0


def test_a_study_among_the_class_folders_is_refused(transfer: Transfer, alone: Path) -> None:
    said = transfer(*SPLIT, "--study", "pictures/study")
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "Error: the study pictures/study would lie among the class folders of pictures, and its figures be taken for pictures; "
        "choose another folder: --study DIR\n"
    )
    assert not (alone / "pictures" / "study").exists()


def test_what_a_study_of_class_folders_alone_costs(transfer: Transfer, alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfercli.training.measuring.MEASURE_SECONDS", 0.01)
    changes = (
        "training.steps=null",
        "training.epochs=9",
        "training.schedule={name: constant, rate: 0.1, gamma: null, every: null}",
    )
    flags = [word for change in changes for word in ("--set", change)]
    said = transfer("plan", "tiny.yaml", "pictures", "--device", "cpu", *flags)
    assert said.code == 0
    assert (
        f"{CLASSES // 2 * 6} of 9 pictures for each network" in said.out
    )  # 6 of 8 are trained on, so 9 epochs of 9 are 24 steps
