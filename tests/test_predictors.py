"""Predictors beside what was measured: correlations against their definitions, rules on made-up targets, and the words."""

import math
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfercli.analysis.predictors import (
    BLIND,
    FINE_TUNE,
    LINEAR,
    PREDICTORS,
    RULES,
    Target,
    compare_rules,
    correlations,
    kendall,
    mean_correlations,
    measured,
    predicted,
    quick_sentences,
    regrets,
    rule_sentences,
    sentences,
    spearman,
    wanted,
)

LAYERS = 8


def target(accuracy: list[float], ridge: list[float] | None = None, noise: int = 0) -> Target:
    """A target of 8 layers: the accuracies of P0T.keep to P7T.keep, and a ridge probe; the other predictors are noise."""
    random = np.random.RandomState(noise)
    rows = [
        {
            **{"layer": n, "name": f"layer{n}", "width": 8 * n, "ridge": (ridge or accuracy[1:])[n - 1]},
            **{key: float(random.random_sample()) for key in ("hscore", "logme", "gradient_ratio")},
        }
        for n in range(1, LAYERS)
    ]
    found = [{"treatment": "PnB.keep", "layer": n, "accuracy": share} for n, share in enumerate(accuracy)]
    return Target(predicted(rows, 400), pd.DataFrame(found))


# -- correlations

NUMBERS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12)


@given(NUMBERS)
@settings(max_examples=200, deadline=None)
def test_kendall_and_spearman_are_as_defined(pairs: list[tuple[int, int]]) -> None:
    one, other = zip(*pairs, strict=True)
    agree = disagree = tied_one = tied_other = 0
    for i in range(len(one)):
        for j in range(i):
            sign = (one[i] - one[j]) * (other[i] - other[j])
            agree, disagree = agree + (sign > 0), disagree + (sign < 0)
            tied_one, tied_other = tied_one + (one[i] == one[j]), tied_other + (other[i] == other[j])
    count = len(one) * (len(one) - 1) / 2
    length = math.sqrt((count - tied_one) * (count - tied_other))
    if length == 0:
        assert math.isnan(kendall(one, other)) and math.isnan(spearman(one, other))
        return
    assert kendall(one, other) == pytest.approx((agree - disagree) / length)
    ranks = [[sum(b < a for b in of) + (sum(b == a for b in of) + 1) / 2 for a in of] for of in (one, other)]
    assert spearman(one, other) == pytest.approx(np.corrcoef(*ranks)[0, 1])


def test_correlations_of_one_target() -> None:
    """A probe that orders as training did stands out of random orders; one that is noise does not."""
    of = target([0.6, 0.61, 0.63, 0.65, 0.64, 0.62, 0.5, 0.4])
    found = correlations(of, draws=2000).set_index("predictor")
    assert list(found.index) == list(PREDICTORS) and set(found["treatment"]) == {"PnB.keep"} and set(found["layers"]) == {7}
    assert found.loc["ridge", ["tau", "spearman"]].tolist() == pytest.approx([1, 1])
    assert found.loc["ridge", "p"] < 0.005
    exact = [abs(kendall(order, range(7))) for order in permutations(range(7))]
    assert found.loc["ridge", "within"] == pytest.approx(float(np.quantile(exact, 0.95)), abs=0.05)
    tau = found.loc["layer", "tau"]
    assert tau == pytest.approx(kendall(range(7), of.measured["accuracy"][1:]))
    assert found.loc["layer", "p"] == pytest.approx(np.mean([one >= abs(tau) - 1e-9 for one in exact]), abs=0.03)
    assert correlations(of, draws=50).equals(correlations(of, draws=50))


def test_of_random_orders_one_in_twenty_stands_out() -> None:
    """Predictors without any relation have p of 0.05 or less about that often, and never much oftener."""
    random = np.random.RandomState(3)
    small = 0
    for draw in range(60):
        of = target(list(random.permutation(8) / 10.0), noise=draw + 1)
        found = correlations(of, draws=300).set_index("predictor")
        small += int((found.loc[["hscore", "logme", "gradient_ratio"], "p"] <= 0.05).sum())
    assert small <= 180 * 0.05 + 3 * math.sqrt(180 * 0.05 * 0.95)


def test_what_is_the_same_throughout_orders_nothing() -> None:
    found = correlations(target([0.5] * 8, [0.1] * 7), draws=20)
    assert found["tau"].isna().all() and found["p"].isna().all()
    assert sentences(found, "T") == []
    of = target([0.1 * n for n in range(8)])
    assert correlations(of._replace(measured=of.measured[:3]), draws=5).empty  # n of 0 to 2


