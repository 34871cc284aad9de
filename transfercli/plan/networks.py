"""Which network: split, seed, treatment, n and target; and its id, the one text that stands for it, there and back. Pure.

    baseB          trained on B from scratch
    A3B            layers 1-3 from baseA, frozen; the rest fresh; trained on B
    A3B+           the same, fine-tuned
    A2-3B          only layers 2-3 copied
    R3B, P3T       from random draws; from weights trained elsewhere, on all classes
    A3B.word       another treatment, AnB.word
    A3B@rate=0.5   a variant: what differs from the usual, in the order of `AXES`
    A3B@per=25     trained on 25 pictures of each class
    A3B@net=small  of that network, where a study has several

What is as usual shows in no id, folder or column. Nothing else writes or reads ids.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from transfercli.plan import amounts
from transfercli.plan.splits import Split
from transfercli.plan.tasks import ALTERNATE, HALVES, TASKS, alternating, other
from transfercli.plan.treatments import LETTERS, TREATMENTS, WORD, Treatment

RANDOM, PRETRAINED = LETTERS["random"], LETTERS["pretrained"]
OUTSIDE = ("random", "pretrained")  # origins that are no network of the study
SOURCE_WORDS = {RANDOM: "random", PRETRAINED: "pretrained"}  # in the column `source`; else it holds the task's name


class Axis(NamedTuple):
    """One way in which networks may differ beside split, seed, treatment and n."""

    read: Callable[[str], Any]  # from an id. Raises ValueError
    usual: Any  # the value that shows nowhere
    concerns: Literal["network", "data", "training", "source"]  # what it changes: see `Network.donor` and `Network.control`
    about: str
    becomes: str = ""  # of one that concerns the source: the donor's own axis; none: which of the donor's weights are meant
    said: Callable[[Any], str] = str  # a value in words, for titles


def _rate(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError("a rate is above 0")
    return value


# In the order in which ids name them. Values are plain, and `str` writes what `read` reads.
AXES: dict[str, Axis] = {
    "net": Axis(str, "", "network", "which of the study's networks, where it has several"),
    "rate": Axis(_rate, 1.0, "training", "learning rate, in multiples of the recipe's", said="rate × {:g}".format),
    "length": Axis(
        amounts.length, 1.0, "training", "length of training, in multiples of the recipe's steps", said=amounts.length_in_words
    ),
    "per": Axis(amounts.per_class, 0, "data", "training pictures of each class, or a share of them", said=amounts.in_words),
    "share": Axis(amounts.share, 1.0, "data", "share of the target's classes", said=amounts.classes_in_words),
    "source_per": Axis(
        amounts.per_class, 0, "source", "as `per`, of the source", "per", lambda value: f"source of {amounts.in_words(value)}"
    ),
    "source_share": Axis(
        amounts.share,
        1.0,
        "source",
        "as `share`, of the source",
        "share",
        lambda value: f"source of {amounts.classes_in_words(value)}",
    ),
    "at": Axis(amounts.share, 1.0, "source", "share of the source's steps after which it is copied", said=amounts.steps_in_words),
}


@dataclass(frozen=True)
class Network:
    """One network. `layer` is n, 0 where the treatment has none; a middle segment of the copied layers begins at `first`.

    `axes` are pairs of a key of AXES and its value, where that is not the usual one, in AXES' order: see `varied`.
    """

    split: str
    seed: int
    treatment: str
    layer: int
    target: str
    first: int = 1
    axes: tuple[tuple[str, Any], ...] = ()
    # What its treatment's name stands for: it stays so where another recipe has another treatment of that name.
    rule: Treatment = field(default=None, repr=False, hash=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.rule is None or self.rule.name != self.treatment:
            object.__setattr__(self, "rule", TREATMENTS[self.treatment])

    @property
    def is_base(self) -> bool:
        return self.treatment == "base"

    @property
    def source(self) -> str:
        """Where copied layers come from: a task, by whose base; RANDOM; PRETRAINED. Of a network that copies none, its target."""
        origin = self.rule.origin
        if origin in OUTSIDE:
            return LETTERS[origin]
        return other(self.target) if origin == "other" else self.target

    @property
    def name(self) -> str:
        """The id."""
        word = self.treatment.partition("nB")[2]
        segment = f"{self.first}-" * (self.first > 1)
        text = f"{self.source}{segment}{self.layer}{self.target}{word}"
        if not self.rule.swept:
            text = f"base{self.target}{self.treatment.removeprefix('base')}"
        return with_axes(text, dict(self.axes))

    @property
    def place(self) -> str:
        """Its folder in a study, and its key among logs; seed 0, which most studies have alone, has no folder of its own."""
        return "/".join([self.split, *[f"seed-{self.seed}"] * bool(self.seed), self.name])

    @property
    def net(self) -> str:
        """Which of the study's networks it is; empty where the study has one."""
        return str(dict(self.axes).get("net", ""))

    @property
    def pictures(self) -> str:
        """Which pictures it is trained on: its target, and how much of it where that is not all, as B@per=25."""
        return with_axes(self.target, self.of_axes("data"))

    @property
    def donor(self) -> "Network | None":
        """The network of this study whose layers it copies: as its own network is and, of its own half, on its own data."""
        if self.rule.origin not in ("self", "other"):
            return None
        own = self.of_axes("network", "data") if self.rule.origin == "self" else self.of_axes("network")
        source = {AXES[key].becomes: value for key, value in self.of_axes("source").items() if AXES[key].becomes}
        return varied(base(self.split, self.seed, self.source), **{**own, **source})

    @property
    def control(self) -> "Network":
        """The base that it is compared with: the target's, with the same network on the same data."""
        return varied(base(self.split, self.seed, self.target), **self.of_axes("network", "data"))

    def of_axes(self, *concerns: str) -> dict[str, Any]:
        """Its axes that concern one of these."""
        return {key: value for key, value in self.axes if AXES[key].concerns in concerns}


