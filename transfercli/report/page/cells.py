"""The page's tables as rows of cells, each a text with a smaller one beneath."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from transfercli.analysis import comparison
from transfercli.analysis.contrasts import FORMULAS
from transfercli.analysis.differences import layer_labels
from transfercli.analysis.lecture import ANSWERS, corners, where
from transfercli.analysis.networks import QUANTITIES
from transfercli.analysis.pairs import each_network, half_names, kinds_of_split, learned_nothing, records, result
from transfercli.analysis.ways import named
from transfercli.analysis.words import half_title, minus
from transfercli.plan.treatments import sweepable
from transfercli.report.page.words import NONE, between, missing, percent, points
from transfercli.system.errors import plain


class Cell(NamedTuple):
    """`clear`: "above" or "below" where the interval leaves 0 out, "inside" within the published range, else ""."""

    text: str
    beneath: str = ""
    clear: str = ""


class Row(NamedTuple):
    """A row without cells is the heading of those below it."""

    head: str
    cells: list[Cell]


class Table(NamedTuple):
    """`head`: the columns' names, the first that of the rows' heads."""

    head: list[str]
    rows: list[Row]


NOTHING = Cell(NONE)
EDGES = {"low": "lowest tried", "high": "highest tried"}
BENEFIT_NAMES = {
    "start": "Higher start, points",
    "slope": "Higher slope, share of the steps saved",
    "asymptote": "Higher asymptote, points",
}


def differences(found: pd.DataFrame) -> dict[str, Table]:
    """By kind of split, the paired differences: a row per quantity, a column per layer and range of layers, in points.

    found: what `differences.bounded` finds.
    """
    made = {}
    for kind, of_kind in _by_kind(found):
        labels = layer_labels(of_kind)
        rows = []
        for quantity in of_kind["quantity"].unique():
            same = of_kind[of_kind["quantity"] == quantity]
            by_layer = {row["layer"]: row for row in records(same)}
            cells = [_difference(by_layer[label]) if label in by_layer else NOTHING for label in labels]
            pairs = sorted({row["n"] for label, row in by_layer.items() if label.isdigit()})
            rows.append(Row(minus(quantity), [*cells, Cell(_range(pairs))]))
        made[kind] = Table(["", *labels, "pairs"], rows)
    return made


def ways(found: pd.DataFrame) -> dict[str, Table]:
    """By kind of split, the ways to fine-tune: found is what `ways.ways` finds."""
    head = ["", "n", "pairs", "top-1", "gain", "multiply-adds", "layers × steps", "rate", "length"]
    rows = {kind: [Row(plain(named(row)), _way(row)) for row in records(of_kind)] for kind, of_kind in _by_kind(found)}
    return {kind: Table(head, of_kind) for kind, of_kind in rows.items()}


def _way(row: dict[str, Any]) -> list[Cell]:
    counts, given = [Cell(str(row["layer"])), Cell(str(row["n"]))], Cell(percent(row["accuracy"]))
    costs = [Cell(NONE if missing(row[key]) else f"{row[key]:.2f}") for key in ("cost", "steps")]
    chosen = [Cell(row[of], EDGES.get(row[edge], "")) for of, edge in (("rates", "edge"), ("lengths", "length_edge"))]
    return [*counts, given, _difference({**row, "mean": row["gain"]}), *costs, *chosen]


def contrasts(found: pd.DataFrame) -> dict[str, Table]:
    """By kind of split, the contrasts fixed in advance, in points: found is what `contrasts.contrasts` finds."""
    return {
        kind: Table(
            ["", "points", "pairs", "what it is"],
            [
                Row(row["quantity"], [_difference(row), Cell(str(row["n"])), Cell(FORMULAS[row["quantity"]])])
                for row in records(of_kind)
            ],
        )
        for kind, of_kind in _by_kind(found)
    }


def _difference(row: dict[str, Any]) -> Cell:
    interval = between(row["low"], row["high"])
    if row["n"] == 1 and interval:
        interval += "†"
    return Cell(points(row["mean"]), interval, _clear(row))


def _clear(row: dict[str, Any]) -> str:
    return "above" if row["low"] > 0 else "below" if row["high"] < 0 else ""


def networks(found: pd.DataFrame) -> dict[str, Table]:
    """By kind of split, co-adaptation and specificity of several networks, side by side: what `networks.side_by_side` finds."""
    made = {}
    for kind, of_kind in _by_kind(found):
        rows = []
        for net, of_net in of_kind.groupby("net", sort=False):
            rows.append(Row(plain(str(net)), []))
            for (layer, share), group in of_net.groupby(["layer", "share"], dropna=False):
                by_quantity = {row["quantity"]: row for row in records(group)}
                cells = [_difference(by_quantity[of]) if of in by_quantity else NOTHING for of in QUANTITIES]
                rows.append(Row(str(layer), [Cell(percent(share, 0)), *cells]))
        made[kind] = Table(["n", "copied", *(f"{minus(of)}: {meaning}" for of, meaning in QUANTITIES.items())], rows)
    return made


def amounts(found: pd.DataFrame) -> dict[str, Table]:
    """By kind of split, what `amounts.gains` finds: a row for each quantity and n, a column for each amount."""
    made = {}
    for kind, of_kind in _by_kind(found):
        pictures = sorted({*of_kind["pictures"]})
        rows = []
        for (trained, net, quantity, layer), group in of_kind.groupby(["trained", "net", "quantity", "layer"], sort=False):
            by_pictures = {row["pictures"]: row for row in records(group)}
            equally = f", {trained}" * bool(trained)
            called = " ".join(filter(None, (plain(str(net)), minus(str(quantity)), f"n = {layer}" * bool(layer)))) + equally
            rows.append(Row(called, [_difference(by_pictures[of]) if of in by_pictures else NOTHING for of in pictures]))
        made[kind] = Table(["", *(f"{number:g}" for number in pictures)], rows)
    return made


def lengths(found: pd.DataFrame) -> dict[str, Table]:
    """By kind of split, what `amounts.lengths` finds: a row for each treatment and n, a column for each amount."""
    made = {}
    for kind, of_kind in _by_kind(found):
        pictures, rows = sorted({*of_kind["pictures"]}), []
        for (net, treatment, layer), group in of_kind.groupby(["net", "treatment", "layer"], sort=False):
            by_pictures = {row["pictures"]: row for row in records(group)}
            called = " ".join(filter(None, (plain(str(net)), str(treatment), f"n = {layer}" * bool(layer))))
            rows.append(Row(called, [Cell(by_pictures[of]["lengths"]) if of in by_pictures else NOTHING for of in pictures]))
        made[kind] = Table(["", *(f"{number:g}" for number in pictures)], rows)
    return made


def lecture(found: pd.DataFrame) -> Table:
    """A row for each corner of the lecture's table: what `lecture.lecture` finds."""
    rows = []
    for corner in corners(found):
        by_answer = {row["answer"]: _difference(row) for row in corner[1:]}
        by_answer[corner[0]["answer"]] = Cell(percent(corner[0]["accuracy"]), "the lecture's")
        cells = [by_answer.get(answer, NOTHING) for answer in ANSWERS]
        rows.append(Row(plain(where(corner[0])), [*cells, Cell(corner[0]["verdict"])]))
    return Table(["", *ANSWERS, "the study"], rows)


