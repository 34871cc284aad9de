"""What a study found, in plain sentences that follow from its intervals and nothing else. No torch."""

import math
from itertools import groupby
from typing import NamedTuple

import pandas as pd

from transfercli.analysis import bounded, kind_of_split, kinds_of_split, records

ALIKE = 1.0  # points: two networks whose difference is surely less are said to be as good as each other
WHOLE = "1-7"  # the range of layers over which the paper's Table 1 takes its mean


class Gain(NamedTuple):
    """A mean paired difference, in points. For one pair the interval is what the validation pictures alone can do."""

    mean: float
    low: float
    high: float
    pairs: int

    @property
    def verdict(self) -> str:
        """`below` or `above` where the interval leaves 0 out, else `unclear`."""
        return "below" if self.high < 0 else "above" if self.low > 0 else "unclear"

    def __str__(self) -> str:
        interval = "" if math.isnan(self.low) else f" ({_signed(self.low)} to {_signed(self.high)})"
        return f"{_signed(self.mean)}{interval}"


Gains = dict[tuple[str, str], Gain]  # by quantity and layer: ("AnB-base", "3"), ("AnB+-base", "1-7")


def conclude(table: pd.DataFrame, metric: str = "top1") -> dict[str, list[str]]:
    """By kind of split, sentences on what its networks show; points are points of accuracy, intervals 95%.

    Each sentence is drawn from the intervals of `analysis.differences`, of a single pair from `intervals.noise`. A kind of
    split without a transfer network and its base has no sentence.
    """
    said = {}
    for kind in kinds_of_split(table):
        of_kind = table[[kind_of_split(split) == kind for split in table["split"]]]
        gains = _gains(of_kind, metric)
        if gains:
            said[kind] = [*_frozen(gains), *_causes(gains), *_fine_tuned(gains), *_random(gains), *_noise(of_kind, gains)]
    return said


def _gains(table: pd.DataFrame, metric: str) -> Gains:
    return {
        (row["quantity"], row["layer"]): Gain(100 * row["mean"], 100 * row["low"], 100 * row["high"], row["n"])
        for row in records(bounded(table, metric))
    }


def _by_layer(gains: Gains, quantity: str) -> dict[int, Gain]:
    return {int(layer): gain for (of, layer), gain in gains.items() if of == quantity and layer.isdigit()}


def _frozen(gains: Gains) -> list[str]:
    """How far the other half's frozen features serve: AnB against the base, in runs of layers with one verdict each."""
    anb = _by_layer(gains, "AnB-base")
    sentences = []
    for verdict, run in groupby(anb, key=lambda layer: anb[layer].verdict):
        layers = list(run)
        first, last = layers[0], layers[-1]
        if verdict == "unclear":
            said = _no_difference({layer: anb[layer] for layer in layers})
        elif first == last:
            said = f"AnB is {verdict} its base, {anb[first]} points"
        else:
            worst = (min if verdict == "below" else max)(layers, key=lambda layer: anb[layer].mean)
            shown = sorted({first, worst, last})
            said = f"AnB is {verdict} its base: " + ", ".join(f"{anb[layer]} points at layer {layer}" for layer in shown)
        sentences.append(f"{_layers(layers).capitalize()}: {said}.")
    return sentences


def _no_difference(gains: dict[int, Gain]) -> str:
    """Of layers whose intervals hold zero: likeness where they are narrow, else only that nothing can be told."""
    low, high = min(gain.low for gain in gains.values()), max(gain.high for gain in gains.values())
    if any(math.isnan(gain.low) for gain in gains.values()):
        return "nothing can be told of AnB and its base, for want of an interval"
    if max(-low, high) <= ALIKE:
        return (
            f"features of the other half serve as well as the half's own: the difference is within ±{max(-low, high):.1f} points"
        )
    (first, one), (last, other) = min(gains.items()), max(gains.items())
    found = f"{one} points"
    if first != last:
        found = f"{_signed(one.mean)} points at layer {first}, {_signed(other.mean)} at layer {last}"
        found += f", intervals from {_signed(low)} to {_signed(high)}"
    return f"these pairs cannot tell AnB from its base: {found}"


def _causes(gains: Gains) -> list[str]:
    """How much of the loss is co-adaptation (BnB − base), how much specificity (AnB − BnB)."""
    sentences = []
    for cause, quantity in (("Co-adaptation", "BnB-base"), ("Specificity", "AnB-BnB")):
        if by_layer := _by_layer(gains, quantity):
            what = f"{cause} ({quantity.replace('-', ' − ')})"
            if clear := _clear(by_layer, "below"):
                worst = min(clear, key=lambda layer: by_layer[layer].mean)
                most = f", most at layer {worst}" if len(clear) > 1 else ""
                sentences.append(f"{what} costs accuracy {_where(clear, by_layer)}{most}: {by_layer[worst]} points.")
            else:
                sentences.append(f"{what} is at no layer clearly below zero.")
    return sentences


