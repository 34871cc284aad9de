"""What a person gets wrong: one line that says what and how to mend it, nothing half-written, never a traceback."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from conftest import CLASSES, SIZE, SWEPT, TRAIN, VAL, Said, tiny_recipe
from PIL import Image

from transfercli.pictures import formula
from transfercli.recipe import reading as recipes
from transfercli.study.folder import Study

Transfer = Callable[..., Said]
FIRST, LAST = formula.class_names(CLASSES)[0], formula.class_names(CLASSES)[-1]
BUILTIN = {"builtin": {"classes": CLASSES, "train": TRAIN, "val": VAL}}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with pictures/ of 8 classes and a recipe, tiny.yaml."""
    formula.write(tmp_path / "pictures", CLASSES, TRAIN, VAL, SIZE, seed=1)
    (tmp_path / "tiny.yaml").write_text(recipes.dump(tiny_recipe({"training": {"steps": 1}})))
    return tmp_path


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: the bytes of files, None for folders."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.fixture
def refused(transfer: Transfer, tmp_path: Path) -> Callable[..., str]:
    """Type a command that must be refused with one line on standard error, and leave the folder as it was."""

    def typed(*words: str | Path, code: int = 1) -> str:
        before = contents(tmp_path)
        said = transfer(*words)
        assert (said.code, said.out) == (code, "")
        assert said.err.endswith("\n") and said.err.count("\n") == 1
        assert contents(tmp_path) == before
        return said.err.rstrip("\n")

    return typed


SPLIT = ("split", "pictures", "--recipe", "tiny.yaml")


# -- pictures


def test_no_such_folder(refused: Callable[..., str]) -> None:
    assert refused("split", "nowhere") == "Error: no such folder: nowhere. Give the folder that holds train/ and val/"


def test_a_file_in_place_of_the_folder(refused: Callable[..., str], here: Path) -> None:
    assert refused("split", "tiny.yaml") == "Error: not a folder: tiny.yaml. Give the folder that holds train/ and val/"