def differing(found: dict[str, dict[str, str]]) -> Table:
    """What differs between networks: what `networks.differing` finds, which has something to say."""
    nets = list(next(iter(found.values())))
    return Table(["", *map(plain, nets)], [Row(key, [Cell(plain(of[net])) for net in nets]) for key, of in found.items()])


@each_network
def accuracies(table: pd.DataFrame) -> dict[str, tuple[str, Table]]:
    """By split and target, "random-0, target B": the base's mean top-1 over seeds, and the others', a row per treatment."""
    made, names = {}, half_names(table)
    for (split, target), group in table.groupby(["split", "target"]):
        layers = sorted({int(layer) for layer in group["layer"]} - {0})
        rows = []
        for treatment in sweepable():
            same = group[group["treatment"] == treatment]
            if len(same):
                rows.append(Row(treatment, [_accuracy(same[same["layer"] == layer]) for layer in layers]))
        name = f"{plain(str(split))}, target {half_title(str(split), str(target), names)}"
        base = _accuracy(group[group["treatment"] == "base"])
        made[name] = (" ".join(part for part in base if part), Table(["", *map(str, layers)], rows))
    return made


def _accuracy(networks: pd.DataFrame) -> Cell:
    nothing, done = learned_nothing(networks), networks[result(networks)]
    failed = len(networks) - len(done)
    if not len(done):
        return Cell("failed" if failed else NONE)
    beneath = [f"{len(done)} seeds"] * (len(done) > 1) + [f"{failed} failed"] * bool(failed)
    beneath += [f"{nothing.sum()} learned nothing" if len(done) > 1 else "learned nothing"] * bool(nothing.any())
    return Cell(f"{100 * done['top1'].astype(float).mean():.1f}", ", ".join(beneath))


