"""The figures of a study, after Figures 2 and 3 of Yosinski et al. 2014; all that knows matplotlib.

Figures are made without pyplot and without touching matplotlib's settings for good: every function sets the
style it needs and puts back what it found. The same table gives the same bytes.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from transfercli.analysis import TREATMENTS, accuracies, drops, kind_of_split, kinds_of_split
from transfercli.errors import TransferError
from transfercli.plan import Network
from transfercli.study import replacing


class Look(NamedTuple):
    """How a treatment is drawn in every figure."""

    color: str
    marker: str
    label: str
    dodge: float  # shift to the side, in layers, so that treatments do not hide each other


# Okabe and Ito's colours, which colour-blind readers tell apart; fine-tuned is frozen's lighter neighbour.
LOOKS = {
    "base": Look("#000000", "o", "base  trained from scratch", 0.0),
    "BnB": Look("#0072B2", "s", "BnB  selffer, frozen", -0.16),
    "BnB+": Look("#56B4E9", "<", "BnB+  selffer, fine-tuned", -0.08),
    "AnB": Look("#D55E00", "D", "AnB  transfer, frozen", 0.0),
    "AnB+": Look("#E69F00", "^", "AnB+  transfer, fine-tuned", 0.08),
    "RnB": Look("#009E73", "v", "RnB  random, frozen", 0.16),
}
PAPER = "Yosinski et al. 2014"
LAYER = "layer n at which the network is chopped and retrained"
PANEL_TITLES = {
    "random": "random halves",
    "man-made-natural": "man-made / natural halves",
    "all-1000": "all 1000 classes",
}
TARGET_NAMES = {"A": "natural", "B": "man-made"}
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


class NothingToDraw(TransferError):
    """The table or the logs hold nothing for this figure yet."""


@contextmanager
def _style() -> Iterator[None]:
    with matplotlib.style.context(["default", STYLE]):
        yield


def accuracy_vs_layer(table: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """Top-1 on the target half against the layer n, after the paper's Figure 2; one panel per kind of split.

    A point is a network, a line joins a treatment's means; networks that did not train are crosses and in no
    mean. In splits that are not random the two halves are different tasks, so there each target has its own
    lines. `published` (analysis.published_table) adds the 2014 values, dashed, where the study has the same
    kind of split; with an empty table it is drawn alone. Raises NothingToDraw where there is no network.
    """
    main, beside = _main_and_beside(table, published)
    panels = _panels(accuracies(main), accuracies(beside))
    with _style():
        figure, axes = _canvas(len(panels))
        for ax, (kind, points, others) in zip(axes, panels, strict=True):
            by_target = kind != "random"
            _draw_panel(ax, kind, points, others, by_target)
            for level in _base_levels(points).values():
                ax.axhline(level, color="black", alpha=0.3, linewidth=0.8, zorder=1)
            _accuracy_limits(ax, points, others)
            if by_target:
                _name_targets(ax, kind, _base_levels(points), "#222222")
                _name_targets(ax, kind, _base_levels(others), GREY)
        _label(figure, axes, "top-1 accuracy")
        _layer_legend(figure, panels, alone=not len(table))
    return figure


def drop_vs_layer(table: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """Top-1 minus that of the base of the same split, seed and target, in points, after the paper's Figure 3.

    As `accuracy_vs_layer`, with lines through both targets. Raises NothingToDraw where no network has a base.
    """
    main, beside = _main_and_beside(table, published)
    panels = _panels(drops(main), drops(beside))
    with _style():
        figure, axes = _canvas(len(panels))
        for ax, (kind, points, others) in zip(axes, panels, strict=True):
            ax.axhline(0, color="black", alpha=0.6, linewidth=0.8, zorder=1)
            _draw_panel(ax, kind, points, others, by_target=False)
            values = [0.0, *points["value"], *others["value"]]
            margin = max(0.07 * (max(values) - min(values)), 0.1)
            ax.set_ylim(min(values) - margin, max(values) + margin)
        _label(figure, axes, "top-1 minus its base (points)")
        _layer_legend(figure, panels, alone=not len(table))
    return figure


def learning_curves(logs: dict[str, pd.DataFrame]) -> Figure:
    """Validation top-1 against the step; a panel per treatment, with the bases in each for reference.

    logs: network id, with or without its folder ("A3B+", "random-0/A3B+"), to its log (columns step and
    top1). The deeper the cut, the darker the line; the number at its end is n. Raises NothingToDraw where no
    log has a line.
    """
    curves: dict[str, list[tuple[int, pd.DataFrame]]] = {treatment: [] for treatment in TREATMENTS}
    for name, log in logs.items():
        treatment, layer = _treatment_and_layer(name)
        measured = log.dropna(subset=["step", "top1"]) if len(log) else log
        if len(measured):
            curves[treatment].append((layer, measured))
    treatments = [treatment for treatment in TREATMENTS[1:] if curves[treatment]]
    if not treatments and not curves["base"]:
        raise NothingToDraw("no network has a log to draw; train some first: transfer train-base")
    with _style():
        figure, axes = _canvas(max(1, len(treatments)), share=True)
        for ax, treatment in zip(axes, treatments or ["base"], strict=True):
            for _, log in curves["base"]:
                _draw_curve(ax, log, "black", 0.9, zorder=2)
            if treatments:
                _draw_curves(ax, curves[treatment], LOOKS[treatment].color)
            ax.set_title(LOOKS[treatment].label)
            ax.xaxis.set_major_formatter(EngFormatter(sep=""))
            ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
            ax.tick_params(labelbottom=True)
        _, last = axes[0].get_xlim()
        axes[0].set_xlim(0, 1.1 * last)
        for ax, treatment in zip(axes, treatments, strict=False):
            _name_ends(ax, curves[treatment])
        figure.supxlabel("training step")
        _label(figure, axes, "validation top-1")
        if treatments and curves["base"]:
            handle = Line2D([], [], color="black", linewidth=1, label=LOOKS["base"].label)
            figure.legend(handles=[handle], loc="outside upper center")
    return figure


def draw(table: pd.DataFrame, logs: dict[str, pd.DataFrame], folder: Path, published: pd.DataFrame | None = None) -> list[Path]:
    """Write accuracy-vs-layer, drop-vs-layer, learning-curves as .png and .svg in `folder`; return the paths.

    A figure that has nothing to show is not written. Each file appears whole or not at all.
    """
    figures: dict[str, Callable[[], Figure]] = {
        "accuracy-vs-layer": lambda: accuracy_vs_layer(table, published),
        "drop-vs-layer": lambda: drop_vs_layer(table, published),
        "learning-curves": lambda: learning_curves(logs),
    }
    written = []
    for name, make in figures.items():
        try:
            figure = make()
        except NothingToDraw:
            continue
        for kind in ("png", "svg"):
            path = folder / f"{name}.{kind}"
            with replacing(path) as aside:
                aside.write_bytes(_rendered(figure, kind))
            written.append(path)
    return written


def _rendered(figure: Figure, kind: str) -> bytes:
    """The picture's bytes; without date and program, so that the same figure is the same file."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    buffer = BytesIO()
    with _style():
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
    return buffer.getvalue()


