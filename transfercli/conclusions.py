"""What a study found, in plain sentences that follow from its intervals and nothing else. No torch."""

import math
from collections.abc import Iterator
from itertools import groupby, takewhile
from typing import NamedTuple

import pandas as pd

from transfercli.analysis import UNIT, bounded, half_names, kind_of_split, kinds_of_split, learned_nothing, records, result, sound
from transfercli.contrasts import FORMULAS, contrasts, trained_twice
from transfercli.looks import Names, half_name, panel_title, signed

ALIKE = 1.0  # points: two networks whose difference is surely less are said to be as good as each other
WHOLE = "1-7"  # the range of layers over which the paper's Table 1 takes its mean
ONE_PAIR = "what the number of validation pictures can do, not what other halves or seeds would give"
SHORT_OF_ITS_BEST = "The base is short of its best on its own training pictures"
OTHER_HALVES = "other halvings of these classes, on these pictures"


class Gain(NamedTuple):
    """A mean paired difference, in points, with its 95% interval (NaN where there is none)."""

    mean: float
    low: float
    high: float
    alone: bool  # one pair among layers with more: its interval is only that of its validation pictures
    pairs: int

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


def brief(table: pd.DataFrame, metric: str = "top1") -> list[str]:
    """The study's answer in three sentences, for a first screen; none where no transfer network has its base or control.

    What frozen features of the other half give, whether BnB shows co-adaptation, and what transfer with fine-tuning gives
    beside its control: of the random halves or, where there are none, of the first other kind of split, each target for
    itself. As in `conclude`, everything follows from intervals, and what they cannot tell is said to be so.
    """
    names = half_names(table)
    for _, parts in groupby(_parts(table), key=lambda part: part.kind):
        found = [(part, gains) for part in parts if (gains := _gains(part, metric))]
        if not found:
            continue
        halves = [half_name(part.kind, part.target, names) for part, _ in found]
        answers = [(_general(gains), _co_adapted(gains, part.trained), _kept(gains)) for part, gains in found]
        sentences = [_by_half(halves, said) for said in zip(*answers, strict=True)]
        marked = any("†" in sentence for sentence in sentences)
        sentences[-1] += f" ({_design(*found[0], names, kinds=len(kinds_of_split(table)), marked=marked)}.)"
        return sentences
    return []


def _by_half(halves: list[str], said: tuple[str, ...]) -> str:
    """What is said of each target half in one text; once, where it is the same of all."""
    if len(set(said)) == 1:
        return said[0]
    return " ".join(f"To {half}: {sentence}" for half, sentence in zip(halves, said, strict=True))


def conclude(table: pd.DataFrame, metric: str = "top1") -> dict[str, list[str]]:
    """By kind of split, sentences on what its networks show; points are points of accuracy, intervals 95%.

    In splits that are not random the two halves are different tasks, so each target has its own sentences, under a name such
    as "man-made-natural, target A". Each sentence is drawn from the intervals of `analysis.bounded` and `contrasts`. Where
    there is no transfer network with its base there is no sentence.
    """
    found = {part.name: _sentences(part, metric) for part in _parts(table)}
    return {name: sentences for name, sentences in found.items() if sentences}


def _parts(table: pd.DataFrame) -> Iterator[Part]:
    for kind in kinds_of_split(table):
        of_kind = table[[kind_of_split(split) == kind for split in table["split"]]]
        good = sound(of_kind)
        targets = sorted(set(good.loc[good["treatment"] != "base", "target"]))
        if kind == "random" or len(targets) < 2:
            yield Part(kind, "", good, of_kind)
            continue
        yield from (Part(kind, t, good[good["target"] == t], of_kind[of_kind["target"] == t]) for t in targets)


