"""How all figures look: the treatments' colours and markers, matplotlib's settings, panels, notes, legends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from transfercli.errors import TransferError


class NothingToDraw(TransferError):
    """The table or the logs hold nothing for this figure yet."""


class Look(NamedTuple):
    """How a treatment is drawn in every figure."""

    color: str
    marker: str
    label: str
    dodge: float  # shift to the side, in layers, so that treatments do not hide each other


# Okabe and Ito's colours, which colour-blind readers tell apart; fine-tuned is frozen's lighter neighbour.
LOOKS = {
    "base": Look("#000000", "o", "base  trained from scratch", 0.0),
    "BnB": Look("#0072B2", "s", "BnB  selffer, frozen", -0.24),
    "BnB+": Look("#56B4E9", "<", "BnB+  selffer, fine-tuned", -0.12),
    "AnB": Look("#D55E00", "D", "AnB  transfer, frozen", 0.0),
    "AnB+": Look("#E69F00", "^", "AnB+  transfer, fine-tuned", 0.12),
    "RnB": Look("#009E73", "v", "RnB  random, frozen", 0.24),
}
PANEL_TITLES = {
    "random": "random halves",
    "man-made-natural": "man-made / natural halves",
    "all-1000": "all 1000 classes",
}
TARGET_NAMES = {"A": "natural", "B": "man-made"}  # of the man-made/natural halves
PAPER = "Yosinski et al. 2014"
LAYER = "layer n at which the network is chopped and retrained"
INTERVAL = "95% interval of the mean"
WIDTH = 8.4  # inches
GREY = "#666666"
DASHES = (0, (4, 2))

STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial", "sans-serif"],
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.labelsize": 10,
    "legend.title_fontsize": 10.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "transfer",
}


@contextmanager
def style() -> Iterator[None]:
    """The figures' settings of matplotlib; afterwards they are as they were."""
    with matplotlib.style.context(["default", STYLE]):
        yield


def title(kind: str) -> str:
    """What a kind of split is called above its panel."""
    return PANEL_TITLES.get(kind, f"halves of {kind}")


def lighter(color: str, share: float) -> str:
    """A colour moved towards white by `share` (0 to 1); towards black by a negative one."""
    end = 1.0 if share > 0 else 0.0
    red, green, blue = (part + (end - part) * abs(share) for part in to_rgb(color))
    return to_hex((red, green, blue))


def note(ax: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], **more: Any) -> None:
    """Small text at a place, shifted by points."""
    ax.annotate(text, at, shift, textcoords="offset points", fontsize=8, **more)


def label_rows(figure: Figure, axes: list[Axes], label: str) -> None:
    """The y label, at the left of each row."""
    for ax in axes:
        place = ax.get_subplotspec()
        if place is not None and place.is_first_col():
            ax.set_ylabel(label)
    figure.align_ylabels(axes)


def handle(label: str, color: str, marker: str, line: Any, **more: Any) -> Line2D:
    """A line of the legend."""
    look = {"color": color, "marker": marker, "linestyle": line, "linewidth": 1.4, "markersize": 5.5}
    return Line2D([], [], label=label, **(look | more))


def legend(figure: Figure, handles: list[Line2D], heading: str | None = None) -> None:
    """Above the panels, in up to three columns; none where there is nothing to say."""
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=min(3, len(handles)), title=heading)
