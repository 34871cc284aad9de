"""Ways to fine-tune the same copied layers, beside fine-tuning them all: what each gives, and what it costs. No torch."""

import math
from typing import Any, NamedTuple

import pandas as pd

from transfercli.analysis.intervals import student_t
from transfercli.analysis.pairs import SAME_TARGET, UNIT, _with_kind, each_network, is_random, records, sound
from transfercli.analysis.words import LEAST_PAIRS, counted, listed, signed
from transfercli.plan.treatments import LETTERS, TREATMENTS
from transfercli.study.best import by_length

INSIDE = 0.95  # how often all intervals of a layer hold together
LEAST_WAYS = 3  # with fewer there is nothing to choose between but frozen and fine-tuned, which the study itself compares


def named(row: dict[str, Any]) -> str:
    """What a row of `ways` is called: its treatment, and how long it trained where that was not its own choice."""
    return row["treatment"] + f", {row['trained']}" * bool(row["trained"])


class Mean(NamedTuple):
    mean: float
    low: float
    high: float


COLUMNS = (
    *("splits", "origin", "layer", "treatment", "n", "accuracy", "gain", "low", "high", "cost", "steps"),
    *("rates", "edge", "lengths", "length_edge"),
)


def ways(table: pd.DataFrame, metric: str = "top1") -> pd.DataFrame:
    """Of each layer n and origin with three treatments or more that copy it: a row a treatment, and one for scratch (base).

    `gain` is that over fine-tuning all that was copied (AnB+ and so on); n is the number of pairs, each of a split and a
    target, seeds averaged. cost and steps: the multiply-adds of all its training, and its layers that learn times steps, in
    multiples of fine-tuning all; rates and lengths: those that count (lengths in multiples of all steps), and `edge`,
    `length_edge`, where they lie among those that were tried. Where several lengths were, the same follows `trained` at equal
    steps. low and high bound the gain: the intervals of a layer hold all together in 95 % (Student's t over pairs, Bonferroni's
    share of each; none of a single pair, nor of other than random splits). Only `sound` networks count.
    """
    tables = {trained: of for trained, of in by_length(table).items() if trained != "equal epochs"}  # which amounts have
    return pd.concat([_ways(of, metric).assign(trained=trained) for trained, of in tables.items()], ignore_index=True)


@each_network
def _ways(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    good = _with_kind(sound(table)).astype({metric: float})
    good = good.assign(origin=[TREATMENTS[name].origin for name in good["treatment"]])
    if "multiply_adds" in good:
        taken = good["stopped_at"].fillna(good["step"]) if "stopped_at" in good else good["step"]
        good = good.assign(work=good["multiply_adds"] * taken)
    scratch = good[good["treatment"] == "base"]
    swept = good[(good["layer"] > 0) & (good["origin"] != "random")]
    rows = []
    for (kind, origin, layer), group in swept.groupby(["splits", "origin", "layer"]):
        full = f"{LETTERS[str(origin)]}nB+"
        if group["treatment"].nunique() < LEAST_WAYS or full not in {*group["treatment"]}:
            continue
        group = pd.concat([group, scratch[scratch["splits"] == kind]])
        there = [name for name in TREATMENTS if name in {*group["treatment"]}]
        others = (len(there) - 1) * is_random(str(kind))
        found = [_row(group, name, full, metric, others) for name in there]
        rows += [{"splits": kind, "origin": origin, "layer": layer, **row} for row in found if row]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(group: pd.DataFrame, treatment: str, full: str, metric: str, others: int) -> dict[str, Any]:
    own, whole = (group[group["treatment"] == name] for name in (treatment, full))
    both = own.merge(whole, on=SAME_TARGET, suffixes=("", "_full"), validate="one_to_one")
    if both.empty:
        return {}
    gains = (both[metric] - both[f"{metric}_full"]).groupby([both[key] for key in UNIT]).mean()
    gain = Mean(0.0, math.nan, math.nan) if treatment == full else _together(gains, others)
    return {
        "treatment": treatment,
        "n": len(gains),
        "accuracy": float(own.groupby(UNIT)[metric].mean().mean()),
        "gain": gain.mean,
        "low": gain.low,
        "high": gain.high,
        "cost": _ratio(both, "work"),
        "steps": _ratio(both, "layer_steps"),
        "rates": _listed(own.get("best_rate", pd.Series([1.0])).fillna(1.0)),
        "edge": _listed(own.get("edge", pd.Series([""]))),
        "lengths": _listed(own.get("best_length", pd.Series([1.0]))),
        "length_edge": _listed(own.get("length_edge", pd.Series([""]))),
    }


def _listed(values: pd.Series) -> str:
    return ", ".join(f"{one:g}" if isinstance(one, float) else one for one in sorted({*values} - {""}))


def _ratio(both: pd.DataFrame, column: str) -> float:
    """Of sums over pairs; NaN where rows of old do not say."""
    if column not in both or both[[column, f"{column}_full"]].isna().any(axis=None):
        return math.nan
    return float(both[column].sum() / both[f"{column}_full"].sum())


def _together(gains: pd.Series, others: int) -> Mean:
    """The mean, and the interval that it has beside those of so many others; none for one pair or for no others."""
    count, mean = len(gains), float(gains.mean())
    error = float(gains.std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0
    if not others or error < 1e-12:
        return Mean(mean, math.nan, math.nan)
    reach = student_t(count - 1, 1 - (1 - INSIDE) / others) * error
    return Mean(mean, mean - reach, mean + reach)


def sentences(found: pd.DataFrame) -> dict[str, list[str]]:
    """By kind of split, what `ways` says of each layer: which ways are better than fine-tuning all, worse, or not told apart."""
    said: dict[str, list[str]] = {}
    for (kind, origin, layer, trained), group in found.groupby(["splits", "origin", "layer", "trained"], sort=False):
        where = f"n = {layer}" + f" and {trained}" * bool(trained)
        said.setdefault(str(kind), []).append(_sentence(records(group), f"{LETTERS[str(origin)]}nB+", where))
    return said


def _sentence(every: list[dict[str, Any]], full: str, where: str) -> str:
    rows = [row for row in every if row["treatment"] != full]
    pairs = max(row["n"] for row in rows)
    better, worse = ([row for row in rows if sign * row[end] > 0] for sign, end in ((1, "low"), (-1, "high")))
    parts = [f"{listed([_told(row) for row in some])} {word}" for some, word in ((better, "better"), (worse, "worse")) if some]
    rest = [row for row in rows if row not in better and row not in worse]
    if rest and pairs >= LEAST_PAIRS:
        parts.append(f"{listed([_told(row) for row in rest])} cannot be told from it")
    elif rest:
        parts.append(f"{listed([_told(row) for row in rest])}, of too few pairs for an interval")
    return (
        f"At {where}, beside fine-tuning all that was copied ({full}), of {counted(pairs, 'pair')}: {'; '.join(parts)} "
        f"(points; {len(rows)} intervals that hold together in 95%)."
    )


def _told(row: dict[str, Any]) -> str:
    interval = "" if math.isnan(row["low"]) else f" ({signed(100 * row['low'], 1)} to {signed(100 * row['high'], 1)})"
    cost = "" if math.isnan(row["cost"]) else f" for {row['cost']:.2f} of the multiply-adds"
    return f"{row['treatment']} {signed(100 * row['gain'], 1)}{interval}{cost}"
