"""Several networks of one study in one figure: co-adaptation and specificity, by layer or by the share of the work copied."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfercli.analysis.networks import QUANTITIES, by_layer, side_by_side
from transfercli.analysis.pairs import half_names, kinds_of_split, of_all_data
from transfercli.analysis.words import LEAST_PAIRS, minus, panel_title
from transfercli.report.appearance import LAYER
from transfercli.report.figures.style import GREY, INTERVAL, WIDTH, NothingToDraw, handle, legend, style

SHARE = "share of a picture's multiply-adds that is copied (%)"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito's
MARKERS = ("o", "s", "D", "^", "v", "<", ">")
DODGE = 0.06  # layers, or twentieths of a share: how far networks stand beside each other


def networks(table: pd.DataFrame) -> Figure:
    """The means of QUANTITIES of each network, in points: a row of panels for each kind of split.

    The x axis is the layer n where the networks have as many, else the share of the multiply-adds that is copied. Bars are the
    means' 95% intervals over three pairs or more. Raises NothingToDraw where there are no two networks to compare.
    """
    table = of_all_data(table)
    if "net" not in table or table["net"].nunique() < 2:
        raise NothingToDraw("the study has a single network; list others under networks in its recipe")
    found, layers = side_by_side(table), by_layer(table)
    found = found.assign(x=found["layer"] if layers else 100 * found["share"]).dropna(subset=["x"])
    nets, kinds, names = sorted({*table["net"]}), kinds_of_split(found), half_names(table)
    if not kinds:
        raise NothingToDraw("no transfer network is done beside its base; train some first: transfer sweep")
    with style():
        figure = Figure(figsize=(WIDTH + 1.6, 1.2 + 3.0 * len(kinds)), layout="constrained")
        axes = figure.subplots(len(kinds), len(QUANTITIES), squeeze=False, sharey="row")
        for row, kind in zip(axes, kinds, strict=True):
            for ax, (quantity, meaning) in zip(row, QUANTITIES.items(), strict=True):
                ax.set_title(f"{minus(quantity)}: {meaning}")
                ax.axhline(0, color="black", alpha=0.6, linewidth=0.8, zorder=1)
                for place, net in enumerate(nets):
                    chosen = (found["splits"] == kind) & (found["quantity"] == quantity) & (found["net"] == net)
                    aside = DODGE * (place - (len(nets) - 1) / 2) * (1 if layers else 5)
                    _draw(ax, found[chosen], place, aside)
            row[0].set_ylabel("points" if kinds == ["random"] else f"{panel_title(kind, names)}\npoints")
        figure.supxlabel(LAYER if layers else SHARE)
        handles = [handle(net, *_look(place), "-") for place, net in enumerate(nets)]
        if any(ax.collections for ax in axes.flat):
            handles.append(handle(INTERVAL, GREY, "|", "none", alpha=0.5, markersize=9, markeredgewidth=2))
        legend(figure, handles)
    return figure


def _draw(ax: Axes, means: pd.DataFrame, place: int, aside: float) -> None:
    """The line of one network."""
    color, marker = _look(place)
    x, y = means["x"] + aside, 100 * means["mean"]
    ax.plot(x, y, color=color, marker=marker, markersize=4.5, linewidth=1.5, zorder=3)
    sure = means[(means["n"] >= LEAST_PAIRS) & means["low"].notna()]
    if len(sure):
        ax.vlines(sure["x"] + aside, 100 * sure["low"], 100 * sure["high"], color=color, alpha=0.5, linewidth=2, zorder=2)


def _look(place: int) -> tuple[str, str]:
    return COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)]
