"""What a study found, in plain sentences that follow from its intervals and nothing else. No torch."""

from itertools import groupby

import pandas as pd

from transfercli.analysis.brief import brief as brief  # the conclusion in three sentences
from transfercli.analysis.contrasts import AT, FORMULAS, NEEDED, asked, trained_twice
from transfercli.analysis.differences import quantities
from transfercli.analysis.pairs import UNIT, each_network, learned_nothing, of_random_features, result
from transfercli.analysis.verdicts import (
    ONE_PAIR,
    OTHER_HALVES,
    Gain,
    Gains,
    Part,
    by_layer_of,
    clear_at,
    gains_of,
    layers_named,
    pair_counts,
    parts_of,
    run_to_the_end,
    short_of_its_best,
    splits_of,
    stands,
    whole,
)
from transfercli.analysis.words import EXPLAINED, signed
from transfercli.plan.treatments import TREATMENTS

DRAWN = {"own": "as the network's library draws them", "preserving": "by He et al. (2015), every branch at its full scale"}


@each_network
def conclude(table: pd.DataFrame, metric: str = "top1") -> dict[str, list[str]]:
    """By kind of split, sentences on what its networks show; points are points of accuracy, intervals 95%.

    In splits that are not random the two halves are different tasks, so each target has its own sentences, under a name such
    as "man-made-natural, target A". Each sentence is drawn from the intervals of `differences.bounded` and `contrasts`. Where
    there is no transfer network with its base there is no sentence.
    """
    found = {part.name: _sentences(part, metric) for part in parts_of(table)}
    return {name: sentences for name, sentences in found.items() if sentences}


def _sentences(part: Part, metric: str) -> list[str]:
    gains = gains_of(part, metric)
    if not gains:
        return []
    counts, fixed = pair_counts(gains), asked(part.trained)
    sentences = [*_turn(gains), *_frozen(gains), *_causes(gains), *(_dip(gains) if fixed else []), *_trained_twice(part.trained)]
    sentences += [*_fine_tuned(gains), *(_boost(gains) if fixed else []), *_random(gains, part.trained), *_further(gains)]
    if counts == [1]:
        sentences[:0] = [f"Every point has one pair: its interval says {ONE_PAIR}.", *_seeds_alone(part.trained)]
    else:
        sentences += _repeats(counts, part.trained)
    return [*sentences, *_learned_nothing(part.whole), *_failed(part.whole)]


def _turn(gains: Gains) -> list[str]:
    """Where features turn from general to specific: the layer from which AnB stays below BnB, its control."""
    by_layer = by_layer_of(gains, "AnB-BnB")
    run = run_to_the_end(by_layer)
    if not by_layer:
        return []
    if not run:
        return [
            "Where features turn from general to specific is not to be told: at the deepest layer AnB is not clearly below BnB."
        ]
    return [f"Features turn from general to specific at layer {run[0]}: from there on AnB is below BnB, its control."]


def _frozen(gains: Gains) -> list[str]:
    """How far the other half's frozen features serve: AnB against the base, in runs of layers with one verdict each."""
    anb = by_layer_of(gains, "AnB-base")
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
        sentences.append(f"{layers_named(layers, anb).capitalize()}: {said}.")
    return sentences


def _causes(gains: Gains) -> list[str]:
    """How much of the loss is co-adaptation, how much specificity."""
    causes = {"Co-adaptation (BnB − base)": "BnB-base", "Specificity (AnB − BnB)": "AnB-BnB"}
    return [f"{cause} is {stands(by_layer)}." for cause, of in causes.items() if (by_layer := by_layer_of(gains, of))]


def _dip(gains: Gains) -> list[str]:
    """The first contrast fixed in advance."""
    if not by_layer_of(gains, "BnB-base"):
        return []
    meant = {
        "below": "layers in the middle are co-adapted",
        "above": "nothing of co-adaptation in the middle",
        "alike": "next to nothing",
        "unclear": "not to be told from zero",
    }
    said = _contrast(gains.get(("dip", AT["dip"])), meant, NEEDED["dip"])
    return [f"Fixed in advance: the dip, {FORMULAS['dip']}, in which the base cancels, is {said}."]