def _sentences(part: Part, metric: str) -> list[str]:
    gains = _gains(part, metric)
    if not gains:
        return []
    counts = _counts(gains)
    sentences = [*_turn(gains), *_frozen(gains), *_causes(gains), *_dip(gains), *_trained_twice(part.trained)]
    sentences += [*_fine_tuned(gains), *_boost(gains), *_random(gains)]
    if counts == [1]:
        sentences[:0] = [f"Every point has one pair: its interval says {ONE_PAIR}.", *_seeds_alone(part.trained)]
    else:
        sentences += _repeats(counts, part.trained)
    return [*sentences, *_learned_nothing(part.whole), *_failed(part.whole)]


def _gains(part: Part, metric: str) -> Gains:
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


def _counts(gains: Gains) -> list[int]:
    """How many pairs the layers have, each number once."""
    return sorted({gain.pairs for (_, layer), gain in gains.items() if layer.isdigit()})


def _by_layer(gains: Gains, quantity: str) -> ByLayer:
    return {int(layer): gain for (of, layer), gain in gains.items() if of == quantity and layer.isdigit()}


def _turn(gains: Gains) -> list[str]:
    """Where features turn from general to specific: the layer from which AnB stays below BnB, its control."""
    by_layer = _by_layer(gains, "AnB-BnB")
    run = _run(by_layer)
    if not by_layer:
        return []
    if not run:
        return [
            "Where features turn from general to specific is not to be told: at the deepest layer AnB is not clearly below BnB."
        ]
    return [f"Features turn from general to specific at layer {run[0]}: from there on AnB is below BnB, its control."]


def _run(by_layer: ByLayer) -> list[int]:
    """The layers that are below zero without a gap up to the deepest."""
    below = takewhile(lambda layer: by_layer[layer].verdict == "below", sorted(by_layer, reverse=True))
    return sorted(below)


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


def _dip(gains: Gains) -> list[str]:
    """The first contrast fixed in advance."""
    if not _by_layer(gains, "BnB-base"):
        return []
    meant = {
        "below": "layers in the middle are co-adapted",
        "above": "nothing of co-adaptation in the middle",
        "alike": "next to nothing",
        "unclear": "not to be told from zero",
    }
    said = _contrast(gains.get(("dip", "4-5")), meant, "BnB at layers 1, 2, 4, 5 and 7")
    return [f"Fixed in advance: the dip, {FORMULAS['dip']}, in which the base cancels, is {said}."]


def _boost(gains: Gains) -> list[str]:
    """The second contrast fixed in advance."""
    if not _by_layer(gains, "AnB+-base") and not _by_layer(gains, "BnB+-base"):
        return []
    meant = {
        "below": "transfer gives less than training again on the own half",
        "above": "the other half adds to fine-tuning",
        "alike": "next to nothing",
        "unclear": "not to be told from zero",
    }
    said = _contrast(gains.get(("boost", "3-7")), meant, "AnB+ and BnB+ at all of them")
    return [f"Fixed in advance: the boost, {FORMULAS['boost']}, is {said}."]


def _contrast(gain: Gain | None, meant: dict[str, str], needed: str) -> str:
    if gain is None:
        return f"not to be told: no pair of split and target has {needed}"
    return f"{gain} points: {meant.get(gain.verdict, 'no interval, so nothing can be told')}"


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


def _repeats(counts: list[int], trained: pd.DataFrame) -> list[str]:
    """How many pairs and splits there are, what their intervals are about, and what they cannot say."""
    fewest, most = counts[0], counts[-1]
    pairs = f"A point has {fewest}{f' to {most}' * (most > fewest)} pairs of split and target"
    if fewest == 1:
        pairs += f"; † has one, and its interval says only {ONE_PAIR}"
    if 2 in counts:
        pairs += "; with two an interval is wide (Student's t is 12.7), and further splits would narrow it"
    splits = _splits(trained)
    about = f"The pairs are of {splits} random splits, seeds averaged: an interval is about {OTHER_HALVES}."
    if splits == 1:
        about = "All pairs are of one random split: they say nothing of other halves."
    return [f"{pairs}.", about]


def _splits(trained: pd.DataFrame) -> int:
    return int(trained.loc[trained["treatment"] != "base", "split"].nunique())


