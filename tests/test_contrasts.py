"""The two contrasts and the rule for a base trained too short, by hand and by simulation with known truth."""

import math

import numpy as np
import pandas as pd
import pytest

from transfercli.analysis.conclusions import brief, conclude
from transfercli.analysis.contrasts import CONTRASTS, SHORT, contrasts, trained_twice
from transfercli.analysis.differences import differences, mean_of_pairs
from transfercli.analysis.intervals import NORMAL
from transfercli.analysis.published import published_table
from transfercli.analysis.verdicts import OTHER_HALVES

Design = dict[tuple[str, str], int]  # by split and target, how many seeds


def design(splits: int, seeds: int, targets: str = "AB") -> Design:
    return {(f"random-{split}", target): seeds for split in range(splits) for target in targets}


def row(split: str, seed: int, target: str, treatment: str, layer: int, top1: float, **more: float) -> dict:
    place = {"split": split, "seed": seed, "target": target, "treatment": treatment, "layer": layer, "source": ""}
    return place | {"top1": top1, "status": "done", "classes": 10, "val_pictures": 1000, "network": f"{treatment}{layer}"} | more


def drawn(
    random: np.random.RandomState,
    made_of: Design,
    truth: dict[tuple[str, int], float],
    between: float = 0.02,
    within: float = 0.003,
    shared: float = 0.0,
) -> pd.DataFrame:
    """A study in which networks lie above their base by `truth`, by treatment and layer, but for two normal draws.

    One of the pair of split and target, of spread `between`, and one of the training, of spread `within`; of the first the
    share `shared` (of its variance) is the split's, the same for both targets. The assumption of all intervals is that it is 0.
    """
    splits = list(dict.fromkeys(split for split, _ in made_of))
    of_split = random.normal(0, between, (len(splits), len(truth)))[[splits.index(split) for split, _ in made_of]]
    of_pair = random.normal(0, between, (len(made_of), len(truth)))
    gains = np.array(list(truth.values())) + math.sqrt(shared) * of_split + math.sqrt(1 - shared) * of_pair
    trained = [(pair, seed) for pair, seeds in enumerate(made_of.values()) for seed in range(seeds)]
    top1 = 0.5 + np.array([gains[pair] for pair, _ in trained]) + random.normal(0, within, (len(trained), len(truth)))
    pairs = list(made_of)
    halves = pd.DataFrame([row(pairs[pair][0], seed, pairs[pair][1], "base", 0, 0.5) for pair, seed in trained])
    networks = halves.loc[halves.index.repeat(len(truth))].assign(top1=top1.ravel())
    networks[["treatment", "layer"]] = list(truth) * len(trained)
    return pd.concat([halves, networks], ignore_index=True)


def held(made_of: Design, studies: int = 600, shared: float = 0.0) -> float:
    """The share of intervals that hold the truth, which is 0; each layer is a study of its own."""
    truth = {("AnB", layer): 0.0 for layer in range(11, 11 + studies)}
    found = differences(drawn(np.random.RandomState(0), made_of, truth, shared=shared))
    assert len(found) == studies and set(found["n"]) == {len(made_of)}
    return float(((found["low"] <= 0) & (found["high"] >= 0)).mean())


# -- seeds are no halves


@pytest.mark.parametrize(
    "made_of",
    [
        design(2, 8),
        design(2, 8, "B"),
        design(4, 6),
        design(4, 6, "B"),
        {("random-0", "A"): 1, ("random-0", "B"): 8, ("random-1", "B"): 2, ("random-2", "A"): 6},
    ],
    ids=["2x8, both targets", "2x8, one target", "4x6, both targets", "4x6, one target", "unlike numbers of seeds"],
)
def test_intervals_hold_the_truth_in_95_of_100_studies_with_many_seeds(made_of: Design) -> None:
    """A spread of 2 points between pairs of split and target, which are independent, and of 0.3 between seeds."""
    assert 0.93 <= held(made_of) <= 0.98


def test_what_is_given_away_where_both_targets_of_a_split_go_together() -> None:
    """The assumption broken: half of the variance is the split's, whatever the target. So docs/paired-analysis.md."""
    assert 0.84 <= held(design(4, 2), shared=0.5) <= 0.92
    assert held(design(4, 2, "B"), shared=0.5) >= 0.93  # one target of each split is the stricter reading


# -- the contrasts


