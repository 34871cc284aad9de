"""The lecture's rule of thumb by a study's own networks."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import transfercli
from transfercli.analysis.lecture import ANSWERS, FEW, LINEAR, MORE, RULE, corners, lecture, sentences
from transfercli.plan.networks import columns, named
from transfercli.report.page import cells
from transfercli.study.rows import table_text

ALL = 100  # pictures a class that there are
RANDOM, OTHER = [f"random-{split}" for split in range(4)], ["man-made-natural"]
NETS = {"A7B": 0.0, "A6B": 0.0, "A7B+": 0.0}  # what stands for the three answers, and by how much it is better, in points
KEEP = {f"A{n}B.keep": 0.0 for n in range(8)}


def study(
    above: Mapping[str, float] = NETS,
    splits: list[str] = RANDOM,
    amounts: tuple[int, ...] = (5, ALL),
    spread: float = 0.001,
    **more: Any,
) -> pd.DataFrame:
    """Networks `above` the base of their split by so many points, but for a normal draw."""
    random, rows = np.random.RandomState(0), []
    for split in splits:
        for per in amounts:
            for name, points in {"baseB": 0.0, **above}.items():
                network = named(split, 0, name + f"@per={per}" * (per != ALL))
                top1 = 0.5 + points / 100 + random.normal(0, spread)
                rows.append(
                    {
                        **columns(network),
                        **{"top1": top1, "top5": 1.0, "loss": 1.0, "top1_best10": top1, "step": 9, "status": "done"},
                        **{"classes": 10, "train_pictures": 10 * per, "val_pictures": 1000, "layers": 8, **more},
                    }
                )
    return pd.DataFrame(rows)


def verdicts(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    return {(rows[0]["data"], rows[0]["target"]): rows[0]["verdict"] for rows in corners(lecture(table))}


def standing(table: pd.DataFrame) -> dict[str, str]:
    """Which networks stand for each answer."""
    return dict(zip(*(lecture(table)[column] for column in ("answer", "networks")), strict=True))


def test_networks_answer_by_how_many_of_their_layers_learn() -> None:
    assert standing(study()) == {LINEAR: "AnB n = 7", FEW: "AnB n = 6", MORE: "AnB+ n = 7"}
    swept = {f"A{n}B{plus}": 0.0 for n in range(1, 8) for plus in ("", "+")} | {"B6B": 0.0, "A6B.lp-ft": 0.0}
    assert standing(study(swept)) == standing(study()), "those that copy the most layers, of the other half, in one phase"
    assert standing(study({**swept, **KEEP})) == {
        LINEAR: "AnB n = 7",
        FEW: "AnB.keep n = 4, 5, 6",
        MORE: "AnB+ n = 7 and AnB.keep n = 1, 2, 3",
    }
    without = study({"A7B": 0.0, "A6B": 0.0, "A3B": 0.0, "A2B": 0.0})
    assert standing(without)[MORE] == "AnB n = 3"
    shallow = {"A2B": 0.0, "A1B": 0.0, "A2B+": 0.0}
    assert standing(study(shallow, layers=3)) == {LINEAR: "AnB n = 2", MORE: "AnB+ n = 2"}, "2 of 3 layers are more than half"


def test_an_answer_is_the_mean_of_its_networks_and_not_the_best() -> None:
    table = study({"A7B": 0.0, "A4B.keep": 6.0, "A5B.keep": 3.0, "A6B.keep": -3.0, "A7B+": 0.0}, spread=0)
    of_few = lecture(table).query("answer == @FEW and data == 'little'")
    assert of_few["mean"].tolist() == pytest.approx([0.02]) and of_few["accuracy"].tolist() == pytest.approx([0.52])
    missing = table[~((table["split"] == "random-1") & table["network"].str.startswith("A6B.keep"))]
    assert lecture(missing).query("answer == @FEW")["n"].tolist() == [3, 3], "a pair has all of them or none"
    never = missing[~((missing["split"] != "random-1") & missing["network"].str.startswith("A4B.keep"))]
    assert {*lecture(never)["answer"]} == {LINEAR, MORE}


@pytest.mark.parametrize(
    ("above", "little", "much"),
    [
        ({"A7B": 3.0, "A6B": 0.0, "A7B+": 0.0}, "agrees", "disagrees"),
        ({"A7B": 0.0, "A6B": 3.0, "A7B+": 0.0}, "disagrees", "agrees"),
        ({"A7B": 0.0, "A6B": 0.0, "A7B+": 3.0}, "disagrees", "disagrees"),
        ({"A7B": 3.0, "A6B": 0.0, "A7B+": 3.0}, "cannot tell", "disagrees"),
        ({"A7B": 3.0, "A7B+": 0.0}, "cannot tell", ""),  # one of the others is not there; the lecture's is not
    ],
)
def test_the_verdict_follows_from_the_intervals(above: dict[str, float], little: str, much: str) -> None:
    found = verdicts(study(above))
    assert (found["little", ""], found.get(("much", ""), "")) == (little, much)


def test_a_single_random_pair_tells_nothing() -> None:
    assert {*verdicts(study({"A7B": 9.0, "A6B": 0.0, "A7B+": 0.0}, RANDOM[:1])).values()} == {"cannot tell"}


def test_different_tasks_are_each_by_itself() -> None:
    above = {"A7B": -5.0, "A6B": 0.0, "A7B+": 5.0} | {"B7A": 0.0, "B6A": 0.0, "B7A+": 0.0}
    table = study(above, OTHER)
    table = pd.concat(
        [table, study({}, OTHER).replace({"network": {"baseB": "baseA", "baseB@per=5": "baseA@per=5"}, "target": {"B": "A"}})]
    )
    found = verdicts(table)
    assert found == {
        ("much", "man-made"): "agrees",
        ("little", "man-made"): "cannot tell",  # that more layers are better contradicts no linear classifier on earlier ones
        ("much", "natural"): "cannot tell",
        ("little", "natural"): "cannot tell",
    }
    reach = lecture(table).query("target == 'man-made' and answer == @FEW and data == 'much'").iloc[0]
    assert reach["high"] - reach["mean"] == pytest.approx(1.96 * np.sqrt((0.5 * 0.5 + 0.55 * 0.45) / 1000), rel=0.01)


def test_which_corners_a_study_fills() -> None:
    one_amount = study(splits=RANDOM + OTHER, amounts=(ALL,)).drop(columns="train_pictures")
    assert verdicts(one_amount).keys() == {("much", ""), ("much", "man-made")} and lecture(one_amount)["pictures"].isna().all()
    assert len(corners(lecture(study(splits=RANDOM + OTHER)))) == 4
    three = lecture(study(amounts=(5, 25, ALL)))
    assert set(zip(three["data"], three["pictures"], strict=True)) == {("little", 5), ("much", ALL)}
    for none in (study(amounts=(ALL,)), study(splits=OTHER, amounts=(ALL,)), study(splits=["pets"]), study({}), study()[:0]):
        assert lecture(none).empty and sentences(lecture(none)) == []
    nets = pd.concat([study().assign(net=net) for net in ("small", "wide")])
    assert [rows[0]["net"] for rows in corners(lecture(nets))] == ["small", "small", "wide", "wide"]


def test_the_released_networks_by_the_rule() -> None:
    said = sentences(lecture(transfercli.published_table(), "top1_best10"))
    assert len(said) == 3 and all(one.startswith("much data, ") for one in said)
    assert said[0].endswith("more layers (AnB+ n = 7, 1 pair) +5.59 points: cannot tell.")
    assert said[2].startswith(
        "much data, different task (to the man-made half): the lecture's answer, more layers (AnB n = 3), reaches 50.1%"
    )
    assert said[2].endswith("† points: agrees.")


@pytest.mark.slow
def test_of_answers_that_are_all_alike_few_corners_tell() -> None:
    random, table = np.random.RandomState(0), study()
    drawn = [table.assign(top1=0.5 + random.normal(0, 0.02, len(table))) for _ in range(60)]
    found = [one for each in drawn for one in verdicts(each).values()]
    assert len(found) == 120
    assert max(found.count("disagrees"), found.count("agrees")) <= 0.1 * len(found)


def test_the_page_has_the_table_and_the_command_says_it(transfer: Callable[..., Any], tmp_path: Path) -> None:
    table = study({"A7B": 3.0, "A7B+": 0.0})  # nothing of a few layers, which the lecture says of much data
    shown = cells.lecture(lecture(table))
    assert shown.head == ["", *ANSWERS, "the study"]
    (row,) = shown.rows
    assert row.head == "little data (5 pictures a class), similar task (random halves)"
    assert row.cells[0].beneath == "the lecture's" and row.cells[2].clear == "below"
    assert [row.cells[1], row.cells[3].text] == [cells.NOTHING, "cannot tell"]
    (tmp_path / "kept").mkdir()
    rows: list[Any] = json.loads(table.to_json(orient="records"))
    text = table_text([{key: value for key, value in row.items() if value is not None} for row in rows])
    (tmp_path / "kept/results.csv").write_text(text, encoding="utf-8")
    said = " ".join(transfer("analyze", "kept").out.split())
    assert sentences(lecture(table))[0] in said and RULE in said
    told = json.loads(transfer("analyze", "kept", "--json").out)["lecture"]
    assert [one["answer"] for one in told] == [LINEAR, MORE] and {one["says"] for one in told} == {LINEAR}
