"""What figures and the page show of each network."""

import pandas as pd

from transfercli.analysis.pairs import (
    SAME_TARGET,
    UNIT,
    _is_sound,
    _with_columns,
    against_base,
    compared,
    each_network,
    guess,
    learned_nothing,
)
from transfercli.analysis.words import OF_RANDOM_FEATURES

OF_FAILED_BASE = "copied from a failed base"  # what a figure calls a network that learned from one that did not


_SHOWN = ["splits", *SAME_TARGET, "treatment", "layer", "value", "status", "chance"]


@each_network
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


@each_network
def drops(table: pd.DataFrame) -> pd.DataFrame:
    """As `accuracies`, but without the bases; value is top-1 minus that of `against_base`, in points."""
    both = against_base(accuracies(table), "value")
    return both.assign(value=100 * both["gain"])[_SHOWN]


def pair_means(shown: pd.DataFrame) -> pd.DataFrame:
    """What `accuracies` or `drops` have, as pairs: columns treatment, layer, split, target, value, the mean over seeds."""
    return shown.groupby(["treatment", "layer", *UNIT]).agg(value=("value", "mean")).reset_index()
