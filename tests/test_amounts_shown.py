"""What is said and drawn of several amounts of data: each with its own base, and where transfer stops paying."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfercli.analysis.amounts import conclude_amounts, crossing, curves, gains
from transfercli.plan.networks import columns, named
from transfercli.report.figures import NothingToDraw, amounts
from transfercli.report.page import cells
from transfercli.study.rows import table_text

CLASSES, ALL = 10, 100
LEVELS = {5: 0.2, 25: 0.4, ALL: 0.6}  # of the base
OVER = {  # points over it
    "A3B": {5: 10, 25: 2, ALL: -6},
    "A3B+": {5: 12, 25: 6, ALL: 3},
    "B3B+": {5: 1, 25: 2, ALL: 3},
    "baseB+": {5: 1, 25: 1, ALL: 1},
}
WOBBLE = {"random-0": -0.002, "random-1": 0.001, "random-2": 0.003, "random-3": -0.002}  # whose mean is 0


def table_of(over: dict[str, dict[int, float]] = OVER, **more: Any) -> pd.DataFrame:
    rows = []
    for split, wobble in WOBBLE.items():
        for per, level in LEVELS.items():
            for place, (name, points) in enumerate({"baseB": dict.fromkeys(LEVELS, 0), **over}.items()):
                network = named(split, 0, name + (f"@per={per}" if per != ALL else ""))
                top1 = level + points[per] / 100 + place * wobble
                rows.append(
                    {
                        **columns(network),
                        **{"top1": top1, "top5": 1.0, "loss": 1.0, "top1_best10": top1, "step": 9, "status": "done"},
                        **{"classes": CLASSES, "train_pictures": per * CLASSES, "val_pictures": 500, "layers": 8, **more},
                    }
                )
    return pd.DataFrame(rows)


def test_each_amount_has_its_own_base() -> None:
    found = gains(table_of()).set_index(["quantity", "layer", "pictures"])
    for name, quantity, layer in (("A3B", "AnB-base", 3), ("A3B+", "AnB+-base", 3), ("baseB+", "base+-base", 0)):
        for pictures, points in OVER[name].items():
            assert found["mean"][quantity, layer, float(pictures)] == pytest.approx(points / 100)
            assert found["n"][quantity, layer, float(pictures)] == 4
    assert found["mean"]["AnB+-BnB+", 3, 5.0] == pytest.approx(0.11)
    levels = curves(table_of()).set_index(["treatment", "pictures"])["mean"]
    assert {pictures: levels["base", float(pictures)] for pictures in LEVELS} == pytest.approx(LEVELS)


def test_where_transfer_stops_paying_is_said() -> None:
    said = conclude_amounts(table_of())
    anb = next(one for one in said if "(AnB − base)" in one)
    assert anb.startswith("random, n = 3: transfer, frozen (AnB − base), pays up to 25 pictures a class, +2.00 (")
    assert "and no longer at 100, −6.00 (" in anb and anb.endswith("; the mean falls to zero near 35.")
    plus = next(one for one in said if "(AnB+ − base)" in one)
    assert "pays at every amount, up to 100 pictures a class: +12.00 (" in plus
    scarce = next(one for one in said if "scarce" in one)
    assert scarce.startswith("random, n = 3: the effect of a scarce target (AnB+ − BnB+): +11.00 (")
    assert "its control, the base trained twice (base+ − base): +1.00 (" in scarce


def test_nothing_is_said_of_a_single_amount() -> None:
    one = table_of()
    one = one[one["train_pictures"] == ALL * CLASSES]
    assert conclude_amounts(one) == conclude_amounts(one.drop(columns="per")) == []
    with pytest.raises(NothingToDraw):
        amounts(one)


def test_a_null_is_said_as_a_null() -> None:
    null = {"A3B": {5: 0.05, 25: -0.05, ALL: 0}}
    (said,) = conclude_amounts(table_of(null))
    assert "is at no amount clearly above zero" in said


def test_a_source_of_its_own_kind_is_in_no_curve() -> None:
    table = table_of()
    early = table[table["network"].str.startswith("A3B")].assign(at=0.5, top1=0.0)
    both = pd.concat([table, early.assign(network=early["network"] + "@at=0.5")])
    pd.testing.assert_frame_equal(curves(both), curves(table))


def test_networks_are_told_apart() -> None:
    table = table_of()
    two = pd.concat([table.assign(net="small"), table.assign(net="wide", top1=table["top1"] / 2)])
    found = gains(two).set_index(["net", "quantity", "pictures"])["mean"]
    assert found["wide", "AnB-base", 5.0] == pytest.approx(found["small", "AnB-base", 5.0] / 2)
    assert {said.partition(",")[0] for said in conclude_amounts(two)} == {"small", "wide"}


def test_the_figure_has_a_point_for_each_amount() -> None:
    figure = amounts(table_of())
    left, right = figure.axes
    assert left.get_title(loc="left") == "random halves, n = 3" and left.get_xscale() == right.get_xscale() == "log"
    lines = {line.get_color(): line for line in left.lines}
    assert len(left.lines) == 5 and [*lines["#000000"].get_xdata()] == [5, 25, 100]
    assert [*lines["#000000"].get_ydata()] == pytest.approx([0.2, 0.4, 0.6])
    assert len(left.collections) == 4  # intervals of four pairs; the bases agree exactly, and have none
    assert len(right.lines) == 1 + 5  # zero; four gains and what the other half adds


def test_the_page_has_a_table(tmp_path: Path) -> None:
    (table,) = cells.amounts(gains(table_of())).values()
    assert table.head == ["", "5", "25", "100"]
    assert {row.head for row in table.rows} == {
        *("AnB − base n = 3", "AnB+ − base n = 3", "BnB+ − base n = 3", "AnB+ − BnB+ n = 3", "base+ − base")
    }


def test_the_command_says_it(transfer: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    rows: list[Any] = json.loads(table_of().to_json(orient="records"))
    text = table_text([{key: value for key, value in row.items() if value is not None} for row in rows])
    (tmp_path / "kept/results.csv").write_text(text, encoding="utf-8")
    assert "pays up to 25 pictures a class" in transfer("analyze", "kept").out.replace("\n  ", " ")
    assert len(json.loads(transfer("analyze", "kept", "--json").out)["amounts"]) == 4


@given(st.dictionaries(st.integers(1, 1000), st.floats(-1, 1), min_size=2, max_size=6))
def test_the_crossing_lies_where_the_mean_falls_to_zero(means: dict[int, float]) -> None:
    found = crossing({float(key): value for key, value in means.items()})
    falls = [(few, many) for few, many in zip(sorted(means), sorted(means)[1:], strict=False) if means[few] > 0 >= means[many]]
    if found is None:
        assert not falls or means[max(means)] > 0
    else:
        few, many = falls[-1]
        assert few * (1 - 1e-9) <= found <= many * (1 + 1e-9)
