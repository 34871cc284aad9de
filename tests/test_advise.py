"""`transfer advise`: the plan that fits, the answer that stays the same, the network that is handed over, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import Said
from safetensors.torch import load_file, save
from torchvision import models

from transfercli.advice import kept as keeping
from transfercli.advice.answer import answer
from transfercli.advice.arms import FAMILIES, beyond, rates, ways
from transfercli.advice.extending import planned
from transfercli.advice.fitting import LEAST_STEPS, READ, RESERVE, SPARE, Work, fit, usual_steps
from transfercli.advice.kept import Asked
from transfercli.pictures import formula
from transfercli.recipe import reading as recipes
from transfercli.study.folder import Study
from transfercli.study.settling import cut
from transfercli.system.errors import TransferError
from transfercli.training.bank import Bank
from transfercli.training.measuring import Pace

NAME = "shufflenet_v2_x0_5"
CLASSES, TRAIN, VAL = 4, 10, 8
SETTINGS = {
    "pictures.size": 36,
    "pictures.crop": 32,
    "training.steps": 3,
    "training.batch": 8,
    "training.precision": "float32",
    "evaluation.times": 1,
    "network.cut": "[stage3.0.branch1.0, conv5.0, fc]",
}
SET = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a file of weights."""
    root = tmp_path_factory.mktemp("advise")
    formula.write(root / "pictures", CLASSES, TRAIN, VAL, 40, 3, lambda count: None)
    torch.manual_seed(5)
    torch.save(models.get_model(NAME, weights=None, num_classes=3).state_dict(), root / "mine.pth")
    return root


@pytest.fixture
def words(place: Path) -> list[str]:
    return ["advise", str(place / "pictures"), "--from", str(place / "mine.pth"), "--network", f"torchvision/{NAME}", *SET]


@pytest.fixture(scope="module")
def advised(place: Path) -> Path:
    """A study that was advised in one go."""
    from transfercli.cli import main

    study = place / "whole"
    words = ["advise", place / "pictures", "--from", place / "mine.pth", "--network", f"torchvision/{NAME}", *SET]
    main([str(word) for word in [*words, "--repeats", "2", "--fresh", "--study", study, "--export", place / "out.safetensors"]])
    return study


class Killed(BaseException):
    pass


@pytest.mark.slow
def test_the_same_words_whoever_asks_and_however_often_it_was_killed(
    advised: Path, words: list[str], transfer: Callable[..., Said], tmp_path: Path
) -> None:
    again = [*words, "--repeats", "2", "--fresh", "--study", "other"]
    for steps in (2, 7, 4):
        step, left = Bank.step, iter(range(steps))

        def dying(bank: Bank, step=step, left=left) -> None:
            if next(left, None) is None:
                raise Killed
            step(bank)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Bank, "step", dying)
            patch.setattr("transfercli.training.engine.TELL_SECONDS", 0.0)
            transfer(*again)
    said = transfer(*again)
    assert said.code == 0, said
    whole = transfer("advise", "--study", advised)
    first, second = (answer(study, keeping.read(study)) for study in (Study(tmp_path / "other"), Study(advised)))  # type: ignore[arg-type]
    # What a step takes on this machine is measured anew; all that was learned is the same.
    assert [row["weights_digest"] for row in first.rows] == [row["weights_digest"] for row in second.rows]
    keys = ["arm", "learning_rate", "top1", "low", "high", "holdout_loss", "expected_loss", "at_most", "advised"]
    assert first.table[keys].equals(second.table[keys])
    assert first.sentences[:2] == second.sentences[:2]
    assert transfer("advise", "--study", advised).out == whole.out
    for sentence in second.sentences:
        assert sentence in whole.out


@pytest.mark.slow
def test_each_arm_has_as_many_rates_and_repeats(advised: Path) -> None:
    study = Study(advised)
    kept = keeping.read(study)
    assert kept and kept.plan.repeats == 2 and kept.plan.rates == 3
    networks = planned(study.recipe(), kept)
    arms = {network.name.partition("@")[0] for network in networks}
    assert arms == {"P0T.keep", "P1T.keep", "P2T.keep", "P1T", "R2T", "baseT"}
    assert len(networks) == len(arms) * 3 * 2 == len(set(networks))
    found = answer(study, kept)
    assert {arm.name for arm in found.arms} == arms
    for name, rate in found.rates.items():
        assert rate.edge == "" or len(rate.tried) == 5 or rate.diverged, name  # carried on twice, and then said
    assert found.confusion.sum() == 2 * CLASSES * VAL
    assert found.document()["advised"]["arm"] == found.verdict.advised.name


