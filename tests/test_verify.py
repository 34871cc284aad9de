"""`transfer verify`: a sound study is sound, and each thing that may be wrong with one is named."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CPU, SPLIT, Said, silent, tiny_recipe
from safetensors.torch import load_file, save_file

from transfercli.plan.networks import base, bases, transfers
from transfercli.plan.resolve import resolve
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training import finish
from transfercli.training import verify as verifying
from transfercli.training.train import check_bases, train
from transfercli.training.verify import evenly, near, read_log, same_machine, verify

TEN = transfers([SPLIT], [0], ["B"], [2, 6], ["BnB", "BnB+", "AnB", "AnB+", "RnB"])


@pytest.fixture(scope="module")
def some(trained: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of two bases and ten networks."""
    study = Study(shutil.copytree(trained.root, tmp_path_factory.mktemp("some") / "study"))
    train(study, TEN, CPU, None, silent())
    return study


@pytest.fixture
def sound(some: Study, tmp_path: Path) -> Study:
    return Study(shutil.copytree(some.root, tmp_path / "study"))


def problems(study: Study) -> list[str]:
    return verify(study, CPU, None, lambda text: None).problems


def change_row(study: Study, name: str, **values: Any) -> None:
    path = study.root / SPLIT / name / "row.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    study.write_table()


def change_weights(study: Study, name: str, key: str, by: float = 1e-3) -> None:
    path = study.root / SPLIT / name / "weights.safetensors"
    weights = {key: tensor.clone() for key, tensor in load_file(path).items()}
    weights[key].view(-1)[0] += by
    save_file(weights, path)


def test_a_sound_study_is_sound_and_stays_as_it_is(some: Study, transfer: Callable[..., Said]) -> None:
    before = {path: path.read_bytes() for path in some.root.rglob("*") if path.is_file() and path.name != ".lock"}
    said = transfer("verify", "--study", some.root, "--device", "cpu")
    assert (said.code, said.out.splitlines()[-1]) == (0, f"{some.root} is sound")
    counts = dict(line.rsplit(maxsplit=1) for line in said.out.splitlines()[1:-1])
    assert counts == {
        "recipe": "1",
        "versions": "1",
        "rows": "12",
        "table": "1",
        "splits": "1",
        "rows against their split": "48",
        "logs": "24",
        "weights": "12",
        "frozen layers": "6",
        "digests": "60",
        "mean images": "2",
        "measurements": "60",
    }
    assert before == {path: path.read_bytes() for path in some.root.rglob("*") if path.is_file() and path.name != ".lock"}


def test_rows_of_old_are_held_to_what_they_say(sound: Study) -> None:
    """They know neither what they copied, nor balanced accuracy, nor the loss on fixed pictures, nor chance."""
    for name in ("baseA", "A2B", "R6B"):
        path = sound.root / SPLIT / name / "row.json"
        row = json.loads(path.read_text())
        path.write_text(
            json.dumps({k: v for k, v in row.items() if k not in ("source_digest", "balanced_top1", "fixed_loss", "chance")})
        )
        log = path.with_name("log.csv")
        log.write_text("\n".join(line.rpartition(",")[0] for line in log.read_text().splitlines()) + "\n")
    sound.write_table()
    assert problems(sound) == []


