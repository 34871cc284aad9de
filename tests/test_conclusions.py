"""Sentences against tables whose answers are known: the released study, and small ones made for one sentence each."""

import math

import pandas as pd
import pytest

from transfercli.analysis.conclusions import brief, conclude
from transfercli.analysis.published import published_table
from transfercli.analysis.verdicts import ONE_PAIR, OTHER_HALVES


def network(split: str, treatment: str, layer: int, top1: float, status: str = "done", pictures: float = 1000) -> dict:
    place = {"split": split, "seed": 0, "target": "B", "network": f"{treatment}{layer}", "source": ""}
    return place | {
        "treatment": treatment,
        "layer": layer,
        "top1": top1,
        "status": status,
        "classes": 10,
        "val_pictures": pictures,
    }


def study(gains: dict[str, list[float]], repeats: int = 3, spread: float = 0.004, pictures: float = 1000) -> pd.DataFrame:
    """Bases at 0.5 and networks above them by these gains for layers 1, 2, ...; the repeats lie `spread` apart."""
    rows = []
    for repeat in range(repeats):
        split, aside = f"random-{repeat}", spread * (repeat - (repeats - 1) / 2)
        rows.append(network(split, "base", 0, 0.5, pictures=pictures))
        for treatment, by_layer in gains.items():
            rows += [network(split, treatment, n, 0.5 + gain + aside, pictures=pictures) for n, gain in enumerate(by_layer, 1)]
    return pd.DataFrame(rows)


def sentences(*args, **kwargs) -> list[str]:
    return conclude(study(*args, **kwargs))["random"]


def test_the_released_study() -> None:
    said = conclude(published_table(), "top1_best10")
    assert list(said) == ["random", "man-made-natural, target A", "man-made-natural, target B", "all-1000"]
    assert said["random"] == [
        "Features turn from general to specific at layer 4: from there on AnB is below BnB, its control.",
        "Layer 1: AnB is above its base, +0.31 (+0.06 to +0.56) points.",
        "Layer 2: features of the other half serve as well as the half's own: the difference is within ±0.4 points.",
        "Layers 3-7: AnB is below its base: −0.62 (−0.91 to −0.33) points at layer 3, −8.26 (−8.49 to −8.03) points at layer 7.",
        "Co-adaptation (BnB − base) is below zero at layers 4-6, most at layer 5: −2.97 (−3.27 to −2.68) points.",
        "Specificity (AnB − BnB) is below zero from layer 4 on, most at layer 7: −8.24 (−8.45 to −8.04) points.",
        "Fixed in advance: the dip, ½(BnB4 + BnB5) − ½(½(BnB1 + BnB2) + BnB7), in which the base cancels, is "
        "−2.51 (−2.83 to −2.18) points: layers in the middle are co-adapted.",
        "What fine-tuning recovers (AnB+ − AnB) is above zero at layers 3, 5†, 6†, 7†, most at layer 7: "
        "+9.39 (+8.53 to +10.24)† points.",
        "AnB+ − base is +0.97 points in the mean of layers 1-7; it is above zero at layers 3, 4, 5†, 6†, 7†, "
        "most at layer 3: +1.30 (+0.72 to +1.88) points.",
        "BnB+ − base is +0.94 points in the mean of layers 1-7; it is above zero at layers 3, 4†, 6, 7†, "
        "most at layer 4: +1.36 (+0.51 to +2.21)† points.",
        "Fixed in advance: the boost, the mean over n = 3-7 of AnB+ − BnB+, is not to be told: no pair of split and target has "
        "AnB+ and BnB+ at all of them.",
        f"A point has 1 to 8 pairs of split and target; † has one, and its interval says only {ONE_PAIR}; with two an interval "
        "is wide (Student's t is 12.7), and further splits would narrow it.",
        f"The pairs are of 4 random splits, seeds averaged: an interval is about {OTHER_HALVES}.",
    ]
    assert said["all-1000"][0] == f"Every point has one pair: its interval says {ONE_PAIR}."
    assert said["all-1000"][-1] == (
        "Random features that learned nothing, 1 of 7, a result that counts in RnB's means: all-1000 R3all."
    )


