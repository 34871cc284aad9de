"""What a table of networks says: gains over the base of the same target, means, intervals. No torch.

Everything is subtracted in pairs. Two halves of one dataset differ by as much as fine-tuning gains, so a
network is compared only with networks of the same split, training seed and target half. Random splits,
man-made/natural and a user's own split are different questions and are never averaged together: see
`kind_of_split`. What repeats a measurement is another halving of the classes: seeds of one split and target half are
averaged first, and that mean is the unit over which an interval is taken (UNIT).
"""

import math
import re
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from transfercli import paper
from transfercli.analysis.intervals import binomial_interval, mean_interval, noise
from transfercli.analysis.words import LEAST_PAIRS, OF_RANDOM_FEATURES
from transfercli.plan import networks as plan
from transfercli.plan.networks import HALVES
from transfercli.plan.splits import KINDS
from transfercli.study import folder as study

TABLE_COLUMNS = (*study.COLUMNS, "classes", "val_pictures")
TREATMENTS = ("base", *plan.TREATMENTS)
QUANTITIES = (
    *(("BnB", "base"), ("AnB", "base"), ("AnB", "BnB")),
    *(("BnB+", "base"), ("AnB+", "base"), ("AnB+", "AnB"), ("AnB+", "BnB+"), ("RnB", "base")),
)
RANGES = ((1, 7), (3, 7), (5, 7))
SAME_TARGET = ["split", "seed", "target"]
UNIT = ["split", "target"]  # a pair, as the tables count them: its seeds are repeats of the training, not of the halves
UNLIKE = 1e-6  # two accuracies that differ by no more are the same, rounded
OF_FAILED_BASE = "copied from a failed base"  # what a figure calls a network that learned from one that did not

_SHOWN = ["splits", *SAME_TARGET, "treatment", "layer", "value", "status", "chance"]

# The authors' files give half A the natural classes; the paper's text says the reverse.
_HALF_OF_KIND = {"natural": "A", "man-made": "B"}
_CLASSES_OF_TARGET = {"natural": 449, "man-made": 551, "all": 1000}
# The authors' last layer has 1000 outputs whatever the half, so guessing costs ln 1000.
_AUTHORS_OUTPUTS = 1000
_VAL_PICTURES = 50  # of each ImageNet class


def published_table() -> pd.DataFrame:
    """The 2014 study as released, in the columns of `results.csv` (TABLE_COLUMNS); one row per network.

    Random halves are the splits random-0 to random-3. In man-made-natural, half A is natural, as in the
    authors' files. The networks on random filters (RnB) and their base were trained on all 1000 classes:
    split all-1000, target "all". The networks on fewer pictures (reduced-*) are no part of a transfer study
    and are left out. top5 was not released (NaN). top1 is the last evaluation's; the paper reports
    top1_best10.
    """
    released = paper.published()
    released = released[released["split"].isin(["random", "man-made-natural", "all-1000"])]
    random = released["split"] == "random"
    split = released["split"].where(~random, "random-" + released["seed"].astype("Int64").astype(str))
    source = released["source"].replace(_HALF_OF_KIND)
    target = released["target"].replace(_HALF_OF_KIND)
    stayed = (released["loss_final"] - math.log(_AUTHORS_OUTPUTS)).abs() < 0.01
    table = pd.DataFrame(
        {
            "split": split,
            "seed": 0,
            "treatment": released["treatment"],
            "source": source,
            "target": target,
            "layer": released["layer"].astype(int),
            "top1": released["top1_final"],
            "top5": math.nan,
            "loss": released["loss_final"],
            "top1_best10": released["top1_best10"],
            "step": released["iterations"],
            "status": np.where(stayed, "did not learn", "done"),
            "classes": released["target"].map(_CLASSES_OF_TARGET).fillna(500).astype(int),
        }
    )
    table["val_pictures"] = _VAL_PICTURES * table["classes"]
    parts = zip(table["treatment"], table["source"], table["layer"], table["target"], strict=True)
    table["network"] = [_network(*part) for part in parts]
    return table[list(TABLE_COLUMNS)].reset_index(drop=True)