def test_mean_correlations_are_over_targets() -> None:
    targets = {
        "rising": target([0.1 * n for n in range(8)], noise=1),
        "falling": target([0.9 - 0.1 * n for n in range(8)], noise=2),
    }
    found = mean_correlations(targets).set_index("predictor")
    assert found.loc["ridge", ["targets", "tau", "spearman"]].tolist() == pytest.approx([2, 1, 1])
    assert found.loc["layer", "tau"] == pytest.approx(0) and found["low"].isna().all()
    third = mean_correlations({**targets, "peak": target([0.1, 0.2, 0.3, 0.4, 0.5, 0.4, 0.3, 0.2], noise=3)}).set_index(
        "predictor"
    )
    layer = third.loc["layer"]
    assert layer["low"] < layer["tau"] < layer["high"] and math.isnan(third.loc["ridge", "low"])


# -- what was measured


def row(network: str, layer: int, top1: float | None, seed: int = 0, **more: Any) -> dict[str, Any]:
    treatment = "base" if network.startswith("base") else "PnB" + ".keep" * (".keep" in network)
    return {"network": network, "treatment": treatment, "layer": layer, "top1": top1, "seed": seed, **more}


def test_the_rate_of_an_n_is_chosen_on_the_folds_and_seeds_are_averaged() -> None:
    held = {"holdout_pictures": 10}
    rows = [
        row("baseT", 0, 0.9, holdout_loss=0.1, **held),
        row("P1T.keep", 1, 0.5, holdout_loss=1.0, **held),
        row("P1T.keep", 1, 0.6, 1, holdout_loss=1.2, **held),
        row("P1T.keep@rate=3.0", 1, 0.7, rate=3.0, holdout_loss=0.9, **held),
        row("P1T.keep@rate=3.0", 1, 0.2, 1, rate=3.0, holdout_loss=0.8, **held),
        row("P2T.keep", 2, 0.3, holdout_loss=2.0, **held),
        row("P2T.keep", 2, 0.5, 1, holdout_loss=2.0, **held),
        row("P2T.keep@rate=3.0", 2, None, rate=3.0, holdout_loss=None, **held),
        row("P2T.keep@rate=3.0", 2, 0.9, 1, rate=3.0, holdout_loss=0.1, **held),
        row("P2T", 2, 0.25, holdout_loss=2.0, **held),
        row("P2T", 2, 0.35, 1, holdout_loss=2.0, **held),
        row("P2T", 2, 0.99, 2),
    ]
    found = measured(pd.DataFrame(rows))
    assert found.to_dict("list") == {
        "treatment": ["PnB", "PnB.keep", "PnB.keep"],
        "layer": [2, 1, 2],
        "accuracy": pytest.approx([0.3, 0.45, 0.4]),
    }


def test_without_folds_the_recipe_s_own_rate_counts() -> None:
    rows = [row("P1T", 1, 0.5), row("P1T", 1, 0.7, 1), row("P1T@rate=3.0", 1, 0.9, rate=3.0)]
    assert measured(pd.DataFrame(rows)).to_dict("records") == [{"treatment": "PnB", "layer": 1, "accuracy": pytest.approx(0.6)}]
    assert measured(pd.DataFrame(rows[:2]))["accuracy"].tolist() == pytest.approx([0.6])


# -- rules


def test_each_rule_freezes_what_it_says() -> None:
    rows = [
        {"layer": n, "name": f"l{n}", "width": 1, "ridge": ridge, "hscore": n, "logme": -n, "gradient_ratio": ratio}
        for n, ridge, ratio in [(1, 0.2, 0.1), (2, 0.7, 0.3), (3, 0.7, 0.9), (4, 0.6, 0.2)]
    ]
    found = wanted(predicted(rows, 10))
    assert found == {"ridge": 3, "hscore": 4, "logme": 1, "gradient_ratio": 2, LINEAR: 4, FINE_TUNE: 0} and set(found) == set(
        RULES
    )


def test_regret_is_of_the_nearest_measured_n() -> None:
    of = target([0.6, 0.61, 0.63, 0.65, 0.64, 0.62, 0.5, 0.4])
    few = of._replace(measured=of.measured[of.measured["layer"].isin([0, 2, 4, 7])])
    found = regrets(few).set_index("rule")
    assert (found.loc["ridge", "wanted"], found.loc["ridge", "layer"]) == (3, 2)
    assert found.loc["ridge", "regret"] == pytest.approx(0.01) and found.loc[LINEAR, "regret"] == pytest.approx(0.24)
    assert found.loc[FINE_TUNE, "regret"] == pytest.approx(0.04) and (found["regret"] >= 0).all()
    with pytest.raises(ValueError, match="fine-tuning all layers was not measured"):
        regrets(of._replace(measured=of.measured[1:]))


