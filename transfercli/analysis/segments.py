"""Where transferability sits: what copying layers k to n alone gives, of middle segments and single layers. No torch."""

import pandas as pd

from transfercli.analysis.differences import bounded
from transfercli.analysis.pairs import kinds_of_split, records
from transfercli.analysis.verdicts import Gain
from transfercli.analysis.words import kind_title

FOUND = ["splits", "quantity", "first", "layer", "mean", "low", "high", "n"]


def segments(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """Paired differences by the first and the last layer that are copied: columns FOUND, as `differences.bounded` has them.

    Those from layer 1 on are among them. Nothing of a study that copies no other.
    """
    if "first_layer" not in table or table["first_layer"].isna().all():
        return pd.DataFrame(columns=FOUND)
    begins = table["first_layer"].fillna(1).astype(int)
    is_base, plain = table["treatment"] == "base", table.drop(columns="first_layer")
    parts = [
        found.assign(first=first)
        for first in sorted({*begins[~is_base]})
        if len(found := bounded(plain[is_base | (begins == first)], metric))
    ]
    if not parts:
        return pd.DataFrame(columns=FOUND)
    found = pd.concat(parts, ignore_index=True)
    found = found[found["layer"].str.isdigit()].astype({"layer": int})
    return found.loc[found["layer"] >= found["first"], FOUND].reset_index(drop=True)  # base+, which has no n, is no segment


def conclude_segments(table: pd.DataFrame, metric: str = "top1") -> list[str]:
    """What each single layer costs when it is copied alone and frozen, by kind of split."""
    found = segments(table, metric)
    alone = found[(found["first"] == found["layer"]) & (found["quantity"] == "AnB-base")]
    sentences = []
    for kind in kinds_of_split(alone):
        by_layer = {row["layer"]: Gain.of(row) for row in records(alone[alone["splits"] == kind].sort_values("layer"))}
        if len(by_layer) < 2:
            continue
        most = min(by_layer, key=lambda layer: by_layer[layer].mean)
        listed = ", ".join(f"{gain} points of layer {layer}" for layer, gain in by_layer.items())
        others = [gain for layer, gain in by_layer.items() if layer != most]
        apart = by_layer[most].high < min(gain.low for gain in others)
        least = f"layer {most} serves the other task least" if apart else "no layer is clearly below all others"
        sentences.append(f"{kind_title(kind)}: single layers of the other half, frozen (AnB − base): {listed}; {least}.")
    return sentences
