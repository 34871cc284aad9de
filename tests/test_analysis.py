"""The analysis against the released study, and on small tables whose answers can be told by hand."""

import math
import subprocess
import sys

import pandas as pd
import pytest

from transfercli.analysis import displayed
from transfercli.analysis.comparison import compare
from transfercli.analysis.differences import differences, unpaired
from transfercli.analysis.intervals import binomial_reach
from transfercli.analysis.pairs import against_base, pairs
from transfercli.analysis.published import TABLE_COLUMNS, published_table
from transfercli.analysis.words import OF_RANDOM_FEATURES
from transfercli.plan.treatments import ALL, TREATMENTS, Treatment


def network(treatment, top1, *, split="random-0", seed=0, target="B", layer=3, status="done"):
    layer = 0 if treatment == "base" else layer
    numbers = {"top1": top1, "top5": 1.0, "loss": 1.0, "top1_best10": top1, "step": 100}
    place = {
        "split": split,
        "seed": seed,
        "network": "",
        "treatment": treatment,
        "source": "",
        "target": target,
    }
    return place | {"layer": layer} | numbers | {"status": status, "classes": 10}


def one(frame, **where):
    for column, value in where.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.fixture(scope="module")
def released():
    return published_table()


def test_published_table_has_the_columns_of_a_study_and_every_row_but_the_reduced(released):
    assert tuple(released.columns) == TABLE_COLUMNS
    assert len(released) == 148 - 12
    assert set(released["val_pictures"]) == {25000, 22450, 27550, 50000}
    counts = released.groupby(["split", "treatment"]).size()
    assert counts["random-0"].to_dict() == {"base": 2, "BnB": 7, "BnB+": 7, "AnB": 14, "AnB+": 7}
    assert counts["man-made-natural"].to_dict() == {"base": 2, "AnB": 14}
    assert counts["all-1000"].to_dict() == {"base": 1, "RnB": 7}
    assert set(released["split"]) == {f"random-{n}" for n in range(4)} | {"man-made-natural", "all-1000"}
    assert (released["seed"] == 0).all()
    assert not released.duplicated(["split", "network"]).any()


def test_published_networks_are_named_as_in_the_paper(released):
    row = one(released, split="random-2", network="A3B")
    assert (row["treatment"], row["source"], row["target"], row["layer"]) == ("AnB", "A", "B", 3)
    assert (row["top1"], row["top1_best10"], row["loss"], row["step"]) == (
        0.615399,
        0.615852,
        1.72871,
        450000,
    )
    assert row["classes"] == 500
    assert one(released, split="random-0", network="A5A+")["treatment"] == "BnB+"
    base = one(released, split="random-1", network="baseA")
    assert (base["source"], base["layer"]) == ("", 0)
    assert one(released, split="all-1000", network="R7all")["source"] == "random"


def test_half_a_is_natural_as_in_the_authors_files(released):
    to_natural = one(released, split="man-made-natural", network="B7A")
    assert (to_natural["top1"], to_natural["classes"]) == (0.39642, 449)
    to_man_made = one(released, split="man-made-natural", network="A7B")
    assert (to_man_made["top1"], to_man_made["classes"]) == (0.28976, 551)


def test_one_published_transfer_network_did_not_learn(released):
    failed = released[released["status"] != "done"]
    assert failed[["network", "status", "loss"]].to_numpy().tolist() == [["R3all", "did not learn", 6.90975]]


def test_released_anb_drops_below_its_own_base(released):
    found = differences(released, "top1_best10")
    found = found[(found["splits"] == "random") & (found["quantity"] == "AnB-base")].set_index("layer")
    points = [round(100 * found.loc[str(layer), "mean"], 2) for layer in range(1, 8)]
    assert points == [0.31, -0.12, -0.62, -2.53, -4.71, -4.45, -8.26]
    assert (found["n"].loc["1":"7"] == 8).all()


@pytest.mark.parametrize(("quantity", "points"), [("AnB+-base", 0.97), ("BnB+-base", 0.94)])
def test_released_fine_tuned_networks_gain_over_layers_1_to_7(released, quantity, points):
    row = one(differences(released, "top1_best10"), splits="random", quantity=quantity, layer="1-7")
    assert round(100 * row["mean"], 2) == points
    assert row["n"] == 10