def test_a_folder_with_no_pictures(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert (
        refused("split", "empty")
        == "Error: no train/ in empty. Give the folder that holds train/ and val/, each with a folder per class"
    )
    for part in ("train", "val"):
        (tmp_path / "empty" / part / "cat").mkdir(parents=True)
    assert refused("split", "empty") == (
        "Error: no pictures in empty/train/<class>/. "
        "Put each class's pictures (.jpg .jpeg .png .bmp .webp .gif .tif .tiff .ppm .pgm) there"
    )


def test_classes_in_train_but_not_in_val(refused: Callable[..., str], here: Path) -> None:
    shutil.rmtree(here / "pictures/val" / LAST)
    assert (
        refused(*SPLIT)
        == f"Error: pictures: 1 class in train/ but not in val/: {LAST}. Give each class pictures in both, or remove it"
    )


def test_an_empty_class(refused: Callable[..., str], here: Path) -> None:
    for picture in (here / "pictures/train" / FIRST).iterdir():
        picture.unlink()
    assert refused(*SPLIT) == (
        f"Error: pictures: 1 class has no picture in train/: {FIRST}. "
        "Give each class pictures in both, or remove it from train/ and val/"
    )


def test_fewer_than_two_classes_a_half(refused: Callable[..., str], here: Path) -> None:
    names = formula.class_names(CLASSES)
    (here / "mine.csv").write_text("class,half\n" + "".join(f"{name},{'A' if name == FIRST else 'B'}\n" for name in names))
    assert (
        refused(*SPLIT, "--method", "mine.csv")
        == "Error: split mine: half A would have 1 of 8 classes; give each half at least 2 classes in mine.csv"
    )
    for part in ("train", "val"):
        for name in names[3:]:
            shutil.rmtree(here / "pictures" / part / name)
    assert refused(*SPLIT) == "Error: 3 classes in pictures, but two halves need at least 4. Add classes"


def test_classes_of_unknown_kind(refused: Callable[..., str], here: Path) -> None:
    for part in ("train", "val"):
        (here / "pictures" / part / FIRST).rename(here / "pictures" / part / "cat")
    assert refused(*SPLIT, "--method", "man-made-natural") == (
        "Error: split man-made-natural: cannot tell the kind of 'cat'; name class folders by their "
        "ILSVRC2012 WordNet ids or natural-... and man-made-..., or list the halves in a CSV file"
    )


def test_a_picture_that_cannot_be_decoded(refused: Callable[..., str], transfer: Transfer, here: Path) -> None:
    broken = [f"train/{FIRST}/0003.png", f"train/{LAST}/0000.png", f"val/{LAST}/0001.png"]
    whole = (here / "pictures" / broken[0]).read_bytes()
    (here / "pictures" / broken[0]).write_bytes(whole[: len(whole) // 2])
    said = f"Error: cannot decode pictures/{broken[0]} (the file is truncated)"
    remedy = "; replace what is broken, or leave it out: --skip-unreadable"
    assert refused(*SPLIT) == said + remedy
    assert refused("run", "tiny.yaml", "pictures") == said + remedy
    (here / "pictures" / broken[1]).write_text("no picture")
    (here / "pictures" / broken[2]).write_bytes(b"")
    assert refused(*SPLIT) == f"{said}, nor 2 more{remedy}"

    done = transfer(*SPLIT, "--skip-unreadable")
    assert (done.code, done.err) == (0, "")
    assert "Split: results/study/random-0/split.json (names the 3 unreadable pictures left out)\n" in done.out
    values = json.loads((here / "results/study/random-0/split.json").read_text())
    assert values["left_out"] == broken
    assert values["A"]["train"] + values["B"]["train"] == CLASSES * TRAIN - 2
    assert values["A"]["val"] + values["B"]["val"] == CLASSES * VAL - 1
    done = transfer("train-base", "--device", "cpu")
    assert done.code == 0, done.err


def test_a_class_whose_every_picture_is_broken_cannot_be_left_out(refused: Callable[..., str], here: Path) -> None:
    for picture in (here / "pictures/val" / FIRST).iterdir():
        picture.write_bytes(b"")
    assert refused(*SPLIT, "--skip-unreadable") == (
        f"Error: pictures: with the unusable pictures left out, 1 class has no picture in val/: {FIRST}. "
        "Replace those pictures, or remove the class from train/ and val/"
    )


def test_only_pictures_that_the_recipe_takes_are_checked(transfer: Transfer, here: Path) -> None:
    (here / "pictures/train" / FIRST / "0001.png").write_bytes(b"")  # of 8, the recipe takes 0000 and 0004
    assert transfer(*SPLIT, "--set", "pictures.train_per_class=2").code == 0


def test_odd_jpegs_just_work(transfer: Transfer, here: Path) -> None:
    """ImageNet has a PNG called .JPEG, 22 CMYK JPEGs, and grey ones."""
    pixels = numpy.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=numpy.uint8)
    folder = here / "pictures/train" / FIRST
    Image.fromarray(pixels).save(folder / "png.JPEG", format="PNG")
    Image.fromarray(pixels).convert("CMYK").save(folder / "cmyk.JPEG", format="JPEG")
    Image.fromarray(pixels).convert("L").save(folder / "grey.JPEG", format="JPEG")
    said = transfer("run", "tiny.yaml", "pictures", "--device", "cpu", "--set", "layers=7", "--set", "treatments=RnB")
    assert said.code == 0, said.err
    values = json.loads((here / "results/study/random-0/split.json").read_text())
    assert values["left_out"] == [] and values["A"]["train"] + values["B"]["train"] == CLASSES * TRAIN + 3


def test_pictures_that_changed_after_the_split(transfer: Transfer, here: Path) -> None:
    transfer(*SPLIT)
    (here / "pictures/train" / FIRST / "0000.png").unlink()
    said = transfer("train-base", "--device", "cpu")
    assert (said.code, said.out, said.err.splitlines()[1:]) == (
        1,
        "",
        [
            f"Error: the pictures in {here}/pictures are not those that split random-0 was made of; "
            f"put them back, or start a new study: transfer split {here}/pictures --study NEW"
        ],
    )
    assert not (here / "results/study/random-0/baseA").exists()


def test_a_recipe_without_pictures_needs_a_folder(refused: Callable[..., str], here: Path) -> None:
    said = "Error: the recipe tiny has no pictures of its own; name the folder DIR that holds train/ and val/ in the command"
    assert refused("split", "--recipe", "tiny.yaml") == said
    assert refused("run", "tiny.yaml") == said


def test_names_that_are_no_text(transfer: Transfer, here: Path) -> None:
    """Linux takes any bytes and even line breaks in a file's name."""
    for part in (b"train/", b"val/"):
        folder = os.fsencode(here / "pictures") + b"/" + part
        os.rename(folder + FIRST.encode(), folder + b"caf\xe9")
        os.rename(folder + LAST.encode(), folder + b"two\nlines")
    assert transfer(*SPLIT).code == 0
    assert transfer("train-base", "--device", "cpu").code == 0
    shutil.rmtree(here / "pictures/val/two\nlines")
    said = transfer(*SPLIT, "--study", "other")
    assert (
        said.err
        == r"Error: pictures: 1 class in train/ but not in val/: two\nlines. Give each class pictures in both, or remove it"
        + "\n"
    )


# -- flags: exit code 2


def test_layers_that_the_network_does_not_have(refused: Callable[..., str], study: Study) -> None:
    assert refused("sweep", "--study", "study", "--layers", "5-8", code=1) == (
        "Error: layer 8 cannot be transferred in a network of 8 layers, whose last is always fresh; choose layers within 1-7"
    )


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--layers", "0-7", "the layers '0-7' hold 0, which is the base itself; layers start at 1"),
        ("--layers", "3-1", "the layers '3-1' run backwards; write the lower number first: 1-3"),
        ("--layers", "a", "cannot read the layers 'a'; write a range or a list, such as 1-7 or 1,3,5"),
        ("--layers", "", "cannot read the layers ''; write a range or a list, such as 1-7 or 1,3,5"),
        ("--layers", "-1", "cannot read the layers '-1'; write a range or a list, such as 1-7 or 1,3,5"),
        ("--treatments", "AnC", f"unknown treatment 'AnC'; choose from {','.join(SWEPT)}"),
        ("--targets", "C", "unknown target 'C'; choose from A,B,alternate,T"),
        ("--targets", "A,alternate", "alternate stands alone: it gives each split one target, by turns"),
        ("--device", "gpu", "no device is called 'gpu'; choose from auto, cpu, cuda, cuda:1, mps"),
        ("--set", "training", "cannot read 'training'; write key=value, such as training.epochs=5"),
        ("--set", "training..steps=3", "cannot read 'training..steps=3'; write key=value, such as training.epochs=5"),
        ("--bank-size", "0", "0 is not in the range x>=1"),
    ],
)
def test_wrong_values_of_flags(refused: Callable[..., str], study: Study, flag: str, value: str, message: str) -> None:
    said = refused("sweep", "--study", "study", flag, value, code=2)
    assert said == f"Error: Invalid value for '{flag}': {message} (see: transfer sweep --help)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["swep"], "No such command 'swep'. Did you mean 'sweep'? (see: transfer --help)"),
        (["stauts"], "No such command 'stauts'. Did you mean 'status'? (see: transfer --help)"),
        (["analyse"], "No such command 'analyse'. Did you mean 'analyze'? (see: transfer --help)"),
        (["quux"], "No such command 'quux' (see: transfer --help)"),
        (["run"], "Missing argument 'RECIPE' (see: transfer run --help)"),
        (["recipes", "copy"], "Missing argument 'NAME' (see: transfer recipes copy --help)"),
        (
            ["split", "--seed", "-1"],
            "Invalid value for '--seed': -1 is not in the range 0<=x<=4294967295 (see: transfer split --help)",
        ),
        (
            ["split", "--seed", "1", "--method", "man-made-natural"],
            "--seed is for random halves; leave it out with --method man-made-natural (see: transfer split --help)",
        ),
        (
            ["layers", "demo", "--classes", "1"],
            "Invalid value for '--classes': 1 is not in the range x>=2 (see: transfer layers --help)",
        ),
    ],
)
def test_wrong_words(refused: Callable[..., str], here: Path, words: list[str], message: str) -> None:
    assert refused(*words, code=2) == f"Error: {message}"