@pytest.mark.slow
def test_json_and_csv_are_alone_on_standard_output(advised: Path, transfer: Callable[..., Said]) -> None:
    document = json.loads(transfer("advise", "--study", advised, "--json").out)
    assert len(document["advice"]) == 3 and len(document["arms"]) == 6
    assert len(document["classes"]) == CLASSES and sum(count for *_, count in document["confusion"]) == 2 * CLASSES * VAL
    lines = transfer("advise", "--study", advised, "--csv", "-").out.splitlines()
    assert len(lines) == 7 and lines[0].startswith("arm,family,frozen,up_to,advised,rate,learning_rate,edge,top1")


@pytest.mark.slow
def test_the_network_that_is_handed_over_works_without_this_package(advised: Path, place: Path, tmp_path: Path) -> None:
    about = json.loads((place / "out.json").read_text())
    assert about["classes"] == sorted(path.name for path in (place / "pictures/val").iterdir())
    blocked = tmp_path / "blocked"
    (blocked / "transfercli").mkdir(parents=True)
    (blocked / "transfercli/__init__.py").write_text("raise ImportError('not here')")
    pictures = sorted((place / "pictures/val").glob("*/*"))
    done = subprocess.run(
        [sys.executable, "out.py", *map(str, pictures)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(blocked)},
        capture_output=True,
        text=True,
        check=True,
    )
    told = [line.rpartition(": ")[2].split()[0] for line in done.stdout.splitlines()]
    right = [name == picture.parent.name for name, picture in zip(told, pictures, strict=True)]
    assert sum(right) / len(right) == pytest.approx(about["top1"], abs=1e-9)
    assert about["val_pictures"] == len(pictures)


@pytest.mark.slow
def test_a_study_answers_the_question_that_it_was_asked(advised: Path, place: Path, words: list[str], transfer) -> None:
    said = transfer(*words, "--repeats", "3", "--study", advised)
    assert said.code == 1
    assert said.err == (
        f"Error: the study {advised} is of another question (--repeats was 2, not 3); "
        "ask as before and it goes on, or start a new one: --study DIR\n"
    )


def test_a_plan_trains_nothing(words: list[str], transfer: Callable[..., Said], tmp_path: Path) -> None:
    said = transfer(*words, "--plan", "--minutes", "5")
    assert said.code == 0 and "Plan: " in said.out
    assert not Study(tmp_path / "results/advice").row_files()
    kept = keeping.read(Study(tmp_path / "results/advice"))
    assert kept and kept.asked.minutes == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--network"], "mine.pth does not say of which network its weights are; say it: --network torchvision/resnet18"),
        (["--from"], "Error: say which pretrained network: --from torchvision/resnet50 (docs/sources.md has every way to)"),
        (["DIR"], "Error: name the folder DIR of your pictures: transfer advise DIR --from SOURCE"),
    ],
)
def test_what_is_missing_is_told(change: list[str], message: str, words: list[str], transfer: Callable[..., Said]) -> None:
    at = 1 if change == ["DIR"] else words.index(change[0])
    said = transfer(*words[:at], *words[at + (1 if change == ["DIR"] else 2) :])
    assert said.code == 1 and said.err.rstrip("\n").endswith(message) and len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("classes", "train", "message"),
    [
        (1, 10, "1 class in few: there is nothing to tell apart. Add classes"),
        (
            4,
            3,
            "class {first} has 3 training pictures, too few to hold out one in 5; have at least 5 of each class",
        ),
    ],
)
def test_pictures_that_are_too_few(
    classes: int, train: int, message: str, words: list[str], place: Path, transfer: Callable[..., Said], tmp_path: Path
) -> None:
    for picture in (place / "pictures").glob("*/*/*"):
        part, name = picture.parts[-3:-1]
        names = sorted(path.name for path in (place / f"pictures/{part}").iterdir())[:classes]
        inside = sorted(picture.parent.iterdir()).index(picture)
        if name in names and (part == "val" or inside < train):
            (tmp_path / "few" / part / name).mkdir(parents=True, exist_ok=True)
            os.link(picture, tmp_path / "few" / part / name / picture.name)
    said = transfer("advise", "few", *words[2:])
    first = min(path.name for path in (tmp_path / "few/train").iterdir())
    assert said.code == 1 and said.err == f"Error: {message.format(first=first)}\n"