def _main_and_beside(table: pd.DataFrame, published: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is drawn in full, and what beside it: the study and the paper, or the paper alone."""
    nothing = pd.DataFrame()
    if not len(table):
        return (nothing if published is None else published), nothing
    if published is None:
        return table, nothing
    # The paper's random filters ran on all 1000 classes: a study that has its own RnB gets that panel.
    kinds = set(kinds_of_split(table)) | ({"all-1000"} if "RnB" in set(table["treatment"]) else set())
    return table, published[[kind_of_split(split) in kinds for split in published["split"]]]


Panel = tuple[str, pd.DataFrame, pd.DataFrame]


def _panels(points: pd.DataFrame, others: pd.DataFrame) -> list[Panel]:
    """(kind of split, points, published points) for each kind that either has."""
    kinds = kinds_of_split(pd.concat([points[["split"]], others[["split"]]]))
    if not kinds:
        raise NothingToDraw("no network is done that the figure could show; train some first: transfer train-base")
    return [(kind, points[points["splits"] == kind], others[others["splits"] == kind]) for kind in kinds]


def _groups(points: pd.DataFrame, by_target: bool) -> Iterable[pd.DataFrame]:
    """Networks that share a line, in the order of the legend; those that did not train apart, by status."""
    for treatment in TREATMENTS:
        of_treatment = points[points["treatment"] == treatment]
        failed = of_treatment["status"] != "done"
        keys = ["target"] if by_target else ["treatment"]
        yield from (group for _, group in of_treatment[~failed].groupby(keys))
        yield from (group for _, group in of_treatment[failed].groupby("status"))


def _draw_group(ax: Axes, group: pd.DataFrame) -> None:
    """A group's networks as points and the line through their means; crosses where they did not train."""
    look, status = LOOKS[group["treatment"].iloc[0]], _status(group)
    points: dict[str, Any] = {"marker": look.marker, "markersize": 5, "markeredgecolor": "white"}
    points |= {"markeredgewidth": 0.4, "alpha": 0.65, "zorder": 3}
    crosses: dict[str, Any] = {"marker": _cross(status), "markersize": 6, "markeredgewidth": 1.6, "zorder": 4}
    for layer in sorted(group["layer"].unique().tolist()):
        values = group[group["layer"] == layer].sort_values(["target", "split", "seed"])["value"]
        middle = layer + look.dodge
        spread = np.linspace(-0.03, 0.03, len(values)) if len(values) > 1 else np.zeros(1)
        how = points if status == "done" else crosses
        ax.plot(middle + spread, values, linestyle="none", color=look.color, **how)
    if status == "done" and look is not LOOKS["base"]:
        ax.plot(*_means(group), color=look.color, linewidth=1.6, zorder=2)


def _draw_group_beside(ax: Axes, group: pd.DataFrame) -> None:
    """The published means of a group: dashed, lighter, open markers."""
    look, failed = LOOKS[group["treatment"].iloc[0]], _status(group) != "done"
    ax.plot(
        *_means(group),
        color=_lighter(look.color, 0.35),
        linestyle="none" if failed else DASHES,
        linewidth=1.1,
        marker=_cross(_status(group)) if failed else look.marker,
        markersize=4.5,
        markerfacecolor="white",
        zorder=2.5,
    )


def _means(group: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Where a group's line goes: its layers, moved aside by the treatment's dodge, and the mean at each."""
    means = group.groupby("layer")["value"].mean()
    dodge = LOOKS[group["treatment"].iloc[0]].dodge
    return [layer + dodge for layer in means.index.tolist()], means.tolist()


def _status(group: pd.DataFrame) -> str:
    return str(group["status"].iloc[0])


def _cross(status: str) -> str:
    return {"did not learn": "x", "no better than chance": "1"}.get(status, "+")


def _lighter(color: str, share: float) -> str:
    """A colour moved towards white by `share` (0 to 1)."""
    red, green, blue = (part + (1 - part) * share for part in to_rgb(color))
    return to_hex((red, green, blue))


def _canvas(panels: int, share: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels.

    With shared scales, rows of up to three. Else each panel has its own scales, and the first of three or
    more, which holds most, has a row to itself.
    """
    if share or panels < 3:
        columns = min(panels, 3)
        cells = [str(panel) for panel in range(panels)]
        mosaic: list[Any] = []
    else:
        columns = 2
        cells = [str(panel) for panel in range(1, panels)]
        mosaic = [["0", "0"]]
    cells += ["."] * (-len(cells) % columns)
    mosaic += [cells[start : start + columns] for start in range(0, len(cells), columns)]
    rows = len(mosaic)
    height = 4.9 if rows == 1 and panels < 3 else 1.0 + 2.9 * rows
    figure = Figure(figsize=(8.4, height), layout="constrained")
    axes = figure.subplot_mosaic(mosaic, sharex=share, sharey=share)
    return figure, [axes[str(panel)] for panel in range(panels)]


def _label(figure: Figure, axes: list[Axes], label: str) -> None:
    """The y label, at the left of each row."""
    for ax in axes:
        place = ax.get_subplotspec()
        if place is not None and place.is_first_col():
            ax.set_ylabel(label)
    figure.align_ylabels(axes)


def _draw_panel(ax: Axes, kind: str, points: pd.DataFrame, others: pd.DataFrame, by_target: bool) -> None:
    """The points of one kind of split and, beside them, the published means; title and layers."""
    for group in _groups(points, by_target):
        _draw_group(ax, group)
    for group in _groups(others, by_target):
        _draw_group_beside(ax, group)
    layers = pd.concat([points["layer"], others["layer"]])
    first, last = min(1, int(layers.min())), max(1, int(layers.max()))
    ax.set_xticks(range(first, last + 1))
    ax.set_xlim(first - (1.05 if by_target else 0.4), last + 0.4)
    ax.set_title(PANEL_TITLES.get(kind, f"halves of {kind}"))


def _base_levels(points: pd.DataFrame) -> dict[str, float]:
    """The mean of the bases that are done: by target, or of random halves, which are alike, over both."""
    bases = points[(points["treatment"] == "base") & (points["status"] == "done")]
    if (bases["splits"] == "random").all():
        return {"": bases["value"].mean()} if len(bases) else {}
    return {target: bases[bases["target"] == target]["value"].mean() for target in sorted(set(bases["target"]))}


def _accuracy_limits(ax: Axes, points: pd.DataFrame, others: pd.DataFrame) -> None:
    """Chance, dotted, where the networks come near it; else a word that it lies below the panel."""
    values = [*points["value"], *others["value"]]
    low, high = min(values), max(values)
    levels = sorted((points if len(points) else others)["chance"].dropna().unique())
    name = "chance " + ", ".join(f"1/{1 / level:.0f}" for level in reversed(levels))
    for level in levels:
        ax.axhline(level, color=GREY, linestyle=":", linewidth=1.1, zorder=1)
    if levels and low - levels[-1] < 0.6 * (high - low):
        low = min(low, levels[0])
        at_line = (0.008, levels[-1])
        _note(ax, name, at_line, (0, 2), xycoords=ax.get_yaxis_transform(), color=GREY)
    elif levels:
        _note(ax, f"↓ {name}", (0.008, 0.02), (0, 0), xycoords="axes fraction", color=GREY)
    margin = max(0.08 * (high - low), 0.01)
    ax.set_ylim(low - margin, high + margin)


def _name_targets(ax: Axes, kind: str, levels: dict[str, float], color: str) -> None:
    """The target's name at its base, above the higher point and below the lower, where there are two."""
    for target, level in levels.items():
        if len(levels) > 1:
            name = f"to {TARGET_NAMES.get(target, target) if kind == 'man-made-natural' else target}"
            higher = level == max(levels.values())
            place = {"ha": "center", "va": "bottom" if higher else "top"}
            _note(ax, name, (0, level), (0, 5 if higher else -5), color=color, **place)


def _note(ax: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], **more: Any) -> None:
    """Small text at a place, shifted by points."""
    ax.annotate(text, at, shift, textcoords="offset points", fontsize=8, **more)


def _layer_legend(figure: Figure, panels: list[Panel], alone: bool) -> None:
    points = pd.concat([points for _, points, _ in panels])
    others = pd.concat([others for _, _, others in panels])
    both = pd.concat([points, others])
    handles = []
    for treatment in TREATMENTS:
        if treatment in set(both["treatment"]):
            look = LOOKS[treatment]
            line = "none" if treatment == "base" else "-"
            handles.append(_handle(look.label, look.color, look.marker, line))
    for status in sorted(set(both["status"]) - {"done"}):
        handles.append(_handle(status, GREY, _cross(status), "none", markeredgewidth=1.6))
    if len(others):
        handles.append(_handle(PAPER, _lighter(GREY, 0.2), "o", DASHES, markerfacecolor="white"))
    title = f"{PAPER}: the released training logs" if alone else None
    figure.supxlabel(LAYER)
    figure.legend(handles=handles, loc="outside upper center", ncols=min(3, len(handles)), title=title)


def _handle(label: str, color: str, marker: str, line: Any, **more: Any) -> Line2D:
    look = {"color": color, "marker": marker, "linestyle": line, "linewidth": 1.4, "markersize": 5.5}
    return Line2D([], [], label=label, **(look | more))


def _treatment_and_layer(name: str) -> tuple[str, int]:
    """Treatment and n of a network id such as baseB, A3B+ or random-0/R3B."""
    network = name.rsplit("/", 1)[-1]
    found = re.fullmatch(r"(?:base|([ABR])(\d+))([AB])(\+?)", network)
    if found is None:
        raise ValueError(f"{name!r} is no network id such as baseB, A3B+ or R3B")
    source, layer, target, plus = found.groups()
    return Network("", 0, source or target, int(layer or 0), target, bool(plus)).treatment, int(layer or 0)


def _draw_curves(ax: Axes, curves: list[tuple[int, pd.DataFrame]], color: str) -> None:
    """A treatment's curves, deeper cuts darker, with n at their ends."""
    layers = sorted({layer for layer, _ in curves})
    for layer, log in sorted(curves, key=lambda curve: curve[0]):
        shade = _lighter(color, 0.6 * (1 - (layers.index(layer) + 1) / len(layers)))
        _draw_curve(ax, log, shade, 1.2, zorder=3)


def _name_ends(ax: Axes, curves: list[tuple[int, pd.DataFrame]]) -> None:
    """n at the end of each curve; curves that end side by side share a label such as "1-3, 5"."""
    low, high = ax.get_ylim()
    line = 0.06 * (high - low)  # the height of a line of text
    bunches: list[list[tuple[float, int]]] = []
    for end in sorted((log["top1"].iloc[-1], layer) for layer, log in curves):
        if bunches and end[0] - bunches[-1][0][0] < line:
            bunches[-1].append(end)
        else:
            bunches.append([end])
    last = max(log["step"].iloc[-1] for _, log in curves)
    height = -math.inf
    for bunch in bunches:
        height = max(height + line, sum(value for value, _ in bunch) / len(bunch))
        text = _ranges({layer for _, layer in bunch})
        _note(ax, text, (last, height), (4, 0), va="center", color="#222222")


def _ranges(layers: set[int]) -> str:
    """{1, 2, 3, 5} as "1-3, 5"."""
    starts = [layer for layer in sorted(layers) if layer - 1 not in layers]
    stops = [layer for layer in sorted(layers) if layer + 1 not in layers]
    spans = zip(starts, stops, strict=True)
    return ", ".join(str(start) if start == stop else f"{start}-{stop}" for start, stop in spans)


def _draw_curve(ax: Axes, log: pd.DataFrame, color: str, width: float, zorder: float) -> None:
    marker = "o" if len(log) == 1 else ""
    ax.plot(log["step"], log["top1"], color=color, linewidth=width, marker=marker, markersize=3, zorder=zorder)