def test_released_rnb_is_paired_with_the_base_on_all_classes(released):
    found = differences(released)
    assert set(found.loc[found["quantity"] == "RnB-base", "splits"]) == {"all-1000"}
    first = one(found, quantity="RnB-base", layer="1")
    assert first["mean"] == pytest.approx(0.490781 - 0.575179)
    third = one(found, quantity="RnB-base", layer="3")  # it learned nothing, which is what its features are worth
    assert third["mean"] == pytest.approx(0.000920 - 0.575179)


def test_pairs_take_the_base_of_the_same_split_seed_and_target():
    table = pd.DataFrame(
        [
            network("base", 0.50, target="A"),
            network("base", 0.60, target="B"),
            network("base", 0.70, target="B", seed=1),
            network("base", 0.80, target="B", split="random-1"),
            network("AnB", 0.55, target="A"),
            network("AnB", 0.55, target="B"),
            network("AnB", 0.55, target="B", seed=1),
            network("AnB", 0.55, target="B", split="random-1"),
            network("AnB", 0.55, target="A", split="random-1"),  # has no base
        ]
    )
    found = pairs(table)
    assert found["base"].tolist() == [0.5, 0.6, 0.7, 0.8]
    assert found["gain"].tolist() == pytest.approx([0.05, -0.05, -0.15, -0.25])
    assert set(table.columns) < set(found.columns)


def test_networks_that_did_not_train_and_those_of_a_failed_base_are_in_no_pair():
    table = pd.DataFrame(
        [
            network("base", 0.6),
            network("AnB", 0.1, layer=1, status="did not learn"),
            network("RnB", math.nan, layer=2, status="diverged"),
            network("RnB", 0.4, layer=3),
            network("base", 0.1, target="A", status="did not learn"),
            network("RnB", 0.4, target="A"),
        ]
    )
    assert pairs(table)["layer"].tolist() == [3]
    assert against_base(table)["status"].tolist() == ["did not learn", "diverged", "done"]
    assert differences(table)["layer"].tolist() == ["3"]
    none_trained = pd.DataFrame([network("base", None, status="diverged"), network("AnB", None, status="diverged")])
    assert len(pairs(none_trained)) == len(differences(none_trained)) == 0


@pytest.mark.parametrize("treatment", ["RnB", "RnB.slow"])
def test_random_features_that_learned_nothing_count_at_their_accuracy(treatment, monkeypatch):
    """One that diverged has no accuracy to count. Whichever treatment it is: what counts is where its layers come from."""
    monkeypatch.setitem(TREATMENTS, "RnB.slow", Treatment("RnB.slow", "random", "first n", ALL, "another"))
    rows = [network("base", 0.6, split=f"random-{n}") for n in range(3)]
    rows += [network(treatment, 0.5), network(treatment, 0.1, split="random-1", status="did not learn")]
    rows += [network(treatment, None, split="random-2", status="diverged at step 7")]
    table = pd.DataFrame(rows)
    row = one(differences(table), quantity=f"{treatment}-base", layer="3")
    assert (row["mean"], row["n"]) == (pytest.approx((-0.1 - 0.5) / 2), 2)
    assert one(compare(table, table), quantity=treatment)["value"] == pytest.approx(0.3)
    shown = displayed.accuracies(table)
    shown = shown[shown["treatment"] == treatment]
    assert shown["status"].tolist() == ["done", OF_RANDOM_FEATURES, "diverged at step 7"]
    assert shown["value"].tolist() == [0.5, 0.1, 0.1]  # the last at chance
    assert displayed.counts(shown).tolist() == [True, True, False]


def test_chance_is_the_share_of_the_largest_class_where_the_table_has_it():
    table = pd.DataFrame([network("base", 0.6), network("AnB", 0.5)])
    assert displayed.accuracies(table)["chance"].tolist() == [0.1, 0.1]
    assert displayed.accuracies(table.assign(chance=[0.4, None]))["chance"].tolist() == [0.4, 0.1]


