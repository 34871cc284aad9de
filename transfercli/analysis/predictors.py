"""What was reckoned of layers before training, beside what training gave: docs/predictors.md. No torch.

A table of predictors has a row for each layer that can be copied: layer, ridge, hscore, logme, gradient_ratio
(`training.probing.probe` makes it). A table of what was measured has treatment, layer (the n that are frozen) and accuracy.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from transfercli.analysis.advice import Network as Trained
from transfercli.analysis.advice import choose_rates
from transfercli.analysis.intervals import binomial_interval, mean_interval, student_t
from transfercli.analysis.pairs import records
from transfercli.analysis.words import LEAST_PAIRS, signed

# By column, what it is called. The last is known without any picture: a predictor that orders no better is not worth its seconds.
PREDICTORS = {
    "ridge": "the ridge probe",
    "hscore": "H-score",
    "logme": "LogME",
    "gradient_ratio": "the gradient ratio",
    "layer": "the layer's number alone",
}
FROZEN = {
    "PnB": "n layers copied and frozen, the rest drawn anew and trained",
    "PnB.keep": "all but the classifier copied, n layers frozen, the rest trained on",
}  # the treatments that the predictors are held against
KEEP = "PnB.keep"
FINE_TUNE, LINEAR = "fine-tune all", "linear classifier"
RULES = {
    "ridge": "freezing up to where the ridge probe peaks",
    "hscore": "freezing up to where H-score peaks",
    "logme": "freezing up to where LogME peaks",
    "gradient_ratio": "freezing what lies below the layer of the largest gradient ratio",
    LINEAR: "freezing all but the classifier",
    FINE_TUNE: "always fine-tuning all",
}
BLIND = (
    "A probe tells what a linear classifier makes of n layers as they are, and the gradient where training would begin; "
    "neither tells what becomes of n frozen layers when the rest is trained on top of them, which only training measures."
)
INSIDE = 0.95


class Target(NamedTuple):
    """What was reckoned and what was measured of one target."""

    predicted: pd.DataFrame
    measured: pd.DataFrame


def predicted(rows: Sequence[Mapping[str, Any]], pictures: int) -> pd.DataFrame:
    """The rows of a probe as a table, with the interval of its accuracy (ridge_low, ridge_high) on so many pictures."""
    found = []
    for row in rows:
        low, high = binomial_interval(row["ridge"], pictures)
        first = {key: row[key] for key in ("layer", "name", "width", "ridge")}
        found.append({**first, "ridge_low": low, "ridge_high": high, **row})
    return pd.DataFrame(found)


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """Of a study's table, of one target, the accuracy on `val` of each n: columns treatment, layer, accuracy; seeds averaged.

    Of several learning rates an n has that of the least mean loss on the folds (`advice.choose_rates`); where there are no folds,
    the recipe's own.
    """
    rows = table[table["treatment"].isin(FROZEN)]
    rows = rows.assign(rate=rows["rate"].fillna(1.0).astype(float) if "rate" in rows else 1.0, top1=rows["top1"].astype(float))
    chosen: dict[str, float] = {}
    if "holdout_pictures" in rows and rows["holdout_pictures"].notna().any():
        rows = rows[rows["holdout_pictures"].notna()]
        trained = [Trained(row["network"].partition("@")[0], row["rate"], row["seed"], _number(row)) for row in records(rows)]
        chosen = {arm: of.rate for arm, of in choose_rates(trained).items()}
    arms = [name.partition("@")[0] for name in rows["network"]]
    own = [rate == (chosen.get(arm) if chosen else 1.0) for rate, arm in zip(rows["rate"], arms, strict=True)]
    means = rows[own].groupby(["treatment", "layer"])["top1"].mean()
    return means.rename("accuracy").reset_index()


def _number(row: Mapping[str, Any]) -> float:
    """The loss on the fold; what diverged has none, and is out."""
    return float(row["holdout_loss"]) if row["holdout_loss"] is not None else math.nan


# -- how well a predictor orders what was measured


def kendall(one: Iterable[float], other: Iterable[float]) -> float:
    """Kendall's tau-b of two lists of numbers, of -1 to 1; NaN where one of them is the same throughout."""
    a, b = _signs(one), _signs(other)
    return float((a * b).sum()) / _length(a, b)


def spearman(one: Iterable[float], other: Iterable[float]) -> float:
    """Spearman's rank correlation, equal numbers having their mean rank; NaN where one list is the same throughout."""
    a, b = (pd.Series(list(values)).rank().to_numpy() for values in (one, other))
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b) / _length(a, b)


def _signs(values: Iterable[float]) -> np.ndarray:
    array = np.array(list(values), dtype=float)
    return np.sign(array[:, None] - array[None, :])


def _length(a: np.ndarray, b: np.ndarray) -> float:
    """What the sum of products of signs is divided by to be a tau; NaN where all of one are 0."""
    return math.sqrt(float((a * a).sum()) * float((b * b).sum())) or math.nan


