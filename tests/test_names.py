"""Halves with names of their own: every table, figure and sentence says them, from a study's folder or from its table alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CLASSES, TRAIN, VAL, Said, tiny_recipe
from test_report import Page, written

from transfercli.analysis.conclusions import brief
from transfercli.analysis.pairs import half_names
from transfercli.analysis.words import half_title, panel_title
from transfercli.pictures import formula
from transfercli.recipe.reading import dump
from transfercli.report.figures import accuracy_vs_layer, drop_vs_layer, learning_curves
from transfercli.report.page import html
from transfercli.study.folder import Study
from transfercli.study.table import load
from transfercli.system.errors import TransferError

NAMES = {("pets", "A"): "cats", ("pets", "B"): "dogs & Ölvögel"}
TITLE = "pets: cats / dogs & Ölvögel halves"


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Made-up rows of both targets."""
    study = written(
        tmp_path_factory.mktemp("names") / "study", ("pets", "random-0"), "AB", names={"pets": ("cats", "dogs & Ölvögel")}
    )
    study.write_table()
    return study


def test_commands_say_the_names(transfer: Callable[..., Said], tmp_path: Path) -> None:
    builtin = {"builtin": {"classes": CLASSES, "train": TRAIN, "val": VAL}}
    made = tiny_recipe({"pictures": builtin}).model_copy(
        update={"splits": ("mine.csv",), "targets": ("A", "B"), "layers": (1, 7), "treatments": ("AnB", "RnB")}
    )
    (tmp_path / "tiny.yaml").write_text(dump(made))
    lines = [f"{name},{'animals' if index % 2 else 'vehicles'}\n" for index, name in enumerate(formula.class_names(CLASSES))]
    (tmp_path / "mine.csv").write_text("class,half\n" + "".join(lines))

    said = transfer("split", "--recipe", "tiny.yaml")
    assert [line.partition(":")[0] for line in said.out.splitlines()[:2]] == ["mine A (animals)", "mine B (vehicles)"]
    values = json.loads((tmp_path / "results/study/mine/split.json").read_text())
    assert (values["A"]["name"], values["B"]["name"]) == ("animals", "vehicles")
    assert "mine      0  B (vehicles)  AnB" in transfer("status").out
    said = transfer("train-base", "--device", "cpu")
    assert "baseA (animals)" in said.out and "baseB (vehicles)" in said.out
    said = transfer("sweep", "--device", "cpu")
    assert "mine, target A (animals): top-1" in said.out and "mine, target B (vehicles): top-1" in said.out
    for network, source, target in (("baseA", "", "animals"), ("A1B", "animals", "vehicles"), ("R7A", "", "animals")):
        row = json.loads((tmp_path / "results/study/mine" / network / "row.json").read_text())
        assert (row.get("source_name", ""), row["target_name"]) == (source, target)


def test_the_study_and_its_table_alone_know_the_names(pets: Study, tmp_path: Path) -> None:
    shutil.copy(pets.root / "results.csv", tmp_path)
    for table in (pets.table(), load(tmp_path)):
        names = half_names(table)
        assert NAMES.items() <= names.items() and ("random-0", "A") not in names
    assert half_title("pets", "B", NAMES) == "B (dogs & Ölvögel)" and half_title("random-0", "B", NAMES) == "B"
    assert panel_title("pets", NAMES) == TITLE and panel_title("pets", {}) == "halves of pets"


def test_the_analysis_says_the_names_also_of_a_table_alone(transfer: Callable[..., Said], pets: Study, tmp_path: Path) -> None:
    shutil.copy(pets.root / "results.csv", tmp_path)
    said = transfer("analyze", "--study", tmp_path).out.splitlines()
    assert "pets: half A is cats, half B is dogs & Ölvögel." in said
    assert "pets, target A (cats):" in said and "pets, target B (dogs & Ölvögel):" in said
    assert not any(line.startswith("random-0: half") for line in said)
    table = pets.table()
    first = brief(table[table["split"] == "pets"])[0]
    assert first.startswith("To cats: ") and " To dogs & Ölvögel: " in first


def test_figures_say_the_names(pets: Study) -> None:
    table = pets.table()
    for draw in (accuracy_vs_layer, drop_vs_layer):
        assert [ax.get_title(loc="left") for ax in draw(table).axes] == ["random halves", TITLE]
    said = {text.get_text() for text in accuracy_vs_layer(table).axes[1].texts}
    assert {"to cats", "to dogs & Ölvögel"} <= said
    assert any(
        ax.get_ylabel().startswith("pets: cats / dogs & Ölvögel halves\n") for ax in learning_curves(pets.logs(), table).axes
    )


def test_the_report_says_the_names(pets: Study) -> None:
    page = Page(html(pets))
    assert "1 random split and pets: cats / dogs & Ölvögel halves" in page.text
    assert "Half A (cats): 2 classes" in page.text and "pets, target B (dogs & Ölvögel): base" in page.text
    about = {(network["split"], network["name"]): network["about"] for network in page.data["networks"]}
    assert about["pets", "A3B"] == "First 3 layers from baseA (cats), frozen; the rest fresh, trained on B (dogs & Ölvögel)."
    assert about["random-0", "A3B"] == "First 3 layers from baseA, frozen; the rest fresh, trained on B."
    [chart] = [chart for chart in page.data["charts"] if chart["quantity"] == "accuracy" and chart["title"] == TITLE]
    assert {words for _, words in chart["levels"]} == {"cats", "dogs & Ölvögel"}


def test_man_made_and_natural_are_names_also_where_no_row_has_them(tmp_path: Path) -> None:
    study = written(tmp_path, ("man-made-natural",), "AB")
    assert "target_name" not in study.table()
    assert half_title("man-made-natural", "A", half_names(study.table())) == "A (natural)"
    path = tmp_path / "man-made-natural/split.json"
    path.write_text(path.read_text().replace('"random"', '"man-made-natural"'))
    assert study.halves("man-made-natural").split.names == ("natural", "man-made")


@pytest.mark.parametrize(
    ("name", "reason"), [("", "a half's name is 1 to 30"), (3, "TypeError: a list of texts"), ("A\u202eB", "a half's")]
)
def test_a_split_with_names_that_cannot_be_is_damaged(tmp_path: Path, name: object, reason: str) -> None:
    study = written(tmp_path, names={"random-0": ("cats", "dogs")})
    path = tmp_path / "random-0/split.json"
    values = json.loads(path.read_text())
    values["A"]["name"] = name
    path.write_text(json.dumps(values))
    with pytest.raises(TransferError, match=reason):
        study.halves("random-0")


def test_a_row_with_too_long_a_name_is_damaged(tmp_path: Path) -> None:
    written(tmp_path, changes={"A3B": {"target_name": "x" * 31}})
    with pytest.raises(TransferError, match="target_name: String should have at most 30 characters"):
        Study(tmp_path).table()
