"""Two questions of an eight-layer network, each fixed in advance as one number per pair. No torch.

A table of seven layers and eight quantities has 56 intervals, of which some leave out zero by chance, and layers share a
base, a draw and their batches, so that neighbours do so together. These two are asked whatever the table shows.
"""

import math
from itertools import product

import pandas as pd

from transfercli.analysis.differences import mean_of_pairs, over_seeds, with_reach
from transfercli.analysis.intervals import NORMAL, mean_interval
from transfercli.analysis.pairs import SAME_TARGET, UNIT, depth, each_network, kind_of_split, kinds_of_split, pictures, sound

LAYERS = 8  # of networks with another number of layers neither is asked
# By contrast, the weight of each network's accuracy. The weights of each add up to 0.
CONTRASTS: dict[str, dict[tuple[str, int], float]] = {
    # Co-adaptation: BnB falls where layers that learned together are parted, and not at either end. The base cancels.
    "dip": {("BnB", 4): 1 / 2, ("BnB", 5): 1 / 2, ("BnB", 1): -1 / 4, ("BnB", 2): -1 / 4, ("BnB", 7): -1 / 2},
    # What the other half adds to fine-tuning, beyond training again on the own half.
    "boost": {(treatment, n): sign / 5 for treatment, sign in (("AnB+", 1), ("BnB+", -1)) for n in range(3, 8)},
}
FORMULAS = {
    "dip": "½(BnB4 + BnB5) − ½(½(BnB1 + BnB2) + BnB7)",
    "boost": "the mean over n = 3-7 of AnB+ − BnB+",
}
AT = {"dip": "4-5", "boost": "3-7"}  # the column `layer`
NEEDED = {"dip": "BnB at layers 1, 2, 4, 5 and 7", "boost": "AnB+ and BnB+ at all of them"}  # of each pair
COMPARED = "BnB at layers 4 and 5 against 1, 2 and 7"  # in the dip


def asked(table: pd.DataFrame) -> bool:
    """Whether these are the networks that the contrasts are about."""
    return depth(table) == LAYERS


@each_network
def contrasts(table: pd.DataFrame, metric: str = "top1", bound: bool = False) -> pd.DataFrame:
    """The contrasts, in the columns of `differences.differences`: splits, quantity, layer, mean, low, high, n; fractions.

    `quantity` is "dip" or "boost". A pair of split and target has a contrast where one seed has all its networks; its seeds
    are averaged first. low and high bound the mean's 95% interval over the n pairs (`mean_of_pairs`); for one pair they are NaN
    or, with `bound`, what the validation pictures alone can do. A contrast that no pair has has no row, and of networks that are
    not `asked` there is none.
    """
    good = sound(table).astype({metric: float})
    counted = pictures(good)
    parts = []
    for name, weights in CONTRASTS.items():
        wide = good.pivot(index=SAME_TARGET, columns=["treatment", "layer"], values=metric)
        if not asked(table) or not set(weights) <= set(wide.columns):
            continue
        wide = wide[list(weights)].dropna()
        of_pictures = wide.index.to_frame(index=False).merge(counted, on=SAME_TARGET, how="left")
        by = pd.Series(weights)
        variance = (wide * (1 - wide)) @ by**2
        parts.append(
            of_pictures.assign(
                splits=[kind_of_split(split) for split in of_pictures["split"]],
                quantity=name,
                layer=AT[name],
                value=(wide @ by).to_numpy(),
                reach=NORMAL * (variance.to_numpy() / of_pictures["pictures"]) ** 0.5,
            )
        )
    columns = ["splits", "quantity", "layer", "mean", "low", "high", "n"]
    if not parts:
        return pd.DataFrame(columns=columns)
    each = over_seeds(pd.concat(parts))
    rows = []
    for kind, quantity in product(kinds_of_split(each), CONTRASTS):
        values = each.loc[(each["splits"] == kind) & (each["quantity"] == quantity), "value"]
        if len(values):
            rows.append((kind, quantity, AT[quantity], *mean_of_pairs(kind, values), len(values)))
    found = pd.DataFrame(rows, columns=columns)
    return with_reach(found, each) if bound else found


SHORT = 0.03  # how far BnB(n = 1)'s training loss must lie below its base's, as a share of it, to be clearly below
SHORT_NATS = 0.01  # and at least so far: of a loss near zero a share says nothing


def trained_twice(table: pd.DataFrame) -> tuple[float, float] | None:
    """(base, BnB at n = 1): their mean training losses where BnB's is clearly below its base's, else None.

    Then the base is short of its best, BnB gains by training its upper layers a second time, and BnB - base says nothing of
    co-adaptation. The losses are `fixed_loss`, on the same pictures without dropout; without the column there is no answer.
    Clearly, by pairs of split and target, seeds averaged: in the mean by the share SHORT of the base's loss and by SHORT_NATS,
    and the mean's 95% interval leaves out zero or, of fewer than three pairs, whose interval says little, all agree.
    """
    if "fixed_loss" not in table:
        return None
    good = sound(table).astype({"fixed_loss": float})
    losses = good[good["treatment"] + good["layer"].astype(str) == "BnB1"].merge(
        good[good["treatment"] == "base"], on=SAME_TARGET, suffixes=("", "_base")
    )
    losses = losses.dropna(subset=["fixed_loss", "fixed_loss_base"]).query("fixed_loss_base > 0")
    own, base = (losses.groupby(UNIT)[column].mean() for column in ("fixed_loss", "fixed_loss_base"))
    if own.empty:
        return None
    mean, low, _ = mean_interval(1 - own / base)
    clearly = low > 0 if len(own) > 2 and not math.isnan(low) else bool((own < base).all())
    if clearly and mean >= SHORT and (base - own).mean() >= SHORT_NATS:
        return float(base.mean()), float(own.mean())
    return None
