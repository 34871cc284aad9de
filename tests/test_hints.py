"""What commands say comes next: each hint is typed, and does what the study's recipe says. And the study, named anywhere."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CLASSES, SIZE, TRAIN, VAL, Said, tiny_recipe, with_slow

from transfercli.pictures import formula
from transfercli.plan.networks import named, needed_bases, transfers
from transfercli.recipe import reading as recipes
from transfercli.study.folder import Study
from transfercli.study.hints import command

Transfer = Callable[..., Said]
BUILTIN = {"builtin": {"classes": CLASSES, "train": TRAIN, "val": VAL}}


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """A recipe file with built-in pictures, two steps, and networks of the layers 1 and 3 alone."""
    made = tiny_recipe({"pictures": BUILTIN, "training": {"steps": 2}})
    made = made.model_copy(update={"targets": ("B",), "layers": (1, 3), "treatments": ("BnB", "AnB")})
    (tmp_path / "my recipe.yaml").write_text(recipes.dump(made))
    return "my recipe.yaml"


def hint(said: Said) -> list[str]:
    """The words of the hint with which a command ended."""
    last = said.out.splitlines()[-1]
    assert last.startswith("Next: transfer "), said
    return shlex.split(last.removeprefix("Next: transfer "))


def trained(study: str) -> set[str]:
    return {row["network"] for row in Study(Path(study)).rows()}


# -- hints that are typed

OTHER, SMOKE = ("--study", "my study"), ("--smoke",)


@pytest.mark.parametrize("place", with_slow([(), OTHER, SMOKE], [OTHER, SMOKE]), ids=["usual", "other", "smoke"])
def test_from_split_to_report_by_hints_alone(transfer: Transfer, recipe: str, place: tuple[str, ...]) -> None:
    said, seen = transfer("split", "--recipe", recipe, *place), []
    while said.out.splitlines()[-1].startswith("Next: "):
        words = hint(said)
        seen.append(words[0])
        said = transfer(*words)
        assert said.code == 0, said.err
    assert seen == ["train-base", "sweep", "plot", "analyze", "report"]
    assert trained({(): "results/study", ("--smoke",): "results/study-smoke"}.get(place, "my study")) == {
        *("baseA", "baseB", "B1B", "B3B", "A1B", "A3B")
    }


def test_a_hint_trains_where_and_as_the_command_before_it(transfer: Transfer, recipe: str) -> None:
    transfer("split", "--recipe", recipe)
    flags = ("--device", "cpu", "--bank-size", "3", "--accept-change")
    assert hint(transfer("train-base", *flags)) == ["sweep", *flags]
    assert hint(transfer("train-base")) == ["sweep"]
    transfer("sweep")
    assert hint(transfer("train-base", *flags)) == ["plot"]  # which trains nothing


@pytest.mark.slow
def test_the_hint_of_a_plan_runs_what_was_planned(transfer: Transfer, recipe: str) -> None:
    words = ("--set", "layers=7", "--set", "about=two words", "--device", "cpu")
    said = transfer("plan", recipe, *words)
    assert hint(said) == ["run", recipe, *words]
    assert transfer(*hint(said)).code == 0
    assert trained("results/study") == {"baseA", "baseB", "B7B", "A7B"}


def test_the_hint_of_a_store_splits_what_was_packed(transfer: Transfer, recipe: str, tmp_path: Path) -> None:
    formula.write(tmp_path / "pictures", CLASSES, TRAIN, VAL, SIZE, seed=1)
    said = transfer("pack", "pictures", "--out", "my store", "--recipe", recipe, "--set", "pictures.classes=6", "--size", "13")
    assert transfer(*hint(said)).code == 0
    own = Study(tmp_path / "results/study").recipe()
    assert (own.pictures.size, own.pictures.classes) == (13, 6)


def test_a_copied_recipe_is_named_as_a_shell_needs_it(transfer: Transfer) -> None:
    said = transfer("recipes", "copy", "demo", "my own.yaml")
    assert said.out.splitlines()[-1] == "Next: change it, then: transfer run 'my own.yaml'"


def test_a_study_without_transfer_networks_goes_on_as_its_recipe_says(transfer: Transfer, recipe: str) -> None:
    transfer("split", "--recipe", recipe)
    transfer("train-base")
    assert hint(transfer("analyze")) == ["sweep"]
    transfer(*hint(transfer("analyze")))
    assert trained("results/study") == {"baseA", "baseB", "B1B", "B3B", "A1B", "A3B"}


def test_commands_find_the_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRANSFER_STUDY", raising=False)
    assert command("plot") == command("plot", study=Study("results/study")) == "transfer plot"
    assert command("plot", study=Study("results/study-smoke")) == "transfer plot --smoke"
    assert command("run", "a b", study=Study("c d")) == "transfer run 'a b' --study 'c d'"
    monkeypatch.setenv("TRANSFER_STUDY", "c d")
    assert command("plot", study=Study("c d")) == "transfer plot"
    assert command("plot", study=Study("results/study")) == "transfer plot --study results/study"


# -- the bases that are needed


def test_run_trains_no_base_that_nothing_needs(transfer: Transfer, recipe: str) -> None:
    said = transfer("run", recipe, "--set", "treatments=BnB", "--device", "cpu")
    assert said.code == 0, said.err
    assert trained("results/study") == {"baseB", "B1B", "B3B"}
    left = "baseA is left out: no network of the recipe needs it; to train it too: transfer train-base --halves A"
    assert left in said.out.splitlines()
    assert transfer("status").out.splitlines()[-1] == "Next: transfer plot"
    said = transfer(*shlex.split(left.partition(": transfer ")[2]))
    assert said.code == 0 and "left out" not in said.out
    assert trained("results/study") == {"baseA", "baseB", "B1B", "B3B"}


@pytest.mark.parametrize(
    ("target", "treatment", "needed"),
    [("B", "BnB+", "B"), ("B", "RnB", "B"), ("B", "AnB", "AB"), ("A", "AnB+", "AB"), ("A", "BnB", "A"), ("A", "RnB", "A")],
)
def test_what_is_copied_or_compared_with_is_needed(target: str, treatment: str, needed: str) -> None:
    planned = transfers(["s", "t"], [0, 7], [target], [2, 5], [treatment])
    assert needed_bases(planned) == [named(s, seed, f"base{half}") for s in "st" for seed in (0, 7) for half in needed]


@pytest.mark.parametrize("name", ["baseA", "B3B", "A12B+", "R7A", "B1A+"])
def test_a_name_names_its_network(name: str) -> None:
    assert named("s", 3, name).name == name
    for wrong in (name + "x", name.lower(), "", "A0B", "baseC", "C1B", "R1R"):
        with pytest.raises(ValueError):
            named("s", 3, wrong)


# -- the study, as an argument or a flag


@pytest.mark.parametrize(
    "name", with_slow(["status", "analyze", "plot", "report", "verify", "train-base", "sweep", "compare"], ["plot", "report"])
)
def test_every_command_takes_the_study_as_an_argument_or_a_flag(transfer: Transfer, study: Study, name: str) -> None:
    more = ("--layers", "7", "--treatments", "RnB") if name == "sweep" else ()
    study.write_recipe(study.recipe().model_copy(update={"layers": (7,), "treatments": ("RnB", "BnB")}))
    transfer("sweep", "--study", "study")
    flagged, named_first = transfer(name, "--study", "study", *more), transfer(name, "study", *more)
    assert flagged.code == named_first.code == 0
    assert re.sub("(this )?study", "", flagged.out) == re.sub("(this )?study", "", named_first.out)
    said = transfer(name, "study", "other", "another") if name == "compare" else transfer(name, "study", "--study", "other")
    assert said.code == 2
    twice = (
        "two studies are compared, not 3; name STUDY and OTHER" if name == "compare" else "the study is named twice, study and"
    )
    assert twice in said.err


def test_two_studies_are_compared_in_the_order_they_are_named(transfer: Transfer, study: Study, tmp_path: Path) -> None:
    study.write_recipe(study.recipe().model_copy(update={"layers": (7,), "treatments": ("BnB",)}))
    transfer("sweep", "study")
    (tmp_path / "theirs.csv").write_text((study.root / "results.csv").read_text())
    both = transfer("compare", "study", "theirs.csv")
    assert both.code == 0, both.err
    assert re.search(r"^random: study against theirs.csv", both.out)
    assert re.search(r"^random: this study against theirs.csv", transfer("compare", "theirs.csv", "--study", "study").out)


# -- errors that say what would have been right


def test_a_base_that_is_missing_is_named_with_its_seed_and_trained_by_what_is_said(transfer: Transfer, recipe: str) -> None:
    transfer("split", "--recipe", recipe)
    transfer("train-base")
    said = transfer("sweep", "--set", "seeds=0-1")
    assert said.code == 1
    assert said.err == "Error: random-0 has no baseA of seed 1 yet; train it: transfer train-base --set seeds=0,1\n"
    assert transfer(*shlex.split(said.err.partition(": transfer ")[2])).code == 0
    assert transfer("sweep", "--set", "seeds=0-1").code == 0


def test_a_base_that_the_recipe_does_not_need_is_trained_by_what_is_said(transfer: Transfer, recipe: str) -> None:
    transfer("split", "--recipe", recipe, "--set", "treatments=BnB")
    transfer("train-base")
    said = transfer("sweep", "--targets", "A")
    assert said.err == "Error: random-0 has no baseA yet; train it: transfer train-base --halves A\n"
    assert transfer(*shlex.split(said.err.partition(": transfer ")[2])).code == 0
    assert transfer("sweep", "--targets", "A").code == 0


def test_verify_says_a_problem_once_and_what_mends_it(transfer: Transfer, study: Study) -> None:
    study.write_recipe(study.recipe().model_copy(update={"layers": (2, 6), "targets": ("B",), "treatments": ("BnB", "AnB")}))
    transfer("sweep", "study", "--treatments", "AnB")
    (study.root / "random-0/baseA/weights.safetensors").write_bytes(b"")
    problems = [line for line in transfer("verify", "study").out.splitlines() if line.startswith("Problem: ")]
    assert len(problems) == 1
    assert problems[0].endswith("remove study/random-0/baseA and train it again: transfer train-base --study study")
    (study.root / "random-0/A6B/weights.safetensors").write_bytes(b"")
    problems = [line for line in transfer("verify", "study").out.splitlines() if "A6B" in line]
    words = shlex.split(problems[0].partition("again: transfer ")[2])
    assert words == ["sweep", "--layers", "6", "--treatments", "AnB", "--targets", "B", "--study", "study"]


@pytest.mark.parametrize("words", [("analyze", "--paper"), ("compare",)])
def test_a_csv_may_go_to_standard_output_and_nothing_else_does(
    transfer: Transfer, study: Study, tmp_path: Path, words: tuple[str, ...]
) -> None:
    study.write_recipe(study.recipe().model_copy(update={"layers": (7,), "treatments": ("BnB",)}))
    transfer("sweep", "study")
    written = transfer(*words, "study", "--csv", "found.csv")
    said = transfer(*words, "study", "--csv", "-")
    assert (written.code, said.code) == (0, 0)
    assert said.out == (tmp_path / "found.csv").read_text() and "quantity,layer," in said.out.splitlines()[0]
    assert not (tmp_path / "-").exists()


def test_an_error_names_a_folder_as_a_shell_takes_it(transfer: Callable[..., Said], tmp_path: Path) -> None:
    said = transfer("train-base", "--study", "my study")
    assert said.err == "Error: no study in my study; start one: transfer split DIR --study 'my study'\n"
