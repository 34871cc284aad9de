"""Whole plans carried out: banks of any size, runs that are killed, disks that are full, networks that learn nothing."""

import errno
import json
import math
import os
import random
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest
import torch
from conftest import ADAMW, CPU, SPLIT, sweep, tiny_recipe
from conftest import silent as reporter
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import transfercli
from transfercli.networks.start import digest
from transfercli.plan.networks import Network, base, bases, transfers
from transfercli.plan.resolve import resolve
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.study.rows import LOG_COLUMNS
from transfercli.system.errors import TransferError
from transfercli.training import bench, engine, finish
from transfercli.training import train as training
from transfercli.training.bank import Bank
from transfercli.training.bench import Bench, load_weights
from transfercli.training.finish import status
from transfercli.training.reporter import Reporter
from transfercli.training.train import check_bases, train

# What a row says of the bank that made it, and when, and at which commit; all else is the network's own.
OF_THE_BANK = {"bank", "bank_seconds", "pictures_per_second", "finished", "commit"}
FOUR = transfers([SPLIT], [0], ["B"], [2, 6], ["AnB", "BnB+"])


class Killed(BaseException):
    """What a run ends with that is killed: nothing catches it."""


def own(row: dict[str, Any] | None) -> dict[str, Any]:
    assert row is not None
    return {key: value for key, value in row.items() if key not in OF_THE_BANK}


def made(study: Study, network: Network) -> tuple[dict[str, Any], str, bytes]:
    """A network's row, log and weights."""
    folder = study.folder(network)
    log = (folder / "log.csv").read_text(encoding="utf-8")
    return own(study.row(network)), log, (folder / "weights.safetensors").read_bytes()


def check_same(study: Study, expected: Study, networks: Sequence[Network]) -> None:
    for network in networks:
        assert made(study, network) == made(expected, network), network.name


def with_training(study: Study, **values: Any) -> Recipe:
    """Change the study's recipe."""
    recipe = tiny_recipe({"training": values})
    study.write_recipe(recipe)
    return recipe


def left_over(study: Study) -> list[str]:
    """Files that a run should not leave behind: checkpoints, and what was being written."""
    hidden = [path.name for path in study.root.rglob(".*") if path.name != ".lock"]
    return hidden + [str(path) for path in study.root.rglob("checkpoints*")]


# -- promise 1: composition


