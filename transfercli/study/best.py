"""Of networks that were trained at several lengths or learning rates, those that held-out pictures prefer. No torch."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from transfercli.plan.amounts import EPOCHS
from transfercli.plan.amounts import length as length_of
from transfercli.plan.networks import AXES
from transfercli.plan.rates import choose

RATE, LENGTH = "rate", "length"
EDGE = {RATE: "edge", LENGTH: "length_edge"}
OWN = "each at its own length"  # in titles, where others follow that are equally long
EQUAL = ("steps", "epochs")  # the two ways to train all amounts of data equally long: see `by_length`


def at_best(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that count where a study has several lengths or rates: of each way to train one; these are then no axes.

    In place of `length` and `rate` are `best_length` (in multiples of all steps) and `best_rate`, and with each on which end of
    those tried it lies, if on one: `length_edge`, `edge`. Beside the row that counts is what its way came to at equal steps, and
    at equal epochs where these were tried: see `by_length`.

    A way is all that an id says but length and rate, for a split and a target. They are chosen by the accuracy on the fold that
    its networks do not see (`plan.rates.choose`; repeats are seeds); where none can be, the usual stays, for its failure to be
    told.
    Not by the loss, which of few pictures a class is least of networks that hardly trained and guess: the others are too sure of
    their errors. Accuracies on the validation pictures choose nothing. A table of one length and rate is returned as it is.
    """
    if LENGTH not in table or table[LENGTH].fillna(1.0).nunique() < 2:
        return _chosen(table, RATE)
    table = table.assign(**{LENGTH: [1.0 if pd.isna(one) else length_of(str(one)) for one in table[LENGTH]]})
    swept = table[table["treatment"] != "base"][LENGTH]  # at no other length a base is more than a source
    table = table[table[LENGTH].isin(swept)] if len(swept) else table
    best = _chosen(_chosen(table, LENGTH), RATE)
    keys = ["seed", *(key for key in _way(table) if key not in (RATE, LENGTH))]
    for word, rows in _equal(table):
        found = _chosen(rows, RATE)
        marked = {column: _marked(column, word) for column in map(str, found) if column not in {*keys, RATE, LENGTH, "network"}}
        best = best.merge(found.rename(columns=marked)[[*keys, *marked.values()]], how="left", on=keys)
    longest = _longest(table)
    whole = table[table[LENGTH] == longest].groupby("split")["step"].max() / longest
    return best.assign(best_length=(best["step"] / best["split"].map(whole)).round(4))


def by_length(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What `at_best` returned, by ""; and, where lengths were tried, what it had been if all networks had trained equally long,
    each at its best rate: by "equal steps" and "equal epochs".
    """
    beside = {f"equal {word}": _at_equal(table, word) for word in EQUAL}
    return {"": table, **{trained: of for trained, of in beside.items() if of is not None}}


def _at_equal(table: pd.DataFrame, word: str) -> pd.DataFrame | None:
    marks = {column: next((one for one in EQUAL if column.endswith(_marked("", one))), None) for column in map(str, table)}
    plain = {column: column.removesuffix(_marked("", word)) for column, of in marks.items() if of == word}
    others = [column for column, of in marks.items() if of not in (None, word)]
    if not plain:
        return None
    own = [column for column in (*plain.values(), *others, f"best_{LENGTH}", EDGE[LENGTH]) if column in table]
    return table.drop(columns=own).rename(columns=plain).dropna(subset=["status"])


def _marked(column: str, word: str) -> str:
    return f"{column}_at_equal_{word}"


def _equal(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of the longest training, and of as many epochs as all steps are of all the data, where they are the same."""
    yield "steps", table[table[LENGTH] == _longest(table)]
    if (epochs := table[LENGTH] == EPOCHS).any():
        of_all = pd.Series(True, index=table.index)
        for key in (key for key, axis in AXES.items() if axis.concerns == "data" and key in table):
            of_all &= table[key].isna()
        yield "epochs", table[epochs | (of_all & (table[LENGTH] == AXES[LENGTH].usual))]


def _longest(table: pd.DataFrame) -> float:
    return max((length for length in table[LENGTH] if length != EPOCHS), default=AXES[LENGTH].usual)


def _way(table: pd.DataFrame) -> list[str]:
    """The columns that say which network it is, for any seed."""
    return ["split", "target", "treatment", "layer", *(key for key in ("first_layer", *AXES) if key in table)]


def _chosen(table: pd.DataFrame, axis: str) -> pd.DataFrame:
    """`at_best` of one of the two. Lengths are told apart by the steps that they come to."""
    usual = AXES[axis].usual
    if axis not in table or table[axis].fillna(usual).nunique() < 2:
        return table
    table = table.assign(**{axis: table[axis].fillna(usual)})
    rows: list[Any] = table.to_dict("records")
    ways: dict[int, list[int]] = {}  # where the rows of each are
    for at, way in enumerate(table.groupby([key for key in _way(table) if key != axis], sort=False, dropna=False).ngroup()):
        ways.setdefault(way, []).append(at)
    edges: dict[int, str] = {}  # of the rows that count
    for places in ways.values():
        of_way = [rows[at] for at in places]
        sizes: dict[Any, float] = {}  # by value
        for row in of_way:
            size = float(row[axis] if axis == RATE else row["step"])
            sizes[row[axis]] = max(size, sizes.get(row[axis], size))
        wrong: dict[float, dict[int, float]] = {}
        for row in of_way:
            right = row.get("holdout_top1")
            wrong.setdefault(sizes[row[axis]], {})[row["seed"]] = math.nan if right is None else 1 - float(right)
        chosen = choose(wrong, {row["seed"] for row in of_way})
        size = chosen.rate if chosen else sizes.get(usual, min(wrong))
        value = next(value for value in sizes if sizes[value] == size)
        edge = chosen.edge if chosen and len(wrong) > 1 else ""
        edges |= {at: edge for at in places if rows[at][axis] == value}
    counting = sorted(edges)
    return table.iloc[counting].assign(**{EDGE[axis]: [edges[at] for at in counting]}).rename(columns={axis: f"best_{axis}"})