def test_seeds_of_a_split_and_target_are_averaged_however_many_each_has():
    """The pair of split and target is the unit: three seeds of random-0 weigh as much as one of random-1."""
    gains = {("random-0", "A"): [0.1, 0.2, 0.3], ("random-0", "B"): [0.1], ("random-1", "B"): [0.4, 0.2]}
    rows = []
    for (split, target), by_seed in gains.items():
        for seed, gain in enumerate(by_seed):
            rows.append(network("base", 0.5 + 0.01 * seed, split=split, seed=seed, target=target))
            rows.append(network("AnB", 0.5 + 0.01 * seed + gain, split=split, seed=seed, target=target))
    found = one(differences(pd.DataFrame(rows)), layer="3")
    means = pd.Series([0.2, 0.1, 0.3])
    reach = 4.302653 * means.std() / math.sqrt(3)
    assert found[["mean", "low", "high", "n"]].tolist() == pytest.approx([0.2, 0.2 - reach, 0.2 + reach, 3])
    value = one(compare(pd.DataFrame(rows), pd.DataFrame(rows)), quantity="AnB-base")
    assert value[["value", "low", "high", "n", "other_low", "other_high"]].tolist() == pytest.approx(
        [0.2, 0.2 - reach, 0.2 + reach, 3, 0.1, 0.3]
    )


def test_many_seeds_of_one_pair_give_no_interval_about_other_halves():
    table = of_layers([[0.1], [0.2], [0.3]], layers=(5,))
    seeds = table.assign(seed=[int(split[-1]) for split in table["split"]], split="random-0")
    row = one(differences(seeds), layer="5")
    assert (row["mean"], row["n"]) == (pytest.approx(0.2), 1)
    assert math.isnan(row["low"])


def test_kinds_of_split_are_never_averaged_together():
    rows = [("random-0", 0.7), ("random-3", 0.8), ("man-made-natural", 0.3), ("my-halves", 0.1)]
    table = pd.DataFrame([network(treatment, top1, split=split) for split, top1 in rows for treatment in ("base", "AnB")])
    table.loc[table["treatment"] == "AnB", "top1"] += [0.01, 0.03, -0.2, 0.5]
    found = differences(table)
    found = found[found["layer"] == "3"].set_index("splits")
    assert list(found.index) == ["random", "man-made-natural", "my-halves"]
    assert found["mean"].tolist() == pytest.approx([0.02, -0.2, 0.5])
    assert found["n"].tolist() == [2, 1, 1]


def test_two_targets_of_a_split_that_is_not_random_have_no_interval():
    gains = {("A", 5): 0.1, ("B", 5): 0.2, ("A", 6): 0.1, ("B", 6): 0.2, ("A", 7): 0.1, ("B", 7): 0.2}
    rows = [network("base", 0.5, target=target) for target in "AB"]
    rows += [network("AnB", 0.5 + gain, target=target, layer=layer) for (target, layer), gain in gains.items()]
    assert differences(pd.DataFrame(rows))["low"].notna().all()
    tasks = pd.DataFrame(rows).assign(split="man-made-natural")
    for found in (differences(tasks), compare(tasks, tasks)):
        assert len(found) >= 4 and found[["low", "high"]].isna().all(axis=None)


def test_differences_between_treatments_need_no_base():
    table = pd.DataFrame([network("AnB", 0.5), network("BnB", 0.7), network("AnB+", 0.8), network("BnB+", 0.9)])
    found = differences(table)
    found = found[found["layer"] == "3"].set_index("quantity")["mean"]
    assert found.to_dict() == pytest.approx({"AnB-BnB": -0.2, "AnB+-AnB": 0.3, "AnB+-BnB+": -0.1})


def test_the_interval_is_students_from_two_pairs_up():
    gains = [0.01, 0.02, 0.06]
    table = pd.DataFrame(
        [network("base", 0.5, split=f"random-{n}") for n in range(3)]
        + [network("AnB", 0.5 + gain, split=f"random-{n}", layer=2) for n, gain in enumerate(gains)]
        + [network("AnB", 0.5, layer=7)]
    )
    row = one(differences(table), layer="2")
    reach = 4.302653 * pd.Series(gains).std() / math.sqrt(3)
    assert (row["low"], row["high"]) == pytest.approx((0.03 - reach, 0.03 + reach))
    alone = one(differences(table), layer="7")
    assert alone["n"] == 1
    assert alone[["low", "high"]].isna().all()


