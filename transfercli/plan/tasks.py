"""Tasks: what a network may learn. Which there are, and which half is whose other, is known here alone."""

import re
from dataclasses import dataclass

HALVES = ("A", "B")
WHOLE = "T"  # all classes of a folder, which has no other half
TASKS = (*HALVES, WHOLE)
ALTERNATE = "alternate"  # in the place of targets: the splits take turns


@dataclass(frozen=True)
class Task:
    """What a network learns: to tell these classes apart. Labels run 0..k-1 in the order of `classes`, names of folders."""

    name: str  # of TASKS
    classes: tuple[str, ...]
    called: str  # by people: its name, or what the split calls it


def other(task: str) -> str:
    """The other half. Raises ValueError for a task that has none."""
    if task not in HALVES:
        raise ValueError(f"{task} has no other half")
    return HALVES[1 - HALVES.index(task)]


def alternating(split: str) -> str:
    """The target half of a split whose splits take turns: A for random splits with an odd number, B for all others."""
    number = re.fullmatch(r"random-(\d+)", split)
    return HALVES[0] if number and int(number[1]) % 2 else HALVES[1]
