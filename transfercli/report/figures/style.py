"""How all figures look to matplotlib: its settings, panels, notes, legends."""

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from transfercli.system.errors import TransferError


class NothingToDraw(TransferError):
    """The table or the logs hold nothing for this figure yet."""


INTERVAL = "95% interval of the mean"
WIDTH = 8.4  # inches
GREY = "#666666"
DASHES = (0, (4, 2))
LETTERS, MARKER = 14, 6  # of a legend: letters in an inch, and how many of them a marker is wide

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


def lighter(color: str, share: float) -> str:
    """A colour moved towards white by `share` (0 to 1); towards black by a negative one."""
    end = 1.0 if share > 0 else 0.0
    red, green, blue = (part + (end - part) * abs(share) for part in to_rgb(color))
    return to_hex((red, green, blue))


def note(ax: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], **more: Any) -> None:
    """Small text at a place, shifted by points."""
    ax.annotate(text, at, shift, textcoords="offset points", fontsize=8, **more)


def set_title(ax: Axes, title: str) -> None:
    """A panel's title, in lines that half of the figure's width holds."""
    ax.set_title(textwrap.fill(title, 46))


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
    """Above the panels, in up to three columns, as many as there is room for; none where there is nothing to say."""
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=_columns(figure, handles), title=heading)


def _columns(figure: Figure, handles: list[Line2D]) -> int:
    for columns in range(min(3, len(handles)), 1, -1):
        rows, longer = divmod(len(handles), columns)  # as matplotlib fills them: the first ones have a row more
        sizes = [rows + (place < longer) for place in range(columns)]
        widths = [
            max(len(str(one.get_label())) for one in handles[sum(sizes[:place]) :][:size]) for place, size in enumerate(sizes)
        ]
        if sum(widths) + MARKER * columns <= LETTERS * figure.get_figwidth():
            return columns
    return 1