def test_a_flag_that_there_is_not(refused: Callable[..., str]) -> None:
    said = refused("sweep", "--layer", "3", code=2)
    assert said.startswith("Error: No such option") and "--layers" in said and said.endswith(" (see: transfer sweep --help)")


def test_no_command_shows_the_help(transfer: Transfer) -> None:
    said = transfer()
    assert said.code == 2 and said.err.startswith("Usage: transfer [OPTIONS] COMMAND [ARGS]...\n")


def test_a_study_that_is_a_file(refused: Callable[..., str], here: Path) -> None:
    said = refused("status", "--study", "tiny.yaml", code=2)
    assert said.startswith("Error: Invalid value for '--study'")
    assert said.endswith(": Directory 'tiny.yaml' is a file (see: transfer status --help)")


def test_a_study_below_a_file(refused: Callable[..., str], here: Path) -> None:
    assert refused(*SPLIT, "--study", "tiny.yaml/study") == (
        "Error: cannot write tiny.yaml/study/.lock: Not a directory; make room or choose another folder: --study DIR"
    )


def test_cuda_where_there_is_none(refused: Callable[..., str], here: Path, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for name in ("cuda", "cuda:1"):
        said = f"Error: there is no device {name} on this machine; use --device auto or --device cpu"
        assert refused("sweep", "--study", "study", "--device", name) == said
        assert refused("train-base", "--study", "study", "--device", name) == said
        assert refused("run", "tiny.yaml", "pictures", "--device", name) == said


# -- recipes


def test_unknown_recipes(refused: Callable[..., str]) -> None:
    named = f"Error: no recipe 'nope'; choose from {', '.join(recipes.names())}, or give a .yaml file"
    assert refused("run", "nope", "pictures") == named
    assert refused("split", "--recipe", "nope") == named
    assert refused("layers", "nope") == named
    assert refused("recipes", "show", "nope") == named
    assert refused("recipes", "copy", "nope") == named
    assert refused("run", "nope.yaml") == "Error: no recipe file nope.yaml; copy one: transfer recipes copy demo nope.yaml"


def test_unknown_keys_all_at_once(refused: Callable[..., str], here: Path) -> None:
    said = refused(*SPLIT, "--set", "training.batchsize=3", "--set", "training.batch=0", "--set", "epochs=2")
    assert said == (
        "Error: recipe tiny.yaml has 3 mistakes: training.batch: input should be greater than 0; "
        "training.batchsize: unknown key; epochs: unknown key; compare with: transfer recipes show demo"
    )


def test_a_recipe_that_is_no_recipe(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    assert refused("run", "list.yaml") == (
        "Error: recipe list.yaml is not a recipe: it must be a YAML mapping; see one: transfer recipes show demo"
    )
    (tmp_path / "broken.yaml").write_text("name: [a\n")
    said = refused("run", "broken.yaml")
    assert said.startswith("Error: recipe broken.yaml is not YAML: while parsing a flow sequence")
    assert said.endswith("; mend it or start from: transfer recipes copy demo")


def test_a_copy_never_overwrites(refused: Callable[..., str], here: Path) -> None:
    assert refused("recipes", "copy", "demo", "tiny.yaml") == (
        "Error: tiny.yaml is there already; choose another name: transfer recipes copy demo FILE"
    )
    assert (
        refused("recipes", "copy", "demo", "mine.txt") == "Error: mine.txt does not end as a recipe does; name it mine.txt.yaml"
    )


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            "halves",
            "split 'halves' is not known; write random-<seed> (as random-0), man-made-natural, "
            "the path of a .csv file with the header class,half, or all",
        ),
        ("none.csv", "split file none.csv does not exist; give a CSV file with the header class,half"),
        (
            "short.csv",
            "split short: half A would have 1 of 2 classes; give each half at least 2 classes in short.csv",
        ),
    ],
)
def test_unknown_methods(refused: Callable[..., str], here: Path, method: str, message: str) -> None:
    (here / "short.csv").write_text("class,half\nman-made-00,A\nman-made-01,B\n")
    assert refused(*SPLIT, "--method", method) == f"Error: {message}"
    builtin = tiny_recipe({"pictures": BUILTIN})
    (here / "builtin.yaml").write_text(recipes.dump(builtin))
    assert refused("split", "--recipe", "builtin.yaml", "--method", method) == f"Error: {message}"  # and no pictures are made


