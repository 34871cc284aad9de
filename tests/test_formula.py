"""The built-in pictures: the same for the same words, unlike for others, and on the disk whole or not at all."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transfercli.pictures import formula
from transfercli.system.errors import TransferError

MAN_MADE = [[49, 63, 63, 49], [53, 94, 92, 62], [49, 86, 102, 46], [50, 49, 51, 47]]
NATURAL = [[103, 116, 118, 99], [110, 100, 120, 88], [95, 107, 101, 83], [113, 98, 100, 103]]
FEW = {"classes": 3, "train": 4, "val": 2, "size": 16, "seed": 0}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- names ---


def test_class_names_are_half_man_made_and_half_natural() -> None:
    assert formula.class_names(4) == ("man-made-00", "man-made-01", "natural-00", "natural-01")


def test_the_odd_class_is_natural() -> None:
    assert formula.class_names(3) == ("man-made-00", "natural-00", "natural-01")


@given(st.integers(0, 250))
@settings(max_examples=30)
def test_class_names_are_sorted_distinct_and_nested(count: int) -> None:
    names = formula.class_names(count)
    assert len(set(names)) == count
    assert list(names) == sorted(names)
    assert set(names) <= set(formula.class_names(count + 1))


# --- pictures ---


def test_pictures_are_uint8_rgb_of_the_size_asked_for() -> None:
    made = formula.pictures("natural-00", "train", 3, 20, 0)
    assert made.shape == (3, 20, 20, 3)
    assert made.dtype == np.uint8
    assert formula.pictures("natural-00", "train", 0, 20, 0).shape == (0, 20, 20, 3)


@pytest.mark.parametrize("name", ["man-made-01", "natural-01"])
def test_fewer_pictures_are_a_prefix_of_more(name: str) -> None:
    more = formula.pictures(name, "train", formula.BLOCK + 3, 16, 5)
    for count in (1, formula.BLOCK, formula.BLOCK + 1):
        np.testing.assert_array_equal(formula.pictures(name, "train", count, 16, 5), more[:count])


@pytest.mark.parametrize("name", ["man-made-00", "natural-00"])
def test_each_word_of_the_request_tells(name: str) -> None:
    first = formula.pictures(name, "train", formula.BLOCK + 1, 16, 0)
    other_class = name[:-1] + "1"
    requests = [(name, "val", 0), (name, "train", 1), (other_class, "train", 0)]
    others = [formula.pictures(other, part, 1, 16, seed) for other, part, seed in requests]
    everything = [first[:1], first[1:2], first[formula.BLOCK :], *others]
    assert len({made.tobytes() for made in everything}) == 6


def test_pictures_are_the_ones_of_this_version() -> None:
    """Means over 4 x 4 fields, not bytes: processors round differently. If this fails on purpose, raise VERSION."""
    assert formula.VERSION == 1
    found = {
        name: formula.pictures(name, "train", 1, 16, 0)[0].reshape(4, 4, 4, 12).mean((1, 3))
        for name in ("man-made-00", "natural-00")
    }
    np.testing.assert_allclose(found["man-made-00"], MAN_MADE, atol=2)
    np.testing.assert_allclose(found["natural-00"], NATURAL, atol=2)


@pytest.mark.parametrize("name", formula.class_names(40))
def test_no_class_is_dust_or_a_blot(name: str) -> None:
    kind, _, number = name.rpartition("-")
    upright = np.tile(np.float32([[1, 0, 0], [0, 1, 0]]), (8, 1, 1))
    draw = formula._contours if kind == "man-made" else formula._fractals
    _, cover = draw(int(number), upright, 24, np.random.default_rng(0))
    assert cover.min() >= 0 and cover.max() <= 1
    assert ((cover.mean((1, 2)) > 0.04) & (cover.mean((1, 2)) < 0.75)).all()


def test_shapes_tell_the_classes_apart() -> None:
    """Upright shapes, without colour and ground: each lies nearest to the mean shape of its own class, mostly."""
    upright = np.tile(np.float32([[1, 0, 0], [0, 1, 0]]), (24, 1, 1))
    random = np.random.default_rng(0)
    covers = [draw(i, upright, 16, random)[1] for draw in (formula._contours, formula._fractals) for i in range(6)]
    shapes = np.stack(covers).reshape(12, 24, -1)
    means = shapes[:, :12].mean(1)
    nearest = np.linalg.norm(shapes[:, 12:, None] - means, axis=-1).argmin(-1)
    assert (nearest == np.arange(12)[:, None]).mean() > 0.75


def test_an_unknown_class_is_refused() -> None:
    message = "no built-in class 'cats-00': the names are man-made-00, natural-00, ..."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        formula.pictures("cats-00", "train", 1, 16, 0)


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^no part 'test': the parts are train and val$"):
        formula.pictures("natural-00", "test", 1, 16, 0)


# --- the tree ---


def test_write_makes_a_tree_of_the_pictures(tmp_path: Path) -> None:
    root, told = tmp_path / "new" / "pictures", list[int]()
    formula.write(root, **FEW, progress=told.append)
    assert told == [4, 4, 4, 2, 2, 2]
    names = formula.class_names(3)
    expected = {f"{part}/{name}/{i:04d}.png" for part, n in (("train", 4), ("val", 2)) for name in names for i in range(n)}
    assert set(contents(root)) == expected | {"formula.json"}
    assert [path.name for path in root.parent.iterdir()] == ["pictures"]
    assert json.loads((root / "formula.json").read_text()) == FEW | {"version": formula.VERSION}
    with Image.open(root / "val" / "man-made-00" / "0001.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), formula.pictures("man-made-00", "val", 2, 16, 0)[1])


def test_two_trees_are_the_same_byte_for_byte(tmp_path: Path) -> None:
    formula.write(tmp_path / "a", **FEW)
    formula.write(tmp_path / "b", **FEW)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_write_again_does_nothing(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    formula.write(root, **FEW)
    marked = root / "train" / "natural-00" / "0000.png"
    marked.write_bytes(b"mine")
    told = list[int]()
    formula.write(root, **FEW, progress=told.append)
    assert told == [] and marked.read_bytes() == b"mine"


def test_write_into_an_empty_folder(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    formula.write(root, **FEW)
    assert (root / "formula.json").exists()


def test_pictures_made_otherwise_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    formula.write(root, **FEW)
    before = contents(root)
    with pytest.raises(TransferError) as error:
        formula.write(root, **FEW | {"val": 3, "seed": 1})
    assert str(error.value) == (
        f"{root} holds other built-in pictures (val 2, not 3; seed 0, not 1); delete it or name another folder"
    )
    assert contents(root) == before


@pytest.mark.parametrize(("file", "text"), [("holiday.png", ""), ("formula.json", "[1]"), ("formula.json", "{")])
def test_a_folder_of_something_else_is_refused(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(TransferError) as error:
        formula.write(tmp_path, **FEW)
    assert str(error.value) == f"{tmp_path} is not a folder of built-in pictures; name another folder"
    assert contents(tmp_path) == {file: text.encode()}


def test_missing_pictures_are_noticed(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    formula.write(root, **FEW)
    folder = root / "val" / "natural-01"
    (folder / "0001.png").unlink()
    with pytest.raises(TransferError) as error:
        formula.write(root, **FEW)
    assert str(error.value) == f"pictures are missing in {folder}; delete {root} and make them again"


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        formula.write(tmp_path / "pictures", **FEW, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_two_writers_at_once_agree(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    formula.write(root, **FEW, progress=lambda count: formula.write(root, **FEW))
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
    formula.write(root, **FEW)


def test_the_second_of_two_unlike_writers_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    first = FEW | {"seed": 7}

    def other(count: int) -> None:
        formula.write(root, **first)

    with pytest.raises(TransferError) as error:
        formula.write(root, **FEW, progress=other)
    assert str(error.value) == f"{root} holds other built-in pictures (seed 7, not 0); delete it or name another folder"
    formula.write(root, **first)


def test_what_a_killed_write_left_is_removed_a_day_later(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".pictures.unfinished-a", tmp_path / ".pictures.unfinished-b"
    for left in (old, fresh):
        (left / "pictures").mkdir(parents=True)
    os.utime(old, (time.time() - 90000,) * 2)
    formula.write(tmp_path / "pictures", **FEW)
    assert not old.exists() and fresh.exists()