def _seeds_alone(trained: pd.DataFrame) -> list[str]:
    """Of one pair, what its seeds can say."""
    seeds = trained[trained["treatment"] != "base"].groupby(UNIT)["seed"].nunique().max()
    if seeds < 2:
        return []
    return [f"Its {seeds} seeds are averaged: how they differ is the noise of training alone, and says nothing of other halves."]


def _learned_nothing(table: pd.DataFrame) -> list[str]:
    """Random features that stayed at chance, which is what they are worth."""
    nothing = table[learned_nothing(table)]
    if nothing.empty:
        return []
    among = f"{len(nothing)} of {(table['treatment'] == 'RnB').sum()}"
    return [f"Random features that learned nothing, {among}, a result that counts in RnB's means: {_named(nothing)}."]


def _named(table: pd.DataFrame, most: int = 8, status: bool = False) -> str:
    shown = table[["split", "seed", "network", "status"]].head(most).to_numpy()
    names = [f"{split}{f' seed {seed}' * bool(seed)} {name}{f' ({why})' * status}" for split, seed, name, why in shown]
    return ", ".join(names) + (f" and {len(table) - most} more" if len(table) > most else "")


def _failed(table: pd.DataFrame) -> list[str]:
    table = table.assign(failed=~result(table))
    failed = table[table["failed"]]
    if failed.empty:
        return []
    sentences = [f"Networks that failed and are in no mean, {len(failed)} of {len(table)}: {_named(failed, status=True)}."]
    shares = table.groupby(["treatment", "layer"])["failed"].mean()
    for treatment, layer in shares[(shares > 0.5) & (shares < 1)].index:
        sentences.append(f"Of {treatment} at layer {layer} most failed: its mean is of the few that did not.")
    return sentences


def _trained_twice(trained: pd.DataFrame) -> list[str]:
    """A warning where the base is short of its best, by the rule of `contrasts.trained_twice`."""
    losses = trained_twice(trained)
    if losses is None:
        return []
    return [f"{SHORT_OF_ITS_BEST} ({_losses(losses)}): BnB − base then says nothing of co-adaptation, as BnB is trained twice."]


def _losses(losses: tuple[float, float]) -> str:
    return f"loss {losses[0]:.3f}, with BnB at layer 1 {losses[1]:.3f}"


# -- the brief


def _general(gains: Gains) -> str:
    """Where features turn specific, how far the other half's serve frozen, and what they cost at the deepest layer."""
    anb, specific = _by_layer(gains, "AnB-base"), _by_layer(gains, "AnB-BnB")
    if not anb:
        return "What frozen features of the other half give is not to be told: no AnB is done beside its base."
    deepest = max(anb)
    serve = list(takewhile(lambda layer: anb[layer].verdict in ("alike", "above"), sorted(anb)))
    worth = anb[deepest]
    if run := _run(specific):
        turn = f"Features turn from general to specific at layer {run[0]}; "
    else:
        turn = "Where features turn from general to specific is not to be told; " if specific else ""
    served = ""
    if serve:
        well = "at least as well as" if any(anb[layer].verdict == "above" for layer in serve) else "as well as"
        served = f"serve {well} the half's own {_where(serve, anb)}"
    stand = {
        "below": f"cost {_cost(worth)} points",
        "alike": f"cost next to nothing, {worth} points,",
        "above": f"lie above the base, by {worth} points,",
        "unclear": f"cannot be told from the base, {worth} points,",
    }.get(worth.verdict, f"lie {worth} points from the base, without an interval,")
    at_the_end = "" if deepest in serve else f"{stand} at layer {deepest}, the deepest"
    said = f"{turn}frozen features of the other half {', and '.join(part for part in (served, at_the_end) if part)}."
    return said[0].upper() + said[1:]


def _cost(gain: Gain) -> str:
    return str(gain._replace(mean=-gain.mean, low=-gain.high, high=-gain.low)).replace("+", "")


