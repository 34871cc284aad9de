"""Commands, typed as a person types them: what they print, what they leave in the folder, what they say comes next."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pandas
import pytest
import torch
from conftest import CLASSES, SIZE, TRAIN, VAL, Said, tiny_recipe

from transfercli.cli import progress, show
from transfercli.pictures import formula
from transfercli.plan.networks import bases, transfers
from transfercli.recipe import reading as recipes
from transfercli.study.folder import Study

Transfer = Callable[..., Said]
BUILTIN = {"builtin": {"classes": CLASSES, "train": TRAIN, "val": VAL}}
HALF = f"{CLASSES // 2} classes, {CLASSES // 2 * TRAIN} training and {CLASSES // 2 * VAL} validation pictures"


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """A recipe file with built-in pictures: two steps, too short to teach a network anything."""
    made = tiny_recipe({"pictures": BUILTIN, "training": {"steps": 2, "schedule": {"name": "constant", "rate": 1e-6}}})
    made = made.model_copy(update={"targets": ("B",), "layers": (1, 7), "treatments": ("AnB", "RnB")})
    (tmp_path / "tiny.yaml").write_text(recipes.dump(made))
    return "tiny.yaml"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of pictures that a person brings."""
    formula.write(tmp_path / "pictures", CLASSES, TRAIN, VAL, SIZE, seed=1)
    return Path("pictures")


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and "pictures" not in path.parts)


def lines(text: str) -> list[str]:
    """A command's lines, numbers with three decimals as 0.5 (they are tested elsewhere) and columns one space apart."""
    return [re.sub(r" +", " ", re.sub(r"\d\.\d{3}\*?", "0.5", line)).strip() for line in text.splitlines()]


# -- the four commands


def test_the_four_commands_one_after_another(transfer: Transfer, recipe: str, tmp_path: Path) -> None:
    """In an empty folder, without saying where the study is: each says what it made and what comes next."""
    said = transfer("split", "--recipe", recipe)
    assert said.out.splitlines() == [
        f"random-0 A: {HALF}",
        f"random-0 B: {HALF}",
        "Split: results/study/random-0/split.json",
        "Recipe: results/study/recipe.yaml (tiny)",
        "Next: transfer train-base",
    ]
    assert (said.code, said.err) == (0, "")

    said = transfer("train-base", "--device", "cpu")
    first, *table, made, following = said.out.splitlines()
    assert first == "split     seed  network  top-1  top-5   loss  status"
    assert [line.split()[:3] for line in table] == [["random-0", "0", "baseA"], ["random-0", "0", "baseB"]]
    assert (made, following) == ("Table: results/study/results.csv", "Next: transfer sweep --device cpu")
    assert re.match(r"2 of 2 networks to train, on cpu.* in float32\n", said.err)

    said = transfer("sweep", "--layers", "1-7", "--treatments", "AnB,RnB", "--device", "cpu")
    assert lines(said.out)[:9] == [
        "",
        "random-0, target A: top-1 accuracy (chance 0.5)",
        "n=0",
        "baseA 0.5",
        "",
        "random-0, target B: top-1 accuracy (chance 0.5)",
        "n=0 n=1 n=2 n=3 n=4 n=5 n=6 n=7",
        "baseB 0.5",
        "AnB 0.5 0.5 0.5 0.5 0.5 0.5 0.5",
    ]
    assert said.out.splitlines()[-2:] == ["Table: results/study/results.csv", "Next: transfer plot"]
    assert len(pandas.read_csv(tmp_path / "results/study/results.csv")) == 2 + 2 * 7

    said = transfer("plot")
    figures = [line.removeprefix("Figure: ").removesuffix(" (and .svg)") for line in said.out.splitlines()[:-1]]
    assert "results/study/figures/accuracy-vs-layer.png" in figures
    for figure in figures:
        assert (tmp_path / figure).stat().st_size and (tmp_path / figure).with_suffix(".svg").stat().st_size
    assert said.out.splitlines()[-1] == "Next: transfer analyze"