def of_layers(gains, layers=(5, 6, 7)):
    """Bases at 0.5 with one split each, and AnB above them by these gains, a list by layer for each split (None: not there)."""
    rows = [network("base", 0.5, split=f"random-{split}") for split in range(len(gains))]
    for split, by_layer in enumerate(gains):
        there = [(layer, gain) for layer, gain in zip(layers, by_layer, strict=True) if gain is not None]
        rows += [network("AnB", 0.5 + gain, layer=layer, split=f"random-{split}") for layer, gain in there]
    return pd.DataFrame(rows)


def test_a_range_weighs_its_layers_alike_and_each_pair_in_a_layer_alike():
    row = one(differences(of_layers([[0.1, -0.1, 0.3], [0.3, None, None]])), layer="5-7")
    assert row["mean"] == pytest.approx((0.2 - 0.1 + 0.3) / 3)
    assert row["n"] == 4


def test_a_range_needs_a_pair_at_each_of_its_layers():
    assert differences(of_layers([[0.1, None, 0.3], [0.3, None, 0.1]]))["layer"].tolist() == ["5", "7"]


def test_of_a_range_the_bases_are_the_independent_draws():
    """Where each base has every layer, the interval is Student's over the bases' means, however the layers differ."""
    gains = [[0.10, -0.20, -0.50], [0.13, -0.18, -0.49], [0.09, -0.21, -0.54]]
    row = one(differences(of_layers(gains)), layer="5-7")
    means = pd.Series([sum(by_layer) / 3 for by_layer in gains])
    reach = 4.302653 * means.std() / math.sqrt(3)
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((means.mean(), means.mean() - reach, means.mean() + reach))
    assert row["n"] == 9
    assert math.isnan(one(differences(of_layers(gains[:1])), layer="5-7")["low"])  # one base: no repeat


def test_networks_copied_from_a_failed_base_say_nothing():
    """B's base is done, but what A3B copied from A's is not worth a pair."""
    sources = {"AnB": "A", "AnB+": "A", "BnB": "B"}
    rows = [network("base", 0.1, target="A", status="no better than chance"), network("base", 0.5)]
    rows += [network(treatment, 0.4) | {"source": source} for treatment, source in sources.items()]
    found = differences(pd.DataFrame(rows))
    assert set(found["quantity"]) == {"BnB-base"}
    shown = displayed.accuracies(pd.DataFrame(rows)).set_index("treatment")["status"].to_dict()
    failed = displayed.OF_FAILED_BASE
    assert shown == {"base": "done", "AnB": failed, "AnB+": failed, "BnB": "done"}
    assert set(compare(pd.DataFrame(rows), pd.DataFrame(rows))["quantity"]) == {"base", "BnB", "BnB-base"}


def test_pairs_that_agree_exactly_have_no_interval():
    row = one(differences(of_layers([[0.1], [0.1]], layers=(5,))), layer="5")
    assert row["n"] == 2 and math.isnan(row["low"])


def test_bases_that_nothing_is_compared_with_are_no_point():
    rows = [network("base", 0.5), network("AnB", 0.4), network("base", 0.9, target="A"), network("base", 0.8, split="random-1")]
    table = pd.DataFrame(rows)
    assert one(compare(table, table), quantity="base")["value"] == 0.5
    assert displayed.accuracies(table)["value"].tolist() == [0.5, 0.4]
    assert unpaired(table, "AnB") == {"random": pytest.approx(-0.1)}
    bases = table[table["treatment"] == "base"]
    assert len(displayed.accuracies(bases)) == 3  # before the sweep they are all there is


@pytest.mark.parametrize(("treatment", "points"), [("AnB+", 1.67), ("BnB+", 0.11)])
def test_released_fine_tuned_networks_unpaired_tell_another_story(released, treatment, points):
    assert round(100 * unpaired(released, treatment, "top1_best10")["random"], 2) == points


def test_unpaired_needs_the_treatment_and_a_base():
    assert unpaired(pd.DataFrame([network("base", 0.5)]), "AnB") == {}
    assert unpaired(pd.DataFrame([network("AnB", 0.5)]), "AnB") == {}
    rows = [network("base", 0.5), network("BnB", 0.5), network("AnB", 0.25, target="A")]
    assert unpaired(pd.DataFrame(rows), "AnB") == {"random": -0.25}
    assert unpaired(pd.DataFrame([*rows, network("base", 0.1, target="C")]), "AnB") == {"random": -0.25}  # no network learned C


