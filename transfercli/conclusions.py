"""What a study found, in plain sentences that follow from its intervals and nothing else. No torch."""

import math
from itertools import groupby
from typing import NamedTuple

import pandas as pd

from transfercli.analysis import bounded, kind_of_split, kinds_of_split, records, sound
from transfercli.looks import signed

ALIKE = 1.0  # points: two networks whose difference is surely less are said to be as good as each other
WHOLE = "1-7"  # the range of layers over which the paper's Table 1 takes its mean
ONE_PAIR = "what the number of validation pictures can do, not what other halves or seeds would give"


class Gain(NamedTuple):
    """A mean paired difference, in points, with its 95% interval (NaN where there is none)."""

    mean: float
    low: float
    high: float
    alone: bool  # one pair among layers with more: its interval is only that of its validation pictures

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


Gains = dict[tuple[str, str], Gain]  # by quantity and layer: ("AnB-base", "3"), ("AnB+-base", "1-7")
ByLayer = dict[int, Gain]


def conclude(table: pd.DataFrame, metric: str = "top1") -> dict[str, list[str]]:
    """By kind of split, sentences on what its networks show; points are points of accuracy, intervals 95%.

    In splits that are not random the two halves are different tasks, so each target has its own sentences, under a name such
    as "man-made-natural, target A". Each sentence is drawn from the intervals of `analysis.bounded`. Where there is no transfer
    network with its base there is no sentence.
    """
    said = {}
    for kind in kinds_of_split(table):
        of_kind = table[[kind_of_split(split) == kind for split in table["split"]]]
        good = sound(of_kind)
        targets = sorted(set(good.loc[good["treatment"] != "base", "target"]))
        if kind == "random" or len(targets) < 2:
            parts = {kind: (good, of_kind)}
        else:
            parts = {f"{kind}, target {t}": (good[good["target"] == t], of_kind[of_kind["target"] == t]) for t in targets}
        for name, (trained, whole) in parts.items():
            if sentences := _sentences(kind, trained, whole, metric):
                said[name] = sentences
    return said


def _sentences(kind: str, trained: pd.DataFrame, whole: pd.DataFrame, metric: str) -> list[str]:
    found = bounded(trained, metric)
    if found.empty:
        return []
    counts = sorted(set(found.loc[found["layer"].str.isdigit(), "n"]))
    gains = _gains(found, mixed=counts[-1] > 1)
    sentences = [*_turn(gains), *_frozen(gains), *_causes(gains), *_fine_tuned(gains), *_random(gains)]
    if counts == [1]:
        sentences.insert(0, f"Every point has one pair: its interval says {ONE_PAIR}.")
    else:
        sentences += _repeats(counts, kind, whole)
    return sentences + _failed(whole)


def _gains(found: pd.DataFrame, mixed: bool) -> Gains:
    return {
        (row["quantity"], row["layer"]): Gain(100 * row["mean"], 100 * row["low"], 100 * row["high"], mixed and row["n"] == 1)
        for row in records(found)
    }


def _by_layer(gains: Gains, quantity: str) -> ByLayer:
    return {int(layer): gain for (of, layer), gain in gains.items() if of == quantity and layer.isdigit()}


def _turn(gains: Gains) -> list[str]:
    """Where features turn from general to specific: the layer from which AnB stays below BnB, its control."""
    by_layer = _by_layer(gains, "AnB-BnB")
    run: list[int] = []
    for layer in sorted(by_layer, reverse=True):
        if by_layer[layer].verdict != "below":
            break
        run.insert(0, layer)
    if not by_layer:
        return []
    if not run:
        return [
            "Where features turn from general to specific is not to be told: at the deepest layer AnB is not clearly below BnB."
        ]
    return [f"Features turn from general to specific at layer {run[0]}: from there on AnB is below BnB, its control."]


def _frozen(gains: Gains) -> list[str]:
    """How far the other half's frozen features serve: AnB against the base, in runs of layers with one verdict each."""
    anb = _by_layer(gains, "AnB-base")
    sentences = []
    for verdict, run in groupby(anb, key=lambda layer: anb[layer].verdict):
        layers = list(run)
        first, last = layers[0], layers[-1]
        ends = [end for layer in layers for end in (anb[layer].low, anb[layer].high)]
        if verdict == "alike":
            said = "features of the other half serve as well as the half's own: the difference is within "
            said += f"±{max(map(abs, ends)):.1f} points"
        elif verdict == "unknown":
            said = "no interval, so nothing can be told of AnB and its base"
        elif first == last:
            stands = "these pairs cannot tell AnB from its base:" if verdict == "unclear" else f"AnB is {verdict} its base,"
            said = f"{stands} {anb[first]} points"
        elif verdict == "unclear":
            said = f"these pairs cannot tell AnB from its base: {signed(anb[first].mean)} points at layer {first}, "
            said += f"{signed(anb[last].mean)} at layer {last}, intervals from {signed(min(ends))} to {signed(max(ends))}"
        else:
            worst = (min if verdict == "below" else max)(layers, key=lambda layer: anb[layer].mean)
            shown = sorted({first, worst, last})
            said = f"AnB is {verdict} its base: " + ", ".join(f"{anb[layer]} points at layer {layer}" for layer in shown)
        sentences.append(f"{_layers(layers, anb).capitalize()}: {said}.")
    return sentences