@pytest.mark.slow
def test_run_is_the_four_commands_and_goes_on_where_it_was(transfer: Transfer, recipe: str, tmp_path: Path) -> None:
    said = transfer("run", recipe, "--study", "mine", "--device", "cpu")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "Next: transfer analyze --study mine"
    rows = sorted((tmp_path / "mine").glob("random-0/*/row.json"))
    assert [row.parent.name for row in rows] == ["A1B", "A7B", "R1B", "R7B", "baseA", "baseB"]

    shutil.rmtree(rows[0].parent)
    before = {row: row.stat().st_mtime_ns for row in rows[1:]}
    said = transfer("run", recipe, "--study", "mine", "--device", "cpu")
    assert said.err.count("0 of 2 networks to train") == 1 and said.err.count("1 of 4 networks to train") == 1
    assert {row: row.stat().st_mtime_ns for row in rows[1:]} == before
    assert rows[0].exists()


def test_run_takes_pictures_that_a_person_brings(transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    made = tiny_recipe({"training": {"steps": 1}}).model_copy(update={"layers": (4,), "treatments": ("BnB+",)})
    (tmp_path / "plain.yaml").write_text(recipes.dump(made))
    assert transfer("run", "plain.yaml", pictures, "--study", "mine", "--device", "cpu").code == 0
    values = json.loads((tmp_path / "mine/random-0/split.json").read_text())
    assert values["folder"] == str(tmp_path / "pictures")
    assert values["A"]["train"] == values["B"]["train"] == CLASSES // 2 * TRAIN
    assert sorted((*values["A"]["classes"], *values["B"]["classes"])) == list(formula.class_names(CLASSES))


def test_a_smoke_run_has_a_folder_of_its_own(transfer: Transfer, recipe: str, tmp_path: Path) -> None:
    said = transfer("split", "--recipe", recipe, "--smoke")
    assert said.out.splitlines()[-1] == "Next: transfer train-base --smoke"
    said = transfer("train-base", "--smoke")
    assert said.out.splitlines()[-1] == "Next: transfer sweep --smoke"
    said = transfer("sweep", "--layers", "7", "--smoke")
    assert said.out.splitlines()[-2:] == [
        "A smoke run only shows that everything works; its numbers mean nothing.",
        "Next: transfer plot --smoke",
    ]
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["study-smoke"]
    assert transfer("status", "--study", "results/study-smoke", "--smoke").code == 0  # not study-smoke-smoke


@pytest.mark.slow
def test_the_smoke_demo_ends_in_less_than_30_seconds(tmp_path: Path) -> None:
    """All of it, the import of torch too, in an empty folder."""
    began = time.monotonic()
    command = [sys.executable, "-m", "transfercli", "demo", "--smoke", "--study", "X"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["X-smoke"]
    assert len(pandas.read_csv(tmp_path / "X-smoke/results.csv")) == 2 + 28 + 7
    assert done.stdout.splitlines()[-1] == "Next: transfer analyze --study X-smoke"


def test_the_study_may_be_named_by_the_environment(
    transfer: Transfer, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFER_STUDY", "from environment")
    assert transfer("split", "--recipe", recipe).out.splitlines()[-1] == "Next: transfer train-base"
    assert (tmp_path / "from environment/recipe.yaml").exists()
    said = transfer("split", "--recipe", recipe, "--study", "a flag's")
    assert said.out.splitlines()[-1] == """Next: transfer train-base --study 'a flag'"'"'s'"""
    assert (tmp_path / "a flag's/recipe.yaml").exists()


# -- split


def test_a_split_by_seed_adds_to_those_there_are(transfer: Transfer, recipe: str, tmp_path: Path) -> None:
    transfer("split", "--recipe", recipe)
    said = transfer("split", "--seed", "3")
    assert said.out.splitlines()[:3] == [f"random-3 A: {HALF}", f"random-3 B: {HALF}", "Split: results/study/random-3/split.json"]
    assert transfer("split", "--method", "random").out.startswith("random-0 A")
    assert transfer("split", "--method", "man-made-natural").out.startswith("man-made-natural A")
    study = Study(tmp_path / "results/study")
    assert study.split_names() == ["man-made-natural", "random-0", "random-3"]
    assert study.halves("random-0").split != study.halves("random-3").split
    assert all(name.startswith("natural-") for name in study.halves("man-made-natural").split.A)


@pytest.mark.parametrize("most", [CLASSES, 5])
def test_a_split_by_file(transfer: Transfer, recipe: str, pictures: Path, tmp_path: Path, most: int) -> None:
    """The file lists all classes of the pictures, also where the recipe takes only some: these come from both halves."""
    names = formula.class_names(CLASSES)
    halves = {name: "B" if index < 3 else "A" for index, name in enumerate(names)}
    text = "".join(f"{name},{half}\n" for name, half in halves.items())
    (tmp_path / "mine.csv").write_text("class,half\n" + text)
    said = transfer("split", pictures, "--method", "mine.csv", "--recipe", recipe, "--set", f"pictures.classes={most}")
    assert said.code == 0, said.err
    values = json.loads((tmp_path / "results/study/mine/split.json").read_text())
    assert (len(values["A"]["classes"]), len(values["B"]["classes"])) == ((5, 3) if most == CLASSES else (2, 3))
    assert all(halves[name] == half for half in "AB" for name in values[half]["classes"])
    assert values["method"] == "mine.csv" and values["seed"] is None
    said = transfer("train-base", "--device", "cpu")
    assert said.code == 0, said.err


def test_a_split_of_some_classes_by_file(transfer: Transfer, recipe: str, pictures: Path, tmp_path: Path) -> None:
    """What the file does not list is left out, and said; it need not even be readable."""
    names = formula.class_names(CLASSES)
    lines = [f"{number},{name},{half},a remark" for number, (name, half) in enumerate(zip(names, "AABBAB", strict=False))]
    (tmp_path / "mine.csv").write_text("\n".join(["number,class,half,", *lines, ""]))
    for path in (pictures / "train" / names[-1]).iterdir():
        path.write_bytes(b"")
    said = transfer("split", pictures, "--method", "mine.csv", "--recipe", recipe)
    assert said.code == 0, said.err
    assert said.out.splitlines()[0] == f"mine: 2 of {CLASSES} classes are not in mine.csv and left out: {', '.join(names[6:])}"
    halves = Study(tmp_path / "results/study").halves("mine")
    expected = {half: tuple(names[i] for i in places) for half, places in (("A", (0, 1, 4)), ("B", (2, 3, 5)))}
    assert {half: halves.split.classes(half) for half in "AB"} == expected
    assert halves.counts == {half: {"train": 3 * TRAIN, "val": 3 * VAL} for half in "AB"}
    assert transfer("train-base", "--device", "cpu").code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "split file mine.csv does not exist; give a CSV file with the header class,half"),
        ("class,side\n", "split file mine.csv begins with 'class,side'; make its first line class,half"),
        ("class,half\nelk,A\nyak,B\n", "split file mine.csv: not among the pictures' classes: 'elk', 'yak'"),
    ],
)
def test_a_wrong_file_is_told_before_any_picture_is_decoded(
    transfer: Transfer,
    recipe: str,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str | None,
    message: str,
) -> None:
    def decoded(*_: object) -> None:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr("transfercli.pictures.decode.examine", decoded)
    if text is not None:
        (tmp_path / "mine.csv").write_text(text)
    for words in (("--method", "mine.csv"), ("--set", "splits=mine.csv")):
        said = transfer("split", pictures, "--recipe", recipe, *words)
        assert (said.code, said.out) == (1, "")
        assert said.err.startswith(f"Error: {message}")


