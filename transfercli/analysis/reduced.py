"""The released networks of reduced ImageNet, trained from scratch on fewer pictures, beside a study's own. No torch."""

import math

import pandas as pd

from transfercli import paper
from transfercli.analysis.amounts import curves
from transfercli.analysis.published import published_table
from transfercli.analysis.words import beside, kind_title, listed

_CLASSES = 1000


def reduced(metric: str = "top1") -> dict[float, float]:
    """Released accuracies by training pictures of each class, 250 to 1300, of networks that tell all 1000 classes apart.

    Those on 100 pictures and fewer never learned: their loss is no lower than a guess's, so they are left out.
    """
    found = paper.published()
    found = found[found["split"].str.startswith("reduced-") & (found["loss_final"] < math.log(_CLASSES) - 0.01)]
    column = "top1_best10" if metric == "top1_best10" else "top1_final"
    return {float(split.removeprefix("reduced-")): float(top1) for split, top1 in zip(found["split"], found[column], strict=True)}


def conclude_reduced(table: pd.DataFrame, metric: str = "top1") -> list[str]:
    """What bases reach by pictures a class, beside the released ones, by network and kind of split.

    Of studies with as many classes as a half of ImageNet, and with two amounts no smaller than the released ones; else nothing.
    """
    theirs, own = reduced(metric), curves(table, metric)
    own = own[(own["treatment"] == "base") & own["pictures"].ge(min(theirs))]
    if own.empty or table["classes"].max() < published_table()["classes"].min():
        return []
    return [
        f"{kind_title(beside(str(net), str(kind)))}: from scratch {_listed(by_pictures)} pictures a class; the released "
        f"networks, of {_CLASSES} classes and 200,000 steps, {_listed(theirs)}. Where classes or steps are others, compare how "
        "far accuracies fall, not heights."
        for (net, kind), group in own.groupby(["net", "splits"], sort=False)
        if len(by_pictures := dict(zip(group["pictures"], group["mean"], strict=True))) > 1
    ]


def _listed(by_pictures: dict[float, float]) -> str:
    return listed([f"{accuracy:.1%} at {pictures:g}" for pictures, accuracy in by_pictures.items()])