def test_the_released_study_in_three_sentences() -> None:
    assert brief(published_table(), "top1_best10") == [
        "Features turn from general to specific at layer 4; frozen features of the other half serve at least as well as the "
        "half's own at layers 1-2, and cost 8.26 (8.03 to 8.49) points at layer 7, the deepest.",
        "BnB shows co-adaptation: its dip, BnB at layers 4 and 5 against 1, 2 and 7, is −2.51 (−2.83 to −2.18) points.",
        "Against the base in the mean of layers 1-7: transferred and fine-tuned (AnB+) +0.97 points (no interval); its control "
        "(BnB+) +0.94 points (no interval); what the other half adds (AnB+ − BnB+) is not to be told, as no pair has both at "
        "layers 3-7. (Random halves: 4 random splits, 1 to 8 pairs of split and target a point; intervals are about "
        f"{OTHER_HALVES}.)",
    ]


def test_runs_of_layers_with_one_verdict_share_a_sentence() -> None:
    said = sentences({"AnB": [0.001, -0.001, 0.05, -0.05, -0.10, -0.08]})
    # Student's t for three repeats 0.4 points apart reaches 0.99 points to each side.
    assert said[:3] == [
        "Layers 1-2: these pairs cannot tell AnB from its base: +0.10 points at layer 1, −0.10 at layer 2, intervals from "
        "−1.09 to +1.09.",
        "Layer 3: AnB is above its base, +5.00 (+4.01 to +5.99) points.",
        "Layers 4-6: AnB is below its base: −5.00 (−5.99 to −4.01) points at layer 4, −10.00 (−10.99 to −9.01) points at "
        "layer 5, −8.00 (−8.99 to −7.01) points at layer 6.",
    ]
    assert said[-2:] == [
        "A point has 3 pairs of split and target.",
        f"The pairs are of 3 random splits, seeds averaged: an interval is about {OTHER_HALVES}.",
    ]


def test_likeness_is_claimed_only_where_every_interval_is_narrow() -> None:
    assert sentences({"AnB": [0.001, -0.001]}, spread=0.003)[0] == (
        "Layers 1-2: features of the other half serve as well as the half's own: the difference is within ±0.8 points."
    )
    assert "cannot tell" in sentences({"AnB": [0.001, -0.003]}, spread=0.003)[1]


def test_two_pairs_are_said_to_be_few() -> None:
    assert sentences({"AnB": [0.0]}, repeats=2)[-2] == (
        "A point has 2 pairs of split and target; with two an interval is wide (Student's t is 12.7), and further splits would "
        "narrow it."
    )


def test_likeness_is_not_lost_beside_a_layer_of_which_nothing_is_known() -> None:
    narrow, wide = study({"AnB": [0.0, 0.001]}, spread=0.002), study({"AnB": [0.0, 0.0, 0.0]}, spread=0.03)
    said = conclude(pd.concat([narrow, wide[wide["layer"] == 3]]))["random"]
    assert said[0].startswith("Layers 1-2: features of the other half serve as well as the half's own")
    assert said[1].startswith("Layer 3: these pairs cannot tell AnB from its base")


