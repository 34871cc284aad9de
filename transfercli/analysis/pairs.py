"""Pairs: a network beside the base of its split, seed and target; and which networks of a table count. No torch.

Everything is subtracted in pairs. Two halves of one dataset differ by as much as fine-tuning gains, so a
network is compared only with networks of the same split, training seed and target half. Random splits,
man-made/natural and a user's own split are different questions and are never averaged together: see
`kind_of_split`; nor are the networks of a study that has several: see `each_network`. What repeats a measurement is another
halving of the classes: seeds of one split and target half are averaged first, and that mean is the unit over which an interval
is taken (UNIT).
"""

import math
import re
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from transfercli.analysis.published import TABLE_COLUMNS
from transfercli.analysis.words import beside, of_kind
from transfercli.plan.networks import AXES, axes_in_words, axes_order
from transfercli.plan.splits import KINDS
from transfercli.plan.tasks import HALVES
from transfercli.plan.treatments import LEARNED_NOTHING, TREATMENTS
from transfercli.study.rows import Row

SAME_TARGET = ["split", "seed", "target"]
UNIT = ["split", "target"]  # a pair, as the tables count them: its seeds are repeats of the training, not of the halves
UNLIKE = 1e-6  # two accuracies that differ by no more are the same, rounded


def kind_of_split(split: str) -> str:
    """The question a split asks: "random" for random-0, random-1, ...; any other split is its own kind."""
    return "random" if re.fullmatch(r"random-\d+", split) else split


def kinds(table: pd.DataFrame) -> list[str]:
    """The kind of split of each row; with what it is of before it, where a study has several: "small: random"."""
    if "splits" in table:
        return list(table["splits"])
    found = [kind_of_split(split) for split in table.get("split", ())]
    return [beside(axes_in_words(dict(of)), kind) for of, kind in zip(_axes(table), found, strict=True)]


def kinds_of_split(table: pd.DataFrame) -> list[str]:
    """The kinds of split in a table: random first, then man-made-natural, others by name, all-1000 last; network by network."""
    order = {"random": 0, "man-made-natural": 1, "all-1000": 3}
    alone = {} if "splits" in table else by_network(table)
    found = {beside(of, kind_of_split(split)) for of, part in alone.items() for split in part.get("split", ())}
    return sorted(found or {*kinds(table)}, key=lambda kind: (natural(of_kind(kind)[0]), order.get(of_kind(kind)[1], 2), kind))


def natural(text: str) -> list[tuple[int, str]]:
    """By which texts are sorted, so that 25 comes before 100."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", text)]


def is_random(kind: str) -> bool:
    """Whether a kind of split is that of random halves, which are alike, of whatever network."""
    return of_kind(kind)[1] == "random"


def by_network(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each of a study's networks, and of each amount of data, as if there were no others: by what they are called.

    Of a study of one network and all of the data all rows, by "". With networks that copy from a source of its own kind are
    the bases that they are compared with; a base that is only a source is compared with nothing.
    """
    if "first_layer" in table:  # middle segments are for `segments.py`
        table = table[table["first_layer"].isna()].drop(columns="first_layer")
    if not (there := [key for key in AXES if key in table]) or table.empty:
        return {"": table.drop(columns=there)}
    is_base, own = (table["treatment"] == "base").to_numpy(), _axes(table)
    swept = {of for of, alone in zip(own, is_base, strict=True) if not alone}
    needed = {of for of in own if of in swept or not {*dict(of)} - {"net"}} if swept else {*own}
    parts: dict[str, pd.DataFrame] = {}
    for of in sorted(needed, key=lambda of: axes_order(dict(of))):
        control = tuple(pair for pair in of if AXES[pair[0]].concerns in ("network", "data"))
        mine = [one == of or (alone and one == control) for one, alone in zip(own, is_base, strict=True)]
        parts[axes_in_words(dict(of))] = table[mine].drop(columns=there)
    return parts


def of_all_data(table: pd.DataFrame) -> pd.DataFrame:
    """The networks that differ in nothing but which of the study's networks they are."""
    others = [key for key in AXES if key in table and key != "net"]
    whole = [not {*dict(of)} - {"net"} for of in _axes(table)] if others else slice(None)
    return table[whole].drop(columns=others)


def _axes(table: pd.DataFrame) -> list[tuple[tuple[str, Any], ...]]:
    """Of each row its values of AXES, as `Network.axes` has them."""
    there = [key for key in AXES if key in table]
    found = zip(*(table[key].fillna(AXES[key].usual) for key in there), strict=True) if there else [()] * len(table)
    return [tuple((key, value) for key, value in zip(there, of, strict=True) if value != AXES[key].usual) for of in found]


Analysis = TypeVar("Analysis", bound=Callable[..., Any])


def each_network(analyse: Analysis) -> Analysis:
    """What a function finds in a table, of each of its networks, one after another: its kinds of split say which (`kinds`).

    The table is its first argument; it returns a table with the column splits, or a dict by kind of split.
    """

    @wraps(analyse)
    def of_each(table: Any, *args: Any, **more: Any) -> Any:
        found = {net: analyse(part, *args, **more) for net, part in by_network(table).items()}
        if [*found] == [""]:
            return found[""]
        if all(isinstance(of, dict) for of in found.values()):
            return {beside(net, kind): value for net, of in found.items() for kind, value in of.items()}
        named = [of.assign(splits=[beside(net, kind) for kind in of["splits"]]) for net, of in found.items()]
        return pd.concat([of for of in named if len(of)] or named[:1], ignore_index=True)

    return of_each  # type: ignore[return-value]


