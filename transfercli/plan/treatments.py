"""The treatments: which layers a network copies, and from where; then which of its layers learn, when, and how fast.

Data: a treatment is one entry of `TREATMENTS`, and all else (ids, plan, training, table, analysis, figures) follows from it.
Layers are numbered from 1, as in ids; n is the number in a network's id.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Origin = Literal["none", "self", "other", "random", "pretrained"]
Patience = Literal["patience"]
PATIENCE: Patience = "patience"  # the end of a phase that lasts until a holdout's loss no longer falls
# The letter of each in the names of treatments, in which B is the target: AnB copies from the other half, BnB from its own.
LETTERS: dict[str, str] = {"self": "B", "other": "A", "random": "R", "pretrained": "P"}

WORD = r"[a-z][a-z0-9-]*"  # what tells further treatments apart, after a dot: AnB.keep
OWN = rf"[{''.join(LETTERS.values())}]nB\+?\.{WORD}"  # how a recipe may call a treatment of its own

# Which layers are copied, of a network of `depth` layers; a middle segment begins at `first`.
COPIED: dict[str, Callable[[int, int, int], range]] = {
    "none": lambda first, n, depth: range(0),
    "first n": lambda first, n, depth: range(first, n + 1),
    "all but the last": lambda first, n, depth: range(1, depth),
    "all": lambda first, n, depth: range(1, depth + 1),
}
Layers = range | list[int] | frozenset[int]
# Which layers learn in a phase: one set of them, or several by turns, each for an equal part of the phase. See `turns`.
TRAINED: dict[str, Callable[[frozenset[int], int, int, int], Sequence[Layers]]] = {
    "all": lambda copied, first, n, depth: [range(1, depth + 1)],
    "new": lambda copied, first, n, depth: [_new(copied, depth)],
    "first n": lambda copied, first, n, depth: [range(first, n + 1)],
    "above n": lambda copied, first, n, depth: [range(n + 1, depth + 1)],
    "n": lambda copied, first, n, depth: [[n]],
    "last": lambda copied, first, n, depth: [range(depth, depth + 1)],
    "each": lambda copied, first, n, depth: [range(layer, layer + 1) for layer in range(1, depth + 1)],
    "each copied": lambda copied, first, n, depth: [[layer] for layer in sorted(copied)],
    # The new layers, then one more of the copied by turns; all of them are the phase that follows.
    "from the top": lambda copied, first, n, depth: [
        _new(copied, depth) | {*sorted(copied)[len(copied) - more :]} for more in range(len(copied))
    ],
}
NUMBERED = re.compile(r"(top-)?([1-9][0-9]{0,3})")  # a layer by its number, and so many from the last downwards


def _new(copied: frozenset[int], depth: int) -> frozenset[int]:
    return frozenset(range(1, depth + 1)) - copied


def turns(train: str, copied: frozenset[int], first: int, n: int, depth: int) -> list[frozenset[int]]:
    """Which layers learn in the turns of a phase. `train`: keys of TRAINED, or numbers, joined by "and".

    Raises ValueError for a layer that a network of `depth` has not.
    """
    found = [frozenset[int]()]
    for word in train.split(" and "):
        if numbered := NUMBERED.fullmatch(word):
            number = int(numbered[2])
            if number > depth:
                raise ValueError(f"of {depth} layers none is {word}")
            of_word: Sequence[Layers] = [range(depth - number + 1, depth + 1) if numbered[1] else [number]]
        else:
            of_word = TRAINED[word](copied, first, n, depth)
        found = [layers.union(more) for layers in found for more in of_word]
    return found


@dataclass(frozen=True)
class Phase:
    """A part of the training in which the same layers learn."""

    train: str  # see `turns`
    until: float | Patience = 1.0  # where it ends: the share of all steps, a whole number above 1 of them, or PATIENCE
    rate: float = 1.0  # the learning rate, in multiples of the schedule's

    @property
    def counted(self) -> bool:
        """Whether it ends after so many steps, however many there are in all."""
        return isinstance(self.until, int) and self.until > 1


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
    own: bool = False  # a recipe defines it: see `define`

    def __post_init__(self) -> None:
        if not re.fullmatch(rf"({LETTERS.get(self.origin, 'base')}nB|base)\+?(\.{WORD})?", self.name):
            raise ValueError(f"treatment {self.name}: its name does not begin as its origin, {self.origin}, asks")
        words = [word for phase in self.phases for word in phase.train.split(" and ")]
        if self.copied not in COPIED or not all(word in TRAINED or NUMBERED.fullmatch(word) for word in words):
            raise ValueError(f"treatment {self.name}: it copies or trains what is no word for layers")
        ends = [phase.until for phase in self.phases]
        if self.patient:
            if {*ends[:-1], PATIENCE} != {PATIENCE} or ends[-1] not in (1, PATIENCE):
                raise ValueError(f"treatment {self.name}: its phases last until patience all or none; the last may leave it out")
            return
        shares, counts = ([phase.until for phase in self.phases if phase.counted == counted] for counted in (False, True))
        rising = all(some == sorted({*some}, key=float) for some in ([0.0, *shares], counts))
        if not rising or ends[-1:] != [1]:
            raise ValueError(f"treatment {self.name}: its phases do not end one after another, the last at 1")

    @property
    def patient(self) -> bool:
        """Whether its phases, and all turns of them, last until patience is over."""
        return any(phase.until == PATIENCE for phase in self.phases)

    @property
    def swept(self) -> bool:
        """Whether there is one network of it for each n."""
        return not self.name.startswith("base")


ALL, NEW, ABOVE = (Phase("all"),), (Phase("new"),), (Phase("above n"),)


class Tuning(NamedTuple):
    """A way to fine-tune, wherever the copied layers come from."""

    copied: str
    phases: tuple[Phase, ...]
    about: str  # follows what the layers are: transfer, selffer, pretrained
    beside: tuple[str, ...] = ("nB+",)  # the treatments of the same origin that it is compared with, without their letter
    slower: float = 1.0
    least: int = 1


# By the word that names it: AnB.chain-thaw. The literature: `STRATEGIES`, and docs/treatments.md.
TUNINGS: dict[str, Tuning] = {
    "keep": Tuning("all but the last", ABOVE, " but the last, the first n frozen", ("nB",), least=0),
    "chain-thaw": Tuning(
        "first n",
        (Phase("new", 0.25), Phase("each copied", 0.75), Phase("all")),
        ": the new layers, each copied one alone, then all",
    ),
    "gradual": Tuning("first n", (Phase("from the top", 0.5), Phase("all")), ": unfrozen from the top, one more layer by turns"),
    "discriminative": Tuning("first n", ALL, ", fine-tuned, each layer 2.6 times slower than the next", slower=2.6),
    "lp-ft": Tuning("first n", (Phase("new", 0.5), Phase("all")), ": the new layers, then all"),
    "surgical": Tuning("all but the last", (Phase("n and new"),), " but the last; layer n and the last learn", ()),
}
WHOSE: dict[Origin, str] = {"self": "selffer", "other": "transfer", "pretrained": "pretrained"}


def _tuned(word: str, origin: Origin) -> Treatment:
    """That way to fine-tune layers of that origin; what is transferred has the selffer as its control."""
    way, letter = TUNINGS[word], LETTERS[origin]
    against = ("base", *(letter + name for name in way.beside), *[f"{LETTERS['self']}nB.{word}"] * (origin == "other"))
    about = WHOSE[origin] + way.about
    compared = ("base",) if origin == "self" else against
    return Treatment(f"{letter}nB.{word}", origin, way.copied, way.phases, about, compared, way.slower, way.least)


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
        *(_tuned(word, origin) for word in TUNINGS for origin in WHOSE),
    )
}


def define(own: Iterable[Treatment]) -> None:
    """Enter the treatments that a recipe defines. Another recipe's of the same name gives way; networks keep theirs."""
    TREATMENTS.update({treatment.name: treatment for treatment in own})


