"""From a recipe and its splits to the networks to train, in order of need. Pure, and without torch."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from transfercli.system.errors import TransferError

Treatment = Literal["BnB", "BnB+", "AnB", "AnB+", "RnB"]
TREATMENTS: tuple[Treatment, ...] = get_args(Treatment)
HALVES = ("A", "B")
ALTERNATE = "alternate"  # in the place of targets: the splits take turns
LONGEST_RANGE = 1000  # numbers in a range of seeds or splits
RANDOM = "R"  # the source of networks whose first layers are random and frozen
LEARNED_NOTHING = "did not learn"  # the status of a network whose loss stayed at a guess's


def failed(treatment: str, status: str) -> bool:
    """Whether a network says nothing about transfer. That random features let nothing be learned is a result."""
    return status != "done" and (treatment, status) != ("RnB", LEARNED_NOTHING)


@dataclass(frozen=True)
class Network:
    """One network of one split and seed, named as the paper names it: `baseB`, `A3B`, `A3B+`, `R3B`.

    `layer` is n: how many layers come from the source; 0 for a base, whose source is its target.
    `plus` says that the copied layers go on learning; without it they are frozen.
    """

    split: str
    seed: int
    source: str
    layer: int
    target: str
    plus: bool = False

    @property
    def name(self) -> str:
        return f"base{self.target}" if self.is_base else f"{self.source}{self.layer}{self.target}{'+' * self.plus}"

    @property
    def treatment(self) -> str:
        if self.is_base:
            return "base"
        letter = {self.target: "B", RANDOM: RANDOM}.get(self.source, "A")
        return f"{letter}nB{'+' * self.plus}"

    @property
    def is_base(self) -> bool:
        return self.layer == 0

    @property
    def frozen(self) -> int:
        """How many of the first layers are frozen."""
        return 0 if self.plus else self.layer

    @property
    def mean_from(self) -> str:
        """The half whose mean is subtracted: the source's, as in the study; random features take the target's."""
        return self.target if self.source == RANDOM else self.source

    @property
    def needs(self) -> "Network | None":
        """The base whose layers this network copies."""
        if self.is_base or self.source == RANDOM:
            return None
        return base(self.split, self.seed, self.source)


def base(split: str, seed: int, half: str) -> Network:
    return Network(split, seed, half, 0, half)


def named(split: str, seed: int, name: str) -> Network:
    """The network of that name, such as `baseB` or `A3B+`. Raises ValueError."""
    if not (match := re.fullmatch(r"base([AB])|([ABR])([1-9][0-9]{0,3})([AB])(\+?)", name)):
        raise ValueError(f"no network is called {name!r}")
    half, source, layer, target, plus = match.groups()
    return base(split, seed, half) if half else Network(split, seed, source, int(layer), target, bool(plus))


def bases(splits: Iterable[str], seeds: Iterable[int], halves: Iterable[str] = HALVES) -> list[Network]:
    seeds, halves = list(seeds), list(halves)
    return [base(split, seed, half) for split in splits for seed in seeds for half in halves]


def transfers(
    splits: Iterable[str], seeds: Iterable[int], targets: Sequence[str], layers: Sequence[int], treatments: Sequence[str]
) -> list[Network]:
    """Every network of a sweep: splits × seeds × targets (ALTERNATE: those of `alternating`) × treatments × layers."""
    seeds = list(seeds)
    return [
        Network(split, seed, _source(treatment, target), layer, target, treatment.endswith("+"))
        for split in splits
        for seed in seeds
        for target in (alternating(split) if ALTERNATE in targets else targets)
        for treatment in treatments
        for layer in layers
    ]


def needed_bases(networks: Iterable[Network]) -> list[Network]:
    """The bases whose layers these networks copy, or which they are compared with, each once."""
    halves: dict[tuple[str, int], set[str]] = {}
    for network in networks:
        halves.setdefault((network.split, network.seed), set()).update({network.source, network.target} & {*HALVES})
    return [base(split, seed, half) for (split, seed), needed in halves.items() for half in sorted(needed)]


def alternating(split: str) -> str:
    """The target half of a split whose splits take turns: A for random splits with an odd number, B for all others."""
    number = re.fullmatch(r"random-(\d+)", split)
    return "A" if number and int(number[1]) % 2 else "B"


def banks(networks: Iterable[Network], size: int) -> list[list[Network]]:
    """Cut into banks of at most `size` networks. The networks of a bank share split, seed and thus their batches."""
    groups: dict[tuple[str, int], list[Network]] = {}
    for network in networks:
        groups.setdefault((network.split, network.seed), []).append(network)
    return [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]


def parse_layers(text: str) -> tuple[int, ...]:
    """Parse `1-7`, `3` or `1,3,5-7` into ascending layer numbers. Raises TransferError."""
    layers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,4})\s*(?:-\s*([0-9]{1,4})\s*)?", part)
        if not match:
            raise TransferError(f"cannot read the layers {text!r}; write a range or a list, such as 1-7 or 1,3,5")
        first, last = int(match[1]), int(match[2] or match[1])
        if 0 in (first, last):
            raise TransferError(f"the layers {text!r} hold 0, which is the base itself; layers start at 1")
        if first > last:
            raise TransferError(f"the layers {text!r} run backwards; write the lower number first: {last}-{first}")
        layers.update(range(first, last + 1))
    return tuple(sorted(layers))


def spread(words: Sequence[Any]) -> list[Any]:
    """The words, with a range of numbers such as `0-3` one by one; what is no range stays as it is. Raises TransferError."""
    found: list[Any] = []
    for word in words:
        match = re.fullmatch(r"([0-9]{1,10})\s*-\s*([0-9]{1,10})", word) if isinstance(word, str) else None
        first, last = map(int, match.groups()) if match else (0, 0)
        if not 0 <= last - first < LONGEST_RANGE:
            raise TransferError(f"the range {word} {'is too long' if first < last else 'runs backwards'}: write it as 0-3")
        found += map(str, range(first, last + 1)) if match else [word]
    return found


def check_layers(layers: Sequence[int], count: int) -> None:
    """Raise TransferError unless every layer can be copied in a network of `count` learnable layers."""
    if too_deep := [n for n in layers if n >= count]:
        raise TransferError(
            f"layer {too_deep[0]} cannot be transferred in a network of {count} layers, whose last is always fresh; "
            f"choose layers within 1-{count - 1}"
        )


def check_targets(targets: Sequence[str]) -> None:
    """Raise TransferError where ALTERNATE stands beside another target."""
    if ALTERNATE in targets and len(targets) > 1:
        raise TransferError(f"{ALTERNATE} stands alone: it gives each split one target, by turns")


def parse_targets(text: str) -> tuple[str, ...]:
    """Parse `A,B`, `B` or `alternate`. Raises TransferError."""
    targets = parse_choices(text, (*HALVES, ALTERNATE), "target")
    check_targets(targets)
    return targets


def parse_choices(text: str, allowed: Sequence[str], what: str) -> tuple[str, ...]:
    """Parse a comma-separated list of allowed words, in the order of `allowed`. Raises TransferError."""
    words = [word.strip() for word in text.split(",")]
    if unknown := [word for word in words if word not in allowed]:
        raise TransferError(f"unknown {what} {unknown[0]!r}; choose from {','.join(allowed)}")
    return tuple(word for word in allowed if word in words)


def _source(treatment: str, target: str) -> str:
    if treatment.startswith("B"):
        return target
    if treatment.startswith("A"):
        return "B" if target == "A" else "A"
    return RANDOM
