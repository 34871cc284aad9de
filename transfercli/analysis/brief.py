"""The study's answer in three sentences, for a first screen: each follows from intervals and nothing else. No torch."""

from itertools import groupby, takewhile

import pandas as pd

from transfercli.analysis.contrasts import AT, COMPARED, asked, trained_twice
from transfercli.analysis.pairs import by_network, half_names, kinds_of_split
from transfercli.analysis.verdicts import (
    ONE_PAIR,
    Gain,
    Gains,
    Part,
    by_layer_of,
    clear_at,
    gains_of,
    of_what,
    pair_counts,
    parts_of,
    run_to_the_end,
    short_of_its_best,
    splits_of,
    stands,
    where,
    whole,
)
from transfercli.analysis.words import Names, beside, half_name, panel_title


def brief(table: pd.DataFrame, metric: str = "top1") -> list[str]:
    """The study's answer in three sentences, for a first screen; none where no transfer network has its base or control.

    What frozen features of the other half give, whether BnB shows co-adaptation, and what transfer with fine-tuning gives
    beside its control: of the random halves or, where there are none, of the first other kind of split, each target for
    itself; and each network for itself, where there are several. As in `conclude`, everything follows from intervals, and what
    they cannot tell is said to be so.
    """
    if [*(alone := by_network(table))] != [""]:
        return [beside(net, said) for net, of in alone.items() for said in brief(of, metric)]
    names = half_names(table)
    for _, parts in groupby(parts_of(table), key=lambda part: part.kind):
        found = [(part, gains) for part in parts if (gains := gains_of(part, metric))]
        if not found:
            continue
        halves = [half_name(part.kind, part.target, names) for part, _ in found]
        answers = [(_general(gains), _co_adapted(gains, part.trained), _kept(gains, part.trained)) for part, gains in found]
        sentences = [_by_half(halves, said) for said in zip(*answers, strict=True)]
        marked = any("†" in sentence for sentence in sentences)
        sentences[-1] += f" ({_design(*found[0], names, kinds=len(kinds_of_split(table)), marked=marked)}.)"
        return sentences
    return []


def _by_half(halves: list[str], said: tuple[str, ...]) -> str:
    """What is said of each target half in one text; once, where it is the same of all."""
    if (len(said) > 1 and len(set(said)) == 1) or not halves[0]:
        return said[0]
    return " ".join(f"To {half}: {sentence}" for half, sentence in zip(halves, said, strict=True))


def _general(gains: Gains) -> str:
    """Where features turn specific, how far the other half's serve frozen, and what they cost at the deepest layer."""
    anb, specific = by_layer_of(gains, "AnB-base"), by_layer_of(gains, "AnB-BnB")
    if not anb:
        return "What frozen features of the other half give is not to be told: no AnB is done beside its base."
    deepest = max(anb)
    serve = list(takewhile(lambda layer: anb[layer].verdict in ("alike", "above"), sorted(anb)))
    worth = anb[deepest]
    if run := run_to_the_end(specific):
        turn = f"Features turn from general to specific at layer {run[0]}; "
    else:
        turn = "Where features turn from general to specific is not to be told; " if specific else ""
    served = ""
    if serve:
        well = "at least as well as" if any(anb[layer].verdict == "above" for layer in serve) else "as well as"
        served = f"serve {well} the half's own {where(serve, anb)}"
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
    dip, bnb = gains.get(("dip", AT["dip"])), by_layer_of(gains, "BnB-base")
    losses = trained_twice(trained)
    if dip:
        said = {
            "below": f"BnB shows co-adaptation: its dip, {COMPARED}, is {dip} points",
            "above": f"BnB shows no co-adaptation: in place of a dip, {COMPARED} is {dip} points",
            "alike": f"BnB shows next to no co-adaptation: its dip, {COMPARED}, is {dip} points",
            "unclear": f"Whether BnB shows co-adaptation these pairs cannot tell: its dip, {COMPARED}, is {dip} points",
        }.get(
            dip.verdict,
            f"Whether BnB shows co-adaptation is not to be told: its dip, {COMPARED}, is {dip} points, without an interval",
        )
    elif not bnb:
        return "Whether features are co-adapted is not to be told: no BnB is done beside its base."
    elif losses:
        said = "Whether BnB shows co-adaptation is not to be told"
    else:
        said = "Whether BnB shows co-adaptation these pairs cannot tell: at no layer is it clearly below its base, "
        said += "nor at every one as good"
        if clear := clear_at(bnb, "below"):
            said = f"BnB is below its base, which is co-adaptation, {where(clear, bnb)}"
        elif all(gain.verdict in ("alike", "above") for gain in bnb.values()):
            said = "BnB shows no co-adaptation: at no layer is it clearly below its base"
    if losses:
        said += f"; BnB − base says nothing of it, for {short_of_its_best(losses)}"
    return f"{said}."


def _kept(gains: Gains, trained: pd.DataFrame) -> str:
    """What transfer gives after fine-tuning, beside its control, which only trains again on its own half."""
    called = {"AnB+": "transferred and fine-tuned (AnB+)", "BnB+": "its control (BnB+)"}
    there = {name: by_layer for name in called if (by_layer := by_layer_of(gains, f"{name}-base"))}
    if not there:
        return "What transfer gives after fine-tuning is not to be told: neither AnB+ nor BnB+ is done beside its base."
    layers = whole(gains)
    means = {name: gains[f"{name}-base", layers] for name in there if (f"{name}-base", layers) in gains}
    if all_of_them := len(means) == len(there):
        without = {name: " (no interval)" * (mean.verdict == "unknown") for name, mean in means.items()}
        parts = [f"{called[name]} {mean} points{without[name]}" for name, mean in means.items()]
    else:
        parts = [f"{called[name]} is {stands(by_layer)}" for name, by_layer in there.items()]
    over = f" in the mean of layers {layers}" * all_of_them
    boost = gains.get(("boost", AT["boost"]))
    adds = "what the other half adds (AnB+ − BnB+"
    if boost:
        verdict = {
            "below": "is a loss",
            "above": "is clear of zero",
            "alike": "is next to nothing",
            "unclear": "cannot be told from zero",
        }.get(boost.verdict, "has no interval")
        parts.append(f"{adds}, layers {AT['boost']}) {verdict}, {boost} points")
    elif asked(trained):
        parts.append(f"{adds}) is not to be told, as no pair has both at layers {AT['boost']}")
    elif added := by_layer_of(gains, "AnB+-BnB+"):
        parts.append(f"{adds}) is {stands(added)}")
    return f"Against the base{over}: {'; '.join(parts)}."


def _design(part: Part, gains: Gains, names: Names, kinds: int, marked: bool) -> str:
    """How many splits and pairs there are, and what the intervals are about."""
    counts, splits = pair_counts(gains), splits_of(part.trained)
    said = f"{panel_title(part.kind, names)}: " if kinds > 1 else ""
    if part.kind == "random":
        said += f"{splits} random split{'s' * (splits > 1)}, "
    if counts == [1]:
        said += f"one pair a point; intervals say {ONE_PAIR}"
    else:
        said += f"{counts[0]}{f' to {counts[-1]}' * (len(counts) > 1)} pairs of split and target a point; intervals are "
        said += of_what(splits)
        said += f"; †: one pair, whose interval says {ONE_PAIR}" * marked
    return said[0].upper() + said[1:]
