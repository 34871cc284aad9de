"""`transfer plan`, typed: what a study will cost, and of which pictures that is said."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CLASSES, SIZE, TRAIN, VAL, Said, tiny_recipe

from transfercli.pictures import formula
from transfercli.recipe import reading as recipes
from transfercli.training import measuring

Transfer = Callable[..., Said]


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """A recipe of an epoch of pictures that a person brings."""
    training = {"steps": None, "epochs": 1, "schedule": {"name": "constant", "rate": 0.01}}
    made = tiny_recipe({"training": training}).model_copy(update={"layers": (7,), "targets": ("B",)})
    (tmp_path / "tiny.yaml").write_text(recipes.dump(made))
    return "tiny.yaml"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MEASURE_SECONDS", 0.05)


def facts(said: Said) -> dict[str, str]:
    assert said.code == 0, said.err
    return {line[:14].strip(): line[14:] for line in said.out.splitlines()[:-1]}


def test_pictures_that_nobody_named_are_said_to_be_imagenets(transfer: Transfer, recipe: str) -> None:
    found = facts(transfer("plan", recipe, "--device", "cpu"))
    assert found["pictures"] == "1,281,167 of 1000 classes to train on, as on ImageNet: no DIR is named"
    assert found["steps"] == "71,176 of 9 pictures for each network"
    assert " of training if the pictures are as many as ImageNet's (else name DIR), evaluations" in found["time"]


def test_what_the_recipe_takes_is_not_imagenets(transfer: Transfer, recipe: str) -> None:
    words = ("plan", recipe, "--device", "cpu", "--set", "pictures.classes=40")
    assert facts(transfer(*words))["pictures"].startswith("51,246 of 40 classes to train on, as on ImageNet")
    found = facts(transfer(*words, "--set", "pictures.train_per_class=18"))
    assert (found["pictures"], found["steps"]) == ("720 of 40 classes to train on", "40 of 9 pictures for each network")
    assert "ImageNet" not in str(found)
    patient = facts(transfer(*words, "--set", "training.patience=3", "--set", "pictures.folds=5"))
    assert patient["steps"].endswith(" of 9 pictures for each network, fewer where training.patience ends it")


def test_pictures_that_are_named_are_counted(transfer: Transfer, recipe: str, tmp_path: Path) -> None:
    formula.write(tmp_path / "pictures", CLASSES, TRAIN, VAL, SIZE, seed=1)
    said = transfer("plan", recipe, "pictures", "--device", "cpu")
    assert facts(said)["pictures"] == f"{CLASSES * TRAIN} of {CLASSES} classes to train on"
    assert "ImageNet" not in said.out and said.out.splitlines()[-1] == "Next: transfer run tiny.yaml pictures --device cpu"


def test_it_says_that_it_measures_and_what(transfer: Transfer, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small bank is measured itself; where its step would take too long, one network is."""
    said = transfer("plan", recipe, "--device", "cpu", "--set", "treatments=BnB")
    assert said.err.startswith("measuring how long training takes, for some seconds\n")
    monkeypatch.setattr(measuring, "reckoned", lambda *args: 3600.0)
    monkeypatch.setattr(measuring, "seconds_per_step", lambda *args: pytest.fail("a bank of an hour a step was measured"))
    found = facts(transfer("plan", recipe, "--device", "cpu", "--set", "treatments=BnB"))
    assert re.match(r"3600.000 s for a step of 1 networks?, reckoned from one network's of few pictures, ", found["measured"])


def test_a_schedule_that_comes_to_nothing_is_refused_before_anything_is_measured(transfer: Transfer, recipe: str) -> None:
    said = transfer("plan", recipe, "--set", "training.schedule={name: step, rate: 0.1, gamma: 0.1, every: 3}")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("Error: schedule step comes to a learning rate of 0.0 at step 71175; choose")


def test_a_base_that_nothing_needs_costs_nothing(transfer: Transfer, recipe: str) -> None:
    networks = {
        treatment: facts(transfer("plan", recipe, "--device", "cpu", "--set", f"treatments={treatment}"))["networks"]
        for treatment in ("BnB", "AnB")
    }
    assert networks["BnB"].startswith("2 in 2 banks") and networks["AnB"].startswith("3 in 2 banks")


def test_several_devices_take_less_time_down_to_a_floor_and_read_more(transfer: Transfer, recipe: str, tmp_path: Path) -> None:
    formula.write(tmp_path / "pictures", CLASSES, TRAIN, VAL, SIZE, seed=1)
    words = ("plan", recipe, "pictures", "--device", "cpu", "--set", "training.batch=36", "--json", "--workers")
    one, many = (json.loads(transfer(*words, str(count)).out) for count in (1, 1000))
    assert one["workers"]["seconds"] == pytest.approx(one["seconds"], rel=0.01)  # nothing is computed twice
    assert one["workers"] | {"speedup": 1.0, "devices": 1} == one["workers"]
    assert one["workers"]["busy"] == pytest.approx(1)
    found = many["workers"]
    assert found["seconds"] == pytest.approx(found["floor_seconds"]) and found["jobs"] == many["networks"]
    assert 0 < found["busy"] < 0.1 and 1 < found["speedup"] < many["networks"]
    sizes = [path.stat().st_size for path in (tmp_path / "pictures/train").rglob("*.png")]
    size = recipes.find(str(tmp_path / recipe)).pictures.size
    assert found["raw_bytes_per_second"] == pytest.approx(3 * size**2 * found["pictures_per_second"])
    assert found["file_bytes_per_second"] == pytest.approx(sum(sizes) / len(sizes) * found["pictures_per_second"], rel=0.05)


def test_it_says_what_several_devices_take(transfer: Transfer, recipe: str) -> None:
    found = facts(transfer("plan", recipe, "--device", "cpu", "--workers", "2"))
    assert re.match(
        r"2 devices like this one: .*, (1\.\d|2\.0) times as fast as one; \d+% of their time at work$", found["workers"]
    )
    assert found["at least"].endswith(" with however many: a base, then a network that needs it, each alone")
    assert re.match(r"at most [\d,]+ pictures a second, all together: [\d,]+ MB/s of a store's raw pixels; ", found["reading"])
    assert found["reading"].endswith(" MB/s of files, if they are as large as ImageNet's")
    alone = facts(transfer("plan", recipe, "--device", "cpu"))
    assert not {"workers", "at least", "reading"} & {*alone}
    built_in = facts(transfer("plan", "demo", "--device", "cpu", "--workers", "2", "--set", "layers=1"))
    assert built_in["reading"].endswith(" MB/s of a store's raw pixels")


def test_no_devices_are_a_wrong_flag(transfer: Transfer) -> None:
    assert transfer("plan", "demo", "--workers", "0").code == 2