@pytest.mark.slow
def test_a_folder_after_the_demo_does_not_get_the_demos_recipe(transfer: Transfer, pictures: Path) -> None:
    assert transfer("split").code == 0
    said = transfer("split", pictures)
    assert (said.code, "Recipe: results/study/recipe.yaml (tiny-imagenet-cpu)" in said.out) == (0, True)


def test_pictures_that_moved_are_found_again_by_a_new_split(
    transfer: Transfer, recipe: str, pictures: Path, tmp_path: Path
) -> None:
    transfer("split", pictures, "--recipe", recipe)
    transfer("train-base", "--device", "cpu")
    pictures.rename("elsewhere")
    said = transfer("sweep", "--device", "cpu")
    assert (said.code, said.err.splitlines()[-1]) == (
        1,
        f"Error: the pictures of split random-0 are no longer in {tmp_path}/pictures; "
        "put them back, or say where they are now: transfer split DIR --study results/study",
    )
    assert transfer("split", "elsewhere").code == 0
    assert transfer("sweep", "--device", "cpu").code == 0


def test_builtin_pictures_that_were_removed_are_made_again(transfer: Transfer, recipe: str, tmp_path: Path) -> None:
    transfer("split", "--recipe", recipe)
    digest = Study(tmp_path / "results/study").halves("random-0").digest
    shutil.rmtree(tmp_path / "results/study/pictures")
    assert transfer("split").code == 0
    assert Study(tmp_path / "results/study").halves("random-0").digest == digest
    assert (tmp_path / "results/study/pictures/train").is_dir()


