"""The two figures against the layer n: accuracy, after Figure 2 of Yosinski et al. 2014, and its drop, after Figure 3."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfercli.analysis.curves import base_levels
from transfercli.analysis.displayed import accuracies, counts, drops
from transfercli.analysis.pairs import half_names, is_random, kind_of_split, kinds_of_split, of_random_features
from transfercli.analysis.words import OF_RANDOM_FEATURES, chance_name, half_name, of_kind, panel_title
from transfercli.plan.treatments import TREATMENTS
from transfercli.report.appearance import LAYER, PAPER, cross, look
from transfercli.report.figures.points import (
    draw_intervals,
    draw_means,
    draw_points,
    interval_handles,
    layer_ticks,
    limits,
    treatment_handles,
)
from transfercli.report.figures.style import (
    DASHES,
    GREY,
    WIDTH,
    NothingToDraw,
    handle,
    label_rows,
    legend,
    lighter,
    note,
    set_title,
    style,
)

Panel = tuple[str, pd.DataFrame, pd.DataFrame]


def accuracy_vs_layer(table: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """Top-1 on the target half against the layer n, after the paper's Figure 2; one panel per kind of split.

    A point is a network, a line joins a treatment's means, a bar is the 95% interval (Student's t) of the mean of three pairs
    of split and target or more, cut off where the panel ends: the points alone set its height. Networks that did not train are
    crosses, in no mean, and at the panel's edge where they lie beyond it. Random features that learned nothing are crosses too,
    but a result, in the mean. In splits that are not random the two halves are different tasks, so there each target has its
    own lines.
    `published` (of analysis.published) adds the means of 2014, dashed, where the study has the same kind of split; with an
    empty table it is drawn alone. Raises NothingToDraw where there is no network.
    """
    main, beside = _main_and_beside(table, published)
    panels, names = _panels(accuracies(main), accuracies(beside)), half_names(main)
    with style():
        figure, axes = _canvas(len(panels))
        for ax, (kind, points, others) in zip(axes, panels, strict=True):
            by_target = not is_random(kind)
            levels = base_levels(points, by_target)
            _accuracy_limits(ax, *_of_each_network(panels, kind))
            _draw_panel(ax, panel_title(kind, names), points, others, by_target)
            for level in levels.values():
                ax.axhline(level, color="black", alpha=0.3, linewidth=0.8, zorder=1)
            if by_target:
                for of_bases, color in ((levels, "#222222"), (base_levels(others, by_target), GREY)):
                    _name_targets(ax, {half_name(kind, target, names): level for target, level in of_bases.items()}, color)
        label_rows(figure, axes, "top-1 accuracy")
        _legend(figure, axes, panels, by_target=True, alone=not len(table))
    return figure


def drop_vs_layer(table: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """Top-1 minus that of the base of the same split, seed and target, in points, after the paper's Figure 3.

    As `accuracy_vs_layer`, with lines through both targets; the intervals are those of `differences.differences`, of the mean
    paired difference. Raises NothingToDraw where no network has a base.
    """
    main, beside = _main_and_beside(table, published)
    panels, names = _panels(drops(main), drops(beside)), half_names(main)
    with style():
        figure, axes = _canvas(len(panels))
        for ax, (kind, points, others) in zip(axes, panels, strict=True):
            ax.axhline(0, color="black", alpha=0.6, linewidth=0.8, zorder=1)
            limits(ax, [value for part in _of_each_network(panels, kind) for value in _counted(part)["value"]])
            _draw_panel(ax, panel_title(kind, names), points, others, by_target=False)
        label_rows(figure, axes, "top-1 minus its base (points)")
        _legend(figure, axes, panels, by_target=False, alone=not len(table))
    return figure


def _main_and_beside(table: pd.DataFrame, published: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is drawn in full, and what beside it: the study and the paper, or the paper alone."""
    nothing = pd.DataFrame()
    if not len(table):
        return (nothing if published is None else published), nothing
    if published is None:
        return table, nothing
    # The paper's random filters ran on all 1000 classes: a study that has its own gets that panel.
    kinds = {of_kind(kind)[1] for kind in kinds_of_split(table)} | ({"all-1000"} if of_random_features(table).any() else set())
    return table, published[[kind_of_split(split) in kinds for split in published["split"]]]


