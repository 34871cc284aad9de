"""Middle segments and single layers: copied alone, trained in the bank as any network, and shown where transferability sits."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import CPU, SPLIT, TINY, silent
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from test_amounts_shown import WOBBLE

import transfercli
from transfercli.analysis.differences import differences
from transfercli.analysis.segments import conclude_segments, segments
from transfercli.plan.networks import columns, named
from transfercli.plan.words import parse_segment, segments_of
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.report import figures
from transfercli.report.figures import NothingToDraw
from transfercli.report.page import html
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training.train import train

NAMES = ["A3B", "A2-3B", "A3-3B", "B2-3B+", "R5-6B"]


def recipe_of(**changes: Any) -> Recipe:
    return recipes.validate({**TINY, "targets": ["B"], "layers": [3], "treatments": ["AnB"], **changes}, "segments")


def planned(**changes: Any) -> list[str]:
    return [one.name for one in recipe_of(**changes).planned() if not one.is_base]


def test_a_recipe_plans_segments_beside_its_layers() -> None:
    assert planned(segments=["2-3", 4, "1-5"]) == ["A3B", "A2-3B", "A4-4B", "A5B"]
    assert planned(segments="2-3, 1-3") == ["A3B", "A2-3B"]  # that from layer 1 to 3 is planned already
    assert planned(segments="blocks") == ["A3B", "A1B", *(f"A{n}-{n}B" for n in range(2, 8))]
    assert len(planned(segments="all")) == 28
    assert planned(segments=[2], treatments=["AnB", "AnB.keep", "base+"]) == ["A3B", "A2-2B", "A3B.keep", "baseB+"]
    again = recipe_of(segments="all")
    assert recipes.load(recipes.dump(again), "again") == again and again.digest() == recipe_of().digest()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("5-3", "the layers '5-3' run backwards"),
        (["2-8"], "layer 8 cannot be transferred in a network of 8 layers"),
        ([0], "the layers '0' hold 0"),
        (["x"], "cannot read the layers 'x'"),
        ([[1, 2]], "cannot read the layers"),
        ([2, "2"], "2 stands twice"),
    ],
)
def test_what_is_no_segment_is_refused(value: Any, said: str) -> None:
    with pytest.raises(TransferError, match=said):
        recipe_of(segments=value)


@given(st.integers(2, 30))
def test_all_segments_are_each_once_and_end_before_the_last_layer(depth: int) -> None:
    every, blocks = segments_of(depth, "all"), segments_of(depth, "blocks")
    assert len({*every}) == len(every) == depth * (depth - 1) // 2 and {*blocks} <= {*every}
    assert all(1 <= first <= last < depth for first, last in every) and len(blocks) == depth - 1
    assert all(parse_segment(f"{first}-{last}") == (first, last) for first, last in every)


@pytest.fixture(scope="module")
def swept_segments(trained: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = Study(tmp_path_factory.mktemp("segments") / "study")
    shutil.copytree(trained.root, study.root)
    train(study, [named(SPLIT, 0, name) for name in NAMES], CPU, None, silent())
    return study


def test_only_the_segment_is_the_sources_and_stays(swept_segments: Study, study: Study) -> None:
    source = load_file(swept_segments.folder(named(SPLIT, 0, "baseA")) / "weights.safetensors")
    weights = load_file(swept_segments.folder(named(SPLIT, 0, "A2-3B")) / "weights.safetensors")
    same = {name.partition(".")[0] for name in weights if weights[name].equal(source[name])}
    assert same == {"conv2", "conv3"}
    alone = named(SPLIT, 0, "A2-3B")
    train(study, [alone], CPU, 1, silent())
    mine, beside = study.row(alone), swept_segments.row(alone)
    assert mine and beside and mine["weights_digest"] == beside["weights_digest"] and mine["first_layer"] == 2


@pytest.mark.slow
def test_verify_finds_segments_sound_and_commands_show_them(swept_segments: Study, tmp_path: Path) -> None:
    study = Study(shutil.copytree(swept_segments.root, tmp_path / "study"))
    assert transfercli.verify(study, CPU).problems == []
    found = {network["network"]: network for network in transfercli.status(study)["networks"]}
    assert found["A2-3B"]["first_layer"] == 2 and "first_layer" not in found["A3B"]
    assert {*transfercli.analyze(study).differences["layer"]} == {"3"}  # those from layer 1, as without segments
    assert "segments" in transfercli.draw(study) and '<figure class="picture" id="segments">' in html(study)
    assert "A2-3B" in transfercli.write_report(study).read_text(encoding="utf-8")


def table_of(costs: dict[str, float]) -> pd.DataFrame:
    rows = []
    for split, wobble in WOBBLE.items():
        for place, (name, points) in enumerate({"baseB": 0.0, **costs}.items()):
            top1 = 0.5 + points / 100 + place * wobble / 10
            rows.append(
                {
                    **columns(named(split, 0, name)),
                    **{"top1": top1, "top5": 1.0, "loss": 1.0, "top1_best10": top1, "step": 9, "status": "done"},
                    **{"classes": 10, "val_pictures": 500, "layers": 8},
                }
            )
    return pd.DataFrame(rows)


COSTS = {"A1B": -1.0, "A2B": -2.0, "A2-2B": -5.0, "A3-3B": -3.0, "A2-3B": -7.0}


def test_each_segment_has_its_mean() -> None:
    found = segments(table_of(COSTS)).set_index(["quantity", "first", "layer"])["mean"]
    assert {key: round(100 * mean, 6) for key, mean in found.items()} == {
        ("AnB-base", 1, 1): -1, ("AnB-base", 1, 2): -2, ("AnB-base", 2, 2): -5, ("AnB-base", 2, 3): -7, ("AnB-base", 3, 3): -3,
    }  # fmt: skip
    (said,) = conclude_segments(table_of(COSTS))
    assert said.endswith("layer 2 serves the other task least.") and "−5.00 (" in said and "of layer 3" in said
    assert conclude_segments(table_of({**COSTS, "A3-3B": -5.0}))[0].endswith("no layer is clearly below all others.")


def test_segments_are_in_no_mean_by_layer() -> None:
    with_them, without = table_of(COSTS), table_of({name: cost for name, cost in COSTS.items() if "-" not in name})
    pd.testing.assert_frame_equal(
        differences(with_them)[["quantity", "layer", "n"]], differences(without)[["quantity", "layer", "n"]]
    )
    assert segments(without).empty and conclude_segments(without) == []
    with pytest.raises(NothingToDraw):
        figures.segments(without)


def test_the_figure_has_a_square_for_each_segment() -> None:
    (panel,) = figures.segments(table_of(COSTS)).axes
    assert {(text.get_position(), text.get_text()) for text in panel.texts} == {
        ((0, 0), "−1.0"), ((1, 0), "−2.0"), ((1, 1), "−5.0"), ((2, 1), "−7.0"), ((2, 2), "−3.0"),
    }  # fmt: skip
    assert all(text.get_fontweight() == "bold" for text in panel.texts)