def test_rows_of_old_with_classes_of_unequal_size_were_judged_as_if_they_were_equal(
    split_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six pictures of one class, a single one of another: of old 0.6 was well above chance, a quarter; today it is a guess."""
    monkeypatch.setattr(finish, "SIGMAS", 0.0)
    train_of, val_of = [8, 8, 8, 8], [12, 3, 3, 2]
    last = {"top1": 0.6, "train_loss": 2.0}
    assert finish.status(last, None, False, train_of, val_of, True) == "did not learn"
    assert finish.status(last, None, False, *evenly(train_of, val_of), True) == "done"
    assert evenly(train_of, val_of) == ([8, 8, 8, 8], [5, 5, 5, 5])


@pytest.mark.parametrize(("key", "value"), [("balanced_top1", 0.125), ("fixed_loss", 9.0), ("chance", 0.5)])
def test_each_new_number_is_checked(sound: Study, key: str, value: float) -> None:
    change_row(sound, "A2B", **{key: value})
    assert any("A2B" in problem and key.split("_")[0] in problem for problem in problems(sound))


def test_a_base_trained_again_beside_networks_that_copied_the_old_one_is_named(
    sound: Study, transfer: Callable[..., Said]
) -> None:
    """Its weights and row fit each other; only the networks know that it is not the one they were copied from."""
    shutil.rmtree(sound.root / SPLIT / "baseA")
    recipe = tiny_recipe({"training": {"bias_rate": 1.9}})  # stands for another machine, where the numbers differ
    own = sound.recipe()
    sound.write_recipe(recipe)
    with pytest.raises(TransferError, match="A2B was copied from another baseA than is there now"):
        train(sound, bases([SPLIT], [0], ["A"]), CPU, None, silent())  # the base is trained, and then it is said
    sound.write_recipe(own)
    halves, base_a = sound.halves(SPLIT), resolve(base(SPLIT, 0, "A"), 8)
    change_row(sound, "baseA", recipe_digest=own.digest(), network_digest=base_a.digest(own.digest(), halves.digest))
    found = problems(sound)
    for name in ("A2B", "A6B", "A2B+", "A6B+"):
        assert f"{SPLIT} {name} was copied from another baseA than is there now" in found
    assert not any("B2B" in problem for problem in found)
    warned = transfer("analyze", "--study", sound.root)
    assert warned.code == 0 and warned.err.startswith(
        f"Warning: {SPLIT} A2B was copied from another baseA than is there now (and"
    )
    assert "Warning: " in transfer("status", "--study", sound.root).out
    again = transfer("train-base", "--study", sound.root, "--device", "cpu")
    assert again.code == 1 and "A2B was copied from another baseA" in again.err
    with pytest.raises(TransferError) as error:
        check_bases(sound, TEN, own)
    assert str(error.value) == (
        f"{SPLIT} A2B was copied from another baseA than is there now (and so were 3 more); "
        "put that base back, or remove what was copied from it and train it again"
    )


def test_reduced_precision_is_measured_in_the_same(split_study: Study) -> None:
    split_study.write_recipe(tiny_recipe({"training": {"precision": "bfloat16"}}))
    train(split_study, bases([SPLIT], [0]), CPU, None, silent())
    assert problems(split_study) == []


def test_a_diverged_network_is_as_sound_as_any(split_study: Study) -> None:
    split_study.write_recipe(tiny_recipe({"training": {"schedule": {"name": "constant", "rate": 1e30}}}))
    found = train(split_study, bases([SPLIT], [0]), CPU, None, silent())
    assert {row["status"] for row in found} == {"diverged at step 2"}
    assert problems(split_study) == []
    change_row(split_study, "baseA", status="done")
    assert f"{SPLIT} baseA: its row says done, the last line of its log does not" in problems(split_study)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"top1": 0.95}, ["its row has top1 0.95, the last line of its log ", "its row has top1 0.95, measured again it has "]),
        ({"loss": 0.5}, ["its row has loss 0.5, the last line of its log ", "its row has loss 0.5, measured again it has "]),
        ({"top1_best10": 1.0}, ["its row has top1_best10 1.0, its log gives "]),
        ({"step": 4}, ["its row has step 4, the last line of its log 5.0"]),
        ({"status": "did not learn"}, ["its row says did not learn, its log done"]),
        ({"recipe_digest": "0"}, ["its row is of another recipe"]),
        ({"split_digest": "0"}, ["its row is of another split"]),
        ({"classes": 5}, ["its row has {'classes': 5}, not {'classes': 4, 'val_pictures': 20}"]),
        ({"frozen_digest_after": "0"}, ["its frozen layers are not those of its row"]),
        ({"weights_digest": "0"}, ["its weights are not those of its row"]),
    ],
)
def test_a_row_that_says_something_else(sound: Study, change: dict[str, Any], named: list[str]) -> None:
    change_row(sound, "A2B", **change)
    found = problems(sound)
    assert len(found) == len(named)
    for problem, start in zip(found, named, strict=True):
        assert problem.startswith(f"{SPLIT} A2B: {start}")


@pytest.mark.parametrize("name", ["A2B", "B6B", "R6B"])
def test_a_frozen_layer_that_changed(sound: Study, name: str) -> None:
    change_weights(sound, name, "conv1.weight")
    found = problems(sound)
    origin = {"A": "baseA's", "B": "baseB's", "R": "the random draw's"}[name[0]]
    assert found[:3] == [
        f"{SPLIT} {name}: its weights are not those of its row",
        f"{SPLIT} {name}: its frozen layers are not those of its row",
        f"{SPLIT} {name}: its frozen layers are not {origin}: conv1.weight",
    ]


@pytest.mark.parametrize("exact", [True, False], ids=["same machine", "another"])
def test_random_statistics_are_those_of_the_pictures(split_study: Study, exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network = {"normalisation": "batch", "statistics": "pictures"}
    split_study.write_recipe(tiny_recipe({"network": network, "training": {"steps": 1}}))
    train(split_study, [*bases([SPLIT], [0]), *transfers([SPLIT], [0], ["B", "A"], [2, 3], ["RnB"])], CPU, None, silent())
    monkeypatch.setattr(verifying, "same_machine", lambda row, device: exact)
    report = verify(split_study, CPU)
    what = "random statistics" + " (other machine)" * (not exact)
    assert (report.problems, report.counts[what]) == ([], 4)
    told = f"{SPLIT} R3B: its random BatchNorm has other statistics than its pictures give: norm2.running_var"
    change_weights(split_study, "R3B", "norm2.running_var")
    assert (told in problems(split_study)) == exact
    change_weights(split_study, "R3B", "norm2.running_var", by=1e3)
    assert told in problems(split_study)


def test_a_base_that_changed_is_found_by_all_that_came_of_it(sound: Study) -> None:
    change_weights(sound, "baseA", "conv2.bias")
    found = problems(sound)
    for name in ("A2B", "A6B"):
        assert f"{SPLIT} {name}: its frozen layers are not baseA's: conv2.bias" in found


def test_trained_weights_that_changed_are_measured(sound: Study) -> None:
    """Even where the row's digest was forged to fit: the accuracy or the loss is another."""
    change_weights(sound, "A2B+", "fc8.bias", by=0.5)
    found = problems(sound)
    assert found[0] == f"{SPLIT} A2B+: its weights are not those of its row"
    assert any(problem.startswith(f"{SPLIT} A2B+: its row has loss ") for problem in found[1:])


def test_weights_of_another_network(sound: Study) -> None:
    path = sound.root / SPLIT / "A2B/weights.safetensors"
    weights = load_file(path)
    save_file({**weights, "fc8.bias": torch.zeros(5)}, path)
    assert problems(sound) == [f"{SPLIT} A2B: its weights have other names or shapes than the recipe's network"]
    path.write_bytes(path.read_bytes()[:-1])
    (problem,) = problems(sound)
    assert problem.startswith(f"cannot read the weights of {SPLIT} A2B (")


def test_logs_that_are_not_of_the_recipe(sound: Study) -> None:
    path = sound.root / SPLIT / "A2B/log.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], *lines[3:]]) + "\n")
    assert f"{SPLIT} A2B: its log has the steps [0, 4, 5], the recipe [0, 2, 4, 5]" in problems(sound)
    path.write_text("\n".join([*lines[:-1], lines[-1].rsplit(",", 2)[0] + ",0.5," + lines[-1].rsplit(",", 1)[1]]) + "\n")
    assert problems(sound) == [f"{SPLIT} A2B: its log has another learning rate than the recipe at step 5"]
    other = "it has other columns, or no line"
    for text, reason in (("", other), ("a\n1\n", other), ("step\nx\n", "could not convert string to float: 'x'")):
        path.write_text(text)
        (problem,) = problems(sound)
        assert problem.startswith(f"{path} is damaged ({reason}") and problem.endswith("train the network again")


def test_a_table_that_is_not_of_the_rows(sound: Study, transfer: Callable[..., Said]) -> None:
    path = sound.root / "results.csv"
    path.write_text(path.read_text().replace("A2B", "A3B"))
    said = transfer("verify", "--study", sound.root, "--device", "cpu")
    assert said.code == 1
    assert said.out.splitlines()[-1] == (
        f"Problem: {path} is not what the rows say; make it anew: transfer train-base --study {sound.root}"
    )
    assert said.err.splitlines()[-1] == f"Error: {sound.root} has 1 problem, named above; what each says mends it"
    assert transfer("train-base", "--study", sound.root, "--device", "cpu").code == 0
    assert problems(sound) == []


def test_pictures_that_changed_or_are_gone(sound: Study) -> None:
    picture = next((sound.root / "pictures/train").rglob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"\0")
    (problem,) = problems(sound)
    assert problem.startswith(f"the pictures in {sound.root / 'pictures'} are not those that split {SPLIT} was made of")
    shutil.rmtree(sound.root / "pictures")
    (problem,) = problems(sound)
    assert problem.startswith(f"the pictures of split {SPLIT} are no longer in ")


def test_a_mean_image_that_is_not_of_the_pictures(sound: Study) -> None:
    path = sound.root / SPLIT / "mean-A.safetensors"
    ((key, mean),) = load_file(path).items()
    save_file({key: mean + 1}, path)
    assert f"the mean image of {SPLIT} A is not that of its pictures; remove it: mean-A.safetensors" in problems(sound)


def test_a_row_in_another_networks_folder(sound: Study) -> None:
    shutil.copytree(sound.root / SPLIT / "A2B", sound.root / SPLIT / "A3B")
    found = problems(sound)
    assert len(found) == 2  # the row, and the table that cannot be made of such rows
    for problem in found:
        assert problem.startswith(f"{sound.root / SPLIT}/A3B/row.json is damaged (it is the row of {SPLIT} A2B); ")


def test_no_study_is_an_error(transfer: Callable[..., Said]) -> None:
    said = transfer("verify")
    assert (said.code, said.out) == (1, "") and said.err.startswith("Error: no study in results/study; ")


def test_another_machine_is_held_to_the_tolerance(sound: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    row = sound.rows()[0]
    assert same_machine(row, CPU)
    assert same_machine({**row, "device": row["device"].rpartition(", ")[0] + ", 99 processors"}, CPU)
    assert not same_machine({**row, "torch": "1.0"}, CPU)
    assert not same_machine({**row, "device": "NVIDIA H100"}, CPU)
    assert not same_machine(row, torch.device("cuda"))
    monkeypatch.setattr(verifying, "same_machine", lambda row, device: False)
    assert problems(sound) == []
    assert near("top1", 0.5, 0.509, 10_000) and not near("top1", 0.5, 0.511, 10_000) and near("top1", 0.5, 0.6, 20)
    assert near("loss", 1.0, 1.019, 20) and not near("loss", 1.0, 1.021, 20)
    assert near("loss", None, None, 20) and not near("loss", None, 1.0, 20) and not near("loss", 1.0, None, 20)


def test_read_log_takes_what_diverged(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,train_loss,loss,top1,top5,learning_rate\n0,nan,inf,0.25,1.0,0.1\n")
    (line,) = read_log(tmp_path / "log.csv")
    assert math.isnan(line["train_loss"]) and math.isinf(line["loss"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"precision": 3}, "is damaged (precision: Input should be 'float32' or 'bfloat16')"),
        ({"precision": "load"}, "is damaged (precision: Input should be 'float32' or 'bfloat16')"),
        ({"val_pictures": 0}, "is damaged (val_pictures: Input should be greater than or equal to 1)"),
    ],
)
def test_what_a_network_is_measured_by_must_be_what_it_can_be(sound: Study, change: dict[str, Any], reason: str) -> None:
    path = sound.root / SPLIT / "A2B/row.json"
    row = json.loads(path.read_text())
    path.write_text(json.dumps({**row, **change}))
    found = problems(sound)
    assert found == [f"{path} {reason}; remove its folder and train the network again"] * 2  # the row, and the table of such rows
    path.write_text(json.dumps({key: value for key, value in row.items() if key != "precision"}))
    assert f"{path} lacks precision; remove its folder and train the network again" in problems(sound)
