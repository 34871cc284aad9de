"""split.json: the two halves of a study's classes, where their pictures are, and what identifies them."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfercli.plan.amounts import steps_of
from transfercli.plan.networks import Network
from transfercli.plan.splits import KINDS, UNDIVIDED, Split, fault_of_names
from transfercli.plan.tasks import HALVES, WHOLE
from transfercli.recipe.schema import Recipe


@dataclass(frozen=True)
class Halves:
    """What split.json holds: the two halves, where the pictures are, and what identifies them."""

    split: Split
    folder: str  # where the pictures are; relative to the study when they lie in it
    counts: dict[str, dict[str, int]]  # {"A": {"train": pictures, "val": pictures}, "B": …}
    digest: str  # of the halves and of every picture's name and size
    left_out: tuple[str, ...] = field(default=())  # unreadable pictures, by --skip-unreadable

    @property
    def name(self) -> str:
        return self.split.name

    def steps(self, recipe: Recipe) -> int:
        """The number of steps of every network of the split, as a rule: epochs count the pictures of the larger half."""
        return recipe.training.length(max(counts["train"] for counts in self.counts.values()))

    def steps_of(self, network: Network, recipe: Recipe) -> int:
        """The number of steps of a network: where it has a length of its own, that many of them."""
        pictures = self.counts[network.target]["train"] * recipe.share_seen(network.seed)
        return steps_of(dict(network.axes), self.steps(recipe), len(self.split.classes(network.target)), pictures)


def parsed(name: str, text: str) -> Halves:
    """What split.json, of the split of that name, says. Raises ValueError, KeyError, TypeError, OverflowError, RecursionError."""
    values = json.loads(text)
    tasks = (WHOLE,) if values["method"] == UNDIVIDED else HALVES
    for task in tasks:
        _check_classes(values[task]["classes"])
    if not isinstance(values["method"], str) or not isinstance(values["digest"], str):
        raise TypeError("method and digest must be text")
    if ".." in Path(values["folder"]).parts:
        raise ValueError(f"its pictures lie outside, in {values['folder']}")
    counts = {task: {part: int(values[task][part]) for part in ("train", "val")} for task in tasks}
    if tasks == (WHOLE,):
        split = Split(name, UNDIVIDED, None, (), (), whole=tuple(values[WHOLE]["classes"]))
        return Halves(split, values["folder"], counts, values["digest"], _texts(values["left_out"]))
    usual = KINDS if values["method"] == "man-made-natural" else HALVES  # where the file is of before halves had names
    A, B = (tuple(values[half]["classes"]) for half in HALVES)
    called = [values[half].get("name", other) for half, other in zip(HALVES, usual, strict=True)]
    if fault := fault_of_names(_texts(called)):
        raise ValueError(fault)
    if twice := {*A} & {*B}:
        raise ValueError(f"{min(twice)} is in both halves")
    split = Split(name, values["method"], values["seed"], A, B, (called[0], called[1]))
    return Halves(split, values["folder"], counts, values["digest"], _texts(values["left_out"]))


def text_of(halves: Halves) -> str:
    """The text of split.json."""
    of_tasks = {
        task.name: {
            **({"name": task.called} if task.called != task.name else {}),
            **halves.counts[task.name],
            "classes": list(task.classes),
        }
        for task in halves.split.tasks
    }
    about = {"method": halves.split.method, "seed": halves.split.seed, "folder": halves.folder, "digest": halves.digest}
    return json.dumps({**about, "left_out": list(halves.left_out), **of_tasks}, indent=1, ensure_ascii=False) + "\n"


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a list of texts is wanted")
    return tuple(values)


def _check_classes(values: Any) -> None:
    """Names of folders, each once, in the order of their labels. Raises ValueError and TypeError."""
    names = _texts(values)
    if len(names) < 2 or list(names) != sorted({*names}):
        raise ValueError("the classes of a half are two or more, each once, in order")
    if wrong := [name for name in names if name in ("", ".", "..") or "/" in name or "\0" in name]:
        raise ValueError(f"{wrong[0]!r} is no name of a folder")
