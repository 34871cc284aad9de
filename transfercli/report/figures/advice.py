"""The figures of an advice study: what ways to train give, by layers frozen and by cost; how they learn; what is mistaken."""

import textwrap
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from transfercli.advice.arms import FAMILIES
from transfercli.analysis.advice import Arm
from transfercli.analysis.advised import compared
from transfercli.analysis.benefits import SHARE, curve, measure
from transfercli.analysis.words import signed
from transfercli.paper import called
from transfercli.report.appearance import WAYS, Look, look
from transfercli.report.figures.style import DASHES, GREY, WIDTH, NothingToDraw, handle, legend, note, style

if TYPE_CHECKING:
    from transfercli.advice.answer import Advice  # which takes torch

TOGETHER = "95% intervals, all together"
ACCURACY = "top-1 on the validation pictures"
ASIDE = {"keep": 0.0, "fresh": 0.008, "scratch": 0.016, "random": -0.012}  # so that those of one cost stand side by side
ADVISED = "#D55E00"
LETTER = 0.075  # inches that a letter of a tick's label takes, about
MOST_CLASSES = 30  # of a confusion matrix that can be read
WORST = 20  # confusions that are named of more
LONGEST = 28  # letters of a class's name


def figures_of_advice(advice: "Advice") -> dict[str, Figure]:
    """All of them by name; none that has nothing to show."""
    makers: dict[str, Callable[[Advice], Figure]] = {
        "accuracy-vs-frozen": accuracy_vs_frozen,
        "accuracy-vs-cost": accuracy_vs_cost,
        "learning-curves": advised_curves,
        "confusion": confusion,
    }
    figures = {}
    for name, make in makers.items():
        with suppress(NothingToDraw):
            figures[name] = make(advice)
    return figures


def look_of(family: str) -> Look:
    """How a family of ways to train looks in every figure."""
    return look(FAMILIES[family][0])  # type: ignore[index]


def accuracy_vs_frozen(advice: "Advice", width: float = WIDTH, height: float = 4.6) -> Figure:
    """Accuracy on the validation pictures against n, the layers frozen; from scratch and random features are lines.

    A bar, or a line's band, is the interval of a mean over repeats; all hold together. The advised way has a ring.
    """
    table = advice.table
    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        ax = figure.subplots()
        _name_layers(ax, advice, width)
        for family in ("scratch", "random"):
            drawn = look_of(family)
            for row in _of(table, family):
                ax.axhspan(row["low"], row["high"], color=drawn.color, alpha=0.09, linewidth=0, zorder=0)
                ax.axhline(row["top1"], color=drawn.color, linewidth=1.4, linestyle=DASHES, zorder=1)
                _ring(ax, row["frozen"], row)
        for family in ("keep", "fresh"):
            drawn, rows = look_of(family), _of(table, family)
            aside = 0.0 if family == "keep" else 0.012 * len(advice.layers)
            places = [row["frozen"] + aside for row in rows]
            ax.plot(places, [row["top1"] for row in rows], color=drawn.color, linewidth=1.6, zorder=2)
            for place, row in zip(places, rows, strict=True):
                _point(ax, place, row, drawn)
                _ring(ax, place, row)
        _accuracy_axis(ax, table)
        columns = 2 if width >= WIDTH else 1
        figure.legend(handles=_handles(table, lines=True), loc="outside upper center", ncols=columns)
    return figure


def accuracy_vs_cost(advice: "Advice") -> Figure:
    """Accuracy on the validation pictures against what a training step costs: multiply-adds, and seconds on the device."""
    table = advice.table
    panels = {"multiply_adds": "multiply-adds of a training step", "seconds": "seconds of a training step, one network alone"}
    with style():
        figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for ax, (column, label) in zip(axes, panels.items(), strict=True):
            most = table[column].max()
            for family, aside in ASIDE.items():
                for row in _of(table, family):
                    _point(ax, row[column] + aside * most, row, look_of(family))
                    _ring(ax, row[column] + aside * most, row, named=False)
            _number(ax, table, column)
            ax.set_xlabel(label)
            ax.set_xlim(0, 1.08 * most)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            if most >= 1000:
                ax.xaxis.set_major_formatter(EngFormatter(sep=""))
        _accuracy_axis(axes[0], table)
        legend(figure, _handles(table))
    return figure