@pytest.mark.parametrize(
    ("gains", "sentence"),
    [
        ({"BnB": [0.0, 0.001]}, "Co-adaptation (BnB − base) is at no layer clear of zero."),
        ({"BnB": [-0.05]}, "Co-adaptation (BnB − base) is below zero at layer 1: −5.00 (−5.99 to −4.01) points."),
        (
            {"BnB": [0.05, 0.06, -0.05]},
            "Co-adaptation (BnB − base) is below zero at layer 3: −5.00 (−5.99 to −4.01) points; "
            "above zero at layers 1-2, most at layer 2: +6.00 (+5.01 to +6.99) points.",
        ),
        (
            {"RnB": [-0.2, -0.3]},
            "What random features give (RnB − base) is below zero at every layer, most at layer 2: "
            "−30.00 (−30.99 to −29.01) points.",
        ),
        (
            {"AnB+": [-0.2] * 7},
            "AnB+ − base is −20.00 (−20.99 to −19.01) points in the mean of layers 1-7; it is below zero at every layer, "
            "most at layer 1: −20.00 (−20.99 to −19.01) points.",
        ),
        ({"AnB+": [0.05, 0.0]}, "AnB+ − base is above zero at layer 1: +5.00 (+4.01 to +5.99) points."),
    ],
)
def test_a_difference_is_said_below_and_above_zero(gains: dict[str, list[float]], sentence: str) -> None:
    assert sentence in sentences(gains)


def test_where_features_turn_specific() -> None:
    by_layer = {1: -0.05, 2: 0.0, 3: -0.04, 4: -0.06}
    rows = []
    for repeat, aside in enumerate((-0.002, 0.0, 0.002)):
        for layer, gain in by_layer.items():
            rows += [
                network(f"random-{repeat}", "BnB", layer, 0.5),
                network(f"random-{repeat}", "AnB", layer, 0.5 + gain + aside),
            ]
    table = pd.DataFrame(rows)
    assert conclude(table)["random"][0] == (
        "Features turn from general to specific at layer 3: from there on AnB is below BnB, its control."
    )
    assert conclude(table[table["layer"] < 3])["random"][0] == (
        "Where features turn from general to specific is not to be told: at the deepest layer AnB is not clearly below BnB."
    )


def pairs_of(differences: list[list[float]]) -> pd.DataFrame:
    """A study of one layer a list, whose AnB+ − BnB+ take these values in the splits random-0, random-1, ..."""
    rows = []
    for repeat in range(len(differences[0])):
        rows.append(network(f"random-{repeat}", "base", 0, 0.5))
        for layer, values in enumerate(differences, 1):
            rows.append(network(f"random-{repeat}", "BnB+", layer, 0.6))
            rows.append(network(f"random-{repeat}", "AnB+", layer, 0.6 + values[repeat]))
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("differences", "sentence"),
    [
        (
            [[0.01, -0.01, 0.0], [0.02, -0.02, 0.0]],
            "What the other half adds to fine-tuning (AnB+ − BnB+) is at no layer clear of zero: AnB+ cannot be told from BnB+, "
            "which only trains longer on its own half.",
        ),
        (
            [[0.05, 0.051, 0.049], [0.0, 0.01, -0.01]],
            "What the other half adds to fine-tuning (AnB+ − BnB+) is above zero at layer 1: +5.00 (+4.75 to +5.25) points.",
        ),
        (
            [[0.05, 0.051, 0.049], [-0.05, -0.051, -0.049], [-0.06, -0.061, -0.059]],
            "What the other half adds to fine-tuning (AnB+ − BnB+) is below zero from layer 2 on, most at layer 3: "
            "−6.00 (−6.25 to −5.75) points; above zero at layer 1: +5.00 (+4.75 to +5.25) points.",
        ),
    ],
)
def test_transfer_against_training_longer(differences: list[list[float]], sentence: str) -> None:
    assert sentence in conclude(pairs_of(differences))["random"]


def test_one_pair_is_judged_by_what_its_validation_pictures_can_do() -> None:
    said = sentences({"AnB": [-0.04, -0.05]}, repeats=1)
    reach = 1.959964 * math.sqrt((0.5 * 0.5 + 0.46 * 0.54) / 1000)  # 4.37 points: a drop of 4 is within, one of 5 is not
    assert said[0] == f"Every point has one pair: its interval says {ONE_PAIR}."
    assert said[1] == (
        f"Layer 1: these pairs cannot tell AnB from its base: −4.00 (−{4 + 100 * reach:.2f} to +{100 * reach - 4:.2f}) points."
    )
    assert said[2].startswith("Layer 2: AnB is below its base, −5.00 (")