def _co_adapted(gains: Gains, trained: pd.DataFrame) -> str:
    """Whether BnB shows co-adaptation: by the dip, else by BnB against its base; and whether it can show it at all."""
    dip, bnb = gains.get(("dip", "4-5")), _by_layer(gains, "BnB-base")
    losses = trained_twice(trained)
    at = "BnB at layers 4 and 5 against 1, 2 and 7"
    if dip:
        said = {
            "below": f"BnB shows co-adaptation: its dip, {at}, is {dip} points",
            "above": f"BnB shows no co-adaptation: in place of a dip, {at} is {dip} points",
            "alike": f"BnB shows next to no co-adaptation: its dip, {at}, is {dip} points",
            "unclear": f"Whether BnB shows co-adaptation these pairs cannot tell: its dip, {at}, is {dip} points",
        }.get(
            dip.verdict, f"Whether BnB shows co-adaptation is not to be told: its dip, {at}, is {dip} points, without an interval"
        )
    elif not bnb:
        return "Whether features are co-adapted is not to be told: no BnB is done beside its base."
    elif losses:
        said = "Whether BnB shows co-adaptation is not to be told"
    else:
        clear = _clear(bnb, "below")
        said = (
            f"BnB is below its base, which is co-adaptation, {_where(clear, bnb)}"
            if clear
            else ("BnB shows no co-adaptation: at no layer is it clearly below its base")
        )
    if losses:
        said += (
            f"; BnB − base says nothing of it, for the base is short of its best on its own training pictures ({_losses(losses)})"
        )
    return f"{said}."


def _kept(gains: Gains) -> str:
    """What transfer gives after fine-tuning, beside its control, which only trains again on its own half."""
    called = {"AnB+": "transferred and fine-tuned (AnB+)", "BnB+": "its control (BnB+)"}
    there = {name: by_layer for name in called if (by_layer := _by_layer(gains, f"{name}-base"))}
    if not there:
        return "What transfer gives after fine-tuning is not to be told: neither AnB+ nor BnB+ is done beside its base."
    means = {name: gains[f"{name}-base", WHOLE] for name in there if (f"{name}-base", WHOLE) in gains}
    if whole := len(means) == len(there):
        without = {name: " (no interval)" * (mean.verdict == "unknown") for name, mean in means.items()}
        parts = [f"{called[name]} {mean} points{without[name]}" for name, mean in means.items()]
    else:
        parts = [f"{called[name]} is {_stands(by_layer)}" for name, by_layer in there.items()]
    over = f" in the mean of layers {WHOLE}" * whole
    boost = gains.get(("boost", "3-7"))
    adds = "what the other half adds (AnB+ − BnB+"
    if boost:
        verdict = {
            "below": "is a loss",
            "above": "is clear of zero",
            "alike": "is next to nothing",
            "unclear": "cannot be told from zero",
        }.get(boost.verdict, "has no interval")
        parts.append(f"{adds}, layers 3-7) {verdict}, {boost} points")
    else:
        parts.append(f"{adds}) is not to be told, as no pair has both at layers 3-7")
    return f"Against the base{over}: {'; '.join(parts)}."


def _design(part: Part, gains: Gains, names: Names, kinds: int, marked: bool) -> str:
    """How many splits and pairs there are, and what the intervals are about."""
    counts, splits = _counts(gains), _splits(part.trained)
    said = f"{panel_title(part.kind, names)}: " if kinds > 1 else ""
    if part.kind == "random":
        said += f"{splits} random split{'s' * (splits > 1)}, "
    if counts == [1]:
        said += f"one pair a point; intervals say {ONE_PAIR}"
    else:
        said += f"{counts[0]}{f' to {counts[-1]}' * (len(counts) > 1)} pairs of split and target a point; intervals are "
        said += f"about {OTHER_HALVES}" if splits > 1 else "over the two targets, and say nothing of other halves"
        said += f"; †: one pair, whose interval says {ONE_PAIR}" * marked
    return said[0].upper() + said[1:]


# -- words for where


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
