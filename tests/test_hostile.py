"""A study from a stranger: nothing of theirs is run, nothing is written outside it, nothing reaches the terminal but text."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SPLIT, Said, tiny_recipe

from transfercli.recipe import reading as recipes
from transfercli.study.folder import Study
from transfercli.system.errors import plain

Transfer = Callable[..., Said]
COMMANDS = (
    ("status",),
    ("plot",),
    ("analyze",),
    ("compare",),
    ("report",),
    ("verify", "--device", "cpu"),
    ("train-base", "--device", "cpu"),
    ("sweep", "--device", "cpu", "--layers", "1", "--treatments", "AnB", "--targets", "B"),
)


class Bomb:
    """What pickle runs when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the user's, that nothing may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "mine.safetensors").write_text("mine")
    (folder / "row.json").write_text("mine")
    return folder


@pytest.fixture
def all_commands(study: Study, outside: Path, transfer: Transfer) -> Callable[..., list[Said]]:
    """Type every command; nothing may be run, the outside must stay as it was."""

    def typed(expected: str | None = None) -> list[Said]:
        before = {path: path.read_bytes() for path in outside.rglob("*")}
        found = [transfer(*words, "--study", study.root) for words in COMMANDS]
        assert {path: path.read_bytes() for path in outside.rglob("*")} == before
        assert not list(outside.parent.rglob("ran"))
        for said in found:
            assert "\x1b" not in said.out + said.err and "\u202e" not in said.out + said.err
            if expected is not None:
                assert said.code == 1 and expected in said.out + said.err
        return found

    return typed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["weights.safetensors", "../mean-A.safetensors"])
def test_a_pickle_in_place_of_weights_is_not_run(study: Study, all_commands: Callable[..., Any], name: str) -> None:
    path = study.root / SPLIT / "baseA" / name
    for data in (pickle.dumps(Bomb()), b"cos\nsystem\n(S'touch ran'\ntR."):
        path.write_bytes(data)
        all_commands()
    torch.save({"conv1.weight": Bomb()}, path)
    all_commands()


def test_a_pickle_in_place_of_a_checkpoint_is_not_run(study: Study, all_commands: Callable[..., Any]) -> None:
    folder = study.root / SPLIT / "checkpoints"
    folder.mkdir()
    (folder / "0123-00000003.safetensors").write_bytes(pickle.dumps(Bomb()))
    all_commands()


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch ran']",
        "name: !!python/object/new:os.system ['touch ran']",
        "a: &a [*a]",
        "a: &a [x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\n",
    ],
)
def test_a_recipe_of_tags_and_anchors(study: Study, all_commands: Callable[..., Any], text: str) -> None:
    study.recipe_file.write_text(text)
    all_commands()


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("folder", "../outside", "ValueError: its pictures lie outside, in ../outside"),
        ("folder", "pictures/../../outside", "ValueError: its pictures lie outside, in pictures/../../outside"),
        ("folder", 3, "TypeError: "),
        ("A", {"classes": ["../../outside", "x"], "train": 1, "val": 1}, "ValueError: '../../outside' is no name of a folder"),
        ("A", {"classes": ["..", "x"], "train": 1, "val": 1}, "ValueError: '..' is no name of a folder"),
        ("A", {"classes": ["a\0b", "x"], "train": 1, "val": 1}, r"ValueError: 'a\x00b' is no name of a folder"),
        ("A", {"classes": "man-made", "train": 1, "val": 1}, "TypeError: a list of texts is wanted"),
        ("A", {"classes": ["x", "x"], "train": 1, "val": 1}, "ValueError: the classes of a half are two or more"),
        ("left_out", "all", "TypeError: a list of texts is wanted"),
        ("digest", None, "TypeError: method and digest must be text"),
    ],
)
def test_a_split_that_leads_outside(study: Study, all_commands: Callable[..., Any], key: str, value: Any, reason: str) -> None:
    path = study.root / SPLIT / "split.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    found = all_commands()
    for said, (command, *_) in zip(found, COMMANDS, strict=True):
        if command in ("verify", "sweep"):
            assert said.code == 1 and f"{path} is damaged ({reason}" in said.out + said.err