def with_axes(name: str, axes: Mapping[str, Any]) -> str:
    """What is called so, of these values of AXES: A3B@rate=0.5."""
    return "@".join([name, *[",".join(f"{key}={value}" for key, value in axes.items())] * bool(axes)])


def axes_in_words(axes: Mapping[str, Any]) -> str:
    """Values of AXES, for titles: "resnet18, 25 pictures a class"; of what is usual nothing."""
    return ", ".join(AXES[key].said(value) for key, value in axes.items())


def axes_order(axes: Mapping[str, Any]) -> tuple[Any, ...]:
    """By which networks are sorted: what is usual first, numbers as numbers, words after them."""
    values = {key: axes.get(key, axis.usual) for key, axis in AXES.items()}
    return tuple((key in axes, isinstance(value, str), value) for key, value in values.items())


def base(split: str, seed: int, task: str) -> Network:
    return Network(split, seed, "base", 0, task)


def varied(network: Network, /, **axes: Any) -> Network:
    """The network with these values of AXES; usual ones are left out. Raises ValueError for what no id could hold."""
    if unknown := axes.keys() - AXES.keys():
        raise ValueError(f"networks have no {min(unknown)}")
    values = dict(network.axes) | {key: AXES[key].read(str(value)) for key, value in axes.items()}
    if wrong := [value for value in values.values() if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(value) or "0")]:
        raise ValueError(f"{wrong[0]!r} is no part of a folder's name on every file system")
    kept = tuple((key, values[key]) for key, axis in AXES.items() if key in values and values[key] != axis.usual)
    return replace(network, axes=kept)


def named(split: str, seed: int, name: str) -> Network:
    """The network of that id, such as `baseB` or `A3B+`. Raises ValueError."""
    tasks = "|".join(TASKS)
    found = re.fullmatch(
        rf"(?:base|(?P<source>{tasks}|{RANDOM}|{PRETRAINED})(?:(?P<first>[1-9]\d{{0,3}})-)?(?P<n>0|[1-9]\d{{0,3}}))"
        rf"(?P<target>{tasks})(?P<word>\+?(?:\.{WORD})?)(?:@(?P<axes>.+))?",
        name,
        re.ASCII,
    )
    try:
        if not found:
            raise ValueError
        source, target = found["source"], found["target"]
        letter = {target: LETTERS["self"]}.get(source, LETTERS["other"] if source in TASKS else source)
        treatment = f"{letter}nB{found['word']}" if source else f"base{found['word']}"
        if treatment not in TREATMENTS:
            raise ValueError
        network = Network(split, seed, treatment, int(found["n"] or 0), target, int(found["first"] or 1))
        pairs = [pair.split("=") for pair in (found["axes"] or "").split(",") if pair]
        network = varied(network, **dict(pairs))
        if network.name != name or network.first > max(1, network.layer):  # as `A1-3B`, axes in another order, `A4-2B`
            raise ValueError
        if network.rule.swept and network.layer < network.rule.least:
            raise ValueError
        return network
    except ValueError:
        raise ValueError(f"no network is called {name!r}") from None