# -- commands in the wrong order, or in another's study


def test_without_a_study(refused: Callable[..., str]) -> None:
    for command in ("train-base", "sweep", "status"):
        assert refused(command) == "Error: no study in results/study; start one: transfer split DIR --study results/study"
    assert refused("plot") == (
        "Error: no network in results/study is done, so there is nothing to draw; "
        "train some: transfer train-base, or draw the published study: transfer plot --paper"
    )


def test_without_a_split(refused: Callable[..., str], split_study: Study) -> None:
    shutil.rmtree(split_study.root / "random-0")
    for command in ("train-base", "sweep", "status"):
        assert refused(command, "--study", "split/study") == (
            "Error: no split in split/study; make one: transfer split DIR --study split/study"
        )


def test_a_sweep_before_its_bases(refused: Callable[..., str], split_study: Study, study_copy: Study) -> None:
    said = "Error: random-0 has no {} yet; train it: transfer train-base --study {}"
    assert refused("sweep", "--study", "split/study") == said.format("baseA", "split/study")
    shutil.rmtree(study_copy.root / "random-0/baseB")
    assert refused("sweep", "--study", "copy", "--treatments", "RnB", "--targets", "B") == said.format("baseB", "copy")


@pytest.fixture
def study_copy(trained: Study, tmp_path: Path) -> Study:
    return Study(shutil.copytree(trained.root, tmp_path / "copy"))


