"""Of networks that were trained at several learning rates, those at the rate that held-out pictures prefer. No torch."""

import math

import pandas as pd

from transfercli.plan.networks import AXES
from transfercli.plan.rates import choose

RATE = "rate"


def at_best_rate(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that count where a study has several rates: of each way to train one, which is then no axis but what it is.

    In place of the column `rate` are `best_rate`, and `edge`: on which end of those tried it lies, if on one.

    A way is all that an id says but the rate, for a split and a target. Its rate is chosen by the losses on the fold that its
    networks do not see (`plan.rates.choose`; repeats are seeds); where none can be, the usual one stays, for its failure to be
    told. Accuracies choose nothing. A table of one rate is returned as it is.
    """
    if RATE not in table or table[RATE].fillna(1.0).nunique() < 2:
        return table
    table = table.assign(**{RATE: table[RATE].fillna(AXES[RATE].usual).astype(float)})
    keys = ["split", "target", "treatment", "layer", *(key for key in ("first_layer", *AXES) if key in table and key != RATE)]
    rows = []
    for _, of_way in table.groupby(keys, sort=False, dropna=False):
        losses: dict[float, dict[int, float]] = {}
        for row in of_way.to_dict("records"):
            losses.setdefault(row[RATE], {})[row["seed"]] = (
                float(loss) if (loss := row.get("holdout_loss")) is not None else math.nan
            )
        chosen = choose(losses, {*of_way["seed"]})
        rate = chosen.rate if chosen else AXES[RATE].usual if AXES[RATE].usual in losses else min(losses)
        edge = chosen.edge if chosen and len(losses) > 1 else ""
        rows.append(of_way[of_way[RATE] == rate].assign(edge=edge))
    return pd.concat(rows).sort_index().rename(columns={RATE: "best_rate"})