def test_what_can_be_told_before_training(words: list[str], transfer: Callable[..., Said], tmp_path: Path) -> None:
    said = transfer(*words, "--quick")
    assert said.code == 0, said
    assert "probe (95%)" in said.out and "conv5.0" in said.out
    assert not Study(tmp_path / "results/advice").row_files()
    kept = (tmp_path / "results/advice/predictors.json").read_bytes()
    assert transfer("advise", "--quick").out in said.out
    assert (tmp_path / "results/advice/predictors.json").read_bytes() == kept
    (tmp_path / "results/advice/predictors.json").write_text("{}")
    said = transfer("advise", "--quick")
    assert said.code == 1
    assert said.err == "Error: results/advice/predictors.json is damaged; remove it, and it is made anew\n"


def test_before_training_there_is_a_document_too(words: list[str], transfer: Callable[..., Said]) -> None:
    plan = json.loads(transfer(*words, "--plan", "--json").out)
    assert plan["plan"]["repeats"] == 3 and "predictions" not in plan
    told = json.loads(transfer("advise", "--quick", "--json").out)
    assert [row["layer"] for row in told["predictions"]["layers"]] == [1, 2] and told["predictions"]["sentences"]
    said = transfer(*words, "--plan", "--csv", "x.csv")
    assert said.code == 2 and "train nothing" in said.err


@pytest.mark.slow
def test_predictors_over_studies(advised: Path, transfer: Callable[..., Said], tmp_path: Path) -> None:
    said = transfer("advise", "--predictors", advised, advised)
    assert said.code == 0 and "fine-tuning all" in said.out
    document = json.loads(transfer("advise", "--predictors", advised, "--json").out)
    assert {row["rule"] for row in document["rules"]} and document["sentences"]
    (tmp_path / "empty").mkdir()
    said = transfer("advise", "--predictors", "empty")
    assert said.code == 1
    assert said.err == "Error: empty holds no predictors.json; finish it first: transfer advise --study empty\n"


def test_a_network_is_written_as_safetensors(words: list[str], transfer: Callable[..., Said]) -> None:
    said = transfer(*words, "--export", "out.pth")
    assert said.code == 1
    assert (
        said.err == "Error: the network is written as .safetensors, and out.pth is called otherwise: --export out.safetensors\n"
    )


# -- the plan


def work(seconds: float = 1e-12) -> Work:
    recipe = cut(recipes.find("advise", ["network=torchvision/resnet18", "pictures.size=64", "pictures.crop=64"]))
    return Work(recipe, 20, Pace(0.01, seconds), 2, 40, 4000)


@pytest.mark.parametrize("minutes", [1.0, 5.0, 10.0, 20.0, 60.0])
def test_a_plan_fits_into_the_time(minutes: float) -> None:
    plan = fit(work(), Asked(source="x", minutes=minutes), 1000)
    seconds = (SPARE + RESERVE * (plan.rates == 1)) * 60 * minutes  # a single rate needs no time for rates beyond
    assert plan.seconds <= seconds + 1
    assert plan.steps == 1000 or plan.seconds >= 0.9 * seconds or plan.steps >= LEAST_STEPS
    assert bool(plan.left_out) == (plan.steps < 1000 or plan.layers is not None or plan.rates < 3 or plan.repeats < 3)


def test_pictures_that_are_slow_to_read_leave_less_time_to_train() -> None:
    slow = replace(work(), reading=60.0)
    plan = fit(slow, Asked(source="x", minutes=20), 1000)
    assert plan.rates > 1 and plan.seconds <= SPARE * 60 * 20 - READ * 60 + 1
    with pytest.raises(TransferError, match="2 minutes are too few"):
        fit(slow, Asked(source="x", minutes=2), 1000)


def test_more_time_is_never_a_smaller_plan() -> None:
    plans = [fit(work(), Asked(source="x", minutes=minutes), 1000) for minutes in (0.2, 1, 3, 10, 30, 100, 1000)]
    sizes = [(plan.repeats, plan.rates, plan.layers or 99) for plan in plans]
    assert sizes == sorted(sizes)
    assert plans[-1].left_out == () and plans[-1].steps == 1000
    assert fit(work(), Asked(source="x"), 1000).left_out == ()


def test_ways_and_their_rates() -> None:
    names = [way.name for way in ways(10)]
    assert names == [*(f"P{n}T.keep" for n in range(10)), "R9T", "baseT"]
    thin = [way.n for way in ways(10, 4) if way.family == "keep"]
    assert thin == [0, 3, 6, 9]
    assert {way.n for way in ways(10, 4, fresh=True) if way.family == "fresh"} == {3, 6}
    assert [way.n for way in ways(2, 2) if way.family == "keep"] == [0, 1]
    for family, (_, middle) in FAMILIES.items():
        assert rates(family, 1) == (middle,) and len(set(rates(family, 3))) == 3
        assert rates(family)[0] == beyond(middle, "low") and rates(family)[2] == beyond(middle, "high")
    assert rates("keep") == (0.333, 1.0, 3.0)


