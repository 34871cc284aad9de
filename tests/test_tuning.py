"""Ways to fine-tune beside fine-tuning all: one learning rate each, by held-out pictures; intervals that hold together."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import TINY, Said, Tiny
from test_contrasts import row

import transfercli
from transfercli.analysis.differences import quantities
from transfercli.analysis.ways import COLUMNS, sentences, ways
from transfercli.analysis.words import sides
from transfercli.recipe import reading as recipes
from transfercli.report.figures.layers import accuracy_vs_layer
from transfercli.report.figures.style import NothingToDraw
from transfercli.report.figures.ways import ways_vs_cost
from transfercli.report.figures.writing import rendered
from transfercli.study.best import at_best
from transfercli.study.folder import Study
from transfercli.study.standing import following
from transfercli.system.errors import TransferError
from transfercli.training.verify import verify

COST = {"base": 3.0, "AnB": 1.0, "AnB+": 3.0, "AnB.keep": 2.0}
PAIRS = [(f"random-{split}", target) for split in range(3) for target in "AB"]


def study(random: np.random.RandomState, truth: dict[str, float], seeds: int = 1, spread: float = 0.01) -> pd.DataFrame:
    """Networks of one n on PAIRS, each `truth` above its pair's own level, but for a normal draw."""
    rows = [
        row(split, seed, target, name, 0 if name == "base" else 3, level + above + random.normal(0, spread), **cost_of(name))
        for split, target in PAIRS
        for level in [random.uniform(0.4, 0.6)]
        for seed in range(seeds)
        for name, above in truth.items()
    ]
    return pd.DataFrame(rows)


def cost_of(name: str) -> dict[str, Any]:
    return {"multiply_adds": COST[name], "layer_steps": 10 * COST[name], "step": 100}


TRUTH = {"base": -0.2, "AnB": -0.05, "AnB+": 0.0, "AnB.keep": 0.03}


def test_each_way_is_set_beside_fine_tuning_all() -> None:
    found = ways(study(np.random.RandomState(2), TRUTH, spread=1e-4)).set_index("treatment")
    assert list(found.reset_index()[list(COLUMNS)].columns) == list(COLUMNS) and set(found["origin"]) == {"other"}
    assert {*found["n"]} == {6} and {*found["layer"]} == {3}
    for name, above in TRUTH.items():
        assert found.loc[name, "gain"] == pytest.approx(above, abs=1e-3)
        assert found.loc[name, "cost"] == pytest.approx(COST[name] / 3) == found.loc[name, "steps"]
        assert name == "AnB+" or found.loc[name, "low"] < above < found.loc[name, "high"]
    assert math.isnan(found.loc["AnB+", "low"]) and found.loc["AnB+", "gain"] == 0
    (said,) = sentences(found.reset_index())["random"]
    assert said.startswith("At n = 3, beside fine-tuning all that was copied (AnB+), of 6 pairs: AnB.keep +3.0 (")
    assert " for 0.67 of the multiply-adds better; base −20.0 (" in said and "AnB −5.0 (" in said
    assert said.endswith(" for 0.33 of the multiply-adds worse (points; 3 intervals that hold together in 95%).")


def test_what_cannot_be_told_apart_is_said_to_be_so() -> None:
    alike = study(np.random.RandomState(2), dict.fromkeys(COST, 0.0), spread=0.05)
    (said,) = sentences(ways(alike))["random"]
    assert said.count("cannot be told from it") == 1 and "better" not in said and "worse" not in said
    alone = alike[alike["split"].eq("random-0") & alike["target"].eq("B")]
    (said,) = sentences(ways(alone))["random"]
    assert "of 1 pair: " in said and "of too few pairs for an interval" in said and "(−" not in said.replace("(points", "")


def test_a_study_without_ways_to_compare_has_none() -> None:
    plain = study(np.random.RandomState(2), {name: TRUTH[name] for name in ("base", "AnB", "AnB+")})
    assert ways(plain).empty and sentences(ways(plain)) == {}
    without = study(np.random.RandomState(2), {name: TRUTH[name] for name in ("base", "AnB", "AnB.keep")})
    assert ways(without).empty
    with pytest.raises(NothingToDraw):
        ways_vs_cost(plain)


