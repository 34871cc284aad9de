"""Networks side by side: what differs between them, and what that does to their features. No torch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from transfercli.analysis.differences import bounded, mean_of_pairs, paired_values
from transfercli.analysis.pairs import by_network, depth, of_all_data
from transfercli.analysis.words import of_kind
from transfercli.recipe.schema import NetworkRecipe

QUANTITIES = {"BnB-base": "co-adaptation", "AnB-BnB": "specificity", "AnB-base": "both"}  # by which networks are compared


def differing(networks: Mapping[str, NetworkRecipe]) -> dict[str, dict[str, str]]:
    """By key of a recipe's network in which they differ, what it is of each, in words."""
    values = {
        net: {**spec.model_dump(mode="json", exclude={"label"}), "layers": spec.known_depth} for net, spec in networks.items()
    }
    keys = dict.fromkeys(key for value in values.values() for key in value)
    said = {key: {net: _said(value.get(key)) for net, value in values.items()} for key in keys}
    return {key: of for key, of in said.items() if len({*of.values()}) > 1}


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple, dict)):
        return " ".join(f"{part}" for part in (value.items() if isinstance(value, dict) else value)) or "–"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def by_layer(table: pd.DataFrame) -> bool:
    """Whether a layer n of one network stands beside the layer n of another: all have as many."""
    return len({depth(part) for part in by_network(of_all_data(table)).values()}) == 1


def side_by_side(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """QUANTITIES of each network at each layer: columns net, splits, quantity, layer (int), share, mean, low, high, n; fractions.

    As `differences.bounded` has them, of a table of several networks. share: of a picture's multiply-adds, how much the copied
    layers take; NaN in rows of old, which do not say.
    """
    table = of_all_data(table)
    found = _parted(bounded(table, metric))
    found = found[found["quantity"].isin([*QUANTITIES]) & found["layer"].str.isdigit()].astype({"layer": int})
    known = table if "share_copied" in table else table.assign(share_copied=math.nan)
    shares = known.groupby(["net", "layer"], as_index=False).agg(share=("share_copied", "mean"))
    found = found.merge(shares, on=["net", "layer"], how="left")
    columns = ["net", "splits", "quantity", "layer", "share", "mean", "low", "high", "n"]
    return found[columns].sort_values(["splits", "net", "layer"], kind="stable").reset_index(drop=True)


def between(table: pd.DataFrame, metric: str = "top1", order: Sequence[str] = ()) -> pd.DataFrame:
    """How much larger a quantity is in a network than in the first in `order`: columns net, first, and those of `differences`.

    Of networks with as many layers. Both are of the same splits and targets, on the same pictures, so they are subtracted in
    pairs; low and high bound the mean's 95% interval (`mean_of_pairs`).
    """
    rows = []
    columns = ["net", "first", "splits", "quantity", "layer", "mean", "low", "high", "n"]
    table = of_all_data(table)
    if not by_layer(table):
        return pd.DataFrame(columns=columns)
    each = _parted(paired_values(table, metric))
    first, *others = order or sorted(by_network(table))
    same = ["splits", "quantity", "layer"]
    for net in others:
        both = each[each["net"] == net].merge(each[each["net"] == first], on=[*same, "split", "target"], suffixes=("", "_first"))
        both = both.assign(value=both["value"] - both["value_first"])
        for (kind, quantity, layer), group in both[both["quantity"].isin([*QUANTITIES])].groupby(same):
            rows.append((net, first, kind, quantity, layer, *mean_of_pairs(str(kind), group["value"]), len(group)))
    return pd.DataFrame(rows, columns=columns)


def _parted(found: pd.DataFrame) -> pd.DataFrame:
    """What an analysis found, with the network's name in a column of its own."""
    parts = [of_kind(kind) for kind in found["splits"]]
    return found.assign(net=[net for net, _ in parts], splits=[kind for _, kind in parts])