def test_usual_steps_are_neither_few_nor_many() -> None:
    assert usual_steps(100, 32) == 300 and usual_steps(1600, 32) == 1000 and usual_steps(10**6, 32) == 2000


def test_five_minutes_for_a_large_network_are_refused() -> None:
    with pytest.raises(TransferError) as raised:
        fit(work(1e-9), Asked(source="x", minutes=2), 1000)
    assert str(raised.value).startswith("2 minutes are too few for torchvision/resnet18 on these pictures and this device: the")


# -- what was asked before, and what strangers send


@pytest.mark.slow
def test_until_something_is_trained_another_question_begins_anew(words: list[str], transfer, place: Path, tmp_path: Path) -> None:
    study = Study(tmp_path / "results/advice")
    assert transfer(*words, "--plan").code == 0
    assert transfer(*words, "--plan", "--minutes", "5", "--repeats", "6").code == 0
    kept = keeping.read(study)
    assert kept and kept.asked.minutes == 5 and study.recipe().pictures.folds == 6
    formula.write(tmp_path / "others", 3, TRAIN, VAL, 40, 4, lambda count: None)
    assert transfer("advise", "others", *words[2:], "--plan").code == 0
    again = keeping.read(study)
    assert again and again.split != kept.split and len(study.halves("all").split.every) == 3


def test_questions_that_nobody_can_be_asked(words: list[str], transfer: Callable[..., Said]) -> None:
    for flag, value in (("--minutes", "nan"), ("--minutes", "inf"), ("--repeats", "101")):
        said = transfer(*words, flag, value, "--plan")
        assert said.code == 1 and said.err.startswith(f"Error: {flag} cannot be {value}") and len(said.err.splitlines()) == 1
    said = transfer(*words, "--set", "pictures.folds=2", "--plan")
    assert said.err == "Error: 3 repeats need as many folds, and pictures.folds is 2; leave it out, or ask for --repeats 2\n"


@pytest.mark.slow
def test_another_tolerance_needs_no_training(advised: Path, transfer: Callable[..., Said]) -> None:
    strict, lax = (transfer("advise", "--study", advised, "--within", points, "--json") for points in ("0.1", "50"))
    assert strict.code == lax.code == 0
    costs = [next(arm["cost"] for arm in json.loads(said.out)["arms"] if arm["advised"]) for said in (strict, lax)]
    assert costs[1] == 1.0 <= costs[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["advice.json", "predictors.json", "predictions.safetensors", "row.json"])
def test_a_study_from_a_stranger_gives_one_line(advised: Path, name: str, transfer: Callable[..., Said], tmp_path: Path) -> None:
    shutil.copytree(advised, tmp_path / "study")
    path = next(path for path in sorted((tmp_path / "study").rglob(name)) if "seed-5" not in path.parts)
    whole = path.read_bytes()
    for hostile in (b"", b"{}", b"[" * 100_000, b"\0" * 64, whole[: len(whole) // 2], *_otherwise(name, path)):
        path.write_bytes(hostile)
        said = transfer("advise", "--study", "study")
        assert said.code == 1 and said.err.startswith("Error: ") and len(said.err.splitlines()) == 1, (hostile[:80], said.err)


def _otherwise(name: str, path: Path) -> Iterator[bytes]:
    """Files that are whole, and say what cannot be."""
    if name == "predictions.safetensors":
        told = load_file(path)
        for change in (
            {"val": told["val"][:-1]},
            {"val": told["val"].float().bfloat16()},
            {"val_labels": told["val_labels"] + 1000},
            {"val": told["val"] - 50},
            {"holdout": told["holdout"][None]},
        ):
            yield save({**told, **change})
        return
    values = json.loads(path.read_text())
    changes: dict[str, list] = {
        "advice.json": [{"plan": {**values.get("plan", {}), "repeats": 10**9}}, {"asked": {"source": 5}}, {"split": None}],
        "predictors.json": [{"rows": []}, {"measured": 0}, {"chance": "x"}],
        "row.json": [{"holdout_loss": "x"}, {"holdout_top1": 7}, {"chance": []}],
    }
    for change in changes[name]:
        yield json.dumps({**values, **change}).encode()