def study_of(gain, repeats=(0, 1)):
    """A base at 0.5 and an AnB above it by `gain` in each of the splits random-0, random-1, ...; half of 400 pictures."""
    rows = []
    for repeat in repeats:
        rows.append(network("base", 0.5, split=f"random-{repeat}") | {"val_pictures": 400})
        rows.append(network("AnB", 0.5 + gain + 0.02 * repeat, split=f"random-{repeat}") | {"val_pictures": 400})
    return pd.DataFrame(rows)


def test_compare_says_whether_a_value_lies_inside_the_others_spread_and_its_own_interval():
    theirs = study_of(0.10, repeats=(0, 1, 2))  # gains of 10, 12 and 14 points
    row = one(compare(study_of(0.11, repeats=(0,)), theirs), quantity="AnB-base", layer=3)
    reach = binomial_reach(0.61, 0.5, 400)
    assert row[["value", "low", "high", "n"]].tolist() == pytest.approx([0.11, 0.11 - reach, 0.11 + reach, 1])
    assert row[["other", "other_low", "other_high", "other_n"]].tolist() == pytest.approx([0.12, 0.10, 0.14, 3])
    assert row["difference"] == pytest.approx(-0.01) and row["inside"]
    assert not one(compare(study_of(0.09, repeats=(0,)), theirs), quantity="AnB-base", layer=3)[
        "inside"
    ]  # one pair widens nothing
    reach = 4.302653 * 0.02 / math.sqrt(3)  # Student's of three pairs, 2 points apart
    for mean, inside in ((0.10 - 0.99 * reach, True), (0.10 - 1.05 * reach, False), (0.14 + 1.05 * reach, False)):
        mine = study_of(mean - 0.02, repeats=(0, 1, 2))
        assert one(compare(mine, theirs), quantity="AnB-base", layer=3)["inside"] == inside
    assert not one(compare(study_of(0.08), theirs), quantity="AnB-base", layer=3)["inside"]  # nor do two, whose t is 12.7


def test_compare_holds_accuracies_and_gains_that_both_have():
    mine = pd.concat([study_of(0.1), pd.DataFrame([network("BnB", 0.4)])])
    theirs = pd.concat([study_of(0.2), pd.DataFrame([network("BnB", 0.4, layer=2), network("base", 0.3, split="mine")])])
    found = compare(mine, theirs)
    points = found[["splits", "quantity", "layer"]].to_numpy().tolist()
    assert points == [["random", "base", 0], ["random", "AnB", 3], ["random", "AnB-base", 3]]
    base = one(found, quantity="base")
    assert (base["value"], base["other"], base["difference"], base["inside"]) == (0.5, 0.5, 0.0, True)


def test_the_released_study_compared_with_itself_is_inside_itself(released):
    found = compare(released, released, "top1_best10")
    assert found["inside"].all() and (found["difference"] == 0).all()
    assert {"base", "AnB", "AnB-base", "BnB+-base"} <= set(found["quantity"])
    two_tasks = (found["splits"] == "man-made-natural") & (found["n"] == 2)
    assert found.loc[two_tasks, ["low", "high"]].isna().all(axis=None)
    assert not found.loc[~two_tasks, ["low", "high"]].isna().any().any()


def test_a_study_that_does_not_say_how_many_pictures_it_has_gets_no_interval_for_one_pair():
    mine = study_of(0.1, repeats=(0,)).drop(columns="val_pictures")
    row = one(compare(mine, study_of(0.1)), quantity="AnB-base")
    assert math.isnan(row["low"]) and row["inside"]


@pytest.mark.parametrize("table", [pd.DataFrame(), pd.DataFrame(columns=list(TABLE_COLUMNS))])
def test_a_table_without_rows_gives_tables_without_rows(table):
    assert len(pairs(table)) == len(differences(table)) == len(compare(table, table)) == 0
    assert list(differences(table).columns) == ["splits", "quantity", "layer", "mean", "low", "high", "n"]
    assert "gain" in pairs(table)


def test_the_analysis_needs_neither_torch_nor_matplotlib():
    code = "import sys, transfercli.analysis.pairs; print({'torch', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