def correlations(of: Target, draws: int = 10_000, seed: int = 0) -> pd.DataFrame:
    """Of each treatment and predictor: columns treatment, predictor, layers, tau, spearman, within, p.

    Over the n ≥ 1 that were measured; a treatment with fewer than three is left out. `within`: 95% of random orders have a tau of
    at most this size; p: how many have one of at least the predictor's. Neighbouring layers resemble each other, so that orders
    that agree by themselves are commoner than that: `layer`, the number alone, shows what depth by itself gives.
    """
    found = []
    for treatment in FROZEN:
        both = _both(of, treatment)
        if len(both) < LEAST_PAIRS:
            continue
        accuracy = _signs(both["accuracy"])
        orders = np.argsort(np.random.RandomState(seed).random_sample((draws, len(both))), axis=1)
        for predictor in PREDICTORS:
            signs = _signs(both[predictor])
            length = _length(signs, accuracy)
            tau = float((signs * accuracy).sum()) / length
            random = np.abs([float((signs[np.ix_(order, order)] * accuracy).sum()) / length for order in orders])
            found.append(
                {
                    "treatment": treatment,
                    "predictor": predictor,
                    "layers": len(both),
                    "tau": tau,
                    "spearman": spearman(both[predictor], both["accuracy"]),
                    "within": float(np.quantile(random, INSIDE)),
                    "p": math.nan if math.isnan(tau) else float((1 + (random >= abs(tau) - 1e-9).sum()) / (1 + draws)),
                }
            )
    return pd.DataFrame(found, columns=["treatment", "predictor", "layers", "tau", "spearman", "within", "p"])


def mean_correlations(targets: Mapping[str, Target]) -> pd.DataFrame:
    """Over targets: columns treatment, predictor, targets, tau, low, high, spearman: means, and of tau Student's 95% interval.

    A target counts where three n ≥ 1 were measured and neither list is the same throughout. Low and high are NaN for fewer
    than three targets, and where all agree exactly.
    """
    found = []
    for treatment in FROZEN:
        tables = [both for of in targets.values() if len(both := _both(of, treatment)) >= LEAST_PAIRS]
        for predictor in PREDICTORS:
            pairs = [(table[predictor], table["accuracy"]) for table in tables]
            taus = pd.Series([kendall(*pair) for pair in pairs], dtype=float).dropna()
            if not len(taus):
                continue
            mean, low, high = mean_interval(taus)
            if len(taus) < LEAST_PAIRS:
                low = high = math.nan
            rho = float(pd.Series([spearman(*pair) for pair in pairs]).mean())
            found.append((treatment, predictor, len(taus), mean, low, high, rho))
    return pd.DataFrame(found, columns=["treatment", "predictor", "targets", "tau", "low", "high", "spearman"])


def _both(of: Target, treatment: str) -> pd.DataFrame:
    """What was reckoned of layer n beside what was measured with n layers frozen."""
    return of.measured[of.measured["treatment"] == treatment].merge(of.predicted, on="layer").sort_values("layer")


# -- whether a rule by a predictor beats fine-tuning all


def wanted(predicted: pd.DataFrame) -> dict[str, int]:
    """How many layers each of RULES freezes. Of equal peaks the deepest counts, which trains least."""
    table = predicted.sort_values("layer")
    deepest = int(table["layer"].max())
    found = {}
    for predictor in ("ridge", "hscore", "logme"):
        found[predictor] = int(table.loc[table[predictor] == table[predictor].max(), "layer"].max())
    ratios = table["gradient_ratio"]
    found["gradient_ratio"] = int(table.loc[ratios == ratios.max(), "layer"].min()) - 1
    return {**found, LINEAR: deepest, FINE_TUNE: 0}


def regrets(of: Target) -> pd.DataFrame:
    """Of each rule: columns rule, wanted, layer, accuracy, regret; of the networks that keep all but the classifier (PnB.keep).

    `layer`: the measured n that is nearest the wanted one, the smaller of two. `regret`: the best accuracy of all n less this
    one's; as the best of many is best by luck too, regrets are a little too large, of all rules alike. Raises ValueError where
    n = 0, fine-tuning all, was not measured.
    """
    keep = of.measured[of.measured["treatment"] == KEEP].set_index("layer")["accuracy"].sort_index()
    if 0 not in keep.index:
        raise ValueError("fine-tuning all layers was not measured; there is nothing to hold a rule against")
    found = []
    for rule, n in wanted(of.predicted).items():
        layer = min(keep.index, key=lambda other: (abs(other - n), other))
        accuracy = float(keep[layer])
        found.append(
            {"rule": rule, "wanted": n, "layer": int(layer), "accuracy": accuracy, "regret": float(keep.max()) - accuracy}
        )
    return pd.DataFrame(found)


