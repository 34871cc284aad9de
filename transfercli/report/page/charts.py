"""What the page's script draws, as plain numbers: the networks with their curves, and a chart per quantity and kind of split."""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from transfercli.analysis import displayed, words
from transfercli.analysis.benefits import curve
from transfercli.analysis.curves import base_levels, bases_of, means_by_layer, measured
from transfercli.analysis.intervals import binomial_interval
from transfercli.analysis.pairs import SAME_TARGET, by_network, depth, half_names, is_random, kinds_of_split, records
from transfercli.analysis.words import LEAST_PAIRS, Names, chance_name, counted, half_name, panel_title, sides
from transfercli.plan.networks import of_row
from transfercli.plan.treatments import TREATMENTS, sweepable
from transfercli.report.appearance import CROSSES, LAYER, cross, look, side_by_side
from transfercli.report.page.words import NONE, made_of, missing, percent, points
from transfercli.study.rows import log_name
from transfercli.system.errors import plain

# Outlines of the figures' markers, about 10 pixels wide around (0, 0); the last three mark networks that failed.
MARKERS = {
    "o": "M4.6 0A4.6 4.6 0 1 1-4.6 0A4.6 4.6 0 1 1 4.6 0Z",
    "s": "M-4.2-4.2H4.2V4.2H-4.2Z",
    "<": "M-5.4 0L4-5.1V5.1Z",
    "D": "M0-5.8L5.8 0L0 5.8L-5.8 0Z",
    "^": "M0-5.4L5.1 4H-5.1Z",
    "v": "M0 5.4L5.1-4H-5.1Z",
    ">": "M5.4 0L-4-5.1V5.1Z",
    "p": "M0-5.2L4.9-1.6L3.1 4.2H-3.1L-4.9-1.6Z",
    "h": "M0-5.2L4.5-2.6V2.6L0 5.2L-4.5 2.6V-2.6Z",
    "*": "M0-6L1.4-1.9H5.7L2.2.7L3.5 4.9L0 2.3L-3.5 4.9L-2.2.7L-5.7-1.9H-1.4Z",
    "x": "M-4.5-4.5L4.5 4.5M-4.5 4.5L4.5-4.5",
    "1": "M0 0V5.5M0 0L-5-3.5M0 0L5-3.5",
    "+": "M-5.5 0H5.5M0-5.5V5.5",
}
MOST_EVALUATIONS = 200  # of a curve; more are not seen at the size of the picture

Chart = dict[str, Any]
KEY = [*SAME_TARGET, "treatment", "layer"]


def everything(
    table: pd.DataFrame, logs: dict[str, pd.DataFrame], published: pd.DataFrame, found: pd.DataFrame
) -> dict[str, Any]:
    """All that the script needs, as plain values: `networks` in the table's order, `steps`, charts, and how they look."""
    networks, steps = _networks(table, logs)
    markers = {treatment: look(treatment).marker for treatment in TREATMENTS}
    return {
        "networks": networks,
        "steps": steps,
        "charts": charts(table, published, found),
        "learning": learning(table, logs),
        "looks": {treatment: {"marker": marker} for treatment, marker in markers.items()},
        "markers": {marker: MARKERS[marker] for marker in MARKERS if marker in (*markers.values(), *CROSSES.values())},
        "layer": LAYER,
    }


def charts(table: pd.DataFrame, published: pd.DataFrame, found: pd.DataFrame) -> list[Chart]:
    """A chart per kind of split, of the accuracies and then of the gains; accuracies in percent, gains in points.

    `points` are [network, x, y], the network by its place in the table; `lines` join the means of the networks that count;
    `bars` are [x, low, high, pairs] of a treatment's mean gain, from `found` (of `differences.bounded`); `levels` are the bases';
    `published` the 2014 study's lines.
    """
    places = {
        (net, *key): place
        for net, part in by_network(table.reset_index(drop=True)).items()
        for place, key in zip(part.index, part[KEY].itertuples(index=False, name=None), strict=True)
    }
    accuracies = displayed.accuracies(table)
    accuracies = accuracies.assign(value=100 * accuracies["value"], chance=100 * accuracies["chance"])
    theirs = displayed.accuracies(published)
    theirs = theirs.assign(value=100 * theirs["value"])
    names = half_names(table)
    return [
        *_of_quantity("accuracy", accuracies, theirs, places, {}, names),
        *_of_quantity("gain", displayed.drops(table), displayed.drops(published), places, _bars(found), names),
    ]