def kind_of_split(split: str) -> str:
    """The question a split asks: "random" for random-0, random-1, ...; any other split is its own kind."""
    return "random" if re.fullmatch(r"random-\d+", split) else split


def kinds_of_split(table: pd.DataFrame) -> list[str]:
    """The kinds of split in a table: random first, then man-made-natural, others by name, all-1000 last."""
    order = {"random": 0, "man-made-natural": 1, "all-1000": 3}
    kinds = {kind_of_split(split) for split in table.get("split", ())}
    return sorted(kinds, key=lambda kind: (order.get(kind, 2), kind))


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
    both = transfers.merge(_bases(table, metric), on=SAME_TARGET, how="inner", validate="many_to_one")
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
    return (table["treatment"] == "RnB") & (table["status"] == plan.LEARNED_NOTHING) & table["top1"].notna()


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


def accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """What a figure shows of each network: columns _SHOWN.

    `splits` is the kind of split; value is the top-1 and chance what guessing gives, both fractions: the column `chance`
    where there is one (classes may be unequal), else 1/classes. A network that diverged and has no top-1 is shown at
    chance; one that is done but not `sound` has the status OF_FAILED_BASE, one that `learned_nothing` OF_RANDOM_FEATURES.
    Idle bases (`compared`) are left out.
    """
    table = _with_columns(table)
    table = compared(table.assign(status=shown_status(table)))
    chance = guess(table)
    value = table["top1"].astype(float)
    value = value.where((table["status"] == "done") | value.notna(), chance)
    return table.assign(value=value, chance=chance)[_SHOWN].dropna(subset=["value"])


def shown_status(table: pd.DataFrame) -> pd.Series:
    """Each network's status, but OF_FAILED_BASE where it is done and not `sound`, or OF_RANDOM_FEATURES (`learned_nothing`)."""
    unsound = (table["status"] == "done") & ~_is_sound(table)
    return table["status"].where(~unsound, OF_FAILED_BASE).where(~learned_nothing(table), OF_RANDOM_FEATURES)


def counts(shown: pd.DataFrame) -> pd.Series:
    """Which networks in `accuracies` or `drops` are in the means; the others are only shown to have failed."""
    return shown["status"].isin(["done", OF_RANDOM_FEATURES])


def guess(table: pd.DataFrame) -> pd.Series:
    """What a guess is right of each network's pictures, a fraction; rows of old do not say, but their classes are of one size."""
    alike = 1 / table["classes"].astype(float)
    return table["chance"].astype(float).fillna(alike) if "chance" in table else alike


def unequal(table: pd.DataFrame) -> bool:
    """Whether classes are of unequal size, so that balanced accuracies are other than the plain ones."""
    return "balanced_top1" in table and bool((table["balanced_top1"] - table["top1"]).abs().max() > UNLIKE)


def drops(table: pd.DataFrame) -> pd.DataFrame:
    """As `accuracies`, but without the bases; value is top-1 minus that of `against_base`, in points."""
    both = against_base(accuracies(table), "value")
    return both.assign(value=100 * both["gain"])[_SHOWN]


def pair_means(shown: pd.DataFrame) -> pd.DataFrame:
    """What `accuracies` or `drops` have, as pairs: columns treatment, layer, split, target, value, the mean over seeds."""
    return shown.groupby(["treatment", "layer", *UNIT]).agg(value=("value", "mean")).reset_index()