def test_before_anything_is_trained_another_recipe_may_take_over(transfer: Transfer, recipe: str, tmp_path: Path) -> None:
    transfer("split", "--recipe", recipe)
    assert transfer("split", "--recipe", recipe, "--set", "pictures.mirror=false").code == 0
    assert transfer("train-base", "--set", "training.steps=3", "--device", "cpu").code == 0
    settled = Study(tmp_path / "results/study").recipe()
    assert (settled.pictures.mirror, settled.training.steps) == (False, 3)
    assert {row["step"] for row in Study(tmp_path / "results/study").rows()} == {3}


def test_without_a_recipe_pictures_and_device_choose_it(
    transfer: Transfer, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transfercli.recipe.default import default_recipe

    assert default_recipe(None).recipe == "demo"
    for kind, chosen in (("cuda", ["tiny-imagenet", "imagenet-fast"]), ("cpu", ["tiny-imagenet-cpu", "tiny-imagenet-cpu"])):
        monkeypatch.setattr("transfercli.system.devices.pick_device", lambda name, kind=kind: torch.device(kind))
        assert [default_recipe(CLASSES).recipe, default_recipe(1000).recipe] == chosen
        assert all(re.search("Hardware .*CUDA", recipes.text(name)) for name in chosen) == (kind == "cuda")
    lines = transfer("split", pictures).out.splitlines()
    assert lines[0] == (
        f"Recipe: tiny-imagenet-cpu for {CLASSES} classes on a CPU (no CUDA device is here); "
        "another: --recipe NAME (see: transfer recipes)"
    )
    assert lines[-2] == "Recipe: results/study/recipe.yaml (tiny-imagenet-cpu)"
    assert not any("another: --recipe" in line for line in transfer("split", pictures).out.splitlines())  # it has one now


def test_a_study_is_of_one_dataset(transfer: Transfer, recipe: str, pictures: Path, tmp_path: Path) -> None:
    """Judged by the pictures, not by where they lie."""
    assert transfer("split", pictures, "--recipe", recipe).code == 0
    other = shutil.copytree(pictures, tmp_path / "other one")
    assert transfer("split", other, "--seed", "1").code == 0
    assert Study(tmp_path / "results/study").split_names() == ["random-0", "random-1"]
    first = min((other / "train").rglob("*.png"))
    first.write_bytes(min((other / "val").rglob("*.png")).read_bytes() + b"more")
    said = transfer("split", other, "--seed", "2")
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        f"Error: the pictures in {other} are not those of the split random-0 in results/study, and a study is of one dataset; "
        f"start a new one: transfer split '{other}' --study NEW\n"
    )
    for part in ("train", "val"):
        (other / part / "one more class").mkdir()
        shutil.copy(max((other / part).rglob("*.png")), other / part / "one more class")
        shutil.rmtree(min((other / part).glob("*-*")))
    said = transfer("split", other, "--method", "man-made-natural")
    assert said.code == 1 and "not those of the split random-0" in said.err
    assert Study(tmp_path / "results/study").split_names() == ["random-0", "random-1"]
    assert transfer("split", "--method", "man-made-natural").code == 0  # of its own pictures


