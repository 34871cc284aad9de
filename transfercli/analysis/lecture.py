"""The rule of thumb of lectures, how much to train by how much data there is and how like the tasks are; and a study's answer.

The table is that of Cornell's CS5670, after Stanford's CS231n. Which networks stand for an answer is decided by how many of their
layers learn, never by their accuracy: the best of several, chosen by what is then compared, would look better than it is.
No torch.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd

from transfercli.analysis.amounts import by_amount
from transfercli.analysis.differences import mean_of_pairs
from transfercli.analysis.intervals import binomial_reach
from transfercli.analysis.pairs import (
    SAME_TARGET,
    UNIT,
    by_network,
    depth,
    half_names,
    kind_of_split,
    of_all_data,
    pictures,
    records,
)
from transfercli.analysis.verdicts import Gain, Part, parts_of
from transfercli.analysis.words import counted, half_name, listed

LINEAR, FEW, MORE = ANSWERS = ("a linear classifier", "a few layers", "more layers")
TASKS = {"random": "similar", "man-made-natural": "different"}  # by kind of split; of others nobody can say
SAYS = {
    ("little", "similar"): LINEAR,
    ("much", "similar"): FEW,
    ("little", "different"): LINEAR,  # "from different stages"
    ("much", "different"): MORE,
}
RULE = (
    "Little and much data are the study's smallest and largest amount. Random halves are similar tasks, natural and man-made "
    "ones different. Networks on the other half's layers answer by how many of their own layers learn: the last alone is a "
    "linear classifier, up to half of them are a few, beyond that more; of each answer the mean of those that copy the most "
    "layers (AnB.keep, else AnB and AnB+, whose layers above n begin afresh). A study agrees where both other answers are "
    "clearly below the lecture's, and disagrees where one is clearly above. With little data and a different task the lecture "
    "tries linear classifiers on earlier layers too, which no study trains, so there none disagrees."
)
# Of layer n, where `deep` is the deepest: how many layers are copied, and how many of these are frozen.
_COUNTS: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "AnB": lambda n, deep: (n, n),
    "AnB+": lambda n, deep: (n, 0),
    "AnB.keep": lambda n, deep: (deep, n),
}
COLUMNS = ["net", "splits", "target", "data", "pictures", "says", "verdict"]
COLUMNS += ["answer", "networks", "accuracy", "mean", "low", "high", "n"]


def lecture(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """A row for each corner of the lecture's table that the study can fill, and each answer there: columns COLUMNS.

    `data` is little or much, `pictures` so many a class (NaN where there is one amount, which is much), `says` the lecture's
    answer. mean, low and high are what an answer gives over that one, over n pairs: of random halves with the mean's 95% interval
    (NaN of one pair); of natural and man-made ones for each target, with what its validation pictures alone can do. One such
    interval suffices to disagree and both must lie below zero to agree, so that either is wrong in at most 5%. Empty where the
    study has neither several amounts nor both kinds of split.
    """
    rows = [
        {"net": net, **row}
        for net, data, amount, of_amount in _amounts(table)
        for part in parts_of(of_amount)
        if part.kind in TASKS
        for row in _corner(part, data, amount, metric)
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def corners(found: pd.DataFrame) -> list[list[dict[str, Any]]]:
    """The rows of each corner of what `lecture` found, the lecture's own answer first."""
    by_corner = [records(rows) for _, rows in found.groupby(["net", "splits", "target", "data"], sort=False)]
    return [sorted(rows, key=lambda row: row["answer"] != row["says"]) for rows in by_corner]


def sentences(found: pd.DataFrame) -> list[str]:
    """One of each corner of what `lecture` found."""
    said = []
    for asked, *others in corners(found):
        beside = listed(
            [f"{row['answer']} ({row['networks']}, {counted(row['n'], 'pair')}) {_gain(row)} points" for row in others]
        )
        said.append(
            f"{where(asked)}: the lecture's answer, {asked['answer']} ({asked['networks']}), reaches {asked['accuracy']:.1%}; "
            f"beside it {beside}: {asked['verdict']}."
        )
    return said


