"""The library under the commands: each public call returns what it says, prints nothing and raises the commands' words."""

import ast
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import CLASSES, SPLIT, SWEPT, TRAIN, VAL, Said, Tiny, tiny_recipe
from matplotlib.figure import Figure

import transfercli
from transfercli import Reporter, Study, TransferError, TransferWarning
from transfercli.pictures.forms import QUALITY
from transfercli.recipe import reading as recipes

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/python.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> Any:
    yield
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    made = tiny_recipe({"training": {"steps": 2}, "evaluation": {"every": 2, "batch": 11}})
    (tmp_path / "tiny.yaml").write_text(recipes.dump(made.model_copy(update={"targets": ("B",)})))
    return str(tmp_path / "tiny.yaml")


@pytest.fixture
def pictures(tiny: Tiny) -> Path:
    return tiny.folder.root


# -- the page and the names


@pytest.mark.slow
def test_the_pages_code_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(block, space)
    assert {*space["table"]["network"]} == {"baseA", "baseB", "B1B", "B3B", "A1B", "A3B"}
    assert isinstance(space["figures"]["accuracy-vs-layer"], Figure)
    assert {*space["differences"]["quantity"]} == {"BnB-base", "AnB-base", "AnB-BnB"}
    assert space["report"] == Path("results/look/report.html") and space["report"].is_file()
    assert space["done"].report == Path("results/whole/report.html")
    assert list(space["done"].networks.table["network"]) == ["A2B", "R2B"]
    assert len(space["analysis"].answer) == 3
    assert space["store"].about.form.size == 32
    assert space["message"].startswith("layer 8 cannot be transferred in a network of 8 layers, whose last is always fresh; ")
    assert space["lines"][:2] == [f"making pictures: {8 * (8 + 4)}", f"checking pictures: {8 * (8 + 4)}"]
    assert space["lines"][2].startswith("0 of 2 networks to train, on ")


def test_the_page_names_each_command_and_its_call() -> None:
    """And each command's module makes that call, on `transfercli` itself."""
    from transfercli.cli import COMMANDS

    rows = re.findall(r"^\| (`transfer .*?) \| (.*?) \|", PAGE, re.MULTILINE)
    calls = {command: re.findall(r"(\w+)\(", text) for words, text in rows for command in re.findall(r"transfer ([\w-]+)", words)}
    assert calls.keys() == COMMANDS.keys()
    for command, named in calls.items():
        module = ast.parse((ROOT / f"transfercli/cli/{COMMANDS[command]}.py").read_text(encoding="utf-8"))
        called = [node.func for node in ast.walk(module) if isinstance(node, ast.Call)]
        made = {f.attr for f in called if isinstance(f, ast.Attribute) and getattr(f.value, "id", "") == "transfercli"}
        assert made & {*named}, f"{command} calls none of {named}"
        assert {*named} <= {*transfercli.__all__}