def _of_quantity(
    quantity: str,
    shown: pd.DataFrame,
    beside: pd.DataFrame,
    places: dict[tuple, int],
    bars: dict[str, dict[str, list]],
    names: Names,
) -> Iterator[Chart]:
    is_gain = quantity == "gain"
    for kind in kinds_of_split(shown):
        of_kind = shown[shown["splits"] == kind]
        net, splits = words.of_kind(kind)
        by_target = not is_random(kind) and not is_gain  # there the halves are different tasks
        layers = of_kind["layer"]
        yield {
            "quantity": quantity,
            "title": panel_title(kind, names),
            "layers": [min(1, int(layers.min())), max(1, int(layers.max()))],
            "points": _points(of_kind, net, places),
            "lines": _lines(of_kind, by_target),
            "bars": bars.get(kind, {}),
            "levels": [] if is_gain else _levels(of_kind, by_target, names),
            "chance": []
            if is_gain
            else [[_short(level), f"chance {chance_name(level / 100)}"] for level in sorted({*of_kind["chance"]})],
            "published": _lines(beside[beside["splits"] == splits], by_target),
        }


def _points(shown: pd.DataFrame, net: str, places: dict[tuple, int]) -> list[list[float]]:
    found = []
    for treatment in TREATMENTS:
        same = shown[shown["treatment"] == treatment].sort_values([*SAME_TARGET, "layer"])
        for layer, group in same.groupby("layer"):
            rows = group[[*KEY, "value"]].itertuples(index=False, name=None)
            for side, (*key, value) in zip(side_by_side(len(group)), rows, strict=True):
                found.append([places[net, *key], _beside(layer, treatment) + _short(side), _short(value)])
    return sorted(found)


def _lines(shown: pd.DataFrame, by_target: bool) -> list[dict[str, Any]]:
    """The means over pairs of the networks that count, by layer, seeds averaged; a base is a line of one point."""
    done = shown[displayed.counts(shown)]
    found = []
    for treatment in TREATMENTS:
        same = done[done["treatment"] == treatment]
        for _, group in same.groupby("target" if by_target else "treatment"):
            means = displayed.pair_means(group).groupby("layer")["value"].mean()
            at = [[_beside(layer, treatment), _short(mean)] for layer, mean in means.items()]
            found.append({"treatment": treatment, "points": at})
    return found


def _levels(shown: pd.DataFrame, by_target: bool, names: Names) -> list[list]:
    """[mean of the bases, their name], of one kind of split."""
    levels = base_levels(shown, by_target)
    called = [half_name(shown["splits"].iloc[0], target, names) if len(levels) > 1 else "base" for target in levels]
    return [
        [_short(level), name if len(name) > 1 else f"base {name}"] for level, name in zip(levels.values(), called, strict=True)
    ]


def _bars(found: pd.DataFrame) -> dict[str, dict[str, list]]:
    """By kind of split and treatment, [x, low, high, pairs] of each mean gain, in points; of one pair by its pictures alone.

    Of two pairs there is none (LEAST_PAIRS).
    """
    bars: dict[str, dict[str, list]] = {}
    for row in records(found):
        treatment, other = sides(row["quantity"])
        if other == "base" and row["layer"].isdigit() and not missing(row["low"]) and (row["n"] == 1 or row["n"] >= LEAST_PAIRS):
            bar = [_beside(row["layer"], treatment), _short(100 * row["low"]), _short(100 * row["high"]), row["n"]]
            bars.setdefault(row["splits"], {}).setdefault(treatment, []).append(bar)
    return bars


# -- learning curves


