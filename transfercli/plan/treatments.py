"""The treatments: which layers a network copies, and from where; then which of its layers learn, when, and how fast.

Data: a treatment is one entry of `TREATMENTS`, and all else (ids, plan, training, table, analysis, figures) follows from it.
Layers are numbered from 1, as in ids; n is the number in a network's id.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Origin = Literal["none", "self", "other", "random", "pretrained"]
# The letter of each in the names of treatments, in which B is the target: AnB copies from the other half, BnB from its own.
LETTERS: dict[str, str] = {"self": "B", "other": "A", "random": "R", "pretrained": "P"}

WORD = r"[a-z][a-z0-9-]*"  # what tells further treatments apart, after a dot: AnB.keep

# Which layers are copied, of a network of `depth` layers; a middle segment begins at `first`.
COPIED: dict[str, Callable[[int, int, int], range]] = {
    "none": lambda first, n, depth: range(0),
    "first n": lambda first, n, depth: range(first, n + 1),
    "all but the last": lambda first, n, depth: range(1, depth),
    "all": lambda first, n, depth: range(1, depth + 1),
}
# Which layers learn in a phase: one set of them, or several by turns, each for an equal part of the phase.
TRAINED: dict[str, Callable[[frozenset[int], int, int, int], list[range | list[int]]]] = {
    "all": lambda copied, first, n, depth: [range(1, depth + 1)],
    "new": lambda copied, first, n, depth: [[layer for layer in range(1, depth + 1) if layer not in copied]],
    "first n": lambda copied, first, n, depth: [range(first, n + 1)],
    "above n": lambda copied, first, n, depth: [range(n + 1, depth + 1)],
    "last": lambda copied, first, n, depth: [range(depth, depth + 1)],
    "each": lambda copied, first, n, depth: [range(layer, layer + 1) for layer in range(1, depth + 1)],
}


@dataclass(frozen=True)
class Phase:
    """A part of the training in which the same layers learn."""

    train: str  # a key of TRAINED
    until: float = 1.0  # the share of all steps at which it ends
    rate: float = 1.0  # the learning rate, in multiples of the schedule's


@dataclass(frozen=True)
class Treatment:
    """A rule by which networks are made. `name` stands in the table; with the halves and n put in it is the network's id."""

    name: str
    origin: Origin
    copied: str  # a key of COPIED
    phases: tuple[Phase, ...]
    about: str  # for a legend
    against: tuple[str, ...] = ("base",)  # the treatments that it is compared with, layer by layer
    slower: float = 1.0  # by so much a layer's learning rate is divided with each layer downwards from the last
    least: int = 1  # the smallest n

    def __post_init__(self) -> None:
        if not re.fullmatch(rf"({LETTERS.get(self.origin, 'base')}nB|base)\+?(\.{WORD})?", self.name):
            raise ValueError(f"treatment {self.name}: its name does not begin as its origin, {self.origin}, asks")
        if self.copied not in COPIED or any(phase.train not in TRAINED for phase in self.phases):
            raise ValueError(f"treatment {self.name}: it copies or trains what is no word for layers")
        shares = [0.0, *(phase.until for phase in self.phases)]
        if shares != sorted({*shares}) or shares[-1] != 1:
            raise ValueError(f"treatment {self.name}: its phases do not end one after another, the last at 1")

    @property
    def swept(self) -> bool:
        """Whether there is one network of it for each n."""
        return not self.name.startswith("base")


ALL, NEW, ABOVE = (Phase("all"),), (Phase("new"),), (Phase("above n"),)
# In the order of the table.
TREATMENTS: dict[str, Treatment] = {
    treatment.name: treatment
    for treatment in (
        Treatment("base", "none", "none", ALL, "trained from scratch", ()),
        Treatment("base+", "self", "all", ALL, "the base trained a second time"),
        Treatment("BnB", "self", "first n", NEW, "selffer, frozen"),
        Treatment("BnB+", "self", "first n", ALL, "selffer, fine-tuned"),
        Treatment("AnB", "other", "first n", NEW, "transfer, frozen", ("base", "BnB")),
        Treatment("AnB+", "other", "first n", ALL, "transfer, fine-tuned", ("base", "AnB", "BnB+")),
        Treatment("RnB", "random", "first n", NEW, "random, frozen"),
        Treatment("PnB", "pretrained", "first n", NEW, "pretrained, frozen; the rest fresh"),
        Treatment("PnB+", "pretrained", "first n", ALL, "pretrained, fine-tuned; the rest fresh", ("base", "PnB")),
        Treatment("PnB.keep", "pretrained", "all but the last", ABOVE, "pretrained but the last, the first n frozen", least=0),
    )
}
USUAL = ("BnB", "BnB+", "AnB", "AnB+", "RnB")  # what a recipe sweeps that says nothing: the study's, and random features
LEARNED_NOTHING = "did not learn"  # the status of a network whose loss stayed at a guess's


def sweepable() -> tuple[str, ...]:
    """The names of the treatments that a sweep may have, in the order of the table: all but the base."""
    return tuple(name for name in TREATMENTS if name != "base")


def failed(treatment: str, status: str) -> bool:
    """Whether a network says nothing about transfer. That random features let nothing be learned is a result."""
    return status != "done" and not (TREATMENTS[treatment].origin == "random" and status == LEARNED_NOTHING)