@pytest.mark.parametrize("place", [".", SPLIT, f"{SPLIT}/baseA", f"{SPLIT}/A1B", f"{SPLIT}/checkpoints", "figures", ".lock"])
def test_links_that_lead_outside_are_refused(study: Study, outside: Path, all_commands: Callable[..., Any], place: str) -> None:
    """A lock through a link would empty the file behind it, a checkpoint's folder be swept, a row be written."""
    path = study.root / place
    if place == ".":
        path = study.root / "results.csv"
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(outside / "row.json" if place == ".lock" else outside)
    all_commands(f"{path} is a link, and a study holds none; remove it, or start a new study: --study DIR")


def test_a_pipe_that_would_never_end(study: Study, all_commands: Callable[..., Any]) -> None:
    path = study.root / SPLIT / "baseA/row.json"
    path.unlink()
    os.mkfifo(path)
    all_commands(f"{path} is no plain file, and a study holds none; remove it, or start a new study: --study DIR")


def test_the_folder_of_a_study_may_be_a_link_of_the_users(study: Study, transfer: Transfer, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(study.root)
    assert transfer("status", "--study", "link").code == 0


@pytest.mark.parametrize(
    "change",
    [
        {"top1": "9" * 5000},
        {"top1": 1e308},
        {"top1": -1},
        {"loss": "NaN"},
        {"layer": 10**400},
        {"seed": -1},
        {"status": "done\x1b[2J"},
        {"status": "done\nand more"},
        {"split": "../outside"},
        {"network": "../../outside"},
        {"network": "A1B"},
        {"classes": 0},
        {"bank": {"a": [1]}},
        {"target": "\x1b]0;x\x07"},
    ],
)
def test_rows_that_are_no_rows(study: Study, all_commands: Callable[..., Any], change: dict[str, Any]) -> None:
    path = study.root / SPLIT / "baseA/row.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    all_commands(f"{path} is damaged (")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("key", ["loss", "bank_seconds"])
def test_numbers_that_are_none(study: Study, all_commands: Callable[..., Any], number: str, key: str) -> None:
    path = study.root / SPLIT / "baseA/row.json"
    text = json.dumps({**json.loads(path.read_text()), key: "HERE"}).replace('"HERE"', number)
    path.write_text(text)
    all_commands(f"{path} is damaged (")


def test_a_split_with_a_name_that_a_terminal_obeys(study: Study, all_commands: Callable[..., Any]) -> None:
    (study.root / SPLIT).rename(study.root / "random-0\x1b[2J")
    all_commands(r"random-0\x1b[2J is no name of a split; rename it with letters, digits, '.', '_' and '-'")


def test_names_of_classes_and_files_are_printed_as_text(tmp_path: Path, transfer: Transfer) -> None:
    """Colours, a line break, a mark that turns the direction of reading: each as its escape."""
    names = ["a", "b", "c", "\x1b[31mred\u202e"]
    for part in ("train", "val"):
        for name in names:
            (tmp_path / "pictures" / part / name).mkdir(parents=True)
            (tmp_path / "pictures" / part / name / "x\x1b[2J\n.png").write_bytes(b"no picture")
    (tmp_path / "tiny.yaml").write_text(recipes.dump(tiny_recipe()))
    said = transfer("split", "pictures", "--recipe", "tiny.yaml")
    assert said.code == 1 and said.out == ""
    assert said.err.startswith(r"Error: cannot decode pictures/train/\x1b[31mred\u202e/x\x1b[2J\n.png (not a picture, ")
    shutil.rmtree(tmp_path / "pictures/val" / names[-1])
    said = transfer("split", "pictures", "--recipe", "tiny.yaml")
    assert said.err == (
        r"Error: pictures: 1 class in train/ but not in val/: \x1b[31mred\u202e. Give each class pictures in both, or remove it"
        "\n"
    )


def test_plain_text_is_left_as_it_is() -> None:
    assert plain("natürlich – 3×3, 猫 'ok'") == "natürlich – 3×3, 猫 'ok'"
    assert plain("a\tb\r\x9b\x7f\u2066\udce9") == r"a\tb\r\x9b\x7f\u2066\udce9"