def _panels(points: pd.DataFrame, others: pd.DataFrame) -> list[Panel]:
    """(kind of split, points, published points) for each kind that either has."""
    there = {of_kind(kind)[1] for kind in points["splits"]}  # each of several networks has the published ones beside it
    kinds = kinds_of_split(pd.concat([points[["splits"]], others.loc[~others["splits"].isin(there), ["splits"]]]))
    if not kinds:
        raise NothingToDraw("no network is done that the figure could show; train some first: transfer train-base")
    return [(kind, points[points["splits"] == kind], others[others["splits"] == of_kind(kind)[1]]) for kind in kinds]


def _of_each_network(panels: list[Panel], kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and published points of a kind of split, of all of a study's networks: their panels have one scale."""
    same = [panel for panel in panels if of_kind(panel[0])[1] == of_kind(kind)[1]]
    return pd.concat([points for _, points, _ in same]), pd.concat([others for *_, others in same])


def _canvas(panels: int) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels; the first of three or more, which holds most, has a row alone."""
    mosaic: list[Any]
    if panels < 3:
        mosaic = [[str(panel) for panel in range(panels)]]
    else:
        cells = [*map(str, range(1, panels)), "."]
        mosaic = [["0", "0"], *(cells[start : start + 2] for start in range(0, panels - 1, 2))]
    figure = Figure(figsize=(WIDTH, 4.9 if panels < 3 else 1.0 + 2.9 * len(mosaic)), layout="constrained")
    axes = figure.subplot_mosaic(mosaic)
    return figure, [axes[str(panel)] for panel in range(panels)]


def _draw_panel(ax: Axes, title: str, points: pd.DataFrame, others: pd.DataFrame, by_target: bool) -> None:
    """The points of one kind of split and, beside them, the published means; title and layers. The panel has its height."""
    for group in _groups(points, by_target):
        _draw_group(ax, group)
    for group in _groups(others, by_target):
        _draw_group_beside(ax, group)
    layer_ticks(ax, pd.concat([points["layer"], others["layer"]]), left=1.05 if by_target else 0.4)
    set_title(ax, title)


def _groups(points: pd.DataFrame, by_target: bool) -> Iterable[pd.DataFrame]:
    """Networks that share a line, in the order of the legend; those that did not train apart, by status."""
    for treatment in TREATMENTS:
        of_treatment = points[points["treatment"] == treatment]
        failed = ~counts(of_treatment)
        keys = ["target"] if by_target else ["treatment"]
        yield from (group for _, group in of_treatment[~failed].groupby(keys))
        yield from (group for _, group in of_treatment[failed].groupby("status"))


def _draw_group(ax: Axes, group: pd.DataFrame) -> None:
    """A group's networks as points, with the line through their means and its intervals; crosses where they did not train."""
    crosses: dict[str, Any] = {"markersize": 6, "markeredgewidth": 1.6, "markeredgecolor": None, "alpha": None, "zorder": 4}
    if not counts(group).all():
        draw_points(ax, _within(ax, group), marker=cross(_status(group)), clip_on=False, **crosses)
        return
    draw_intervals(ax, group)
    nothing = _learned_nothing(group)
    for points, how in ((group[~nothing], {}), (group[nothing], {"marker": cross(OF_RANDOM_FEATURES), **crosses})):
        if len(points):
            draw_points(ax, points, **how)
    if _treatment(group) != "base":
        draw_means(ax, group)


def _draw_group_beside(ax: Axes, group: pd.DataFrame) -> None:
    """The published means of a group: dashed, lighter, open markers."""
    drawn, failed = look(_treatment(group)), not counts(group).all()
    how: dict[str, Any] = {"color": lighter(drawn.color, 0.35), "linestyle": "none" if failed else DASHES, "linewidth": 1.1}
    if failed:
        group, how["clip_on"] = _within(ax, group), False
    marker = cross(_status(group)) if failed else drawn.marker
    draw_means(ax, group, marker=marker, markersize=4.5, markerfacecolor="white", zorder=2.5, **how)
    if len(nothing := group[_learned_nothing(group)]):
        how |= {"linestyle": "none", "marker": cross(OF_RANDOM_FEATURES), "markersize": 6, "zorder": 4}
        draw_means(ax, nothing, **how)


def _within(ax: Axes, group: pd.DataFrame) -> pd.DataFrame:
    """The networks, those beyond the panel at its edge: a network that failed says nothing by how far it fell."""
    return group.assign(value=group["value"].clip(*ax.get_ylim()))


def _counted(points: pd.DataFrame) -> pd.DataFrame:
    return points[counts(points)]


def _learned_nothing(points: pd.DataFrame) -> pd.Series:
    return points["status"] == OF_RANDOM_FEATURES


def _treatment(group: pd.DataFrame) -> str:
    return str(group["treatment"].iloc[0])


def _status(group: pd.DataFrame) -> str:
    return str(group["status"].iloc[0])


def _accuracy_limits(ax: Axes, points: pd.DataFrame, others: pd.DataFrame) -> None:
    """Chance, dotted, where the networks come near it; else a word that it lies below the panel."""
    values = [*_counted(points)["value"], *_counted(others)["value"]] or [*points["value"], *others["value"]]
    low, high = min(values), max(values)
    levels = sorted((points if len(points) else others)["chance"].dropna().unique())
    name = "chance " + ", ".join(chance_name(level) for level in reversed(levels))
    for level in levels:
        ax.axhline(level, color=GREY, linestyle=":", linewidth=1.1, zorder=1)
    if levels and low - levels[-1] < 0.6 * (high - low):
        low = min(low, levels[0])
        at_line = (0.008, levels[-1])
        note(ax, name, at_line, (0, 2), xycoords=ax.get_yaxis_transform(), color=GREY)
    elif levels:
        note(ax, f"↓ {name}", (0.008, 0.02), (0, 0), xycoords="axes fraction", color=GREY)
    margin = max(0.08 * (high - low), 0.01)
    ax.set_ylim(low - margin, high + margin)


def _name_targets(ax: Axes, levels: dict[str, float], color: str) -> None:
    """The target's name at its base, above the higher point and below the lower, where there are two."""
    for name, level in levels.items():
        if len(levels) > 1:
            higher = level == max(levels.values())
            place = {"va": "bottom" if higher else "top", "xycoords": ax.get_yaxis_transform()}
            note(ax, f"to {name}", (0.008, level), (0, 5 if higher else -5), color=color, **place)


def _legend(figure: Figure, axes: list[Axes], panels: list[Panel], by_target: bool, alone: bool) -> None:
    points = pd.concat([points for _, points, _ in panels])
    others = pd.concat([others for _, _, others in panels])
    both = pd.concat([points, others])
    handles = treatment_handles(set(both["treatment"]))
    for status in sorted(set(both["status"]) - {"done"}):
        handles.append(handle(status, GREY, cross(status), "none", markeredgewidth=1.6))
    groups = [group for kind, points, _ in panels for group in _groups(points, by_target and not is_random(kind))]
    handles += interval_handles(axes, [group for group in groups if counts(group).all()])
    if len(others):
        handles.append(handle(PAPER, lighter(GREY, 0.2), "o", DASHES, markerfacecolor="white"))
    figure.supxlabel(LAYER)
    legend(figure, handles, f"{PAPER}: the released training logs" if alone else None)
