"""Of networks that were trained at several learning rates, those at the rate that held-out pictures prefer. No torch."""

import math

import pandas as pd

from transfercli.plan.networks import AXES

RATE = "rate"
SMALLEST, LARGEST, INNER = "low", "high", ""


def at_best_rate(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that count where a study has several rates: of each way to train one, which is then no axis but what it is.

    In place of the column `rate` are `best_rate`, and `edge`: on which end of those tried it lies, if on one.

    A way is all that an id says but the rate, for a split and a target. Its rate is that of the smallest mean loss on the fold
    that its networks do not see, over seeds (of two alike the smaller); one at which a seed diverged, or is missing where
    others have it, is out; where all are, the usual rate stays, for its failure to be told. Accuracies choose nothing. A best
    rate beside one that is out is no edge: what lies there was tried. A table of one rate is returned as it is.
    """
    if RATE not in table or table[RATE].fillna(1.0).nunique() < 2:
        return table
    table = table.assign(**{RATE: table[RATE].fillna(AXES[RATE].usual).astype(float)})
    keys = ["split", "target", "treatment", "layer", *(key for key in ("first_layer", *AXES) if key in table and key != RATE)]
    rows = []
    for _, of_way in table.groupby(keys, sort=False, dropna=False):
        seeds = {*of_way["seed"]}
        tried = sorted({*of_way[RATE]})
        losses = {rate: _mean_loss(of_way[of_way[RATE] == rate], seeds) for rate in tried}
        sound = [rate for rate in tried if math.isfinite(losses[rate])]
        usual = AXES[RATE].usual if AXES[RATE].usual in tried else tried[0]
        best = min(sound, key=lambda rate: (losses[rate], rate), default=usual)
        edge = INNER if len(tried) == 1 else SMALLEST if best == tried[0] else LARGEST if best == tried[-1] else INNER
        rows.append(of_way[of_way[RATE] == best].assign(edge=edge))
    return pd.concat(rows).sort_index().rename(columns={RATE: "best_rate"})


def _mean_loss(networks: pd.DataFrame, seeds: set[int]) -> float:
    """NaN where a seed is missing or diverged, or nothing was held out."""
    losses = pd.to_numeric(networks.get("holdout_loss", pd.Series(dtype=float)), errors="coerce")
    return math.fsum(losses) / len(losses) if len(losses) == len(seeds) and losses.notna().all() else math.nan