# -- sweep


def test_a_sweep_takes_layers_treatments_and_targets(transfer: Transfer, study: Study) -> None:
    words = ("--layers", "2,6-7", "--treatments", "AnB+,BnB", "--targets", "A,B", "--device", "cpu", "--bank-size", "2")
    assert transfer("sweep", *words, "--study", "study").code == 0
    names = {row["network"] for row in study.rows()} - {"baseA", "baseB"}
    assert names == {
        f"{source}{n}{target}" for n in (2, 6, 7) for source, target in (("A", "A"), ("B", "B"), ("B", "A+"), ("A", "B+"))
    }


# -- what is there


def test_status_shows_what_is_done_running_and_to_do(transfer: Transfer, study: Study) -> None:
    recipe = study.recipe().model_copy(update={"targets": ("B",), "layers": (1, 2), "treatments": ("AnB", "RnB")})
    study.write_recipe(recipe)
    row = study.root / "random-0/baseA/row.json"
    row.write_text(json.dumps({**json.loads(row.read_text()), "status": "did not learn"}))
    row = study.root / "random-0/baseB/row.json"
    row.write_text(json.dumps({**json.loads(row.read_text()), "status": "done"}))
    planned = transfers(["random-0"], [0], "B", [1, 2], ["AnB", "RnB"])
    with study.held(planned[:2]):
        said = transfer("status", "--study", "study")
    assert said.out.splitlines()[:7] == [
        "split     seed  target  treatment     n=0  n=1  n=2",
        "random-0     0  A       base       failed",
        "random-0     0  B       base         done",
        "random-0     0  B       AnB                now  now",
        "random-0     0  B       RnB                  -    -",
        "",
        "2 of 6 networks are done (1 failed: they learned nothing, or diverged), 2 running (now), 2 to do (-)",
    ]
    assert re.fullmatch(r"Process \d+ has been at work since [-0-9]+ [:0-9]+[-+:0-9]*", said.out.splitlines()[7])

    assert transfer("status", "--study", "study").out.splitlines()[-2:] == [
        "",
        "2 of 6 networks are done (1 failed: they learned nothing, or diverged), 0 running (now), 4 to do (-)",
    ]  # and no hint: a sweep from a base that failed is refused
    shutil.rmtree(row.parent)
    assert transfer("status", "--study", "study").out.splitlines()[-1] == "Next: transfer train-base --study study"


def test_status_of_a_study_that_is_done(transfer: Transfer, study: Study) -> None:
    study.write_recipe(study.recipe().model_copy(update={"targets": ("B",), "layers": (7,), "treatments": ("RnB",)}))
    transfer("sweep", "--study", "study", "--device", "cpu")
    said = transfer("status", "--study", "study")
    assert re.match(r"3 of 3 networks are done.*, 0 running \(now\), 0 to do \(-\)", said.out.splitlines()[-2])
    assert said.out.splitlines()[-1] == "Next: transfer plot --study study"