def compare_rules(targets: Mapping[str, Target]) -> pd.DataFrame:
    """Over targets: columns rule, targets, regret, low, high, more, more_low, more_high; fractions.

    `regret`: the mean, with its 95% interval (Student's t over targets). `more`: the mean of the rule's regret less that of
    always fine-tuning all, of the same target; its intervals hold together for all rules in 95% (Bonferroni). No interval for
    fewer than three targets, nor where all agree exactly.
    """
    each = pd.concat([regrets(of).assign(target=name) for name, of in targets.items()], ignore_index=True)
    wide = each.pivot(index="target", columns="rule", values="regret")
    rules, count, found = [rule for rule in RULES if rule != FINE_TUNE], len(wide), []
    for rule in (*rules, FINE_TUNE):
        regret, low, high = mean_interval(wide[rule])
        more = wide[rule] - wide[FINE_TUNE]
        error = float(more.std(ddof=1)) / math.sqrt(count) if count >= LEAST_PAIRS else math.nan
        reach = student_t(count - 1, 1 - (1 - INSIDE) / len(rules)) * error if error > 1e-12 else math.nan
        if count < LEAST_PAIRS:
            low = high = math.nan
        middle = float(more.mean())
        row = {"rule": rule, "targets": count, "regret": regret, "low": low, "high": high}
        found.append({**row, "more": middle, "more_low": middle - reach, "more_high": middle + reach})
    return pd.DataFrame(found)


# -- words


def quick_sentences(table: pd.DataFrame, measured: int, fitted: int, chance: float) -> list[str]:
    """What a table of `predicted` says before anything is trained; of so many pictures, and what guessing gives, a fraction."""
    rows = records(table)
    best, h_score, log_me, ratio = (
        max(rows, key=lambda row: (row[column], row["layer"])) for column in ("ridge", "hscore", "logme", "gradient_ratio")
    )
    near = [str(row["layer"]) for row in rows if row["ridge"] >= best["ridge_low"] and row is not best]
    also = f"; layer{'s' * (len(near) > 1)} {_and(near)} within its interval" if near else ""
    if best["ridge_low"] <= chance:
        also = "; no layer is clearly better than guessing"
    shares = [f"{100 * share:.1f}%" for share in (best["ridge"], best["ridge_low"], best["ridge_high"], chance)]
    return [
        f"The ridge probe is best on {_layer(best)}: right of {shares[0]} ({shares[1]} to {shares[2]}) of {measured:,} held-out "
        f"pictures, fitted on {fitted:,}; guessing gives {shares[3]}{also}.",
        f"H-score is largest on {_layer(h_score)}, LogME on {_layer(log_me)}.",
        f"The gradient is largest beside its weights in {_layer(ratio)}: {ratio['gradient_ratio']:.2g} of their length.",
        BLIND,
    ]


def sentences(found: pd.DataFrame, target: str) -> list[str]:
    """What `correlations` says of a target's run, a sentence a treatment, and what no predictor says."""
    said = []
    for treatment, group in found.groupby("treatment", sort=False):
        of = str(treatment)
        rows = records(group)
        words = [
            f"{PREDICTORS[row['predictor']]} {signed(row['tau'])} (ρ {signed(row['spearman'])})"
            for row in rows
            if math.isfinite(row["tau"])
        ]
        if words:
            within = max(row["within"] for row in rows if math.isfinite(row["within"]))
            said.append(
                f"How well the {rows[0]['layers']} n of {of.replace('nB', f'n{target}')} ({FROZEN[of]}) are ordered, by "
                f"Kendall's τ (Spearman's ρ): {', '.join(words)}; 95% of random orders lie within ±{within:.2f}."
            )
    return [*said, BLIND] if said else []


def rule_sentences(rules: pd.DataFrame) -> list[str]:
    """What `compare_rules` says: what fine-tuning all gives away, each rule beside it, and the answer."""
    by = {row["rule"]: row for row in records(rules)}
    usual, count = by.pop(FINE_TUNE), int(rules["targets"].iloc[0])
    over = f"{count} target{'s' * (count != 1)}"
    said = [f"Over {over}, {RULES[FINE_TUNE]} gives away {_points(usual, 'regret', 'low', 'high')} points of the best n."]
    for rule, row in by.items():
        gives, more = _points(row, "regret", "low", "high"), _points(row, "more", "more_low", "more_high")
        said.append(f"{_upper(RULES[rule])} gives away {gives} points; beside fine-tuning, {more}.")
    better = [RULES[rule] for rule, row in by.items() if row["more_high"] < 0]
    worse = [RULES[rule] for rule, row in by.items() if row["more_low"] > 0]
    if count < LEAST_PAIRS:
        answer = f"{over} cannot tell whether a rule beats {RULES[FINE_TUNE]}: it takes {LEAST_PAIRS} or more"
    elif better:
        answer = f"{_and(better)} beat{'s' * (len(better) == 1)} {RULES[FINE_TUNE]}"
    else:
        answer = f"no rule is clearly better than {RULES[FINE_TUNE]}"
    if worse:
        answer += f"; clearly worse: {_and(worse)}"
    return [*said, f"{_upper(answer)}.", BLIND]


def _layer(row: Mapping[str, Any]) -> str:
    return f"layer {row['layer']} ({row['name']})"


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _points(row: Mapping[str, Any], mean: str, low: str, high: str) -> str:
    """In points, with its interval where there is one."""
    interval = f" ({signed(100 * row[low], 1)} to {signed(100 * row[high], 1)})" if math.isfinite(row[low]) else ""
    return f"{signed(100 * row[mean], 1)}{interval}"
