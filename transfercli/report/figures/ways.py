"""Ways to fine-tune the same copied layers: what each gives beside fine-tuning all, against what its training costs."""

import math
from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfercli.analysis.pairs import half_names, kinds_of_split
from transfercli.analysis.ways import ways
from transfercli.analysis.words import panel_title
from transfercli.plan.treatments import LETTERS, TREATMENTS
from transfercli.report.appearance import look
from transfercli.report.figures.style import GREY, WIDTH, NothingToDraw, handle, legend, set_title, style
from transfercli.study.best import OWN

INTERVALS = "95% intervals, all of a panel together"


def ways_vs_cost(table: pd.DataFrame) -> Figure:
    """The gain over fine-tuning all (points, with intervals) of each treatment against its training's multiply-adds.

    A panel for each kind of split, origin and layer n at which there are three treatments or more (`ways.ways`); where several
    lengths were tried, another for equal steps. Raises NothingToDraw where there are not, or where rows do not say what they
    cost.
    """
    found = ways(table).dropna(subset=["cost"])
    if found.empty:
        raise NothingToDraw("no layer has three ways to fine-tune, fine-tuning all among them; choose more treatments")
    names = half_names(table)
    groups = dict(iter(found.groupby(["splits", "origin", "layer", "trained"])))
    order = product(kinds_of_split(found), LETTERS, sorted({*found["layer"]}), dict.fromkeys(found["trained"]))
    panels = [(*of, groups[of]) for of in order if of in groups]
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    with style():
        figure = Figure(figsize=(WIDTH if columns > 1 else 0.75 * WIDTH, 1.3 + 3.2 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        whose = len({origin for _, origin, *_ in panels}) > 1
        for ax, (kind, origin, layer, trained, group) in zip(axes.flat, panels, strict=False):
            length = trained or OWN * (found["trained"].nunique() > 1)
            said = [panel_title(kind, names), f"n = {layer}", f"layers {WHOSE[origin]}" * whose, length]
            set_title(ax, ", ".join(filter(None, said)))
            _draw(ax, group)
        for ax in list(axes.flat)[len(panels) :]:
            ax.remove()
        figure.supxlabel("multiply-adds of the whole training, in multiples of fine-tuning all")
        figure.supylabel("top-1 minus that of fine-tuning all (points)")
        shown = [name for name in TREATMENTS if name in {*found["treatment"]}]
        # By name alone: what each does, docs/treatments.md draws, and would not fit.
        handles = [handle(name, look(name).color, look(name).marker, "none") for name in shown]
        if found["low"].notna().any():
            handles.append(handle(INTERVALS, GREY, "|", "none", alpha=0.5, markersize=9, markeredgewidth=2))
        legend(figure, handles)
    return figure


WHOSE = {"self": "of its own half", "other": "of the other half", "pretrained": "pretrained"}


def _draw(ax: Axes, group: pd.DataFrame) -> None:
    ax.axhline(0, color="black", alpha=0.6, linewidth=0.8, zorder=1)
    for row in group.to_dict("records"):
        drawn = look(row["treatment"])
        ax.plot(row["cost"], 100 * row["gain"], color=drawn.color, marker=drawn.marker, markersize=7, linestyle="none", zorder=3)
        if not math.isnan(row["low"]):
            ax.vlines(row["cost"], 100 * row["low"], 100 * row["high"], color=drawn.color, alpha=0.5, linewidth=2, zorder=2)
    ax.set_xlim(0, 1.08 * max(1.0, group["cost"].max()))