def half_names(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    """(split, half) to what the half is called, for halves with names: by the rows; man-made-natural's need not be in them."""
    names = {("man-made-natural", half): name for half, name in zip(HALVES, KINDS, strict=True)}
    for side in ("source", "target"):
        if f"{side}_name" in table:
            found = table[["split", side, f"{side}_name"]].drop_duplicates().itertuples(index=False)
            names |= {(split, half): name for split, half, name in found if isinstance(name, str) and name}
    return names


def against_base(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """Every network but the bases, whatever its status, beside the base of the same split, seed and target.

    Adds `base` (the base's metric) and `gain` (metric minus base; for accuracies a fraction, 0.01 is one
    point). A network whose base is missing, or did not train, stays out.
    """
    table = _with_columns(table).astype({metric: float})  # a diverged network may have None
    transfers = table[table["treatment"] != "base"]
    both = transfers.merge(_bases(table, metric), on=_same(table), how="inner", validate="many_to_one")
    return both.assign(gain=both[metric] - both["base"])


def pairs(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """`against_base`, only of the networks that say something of a gain: they are done, and so is the base they copied."""
    return against_base(sound(table), metric).reset_index(drop=True)


def sound(table: pd.DataFrame) -> pd.DataFrame:
    """The networks that count: done, or `learned_nothing`, and not copied from a base that failed."""
    table = _with_columns(table)
    return table[_is_sound(table)]


def learned_nothing(table: pd.DataFrame) -> pd.Series:
    """Which networks on random features learned nothing, which is what these features are worth: a result, not a failure.

    To leave them out would flatter RnB. One that diverged, and has no accuracy, is a failure as any other.
    """
    return of_random_features(table) & (table["status"] == LEARNED_NOTHING) & table["top1"].notna()


def of_random_features(table: pd.DataFrame) -> pd.Series:
    """Which networks begin with layers that nobody trained."""
    return table["treatment"].isin([name for name, rule in TREATMENTS.items() if rule.origin == "random"])


def result(table: pd.DataFrame) -> pd.Series:
    """Which networks did not fail: done, or `learned_nothing`."""
    return (table["status"] == "done") | learned_nothing(table)


def _is_sound(table: pd.DataFrame) -> np.ndarray:
    is_base, good = table["treatment"] == "base", result(table)
    failed = set(_keys(table[is_base & ~good]))
    return good.to_numpy() & np.array([source not in failed for source in _keys(table, "source")], dtype=bool)


def compared(table: pd.DataFrame) -> pd.DataFrame:
    """The table without idle bases: once there are transfer networks, a base of which none has the split, seed and target.

    Halves differ, so there is nothing to compare such a base with.
    """
    table = _with_kind(_with_columns(table))
    transfers = table[table["treatment"] != "base"]
    swept, targets = set(transfers["splits"]), set(_keys(transfers))
    idle = [kind in swept and key not in targets for kind, key in zip(table["splits"], _keys(table), strict=True)]
    return table[~np.array(idle, dtype=bool)]


def guess(table: pd.DataFrame) -> pd.Series:
    """What a guess is right of each network's pictures, a fraction; rows of old do not say, but their classes are of one size."""
    alike = 1 / table["classes"].astype(float)
    return table["chance"].astype(float).fillna(alike) if "chance" in table else alike


def depth(table: pd.DataFrame) -> int:
    """How many layers the table's networks have, so that n goes to one less; rows of old do not say."""
    of_old = Row.model_fields["layers"].default
    return int(table["layers"].fillna(of_old).max()) if "layers" in table and len(table) else of_old


def unequal(table: pd.DataFrame) -> bool:
    """Whether classes are of unequal size, so that balanced accuracies are other than the plain ones."""
    return "balanced_top1" in table and bool((table["balanced_top1"] - table["top1"]).abs().max() > UNLIKE)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dicts by column."""
    rows: list[Any] = table.to_dict("records")
    return rows


def _bases(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The bases that are done: columns SAME_TARGET and base, their metric."""
    done = (table["treatment"] == "base") & (table["status"] == "done")
    return table.loc[done, [*_same(table), metric]].rename(columns={metric: "base"})


def _same(table: pd.DataFrame) -> list[str]:
    """What a network has in common with its base."""
    return [key for key, axis in AXES.items() if key in table and axis.concerns in ("network", "data")] + SAME_TARGET


def _keys(table: pd.DataFrame, half: str = "target") -> list[tuple]:
    """What each network has in common with the base of the half which the column `half` names."""
    return list(table[[half if column == "target" else column for column in _same(table)]].itertuples(index=False, name=None))


def pictures(table: pd.DataFrame) -> pd.DataFrame:
    """How many validation pictures each target half has: columns SAME_TARGET and pictures (NaN where not recorded)."""
    if "val_pictures" not in table:
        table = table.assign(val_pictures=math.nan)
    return table.groupby(SAME_TARGET, as_index=False).agg(pictures=("val_pictures", "max"))


def _with_columns(table: pd.DataFrame) -> pd.DataFrame:
    """A table that holds no row may hold no column either."""
    return table if len(table.columns) else pd.DataFrame(columns=list(TABLE_COLUMNS))


def _with_kind(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(splits=pd.Series(kinds(table), index=table.index, dtype=object))  # of texts, also where there are none