def test_one_pair_among_layers_with_more_is_marked() -> None:
    table = study({"AnB": [-0.10, -0.10, -0.10]})
    said = conclude(table[(table["split"] == "random-0") | (table["layer"] != 2)])["random"]
    assert said[0].startswith("Layers 1, 2†, 3: AnB is below its base: ")
    assert said[-2] == f"A point has 1 to 3 pairs of split and target; † has one, and its interval says only {ONE_PAIR}."


def test_one_pair_on_pictures_that_nobody_counted_shows_nothing() -> None:
    said = sentences({"AnB": [-0.4], "BnB": [-0.4]}, repeats=1, pictures=math.nan)
    assert "Layer 1: no interval, so nothing can be told of AnB and its base." in said
    assert "Co-adaptation (BnB − base) is not to be told, for want of an interval." in said


def test_repeats_of_one_split_say_nothing_of_other_halves() -> None:
    table = study({"AnB": [-0.1]})
    seeds = table.assign(seed=table["split"].str[-1].astype(int), split="random-0")
    assert conclude(seeds)["random"][:2] == [
        f"Every point has one pair: its interval says {ONE_PAIR}.",
        "Its 3 seeds are averaged: how they differ is the noise of training alone, and says nothing of other halves.",
    ]
    both = pd.concat([seeds, seeds.assign(target="A")])
    assert conclude(both)["random"][-1] == "All pairs are of one random split: they say nothing of other halves."


def test_failed_networks_are_named() -> None:
    table = study({"AnB": [0.0, 0.0]})
    rows = [network("random-0", "BnB", n, 0.1, status="did not learn") | {"seed": n} for n in range(10)]
    said = conclude(pd.concat([table, pd.DataFrame(rows)]))["random"]
    assert said[-1].startswith(
        "Networks that failed and are in no mean, 10 of 19: random-0 BnB0 (did not learn), random-0 seed 1 BnB1 "
    )
    assert said[-1].endswith("random-0 seed 7 BnB7 (did not learn) and 2 more.")


def test_a_mean_over_the_few_that_did_not_fail_is_said_to_be_one() -> None:
    table = study({"RnB": [-0.1, -0.1]})
    failed = (table["layer"] == 2) & (table["split"] != "random-0")
    table.loc[failed, "status"] = "diverged at step 3"
    assert conclude(table)["random"][-1] == "Of RnB at layer 2 most failed: its mean is of the few that did not."


def test_random_features_that_learned_nothing_are_a_result() -> None:
    table = study({"RnB": [-0.1, -0.1]})
    table.loc[(table["layer"] == 2) & (table["split"] != "random-0"), ["status", "top1"]] = "did not learn", 0.1
    said = conclude(table)["random"]
    assert said[0].startswith("What random features give (RnB − base) is below zero at layer 1: −10.00 ")
    assert said[-1] == (
        "Random features that learned nothing, 2 of 6, a result that counts in RnB's means: random-1 RnB2, random-2 RnB2."
    )


@pytest.mark.parametrize(
    ("how", "said"), [("own", "as the network's library draws them"), ("preserving", "by He et al. (2015), every branch at its")]
)
def test_how_random_features_of_a_librarys_network_are_drawn(how: str, said: str) -> None:
    table = study({"RnB": [0.0, -0.1], "BnB": [0.0, 0.0]})
    drawn = table["treatment"] == "RnB"
    (sentence,) = [one for one in conclude(table.assign(initialiser=drawn.map({True: how})))["random"] if "drawn" in one]
    assert sentence.startswith(f"Random features are drawn {said}")
    for without in (table, table[~drawn].assign(initialiser=None)):
        assert not [one for one in conclude(without)["random"] if "drawn" in one]


