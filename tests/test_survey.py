"""`transfer pictures`: a folder is seen as it is, and what would spoil a study is named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Said
from PIL import Image

from transfercli import TransferError, survey

NAMES = ("ant", "bee", "cat", "n01440764")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four classes of three training and two validation pictures, of 20 by 10 to 24 by 14 pixels."""
    random = np.random.default_rng(0)
    for name in NAMES:
        for i in range(5):
            path = tmp_path / "pictures" / ("train" if i < 3 else "val") / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (10 + i, 20 + i, 3), dtype=np.uint8)).save(path)
    return tmp_path / "pictures"


def spoil(root: Path) -> None:
    """One picture broken, one in both parts, one in two classes, one in one class twice."""
    (root / "train/ant/0.png").write_bytes(b"no picture")
    shutil.copy(root / "train/bee/0.png", root / "val/bee/again.png")
    shutil.copy(root / "val/cat/3.png", root / "val/ant/mistaken.png")
    shutil.copy(root / "train/cat/1.png", root / "train/cat/1 (copy).png")


def test_what_is_there(root: Path) -> None:
    found = survey(root)
    assert found.table.to_dict("list") == {
        "class": [*NAMES],
        "called": ["ant", "bee", "cat", "tench (n01440764)"],
        "train": [3] * 4,
        "val": [2] * 4,
    }
    assert (found.median, min(found.sizes), max(found.sizes), len(found.sizes)) == ((22, 12), (20, 10), (24, 14), 20)
    assert found.bytes == sum(path.stat().st_size for path in root.rglob("*.png"))
    assert (found.unreadable, found.twice) == ({}, ())


def test_what_would_spoil_a_study(root: Path) -> None:
    spoil(root)
    found = survey(root)
    assert found.unreadable == {"train/ant/0.png": "not a picture, or of an unknown format"}
    assert found.leaked == (("train/bee/0.png", "val/bee/again.png"),)
    assert found.disputed == (("val/ant/mistaken.png", "val/cat/3.png"),)
    assert {*found.twice} == {*found.leaked, *found.disputed, ("train/cat/1 (copy).png", "train/cat/1.png")}


def test_the_command_says_it_on_a_screen(transfer: Callable[..., Said], root: Path, tmp_path: Path) -> None:
    spoil(root)
    said = transfer("pictures", "pictures", "--sheet", "sheet.png", "--csv", "classes.csv")
    assert said.code == 0
    disk = sum(path.stat().st_size for path in root.rglob("*.png")) / 1e6
    assert said.out.splitlines() == [
        "Layout: folders of classes in train/ and val/",
        "Classes: 4 (ant, bee, cat, tench (n01440764))",
        "Train: 13, 3 to 4 of a class",
        "Val: 10, 2 to 3 of a class",
        f"Sizes: 20 to 24 wide, 10 to 14 high, 22×12 in the middle; {disk:.1f} MB in all",
        "Unreadable: 1: train/ant/0.png (not a picture, or of an unknown format); mend or skip them: --skip-unreadable",
        "In train and val: 1: train/bee/0.png = val/bee/again.png; remove one of each, or what is learned is measured",
        "In two classes: 1: val/ant/mistaken.png = val/cat/3.png; remove the wrong one of each",
        "Twice in one class of one part: 1: train/cat/1 (copy).png = train/cat/1.png; they count twice",
        "Next: transfer split pictures",
        "Sheet: sheet.png",
    ]
    assert (tmp_path / "classes.csv").read_text().splitlines()[:2] == ["class,called,train,val", "ant,ant,3,3"]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 8 * 96 and sheet.height == 4 * (96 + 14)
        pixels = np.asarray(sheet)
    assert (pixels[14 : 14 + 94, 96 : 96 + 94] != 255).any() and (pixels[:, 5 * 96 :] == 255).all()
    assert transfer("pictures", "pictures", "--csv", "-").out.splitlines()[0] == "class,called,train,val"


SMALL = ("--recipe", "tiny-imagenet-cpu", "--set", "pictures.size=12", "--set", "pictures.crop=12")


