"""Networks of more or fewer than eight layers: the ranges go to their deepest, and what is asked of eight layers is not asked."""

import pandas as pd
import pytest
from test_report import row_of

from transfercli.analysis.conclusions import brief, conclude
from transfercli.analysis.contrasts import CONTRASTS, contrasts
from transfercli.analysis.differences import differences, layer_labels, ranges
from transfercli.analysis.published import published_table
from transfercli.plan.networks import bases, transfers
from transfercli.plan.treatments import USUAL
from transfercli.report.page import cells
from transfercli.report.page.words import made_of


def study(layers: int) -> pd.DataFrame:
    splits = ["random-0", "random-1"]
    networks = [*bases(splits, [0]), *transfers(splits, [0], ["A", "B"], range(1, layers), USUAL)]
    return pd.DataFrame([row_of(network) | {"layers": layers} for network in networks])


@pytest.mark.parametrize(
    ("layers", "found"),
    [(2, []), (3, ["1-2"]), (5, ["1-4", "3-4"]), (6, ["1-5", "3-5"]), (8, ["1-7", "3-7", "5-7"]), (10, ["1-9", "3-9", "5-9"])],
)
def test_ranges_go_to_the_deepest_layer(layers: int, found: list[str]) -> None:
    table = study(layers)
    assert layer_labels(differences(table)) == [*map(str, range(1, layers)), *found]
    assert [f"{first}-{last}" for first, last in ranges(table)] == found


def test_rows_that_do_not_say_how_many_layers_are_of_eight() -> None:
    of_old = study(8).drop(columns="layers")
    mixed = pd.concat([of_old.iloc[:20], study(8).iloc[20:]])
    for table in (of_old, mixed, published_table(), of_old.iloc[:0], pd.DataFrame()):
        assert ranges(table) == [(1, 7), (3, 7), (5, 7)]


def test_the_contrasts_are_asked_of_eight_layers_alone() -> None:
    assert set(contrasts(study(8))["quantity"]) == set(CONTRASTS)
    assert contrasts(study(10)).empty
    for sentences in (conclude(study(10))["random"], brief(study(10))):
        assert not any("Fixed in advance" in one or "dip" in one or "3-7" in one for one in sentences)


def test_words_name_the_layers_that_there_are() -> None:
    table = study(10)
    said = conclude(table)["random"]
    assert any(one.startswith("AnB+ − base is +") and "points in the mean of layers 1-9; it is" in one for one in said)
    general, _, kept = brief(table)
    assert "at layer 9, the deepest." in general
    assert kept.startswith("Against the base in the mean of layers 1-9: ")
    assert "what the other half adds (AnB+ − BnB+) is above zero" in kept
    assert cells.differences(differences(table))["random"].head == ["", *"123456789", "1-9", "3-9", "5-9", "pairs"]
    row = {"split": "x", "seed": 0, "network": "A9B", "source": "A", "target": "B"}
    assert made_of(row, {}, 10) == "First 9 layers from baseA, frozen; the rest fresh, trained on B."