def _fine_tuned(gains: Gains) -> list[str]:
    """What fine-tuning recovers, and whether transfer then gives more than training again on the own half.

    Of the mean over the layers no interval is said: its pairs share a base, so it would be too narrow.
    """
    sentences = []
    recovered = _by_layer(gains, "AnB+-AnB")
    if clear := _clear(recovered, "above"):
        most = max(clear, key=lambda layer: recovered[layer].mean)
        sentences.append(f"Fine-tuning recovers most at layer {most}: AnB+ − AnB is {recovered[most]} points.")
    for name in ("AnB+", "BnB+"):
        if mean := gains.get((f"{name}-base", WHOLE)):
            clear = _clear(_by_layer(gains, f"{name}-base"), "above")
            where = f"clearly above {_where(clear, _by_layer(gains, f'{name}-base'))}" if clear else "at no layer clearly above"
            sentences.append(f"{name} is {_signed(mean.mean)} points from its base (mean of layers {WHOLE}), {where}.")
    if added := _by_layer(gains, "AnB+-BnB+"):
        more, less = _clear(added, "above"), _clear(added, "below")
        parts = [f"{word} {_where(layers, added)}" for word, layers in (("more", more), ("less", less)) if layers]
        if parts:
            sentences.append(
                f"Fine-tuning the other half's layers gives {' and '.join(parts)} than fine-tuning the own half's (AnB+ − BnB+)."
            )
        else:
            sentences.append(
                "What AnB+ gains cannot at any layer be told from what BnB+ gains, which only trains longer on its own half."
            )
    return sentences


def _random(gains: Gains) -> list[str]:
    by_layer = _by_layer(gains, "RnB-base")
    if not by_layer:
        return []
    clear = _clear(by_layer, "below")
    worst = min(by_layer, key=lambda layer: by_layer[layer].mean)
    where = f"below the base {_where(clear, by_layer)}" if clear else "at no layer clearly below the base"
    return [f"Random frozen features (RnB) are {where}; at layer {worst} {by_layer[worst]} points."]


def _noise(table: pd.DataFrame, gains: Gains) -> list[str]:
    """How many pairs there are, and who is missing from them."""
    counts = sorted({gain.pairs for (_, layer), gain in gains.items() if layer.isdigit()})
    fewest, most = counts[0], counts[-1]
    which = f"A point has {fewest}{f' to {most}' * (most > fewest)} pairs"
    only = "its interval says only what the number of validation pictures can do, not what other halves or seeds would give"
    if most == 1:
        sentences = [f"Every point has one pair, and {only}."]
    elif fewest == 1:
        sentences = [f"{which}; where it has one, {only}."]
    else:
        wide = "; with two an interval is wide (Student's t is 12.7), and further seeds or splits would narrow it" * (fewest == 2)
        sentences = [f"{which}{wide}."]
    failed = table[table["status"] != "done"]
    if len(failed):
        shown = failed[["split", "seed", "network", "status"]].head(8).to_numpy()
        names = ", ".join(f"{split}{f' seed {seed}' * bool(seed)} {name} ({status})" for split, seed, name, status in shown)
        more = f" and {len(failed) - 8} more" if len(failed) > 8 else ""
        sentences.append(f"{len(failed)} of {len(table)} networks failed and are in no mean: {names}{more}.")
    return sentences


def _clear(by_layer: dict[int, Gain], verdict: str) -> list[int]:
    return [layer for layer, gain in by_layer.items() if gain.verdict == verdict]


def _layers(layers: list[int]) -> str:
    """[1] as "layer 1", [1, 2, 3] as "layers 1-3", [1, 3] as "layers 1, 3"."""
    if len(layers) == 1:
        return f"layer {layers[0]}"
    whole = layers == list(range(layers[0], layers[-1] + 1))
    return f"layers {layers[0]}-{layers[-1]}" if whole else f"layers {', '.join(map(str, layers))}"


def _where(layers: list[int], among: dict[int, Gain]) -> str:
    """ "from layer 3 on" where the layers are all from there to the deepest, else "at layers 1, 3"."""
    to_the_end = [layer for layer in among if layer >= layers[0]]
    return f"from layer {layers[0]} on" if layers == to_the_end and len(layers) > 1 else f"at {_layers(layers)}"


def _signed(points: float) -> str:
    """Points with their sign and two decimals; the minus is a real one."""
    return f"{points:+.2f}".replace("-", "−")