def test_split_warns_of_what_is_there_twice(transfer: Callable[..., Said], root: Path, tmp_path: Path) -> None:
    """In both parts, or in classes of both halves; what is left out, or twice in one place, is passed over."""
    spoil(root)
    shutil.copy(root / "train/ant/0.png", root / "train/cat/broken too.png")
    for name, halves in (("apart", "AABB"), ("together", "ABAB")):
        rows = [f"{of},{half}\n" for of, half in zip(NAMES, halves, strict=True)]
        (tmp_path / f"{name}.csv").write_text("class,half\n" + "".join(rows))
    leaked = "1 in training and in validation (train/bee/0.png = val/bee/again.png)"
    remedy = "Accuracy and transfer look better than they are; remove one of each; see: transfer pictures pictures"
    said = transfer("split", "pictures", "--method", "apart.csv", "--skip-unreadable", *SMALL)
    crossing = "1 in both halves of apart (val/ant/mistaken.png = val/cat/3.png)"
    assert (said.code, said.err) == (0, f"Warning: pictures are there twice: {leaked}, {crossing}. {remedy}\n")
    said = transfer("split", "pictures", "--method", "together.csv", "--skip-unreadable", *SMALL)
    assert (said.code, said.err) == (0, f"Warning: pictures are there twice: {leaked}. {remedy}\n")
    (root / "val/bee/again.png").unlink()
    said = transfer("split", "pictures", "--method", "together.csv", "--skip-unreadable", "--study", "other", *SMALL)
    assert (said.code, said.err) == (0, "")


def test_twice_in_a_class_of_which_some_are_held_out(transfer: Callable[..., Said], root: Path) -> None:
    """What is held out, only a split knows."""
    for i in range(4):
        shutil.copy(root / "train/bee/0.png", root / f"train/bee/copy {i}.png")
    said = transfer("pictures", "pictures/train")
    same = " = ".join(f"bee/{name}.png" for name in ("0", *(f"copy {i}" for i in range(4))))
    assert f"Twice in one class: 1: {same}; remove one of each, since a share is held out" in said.out.splitlines()
    said = transfer("split", "pictures/train", *SMALL)
    assert said.err.startswith(f"Warning: pictures are there twice: 1 in training and in validation ({same}). ")


def test_pictures_of_which_no_study_can_be_made_yet(transfer: Callable[..., Said], root: Path) -> None:
    """They are shown as they are, with what to do; the split says the same."""
    for path in ("train/cat/1.png", "train/cat/2.png"):
        (root / path).unlink()
    said = transfer("pictures", "pictures/train")
    fault = (
        "pictures/train: 1 class has fewer than two pictures: cat. "
        "Give each class one to train on and one to hold out, or remove it"
    )
    assert (said.code, said.err) == (0, "")
    assert "Pictures: 10, 1 to 3 of a class" in said.out.splitlines()
    assert said.out.splitlines()[-1] == f"No study can be made of them yet: {fault}"
    assert transfer("split", "pictures/train").err == f"Error: {fault}\n"

    shutil.rmtree(root / "val/bee")
    shutil.rmtree(root / "train/cat")
    found = survey(root)
    assert found.table.set_index("class")[["train", "val"]].to_dict("list") == {"train": [3, 3, 0, 3], "val": [2, 0, 2, 2]}
    assert found.fault == f"{root}: 1 class in train/ but not in val/: bee. Give each class pictures in both, or remove it"
    shutil.rmtree(root / "train")
    (root / "train/ant").mkdir(parents=True)
    shutil.rmtree(root / "val")
    (root / "val").mkdir()
    with pytest.raises(TransferError) as caught:
        survey(root)
    assert str(caught.value).startswith(f"no pictures in {root}/train/<class>/. ")


def test_where_no_sheet_can_be_drawn(root: Path, tmp_path: Path, transfer: Callable[..., Said]) -> None:
    with pytest.raises(TransferError) as caught:
        survey(root, tmp_path / "sheet.jpg")
    assert str(caught.value) == "a sheet is a PNG file, not sheet.jpg; give it a name with .png"
    assert transfer("pack", "pictures", "--out", "store", "--size", 8).code == 0
    assert survey("store").unreadable == {} and survey("store").sizes == ()
    with pytest.raises(TransferError) as caught:
        survey("store", "sheet.png")
    assert str(caught.value) == "store is a store; draw the sheet of the folder that it was packed from"