def advised_curves(advice: "Advice") -> Figure:
    """Learning curves of the advised way and of those that it is compared with, means of repeats; and what transfer brings.

    That is measured as `benefits.each_benefit` does, against training from scratch: start, slope and asymptote.
    """
    curves = {label: found for label, arm in _shown(advice).items() if len(found := mean_curve(advice, arm))}
    if not curves:
        raise NothingToDraw("no way to train has a log to draw")
    with style():
        figure = Figure(figsize=(WIDTH, 4.8), layout="constrained")
        ax = figure.subplots()
        for label, arm in _shown(advice).items():
            if label not in curves:
                continue
            found, drawn = curves[label], look_of(arm.family)
            advised = arm == advice.verdict.advised
            how: dict[str, Any] = {"linewidth": 2.4 if advised else 1.4, "zorder": 3 if advised else 2}
            how["linestyle"] = "-" if advised or arm.family != "keep" else "--" if arm.n == 0 else ":"
            ax.plot(found.index, found, color=drawn.color, label=label, marker=drawn.marker, markersize=4, **how)
        ax.set_ylabel(f"{ACCURACY}, mean of {advice.shown.repeats}" if advice.shown.repeats > 1 else ACCURACY)
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.set_ylim(bottom=0)
        ax.set_xlabel("\n".join(["training step", *_brought(advice)]))
        figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def mean_curve(advice: "Advice", arm: Arm) -> pd.Series:
    """Top-1 on the validation pictures by step, the mean of an arm's repeats; empty where one has no log."""
    return pd.DataFrame(each).T.mean(axis=1) if all(map(len, each := _each_curve(advice, arm))) else pd.Series(dtype=float)


def _each_curve(advice: "Advice", arm: Arm) -> list[pd.Series]:
    logs = advice.logs
    return [curve(logs.get(network.place, pd.DataFrame())) for network in advice.networks(arm)]


def _shown(advice: "Advice") -> dict[str, Arm]:
    """The arms whose curves are drawn, by what the legend calls them; the advised one first."""
    advised = advice.verdict.advised
    return {f"advised: {advised.name}": advised} | {
        f"{role}: {arm.name}": arm for role, arm in compared(advice.verdict, len(advice.layers)).items()
    }


def _brought(advice: "Advice") -> list[str]:
    """A line for the advised way, or where that is from scratch for fine-tuning all: its three benefits over from scratch."""
    scratch = next((arm for arm in advice.arms if arm.family == "scratch"), None)
    copied = [arm for arm in (advice.verdict.advised, *advice.arms) if arm.family == "keep"]
    if scratch is None or not copied:
        return []
    base, own = _each_curve(advice, scratch), _each_curve(advice, copied[0])
    if not all(map(len, [*base, *own])):
        return []
    pairs = list(zip(own, base, strict=True))
    found = [measure(one, other, SHARE * other.iloc[-1] - 1e-9) for one, other in pairs]
    start, slope = (_mean(found, at) for at in (1, 2))
    end = float(np.mean([one.iloc[-1] - other.iloc[-1] for one, other in pairs]))
    parts = []
    if np.isfinite(start):
        parts.append(f"{'higher' if start > 0 else 'no higher'} start ({signed(100 * start, 1)} points)")
    if np.isfinite(slope):
        bound = "" if all(each[3] for each in found) else "at most "  # of one that never came there
        goal = f"of the steps to {SHARE:.0%} of its top-1 saved"
        parts.append(f"{'steeper' if slope > 0 else 'no steeper'} slope ({bound}{100 * slope:.0f}% {goal})")
    parts.append(f"{'higher' if end > 0 else 'no higher'} asymptote ({signed(100 * end, 1)} points)")
    return textwrap.wrap(f"{copied[0].name} beside from scratch: {', '.join(parts)}", 105)


def _mean(found: Sequence[Any], at: int) -> float:
    values = [one[at] for one in found]
    return float(np.mean(values)) if np.isfinite(values).all() else float("nan")


# -- what it mistakes


def confusion(advice: "Advice") -> Figure:
    """What the advised way takes the validation pictures of each class for; of many classes the worst confusions alone."""
    found, names = advice.confusion, [_short(called(name)) for name in advice.classes]
    if not found.sum():
        raise NothingToDraw("no validation picture was taken for anything")
    share = found / np.maximum(1, found.sum(axis=1, keepdims=True))
    with style():
        return _matrix(share, names) if len(names) <= MOST_CLASSES else _worst(share, names)


def worst_confusions(advice: "Advice", most: int = WORST) -> list[tuple[str, str, float]]:
    """(class, what it is taken for, which share of its pictures), the worst first."""
    found = advice.confusion
    share = found / np.maximum(1, found.sum(axis=1, keepdims=True))
    return [(advice.classes[of], advice.classes[taken], value) for of, taken, value in _mistakes(share)[:most]]


def _mistakes(share: np.ndarray) -> list[tuple[int, int, float]]:
    apart = share * (1 - np.eye(len(share)))
    order = np.argsort(-apart, axis=None, kind="stable")
    places = (divmod(int(place), len(share)) for place in order)
    return [(of, taken, float(apart[of, taken])) for of, taken in places if apart[of, taken] > 0]


def _matrix(share: np.ndarray, names: list[str]) -> Figure:
    size = max(3.4, 0.34 * len(names))
    margin = LETTER * max(map(len, names))
    figure = Figure(figsize=(size + margin + 1.0, size + margin + 0.7), layout="constrained")
    ax = figure.subplots()
    ax.grid(False)
    ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ax.set_xticks(range(len(names)), names, rotation=90)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    for of, row in enumerate(share):
        for taken, value in enumerate(row):
            if round(100 * value):
                color = "white" if value > 0.55 else "#222222"
                ax.text(taken, of, f"{100 * value:.0f}", ha="center", va="center", color=color, fontsize=8)
    ax.set_ylabel("is")
    ax.set_xlabel("is taken for, % of the pictures of its class")
    return figure