def published(table: pd.DataFrame, theirs: pd.DataFrame) -> dict[str, Table]:
    """By kind of split, what this study has, with its interval, and, beneath, what the published one has.

    Accuracies are in percent, gains in points.
    """
    found = comparison.compare(table, theirs)
    found = found.assign(within=comparison.in_spread(found))  # that a wide interval reaches them would say little
    made = {}
    for kind, of_kind in _by_kind(found):
        layers = sorted({int(layer) for layer in of_kind["layer"]} - {0})
        bases = [f"base {percent(row['value'])}, published {percent(row['other'])}" for row in _of(of_kind, "base").values()]
        rows = []
        for title, end in (("; ".join(["Top-1, percent", *bases]), ""), ("Gain over the base, points", "-base")):
            body = []
            for treatment in sweepable():
                if by_layer := _of(of_kind, treatment + end):
                    cells = [_beside(by_layer[layer]) if layer in by_layer else NOTHING for layer in layers]
                    inside = sum(row["within"] for row in by_layer.values())
                    body.append(Row(minus(treatment + end), [*cells, Cell(f"{inside} of {len(by_layer)}")]))
            rows += [Row(title, []), *body] if body else []
        if rows:
            made[kind] = Table(["", *map(str, layers), "in range"], rows)
    return made


def _of(found: pd.DataFrame, quantity: str) -> dict[int, dict[str, Any]]:
    """By layer, what `compare` found of a quantity."""
    return {row["layer"]: row for row in records(found[found["quantity"] == quantity])}


def _beside(row: dict[str, Any]) -> Cell:
    form, digits = (points, 2) if row["quantity"].endswith("-base") else (percent, 1)
    reach = 50 * (row["high"] - row["low"])  # half of it, in points
    interval = "" if missing(reach) else f" ±{reach:.{digits}f}"
    return Cell(form(row["value"], digits) + interval, form(row["other"], digits), "inside" if row["within"] else "")


def benefits(found: pd.DataFrame) -> dict[str, Table]:
    """By kind of split, the benefits: a group of rows per benefit, a row per treatment, a column per layer.

    start and asymptote in points, slope in percent.
    """
    made = {}
    for kind, of_kind in _by_kind(found):
        layers = sorted({int(layer) for layer in of_kind["layer"]})
        rows = []
        for benefit in of_kind["benefit"].unique():
            same = of_kind[of_kind["benefit"] == benefit]
            rows.append(Row(BENEFIT_NAMES[benefit], []))
            for treatment in same["treatment"].unique():
                by_layer = {row["layer"]: row for row in records(same[same["treatment"] == treatment])}
                cells = [_benefit(by_layer[layer], benefit) if layer in by_layer else NOTHING for layer in layers]
                rows.append(Row(treatment, cells))
        made[kind] = Table(["", *map(str, layers)], rows)
    return made


def _benefit(row: dict[str, Any], benefit: str) -> Cell:
    is_slope = benefit == "slope"
    digits = 0 if is_slope else 2
    text = points(row["mean"], digits) + "%" * is_slope
    beneath = [between(row["low"], row["high"], digits)]
    if row["reached"] < row["n"]:
        beneath.append(f"{row['reached']} of {row['n']} there")
    return Cell(text, "\n".join(part for part in beneath if part), _clear(row))


def _range(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}" if numbers else NONE


def _by_kind(found: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each kind of split, in the order in which kinds are shown."""
    return [(kind, found[found["splits"] == kind]) for kind in kinds_of_split(found)]
