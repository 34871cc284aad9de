"""What scripts and readers are promised: --json documents with the keys that docs/json.md names, and the page of recipe keys."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Said
from test_answers import kept

from transfercli.analysis.published import published_table
from transfercli.recipe import keys
from transfercli.recipe import reading as recipes
from transfercli.recipe.schedules import SCHEDULES
from transfercli.recipe.schema import Recipe

Transfer = Callable[..., Said]
DOCS = Path(__file__).parents[1] / "docs"


def documented(command: str, of: str = "key") -> set[str]:
    """The keys that docs/json.md names in a command's table."""
    page = (DOCS / "json.md").read_text(encoding="utf-8")
    section = next(part for part in page.split("\n## ") if part.startswith(f"`transfer {command} --json`"))
    table = next(block for block in section.split("\n\n") if block.startswith(f"| {of} |"))
    return {key for line in table.splitlines()[2:] for key in re.findall(r"`(\w+)`", line.split("|")[1])}


def document(said: Said) -> Any:
    """The one JSON document on standard output, in which nothing is NaN or Infinity."""
    assert said.code == 0, said.err
    assert said.out.isascii()

    def refuse(text: str) -> None:
        raise AssertionError(text)

    return json.loads(said.out, parse_constant=refuse)


# -- --json


@pytest.mark.parametrize("words", [("--paper",), ("--study", "kept")])
def test_analyze_as_json(transfer: Transfer, tmp_path: Path, words: tuple[str, ...]) -> None:
    kept(tmp_path / "kept")
    told = document(transfer("analyze", *words, "--json", "--csv", "points.csv"))
    assert told.keys() == documented("analyze")
    written = pd.read_csv(tmp_path / "points.csv").astype(object).where(lambda table: table.notna(), None).to_dict("records")
    for point, row in zip(told["differences"], written, strict=True):
        assert point.keys() == documented("analyze", "key of `differences`")
        assert (point["quantity"], str(point["layer"]), point["n"]) == (row["quantity"], str(row["layer"]), row["n"])
        assert point["mean"] == pytest.approx(row["mean"], abs=1e-6)
        assert (point["low"] is None) == (row["low"] is None)
    assert {*told["networks"][0]} == documented("analyze", "key of `networks`")
    shown = transfer("analyze", *words).out
    for sentences in told["conclusions"].values():
        assert all(f"- {sentence}" in shown for sentence in sentences)
    if words == ("--paper",):
        assert told["metric"] == "top1_best10" and len(told["networks"]) == len(published_table())
        assert any(point["low"] is None for point in told["differences"])
    else:
        base = next(row for row in told["networks"] if row["network"] == "baseB")
        assert (base["accuracy"], base["gain"]) == (0.5, None)
        assert base["low"] < 0.5 < base["high"]


def test_compare_as_json(transfer: Transfer, tmp_path: Path) -> None:
    kept(tmp_path / "mine")
    kept(tmp_path / "theirs", gain=0.2)
    told = document(transfer("compare", "theirs", "--study", "mine", "--json"))
    assert told.keys() == documented("compare") and (told["study"], told["other"]) == ("mine", "theirs")
    points = {(point["quantity"], point["layer"]): point for point in told["points"]}
    assert points["RnB-base", 1].keys() == documented("compare", "key of `points`")
    assert points["RnB-base", 1]["difference"] == pytest.approx(-0.2) and points["RnB-base", 1]["in_spread"] is False
    assert points["base", 0]["in_spread"] is True
    assert document(transfer("compare", "--study", "mine", "--json"))["other"] is None


def test_layers_as_json(transfer: Transfer) -> None:
    told = document(transfer("layers", "yosinski2014", "--json"))
    assert [layer["name"] for layer in told] == [f"{'conv' if n < 6 else 'fc'}{n}" for n in range(1, 9)]
    assert sum(layer["parameters"] for layer in told) == 60_965_224
    assert all(layer.keys() == documented("layers", "key of a layer") for layer in told)
    assert told[0]["shape"] == [96, 27, 27]


@pytest.mark.slow
def test_plan_as_json(transfer: Transfer) -> None:
    told = document(transfer("plan", "demo", "--device", "cpu", "--bank-size", "4", "--json"))
    assert told.keys() == documented("plan")
    assert (told["networks"], told["bank_size"], told["steps"], told["batch"]) == (37, 4, *(recipe_of("demo")))
    assert told["seconds"] > 0 and told["assumed"] is None
    assert told["next"] == "transfer run demo --device cpu --bank-size 4"


def recipe_of(name: str) -> tuple[int, int]:
    recipe = recipes.find(name)
    assert recipe.pictures.builtin
    return recipe.training.length(recipe.pictures.builtin.classes // 2 * recipe.pictures.builtin.train), recipe.training.batch


# -- the keys of a recipe


def test_the_page_of_keys_is_up_to_date(transfer: Transfer) -> None:
    page = (DOCS / "recipe-keys.md").read_text(encoding="utf-8")
    assert page == transfer("recipes", "keys", "--markdown").out, "transfer recipes keys --markdown > docs/recipe-keys.md"


def test_every_key_is_explained_once() -> None:
    explained = [key.path for key in keys.all_keys()]
    assert len({*explained}) == len(explained)
    assert all(len(key.meaning) > 15 and key.values for key in keys.all_keys())

    def paths(values: dict, before: str = "") -> set[str]:
        return {
            path
            for name, value in values.items()
            for path in (
                paths(value, f"{before}{name}.")
                if isinstance(value, dict) and f"{before}{name}" not in explained
                else {f"{before}{name}"}
            )
        }

    every = {path for name in recipes.names() for path in paths(recipes.find(name).model_dump(mode="json"))}
    assert every <= {*explained, "pictures.builtin"}
    unused = {f"pictures.builtin.{key}" for key in ("classes", "train", "val", "seed")}
    unused |= {"networks", "rates", "lengths", "target.per_class"}
    unused |= {key for key in explained if key.startswith("own_treatments.")}  # by the recipes that are shipped
    assert {*explained} <= every | unused


def test_defaults_and_bounds_are_the_schemas(transfer: Transfer) -> None:
    by_path = {key.path: key for key in keys.all_keys()}
    assert by_path["training.momentum"].values == "number at least 0 and below 1"
    assert by_path["training.batch"][1:3] == ("whole number above 0", None)
    assert by_path["training.checkpoint_steps"][1:3] == ("whole number above 0", "not set")
    assert by_path["network.widths"].values == "7 of: whole number above 0"
    assert by_path["pictures.fit"][1:3] == ("`warp` or `crop`", "warp")
    assert by_path["pictures.mean"].values == "`image` or `channel` or `none` or 3 of: number at least 0 and at most 1"
    assert by_path["layers"].default == "all"
    assert by_path["training.schedule.gamma"].meaning.startswith("Of step, exponential, inverse: the factor")
    assert Recipe.model_fields["seeds"].default == (0,) and by_path["seeds"].default == "[0]"
    assert all(f"| `{name}` | " in keys.markdown() for name in SCHEDULES)


def test_keys_on_the_terminal(transfer: Transfer) -> None:
    said = transfer("recipes", "keys").out
    assert said.count("\n") == 2 * len(keys.all_keys()) and "`" not in said
    part = transfer("recipes", "keys", "training.schedule").out
    assert part in said and all(line.startswith(("training.schedule.", "    ")) for line in part.splitlines())
    assert transfer("recipes", "keys", "trainin") == (
        1,
        "",
        "Error: no recipe has a key 'trainin'; see all: transfer recipes keys\n",
    )