def test_halves_that_are_different_tasks_are_concluded_each_for_itself() -> None:
    """Man-made to natural loses much, natural to man-made little; their mean would be of neither."""
    rows = []
    for target, gain in (("A", -0.2), ("B", -0.1)):
        for treatment, layer, top1 in (("base", 0, 0.5), ("BnB", 1, 0.5), ("AnB", 1, 0.5 + gain)):
            rows.append(network("man-made-natural", treatment, layer, top1) | {"target": target})
    table = pd.DataFrame(rows)
    said = conclude(table)
    assert list(said) == ["man-made-natural, target A", "man-made-natural, target B"]
    assert said["man-made-natural, target A"][2].startswith("Layer 1: AnB is below its base, −20.00 (")
    assert said["man-made-natural, target B"][2].startswith("Layer 1: AnB is below its base, −10.00 (")
    assert list(conclude(table[table["target"] == "B"])) == ["man-made-natural"]
    failed = table.assign(source=["", "A", "B", "", "B", "A"])
    failed.loc[0, "status"] = "did not learn"  # A's base: what B copied from it says nothing either
    assert list(conclude(failed)) == ["man-made-natural, target B"]
    assert not any("AnB" in sentence for sentence in conclude(failed)["man-made-natural, target B"])


def test_kinds_of_split_are_told_apart_and_one_without_transfer_says_nothing() -> None:
    natural = study({"AnB": [-0.3]}).assign(split=lambda table: table["split"].str.replace("random", "mine"))
    bases = pd.DataFrame([network("man-made-natural", "base", 0, 0.5)])
    table = pd.concat([natural[natural["split"] == "mine-0"], study({"AnB": [0.3]}), bases])
    said = conclude(table)
    assert list(said) == ["random", "mine-0"]
    assert "above" in said["random"][0] and "below" in said["mine-0"][1]
    assert conclude(pd.DataFrame()) == {}


# -- the brief


def test_the_brief_of_one_pair_says_that_it_is_one() -> None:
    said = brief(study({"AnB": [0.0, -0.2], "BnB": [0.0, -0.1]}, repeats=1))
    assert said[0].startswith("Features turn from general to specific at layer 2; frozen features of the other half cost 20.00 (")
    assert said[1] == "BnB is below its base, which is co-adaptation, at layer 2."
    assert said[2] == (
        "What transfer gives after fine-tuning is not to be told: neither AnB+ nor BnB+ is done beside its base. "
        f"(1 random split, one pair a point; intervals say {ONE_PAIR}.)"
    )


@pytest.mark.parametrize(
    ("gains", "place", "sentence"),
    [
        ({"AnB": [-0.001, 0.001]}, 0, "Frozen features of the other half serve as well as the half's own at every layer."),
        ({"AnB": [0.05, -0.05]}, 0, "serve at least as well as the half's own at layer 1, and cost 5.00 (4.50 to 5.50) points"),
        ({"AnB": [0.0, 0.05]}, 0, "serve at least as well as the half's own at every layer."),
        ({"AnB": [-0.05, -0.004]}, 0, "cost next to nothing, −0.40 (−0.90 to +0.10) points, at layer 2, the deepest."),
        ({"AnB": [-0.05, 0.004, 0.008]}, 0, "lie above the base, by +0.80 (+0.30 to +1.30) points, at layer 3, the deepest."),
        (
            {"BnB": [0.0, 0.0]},
            0,
            "What frozen features of the other half give is not to be told: no AnB is done beside its base.",
        ),
        ({"AnB": [0.0]}, 1, "Whether features are co-adapted is not to be told: no BnB is done beside its base."),
        ({"BnB": [0.0, 0.0]}, 1, "BnB shows no co-adaptation: at no layer is it clearly below its base."),
        ({"BnB": [0.0] * 7}, 1, "BnB shows next to no co-adaptation: its dip, BnB at layers 4 and 5 against 1, 2 and 7, is "),
        ({"BnB": [0, 0, 0, 0.05, 0.05, 0, 0]}, 1, "BnB shows no co-adaptation: in place of a dip, BnB at layers 4 and 5"),
        ({"AnB+": [0.05]}, 2, "Against the base: transferred and fine-tuned (AnB+) is above zero at layer 1: +5.00"),
        ({"BnB+": [0.05] * 7, "AnB+": [0.05] * 7}, 2, "layers 3-7) is next to nothing, "),
        ({"BnB+": [0.05] * 7, "AnB+": [0.02] * 7}, 2, "layers 3-7) is a loss, −3.01 "),
        ({"BnB+": [0.05] * 7, "AnB+": [0.06] * 7}, 2, "layers 3-7) is clear of zero, +0.99 "),
    ],
)
def test_the_brief_says_what_the_intervals_allow(gains: dict[str, list[float]], place: int, sentence: str) -> None:
    table = study(gains, spread=0.002)
    # Networks that stray alike would agree exactly, and then have no interval.
    middle = table["treatment"].isin(["BnB", "BnB+"]) & table["layer"].isin([4, 5])
    table.loc[middle, "top1"] += 0.001 * (table["split"] == "random-0")
    said = brief(table)
    assert len(said) == 3 and sentence in said[place]