def test_the_table_averages_seeds_and_marks_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    def row(network: str, treatment: str, layer: int, seed: int, top1: float | None, status: str = "done") -> dict:
        about = {"split": "s", "seed": seed, "network": network, "treatment": treatment, "target": "B", "layer": layer}
        return {**about, "top1": top1, "status": status, "classes": 4}

    table = pandas.DataFrame(
        [
            *(row("baseB", "base", 0, seed, 0.5 + seed / 10) for seed in (0, 1)),
            row("A1B", "AnB", 1, 0, 0.4),
            row("A1B", "AnB", 1, 1, 0.25, "did not learn"),
            row("A2B", "AnB", 2, 0, None, "diverged at step 3"),
            *(row(f"R{n}B", "RnB", n, 0, 0.25, "did not learn") for n in range(1, 10)),
        ]
    )
    show.results(table[table["treatment"] != "RnB"])
    assert capsys.readouterr().out.splitlines() == [
        "",
        "s, target B: top-1 accuracy (chance 0.250), mean of 2 seeds",
        "         n=0     n=1  n=2",
        "baseB  0.550",
        "AnB           0.400*   –*",
        "* s, did not learn: A1B",
        "* s, diverged at step 3: A2B",
        "",
    ]
    show.results(table)
    assert "* s, did not learn: A1B R1B R2B R3B R4B R5B R6B R7B and 2 more (results.csv names them)\n" in capsys.readouterr().out


def test_random_features_that_learned_nothing_are_in_the_mean_and_marked(capsys: pytest.CaptureFixture[str]) -> None:
    about = {"split": "s", "network": "R1B", "treatment": "RnB", "target": "B", "layer": 1, "classes": 4}
    rows = [(0, 0.45, "done"), (1, 0.25, "did not learn"), (2, None, "diverged at step 3")]
    show.results(pandas.DataFrame([{**about, "seed": seed, "top1": top1, "status": status} for seed, top1, status in rows]))
    assert "RnB  0.350*" in [" ".join(line.split()).replace(" ", "  ") for line in capsys.readouterr().out.splitlines()]


def test_where_classes_are_unequal_balanced_accuracies_stand_beside(capsys: pytest.CaptureFixture[str]) -> None:
    about = {"split": "s", "seed": 0, "network": "baseB", "treatment": "base", "target": "B", "layer": 0, "classes": 2}
    row = {**about, "top1": 0.9, "balanced_top1": 0.6, "chance": 0.8, "status": "done"}
    show.results(pandas.DataFrame([row]))
    assert capsys.readouterr().out.splitlines() == [
        "",
        "s, target B: top-1 accuracy (chance 0.800)",
        "         n=0",
        "baseB  0.900",
        "",
        "s, target B: balanced accuracy, in which each class counts alike (chance 0.500)",
        "         n=0",
        "baseB  0.600",
        "",
    ]
    show.results(pandas.DataFrame([{**row, "balanced_top1": 0.9, "chance": 0.5}]))
    assert "balanced" not in capsys.readouterr().out


def test_a_network_without_a_loss_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show.networks(
        [{"split": "s", "seed": 0, "network": "baseB", "top1": 0.25, "top5": 1.0, "loss": None, "status": "diverged at step 3"}]
    )
    assert capsys.readouterr().out.splitlines() == [
        "split  seed  network  top-1  top-5  loss  status",
        "s         0  baseB    0.250  1.000     –  diverged at step 3",
    ]


# -- recipes, layers, plot


def test_recipes_are_listed_shown_and_copied(transfer: Transfer, tmp_path: Path) -> None:
    listed = transfer("recipes")
    assert listed == transfer("recipes", "list")
    assert [line.split()[0] for line in listed.out.splitlines()[1:-2]] == recipes.names()
    assert listed.out.splitlines()[-1] == "Next: transfer recipes show NAME"
    for name in recipes.names():
        assert f"{recipes.find(name).about}\n" in listed.out
        assert transfer("recipes", "show", name).out == recipes.text(name)

    assert transfer("recipes", "copy", "demo").out == "Recipe: demo.yaml\nNext: change it, then: transfer run demo.yaml\n"
    said = transfer("recipes", "copy", "tiny-imagenet", "sub/mine.yaml")
    assert said.out == "Recipe: sub/mine.yaml\nNext: change it, then: transfer run sub/mine.yaml DIR\n"
    assert (tmp_path / "sub/mine.yaml").read_text() == recipes.text("tiny-imagenet")
    assert transfer("recipes", "copy", "sub/mine.yaml").out.startswith("Recipe: mine.yaml\n")
    assert files(tmp_path) == ["demo.yaml", "mine.yaml", "sub/mine.yaml"]


