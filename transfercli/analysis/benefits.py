"""What transfer gives while a network learns: a higher start, a higher slope, a higher asymptote. No torch.

The three are those of Torrey and Shavlik (2009), "Transfer learning", in the Handbook of Research on Machine Learning
Applications. Here each is a number: a network against the base of the same split, seed and target.
"""

import math

import numpy as np
import pandas as pd

from transfercli.analysis.differences import mean_of_pairs
from transfercli.analysis.pairs import SAME_TARGET, UNIT, each_network, kind_of_split, kinds_of_split, pairs, records
from transfercli.plan.networks import of_row
from transfercli.plan.treatments import TREATMENTS
from transfercli.study import rows

BENEFITS = ("start", "slope", "asymptote")
SHARE = 0.9  # of the base's final top-1: how far up the slope is measured


@each_network
def benefits(table: pd.DataFrame, logs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The mean benefits: columns splits, treatment, layer (int), benefit (one of BENEFITS), mean, low, high, n, reached.

    table: the rows of `results.csv`; logs: as `Study.logs()` has them. What the numbers mean, all fractions, is said in
    `each_benefit`. `splits` is the kind of split; low and high bound the 95% interval of the mean over n pairs
    (`mean_of_pairs`; NaN for one); a pair is a split and a target, seeds averaged. reached: how many of the n came, with all
    their seeds, to 90% of their base's final top-1; for start and asymptote n.
    """
    each, of = each_benefit(table, logs), ["splits", "treatment", "layer", "benefit"]
    long = each.melt([*of[:3], *UNIT, "reached"], list(BENEFITS), "benefit").dropna(subset=["value"])
    over_seeds = long.groupby([*of, *UNIT]).agg(value=("value", "mean"), reached=("reached", "all"))
    kinds, treatments = kinds_of_split(each), [*TREATMENTS]
    rows = []
    for (kind, treatment, layer, benefit), among in over_seeds.groupby(of):
        reached = among["reached"].sum() if benefit == "slope" else len(among)
        where = (str(kind), str(treatment), layer, str(benefit))
        rows.append((*where, *mean_of_pairs(str(kind), among["value"]), len(among), reached))
    rows.sort(key=lambda row: (kinds.index(row[0]), treatments.index(row[1]), row[2], BENEFITS.index(row[3])))
    found = pd.DataFrame(rows, columns=[*of, "mean", "low", "high", "n", "reached"])
    return found.astype({"layer": int, "n": int, "reached": int})


@each_network
def each_benefit(table: pd.DataFrame, logs: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per network: columns splits, split, seed, target, treatment, layer, start, slope, asymptote (fractions), reached.

    start      top-1 at the first evaluation after step 0, minus the base's at that step. (At step 0 the layers above the cut
               are fresh, and every network is at chance.) A base that was measured at other steps is interpolated
    slope      how much sooner the network reaches 90% of the base's final top-1 than the base did: 1 - steps / base_steps,
               0.4 for 40% fewer steps. The crossing is the curve's first, on a straight line between two evaluations; a curve
               that is there at its first evaluation counts with that step. A network that never gets there counts with its
               whole training, so that failures do not drop out: the truth is lower, and `reached` is False
    asymptote  top-1 at the end, which the table has, minus the base's

    A network has a row if it and its base are done and both have a log with an evaluation after step 0. What the logs do not
    say is NaN: start and slope where a log holds no evaluation between step 0 and its last; start where the base was not
    measured that early; slope where the base is at 90% at step 0, or never gets there. Evaluations without a finite step and
    top-1 are passed over.
    """
    curves = {name: curve(log) for name, log in logs.items()}
    both = pairs(table if logs else table.iloc[:0])
    bases = both.assign(network=[of_row(row).control.name for row in records(both)])
    goals = SHARE * both["base"] - 1e-9  # in floating point 0.9 * 0.8 is more than 0.72
    found = [
        measure(curves.get(own, _NO_CURVE), curves.get(base, _NO_CURVE), goal)
        for own, base, goal in zip(log_names(both), log_names(bases), goals, strict=True)
    ]
    measured = pd.DataFrame(found, columns=["logged", "start", "slope", "reached"], index=both.index)
    both = both.assign(splits=[kind_of_split(split) for split in both["split"]], asymptote=both["gain"]).join(measured)
    both = both[both["logged"].astype(bool) & both["gain"].notna()].reset_index(drop=True)
    return both[["splits", *SAME_TARGET, "treatment", "layer", *BENEFITS, "reached"]].astype({"reached": bool})


def log_names(table: pd.DataFrame) -> list[str]:
    """The key in `Study.logs` of each of the table's rows."""
    which = ["split", "seed", "network"]
    return [rows.log_name(dict(zip(which, row, strict=True))) for row in table[which].itertuples(index=False, name=None)]


def curve(log: pd.DataFrame) -> pd.Series:
    """A log's top-1, indexed by step in ascending order; only evaluations where both are finite numbers, so it may be empty."""
    if not {"step", "top1"} <= set(log.columns):
        return pd.Series(dtype=float)
    step, top1 = (pd.to_numeric(log[column], errors="coerce").to_numpy(float) for column in ("step", "top1"))
    good = np.isfinite(step) & np.isfinite(top1) & (step >= 0)
    found = pd.Series(top1[good], index=pd.Index(step[good], name="step"), name="top1")
    return found[~found.index.duplicated(keep="last")].sort_index()


_NO_CURVE = pd.Series(dtype=float)


def measure(own: pd.Series, base: pd.Series, goal: float) -> tuple[bool, float, float, bool]:
    """(logged, start, slope, reached) of two `curve`s: whether both have an evaluation after step 0, and what they say.

    goal: the top-1 to which slope is measured.
    """
    evaluations = min(_evaluations(own), _evaluations(base))
    if evaluations < 2:
        return evaluations > 0, math.nan, math.nan, False
    return True, _start(own, base), *_slope(own, base, goal)


def _evaluations(curve: pd.Series) -> int:
    """How many there are after step 0."""
    return int((curve.index > 0).sum())


def _start(own: pd.Series, base: pd.Series) -> float:
    """The network's first top-1 after step 0 minus the base's at that step; NaN where the base's curve does not hold it."""
    step = own.index[own.index > 0][0]
    return own[step] - float(np.interp(step, base.index, base.to_numpy(), left=math.nan, right=math.nan))


def _slope(own: pd.Series, base: pd.Series, goal: float) -> tuple[float, bool]:
    """1 - steps / base_steps to the goal, a top-1, and whether the network reached it; NaN where the base has no such steps."""
    steps, base_steps = _steps_to(own, goal), _steps_to(base, goal)
    if not base_steps:  # none, or step 0 already
        return math.nan, steps is not None
    return 1 - (own.index[-1] if steps is None else steps) / base_steps, steps is not None


def _steps_to(curve: pd.Series, goal: float) -> float | None:
    """The step at which the curve first reaches the goal, linear between evaluations; None where it never does."""
    there = np.flatnonzero(curve.to_numpy() >= goal)
    if not len(there):
        return None
    after = there[0]
    if after == 0:
        return float(curve.index[0])
    (low, high), (first, second) = curve.iloc[after - 1 : after + 1], curve.index[after - 1 : after + 1]
    return float(first + (second - first) * (goal - low) / (high - low))
