"""Learning curves: how the networks got to where they are, beside the bases that they are compared with."""

import math
import textwrap
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from transfercli.analysis.curves import Curve, bases_of, means_by_layer, measured
from transfercli.analysis.pairs import half_names, kinds_of_split
from transfercli.analysis.words import Names, panel_title
from transfercli.plan.treatments import sweepable
from transfercli.report.appearance import look
from transfercli.report.figures.style import GREY, WIDTH, NothingToDraw, handle, legend, lighter, note, style


def learning_curves(logs: dict[str, pd.DataFrame], table: pd.DataFrame | None = None) -> Figure:
    """Validation top-1 against the step: a panel per treatment, in each the bases of its networks, in black.

    logs: network id, with or without its folder ("A3B+", "random-0/A3B+"), to its log (columns step and top1). A line is the
    mean over the networks of one n in one kind of split, whatever their split, seed and target; the black line is the mean
    over their bases. The deeper the cut, the darker the line; the number at its end is n. Several kinds of split have a row of
    panels each. With the study's table, networks that are not done are dotted, each for itself, and in no mean. Raises
    NothingToDraw where no log has a line, and ValueError where a name is no network's.
    """
    curves = measured(logs, table)
    rows = _rows(curves)
    if not rows:
        raise NothingToDraw("no network has a log to draw; train some first: transfer train-base")
    with style():
        figure, panels = _canvas(rows, half_names(pd.DataFrame() if table is None else table))
        for ax, shown in panels:
            _draw_panel(ax, shown, bases_of(curves, shown))
        for ax, shown in panels:  # when all that share a scale are drawn
            last = max(one.top1.index[-1] for one in curves if one.kind == shown[0].kind)
            ax.set_xlim(0, 1.12 * last or 1)
            ax.set_ylim(bottom=0)
            _name_ends(ax, means_by_layer(shown))
        figure.supxlabel("training step")
        legend(figure, _handles([one for _, shown in panels for one in [*shown, *bases_of(curves, shown)]]))
    return figure


def _rows(curves: list[Curve]) -> list[list[list[Curve]]]:
    """The panels' networks, by row: those of one treatment and kind of split. An empty panel is left open.

    One kind of split has rows of up to three panels; of several, each has a row, with the treatments in columns.
    """
    treatments = [name for name in sweepable() if any(one.network.treatment == name for one in curves)] or ["base"]
    kinds = kinds_of_split(pd.DataFrame({"splits": [one.kind for one in curves]}))
    rows = [
        [[one for one in curves if (one.kind, one.network.treatment) == (kind, name)] for name in treatments] for kind in kinds
    ]
    rows = [row for row in rows if any(row)]
    if len(rows) != 1:
        return rows
    columns = min(3, len(treatments))
    panels = [*rows[0], *[[]] * (-len(treatments) % columns)]
    return [panels[start : start + columns] for start in range(0, len(panels), columns)]


def _canvas(rows: list[list[list[Curve]]], names: Names) -> tuple[Figure, list[tuple[Axes, list[Curve]]]]:
    """The panels with their networks, titles and labels; panels of one kind of split share their scales."""
    columns, kinds = len(rows[0]), {one.kind for row in rows for shown in row for one in shown}
    size = (max(WIDTH, 2.1 * columns), 4.9 if len(rows) == 1 and columns < 3 else 1.0 + 2.9 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(len(rows), columns)
    shared: dict[str, Axes] = {}
    panels = []
    for down, row in enumerate(rows):
        first = True
        for across, shown in enumerate(row):
            if not shown:
                continue
            kind, label = shown[0].kind, look(shown[0].network.treatment).label
            ax = figure.add_subplot(grid[down, across], sharex=shared.get(kind), sharey=shared.get(kind))
            shared.setdefault(kind, ax)
            if len(kinds) == 1:
                ax.set_title(label)
            elif not any(above[across] for above in rows[:down]):
                ax.set_title(label.replace("  ", "\n"))
            ax.tick_params(labelleft=first)
            if first:
                of_kind = [one for panel in rows for among in panel for one in among if one.kind == kind]
                title = textwrap.fill(panel_title(kind, names), 36) + "\n"
                ax.set_ylabel(title * bool(kinds - {"random", ""}) + _quantity(of_kind))
            first = False
            panels.append((ax, shown))
    figure.align_ylabels()
    return figure, panels


def _quantity(curves: list[Curve]) -> str:
    """What a line shows: one network, or the mean of how many."""
    trained = [one.network for one in curves if one.trained]
    counts = pd.Series([(one.treatment, one.layer) for one in trained], dtype=object).value_counts()
    if not len(counts) or counts.max() == 1:
        return "validation top-1"
    return f"validation top-1, mean of {'' if counts.min() == counts.max() else f'{counts.min()} to '}{counts.max()}"


def _draw_panel(ax: Axes, shown: list[Curve], bases: list[Curve]) -> None:
    """A treatment's mean curves, deeper cuts darker, over the mean of their bases; those that did not train apart."""
    color = look(shown[0].network.treatment).color
    means = means_by_layer(shown)
    for top1 in means_by_layer(bases).values():
        _draw_curve(ax, top1, "black", 1.2, zorder=2)
    for place, top1 in enumerate(means.values(), start=1):
        _draw_curve(ax, top1, lighter(color, 0.6 - 0.9 * place / len(means)), 1.3, zorder=3)
    for one in [*bases, *shown]:
        if not one.trained:
            _draw_curve(ax, one.top1, "black" if one.network.is_base else color, 0.9, zorder=2.5, linestyle=":")
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], integer=True))


def _draw_curve(ax: Axes, top1: pd.Series, color: str, width: float, zorder: float, linestyle: str = "-") -> None:
    how: dict[str, Any] = {"linestyle": linestyle, "marker": "o" if len(top1) == 1 else "", "markersize": 3}
    ax.plot(top1.index, top1, color=color, linewidth=width, zorder=zorder, **how)


def _name_ends(ax: Axes, means: dict[int, pd.Series]) -> None:
    """n at the end of each curve; curves that end side by side share a label such as "1-3, 5"."""
    if not means or 0 in means:  # bases have no n
        return
    low, high = ax.get_ylim()
    line = 0.06 * (high - low)  # the height of a line of text
    bunches: list[list[tuple[float, int]]] = []
    for end in sorted((top1.iloc[-1], n) for n, top1 in means.items()):
        if bunches and end[0] - bunches[-1][0][0] < line:
            bunches[-1].append(end)
        else:
            bunches.append([end])
    last = max(top1.index[-1] for top1 in means.values())
    height = -math.inf
    for bunch in bunches:
        height = max(height + line, sum(value for value, _ in bunch) / len(bunch))
        text = _ranges({n for _, n in bunch})
        note(ax, text, (last, height), (4, 0), va="center", color="#222222", annotation_clip=False)


def _ranges(layers: set[int]) -> str:
    """{1, 2, 3, 5} as "1-3, 5"."""
    starts = [layer for layer in sorted(layers) if layer - 1 not in layers]
    stops = [layer for layer in sorted(layers) if layer + 1 not in layers]
    spans = zip(starts, stops, strict=True)
    return ", ".join(str(start) if start == stop else f"{start}-{stop}" for start, stop in spans)


def _handles(curves: list[Curve]) -> list[Line2D]:
    """What the black line is, where there are others; and the dotted ones."""
    handles = []
    if len({one.network.is_base for one in curves}) == 2:
        handles.append(handle(look("base").label, "black", "", "-"))
    if not all(one.trained for one in curves):
        handles.append(handle("did not train", GREY, "", ":"))
    return handles