def test_the_brief_tells_what_cannot_be_told() -> None:
    wide = study({treatment: [-0.01] * 7 for treatment in ("BnB", "AnB", "AnB+", "BnB+")}, spread=0.02)
    wide.loc[wide["treatment"].isin(["BnB", "BnB+"]) & wide["layer"].isin([4, 5]) & (wide["split"] == "random-0"), "top1"] += 0.05
    said = brief(wide)
    assert said[0] == (
        "Where features turn from general to specific is not to be told; frozen features of the other half cannot be told from "
        "the base, −1.00 (−5.97 to +3.97) points, at layer 7, the deepest."
    )
    assert said[1].startswith("Whether BnB shows co-adaptation these pairs cannot tell: its dip, ")
    assert "layers 3-7) cannot be told from zero, " in said[2]


@pytest.mark.parametrize(("repeats", "pictures"), [(1, 100), (1, float("nan")), (2, 1000), (3, 1000)])
def test_the_brief_takes_wide_intervals_and_none_for_no_evidence(repeats: int, pictures: float) -> None:
    wide = study({"BnB": [-0.01, -0.01]}, repeats=repeats, spread=0.02, pictures=pictures)
    assert brief(wide)[1] == (
        "Whether BnB shows co-adaptation these pairs cannot tell: at no layer is it clearly below its base, nor at every one as "
        "good."
    )


def test_the_brief_is_of_random_halves_where_there_are_and_else_of_each_target() -> None:
    rows = []
    for target, gain in (("A", -0.2), ("B", -0.1)):
        for treatment, layer, top1 in (("base", 0, 0.5), ("AnB", 1, 0.5 + gain)):
            rows.append(network("man-made-natural", treatment, layer, top1) | {"target": target})
    said = brief(pd.DataFrame(rows))
    assert said[0].startswith("To natural: Frozen features of the other half cost 20.00 (")
    assert " To man-made: Frozen features of the other half cost 10.00 (" in said[0]
    assert said[1] == "Whether features are co-adapted is not to be told: no BnB is done beside its base."  # once, for both
    both = brief(pd.concat([pd.DataFrame(rows), study({"AnB": [-0.3]})]))
    assert both[0].startswith("Frozen features of the other half cost 30.00 (")
    assert both[2].endswith(
        f"(Random halves: 3 random splits, 3 pairs of split and target a point; intervals are about {OTHER_HALVES}.)"
    )
    one_split = study({"AnB": [-0.3]}, repeats=1)
    assert brief(pd.concat([one_split, one_split.assign(target="A", top1=one_split["top1"] + 0.01)]))[2].endswith(
        "(1 random split, 2 pairs of split and target a point; intervals are over the two targets, and say nothing of other "
        "halves.)"
    )
    assert brief(pd.DataFrame([network("random-0", "base", 0, 0.5)])) == brief(pd.DataFrame()) == []