def test_the_weights_of_a_contrast_cancel_the_base() -> None:
    for weights in CONTRASTS.values():
        assert sum(weights.values()) == pytest.approx(0)
    assert {key: CONTRASTS["dip"][key] for key in sorted(CONTRASTS["dip"])} == {
        ("BnB", 1): -0.25, ("BnB", 2): -0.25, ("BnB", 4): 0.5, ("BnB", 5): 0.5, ("BnB", 7): -0.5
    }  # fmt: skip
    assert sum(weight for (treatment, _), weight in CONTRASTS["boost"].items() if treatment == "AnB+") == pytest.approx(1)


def test_the_released_study_dips_and_cannot_tell_of_a_boost() -> None:
    [dip] = contrasts(published_table(), "top1_best10").to_dict("records")
    assert (dip["splits"], dip["quantity"], dip["layer"], dip["n"]) == ("random", "dip", "4-5", 4)
    assert [round(100 * dip[key], 2) for key in ("mean", "low", "high")] == [-2.51, -2.83, -2.18]


def test_contrasts_by_hand() -> None:
    dip = dict(zip((1, 2, 4, 5, 7), (0.50, 0.54, 0.40, 0.44, 0.48), strict=True))  # 0.42 - (0.52 + 0.48) / 2
    rows = [row("random-0", 0, "B", "BnB", layer, top1) for layer, top1 in dip.items()]
    rows += [row("random-0", 0, "B", "BnB+", layer, 0.5) for layer in range(3, 8)]
    rows += [row("random-0", 0, "B", "AnB+", layer, 0.5 + layer / 100) for layer in range(3, 8)]
    table = pd.DataFrame(rows)
    found = contrasts(table).set_index("quantity")
    assert found["mean"].to_dict() == pytest.approx({"dip": -0.08, "boost": 0.05})
    assert found["low"].isna().all() and set(found["n"]) == {1}
    by_pictures = contrasts(table, bound=True).set_index("quantity")
    reach = NORMAL * math.sqrt((0.24 + 0.2464 + (0.25 + 0.2484) / 4 + 0.2496) / 4 / 1000)
    assert by_pictures.loc["dip", "high"] == pytest.approx(-0.08 + reach)
    # With a network missing or failed, the pair has no contrast.
    assert contrasts(table[table["layer"] != 4])["quantity"].tolist() == []
    diverged = table.assign(status=["diverged at step 3"] + ["done"] * (len(table) - 1))
    assert contrasts(diverged)["quantity"].tolist() == ["boost"]
    assert len(contrasts(pd.DataFrame())) == 0


def test_the_bases_share_in_a_dip_cancels() -> None:
    truth = {("BnB", layer): -0.02 * (layer in (4, 5)) for layer in (1, 2, 4, 5, 7)}
    table = drawn(np.random.RandomState(0), design(3, 1), truth)
    higher = table.assign(top1=table["top1"] + 0.1 * (table["target"] == "A"))
    assert contrasts(higher)["mean"].tolist() == pytest.approx(contrasts(table)["mean"].tolist())


