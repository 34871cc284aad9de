"""Networks against the layer n: a point for each, a line through a treatment's means, the means' intervals."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from transfercli.analysis.displayed import pair_means
from transfercli.analysis.intervals import mean_interval
from transfercli.analysis.words import LEAST_PAIRS
from transfercli.plan.treatments import TREATMENTS
from transfercli.report.appearance import SPREAD, TWO_PAIRS, look, side_by_side
from transfercli.report.figures.style import GREY, INTERVAL, handle


def draw_points(ax: Axes, group: pd.DataFrame, **more: Any) -> None:
    """A treatment's networks (columns treatment, layer, value, split, seed, target), side by side within a layer."""
    drawn = look(group["treatment"].iloc[0])
    alone = not group.duplicated("layer").any()
    how: dict[str, Any] = {"color": drawn.color, "marker": drawn.marker, "markersize": 5 if alone else 3.8, "alpha": 0.7}
    how |= {"linestyle": "none", "markeredgecolor": "white", "markeredgewidth": 0.4 if alone else 0.2, "zorder": 3}
    for layer, values in _by_layer(group):
        ax.plot([layer + drawn.dodge + aside for aside in side_by_side(len(values))], values, **(how | more))


def draw_means(ax: Axes, group: pd.DataFrame, **more: Any) -> None:
    """The line through the means of a treatment's pairs, seeds averaged."""
    drawn = look(group["treatment"].iloc[0])
    how: dict[str, Any] = {"color": drawn.color, "linewidth": 1.6, "zorder": 2}
    means = [(layer + drawn.dodge, values.mean()) for layer, values in _by_layer(pair_means(group))]
    ax.plot(*zip(*means, strict=True), **(how | more))


def draw_intervals(ax: Axes, group: pd.DataFrame) -> None:
    """The 95% interval of each layer's mean, where it has LEAST_PAIRS or more. The panel's limits cut it off."""
    drawn = look(group["treatment"].iloc[0])
    for layer, values in _by_layer(pair_means(group)):
        _, low, high = mean_interval(values)
        if low < high and len(values) >= LEAST_PAIRS:
            ax.bar(layer + drawn.dodge, high - low, SPREAD, low, color=drawn.color, alpha=0.28, linewidth=0, zorder=1.5)


def _by_layer(group: pd.DataFrame) -> list[tuple[int, pd.Series]]:
    """The values at each layer, always in the same order."""
    group = group.sort_values([column for column in ("target", "split", "seed") if column in group])
    return [(layer, group.loc[group["layer"] == layer, "value"]) for layer in sorted(set(group["layer"].astype(int)))]


def limits(ax: Axes, values: list[float]) -> None:
    """The panel's height by its points and the line at 0: a wide interval may not flatten them."""
    low, high = min([0.0, *values]), max([0.0, *values])
    margin = max(0.07 * (high - low), 0.1)
    ax.set_ylim(low - margin, high + margin)


def layer_ticks(ax: Axes, layers: pd.Series, left: float = 0.4) -> None:
    """A tick for each layer, from 1 or less, with some air to the sides."""
    first, last = min(1, int(layers.min())), max(1, int(layers.max()))
    ax.set_xticks(range(first, last + 1))
    ax.set_xlim(first - left, last + 0.4)


def treatment_handles(treatments: set[str]) -> list[Line2D]:
    """The legend's lines for the treatments that there are."""
    shown = [(treatment, look(treatment)) for treatment in TREATMENTS if treatment in treatments]
    return [handle(drawn.label, drawn.color, drawn.marker, "none" if name == "base" else "-") for name, drawn in shown]


def interval_handles(axes: list[Axes], groups: Iterable[pd.DataFrame]) -> list[Line2D]:
    """What the legend says of intervals: that there are some, and why a layer of one of these `groups` of networks has none."""
    handles = []
    if any(ax.patches for ax in axes):
        handles.append(handle(INTERVAL, GREY, "|", "none", alpha=0.4, markersize=9, markeredgewidth=4))
    if any(len(values) == 2 for group in groups for _, values in _by_layer(pair_means(group))):
        handles.append(handle(TWO_PAIRS, GREY, "", "none"))
    return handles