def _causes(gains: Gains) -> list[str]:
    """How much of the loss is co-adaptation, how much specificity."""
    causes = {"Co-adaptation (BnB − base)": "BnB-base", "Specificity (AnB − BnB)": "AnB-BnB"}
    return [f"{cause} is {_stands(by_layer)}." for cause, of in causes.items() if (by_layer := _by_layer(gains, of))]


def _fine_tuned(gains: Gains) -> list[str]:
    """What fine-tuning recovers, and whether transfer then gives more than training again on the own half."""
    sentences = []
    if recovered := _by_layer(gains, "AnB+-AnB"):
        sentences.append(f"What fine-tuning recovers (AnB+ − AnB) is {_stands(recovered)}.")
    for name in ("AnB+", "BnB+"):
        if by_layer := _by_layer(gains, f"{name}-base"):
            mean = gains.get((f"{name}-base", WHOLE))
            over = f"{mean} points in the mean of layers {WHOLE}; it is " if mean else ""
            sentences.append(f"{name} − base is {over}{_stands(by_layer)}.")
    if added := _by_layer(gains, "AnB+-BnB+"):
        said = f"What the other half adds to fine-tuning (AnB+ − BnB+) is {_stands(added)}"
        nothing = not _clear(added, "above") and not _clear(added, "below")
        sentences.append(said + ": AnB+ cannot be told from BnB+, which only trains longer on its own half" * nothing + ".")
    return sentences


def _random(gains: Gains) -> list[str]:
    by_layer = _by_layer(gains, "RnB-base")
    return [f"What random features give (RnB − base) is {_stands(by_layer)}."] if by_layer else []


def _repeats(counts: list[int], kind: str, table: pd.DataFrame) -> list[str]:
    """How many pairs there are, and what they cannot say."""
    fewest, most = counts[0], counts[-1]
    pairs = f"A point has {fewest}{f' to {most}' * (most > fewest)} pairs"
    if fewest == 1:
        pairs += f"; † has one, and its interval says only {ONE_PAIR}"
    if 2 in counts:
        more = "splits or seeds" if kind == "random" else "seeds"
        pairs += f"; with two an interval is wide (Student's t is 12.7), and further {more} would narrow it"
    one_split = kind == "random" and table["split"].nunique() == 1
    return [f"{pairs}.", *["All pairs are of one random split: they say nothing of other halves."] * one_split]


def _failed(table: pd.DataFrame) -> list[str]:
    failed = table[table["status"] != "done"]
    if failed.empty:
        return []
    shown = failed[["split", "seed", "network", "status"]].head(8).to_numpy()
    names = ", ".join(f"{split}{f' seed {seed}' * bool(seed)} {name} ({status})" for split, seed, name, status in shown)
    more = f" and {len(failed) - 8} more" if len(failed) > 8 else ""
    sentences = [f"Networks that failed and are in no mean, {len(failed)} of {len(table)}: {names}{more}."]
    shares = table.assign(failed=table["status"] != "done").groupby(["treatment", "layer"])["failed"].mean()
    for treatment, layer in shares[(shares > 0.5) & (shares < 1)].index:
        sentences.append(f"Of {treatment} at layer {layer} most failed: its mean is of the few that did not.")
    return sentences


def _stands(by_layer: ByLayer) -> str:
    """Where a difference is below zero and where above, each with its extreme: "below zero at layers 4-6, most at ..."."""
    parts = []
    for verdict, extreme in (("below", min), ("above", max)):
        if clear := _clear(by_layer, verdict):
            most = extreme(clear, key=lambda layer: by_layer[layer].mean)
            where = f", most at layer {most}" if len(clear) > 1 else ""
            parts.append(f"{verdict} zero {_where(clear, by_layer)}{where}: {by_layer[most]} points")
    if not parts and all(gain.verdict == "unknown" for gain in by_layer.values()):
        return "not to be told, for want of an interval"
    return "; ".join(parts) or "at no layer clear of zero"


def _clear(by_layer: ByLayer, verdict: str) -> list[int]:
    return [layer for layer, gain in by_layer.items() if gain.verdict == verdict]


def _where(layers: list[int], among: ByLayer) -> str:
    """ "at every layer", "from layer 3 on" where the layers are all from there to the deepest, else "at layers 1, 3"."""
    to_the_end = [layer for layer in among if layer >= layers[0]]
    if layers != to_the_end or len(layers) == 1 or any(among[layer].alone for layer in layers):
        return f"at {_layers(layers, among)}"
    return "at every layer" if len(layers) == len(among) else f"from layer {layers[0]} on"


def _layers(layers: list[int], among: ByLayer) -> str:
    """[1] as "layer 1", [1, 2, 3] as "layers 1-3", [1, 3] as "layers 1, 3"; a layer with one pair has its †."""
    if len(layers) == 1:
        return f"layer {layers[0]}{'†' * among[layers[0]].alone}"
    if layers == list(range(layers[0], layers[-1] + 1)) and not any(among[layer].alone for layer in layers):
        return f"layers {layers[0]}-{layers[-1]}"
    return "layers " + ", ".join(f"{layer}{'†' * among[layer].alone}" for layer in layers)