def test_layers_are_counted_as_the_paper_counts_them(transfer: Transfer) -> None:
    said = transfer("layers", "yosinski2014")
    table = said.out.splitlines()
    assert table[0] == "yosinski2014: caffenet, pictures of 227×227, 500 classes in a half"
    assert [line.split()[:2] for line in table[3:11]] == [[str(n), f"{'conv' if n < 6 else 'fc'}{n}"] for n in range(1, 9)]
    assert table[11].split() == ["all", "60,965,224", "724,406,816"]  # as Caffe counts bvlc_reference_caffenet


@pytest.mark.parametrize(("words", "classes"), [((), 10), (("--classes", "7"), 7), (("--set", "pictures.builtin.classes=6"), 3)])
def test_layers_of_a_half_as_the_recipe_or_the_flag_says(transfer: Transfer, words: tuple[str, ...], classes: int) -> None:
    table = transfer("layers", "demo", *words).out.splitlines()
    assert table[0] == f"demo: small, pictures of 28×28, {classes} classes in a half"
    assert table[10].split()[:4] == ["8", "fc8", "fc8", str(classes)]


def test_plot_draws_the_published_study_where_there_is_none(transfer: Transfer, tmp_path: Path) -> None:
    said = transfer("plot", "--paper")
    assert said.out.splitlines() == [
        "No network in results/study is done: these are the published values alone.",
        "Figure: results/paper-2014/accuracy-vs-layer.png (and .svg)",
        "Figure: results/paper-2014/drop-vs-layer.png (and .svg)",
    ]
    assert files(tmp_path) == [
        f"results/paper-2014/{figure}.{kind}" for figure in ("accuracy-vs-layer", "drop-vs-layer") for kind in ("png", "svg")
    ]


def test_plot_draws_where_it_is_told(transfer: Transfer, study: Study, tmp_path: Path) -> None:
    said = transfer("plot", "--paper", "--study", "study", "--out", "here")
    assert said.out.splitlines()[0] == "Figure: here/accuracy-vs-layer.png (and .svg)"
    assert (tmp_path / "here/accuracy-vs-layer.svg").exists() and not (study.root / "figures").exists()


# -- progress


def test_progress_without_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.counting("sweep", 10_000) as advance:
        for second, count in ((1, 500), (20, 475), (21, 25), (31, 250), (41, 250), (61, 0), (3661, 0), (3681, 500)):
            clock[0] = second
            advance(count)
    assert capsys.readouterr().err.splitlines() == [
        "sweep: 975 of 10000, 25/s, 6:01 left",
        "sweep: 1500 of 10000, 25/s, 5:40 left",
        "sweep: 1500 of 10000, waiting",
        "sweep: 1500 of 10000, waiting",
        "sweep: 2000 of 10000, 0.18/s, 12:37:42 left",
    ]