def learning(table: pd.DataFrame, logs: dict[str, pd.DataFrame]) -> list[Chart]:
    """A chart per kind of split and treatment: by layer n, the mean curve of its networks, and at 0 that of their bases.

    `lines` are {layer, points: [step, top-1 in percent]}.
    """
    curves = measured(logs, table)
    found = []
    for kind, treatment in product(kinds_of_split(table), sweepable()):
        shown = [one for one in curves if one.trained and (one.kind, one.network.treatment) == (kind, treatment)]
        means = means_by_layer(shown)
        if means:
            means = means_by_layer(bases_of(curves, shown)) | means
            lines = [{"layer": layer, "points": _by_step(mean)} for layer, mean in means.items()]
            found.append({"kind": kind, "treatment": treatment, "title": look(treatment).label, "lines": lines})
    return found


def _by_step(mean: pd.Series) -> list[list[float]]:
    thinned = _thinned(mean)
    return [[int(step), round(100 * top1, 2)] for step, top1 in zip(thinned.index, thinned, strict=True)]


# -- the networks


def _networks(table: pd.DataFrame, logs: dict[str, pd.DataFrame]) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """The networks, and the steps of their curves: most have the same, so a network says which."""
    shown = table.assign(status=displayed.shown_status(table))
    rows, names = records(shown), half_names(table)
    which = [of_row(row) for row in rows]
    layers = {net: depth(shown[[network.net == net for network in which]]) for net in {network.net for network in which}}
    bases = {network: place for place, network in enumerate(which) if network.is_base}
    steps: dict[tuple[int, ...], int] = {}
    networks = []
    for network, row, counts in zip(which, rows, displayed.counts(shown), strict=True):
        place = None if network.is_base else bases.get(network.control)
        base = rows[place] if place is not None and rows[place]["status"] == "done" else None
        evaluations = _thinned(curve(logs[log_name(row)])) if log_name(row) in logs else pd.Series(dtype=float)
        networks.append(
            {
                "name": plain(row["network"]),
                "split": plain(row["split"]) + (f", seed {row['seed']}" if row["seed"] else ""),
                "treatment": row["treatment"],
                "layer": int(row["layer"]),
                "cross": "" if row["status"] == "done" else cross(row["status"]),
                "failed": not counts,
                "about": made_of(row, names, layers[network.net]),
                "facts": facts(row, base),
                "base": place,
                "steps": steps.setdefault(tuple(int(step) for step in evaluations.index), len(steps)),
                "curve": [round(100 * share, 2) for share in evaluations],
            }
        )
    return networks, [list(each) for each in steps]


def facts(row: dict[str, Any], base: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What is known of a network: (what, value); the first is its top-1."""
    top1, pictures = row["top1"], row.get("val_pictures", math.nan)
    known = [("top-1", percent(top1))]
    if not missing(top1) and not missing(pictures):
        low, high = binomial_interval(top1, int(pictures))
        known.append(("95% interval", f"{100 * low:.1f} to {percent(high)}"))
    if base is not None:
        gain = points(top1 - base["top1"]) if not missing(top1) else NONE
        known.append((f"over {plain(base['network'])}", f"{gain} points"))
    return [
        *known,
        ("top-5", percent(row["top5"])),
        ("ten best", percent(row["top1_best10"])),
        ("loss", NONE if missing(row["loss"]) else f"{row['loss']:.3f}"),
        ("training", counted(int(row["step"]), "step")),
        ("status", plain(row["status"])),
    ]


def _thinned(measured: pd.Series) -> pd.Series:
    """The first evaluation, the last, and at most MOST_EVALUATIONS in all, evenly taken."""
    if len(measured) <= MOST_EVALUATIONS:
        return measured
    return measured.iloc[np.linspace(0, len(measured) - 1, MOST_EVALUATIONS).round().astype(int)]


def _beside(layer: Any, treatment: str) -> float:
    """Where a treatment's points stand: beside their layer, so that treatments do not hide each other."""
    return _short(int(layer) + look(treatment).dodge)


def _short(number: float) -> float:
    return round(float(number), 3)