def _worst(share: np.ndarray, names: list[str]) -> Figure:
    worst = _mistakes(share)[:WORST]
    figure = Figure(figsize=(WIDTH, 1.1 + 0.27 * max(1, len(worst))), layout="constrained")
    ax = figure.subplots()
    ax.barh(range(len(worst)), [value for *_, value in worst], color=look_of("keep").color, height=0.7)
    ax.set_yticks(range(len(worst)), [f"{names[of]} for {names[taken]}" for of, taken, _ in worst])
    ax.invert_yaxis()
    ax.grid(axis="x")
    ax.grid(False, axis="y")
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.supxlabel(
        f"share of the class's pictures that are taken for the other; the worst {len(worst)} of {len(names)} classes"
    )
    return figure


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


# -- parts


def _of(table: pd.DataFrame, family: str) -> list[dict[str, Any]]:
    return table[table["family"] == family].to_dict("records")  # type: ignore[return-value]


def _point(ax: Axes, place: float, row: dict[str, Any], drawn: Look) -> None:
    reach = [[row["top1"] - row["low"]], [row["high"] - row["top1"]]]
    how: dict[str, Any] = {"markersize": 9 if drawn.marker == "*" else 6, "elinewidth": 1.1, "zorder": 3}
    ax.errorbar([place], [row["top1"]], reach, fmt=drawn.marker, color=drawn.color, ecolor=drawn.color, **how)


def _ring(ax: Axes, place: float, row: dict[str, Any], named: bool = True) -> None:
    """Around the advised way."""
    if row["advised"]:
        ax.plot([place], [row["top1"]], "o", markersize=15, markerfacecolor="none", color=ADVISED, markeredgewidth=1.8, zorder=4)
        if named:
            right = place > sum(ax.get_xlim()) / 2  # then its name stands to the left
            shift, side = ((-11, 8), "right") if right else ((11, 8), "left")
            note(ax, "advised", (place, row["top1"]), shift, ha=side, color="#B04A00", fontweight="bold", zorder=5)


def _number(ax: Axes, table: pd.DataFrame, column: str) -> None:
    """n beside each point of the families that have several; of neighbours every other, where they are too close."""
    reach, last = 0.035 * table[column].max(), -np.inf
    for row in sorted(_of(table, "keep"), key=lambda row: row[column]):
        if row[column] - last > reach or row["advised"]:
            note(ax, str(row["frozen"]), (row[column], row["top1"]), (6, -11), color="#222222")
            last = row[column]


def _name_layers(ax: Axes, advice: "Advice", width: float) -> None:
    """A tick for each n that was measured, with the name of the last frozen layer where there is room."""
    rows = sorted({(row["frozen"], row["up_to"]) for row in _of(advice.table, "keep") + _of(advice.table, "fresh")})
    numbers = [n for n, _ in rows]
    room, longest = (width - 1.0) / max(1, len(rows)), max((len(name) for _, name in rows), default=0)
    if LETTER * longest < room:
        ax.set_xticks(numbers, [f"{n}\n{name or 'none'}" for n, name in rows])
    elif room > 0.16 and longest <= LONGEST and width >= WIDTH:
        labels = [f"{n}  {name or 'none'}" for n, name in rows]
        ax.set_xticks(numbers, labels, rotation=40, ha="right", rotation_mode="anchor")
    else:
        ax.set_xticks(numbers if room > 0.25 else numbers[:: 1 + int(0.25 / room)])
    ax.set_xlim(min(numbers, default=0) - 0.35, max(numbers, default=1) + 0.35)
    last = len(advice.layers) - 1
    ax.set_xlabel(
        textwrap.fill(f"n: how many layers are frozen (0: all learn; {last}: the classifier alone)", int(width / LETTER))
    )


def _accuracy_axis(ax: Axes, table: pd.DataFrame) -> None:
    ax.set_ylabel(ACCURACY)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    low, high = table["low"].min(), table["high"].max()
    margin = max(0.04 * (high - low), 0.005)
    ax.set_ylim(low - margin, high + margin)


def _handles(table: pd.DataFrame, lines: bool = False) -> list[Any]:
    handles = []
    for family, label in WAYS.items():
        if _of(table, family):
            drawn = look_of(family)
            as_line = lines and family in ("scratch", "random")
            handles.append(handle(label, drawn.color, "" if as_line else drawn.marker, DASHES if as_line else "none"))
    handles.append(handle(f"advised; {TOGETHER}", ADVISED, "o", "none", markerfacecolor="none", markersize=9))
    return handles if lines else [*handles, handle("a number beside a point is n", GREY, "", "none")]