def uneven_sweep(banks: int, steps: int, pause: float) -> Iterator[tuple[float, int, float]]:
    """(second, network-steps, share done) of a sweep of two targets in banks of 14 networks, of which a frozen one costs half
    of a fine-tuned one; ten times in a bank all are measured, which takes the `pause`; no two steps take as long.
    """
    second, total = 0.0, banks * steps * 14
    costs = (1.5, 1.5, 1.0, 1.5, 1.5)  # BnB and BnB+, AnB and AnB+, RnB and the next target's BnB, ...
    for bank in range(banks):
        for step in range(1, steps + 1):
            second += costs[bank % 5] * (0.7 + 0.6 * (37 * step % 11) / 10)
            second += pause * (step % (steps // 10) == 1)
            yield second, 14, (bank * steps + step) * 14 / total


@pytest.mark.parametrize(("banks", "pause"), [(1, 0.0), (1, 8.0), (5, 8.0), (15, 8.0)])
def test_the_time_left_is_steady(banks: int, pause: float) -> None:
    """Through pauses, and banks that cost more than others, the time that a run is said to take in all is near the true one."""
    sweep = list(uneven_sweep(banks, 400, pause))
    pace, true = progress.Pace(), sweep[-1][0]
    said = []
    for second, count, share in sweep:
        pace = pace.after(count, second)
        if second > 60:
            said.append((second + (1 - share) * len(sweep) * 14 / pace.rate) / true)
    assert min(said) > 0.85 and max(said) < 1.15
    moves = [abs(after / before - 1) for before, after in pairwise(said)]
    assert max(moves) < 0.15


def test_what_a_checkpoint_held_is_no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    said: list[str] = []
    tally = progress.Tally(1000, lambda tally: said.append(str(tally)))
    for second, done, held in ((0, 0, 500), (30, 10, 0), (31, 10, 0), (32, 10, 0), (90, 0, -30), (99, 10, 0), (100, 10, 0)):
        clock[0] = second
        tally.held(held) if held else tally.advance(done)
    assert said == ["", "", "10/s, 0:48 left", "10/s, 0:47 left", "10/s, 0:50 left", "10/s, 0:49 left", "10/s, 0:48 left"]


def test_it_says_how_many_workers_are_at_work(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.reporting("networks") as reporter:
        reporter.working(1, 2)  # of nothing
        reporter.total(1000)
        for second in (10, 40):
            clock[0] = second
            reporter.advance(100)
        clock[0] = 70
        reporter.working(1, 2)
    assert capsys.readouterr().err.splitlines()[-1] == "networks: 200 of 1000, 1 of 2 at work, waiting"


def test_a_machine_that_slows_down_is_found_out() -> None:
    pace = progress.Pace()
    for second in (*range(10_000), *range(10_000, 16_000, 3)):
        pace = pace.after(30, second)
    assert pace.rate == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_bar_is_one_line(columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    with progress.counting("checking pictures", 1_281_167) as advance:
        for second, count in ((1, 100), (2, 100), (3, 100_000)):
            clock[0] = second
            advance(count)
    said = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", said) if line.strip()]
    assert all(line.startswith("checking pictures ") for line in lines)
    assert re.search(r"━ +100200/1281167 \S+/s, \d+:\d\d left$", lines[-1]) and len(lines[-1]) <= min(columns, 100)


def test_progress_on_a_terminal_is_a_bar_with_lines_above(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`say` must go through the bar: what goes around it is written into the bar's own line."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress.reporting("sweep") as reporter:
        reporter.total(20)
        reporter.advance(5)
        reporter.say("random-0 A3B: did not learn")
        reporter.advance(15)
    said = capsys.readouterr().err
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said)
    assert re.search(r"(\r|\n)random-0 A3B: did not learn\n", plain)
    assert re.search(r"sweep ━+ 20/20 in 0:00", plain)


def test_progress_of_nothing_to_do_shows_no_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with progress.reporting("sweep") as reporter:
        reporter.total(0)
        reporter.advance(0)
    assert capsys.readouterr().err == ""


def test_every_planned_network_has_a_place_in_the_status_table(transfer: Transfer, split_study: Study) -> None:
    recipe = split_study.recipe()
    planned = bases(["random-0"], recipe.seeds) + transfers(
        ["random-0"], recipe.seeds, recipe.targets, recipe.swept, recipe.treatments
    )
    body = transfer("status", "--study", split_study.root).out.splitlines()[1:]
    cells = [word for line in body[: body.index("")] for word in line.split()[4:]]
    assert cells == ["-"] * len(planned)
