"""Learning curves, their means over networks, and the bases' levels, as the figures and the report's page draw them. No torch."""

from typing import NamedTuple

import pandas as pd

from transfercli.analysis.benefits import curve, log_names
from transfercli.analysis.displayed import pair_means
from transfercli.analysis.pairs import kind_of_split, sound
from transfercli.analysis.words import beside
from transfercli.plan.networks import Network, axes_in_words, placed


def base_levels(points: pd.DataFrame, by_target: bool) -> dict[str, float]:
    """The mean of the bases that are done: by target, or "" for all of them, as of random halves, which are alike.

    points: columns treatment, status, split, target, layer, value, as `displayed.accuracies` has them for one kind of split.
    """
    bases = pair_means(points[(points["treatment"] == "base") & (points["status"] == "done")])
    targets = bases["target"] if by_target else pd.Series("", index=bases.index)
    return {str(target): float(group["value"].mean()) for target, group in bases.groupby(targets)}


class Curve(NamedTuple):
    """One network's top-1, indexed by step."""

    network: Network
    top1: pd.Series
    trained: bool

    @property
    def kind(self) -> str:
        """As `pairs.kinds` has it."""
        return beside(axes_in_words(dict(self.network.axes)), kind_of_split(self.network.split))

    @property
    def pair(self) -> str:
        """What a network has in common with its base."""
        return self.network.control.place


def measured(logs: dict[str, pd.DataFrame], table: pd.DataFrame | None) -> list[Curve]:
    """The logs that have a line, in the order of their names; by the table, where there is one, who is sound.

    Raises ValueError where a name is no network's.
    """
    failed = set()
    if table is not None and len(table):
        failed = {*log_names(table.drop(sound(table).index))}
    found = [Curve(placed(name), curve(logs[name]), name not in failed) for name in sorted(logs)]
    return [one for one in found if len(one.top1) and one.network.first == 1]


def bases_of(curves: list[Curve], shown: list[Curve]) -> list[Curve]:
    """The bases that these networks are compared with."""
    pairs = {one.pair for one in shown}
    return [one for one in curves if one.network.is_base and one.pair in pairs]


def means_by_layer(curves: list[Curve]) -> dict[int, pd.Series]:
    """By n, the mean curve of the networks that trained."""
    layers = sorted({one.network.layer for one in curves if one.trained})
    means = {n: mean_curve([one.top1 for one in curves if one.trained and one.network.layer == n]) for n in layers}
    return {n: mean for n, mean in means.items() if len(mean)}


def mean_curve(curves: list[pd.Series]) -> pd.Series:
    """The mean of curves over step; linear between evaluations where their steps differ, and only as far as all of them go."""
    together = pd.concat(curves, axis=1).sort_index().interpolate("index", limit_area="inside")
    return together.dropna().mean(axis=1)