def test_contrasts_hold_the_truth_in_95_of_100_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both at once; a spread of 2 points between pairs, which are independent, and of 0.3 between seeds."""
    truth = {
        key: 0.03 * (key[0] == "AnB+") - 0.025 * (key in (("BnB", 4), ("BnB", 5))) for of in CONTRASTS.values() for key in of
    }
    # A split that is not random is a study of its own; it has four pairs here, taken as a random split's.
    monkeypatch.setattr("transfercli.analysis.contrasts.mean_of_pairs", lambda kind, values: mean_of_pairs("random", values))
    studies = {(f"study-{study}", target): 3 for study in range(400) for target in "ABCD"}
    found = contrasts(drawn(np.random.RandomState(1), studies, truth))
    for name, value in (("dip", -0.025), ("boost", 0.03)):
        of = found[found["quantity"] == name]
        assert len(of) == 400 and set(of["n"]) == {4}
        assert 0.93 <= ((of["low"] <= value) & (of["high"] >= value)).mean() <= 0.98


# -- trained twice


def losses(random: np.random.RandomState, made_of: Design, below: float, noise: float = 0.01, best: float = 1.0) -> pd.DataFrame:
    """Bases whose training loss is about `best`, and BnB at layer 1 below by the share `below`; each training has noise."""
    rows = []
    for (split, target), seeds in made_of.items():
        level = best * random.normal(1, 0.1)
        for seed in range(seeds):
            base, own = level * random.normal(1, noise), level * (1 - below) * random.normal(1, noise)
            rows.append(row(split, seed, target, "base", 0, 0.5, fixed_loss=base))
            rows.append(row(split, seed, target, "BnB", 1, 0.5, fixed_loss=own))
    return pd.DataFrame(rows)


@pytest.mark.parametrize("made_of", [design(1, 1, "B"), design(1, 1), design(4, 2)])
def test_a_base_short_of_its_best_is_warned_of_and_one_at_its_best_is_not(made_of: Design) -> None:
    """Trainings whose losses differ by 1 per cent; BnB equal to its base, and 8 per cent below it, as on Tiny-ImageNet."""
    random = np.random.RandomState(0)
    warned = {
        below: np.mean([trained_twice(losses(random, made_of, below)) is not None for _ in range(80)]) for below in (0.0, 0.08)
    }
    assert warned[0.0] <= 0.03 and warned[0.08] >= 0.97


def test_how_far_below_is_clearly_below() -> None:
    random = np.random.RandomState(0)
    for below, expected in ((SHORT - 0.01, False), (SHORT + 0.01, True)):
        assert (trained_twice(losses(random, design(3, 1), below, noise=0.001)) is not None) == expected
    at_zero = losses(random, design(3, 1), 0.5, best=0.001)  # half of nothing is nothing
    assert trained_twice(at_zero) is None
    one_apart = losses(random, design(1, 1), 0.2)
    one_apart.loc[one_apart["target"] == "A", "fixed_loss"] = [1.0, 1.05]  # of two pairs both must agree
    assert trained_twice(one_apart) is None
    missing = losses(random, design(3, 1), 0.2)
    assert trained_twice(missing) is not None
    assert trained_twice(missing.drop(columns="fixed_loss")) is None
    assert trained_twice(missing.assign(fixed_loss=None)) is None
    assert trained_twice(missing.assign(status="diverged at step 3")) is None


def test_the_conclusion_and_the_brief_warn_of_a_base_trained_too_short() -> None:
    table = losses(np.random.RandomState(0), design(3, 1), 0.2, noise=0.001)
    table["fixed_loss"] = [1.5, 1.2] * 6
    warning = "The base is short of its best on its own training pictures (loss 1.500, with BnB at layer 1 1.200)"
    [said] = [sentence for sentence in conclude(table)["random"] if sentence.startswith(warning)]
    assert said.endswith("): BnB − base then says nothing of co-adaptation, as BnB is trained twice.")
    assert brief(table)[1] == (
        "Whether BnB shows co-adaptation is not to be told; BnB − base says nothing of it, for the base is short of its best on "
        "its own training pictures (loss 1.500, with BnB at layer 1 1.200)."
    )
    without = table.drop(columns="fixed_loss")
    assert not any("short of its best" in sentence for sentence in [*conclude(without)["random"], *brief(without)])


# -- the brief


ALL = {(treatment, layer): 0.0 for treatment in ("BnB", "AnB", "AnB+", "BnB+") for layer in range(1, 8)}
CLEAR = {
    **ALL,
    **{("BnB", layer): -0.03 for layer in (4, 5)},
    **{("AnB", layer): -0.04 for layer in (4, 5)},
    **{("AnB", layer): -0.10 for layer in (6, 7)},
    **{("AnB+", layer): 0.03 for layer in range(1, 8)},
}


def test_a_study_of_the_papers_effects_is_told_in_three_sentences() -> None:
    said = brief(drawn(np.random.RandomState(0), design(4, 2), CLEAR, between=0.001, within=0.001))
    assert [sentence.partition(":")[0] for sentence in said] == [
        "Features turn from general to specific at layer 4; frozen features of the other half serve as well as the half's own at "
        "layers 1-3, and cost 10.11 (10.04 to 10.19) points at layer 7, the deepest.",
        "BnB shows co-adaptation",
        "Against the base in the mean of layers 1-7",
    ]
    assert "what the other half adds (AnB+ − BnB+, layers 3-7) is clear of zero, +" in said[2]
    assert said[2].endswith(f"(4 random splits, 8 pairs of split and target a point; intervals are about {OTHER_HALVES}.)")


@pytest.mark.slow
def test_what_is_nothing_is_rarely_told_as_something() -> None:
    """No effect, 4 splits of both targets, a spread of 1 point: each claim may err in 1 of 20 studies, half to each side."""
    random, said = np.random.RandomState(0), []
    for _ in range(100):
        said.append(brief(drawn(random, design(4, 1), ALL, between=0.01)))
    assert np.mean([sentences[0].startswith("Features turn") for sentences in said]) <= 0.06
    assert np.mean([" cost " in sentences[0] and "next to nothing" not in sentences[0] for sentences in said]) <= 0.06
    assert np.mean([sentences[1].startswith("BnB shows co-adaptation") for sentences in said]) <= 0.06
    assert np.mean(["is clear of zero" in sentences[2] for sentences in said]) <= 0.06