@pytest.mark.parametrize(("size", "processors"), [(1, 1), (4, 3), (1000, 3), (None, 2)])
def test_rows_do_not_depend_on_banks_order_or_processors(
    study: Study, swept: Study, size: int | None, processors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks of both targets, shuffled, against those of one bank of 70 on one thread: rows, logs and weights to the bit."""
    monkeypatch.setattr(bench, "processors", lambda: processors)
    networks = random.Random(processors).sample(sweep("AB"), 13)
    found = train(study, networks, CPU, size, reporter())
    check_same(study, swept, networks)
    assert [row["network"] for row in found] == [network.name for network in networks]
    assert [len(row["bank"].split()) for row in found] == ([1] * 13 if size == 1 else [4] * 12 + [1] if size == 4 else [13] * 13)
    assert left_over(study) == []


def test_seeds_have_numbers_and_folders_of_their_own(study: Study) -> None:
    again = bases([SPLIT], [1])
    train(study, again, CPU, None, reporter())
    for network in again:
        zero = base(SPLIT, 0, network.target)
        assert study.folder(network) == study.root / SPLIT / "seed-1" / network.name
        assert own(study.row(network)) | {"seed": 0} != own(study.row(zero))
        assert made(study, network)[2] != made(study, zero)[2]
    assert [(row["seed"], row["network"]) for row in study.rows()] == [(0, "baseA"), (0, "baseB"), (1, "baseA"), (1, "baseB")]


# -- promise 2: a run that was killed and resumed


def killed_at(count: int) -> Callable[[int], None]:
    """A reporter's `advance` that ends the run at its `count`-th call. The first call of a bank is before its first step."""
    calls = iter(range(1, count + 1))

    def advance(_: int) -> None:
        if next(calls) == count:
            raise Killed

    return advance


@pytest.mark.parametrize("call", range(1, 7))
def test_a_run_killed_at_any_step_and_resumed_is_the_run_never_killed(study: Study, swept: Study, call: int) -> None:
    """Killed after the step and before its checkpoint; all rows and weights are the same to the bit."""
    with_training(study, checkpoint_minutes=1e-9)
    networks = [*FOUR, *transfers([SPLIT], [0], ["A"], [3], ["RnB", "AnB+"])]
    said: list[str] = []
    with pytest.raises(Killed):
        train(study, networks, CPU, 100, reporter(killed_at(call)))
    assert not any(study.row(network) for network in networks)
    train(study, networks, CPU, 100, reporter(said=said))
    check_same(study, swept, networks)
    kept = max(0, call - 2)  # the last step whose checkpoint was written
    assert said[1:] == ([f"{SPLIT}: 6 networks go on at step {kept} of 5"] if kept else [])
    assert left_over(study) == []


def test_a_run_killed_again_and_again_in_other_banks(study: Study, swept: Study) -> None:
    """Killed, resumed with smaller banks, killed again in the second of them, and ended with other networks added."""
    with_training(study, checkpoint_minutes=1e-9)
    eight = transfers([SPLIT], [0], ["B"], [1, 4, 7], ["BnB", "AnB+", "RnB"])[:8]
    with pytest.raises(Killed):
        train(study, eight, CPU, 8, reporter(killed_at(4)))  # the checkpoint of step 2 is there
    with pytest.raises(Killed):
        train(study, eight[::-1], CPU, 3, reporter(killed_at(4 + 3)))  # 4 calls for a bank that goes on; then 2 steps of the next
    assert [network.name for network in eight if study.row(network)] == [network.name for network in eight[-3:]]
    said: list[str] = []
    train(study, [*FOUR, *eight], CPU, 5, reporter(said=said))
    check_same(study, swept, [*FOUR, *eight])
    assert sorted(line for line in said if "go on" in line) == [
        f"{SPLIT}: 2 networks go on at step 2 of 5",
        f"{SPLIT}: 3 networks go on at step 3 of 5",
    ]
    assert left_over(study) == []


def test_a_study_with_adamw_killed_and_resumed_is_the_one_never_killed(split_study: Study, tmp_path: Path) -> None:
    """Bases and then transfer networks, each bank killed at its third step, against networks one by one that nobody killed."""
    with_training(split_study, **ADAMW, checkpoint_minutes=1e-9)
    whole = Study(shutil.copytree(split_study.root, tmp_path / "whole"))
    for networks in (bases([SPLIT], [0]), [*FOUR, *transfers([SPLIT], [0], ["A"], [3], ["RnB", "AnB+"])]):
        with pytest.raises(Killed):
            train(split_study, networks, CPU, 100, reporter(killed_at(4)))
        (kept,) = split_study.root.rglob("checkpoints/*-00000002.safetensors")
        memory = {name.split("/")[1] for name in load_file(kept) if name.count("/") == 2}
        assert memory == {"exp_avg", "exp_avg_sq", "step"}
        said: list[str] = []
        train(split_study, networks[::-1], CPU, 100, reporter(said=said))
        assert f"{SPLIT}: {len(networks)} networks go on at step 2 of 5" in said
        train(whole, networks, CPU, 1, reporter())
        check_same(split_study, whole, networks)
    assert left_over(split_study) == []


def test_a_short_sweep_leaves_the_checkpoint_of_a_longer_one(study: Study, swept: Study) -> None:
    with_training(study, checkpoint_minutes=1e-9)
    with pytest.raises(Killed):
        train(study, FOUR, CPU, None, reporter(killed_at(4)))
    train(study, FOUR[:1], CPU, None, reporter())
    said: list[str] = []
    train(study, FOUR, CPU, None, reporter(said=said))
    assert f"{SPLIT}: 3 networks go on at step 2 of 5" in said
    check_same(study, swept, FOUR)
    assert left_over(study) == []


def test_checkpoints_of_a_run_killed_after_its_last_row_are_removed(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing left to train, yet the next run tidies up."""
    with_training(study, checkpoint_steps=1)
    with monkeypatch.context() as patch:
        patch.setattr(training.checkpoints, "clear", lambda *_: None)
        train(study, FOUR, CPU, None, reporter())
    assert left_over(study) != []
    train(study, FOUR, CPU, None, reporter())
    assert left_over(study) == []


def test_a_damaged_checkpoint_gives_way_to_the_one_before(study: Study, swept: Study) -> None:
    with_training(study, checkpoint_minutes=1e-9)
    with pytest.raises(Killed):
        train(study, FOUR, CPU, None, reporter(killed_at(5)))
    _, last = sorted((study.root / SPLIT / "checkpoints").iterdir())
    last.write_bytes(last.read_bytes()[:-9])
    said: list[str] = []
    train(study, FOUR, CPU, None, reporter(said=said))
    assert said[1].startswith(f"the checkpoint {last} is damaged: ")
    assert said[2] == f"{SPLIT}: 4 networks go on at step 2 of 5"
    check_same(study, swept, FOUR)


def test_a_checkpoint_of_another_recipe_is_not_gone_on_with(study: Study, swept: Study) -> None:
    with_training(study, checkpoint_minutes=1e-9, momentum=0.5)
    with pytest.raises(Killed):
        train(study, FOUR, CPU, None, reporter(killed_at(4)))
    with_training(study)
    train(study, FOUR, CPU, None, reporter())
    check_same(study, swept, FOUR)


def test_a_checkpoint_of_another_precision_is_left_alone(study: Study, swept: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` may mean bfloat16 on one machine and float32 on another, by one and the same recipe."""
    with_training(study, checkpoint_minutes=1e-9)
    monkeypatch.setattr(training, "settle", lambda *_: "")  # which would ask first
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(training, "pick_precision", lambda wanted, device: torch.bfloat16)
        train(study, FOUR, CPU, None, reporter(killed_at(4)))
    train(study, FOUR, CPU, None, reporter())
    check_same(study, swept, FOUR)


def test_checkpoints_are_as_far_apart_as_the_recipe_says(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that goes 20 seconds a look, a checkpoint a minute: after the third step, and no other."""
    clock = iter(range(0, 100_000, 20))
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with_training(study, checkpoint_minutes=0.99)
    saved: list[int] = []
    monkeypatch.setattr(training.checkpoints, "save", lambda folder, tensors, about: saved.append(about["step"]))
    train(study, FOUR[:1], CPU, None, reporter())
    assert saved == [3]


def test_checkpoints_every_so_many_steps(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    with_training(study, checkpoint_steps=2)
    saved: list[int] = []
    monkeypatch.setattr(training.checkpoints, "save", lambda folder, tensors, about: saved.append(about["step"]))
    train(study, FOUR[:1], CPU, None, reporter())
    assert saved == [2, 4]


def test_progress_adds_up_even_where_a_run_goes_on(study: Study) -> None:
    """The bar ends at its total: steps that a killed run had done count as done."""
    with_training(study, checkpoint_minutes=1e-9)
    with pytest.raises(Killed):
        train(study, FOUR, CPU, None, reporter(killed_at(4)))
    totals: list[int] = []
    steps: list[int] = []
    train(study, FOUR, CPU, 3, Reporter(totals.append, steps.append, lambda text: None, steps.append))
    assert totals == [4 * 5]
    assert sum(steps) == 4 * 5


# -- promise 5: rows


def test_a_row_holds_what_was_measured_and_what_made_it(swept: Study) -> None:
    recipe, halves = swept.recipe(), swept.halves(SPLIT)
    for network in [*bases([SPLIT], [0]), *sweep("AB")]:
        row, folder = swept.row(network), swept.folder(network)
        assert row is not None
        log = pandas.read_csv(folder / "log.csv")
        assert tuple(log.columns) == LOG_COLUMNS
        assert list(log["step"]) == [0, 2, 4, 5]
        last = log.iloc[-1]
        assert {key: row[key] for key in ("top1", "top5", "loss", "train_loss", "step")} == {
            key: last[key] for key in ("top1", "top5", "loss", "train_loss", "step")
        }
        assert row["top1_best10"] == pytest.approx(log["top1"][1:].mean())
        assert (row["classes"], row["val_pictures"]) == (4, 20)
        assert (row["network"], row["split"], row["seed"], row["layer"]) == (network.name, SPLIT, 0, network.layer)
        assert row["recipe_digest"] == recipe.digest()
        assert row["split_digest"] == halves.digest
        assert (row["version"], row["torch"]) == (transfercli.__version__, torch.__version__)
        assert (row["precision"], row["cuda"]) == ("float32", "")
        assert row["frozen_digest_before"] == row["frozen_digest_after"]
        assert bool(row["frozen_digest_before"]) == (resolve(network, 8).prefix > 0)
        assert network.name in row["bank"].split()
        weights = load_weights(swept, network)
        assert all(tensor.isfinite().all() for tensor in weights.values())
        if network.donor:
            source = load_weights(swept, network.donor)
            first = {f"{kind}{n}." for n in range(1, network.layer + 1) for kind in ("conv", "fc")}
            copied = {name: torch.equal(weights[name], source[name]) for name in weights if name[: name.index(".") + 1] in first}
            assert len(copied) == 2 * network.layer
            if resolve(network, 8).prefix:
                assert all(copied.values())
            else:  # a bias may have no gradient, but every weight decays
                assert not any(same for name, same in copied.items() if name.endswith(".weight"))


def test_the_table_is_rebuilt_from_the_rows(swept: Study, tmp_path: Path) -> None:
    study = Study(shutil.copytree(swept.root, tmp_path / "study"))
    before = (study.root / "results.csv").read_bytes()
    table = pandas.read_csv(study.root / "results.csv", keep_default_na=False)
    assert len(table) == 72
    (study.root / "results.csv").unlink()
    study.write_table()
    assert (study.root / "results.csv").read_bytes() == before
    shutil.rmtree(study.folder(FOUR[0]))
    study.write_table()
    assert sorted({*table["network"]} - {*pandas.read_csv(study.root / "results.csv")["network"]}) == [FOUR[0].name]


def test_only_networks_without_a_row_are_trained(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    train(study, FOUR[:2], CPU, None, reporter())
    before = [made(study, network) for network in FOUR[:2]]
    stamps = [os.stat(study.folder(network) / "row.json").st_mtime_ns for network in FOUR[:2]]
    said: list[str] = []
    found = train(study, FOUR, CPU, None, reporter(said=said))
    assert said[0].startswith("2 of 4 networks to train, on cpu, ")
    assert said[0].endswith(" processors in float32")
    assert [row["network"] for row in found] == [network.name for network in FOUR]
    assert [made(study, network) for network in FOUR[:2]] == before
    assert [os.stat(study.folder(network) / "row.json").st_mtime_ns for network in FOUR[:2]] == stamps
    monkeypatch.setattr(Bank, "step", None)
    assert train(study, FOUR, CPU, None, reporter()) == found


def test_no_row_is_there_before_its_network_is_measured(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a bank trains no row of it is there; the rows come when all its networks have been measured at the last step."""
    steps: list[int] = []
    evaluate = Bank.evaluate

    def watched(bank: Bank) -> None:
        assert not any(study.row(network) for network in FOUR)
        evaluate(bank)
        steps.append(bank.step_number)

    monkeypatch.setattr(Bank, "evaluate", watched)
    train(study, FOUR, CPU, None, reporter())
    assert steps == [0, 2, 4, 5]
    assert all(study.row(network) for network in FOUR)


def full_for(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`os.replace` or `os.fsync` on a disk that has no room for the last writing of a file of that name."""

    def replace(source: Any, target: Any) -> Any:
        if Path(target).match(name):
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(source, target)

    return replace


@pytest.mark.parametrize("file", ["A6B/weights.safetensors", "A6B/log.csv", "A6B/row.json", "results.csv"])
def test_a_full_disk_leaves_whole_rows_or_none(study: Study, swept: Study, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written before it: whole. It and what follows: not there. Once there is room the same call ends the work."""
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full_for(file, os.replace))
        with pytest.raises(TransferError) as error:
            train(study, FOUR, CPU, None, reporter())
    names = {"A6B/": study.folder(FOUR[1]), "results": study.root}
    path = next(folder for start, folder in names.items() if file.startswith(start)) / Path(file).name
    assert str(error.value) == f"cannot write {path}: No space left on device; make room or choose another folder: --study DIR"
    whole = [network for network in FOUR if study.row(network)]
    assert [n.name for n in whole] == (["A2B", "A6B", "B2B+", "B6B+"] if file == "results.csv" else ["A2B"])
    check_same(study, swept, whole)
    assert left_over(study) == []
    assert len(study.rows()) == 2 + len(whole)
    train(study, FOUR, CPU, None, reporter())
    check_same(study, swept, FOUR)
    assert len(pandas.read_csv(study.root / "results.csv")) == 6


def test_weights_too_large_for_the_disk_are_a_clear_error(study: Study) -> None:
    """safetensors writes by itself and reports a full disk in its own way. A limit on file sizes stands for the disk."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(TransferError) as error:
            train(study, FOUR[:1], CPU, None, reporter())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    path = study.folder(FOUR[0]) / "weights.safetensors"
    text = str(error.value)
    assert text.startswith(f"cannot write {path}: ")
    assert text.endswith("; make room or choose another folder: --study DIR")
    assert "\n" not in text
    assert study.row(FOUR[0]) is None
    assert list(path.parent.iterdir()) == []


# -- networks that learn nothing


def test_networks_of_a_spoiled_base_diverge_and_the_others_do_not_notice(study: Study, swept: Study) -> None:
    """The weights of baseA hold a NaN: each network with a layer of it says so, the rest are what they always are."""
    path = study.folder(base(SPLIT, 0, "A")) / "weights.safetensors"
    weights = load_file(path)
    weights["conv1.weight"][0, 0, 0, 0] = math.nan
    save_file(weights, path)
    row = path.with_name("row.json")  # which says that these are its weights, else they would be refused
    row.write_text(json.dumps(json.loads(row.read_text()) | {"weights_digest": digest(weights, sorted(weights))}))
    networks = transfers([SPLIT], [0], ["B"], [1, 3], ["BnB", "AnB", "AnB+", "RnB"])
    said: list[str] = []
    found = train(study, networks, CPU, None, reporter(said=said))
    assert {row["network"]: row["status"] for row in found if row["source"] == "A"} == dict.fromkeys(
        ("A1B", "A3B", "A1B+", "A3B+"), "diverged at step 0"
    )
    for row in found:
        if row["source"] == "A":
            assert (row["top1"], row["loss"], row["train_loss"], row["step"]) == (0.25, None, None, 0)
    check_same(study, swept, [network for network in networks if network.source != "A"])
    assert said[1].startswith(f"{SPLIT}: ")
    for name in ("A1B", "A3B", "A1B+", "A3B+"):
        assert f"{name} diverged at step 0" in said[1]
    table = pandas.read_csv(study.root / "results.csv")
    assert table.set_index("network")["loss"].isna().sum() == 4
    log = pandas.read_csv(study.folder(networks[2]) / "log.csv")
    assert log["loss"].isna().all()


def test_a_bank_does_not_go_on_with_layers_of_another_base(study: Study) -> None:
    """Killed, and its base trained again elsewhere before it is resumed: what it began with is not what is there now."""
    with_training(study, checkpoint_minutes=1e-9)
    with pytest.raises(Killed):
        train(study, FOUR, CPU, 100, reporter(killed_at(4)))
    folder = study.folder(base(SPLIT, 0, "A"))
    weights = {key: value + 1e-3 for key, value in load_file(folder / "weights.safetensors").items()}
    save_file(weights, folder / "weights.safetensors")
    with pytest.raises(TransferError) as error:
        train(study, FOUR, CPU, 100, reporter())
    assert (
        str(error.value) == f"the weights in {folder} are not those of its row; remove it and train it again: "
        f"transfer train-base --study {study.root}"
    )
    row = folder / "row.json"
    row.write_text(json.dumps(json.loads(row.read_text()) | {"weights_digest": digest(weights, sorted(weights))}))
    with pytest.raises(TransferError) as error:
        train(study, FOUR, CPU, 100, reporter())
    kept = study.root / SPLIT / "checkpoints"
    assert str(error.value) == (
        f"{SPLIT}: A2B was begun with layers of another baseA than is there now; remove {kept} to begin its networks anew"
    )
    shutil.rmtree(kept)
    assert len(train(study, FOUR, CPU, 100, reporter())) == 4


def test_a_row_says_which_weights_it_copied(swept: Study) -> None:
    for network in [*bases([SPLIT], [0]), *sweep("AB")]:
        row, donor = swept.row(network), network.donor and swept.row(network.donor)
        assert row is not None and row["source_digest"] == (donor["weights_digest"] if donor else "")


def test_too_large_a_learning_rate_is_told_with_its_step(split_study: Study) -> None:
    """The first step's loss is that of the weights as drawn; what it makes of them overflows at the second. Then all stop."""
    steps: list[int] = []
    with_training(split_study, schedule={"name": "constant", "rate": 1e30})
    both = bases([SPLIT], [0])
    found = train(split_study, both, CPU, None, reporter(steps.append))
    assert steps == [0, 2, 2]  # two networks, two steps
    assert [row["status"] for row in found] == ["diverged at step 2"] * 2
    assert [row["step"] for row in found] == [2, 2]  # measured then, and not trained further
    assert [row["loss"] for row in found] == [None, None]
    assert list(pandas.read_csv(split_study.folder(both[0]) / "log.csv")["step"]) == [0, 2]
    assert [row["status"] for row in split_study.rows()] == ["diverged at step 2"] * 2


def test_a_network_that_stays_at_chance_did_not_learn(split_study: Study, bases_must_learn: None) -> None:
    """Gaussians as narrow as the paper's on so slim a network: all guesses alike, and next to no step away from there."""
    schedule = {"schedule": {"name": "constant", "rate": 1e-12}}
    split_study.write_recipe(tiny_recipe({"network": {"init": "caffe"}, "training": schedule}))
    said: list[str] = []
    found = train(split_study, bases([SPLIT], [0]), CPU, None, reporter(said=said))
    assert [row["status"] for row in found] == ["did not learn"] * 2
    assert said[1] == f"{SPLIT}: baseA did not learn, baseB did not learn"


def test_a_network_that_learns_is_done(split_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in pictures can be learned even by so small a network: its loss falls well below that of a guess."""
    monkeypatch.setattr(finish, "SIGMAS", 1)  # of 20 pictures, three are 6
    recipe = tiny_recipe(
        {
            "network": {"dropout": 0, "widths": [8, 8, 8, 8, 8, 16, 16], "normalisation": "batch"},
            "training": {"steps": 100, "schedule": {"name": "cosine", "rate": 0.03}, "velocity": "pytorch"},
            "evaluation": {"every": 50},
        }
    )
    split_study.write_recipe(recipe)
    (row,) = train(split_study, [base(SPLIT, 0, "B")], CPU, None, reporter())
    assert row["status"] == "done"
    assert row["train_loss"] < 1


@given(classes=st.integers(2, 1000), pictures=st.integers(1, 5000), over=st.floats(0.5, 1.5), sigmas=st.floats(-2, 8))
def test_not_learning_is_the_loss_and_the_accuracy_of_a_guess(classes: int, pictures: int, over: float, sigmas: float) -> None:
    chance, val, train = 1 / classes, [pictures] * classes, [3] * classes
    pictures *= classes
    top1 = chance + sigmas * math.sqrt(chance * (1 - chance) / pictures)
    last = {"train_loss": over * math.log(classes), "top1": top1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "SIGMAS", 3)
        told, of_a_base = (status(last, None, is_base, train, val, True) for is_base in (False, True))
        assert status(last, 7, True, train, val, True) == "diverged at step 7"
        assert status(last, None, True, train, val, False) == "done"  # nobody judges a smoke run
        assert status(last, 7, True, train, val, False) == "diverged at step 7"
    if abs(over - 0.99) > 1e-6 and abs(sigmas - 3) > 1e-3:
        assert told == ("did not learn" if over > 0.99 and sigmas < 3 else "done")
        assert of_a_base == (told if told != "done" or sigmas > 3 else "no better than chance")


def test_a_collapse_to_the_largest_class_is_no_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of 90 and 10 pictures: always to name the first class is right 9 times in 10, with a loss of 0.325, not ln 2."""
    monkeypatch.setattr(finish, "SIGMAS", 3)
    train, val = [900, 100], [90, 10]
    collapsed = {"train_loss": 0.325, "top1": 0.9}
    assert status(collapsed, None, False, train, val, True) == "did not learn"
    assert status({**collapsed, "train_loss": 0.2}, None, True, train, val, True) == "no better than chance"
    assert status({"train_loss": 0.2, "top1": 0.995}, None, True, train, val, True) == "done"
    assert (finish.guess(val), finish.entropy(train)) == (0.9, pytest.approx(0.3251, abs=1e-4))


# -- the mean of the ten best


@given(top1=st.lists(st.floats(0, 1), min_size=1, max_size=25), first=st.floats(0, 1))
@settings(max_examples=25)
def test_the_ten_best_are_of_measurements_after_training_began(top1: list[float], first: float) -> None:
    """The untrained network's accuracy, at step 0, is never among them, however good."""
    log = [{"step": 0, "top1": first}] + [{"step": 10 * (i + 1), "top1": value} for i, value in enumerate(top1)]
    best = sorted(top1)[-10:]
    assert best10(log) == pytest.approx(sum(best) / len(best))


def best10(log: list[dict[str, float]]) -> float:
    """`top1_best10` of a row with this log."""
    written: list[dict[str, Any]] = []
    network = base(SPLIT, 0, "B")
    module = torch.nn.Sequential()
    whole = [{"top5": 1.0, "loss": 1.0, "train_loss": 1.0, "balanced_top1": 1.0, **line} for line in log]
    measured: dict[str, Any] = {"log": whole, "diverged": None, "frozen_before": "", "copied": ""}
    member: Any = SimpleNamespace(network=network, resolved=resolve(network, 8), module=module, layers=[], **measured)
    halves: Any = SimpleNamespace(digest="", split=SimpleNamespace(classes=lambda half: ["a", "b"], half_names={}))
    source, setting = SimpleNamespace(labels=torch.arange(10) % 2), SimpleNamespace(means={"B": None})
    parts: dict[str, Any] = {"train": {"B": source}, "val": {"B": source}, "holdout": {}}
    bank: Any = SimpleNamespace(**parts, recipe=tiny_recipe(), setting=setting, steps=10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "save_file", lambda tensors, path, *about: None)
        patch.setattr(Study, "write_network", lambda self, network, row, log: written.append(row))
        patch.setattr(finish, "replacing", nullcontext)
        patch.setattr(finish, "metadata", lambda *about: {})
        finish.write_member(Study(Path("unused")), halves, bank, member, None, {}, {})
    return written[0]["top1_best10"]


# -- what training needs


def test_pictures_of_the_source_are_subtracted_by_a_mean_that_is_kept(study: Study, swept: Study) -> None:
    """Damaged or of other pictures, it is made again."""
    path = study.root / SPLIT / "mean-A.safetensors"
    ((key, mean),) = load_file(path).items()
    mean = mean.clone()  # of the file's memory, which is about to change
    path.write_bytes(b"not a mean")
    train(study, FOUR, CPU, None, reporter())
    assert torch.equal(load_file(path)[key], mean)
    check_same(study, swept, FOUR)


def test_a_mean_for_each_channel_is_that_of_the_mean_image(split_study: Study) -> None:
    for mean, shape in (("image", (14, 14, 3)), ("channel", (3,)), ("none", None)):
        recipe = tiny_recipe({"pictures": {"mean": mean}})
        table = Bench(split_study, recipe, split_study.halves(SPLIT), CPU, torch.float32)
        found = table.mean("A")
        assert (found if found is None else tuple(found.shape)) == shape
        if mean == "channel":
            pixels = table.pixels("A", "train").kept
            assert pixels is not None and found is not None
            torch.testing.assert_close(found, pixels.float().mean((0, 1, 2)))


def test_a_mean_is_in_the_units_of_what_it_is_subtracted_from(split_study: Study) -> None:
    """Of pixels 0-255; with a standard deviation of pixels 0-1."""
    given = [0.485, 0.456, 0.406]
    for mean in ("image", "channel", given):
        found = {}
        for std in (None, [0.2, 0.3, 0.4]):
            recipe = tiny_recipe({"pictures": {"mean": mean, "std": std, "divide": 1}})
            found[std is None] = Bench(split_study, recipe, split_study.halves(SPLIT), CPU, torch.float32).mean("A")
        of_255, of_1 = found[True], found[False]
        assert of_255 is not None and of_1 is not None
        torch.testing.assert_close(of_255 / 255, of_1)
        assert mean != given or torch.equal(of_1, torch.tensor(given))


def test_a_mean_of_pictures_as_they_are_stored_is_not_that_of_upright_ones(split_study: Study) -> None:
    keys = set()
    for orientation in ("ignore", "exif"):
        recipe = tiny_recipe({"pictures": {"orientation": orientation}})
        table = Bench(split_study, recipe, split_study.halves(SPLIT), CPU, torch.float32)
        assert table.kept_mean("A") is None  # though the other's is kept
        table.mean("A")
        keys |= load_file(split_study.root / SPLIT / "mean-A.safetensors").keys()
    assert keys == {f"{table.halves.digest[:16]}-14-warp{end}" for end in ("", "-exif")}  # without the key as it always was


def test_a_base_that_learned_nothing_has_no_sweep(study: Study) -> None:
    networks, recipe = sweep("B"), study.recipe()
    path = study.folder(base(SPLIT, 0, "A")) / "row.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "no better than chance"}))
    with pytest.raises(TransferError) as error:
        check_bases(study, networks, recipe)
    assert str(error.value) == (
        f"{SPLIT} baseA has nothing to transfer (no better than chance); "
        "start a new study (--study NEW) with another learning rate: --set training.schedule.rate=0.01; "
        f"or go on without that split: remove {study.root / SPLIT}"
    )
    check_bases(study, transfers([SPLIT], [0], ["B"], [3], ["BnB", "RnB"]), recipe)  # which do without it


def test_a_mean_of_pictures_resized_one_way_is_not_that_of_another(split_study: Study) -> None:
    keys = set()
    for interpolation in ("bilinear", "bicubic"):
        recipe = tiny_recipe({"pictures": {"interpolation": interpolation}})
        table = Bench(split_study, recipe, split_study.halves(SPLIT), CPU, torch.float32)
        assert table.kept_mean("A") is None
        table.mean("A")
        keys |= load_file(split_study.root / SPLIT / "mean-A.safetensors").keys()
    assert keys == {f"{table.halves.digest[:16]}-14-warp{end}" for end in ("", "-bicubic")}


def test_bases_are_asked_for_before_anything_is_trained(split_study: Study, study: Study) -> None:
    networks, recipe = sweep("B"), study.recipe()
    check_bases(study, networks, recipe)
    with pytest.raises(TransferError) as error:
        check_bases(split_study, networks, recipe)
    assert str(error.value) == f"{SPLIT} has no baseA yet; train it: transfer train-base --study {split_study.root}"
    check_bases(split_study, [], recipe)
    shutil.rmtree(study.folder(base(SPLIT, 0, "A")))
    check_bases(study, transfers([SPLIT], [0], ["B"], [3], ["BnB", "RnB"]), recipe)  # which do without baseA
    with pytest.raises(TransferError) as error:
        check_bases(study, networks, tiny_recipe({"training": {"momentum": 0.5}}))
    assert str(error.value) == f"{SPLIT} has no baseA yet; train it: transfer train-base --study {study.root}"


def test_bases_of_another_recipe_are_refused(study: Study) -> None:
    with pytest.raises(TransferError) as error:
        check_bases(study, sweep("B"), tiny_recipe({"training": {"momentum": 0.5}}))
    assert str(error.value) == (
        f"{SPLIT} baseA was trained with another recipe; start a new study (--study NEW), "
        f"or remove {study.root / SPLIT / 'baseA'} and train it again: transfer train-base --study {study.root}"
    )
    check_bases(study, sweep("B"), tiny_recipe({"training": {"checkpoint_minutes": 9}}))  # which decides no number


def test_weights_that_cannot_be_read_are_named(study: Study) -> None:
    one = base(SPLIT, 0, "A")
    path = study.folder(one) / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TransferError) as error:
        load_weights(study, one)
    text = str(error.value)
    assert text.startswith(f"cannot read the weights of {SPLIT} baseA (")
    assert text.endswith(f"); remove {path.parent} and train it again: transfer train-base --study {study.root}")
    assert "\n" not in text