@pytest.mark.parametrize("what", ["recipe", "split"])
def test_a_base_of_another_recipe_or_split(refused: Callable[..., str], study: Study, what: str) -> None:
    row = study.root / "random-0/baseA/row.json"
    row.write_text(json.dumps({**json.loads(row.read_text()), f"{what}_digest": "0" * 64}))
    assert refused("sweep", "--study", "study") == (
        f"Error: random-0 baseA was trained with another {what}; start a new study (--study NEW), "
        "or remove study/random-0/baseA and train it again: transfer train-base --study study"
    )


def test_networks_of_another_recipe(refused: Callable[..., str], study: Study) -> None:
    steps = study.recipe().training.steps
    said = (
        f"Error: the networks in study were trained by another recipe (tiny; training.steps: {steps} → 99); "
        "start a new study: --study DIR"
    )
    for command in ("train-base", "sweep", "split"):
        assert refused(command, "--study", "study", "--set", "training.steps=99") == said
    words = ("run", "demo", "--study", "study")
    said = refused(*words)
    assert said.startswith("Error: the networks in study were trained by another recipe (tiny; evaluation.batch: ")
    assert said.endswith(" more); start a new study: --study DIR")


def test_a_split_of_another_recipe(refused: Callable[..., str], transfer: Transfer, split_study: Study) -> None:
    assert refused("train-base", "--study", "split/study", "--set", "pictures.train_per_class=3") == (
        "Error: the split random-0 in split/study was made by another recipe (tiny; pictures.train_per_class: None → 3); "
        "make it again with this one: transfer split DIR --recipe NAME, or start a new study: --study DIR"
    )
    assert transfer("split", "--study", "split/study", "--set", "pictures.train_per_class=3").code == 0


def test_a_study_of_another_split(refused: Callable[..., str], here: Path, study: Study) -> None:
    assert refused("split", "pictures", "--study", "study", "--recipe", "study/recipe.yaml") == (
        "Error: the networks in study were trained on another split random-0 (other classes or pictures); "
        "start a new study: --study DIR"
    )


def test_a_study_that_another_process_works_in(refused: Callable[..., str], study: Study, transfer: Transfer) -> None:
    (study.root / "random-0/baseB/row.json").unlink()
    with study.held([]):
        said = transfer("train-base", "--study", "study", "--device", "cpu")
    assert said.code == 1 and said.err.splitlines()[-1].startswith(
        f"Error: process {os.getpid()} has been at work in study since 20"
    )
    assert said.err.endswith("; wait for it, or use another study: --study DIR\n")


# -- damage


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("recipe.yaml", "study/recipe.yaml is not a recipe: it must be a YAML mapping; see one: transfer recipes show demo"),
        (
            "random-0/split.json",
            "study/random-0/split.json is damaged (JSONDecodeError: Expecting value: line 1 column 1 (char 0)); "
            "remove it and make the split again: transfer split DIR",
        ),
        (
            "random-0/baseA/row.json",
            "study/random-0/baseA/row.json is damaged (Expecting value: line 1 column 1 (char 0)); "
            "remove its folder and train the network again",
        ),
    ],
)
def test_files_of_the_study_that_are_damaged(refused: Callable[..., str], study: Study, file: str, message: str) -> None:
    (study.root / file).write_text("nonsense")
    assert refused("sweep", "--study", "study") == f"Error: {message}"


