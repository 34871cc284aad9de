"""How long to train: several lengths side by side, of which held-out pictures choose; both extremes stand beside."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest
from conftest import TINY, Said, Tiny
from hypothesis import given
from hypothesis import strategies as st

import transfercli
from transfercli.analysis.amounts import conclude_amounts, gains, lengths
from transfercli.analysis.ways import ways
from transfercli.plan.amounts import EPOCHS, steps_of
from transfercli.plan.jobs import jobs
from transfercli.plan.networks import columns, named, varied
from transfercli.recipe import reading as recipes
from transfercli.study.best import at_best, by_length
from transfercli.study.folder import Study
from transfercli.study.standing import following
from transfercli.study.table import load
from transfercli.system.errors import TransferError
from transfercli.training.verify import verify

STEPS = 20
LENGTHS: dict[str, Any] = {
    "lengths": [EPOCHS, 0.5, 1],
    "target": {"per_class": [2, "all"]},
    "treatments": ["AnB", "AnB+", "AnB.lp-ft"],
    "layers": [3],
    "targets": ["B"],
    "pictures": {**TINY["pictures"], "folds": 2, "mean": "channel"},
    "training": {**TINY["training"], "steps": STEPS},
    "evaluation": {"times": 2},
}


@pytest.fixture(scope="module")
def tried(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = Study(tmp_path_factory.mktemp("lengths") / "study")
    recipe = tmp_path_factory.mktemp("recipe") / "lengths.yaml"
    recipe.write_text(recipes.dump(recipes.validate({**TINY, **LENGTHS}, "lengths")))
    transfercli.split(study, tiny.study.root / "pictures", recipe=str(recipe))
    transfercli.train_base(study)
    transfercli.sweep(study)
    return study


def test_every_way_is_trained_at_every_length_and_the_sources_at_all_steps(tried: Study) -> None:
    rows = {row["network"]: row for row in tried.rows()}
    of_all = ["", "@length=0.5"]  # of all the data as many epochs are all steps
    of_two = ["@per=2", "@length=epochs,per=2", "@length=0.5,per=2"]
    ways = ["baseB", "A3B", "A3B+", "A3B.lp-ft"]
    assert sorted(rows) == sorted(["baseA", *(f"{way}{of}" for way in ways for of in of_all + of_two)])
    halves = tried.halves(tried.split_names()[0])
    share = 2 * len(halves.split.B) / (halves.counts["B"]["train"] / 2)  # of the pictures that one of two folds leaves
    assert {row["step"] for name, row in rows.items() if "epochs" in name} == {round(share * STEPS)}
    assert rows["A3B+@length=0.5"]["step"] == STEPS // 2 and rows["A3B+@per=2"]["step"] == STEPS
    assert rows["A3B"]["source_digest"] == rows["A3B@length=epochs,per=2"]["source_digest"] == rows["baseA"]["weights_digest"]
    assert following(tried) == "plot" and verify(tried).problems == []


def test_each_length_has_its_whole_schedule(tried: Study) -> None:
    folder = tried.root / tried.split_names()[0]
    whole, half = (pd.read_csv(folder / name / "log.csv") for name in ("A3B+", "A3B+@length=0.5"))
    assert [*half["step"]] == [0, STEPS // 4, STEPS // 2] and [*whole["step"]] == [0, STEPS // 2, STEPS]
    rate = tried.recipe().training.schedule.bind(STEPS // 2)
    assert half["learning_rate"].iloc[-1] == rate(STEPS // 2 - 1)


def test_numbers_do_not_depend_on_what_other_lengths_there_are(tried: Study, tiny: Tiny, tmp_path: Any) -> None:
    alone = Study(tmp_path / "alone")
    plain = {**TINY, **LENGTHS, "lengths": [1], "training": {**LENGTHS["training"], "steps": STEPS}}
    (tmp_path / "alone.yaml").write_text(recipes.dump(recipes.validate(plain, "alone")))
    transfercli.split(alone, tiny.study.root / "pictures", recipe=str(tmp_path / "alone.yaml"))
    transfercli.train_base(alone)
    transfercli.sweep(alone)
    beside = {row["network"]: row["weights_digest"] for row in tried.rows()}
    assert {row["network"]: row["weights_digest"] for row in alone.rows()}.items() <= beside.items()


def test_the_table_is_read_as_it_was_written(tried: Study) -> None:
    read = load(tried.root / "results.csv").set_index("network")["length"]
    written = tried.table().set_index("network")["length"]
    assert read["A3B@length=epochs,per=2"] == "epochs" and read["A3B@length=0.5"] == 0.5
    assert read.dropna().to_dict() == written.dropna().to_dict()


@pytest.mark.slow
def test_the_commands_answer_by_the_lengths_that_count(tried: Study, transfer: Callable[..., Said]) -> None:
    said = transfer("analyze", tried.root)
    assert said.code == 0 and "at equal steps: " in said.out and "at equal epochs: " in said.out
    document = json.loads(transfer("analyze", tried.root, "--json").out)
    assert {row["trained"] for row in document["ways"]} == {"", "equal steps"}
    assert len(document["networks"]) == 9, "each way once for each amount, and the source"
    assert transfer("plot", tried.root).code == transfer("report", tried.root).code == 0
    page = (tried.root / "report.html").read_text()
    assert "lengths that held-out pictures chose" in page
    assert all(f'<figure class="picture" id="{name}">' in page for name in ("amounts", "ways-vs-cost"))
    assert '<figure class="picture" id="segments">' not in page
    assert transfer("compare", tried.root, tried.root).code == 0
    left = json.loads(transfer("status", tried.root, "--json").out)
    assert all(network["step"] == network["steps"] for network in left["networks"])


# -- how many steps, and what trains together


@given(
    st.sampled_from([{}, {"per": 5}, {"per": 0.1}, {"share": 0.5}]),
    st.sampled_from([1.0, 0.3, 0.001, EPOCHS]),
    st.integers(1, 10_000),
)
def test_a_length_is_a_share_of_the_steps_and_never_none(axes: dict[str, Any], length: Any, steps: int) -> None:
    share = {(): 1, ("per", 5): 5 / 50, ("per", 0.1): 0.1, ("share", 0.5): 0.5}[next(iter(axes.items()), ())]
    wanted = steps * (share if length == EPOCHS else length)
    assert steps_of({**axes, "length": length}, steps, classes=10, pictures=500) == max(1, round(wanted))
    assert steps_of(axes, steps, classes=10, pictures=500) == steps


def test_a_bank_is_of_one_length() -> None:
    names = ["A3B", "A3B@length=0.5", "A3B+@length=0.5", "A3B@length=epochs,per=5", "A3B+@length=epochs,per=5"]
    names += ["A3B@length=epochs,per=25", "A3B@per=5", "A3B@length=0.5,per=5"]
    found = [{network.name for network in job.networks} for job in jobs([named("random-0", 0, name) for name in names], 99)]
    together = [{0, 6}, {1, 2, 7}, {3, 4}, {5}]
    assert sorted(map(sorted, found)) == sorted(sorted(names[place] for place in places) for places in together)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"pictures": {**TINY["pictures"]}},
            "of several lengths held-out pictures choose the best: set pictures.folds to more than any seed",
        ),
        ({"lengths": [0, 1]}, "0 is no length: a number above 0, in multiples of all steps, or epochs"),
        ({"lengths": ["long", 1]}, "long is no length: a number above 0, in multiples of all steps, or epochs"),
        ({"lengths": [1, True]}, "a number is wanted, not true or false"),
        ({"lengths": [1, 1.0]}, "1.0 stands twice"),
        (
            {"training": {**LENGTHS["training"], "patience": 2}},
            "how long a network trains is chosen by lengths or by training.patience, not by both",
        ),
    ],
)
def test_lengths_that_cannot_be_chosen_between(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(TransferError, match=said.replace(".", r"\.")):
        recipes.validate({**TINY, **LENGTHS, **changes}, "tried")


def test_a_recipe_of_one_length_is_as_it_was() -> None:
    plain = recipes.validate({**TINY, **LENGTHS, "lengths": [1]}, "tried")
    assert "lengths" not in recipes.dump(plain)
    assert plain.digest() == recipes.validate({**TINY, **LENGTHS}, "tried").digest()
    assert recipes.find("tiny-imagenet-200-cpu", ["pictures.folds=2", "lengths=epochs, 0.5, 1"]).lengths == (EPOCHS, 0.5, 1.0)


# -- the choice, and the extremes beside it


def made(losses: dict[str, dict[Any, float]], top1: dict[str, dict[Any, float]], **more: Any) -> pd.DataFrame:
    """Networks of 5 pictures a class and of all 100: by treatment and length how wrong they are of the holdout, and how right."""
    rows = []
    for split, wobble in {"random-0": -0.001, "random-1": 0.0, "random-2": 0.001}.items():
        for per, name, length in every(losses):
            network = varied(named(split, 0, name), length=length, per=per)
            row = {**columns(network), "top5": 1.0, "loss": 1.0, "status": "done", "classes": 10, "layers": 8, "layer_steps": 8}
            accuracy = top1[name][length] + wobble * len(name) + 0.2 * (per == 0)
            steps = 1000 * (0.05 if length == EPOCHS else length)
            row |= {"top1": accuracy, "top1_best10": accuracy, "holdout_top1": 1 - losses[name][length] / 10, "step": int(steps)}
            rows.append({**row, "val_pictures": 500, "train_pictures": 10 * (per or 100), "multiply_adds": 100, **more})
    return pd.DataFrame(rows)


def every(losses: dict[str, dict[Any, float]]) -> Iterator[tuple[int, str, Any]]:
    for per in (0, 5):
        for name, of in losses.items():
            yield from ((per, name, length) for length in of if per or length != EPOCHS)


LOSSES = {
    "baseB": {EPOCHS: 2.0, 0.3: 1.0, 1: 3.0},
    "A3B": {EPOCHS: 1.0, 0.3: 2.0, 1: 3.0},
    "A3B+": {EPOCHS: 3.0, 0.3: 2.0, 1: 1.0},
    "A3B.lp-ft": {EPOCHS: 3.0, 0.3: 2.0, 1: 1.0},
}
TOP1 = {
    "baseB": {EPOCHS: 0.1, 0.3: 0.3, 1: 0.2},
    "A3B": {EPOCHS: 0.4, 0.3: 0.3, 1: 0.25},
    "A3B+": {EPOCHS: 0.2, 0.3: 0.3, 1: 0.5},
    "A3B.lp-ft": {EPOCHS: 0.2, 0.3: 0.3, 1: 0.6},
}


def test_the_holdout_chooses_and_both_extremes_stand_beside() -> None:
    best = at_best(made(LOSSES, TOP1))
    assert len(best) == 2 * 4 * 3 and "length" not in best
    of = best[best["per"] == 5].groupby("treatment")
    assert of["best_length"].first().to_dict() == {"base": 0.3, "AnB": 0.05, "AnB+": 1.0, "AnB.lp-ft": 1.0}
    assert of["length_edge"].first().to_dict() == {"base": "", "AnB": "low", "AnB+": "high", "AnB.lp-ft": "high"}
    found = gains(best).query("pictures == 5").set_index(["trained", "quantity"])["mean"]
    assert found["", "AnB-base"] == pytest.approx(0.4 - 0.3)
    assert found["equal steps", "AnB-base"] == pytest.approx(0.25 - 0.2)
    assert found["equal epochs", "AnB-base"] == pytest.approx(0.4 - 0.1)
    of_all = gains(best).query("pictures == 100").set_index(["trained", "quantity"])["mean"]
    assert of_all["equal epochs", "AnB-base"] == of_all["equal steps", "AnB-base"] == pytest.approx(0.25 - 0.2)
    said = next(one for one in conclude_amounts(best) if "(AnB − base)" in one)
    assert "; at equal steps: +5.0" in said and "; at equal epochs: +30.0" in said
    chosen = lengths(best).set_index(["treatment", "pictures"])["lengths"]
    assert chosen["AnB", 5.0] == "0.05" and chosen["AnB+", 5.0] == "1" and chosen["AnB", 100.0] == "0.3"


def test_ways_are_compared_at_their_own_length_and_at_equal_steps() -> None:
    found = ways(at_best(made(LOSSES, TOP1)))
    of_five = found[found["splits"] == "5 pictures a class: random"]
    own, equal = (of_five[of_five["trained"] == trained].set_index("treatment") for trained in ("", "equal steps"))
    assert own["cost"].to_dict() == {"base": 0.3, "AnB": 0.05, "AnB+": 1.0, "AnB.lp-ft": 1.0}
    assert {*equal["cost"]} == {1.0} and {*equal["lengths"]} == {"1"}
    assert own["gain"]["AnB"] == pytest.approx(0.4 - 0.5) and equal["gain"]["AnB"] == pytest.approx(0.25 - 0.5)


def test_accuracies_on_validation_pictures_choose_nothing() -> None:
    better = {name: {length: value if name != "A3B" else 1 - value for length, value in of.items()} for name, of in TOP1.items()}
    chosen = [at_best(made(LOSSES, top1))["best_length"].tolist() for top1 in (TOP1, better)]
    assert chosen[0] == chosen[1]


def test_length_and_rate_are_chosen_together() -> None:
    """The best pair, not the best of one at the usual of the other."""
    usual = made({"A3B": {0.3: 2.0, 1: 1.5}}, TOP1)
    slow = made({"A3B": {0.3: 1.0, 1: 3.0}}, TOP1, rate=0.5)
    best = at_best(pd.concat([usual, slow], ignore_index=True))
    assert {*best["best_length"]} == {0.3} and {*best["best_rate"]} == {0.5}
    equal = by_length(best)["equal steps"]
    assert {*equal["best_rate"]} == {1.0} and {*equal["step"]} == {1000}
    assert "best_length" not in equal and not [column for column in equal if "_at_equal_" in column]


def test_a_source_that_trained_longer_than_any_way_is_no_candidate() -> None:
    losses, top1 = (
        {name: {1: 0.01, 0.3: 2.0, 0.1: 1.0} if name == "baseB" else {0.3: 1.0, 0.1: 2.0} for name in LOSSES} for _ in "12"
    )
    found = at_best(made(losses, top1))
    assert found.groupby("treatment")["best_length"].first().to_dict() == {"base": 0.1, "AnB": 0.3, "AnB+": 0.3, "AnB.lp-ft": 0.3}
    assert {*by_length(found)["equal steps"]["step"]} == {300}


def test_a_table_of_one_length_is_returned_as_it_is() -> None:
    table = made({"A3B": {1: 1.0}}, TOP1)
    assert at_best(table) is table and [*by_length(table)] == [""] and lengths(table).empty