@pytest.mark.slow
def test_the_intervals_of_a_layer_hold_together() -> None:
    random, studies = np.random.RandomState(0), 400
    held = 0
    for _ in range(studies):
        found = ways(study(random, TRUTH)).set_index("treatment").drop(index="AnB+")
        held += all(found.loc[name, "low"] <= TRUTH[name] <= found.loc[name, "high"] for name in found.index)
    assert held / studies >= 0.93


def test_a_way_is_drawn_where_it_lies() -> None:
    table = study(np.random.RandomState(0), TRUTH)
    (ax,) = ways_vs_cost(table).axes
    found = {row["treatment"]: row for row in ways(table).to_dict("records")}
    drawn = {(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if len(line.get_xdata()) == 1}
    assert drawn == {(row["cost"], 100 * row["gain"]) for row in found.values()}
    assert len(ax.collections) == 3  # an interval of each but fine-tuning all


# -- learning rates


def at(rate: float, wrong: float, top1: float, treatment: str = "AnB", seed: int = 0, **more: Any) -> dict[str, Any]:
    """`wrong`: of ten held-out pictures; what diverged was not measured on them."""
    return row("random-0", seed, "B", treatment, 3, top1, rate=rate, holdout_top1=1 - wrong / 10, **more)


def test_the_rate_that_counts_is_that_of_the_held_out_pictures() -> None:
    """Not that of the highest accuracy on validation pictures."""
    table = pd.DataFrame(
        [at(0.3, 1.0, 0.5), at(1.0, 0.9, 0.4), at(3.0, 1.2, 0.6), at(0.3, 0.7, 0.1, "AnB+"), at(1.0, 0.8, 0.9, "AnB+")]
    )
    found = at_best(table).set_index("treatment")
    assert found["best_rate"].to_dict() == {"AnB": 1.0, "AnB+": 0.3} and found["edge"].to_dict() == {"AnB": "", "AnB+": "low"}
    assert found["top1"].to_dict() == {"AnB": 0.4, "AnB+": 0.1}


def test_a_rate_at_which_a_seed_diverged_or_is_missing_is_out() -> None:
    seeds = [at(1.0, 1.0, 0.5, seed=seed) for seed in (0, 1)] + [at(3.0, 0.1, 0.9), at(3.0, math.nan, 0.1, seed=1)]
    assert {*at_best(pd.DataFrame(seeds))["best_rate"]} == {1.0}
    assert {*at_best(pd.DataFrame(seeds[:3]))["best_rate"]} == {1.0}
    assert {*at_best(pd.DataFrame([*seeds[2:3], at(0.3, 0.2, 0.4)]))["best_rate"]} == {3.0}
    diverged = pd.DataFrame([at(1.0, math.nan, 0.1), at(3.0, math.nan, 0.1)])
    assert {*at_best(diverged)["best_rate"]} == {1.0}, "for its failure to be told"


def test_a_table_of_one_rate_stays_as_it_is() -> None:
    table = pd.DataFrame([at(1.0, 1.0, 0.5), at(1.0, 1.0, 0.5, "AnB+")])
    assert at_best(table) is table and at_best(table.drop(columns="rate")).equals(table.drop(columns="rate"))
    some = pd.DataFrame([at(3.0, 0.5, 0.5), at(1.0, 1.0, 0.4), {**at(1.0, 1.0, 0.5, "AnB+"), "rate": None}])
    assert at_best(some).set_index("treatment")["best_rate"].to_dict() == {"AnB": 3.0, "AnB+": 1.0}, (
        "an empty cell is the usual rate"
    )


# -- a study of several rates


TRIED = {
    "rates": [0.5, 1],
    "treatments": ["AnB", "AnB+", "AnB.lp-ft"],
    "layers": [3],
    "targets": ["B"],
    "pictures": {**TINY["pictures"], "folds": 2, "mean": "channel"},
}


@pytest.fixture(scope="module")
def tried(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = Study(tmp_path_factory.mktemp("tried") / "study")
    recipe = tmp_path_factory.mktemp("recipe") / "tried.yaml"
    recipe.write_text(recipes.dump(recipes.validate({**TINY, **TRIED}, "tried")))
    transfercli.split(study, tiny.study.root / "pictures", recipe=str(recipe))
    transfercli.train_base(study)
    transfercli.sweep(study)
    return study


def test_every_way_is_trained_at_every_rate_and_the_sources_at_one(tried: Study) -> None:
    names = ["A3B", "A3B+", "A3B.lp-ft"]
    planned = [network.name for network in tried.recipe().planned()]
    assert sorted(planned) == sorted(["baseA", "baseB", "baseB@rate=0.5", *names, *(f"{name}@rate=0.5" for name in names)])
    rows = {row["network"]: row for row in tried.rows()}
    assert sorted(rows) == sorted(planned)
    assert all(row["holdout_loss"] for row in rows.values())
    assert rows["A3B"]["source_digest"] == rows["A3B@rate=0.5"]["source_digest"] == rows["baseA"]["weights_digest"]
    assert following(tried) == "plot" and verify(tried).problems == []


def test_what_training_costs_is_in_the_row(tried: Study) -> None:
    rows, steps, depth = {row["network"]: row for row in tried.rows()}, TINY["training"]["steps"], 8
    assert rows["baseB"]["layer_steps"] == rows["A3B+"]["layer_steps"] == depth * steps
    assert rows["A3B"]["layer_steps"] == (depth - 3) * steps
    early = round(0.5 * steps)
    assert rows["A3B.lp-ft"]["layer_steps"] == (depth - 3) * early + depth * (steps - early)
    costs = [rows[name]["multiply_adds"] for name in ("A3B", "A3B.lp-ft", "A3B+")]
    assert costs == sorted({*costs}) and costs[-1] == rows["baseB"]["multiply_adds"]


@pytest.mark.slow
def test_the_commands_answer_by_the_rates_that_count(tried: Study, transfer: Callable[..., Said]) -> None:
    best = at_best(tried.table())
    assert len(best) == 5 and not {*best["network"]} - {row["network"] for row in tried.rows()}
    said = transfer("analyze", tried.root)
    assert said.code == 0 and "ways to fine-tune, beside fine-tuning all that was copied (points)" in said.out
    assert "At n = 3, beside fine-tuning all that was copied (AnB+), of 1 pair: " in " ".join(said.out.split())
    document = json.loads(transfer("analyze", tried.root, "--json").out)
    assert {row["treatment"] for row in document["ways"]} == {"base", "AnB", "AnB+", "AnB.lp-ft"}
    assert len(document["networks"]) == 5
    assert "ways-vs-cost.png" in transfer("plot", tried.root).out
    assert transfer("report", tried.root).code == 0
    assert "<h2>Ways to fine-tune</h2>" in (tried.root / "report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rates": [0.5, 2]}, "rates are multiples of the schedule's, at which sources are trained: have 1 among them"),
        (
            {"pictures": TINY["pictures"]},
            "of several rates held-out pictures choose the best: set pictures.folds to more than any seed",
        ),
        ({"seeds": [0, 2]}, "of several rates held-out pictures choose the best: set pictures.folds to more than any seed"),
        ({"rates": [0]}, "input should be greater than 0"),
        ({"rates": [1, 1]}, "1.0 stands twice"),
    ],
)
def test_rates_that_cannot_be_chosen_between(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(TransferError) as raised:
        recipes.validate({**TINY, **TRIED, **changes}, "tried")
    assert said in str(raised.value)


def test_one_rate_is_as_before() -> None:
    plain = recipes.validate({**TINY, **TRIED, "rates": [1]}, "tried")
    assert "rates" not in recipes.dump(plain)
    assert plain.digest() == recipes.validate({**TINY, **TRIED}, "tried").digest()
    assert [network.name for network in plain.planned()] == ["baseA", "baseB", "A3B", "A3B+", "A3B.lp-ft"]


def test_the_sides_of_a_difference_are_told_from_hyphens_in_names() -> None:
    for treatment, other in quantities():
        assert sides(f"{treatment}-{other}") == [treatment, other]


def test_a_legend_of_long_names_stays_within_its_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    named = ("AnB.chain-thaw", "AnB.discriminative", "AnB.gradual", "AnB.lp-ft")
    monkeypatch.setattr("test_tuning.COST", COST | dict.fromkeys(named, 2.0))
    table = study(np.random.RandomState(2), TRUTH | dict.fromkeys(named, 0.0)).assign(top5=0.9, loss=1.0)
    for figure in (accuracy_vs_layer(table), ways_vs_cost(table)):
        rendered(figure, "png")
        extent = figure.legends[0].get_window_extent()
        assert 0 <= extent.x0 < extent.x1 <= figure.bbox.x1