def test_weights_that_are_damaged(transfer: Transfer, study: Study) -> None:
    weights = study.root / "random-0/baseB/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    said = transfer("sweep", "--study", "study", "--device", "cpu")
    assert said.code == 1 and said.out == ""
    last = said.err.splitlines()[-1]
    assert last.startswith("Error: cannot read the weights of random-0 baseB (")
    assert last.endswith("); remove study/random-0/baseB and train it again: transfer train-base --study study")
    assert [row["network"] for row in study.rows()] == ["baseA", "baseB"]


# -- the disk


class Disk:
    """Stands in for os.fsync: fails from the given write on, as a disk that is full or may not be written."""

    def __init__(self, writes: int, number: int):
        self.left, self.error = writes, OSError(number, os.strerror(number))

    def fsync(self, file: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.error


def whole(folder: Path) -> None:
    """What a study folder holds can be read, and nothing is left aside."""
    for path in folder.rglob("*"):
        assert not path.name.startswith(".") or path.name == ".lock", path
    for path in folder.rglob("*.json"):
        json.loads(path.read_text())
    for path in folder.glob("recipe.yaml"):
        recipes.load(path.read_text(), str(path))


@pytest.mark.parametrize(
    ("writes", "number"),
    [
        *((0, errno.EROFS), (9, errno.ENOSPC)),
        *(pytest.param(writes, errno.ENOSPC, marks=pytest.mark.slow) for writes in (0, 1, 5, 13, 17, 21)),
    ],
)
def test_no_room_on_the_disk(transfer: Transfer, here: Path, monkeypatch: pytest.MonkeyPatch, writes: int, number: int) -> None:
    """Whichever write fails: one line, every file whole, and the same command goes on when there is room."""
    command: tuple[Any, ...] = ("run", "tiny.yaml", "pictures", "--study", "mine", "--device", "cpu")
    command += ("--set", "layers=7", "--set", "treatments=RnB", "--set", "targets=B")
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", Disk(writes, number).fsync)
        said = transfer(*command)
    assert said.code == 1
    last = said.err.splitlines()[-1]
    assert last.startswith("Error: cannot write mine/")
    assert last.endswith(f": {os.strerror(number)}; make room or choose another folder: --study DIR")
    whole(here / "mine")
    rows = {path: path.stat().st_mtime_ns for path in here.glob("mine/random-0/*/row.json")}
    said = transfer(*command)
    assert said.code == 0, said.err
    assert {path: path.stat().st_mtime_ns for path in rows} == rows
    assert len(Study(here / "mine").rows()) == 2  # the base that the network is compared with, and the network


def test_no_room_for_the_builtin_pictures(transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    said = transfer("split", "--smoke")
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "Error: cannot write pictures to results/study-smoke/pictures: No space left on device; "
        "make room or choose another folder: --study DIR\n"
    )
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_may_not_be_written(transfer: Transfer, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the refusal is made here."""

    def denied(path: Any, *_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "mkdir", denied)
    said = transfer(*SPLIT)
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "Error: cannot write results/study/.lock: Permission denied; make room or choose another folder: --study DIR\n"
    )
    assert not (here / "results").exists()


def test_pictures_that_may_not_be_read(transfer: Transfer, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("transfercli.pictures.sources.folders.os.scandir", denied)
    said = transfer(*SPLIT)
    assert (said.code, said.err) == (1, "Error: permission denied: pictures/train. Make it readable for this user\n")


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried"), "too much for the CPU"],
    ids=["python", "cuda", "cpu"],
)
def test_no_room_in_memory(transfer: Transfer, study: Study, monkeypatch: pytest.MonkeyPatch, error: Exception | str) -> None:
    def full(*_: Any, **__: Any) -> None:
        if isinstance(error, Exception):
            raise error
        torch.empty(2**60)

    monkeypatch.setattr("transfercli.training.train.train", full)
    said = transfer("sweep", "--study", "study", "--bank-size", "99", "--device", "cpu")
    assert said == (1, "", "Error: the memory does not suffice; train fewer networks side by side: --bank-size N\n")


def test_an_error_of_the_program_itself_is_not_hidden(transfer: Transfer, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a mistake in the program")

    monkeypatch.setattr("transfercli.training.train.train", broken)
    with pytest.raises(RuntimeError, match="a mistake in the program"):
        transfer("sweep", "--study", "study", "--device", "cpu")
