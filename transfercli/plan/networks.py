"""From a recipe and its splits to the networks to train, in order of need. Pure, and without torch."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from transfercli.plan.splits import Split
from transfercli.plan.tasks import ALTERNATE, HALVES, alternating

RANDOM = "R"  # the source of networks whose first layers are random and frozen


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


def _source(treatment: str, target: str) -> str:
    if treatment.startswith("B"):
        return target
    if treatment.startswith("A"):
        return "B" if target == "A" else "A"
    return RANDOM


def as_network(row: Mapping[str, Any]) -> Network:
    """The network that a row is of: what `as_dict` was made from."""
    source = {"random": RANDOM, "": row["target"]}.get(row["source"], row["source"])
    return Network(row["split"], row["seed"], source, row["layer"], row["target"], row["treatment"].endswith("+"))


def as_dict(network: Network, split: Split | None = None) -> dict[str, Any]:
    """The columns of the table that say which network it is, with what its halves are called where the split gives them names."""
    values = asdict(network)
    source = "" if network.is_base else {"R": "random"}.get(network.source, network.source)
    names = split.half_names if split else {}
    halves = {"source_name": (network.split, source), "target_name": (network.split, network.target)}
    return {
        "split": values["split"],
        "seed": values["seed"],
        "network": network.name,
        "treatment": network.treatment,
        "source": source,
        "target": network.target,
        "layer": network.layer,
        **{column: names[half] for column, half in halves.items() if half in names},
    }
