"""The 2014 study as released, as a table like any other."""

import math

import numpy as np
import pandas as pd

from transfercli import paper
from transfercli.plan.networks import Network
from transfercli.plan.splits import KINDS
from transfercli.plan.tasks import HALVES
from transfercli.study import rows

TABLE_COLUMNS = (*rows.COLUMNS, "classes", "val_pictures")


# The authors' files give half A the natural classes; the paper's text says the reverse.
_HALF_OF_KIND = dict(zip(KINDS, HALVES, strict=True))


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
    parts = zip(table["split"], table["seed"], table["treatment"], table["layer"], table["target"], strict=True)
    table["network"] = [Network(*part).name for part in parts]
    return table[list(TABLE_COLUMNS)].reset_index(drop=True)
