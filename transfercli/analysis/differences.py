"""Paired differences between treatments, their means and intervals."""

import math
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from transfercli.analysis.intervals import binomial_reach, mean_interval
from transfercli.analysis.pairs import (
    SAME_TARGET,
    UNIT,
    _bases,
    _with_kind,
    compared,
    depth,
    each_network,
    kinds_of_split,
    pictures,
    sound,
)
from transfercli.plan.treatments import TREATMENTS

ORDER = ("BnB", "AnB", "BnB+", "AnB+")  # as the study asks: what is lost, and what fine-tuning gives; further ones follow
STARTS = (1, 3, 5)  # of the ranges of layers over which the paper's Table 1 takes means, each to the deepest


def quantities() -> list[tuple[str, str]]:
    """Which treatments are subtracted: each minus those that `TREATMENTS` sets it against, in the order of the rows."""
    return [(treatment, other) for treatment in dict.fromkeys((*ORDER, *TREATMENTS)) for other in TREATMENTS[treatment].against]


def ranges(table: pd.DataFrame) -> list[tuple[int, int]]:
    """The first and last layer of each range: of eight-layer networks 1-7, 3-7, 5-7."""
    deepest = depth(table) - 1
    return [(first, deepest) for first in STARTS if first < deepest]


@each_network
def differences(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """Paired differences between treatments: columns splits, quantity, layer, mean, low, high, n.

    `splits` is the kind of split. `quantity` is "AnB-base" and so on (`quantities`), always of the same split,
    seed, target and layer. `layer` is text: "1", "2", ... for each layer there is, then, of the `ranges` ("1-7", "3-7", "5-7"),
    those of which every layer has a pair: the mean over the layers of each layer's mean, so that a layer with more pairs does
    not count for more. n is the number of pairs (UNIT: of a split and a target, seeds averaged).
    low and high bound the mean's 95% interval over other halvings of the classes (Student's t; NaN for one pair, however
    many its seeds): over pairs and, of a range, over the bases, as all layers' pairs with one base stand or fall with it
    (NaN where a layer has one). The two targets of a random split count as independent; of others there is no interval.
    Only `sound` networks count; a quantity or layer with no pair has no row.
    """
    return _means(paired_values(table, metric), ranges(table))


def _means(each: pd.DataFrame, over: list[tuple[int, int]]) -> pd.DataFrame:
    """`differences`, of the pairs in `paired_values` and over these ranges of layers."""
    each = each.assign(base=each.groupby(UNIT).ngroup())
    found = {of: pairs for of, pairs in each.groupby(["splits", "quantity"], sort=False)}
    rows = []
    for kind, (treatment, other) in product(kinds_of_split(each), quantities()):
        quantity = f"{treatment}-{other}"
        if (kind, quantity) not in found:
            continue
        at, value, base = (found[kind, quantity][column].to_numpy() for column in ("layer", "value", "base"))
        there = sorted({*at.tolist()})
        layers = [(str(layer), layer, layer) for layer in there]
        layers += [(f"{first}-{last}", first, last) for first, last in over if {*range(first, last + 1)} <= {*there}]
        for label, first, last in layers:
            among = (first <= at) & (at <= last)
            interval = mean_of_pairs(kind, value[among], at[among], base[among])
            rows.append((kind, quantity, label, *interval, int(among.sum())))
    return pd.DataFrame(rows, columns=["splits", "quantity", "layer", "mean", "low", "high", "n"])


def mean_of_pairs(
    kind: str, values: ArrayLike, layers: ArrayLike | None = None, draws: ArrayLike | None = None
) -> tuple[float, float, float]:
    """`mean_interval` of a kind of split; low and high are NaN but in random ones: two targets of others are different tasks."""
    mean, low, high = mean_interval(values, layers, draws)
    return (mean, low, high) if kind == "random" else (mean, math.nan, math.nan)


def layer_labels(found: pd.DataFrame) -> list[str]:
    """The labels in the column `layer` of `differences`, in order: layers by number, then the ranges."""
    return sorted(set(found["layer"]), key=lambda label: (not label.isdigit(), int(label.partition("-")[0])))


@each_network
def paired_values(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """What `differences` takes the means of: a row per pair; columns splits, split, target, layer, quantity, value, reach, seeds.

    Networks are paired within a seed; value is the mean over as many `seeds`. `reach` is how far the validation pictures
    alone may have moved it (`binomial_reach`): all seeds saw the same pictures, so it is no smaller for many.
    """
    done = _with_kind(sound(table)).astype({metric: float})
    keys = ["splits", *SAME_TARGET, "layer"]
    wide = done[done["treatment"] != "base"].pivot(index=keys, columns="treatment", values=metric).reset_index()
    wide = wide.merge(_bases(done, metric), on=SAME_TARGET, how="left", validate="many_to_one")
    wide = wide.merge(pictures(done), on=SAME_TARGET, how="left", validate="many_to_one")
    there = [of for of in quantities() if {*of} <= {*wide}]
    names = [f"{treatment}-{other}" for treatment, other in there]
    those, others = (wide[[of[place] for of in there]].to_numpy(float).ravel("F") for place in (0, 1))
    each = pd.concat([wide[keys]] * len(there) or [wide[keys][:0]], ignore_index=True).assign(
        quantity=pd.Series(np.repeat(np.array(names, dtype=object), len(wide)), dtype=object),
        value=those - others,
        reach=binomial_reach(those, others, np.tile(wide["pictures"].to_numpy(float), len(there))),
    )
    return over_seeds(each.dropna(subset=["value"]).astype({"layer": int}))


def over_seeds(each: pd.DataFrame) -> pd.DataFrame:
    """The rows of each UNIT, layer and quantity as one, their seeds averaged; adds `seeds`, how many there were."""
    same = each.groupby(["quantity", "splits", *UNIT, "layer"], sort=False)
    return same.agg(value=("value", "mean"), reach=("reach", "mean"), seeds=("value", "size")).reset_index()


@each_network
def bounded(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """`differences`, where a layer with one pair has as its interval what the validation pictures alone can do."""
    each = paired_values(table, metric)
    return with_reach(_means(each, ranges(table)), each.astype({"layer": str}))


def with_reach(found: pd.DataFrame, each: pd.DataFrame) -> pd.DataFrame:
    """What was `found` of pairs: where there is one, its interval is what the validation pictures alone can do."""
    same = ["splits", "quantity", "layer"]
    alone = found[found["n"] == 1].reset_index().merge(each[[*same, "reach"]], on=same).set_index("index")
    found = found.copy()
    found.loc[alone.index, "low"] = alone["mean"] - alone["reach"]
    found.loc[alone.index, "high"] = alone["mean"] + alone["reach"]
    return found


@each_network
def unpaired(table: pd.DataFrame, treatment: str, metric: str = "top1") -> dict[str, float]:
    """By kind of split, what a treatment gains if nothing is paired: the mean of its layers' means minus that of the bases.

    Only to be shown beside the paired gain: where not every target half has every network, it mixes the halves' difference
    in. Idle bases (`compared`) are left out.
    """
    good = compared(sound(table)).astype({metric: float})
    layers = good.groupby(["splits", "treatment", "layer"])[metric].mean()
    means = layers.groupby(["splits", "treatment"]).mean().dropna().to_dict()
    return {
        kind: means[kind, treatment] - means[kind, "base"]
        for kind in kinds_of_split(table)
        if (kind, treatment) in means and (kind, "base") in means
    }
