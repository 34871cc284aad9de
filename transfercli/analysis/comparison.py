"""One study against another, point by point."""

import math

import pandas as pd

from transfercli.analysis.differences import mean_of_pairs, paired_values
from transfercli.analysis.intervals import binomial_interval
from transfercli.analysis.pairs import (
    SAME_TARGET,
    UNIT,
    _with_columns,
    by_network,
    compared,
    kinds_of_split,
    of_all_data,
    pictures,
    sound,
)
from transfercli.analysis.words import LEAST_PAIRS, beside
from transfercli.plan.networks import AXES
from transfercli.plan.treatments import TREATMENTS


def compare(table: pd.DataFrame, other: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """One study against another, as the published one, point by point, where both have the kind of split and the quantity.

    Columns splits, quantity, layer (int), value, low, high, n, other, other_low, other_high, other_n, difference, inside;
    all but n fractions. `quantity` "AnB" is the mean top-1, "AnB-base" the mean paired gain. low and high bound the 95%
    interval of `value` over n pairs of split and target, seeds averaged (`mean_of_pairs`; of one pair what the validation
    pictures alone can do, NaN where their number is not known). other_low and other_high are the least and the largest of
    the other study's.
    `inside`: value lies within these two, widened on each side by this study's interval if that is of LEAST_PAIRS or more.
    Of several networks each is compared, with that of its name where the other study has several too; `kinds` says which.
    """
    if not (amounts := {*AXES} - {"net"}) & {*table} or not amounts & {*other}:  # else all of the data would stand beside a part
        table, other = of_all_data(table), of_all_data(other)
    here, there = by_network(table), by_network(other)
    nets = [*here] if "" in there else [*there] if "" in here else [net for net in here if net in there]
    found = [_compared(here.get(net, table), there.get(net, other), metric) for net in nets]
    if nets == [""]:
        return found[0]
    named = [of.assign(splits=[beside(net, kind) for kind in of["splits"]]) for net, of in zip(nets, found, strict=True)]
    return pd.concat([of for of in named if len(of)] or [_compared(table[:0], other[:0], metric)], ignore_index=True)


def _compared(table: pd.DataFrame, other: pd.DataFrame, metric: str) -> pd.DataFrame:
    """`compare`, of one network each."""
    both = _points(table, metric).merge(_points(other, metric), on=["splits", "quantity", "layer"], suffixes=("", "_theirs"))
    reach = ((both["high"] - both["low"]) / 2).where(both["n"] >= LEAST_PAIRS).fillna(0.0)
    return pd.DataFrame(
        {
            **{column: both[column] for column in ("splits", "quantity", "layer")},
            **{column: both[column] for column in ("value", "low", "high", "n")},
            "other": both["value_theirs"],
            "other_low": both["least_theirs"],
            "other_high": both["most_theirs"],
            "other_n": both["n_theirs"],
            "difference": both["value"] - both["value_theirs"],
            "inside": both["value"].between(both["least_theirs"] - reach, both["most_theirs"] + reach),
        }
    )


def in_spread(found: pd.DataFrame) -> pd.Series:
    """Of `compare`: whether each value lies among the other study's without the help of this study's interval."""
    return found["value"].between(found["other_low"], found["other_high"])


def _points(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Each accuracy and each gain over the base: columns splits, quantity, layer, value, low, high, n, least, most."""
    table = _with_columns(table)
    gains = paired_values(table, metric)
    gains = gains[gains["quantity"].str.endswith("-base")]
    good = compared(sound(table)).astype({metric: float}).merge(pictures(table), on=SAME_TARGET, how="left")
    over = good.rename(columns={"treatment": "quantity"}).groupby(["splits", *UNIT, "quantity", "layer"], sort=False)
    alone = over.agg(value=(metric, "mean"), pictures=("pictures", "max")).dropna(subset=["value"]).reset_index()
    columns = ["splits", "quantity", "layer", "value", "reach", "pictures"]
    each = pd.concat([alone.assign(reach=math.nan)[columns], gains.assign(pictures=math.nan)[columns]])
    rows = []
    for kind in kinds_of_split(table):
        for (quantity, layer), group in each[each["splits"] == kind].groupby(["quantity", "layer"], sort=False):
            values = group["value"]
            mean, low, high = mean_of_pairs(kind, values)
            if len(values) == 1:
                low, high = _of_one(mean, group["reach"].iloc[0], group["pictures"].iloc[0])
            if str(quantity) in TREATMENTS:
                low, high = max(low, 0.0), min(high, 1.0)
            rows.append((kind, quantity, layer, mean, low, high, len(values), values.min(), values.max()))
    return pd.DataFrame(rows, columns=["splits", "quantity", "layer", "value", "low", "high", "n", "least", "most"])


def _of_one(value: float, reach: float, pictures: float) -> tuple[float, float]:
    """What the validation pictures alone can do to one pair's difference, or to one network's accuracy."""
    if math.isnan(pictures):
        return value - reach, value + reach
    return binomial_interval(value, int(pictures))
