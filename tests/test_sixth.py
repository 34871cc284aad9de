"""A sixth treatment is one entry of TREATMENTS: all commands train it, take it up again, and show it, without another edit."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CLASSES, TRAIN, VAL, Said, tiny_recipe
from test_report import Page

from transfercli.plan.treatments import TREATMENTS, Phase, Treatment
from transfercli.recipe.reading import dump
from transfercli.report.appearance import look
from transfercli.training.bank import Bank

HELD = Treatment("AnB.held", "other", "all but the last", (Phase("above n"),), "all copied, n frozen", ("base", "AnB"))
RECIPE = tiny_recipe(
    {"pictures": {"builtin": {"classes": CLASSES, "train": TRAIN, "val": VAL}}, "training": {"checkpoint_steps": 1}}
)


class Killed(BaseException):
    pass


@pytest.fixture(autouse=True)
def sixth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TREATMENTS, HELD.name, HELD)


def kill(transfer: Callable[..., Said], steps: int, *words: str) -> None:
    """A command that ends without a word after so many steps."""
    step, left = Bank.step, iter(range(steps))

    def dying(bank: Bank) -> None:
        if next(left, None) is None:
            raise Killed
        step(bank)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Bank, "step", dying)
        transfer(*words)


@pytest.mark.slow
def test_a_sixth_treatment_goes_through_all_commands(transfer: Callable[..., Said], tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"targets": ("B",), "layers": (1, 3, 7), "treatments": ("BnB", "AnB", HELD.name)})
    (tmp_path / "tiny.yaml").write_text(dump(recipe))
    root = tmp_path / "results/study"

    def ran(*words: str) -> str:
        said = transfer(*words)
        assert said.code == 0, said
        return said.out

    ran("split", "--recipe", "tiny.yaml")
    assert ran("train-base", "--device", "cpu").endswith("Next: transfer sweep --device cpu\n")
    kill(transfer, 3, "sweep", "--device", "cpu")
    assert "AnB.held" in ran("status") and not (root / "random-0/A3B.held/row.json").exists()
    said = transfer("sweep", "--device", "cpu")
    assert said.code == 0 and "9 networks go on at step 3 of 5" in said.err
    assert "AnB.held" in said.out

    assert any(line.split() == ["random-0", "0", "B", "AnB.held", *["done"] * 3] for line in ran("status").splitlines())
    rows = {row["network"]: row for row in csv.DictReader((root / "results.csv").read_text().splitlines())}
    assert {key: rows["A3B.held"][key] for key in ("treatment", "source", "target", "layer", "layers", "status")} == {
        **{"treatment": "AnB.held", "source": "A", "target": "B"},
        **{"layer": "3", "layers": "8", "status": "done"},
    }
    assert ran("verify").endswith("is sound\n")

    assert "AnB.held-base" in ran("analyze") and "A3B.held" in ran("analyze", "--networks")
    found = json.loads(ran("analyze", "--json"))
    quantities = list(dict.fromkeys(row["quantity"] for row in found["differences"]))
    assert quantities == ["BnB-base", "AnB-base", "AnB-BnB", "AnB.held-base", "AnB.held-AnB"]
    assert any(
        sentence.startswith("AnB.held − base (AnB.held: all copied, n frozen) is") for sentence in found["conclusions"]["random"]
    )

    ran("plot")
    for name in ("accuracy-vs-layer", "drop-vs-layer", "benefits"):
        drawn = (root / f"figures/{name}.svg").read_text()
        assert look(HELD.name).label in drawn and look(HELD.name).color.lower() in drawn, name
    assert look(HELD.name).label in (root / "figures/learning-curves.svg").read_text()

    ran("report")
    page = Page((root / "report.html").read_text())
    assert "AnB.held: all copied, n frozen" in page.text and "AnB.held − AnB" in page.text
    networks = page.data["networks"]
    for chart in page.data["charts"]:
        assert sum(networks[point[0]]["treatment"] == HELD.name for point in chart["points"]) == 3
    assert page.data["markers"][page.data["looks"][HELD.name]["marker"]]
    assert {network["name"]: network["about"] for network in networks}["A3B.held"] == (
        "First 7 layers from baseA, the rest fresh; the first 3 layers frozen, the others trained on B."
    )
    assert all(look(HELD.name).color in text for text in page.inside("style"))

    points = json.loads(ran("compare", str(root), str(root), "--json"))["points"]
    alike = [(point["quantity"], point["layer"], point["difference"]) for point in points if HELD.name in point["quantity"]]
    assert alike == [(quantity, layer, 0) for quantity in (HELD.name, f"{HELD.name}-base") for layer in (1, 3, 7)]
