"""Accuracy and gains against the pictures of a class that the target has: where transfer pays, and where it stops to."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from transfercli.analysis.amounts import SCARCE, curves, gains
from transfercli.analysis.pairs import half_names
from transfercli.analysis.words import LEAST_PAIRS, beside, panel_title
from transfercli.plan.treatments import TREATMENTS
from transfercli.report.appearance import look
from transfercli.report.figures.style import (
    DASHES,
    GREY,
    INTERVAL,
    WIDTH,
    NothingToDraw,
    handle,
    legend,
    set_title,
    style,
)
from transfercli.study.best import OWN, by_length

AXIS = "training pictures of each class of the target"
ADDED = "#6A5ACD"  # what the other half adds: a difference of two treatments, which has no look of its own

ROW = ["splits", "net", "layer", "trained"]  # of panels


def amounts(table: pd.DataFrame) -> Figure:
    """Left the mean top-1 of each treatment, right its gain over the base in points, over the pictures a class (a logarithm).

    A row of panels for each kind of split, network and n; where lengths were tried, rows beneath it for equal steps and for equal
    epochs. A bar is the 95% interval of the mean of three pairs or more. Dashed, on the right: what the other half adds to
    fine-tuning, AnB+ − BnB+. Raises NothingToDraw where there is a single amount.
    """
    over = gains(table)
    levels = pd.concat([curves(of).assign(trained=trained) for trained, of in by_length(table).items()])
    order = [*over[ROW[:-1]].itertuples(index=False, name=None)]
    rows = sorted(dict.fromkeys(over[ROW].itertuples(index=False, name=None)), key=lambda row: order.index(row[:-1]))
    rows = [row for row in rows if row[2] > 0 and _of(over, *row)["pictures"].nunique() > 1]
    if not rows:
        raise NothingToDraw("no network has several amounts of data; list some under target.per_class in a recipe")
    names = half_names(table)
    with style():
        figure = Figure(figsize=(WIDTH, 1.2 + 3.2 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 2, squeeze=False)
        shown = dict[str, None]()
        for (left, right), (kind, net, layer, trained) in zip(axes, rows, strict=True):
            of_layer, whole = _of(levels, kind, net, layer, trained), _of(levels, kind, net, 0, trained)
            for treatment in TREATMENTS:
                mine = (whole if treatment.startswith("base") else of_layer).query("treatment == @treatment")
                if len(mine):
                    shown[treatment] = None
                    _draw(left, mine, 1, look(treatment).color, look(treatment).marker)
            right.axhline(0, color="black", alpha=0.6, linewidth=0.8, zorder=1)
            gained = pd.concat([_of(over, kind, net, layer, trained), _of(over, kind, net, 0, trained)])
            for quantity, mine in gained.groupby("quantity", sort=False):
                if quantity == SCARCE:
                    _draw(right, mine, 100, ADDED, "x", DASHES)
                else:
                    drawn = look(str(quantity).removesuffix("-base"))
                    _draw(right, mine, 100, drawn.color, drawn.marker)
            length = trained or OWN * (over["trained"].nunique() > 1)
            set_title(left, beside(net, ", ".join(filter(None, [panel_title(kind, names), f"n = {layer}", length]))))
            left.set_ylabel("top-1 accuracy")
            right.set_ylabel("top-1 minus its base (points)")
            for ax in (left, right):
                _scale(ax, sorted({*of_layer["pictures"], *whole["pictures"]}))
        figure.supxlabel(AXIS)
        handles = [handle(look(of).label, look(of).color, look(of).marker, "-") for of in shown]
        if (over["quantity"] == SCARCE).any():
            handles.append(handle("AnB+ − BnB+: what the other half adds", ADDED, "x", DASHES))
        if any(ax.collections for ax in axes.flat):
            handles.append(handle(INTERVAL, GREY, "|", "none", alpha=0.5, markersize=9, markeredgewidth=2))
        legend(figure, handles)
    return figure


def _of(found: pd.DataFrame, *row: object) -> pd.DataFrame:
    return found[found[ROW].eq(list(row)).all(axis=1)]


def _draw(ax: Axes, means: pd.DataFrame, times: int, color: str, marker: str, line: object = "-") -> None:
    means = means.sort_values("pictures")
    how = {"color": color, "marker": marker, "markersize": 4.5, "linewidth": 1.5, "zorder": 3}
    ax.plot(means["pictures"], times * means["mean"], linestyle=line, **how)  # type: ignore[arg-type]
    sure = means[(means["n"] >= LEAST_PAIRS) & means["low"].notna()]
    if len(sure):
        ax.vlines(sure["pictures"], times * sure["low"], times * sure["high"], color=color, alpha=0.5, linewidth=2, zorder=2)


def _scale(ax: Axes, pictures: list[float]) -> None:
    """A logarithm, with a tick at each amount."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(pictures))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