def _boost(gains: Gains) -> list[str]:
    """The second contrast fixed in advance."""
    if not by_layer_of(gains, "AnB+-base") and not by_layer_of(gains, "BnB+-base"):
        return []
    meant = {
        "below": "transfer gives less than training again on the own half",
        "above": "the other half adds to fine-tuning",
        "alike": "next to nothing",
        "unclear": "not to be told from zero",
    }
    said = _contrast(gains.get(("boost", AT["boost"])), meant, NEEDED["boost"])
    return [f"Fixed in advance: the boost, {FORMULAS['boost']}, is {said}."]


def _contrast(gain: Gain | None, meant: dict[str, str], needed: str) -> str:
    if gain is None:
        return f"not to be told: no pair of split and target has {needed}"
    return f"{gain} points: {meant.get(gain.verdict, 'no interval, so nothing can be told')}"


def _fine_tuned(gains: Gains) -> list[str]:
    """What fine-tuning recovers, and whether transfer then gives more than training again on the own half."""
    sentences = []
    if recovered := by_layer_of(gains, "AnB+-AnB"):
        sentences.append(f"What fine-tuning recovers (AnB+ − AnB) is {stands(recovered)}.")
    for name in ("AnB+", "BnB+"):
        if by_layer := by_layer_of(gains, f"{name}-base"):
            mean = gains.get((f"{name}-base", whole(gains)))
            over = f"{mean} points in the mean of layers {whole(gains)}; it is " if mean else ""
            sentences.append(f"{name} − base is {over}{stands(by_layer)}.")
    if added := by_layer_of(gains, "AnB+-BnB+"):
        said = f"What the other half adds to fine-tuning (AnB+ − BnB+) is {stands(added)}"
        nothing = not clear_at(added, "above") and not clear_at(added, "below")
        sentences.append(said + ": AnB+ cannot be told from BnB+, which only trains longer on its own half" * nothing + ".")
    return sentences


def _random(gains: Gains, trained: pd.DataFrame) -> list[str]:
    """What random features give, and of a library's network, whose blocks may begin as near-identities, how they were drawn."""
    by_layer = by_layer_of(gains, "RnB-base")
    if not by_layer:
        return []
    known = trained["initialiser"].dropna().unique() if "initialiser" in trained else ()
    drawn = [f"Random features are drawn {DRAWN[how]}." for how in known if how in DRAWN]
    return [f"What random features give (RnB − base) is {stands(by_layer)}.", *drawn]


def _further(gains: Gains) -> list[str]:
    """Each difference of treatments that no question above is about."""
    return [
        f"{treatment} − {other} ({treatment}: {TREATMENTS[treatment].about}) is {stands(by_layer)}."
        for treatment, other in quantities()
        if treatment not in EXPLAINED and (by_layer := by_layer_of(gains, f"{treatment}-{other}"))
    ]


def _repeats(counts: list[int], trained: pd.DataFrame) -> list[str]:
    """How many pairs and splits there are, what their intervals are about, and what they cannot say."""
    fewest, most = counts[0], counts[-1]
    pairs = f"A point has {fewest}{f' to {most}' * (most > fewest)} pairs of split and target"
    if fewest == 1:
        pairs += f"; † has one, and its interval says only {ONE_PAIR}"
    if 2 in counts:
        pairs += "; with two an interval is wide (Student's t is 12.7), and further splits would narrow it"
    splits = splits_of(trained)
    about = f"The pairs are of {splits} random splits, seeds averaged: an interval is about {OTHER_HALVES}."
    if splits == 1:
        about = "All pairs are of one random split: they say nothing of other halves."
    return [f"{pairs}.", about]


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
    among = f"{len(nothing)} of {of_random_features(table).sum()}"
    whose = " and ".join(dict.fromkeys(nothing["treatment"]))
    return [f"Random features that learned nothing, {among}, a result that counts in {whose}'s means: {_named(nothing)}."]


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
    said = short_of_its_best(losses)
    return [f"{said[0].upper()}{said[1:]}: BnB − base then says nothing of co-adaptation, as BnB is trained twice."]