def test_public_names_are_there_and_typed() -> None:
    module = ast.parse((ROOT / "transfercli/__init__.py").read_text(encoding="utf-8"))
    typed = {
        alias.asname or alias.name: f"{node.module}.{alias.name}".removeprefix("transfercli.")
        for block in module.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == transfercli._PLACES and {*typed} < {*dir(transfercli)}
    for name in typed:
        assert callable(getattr(transfercli, name))
    rooms = {path.name for path in (ROOT / "transfercli").iterdir() if path.is_dir()}
    assert not rooms & {*typed}, "a room that is imported would take the place of the call"
    with pytest.raises(AttributeError, match="module 'transfercli' has no attribute 'sprawl'"):
        transfercli.sprawl  # noqa: B018


def test_the_import_is_light() -> None:
    code = "import sys, transfercli; print({'torch', 'pandas', 'matplotlib', 'pydantic', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# -- the calls


def test_split_says_what_it_found(pictures: Path, recipe: str, tmp_path: Path) -> None:
    (tmp_path / "few.csv").write_text("class,half\n" + "".join(f"natural-0{n},{'ab'[n % 2]}\n" for n in range(4)))
    told: list[tuple[str, Any]] = []
    counted: list[tuple[str, int]] = []

    @contextmanager
    def counting(label: str, total: int) -> Any:
        yield lambda count: counted.append((label, count))

    study = Study(str(tmp_path / "study"))
    words = [SPLIT, str(tmp_path / "few.csv")]
    made = transfercli.split(study, str(pictures), words, recipe=recipe, told=lambda *one: told.append(one), counting=counting)
    assert [halves.name for halves in made.halves] == study.split_names()[::-1] == [SPLIT, "few"]
    assert [study.halves(halves.name) for halves in made.halves] == list(made.halves)
    assert made.recipe == study.recipe() and made.recipe.name == "tiny" and made.chosen is None
    assert (made.pictures.root, len(made.pictures.classes)) == (pictures, CLASSES)
    (unlisted,) = made.unlisted
    assert told == [("unlisted", unlisted)] and unlisted.of == CLASSES
    assert {*unlisted.classes} == {*made.pictures.classes} - {f"natural-0{n}" for n in range(4)}
    assert {label for label, _ in counted} == {"checking pictures"}
    assert sum(count for _, count in counted) == CLASSES * (TRAIN + VAL)


def test_split_chooses_a_recipe_and_says_why(pictures: Path, tmp_path: Path) -> None:
    told: list[tuple[str, Any]] = []
    made = transfercli.split(Study(tmp_path / "study"), pictures, told=lambda *one: told.append(one))
    assert made.chosen is not None and told == [("chosen", made.chosen)]
    assert (made.chosen.recipe, made.chosen.classes) == (made.recipe.name, CLASSES)


def test_bases_sweep_and_all_that_follows(pictures: Path, recipe: str, tmp_path: Path) -> None:
    study, lines = Study(tmp_path / "study"), list[str]()
    transfercli.split(study, pictures, recipe=recipe)
    bases = transfercli.train_base(study, "B", device="cpu", reporter=Reporter(say=lines.append))
    assert [row["network"] for row in bases.rows] == list(bases.table["network"]) == ["baseB"]
    assert bases.left_out == () and not bases.failed and lines[0].startswith("1 of 1 networks to train, on cpu")
    narrow = ["treatments=BnB", "layers=1"]
    assert transfercli.train_base(study, overrides=narrow, device="cpu").left_out == ("A",)
    transfercli.train_base(study, ["A", "B"], device="cpu")

    swept = transfercli.sweep(study, "2", ["AnB", "BnB"], "B", device="cpu", bank_size=1)
    assert [row["network"] for row in swept.rows] == ["B2B", "A2B"]
    assert list(study.table()["network"]) == ["baseA", "baseB", "B2B", "A2B"]

    figures = transfercli.draw(study)
    assert {"accuracy-vs-layer", "drop-vs-layer", "filters"} <= {*figures}
    assert all(isinstance(figure, Figure) for figure in figures.values())
    assert {path.name for path in transfercli.plot(study, out=tmp_path / "drawn").paths} == {
        f"{name}.{kind}" for name in figures for kind in ("png", "svg")
    }
    assert transfercli.write_report(study, tmp_path / "mine.html") == tmp_path / "mine.html"
    analysis = transfercli.analyze(study)
    assert {"BnB-base", "AnB-base", "AnB-BnB"} == {*analysis.differences["quantity"]} and analysis.metric == "top1"
    assert list(analysis.networks["network"]) == list(study.table()["network"])
    assert transfercli.analyze(study.table(), "best10").metric == "top1_best10"
    points = transfercli.compare(study, study.root).points
    assert (points["difference"] == 0).all() and points["in_spread"].all()
    assert transfercli.status(study)["counts"]["done"] == 4
    report = transfercli.verify(study, "cpu")
    assert report.problems == [] and report.counts["measurements"] > 0


def test_what_was_copied_from_another_base_is_warned_of(swept: Study, tmp_path: Path) -> None:
    study = Study(shutil.copytree(swept.root, tmp_path / "study"))
    file = study.root / SPLIT / "baseB" / "row.json"
    file.write_text(re.sub(r'("weights_digest": ")....', r"\g<1>0000", file.read_text()))
    with pytest.warns(TransferWarning, match="copied from another baseB than is there now .*; put that base back"):
        transfercli.analyze(study)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        transfercli.draw(study)
    assert [one.category for one in warned if one.category is TransferWarning] == [TransferWarning]


def test_run_tells_each_result_as_it_is_there(pictures: Path, recipe: str, tmp_path: Path) -> None:
    told: list[tuple[str, Any]] = []
    asked: list[str] = []

    @contextmanager
    def reporting(label: str) -> Any:
        asked.append(label)
        yield Reporter()

    study = Study(tmp_path / "study")
    done = transfercli.run(
        study,
        recipe,
        pictures,
        overrides=["layers=1", "treatments=AnB"],
        device="cpu",
        told=lambda *one: told.append(one),
        reporting=reporting,
    )
    assert [what for what, _ in told] == ["split", "train_base", "sweep", "plot", "write_report"]
    assert [found for _, found in told] == [done.split, done.bases, done.networks, done.figures, done.report]
    assert asked == ["bases", "sweep"] and [row["network"] for row in done.rows] == ["baseA", "baseB", "A1B"]


def test_run_ends_with_bases_that_failed(pictures: Path, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfercli.training.finish.status", lambda *_: "did not learn")
    done = transfercli.run(Study(tmp_path / "study"), recipe, pictures, device="cpu")
    assert [row["network"] for row in done.bases.failed] == ["baseA", "baseB"]
    assert (done.networks, done.figures, done.report) == (None, None, None)


def test_estimate(pictures: Path, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = transfercli.estimate(recipe, pictures, device="cpu", bank_size=3, measured=False)
    assert (found.classes, found.pictures, found.assumed, found.steps) == (CLASSES, CLASSES * TRAIN, "", 2)
    assert (found.networks, found.bank_size, max(map(len, found.banks))) == (37, 3, 3)
    assert (found.seconds_per_step, found.seconds) == (None, None)
    assert sum(map(found.multiply_adds_of, found.banks)) == found.multiply_adds
    with pytest.raises(ValueError, match="not measured"):
        found.on(2)
    monkeypatch.setattr("transfercli.training.measuring.MEASURE_SECONDS", 0.01)
    timed = transfercli.estimate(recipe, pictures, device="cpu", bank_size=3)
    assert timed.seconds is not None and timed.seconds > 0
    assert timed.on(2).timeline.end < timed.on(1).timeline.end <= timed.seconds * 1.01


def test_pack(pictures: Path, tmp_path: Path, recipe: str) -> None:
    packed = transfercli.pack(pictures, tmp_path / "store", recipe=recipe, size=13, quality=90)
    assert (packed.store.root, str(packed.store.about.form)) == (tmp_path / "store", "13×13 (warp), jpeg of quality 90")
    assert packed.changes == ["--set pictures.size=13"]
    assert packed.bytes == sum(path.stat().st_size for path in packed.store.root.glob("*.arrow"))
    again = transfercli.pack(pictures, tmp_path / "store")
    assert again.store.about == packed.store.about  # as it is there already


def test_the_help_of_pack_names_the_default() -> None:
    from transfercli.cli.pack import pack

    (option,) = [one for one in pack.params if one.name == "quality"]
    assert f"by default {QUALITY}." in option.help  # type: ignore[attr-defined]


def test_layers_and_recipes(tmp_path: Path) -> None:
    described = transfercli.layers("demo", 10)
    assert (described.classes, described.table["shape"].iloc[-1], len(described.table)) == (10, (10,), 8)
    assert transfercli.layers("yosinski2014").classes == 500
    assert "demo" in transfercli.recipe_names()
    assert transfercli.find_recipe("demo", ["training.batch=7"]).training.batch == 7
    copied = transfercli.copy_recipe("demo", tmp_path / "mine.yaml")
    assert transfercli.find_recipe(str(copied)) == transfercli.find_recipe("demo")
    assert [key.path for key in transfercli.recipe_keys("training.batch")] == ["training.batch"]


@pytest.mark.slow
def test_a_table_may_come_from_anywhere(tmp_path: Path) -> None:
    analysis = transfercli.analyze(transfercli.published_table(), "best10")
    assert analysis.judged and len(analysis.answer) == 3
    assert isinstance(analysis.networks, pd.DataFrame) and len(analysis.networks) == len(transfercli.published_table())
    alone = transfercli.plot(Study(tmp_path / "none"), paper=True)
    assert alone.paper_alone and {path.parent for path in alone.paths} == {tmp_path / "paper-2014"}


# -- errors


Call = Callable[[Study], object]
REFUSED: dict[str, Call] = {
    "train-base": lambda study: transfercli.train_base(study),
    "sweep": lambda study: transfercli.sweep(study),
    "plot": lambda study: transfercli.draw(study),
    "report": lambda study: transfercli.write_report(study),
    "analyze": lambda study: transfercli.analyze(study),
    "compare": lambda study: transfercli.compare(study),
    "status": lambda study: transfercli.status(study),
    "verify": lambda study: transfercli.verify(study),
    "run none.yaml": lambda study: transfercli.run(study, "none.yaml"),
    "split none": lambda study: transfercli.split(study, "none"),
    "split --recipe none": lambda study: transfercli.split(study, recipe="none"),
    "split --method halves.txt": lambda study: transfercli.split(study, splits="halves.txt"),
    "plan none": lambda study: transfercli.estimate("none"),
    "plan demo none": lambda study: transfercli.estimate("demo", "none"),
    "layers none": lambda study: transfercli.layers("none"),
    "pack none --out store": lambda study: transfercli.pack("none", "store"),
    "recipes show none": lambda study: transfercli.find_recipe("none"),
    "recipes copy demo mine.txt": lambda study: transfercli.copy_recipe("demo", "mine.txt"),
    "recipes keys none": lambda study: transfercli.recipe_keys("none"),
}


@pytest.mark.parametrize("words", REFUSED)
def test_errors_are_the_commands(transfer: Callable[..., Said], tmp_path: Path, words: str) -> None:
    """In an empty folder; nothing is written by either."""
    said = transfer(*words.split())
    with pytest.raises(TransferError) as error:
        REFUSED[words](Study("results/study"))
    assert said == (1, "", f"Error: {error.value}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: transfercli.sweep(s, layers=[3, 8]), "layer 8 cannot be transferred in a network of 8 layers"),
        (
            lambda s: transfercli.sweep(s, treatments=["CnC"]),
            f"unknown treatment 'CnC'; choose from {','.join(SWEPT)}",
        ),
        (lambda s: transfercli.sweep(s, targets="C"), "unknown target 'C'; choose from A,B,alternate,T"),
        (lambda s: transfercli.train_base(s, ["C"]), "unknown half 'C'; choose from A,B"),
        (lambda s: transfercli.analyze(s, "worst"), "no metric is called 'worst'; choose from last, best10, balanced"),
        (
            lambda s: transfercli.train_base(s, device="tpu"),
            "no device is called 'tpu'; choose from auto, cpu, ",
        ),
        (lambda s: transfercli.pack(s.root / "pictures", s.root / "store", fit="pad"), "no store is of that form: fit: "),
    ],
)
def test_what_a_flag_refuses_an_argument_refuses_too(study: Study, call: Call, message: str) -> None:
    with pytest.raises(TransferError) as error:
        call(study)
    assert str(error.value).startswith(message)


def test_a_strangers_study_is_looked_at_first(study: Study, tmp_path: Path) -> None:
    (study.root / "figures").symlink_to(tmp_path)
    for words in ("train-base", "sweep", "plot", "report", "analyze", "compare", "status", "verify"):
        with pytest.raises(TransferError, match="is a link, and a study holds none; remove it, or start a new study"):
            REFUSED[words](study)
    with pytest.raises(TransferError, match="is a link, and a study holds none"):
        transfercli.split(study)