def made_up(count: int, told: bool) -> dict[str, Target]:
    """Targets with a peak at some n, noise of half a point, and a ridge probe that tells the peak or does not."""
    random = np.random.RandomState(5)
    found = {}
    for number in range(count):
        peak = int(random.randint(2, 7))
        true = [0.7 - 0.02 * abs(n - peak) for n in range(8)]
        ridge = true[1:] if told else list(0.5 + 0.2 * random.random_sample(7))
        found[f"target {number}"] = target([share + 0.005 * random.standard_normal() for share in true], ridge, noise=number)
    return found


def test_a_rule_that_knows_beats_fine_tuning_all_and_others_do_not() -> None:
    rules = compare_rules(made_up(12, told=True)).set_index("rule")
    assert list(rules.index) == list(RULES) and set(rules["targets"]) == {12}
    assert rules.loc["ridge", "more_high"] < 0 < rules.loc["ridge", "high"]
    assert rules.loc[FINE_TUNE, "more"] == 0 and math.isnan(rules.loc[FINE_TUNE, "more_low"])
    both = rules.loc["ridge"]
    assert both["regret"] - rules.loc[FINE_TUNE, "regret"] == pytest.approx(both["more"])
    said = rule_sentences(rules.reset_index())
    assert said[-2].startswith("Freezing up to where the ridge probe peaks") and said[-1] == BLIND
    assert any("beat" in sentence for sentence in said)


def test_false_alarms_are_rare() -> None:
    """Accuracies that no n changes but by luck: of 40 made-up comparisons, next to none calls a rule better or worse."""
    alarms = 0
    for draw in range(40):
        random = np.random.RandomState(draw)
        flat = {str(n): target(list(0.6 + 0.01 * random.standard_normal(8)), list(random.random_sample(7)), n) for n in range(6)}
        rules = compare_rules(flat)
        alarms += bool(((rules["more_low"] > 0) | (rules["more_high"] < 0)).any())
    assert alarms <= 40 * 0.05 + 3 * math.sqrt(40 * 0.05 * 0.95)


def test_few_targets_tell_nothing() -> None:
    said = rule_sentences(compare_rules(made_up(2, told=True)))
    assert said[0].startswith("Over 2 targets, always fine-tuning all gives away +") and said[0].endswith(
        " points of the best n."
    )
    assert said[-2] == "2 targets cannot tell whether a rule beats always fine-tuning all: it takes 3 or more."
    assert not any(" to " in sentence.partition("gives away")[2] for sentence in said[:-2])


# -- words


def test_what_is_said_before_training() -> None:
    ridge = [0.20, 0.50, 0.60, 0.58, 0.40, 0.30, 0.20]
    rows = [
        {
            "layer": n,
            "name": f"block{n}",
            "width": 8,
            "ridge": share,
            "hscore": n / 10,
            "logme": 1 / n,
            "gradient_ratio": 0.01 * n,
        }
        for n, share in enumerate(ridge, start=1)
    ]
    assert quick_sentences(predicted(rows, 400), 400, 2000, 0.05) == [
        "The ridge probe is best on layer 3 (block3): right of 60.0% (55.1% to 64.7%) of 400 held-out pictures, fitted on 2,000; "
        "guessing gives 5.0%; layer 4 within its interval.",
        "H-score is largest on layer 7 (block7), LogME on layer 1 (block1).",
        "The gradient is largest beside its weights in layer 7 (block7): 0.07 of their length.",
        BLIND,
    ]
    assert "no layer is clearly better than guessing" in quick_sentences(predicted(rows, 4), 4, 20, 0.5)[0]


def test_what_is_said_of_a_run() -> None:
    said = sentences(correlations(target([0.6, 0.61, 0.63, 0.65, 0.64, 0.62, 0.5, 0.4]), draws=500), "T")
    begins = "How well the 7 n of PnT.keep (all but the classifier copied, n layers frozen, the rest trained on) are ordered, by "
    assert len(said) == 2 and said[0].startswith(f"{begins}Kendall's τ (Spearman's ρ): the ridge probe +1.00 (ρ +1.00), H-score ")
    assert "the rest is trained" in said[1]


def test_intervals_are_beside_the_accuracy() -> None:
    table = target([0.5] * 8, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]).predicted
    assert list(table.columns[:6]) == ["layer", "name", "width", "ridge", "ridge_low", "ridge_high"]
    assert all(low < share < high for low, share, high in table[["ridge_low", "ridge", "ridge_high"]].itertuples(index=False))
    assert all(a < b for a, b in pairwise(table["ridge_low"]))