class Strategy(NamedTuple):
    """A way to fine-tune that has a name in the literature."""

    name: str
    treatment: str  # of another half's layers; of pretrained ones the same with P
    n: str  # which n it is
    reference: str


STRATEGIES = (
    Strategy("last", "AnB", "the deepest", "Felbo et al. 2017"),
    Strategy("full", "AnB+", "the deepest", "Felbo et al. 2017"),
    Strategy("preserve, keep-k", "AnB.keep", "k", "Yosinski et al. 2014, the released code"),
    Strategy("twice", "base+", "", "the control for training longer"),
    Strategy("chain-thaw", "AnB.chain-thaw", "the deepest", "Felbo et al. 2017"),
    Strategy("gradual unfreezing", "AnB.gradual", "the deepest", "Howard and Ruder 2018"),
    Strategy("discriminative fine-tuning", "AnB.discriminative", "the deepest", "Howard and Ruder 2018"),
    Strategy("LP-FT", "AnB.lp-ft", "the deepest", "Kumar et al. 2022"),
    Strategy("surgical fine-tuning", "AnB.surgical", "the block", "Lee et al. 2022"),
)
USUAL = ("BnB", "BnB+", "AnB", "AnB+", "RnB")  # what a recipe sweeps that says nothing: the study's, and random features
LEARNED_NOTHING = "did not learn"  # the status of a network whose loss stayed at a guess's


def sweepable() -> tuple[str, ...]:
    """The names of the built-in treatments that a sweep may have, in the order of the table: all but the base."""
    return tuple(name for name, treatment in TREATMENTS.items() if name != "base" and not treatment.own)


def failed(treatment: str, status: str) -> bool:
    """Whether a network says nothing about transfer. That random features let nothing be learned is a result."""
    return status != "done" and not (TREATMENTS[treatment].origin == "random" and status == LEARNED_NOTHING)