def placed(place: str) -> Network:
    """The network of that folder in a study, as `Network.place` has it; the id alone is of a split without a name."""
    *above, name = place.split("/")
    seed = above.pop() if len(above) > 1 else "seed-0"
    if len(above) > 1 or not re.fullmatch(r"seed-[0-9]+", seed):
        raise ValueError(f"{place!r} is no network's folder")
    found = named(above[0] if above else "", int(seed.removeprefix("seed-")), name)
    if above and found.place != place:  # as seed-0, which has no folder
        raise ValueError(f"{place!r} is no network's folder")
    return found


def bases(splits: Iterable[str], seeds: Iterable[int], halves: Iterable[str] = HALVES) -> list[Network]:
    seeds, halves = list(seeds), list(halves)
    return [base(split, seed, half) for split in splits for seed in seeds for half in halves]


def transfers(
    splits: Iterable[str],
    seeds: Iterable[int],
    targets: Sequence[str],
    layers: Sequence[int],
    treatments: Sequence[str],
    segments: Sequence[tuple[int, int]] = (),
) -> list[Network]:
    """Every network of a sweep: splits × seeds × targets (ALTERNATE: those of `alternating`) × treatments × layers.

    A treatment that has no n has one network whatever the layers. `segments`: the first and the last of middle segments, of
    treatments that copy n layers and no others.
    """
    seeds, whole = list(seeds), [(1, layer) for layer in layers]

    def copied(rule: Treatment) -> list[tuple[int, int]]:
        if not rule.swept:
            return [(1, 0)]
        return list(dict.fromkeys([*whole, *segments])) if rule.copied == "first n" else whole

    return [
        Network(split, seed, treatment, layer, target, first)
        for split in splits
        for seed in seeds
        for target in ((alternating(split),) if ALTERNATE in targets else targets)
        for treatment in treatments
        for first, layer in copied(TREATMENTS[treatment])
    ]


def needed_bases(networks: Iterable[Network]) -> list[Network]:
    """The bases whose layers these networks copy, or which they are compared with, each once."""
    needed: dict[tuple[str, int], set[Network]] = {}
    for network in networks:
        needed.setdefault((network.split, network.seed), set()).update({network.control, network.donor or network.control})
    return [one for group in needed.values() for one in sorted(group, key=lambda base: base.name)]


def without_need(networks: Iterable[Network], of: Collection[Network]) -> list[Network]:
    """The networks that neither copy layers of these bases nor are compared with one of them, nor are one."""
    return [network for network in networks if not {network.control, network.donor} & {*of}]


def several(networks: Iterable[Network]) -> bool:
    """Whether they are of several networks or amounts of data, of which some may go on where a base of others failed."""
    return any(network.of_axes("network", "data", "source") for network in networks)


# -- the table's columns


def columns(network: Network, split: Split | None = None) -> dict[str, Any]:
    """The columns of the table that say which network it is, with what its halves are called where the split gives them names."""
    source = "" if network.rule.origin == "none" else SOURCE_WORDS.get(network.source, network.source)
    names = split.half_names if split else {}
    halves = {"source_name": (network.split, source), "target_name": (network.split, network.target)}
    return {
        "split": network.split,
        "seed": network.seed,
        "network": network.name,
        "treatment": network.treatment,
        "source": source,
        "target": network.target,
        "layer": network.layer,
        **({"first_layer": network.first} if network.first > 1 else {}),
        **dict(network.axes),
        **{column: names[half] for column, half in halves.items() if half in names},
    }


def of_row(row: Mapping[str, Any]) -> Network:
    """The network that a row is of: what `columns` was made from. Raises ValueError."""
    return named(row["split"], row["seed"], row["network"])
