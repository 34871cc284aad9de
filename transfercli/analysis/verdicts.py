"""What the means and intervals of a study allow to be said, and the words for where. No torch."""

import math
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any, NamedTuple

import pandas as pd

from transfercli.analysis.contrasts import contrasts
from transfercli.analysis.differences import bounded
from transfercli.analysis.pairs import kind_of_split, kinds_of_split, records, sound
from transfercli.analysis.words import signed

ALIKE = 1.0  # points: two networks whose difference is surely less are said to be as good as each other
ONE_PAIR = "what the number of validation pictures can do, not what other halves or seeds would give"
OTHER_HALVES = "other halvings of these classes, on these pictures"


class Gain(NamedTuple):
    """A mean paired difference, in points, with its 95% interval (NaN where there is none)."""

    mean: float
    low: float
    high: float
    alone: bool  # one pair among layers with more: its interval is only that of its validation pictures
    pairs: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Gain":
        """That of a row of `differences.bounded`: mean, low, high and n, in fractions."""
        return cls(100 * row["mean"], 100 * row["low"], 100 * row["high"], False, row["n"])

    @property
    def verdict(self) -> str:
        """`below` or `above` where the interval leaves 0 out, `alike` where it is narrow, else `unclear`; `unknown` without."""
        if math.isnan(self.low):
            return "unknown"
        if self.high < 0 or self.low > 0:
            return "below" if self.high < 0 else "above"
        return "alike" if max(-self.low, self.high) <= ALIKE else "unclear"

    def __str__(self) -> str:
        interval = "" if math.isnan(self.low) else f" ({signed(self.low)} to {signed(self.high)})"
        return f"{signed(self.mean)}{interval}{'†' * self.alone}"


Gains = dict[tuple[str, str], Gain]  # by quantity and layer: ("AnB-base", "3"), ("AnB+-base", "1-7"), ("dip", "4-5")
ByLayer = dict[int, Gain]


class Part(NamedTuple):
    """What is concluded together: networks of one kind of split and, in splits that are not random, of one target."""

    kind: str
    target: str  # "" for all
    trained: pd.DataFrame  # those that count
    whole: pd.DataFrame

    @property
    def name(self) -> str:
        return f"{self.kind}, target {self.target}" if self.target else self.kind


def parts_of(table: pd.DataFrame) -> Iterator[Part]:
    for kind in kinds_of_split(table):
        of_kind = table[[kind_of_split(split) == kind for split in table["split"]]]
        good = sound(of_kind)
        targets = sorted(set(good.loc[good["treatment"] != "base", "target"]))
        if kind == "random" or len(targets) < 2:
            yield Part(kind, "", good, of_kind)
            continue
        yield from (Part(kind, t, good[good["target"] == t], of_kind[of_kind["target"] == t]) for t in targets)


def gains_of(part: Part, metric: str) -> Gains:
    """The mean differences and contrasts; a contrast without its pair is not among them."""
    found = bounded(part.trained, metric)
    if found.empty:
        return {}
    mixed = found.loc[found["layer"].str.isdigit(), "n"].max() > 1
    rows = records(found) + records(contrasts(part.trained, metric, bound=True))
    return {
        (row["quantity"], row["layer"]): Gain(
            100 * row["mean"], 100 * row["low"], 100 * row["high"], bool(mixed and row["n"] == 1), row["n"]
        )
        for row in rows
    }


def pair_counts(gains: Gains) -> list[int]:
    """How many pairs the layers have, each number once."""
    return sorted({gain.pairs for (_, layer), gain in gains.items() if layer.isdigit()})


def by_layer_of(gains: Gains, quantity: str) -> ByLayer:
    return {int(layer): gain for (of, layer), gain in gains.items() if of == quantity and layer.isdigit()}


def whole(gains: Gains) -> str:
    """The range of all layers, "1-7", over which the paper's Table 1 takes its mean; empty where there is none."""
    return next((layer for _, layer in gains if layer.startswith("1-")), "")


def splits_of(trained: pd.DataFrame) -> int:
    return int(trained.loc[trained["treatment"] != "base", "split"].nunique())


def of_what(splits: int) -> str:
    """What the intervals of so many random splits are about: "intervals are ..."."""
    return f"about {OTHER_HALVES}" if splits > 1 else "over the two targets, and say nothing of other halves"


def run_to_the_end(by_layer: ByLayer) -> list[int]:
    """The layers that are below zero without a gap up to the deepest."""
    below = takewhile(lambda layer: by_layer[layer].verdict == "below", sorted(by_layer, reverse=True))
    return sorted(below)


def short_of_its_best(losses: tuple[float, float]) -> str:
    """What `contrasts.trained_twice` found, in words."""
    return (
        f"the base is short of its best on its own training pictures (loss {losses[0]:.3f}, with BnB at layer 1 {losses[1]:.3f})"
    )


def stands(by_layer: ByLayer) -> str:
    """Where a difference is below zero and where above, each with its extreme: "below zero at layers 4-6, most at ..."."""
    parts = []
    for verdict, extreme in (("below", min), ("above", max)):
        if clear := clear_at(by_layer, verdict):
            most = extreme(clear, key=lambda layer: by_layer[layer].mean)
            extreme_at = f", most at layer {most}" if len(clear) > 1 else ""
            parts.append(f"{verdict} zero {where(clear, by_layer)}{extreme_at}: {by_layer[most]} points")
    if not parts and all(gain.verdict == "unknown" for gain in by_layer.values()):
        return "not to be told, for want of an interval"
    return "; ".join(parts) or "at no layer clear of zero"


def clear_at(by_layer: ByLayer, verdict: str) -> list[int]:
    return [layer for layer, gain in by_layer.items() if gain.verdict == verdict]


def where(layers: list[int], among: ByLayer) -> str:
    """ "at every layer", "from layer 3 on" where the layers are all from there to the deepest, else "at layers 1, 3"."""
    to_the_end = [layer for layer in among if layer >= layers[0]]
    if layers != to_the_end or len(layers) == 1 or any(among[layer].alone for layer in layers):
        return f"at {layers_named(layers, among)}"
    return "at every layer" if len(layers) == len(among) else f"from layer {layers[0]} on"


def layers_named(layers: list[int], among: ByLayer) -> str:
    """[1] as "layer 1", [1, 2, 3] as "layers 1-3", [1, 3] as "layers 1, 3"; a layer with one pair has its †."""
    if len(layers) == 1:
        return f"layer {layers[0]}{'†' * among[layers[0]].alone}"
    if layers == list(range(layers[0], layers[-1] + 1)) and not any(among[layer].alone for layer in layers):
        return f"layers {layers[0]}-{layers[-1]}"
    return "layers " + ", ".join(f"{layer}{'†' * among[layer].alone}" for layer in layers)