def differences(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """Paired differences between treatments: columns splits, quantity, layer, mean, low, high, n.

    `splits` is the kind of split. `quantity` is "AnB-base" and so on (QUANTITIES), always of the same split,
    seed, target and layer. `layer` is text: "1", "2", ... for each layer there is, then, of "1-7", "3-7" and
    "5-7", those of which every layer has a pair: the mean over the layers of each layer's mean, so that a layer
    with more pairs does not count for more. n is the number of pairs (UNIT: of a split and a target, seeds averaged).
    low and high bound the mean's 95% interval over other halvings of the classes (Student's t; NaN for one pair, however
    many its seeds): over pairs and, of a range, over the bases, as all layers' pairs with one base stand or fall with it
    (NaN where a layer has one). The two targets of a random split count as independent; of others there is no interval.
    Only `sound` networks count; a quantity or layer with no pair has no row.
    """
    return _means(paired_values(table, metric))


def _means(each: pd.DataFrame) -> pd.DataFrame:
    """`differences`, of the pairs in `paired_values`."""
    each = each.assign(base=each.groupby(UNIT).ngroup())
    rows = []
    for kind, (treatment, other) in product(kinds_of_split(each), QUANTITIES):
        quantity = f"{treatment}-{other}"
        of_quantity = each[(each["splits"] == kind) & (each["quantity"] == quantity)]
        there = sorted(set(of_quantity["layer"]))
        layers = [(str(layer), layer, layer) for layer in there]
        layers += [(f"{first}-{last}", first, last) for first, last in RANGES if {*range(first, last + 1)} <= {*there}]
        for label, first, last in layers:
            among = of_quantity[of_quantity["layer"].between(first, last)]
            interval = mean_of_pairs(kind, among["value"], among["layer"], among["base"])
            rows.append((kind, quantity, label, *interval, len(among)))
    return pd.DataFrame(rows, columns=["splits", "quantity", "layer", "mean", "low", "high", "n"])


def mean_of_pairs(
    kind: str, values: pd.Series, layers: pd.Series | None = None, draws: pd.Series | None = None
) -> tuple[float, float, float]:
    """`mean_interval` of a kind of split; low and high are NaN but in random ones: two targets of others are different tasks."""
    mean, low, high = mean_interval(values, layers, draws)
    return (mean, low, high) if kind == "random" else (mean, math.nan, math.nan)


def layer_labels(found: pd.DataFrame) -> list[str]:
    """The labels in the column `layer` of `differences`, in order: layers by number, then the ranges."""
    ranges = [f"{first}-{last}" for first, last in RANGES]
    labels = set(found["layer"])
    return sorted(labels - {*ranges}, key=int) + [label for label in ranges if label in labels]


def paired_values(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """What `differences` takes the means of: a row per pair; columns splits, split, target, layer, quantity, value, noise, seeds.

    Networks are paired within a seed; value is the mean over as many `seeds`. `noise` is how far the validation pictures
    alone may have moved it (`intervals.noise`): all seeds saw the same pictures, so it is no smaller for many.
    """
    done = _with_kind(sound(table)).astype({metric: float})
    keys = ["splits", *SAME_TARGET, "layer"]
    wide = done[done["treatment"] != "base"].pivot(index=keys, columns="treatment", values=metric).reset_index()
    wide = wide.merge(_bases(done, metric), on=SAME_TARGET, how="left", validate="many_to_one")
    wide = wide.merge(pictures(done), on=SAME_TARGET, how="left", validate="many_to_one")
    parts = [
        wide[keys].assign(
            quantity=f"{treatment}-{other}",
            value=wide[treatment] - wide[other],
            noise=[noise(*numbers) for numbers in zip(wide[treatment], wide[other], wide["pictures"], strict=True)],
        )
        for treatment, other in QUANTITIES
        if treatment in wide and other in wide
    ]
    each = pd.concat(parts) if parts else wide[keys].assign(quantity="", value=math.nan, noise=math.nan)
    return over_seeds(each.dropna(subset=["value"]).astype({"layer": int}))


def over_seeds(each: pd.DataFrame) -> pd.DataFrame:
    """The rows of each UNIT, layer and quantity as one, their seeds averaged; adds `seeds`, how many there were."""
    same = each.groupby(["quantity", "splits", *UNIT, "layer"], sort=False)
    return same.agg(value=("value", "mean"), noise=("noise", "mean"), seeds=("value", "size")).reset_index()


def bounded(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """`differences`, where a layer with one pair has as its interval what the validation pictures alone can do."""
    each = paired_values(table, metric)
    return with_noise(_means(each), each.astype({"layer": str}))


def with_noise(found: pd.DataFrame, each: pd.DataFrame) -> pd.DataFrame:
    """What was `found` of pairs: where there is one, its interval is what the validation pictures alone can do."""
    same = ["splits", "quantity", "layer"]
    alone = found[found["n"] == 1].reset_index().merge(each[[*same, "noise"]], on=same).set_index("index")
    found = found.copy()
    found.loc[alone.index, "low"] = alone["mean"] - alone["noise"]
    found.loc[alone.index, "high"] = alone["mean"] + alone["noise"]
    return found


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as dicts by column."""
    rows: list[Any] = table.to_dict("records")
    return rows


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


def compare(table: pd.DataFrame, other: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """One study against another, as the published one, point by point, where both have the kind of split and the quantity.

    Columns splits, quantity, layer (int), value, low, high, n, other, other_low, other_high, other_n, difference, inside;
    all but n fractions. `quantity` "AnB" is the mean top-1, "AnB-base" the mean paired gain. low and high bound the 95%
    interval of `value` over n pairs of split and target, seeds averaged (`mean_of_pairs`; of one pair what the validation
    pictures alone can do, NaN where their number is not known). other_low and other_high are the least and the largest of
    the other study's.
    `inside`: value lies within these two, widened on each side by this study's interval if that is of LEAST_PAIRS or more.
    """
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
    alone = over.agg(value=(metric, "mean"), pictures=("pictures", "max")).reset_index()
    columns = ["splits", "quantity", "layer", "value", "noise", "pictures"]
    each = pd.concat([alone.assign(noise=math.nan)[columns], gains.assign(pictures=math.nan)[columns]])
    rows = []
    for kind in kinds_of_split(table):
        for (quantity, layer), group in each[each["splits"] == kind].groupby(["quantity", "layer"], sort=False):
            values = group["value"]
            mean, low, high = mean_of_pairs(kind, values)
            if len(values) == 1:
                low, high = _of_one(mean, group["noise"].iloc[0], group["pictures"].iloc[0])
            if str(quantity) in TREATMENTS:
                low, high = max(low, 0.0), min(high, 1.0)
            rows.append((kind, quantity, layer, mean, low, high, len(values), values.min(), values.max()))
    return pd.DataFrame(rows, columns=["splits", "quantity", "layer", "value", "low", "high", "n", "least", "most"])


def _of_one(value: float, noise: float, pictures: float) -> tuple[float, float]:
    """What the validation pictures alone can do to one pair's difference, or to one network's accuracy."""
    if math.isnan(pictures):
        return value - noise, value + noise
    return binomial_interval(value, int(pictures))


def _bases(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The bases that are done: columns SAME_TARGET and base, their metric."""
    done = (table["treatment"] == "base") & (table["status"] == "done")
    return table.loc[done, [*SAME_TARGET, metric]].rename(columns={metric: "base"})


def _keys(table: pd.DataFrame, half: str = "target") -> list[tuple[str, int, str]]:
    """(split, seed, half) of each network, whose base is that of the half which the column `half` names."""
    return list(zip(table["split"], table["seed"], table[half], strict=True))


def pictures(table: pd.DataFrame) -> pd.DataFrame:
    """How many validation pictures each target half has: columns SAME_TARGET and pictures (NaN where not recorded)."""
    if "val_pictures" not in table:
        table = table.assign(val_pictures=math.nan)
    return table.groupby(SAME_TARGET, as_index=False).agg(pictures=("val_pictures", "max"))


def _network(treatment: str, source: str, layer: int, target: str) -> str:
    """The network's id: baseB, A3B, A3B+, R3all."""
    if treatment == "base":
        return f"base{target}"
    return f"{source[0].upper()}{layer}{target}" + "+" * treatment.endswith("+")


def _with_columns(table: pd.DataFrame) -> pd.DataFrame:
    """A table that holds no row may hold no column either."""
    return table if len(table.columns) else pd.DataFrame(columns=list(TABLE_COLUMNS))


def _with_kind(table: pd.DataFrame) -> pd.DataFrame:
    kinds = [kind_of_split(split) for split in table["split"]]
    return table.assign(splits=pd.Series(kinds, index=table.index, dtype=object))  # of texts, also where there are none