def where(row: dict[str, Any]) -> str:
    """The corner of a row: "little data (5 pictures a class), similar task (random halves)"."""
    amount = "" if math.isnan(row["pictures"]) else f" ({row['pictures']:g} pictures a class)"
    halves = f"to the {row['target']} half" if row["target"] else "random halves"
    return ", ".join(filter(None, (row["net"], f"{row['data']} data{amount}", f"{TASKS[row['splits']]} task ({halves})")))


def _gain(row: dict[str, Any]) -> str:
    return str(Gain.of(row)._replace(alone=row["n"] == 1 and not math.isnan(row["low"])))


def _amounts(table: pd.DataFrame) -> Iterator[tuple[str, str, float, pd.DataFrame]]:
    """Of each of the study's networks the rows of the smallest and of the largest amount, or of the one there is."""
    by_net: dict[str, list[tuple[float, pd.DataFrame]]] = {}
    for net, amount, rows in by_amount(table):
        by_net.setdefault(net, []).append((amount, rows))
    for net, parts in by_net.items():
        yield net, "little", *parts[0]
        yield net, "much", *parts[-1]
    if not by_net and {*TASKS} <= {kind_of_split(split) for split in table.get("split", ())}:
        yield from ((net, "much", math.nan, rows) for net, rows in by_network(of_all_data(table)).items())


def _corner(part: Part, data: str, amount: float, metric: str) -> list[dict[str, Any]]:
    """The rows of a corner but for `net`; none where the lecture's answer has no network there, or none beside it."""
    task, levels = TASKS[part.kind], _levels(part.trained, metric)
    says = SAYS[data, task]
    if says not in levels:
        return []
    asked, shown = levels[says][1], pictures(part.trained)["pictures"].max()
    rows = []
    for answer, (networks, level) in levels.items():
        pairs = (level - asked).dropna().groupby(UNIT).mean()
        if pairs.empty:
            continue
        accuracy, own = (float(of.groupby(UNIT).mean().mean()) for of in (level, asked))
        mean, low, high = mean_of_pairs(part.kind, pairs)
        if part.kind != "random" and answer != says:
            reach = binomial_reach(accuracy, own, shown)
            low, high = mean - reach, mean + reach
        numbers = {"accuracy": accuracy, "mean": mean, "low": low, "high": high, "n": len(pairs)}
        rows.append({"answer": answer, "networks": networks, **numbers})
    others = [Gain.of(row).verdict for row in rows if row["answer"] != says]
    if not others:
        return []
    if "above" in others:
        verdict = "cannot tell" if (data, task) == ("little", "different") else "disagrees"
    else:
        verdict = "agrees" if others == ["below", "below"] else "cannot tell"
    target = (
        "" if part.kind == "random" else half_name(part.kind, asked.index.get_level_values("target")[0], half_names(part.trained))
    )
    about = {"splits": part.kind, "target": target, "data": data, "pictures": amount, "says": says, "verdict": verdict}
    return [{**about, **row} for row in rows]


def _levels(trained: pd.DataFrame, metric: str) -> dict[str, tuple[str, pd.Series]]:
    """Of each answer which networks stand for it, and their mean accuracy by SAME_TARGET, where all of them are there."""
    deep = depth(trained) - 1
    nets = trained[trained["treatment"].isin([*_COUNTS])].astype({metric: float})
    counts = [_COUNTS[name](n, deep) for name, n in zip(nets["treatment"], nets["layer"], strict=True)]
    answers = [LINEAR if frozen == deep else FEW if 2 * frozen > deep else MORE for _, frozen in counts]
    nets = nets.assign(copied=[copied for copied, _ in counts], frozen=[frozen for _, frozen in counts], answer=answers)
    nets = nets[nets["copied"] == nets.groupby("answer")["copied"].transform("max")]
    nets = nets.drop_duplicates([*SAME_TARGET, "frozen"])  # AnB.keep with none or all frozen is AnB+ or AnB at the deepest n
    found = {}
    for answer in [answer for answer in ANSWERS if answer in answers]:
        of_answer = nets[nets["answer"] == answer]
        level = of_answer.pivot(index=SAME_TARGET, columns="frozen", values=metric).dropna().mean(axis=1)
        layers = of_answer.groupby("treatment", sort=False)["layer"]
        names = [f"{name} n = {', '.join(map(str, sorted({*of_name})))}" for name, of_name in layers]
        if len(level):
            found[answer] = (listed(names), level)
    return found
