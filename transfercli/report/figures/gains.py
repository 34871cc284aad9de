"""What transfer gives while a network learns: start, slope and asymptote against the layer n (`benefits.each_benefit`)."""

import textwrap
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfercli.analysis.benefits import SHARE, each_benefit
from transfercli.analysis.pairs import half_names, kinds_of_split
from transfercli.analysis.words import of_kind, panel_title
from transfercli.plan.treatments import TREATMENTS
from transfercli.report.appearance import LAYER, look
from transfercli.report.figures.points import (
    draw_intervals,
    draw_means,
    draw_points,
    interval_handles,
    layer_ticks,
    limits,
    treatment_handles,
)
from transfercli.report.figures.style import GREY, WIDTH, NothingToDraw, handle, legend, note, style

# Of each benefit: the panel's title, and what its axis shows, in points or in percent.
PANELS = {
    "start": ("higher start", "top-1 at the first evaluation\nminus its base's (points)"),
    "slope": ("higher slope", f"steps saved on the way to {SHARE:.0%}\nof its base's top-1 (%)"),
    "asymptote": ("higher asymptote", "top-1 at the end\nminus its base's (points)"),
}


def benefits(table: pd.DataFrame, logs: dict[str, pd.DataFrame]) -> Figure:
    """The three benefits of transfer against the layer n; a row per kind of split, a panel per benefit.

    table and logs as in `benefits.benefits`, whose means and intervals are  A point is a network, the line at 0 its base.
    A network that never came to 90% of its base's top-1 is open in the panel of slopes: its slope is at most what is shown.
    Raises NothingToDraw where no network and its base are done and have a log.
    """
    each = each_benefit(table, logs)
    kinds, names = kinds_of_split(each), half_names(table)
    if not kinds:
        raise NothingToDraw("no network and its base have a log to compare; train some first: transfer sweep")
    with style():
        figure = Figure(figsize=(WIDTH + 1.6, 1.2 + 3.0 * len(kinds)), layout="constrained")
        axes = figure.subplots(len(kinds), len(PANELS), squeeze=False)
        for row, kind in zip(axes, kinds, strict=True):
            for ax, benefit in zip(row, PANELS, strict=True):
                shown = each[each["splits"] == kind]
                _draw_panel(ax, benefit, shown.assign(value=100 * shown[benefit]).dropna(subset=["value"]))
                layer_ticks(ax, shown["layer"])
            if kinds != ["random"]:
                row[0].set_ylabel(f"{textwrap.fill(panel_title(kind, names), 36)}\n{row[0].get_ylabel()}")
        _same_scales(axes, kinds)
        handles = treatment_handles(set(each["treatment"]))
        if (each["slope"].notna() & ~each["reached"].astype(bool)).any():
            bound = f"never reached {SHARE:.0%}: at most this"
            handles.append(handle(bound, GREY, "o", "none", markerfacecolor="white"))
        measured = [each.assign(value=each[benefit]).dropna(subset=["value"]) for benefit in PANELS]
        groups = [group for among in measured for _, group in among.groupby(["splits", "treatment"])]
        handles += interval_handles(list(axes.flat), groups)
        figure.supxlabel(LAYER)
        legend(figure, handles)
    return figure


def _same_scales(axes: Any, kinds: list[str]) -> None:
    """One scale for each benefit of a kind of split, of all of a study's networks. axes: (kinds, benefits)."""
    for splits in {of_kind(kind)[1] for kind in kinds}:
        for column in axes[[of_kind(kind)[1] == splits for kind in kinds]].T:
            ends = [end for ax in column for end in ax.get_ylim()]
            for ax in column:
                ax.set_ylim(min(ends), max(ends))


def _draw_panel(ax: Axes, benefit: str, points: pd.DataFrame) -> None:
    heading, label = PANELS[benefit]
    ax.set_title(heading)
    ax.set_ylabel(label)
    ax.axhline(0, color="black", alpha=0.6, linewidth=0.8, zorder=1)
    for treatment in TREATMENTS:
        group = points[points["treatment"] == treatment]
        if not len(group):
            continue
        draw_intervals(ax, group)
        draw_means(ax, group)
        bound = ~group["reached"].astype(bool) if benefit == "slope" else pd.Series(False, index=group.index)
        for unreached, among in group.groupby(bound):
            bare = {"markerfacecolor": "white", "markeredgecolor": look(treatment).color, "markeredgewidth": 1.0}
            draw_points(ax, among, **(bare if unreached else {}))
    limits(ax, points["value"].tolist())
    if points.empty:
        note(ax, "not measured", (0.5, 0.5), (0, 4), xycoords="axes fraction", color=GREY, ha="center")
