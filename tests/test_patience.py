"""Early stopping: a network ends where its holdout's loss has not fallen for so long, and has the weights of its lowest."""

import csv
import json
from typing import Any

import pytest
import torch
from conftest import CPU, SPLIT, silent, tiny_recipe
from safetensors.torch import load_file

from transfercli.networks.start import digest
from transfercli.plan.networks import Network, bases, named
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training.bank import Bank
from transfercli.training.bench import Bench
from transfercli.training.stopping import best, ends
from transfercli.training.train import train
from transfercli.training.verify import verify

STEPS, EVERY, PATIENCE = 40, 4, 3
TRAINING: dict[str, Any] = {"steps": STEPS, "schedule": {"name": "constant", "rate": 0.05}, "checkpoint_steps": 1}
NAMES = ("A3B.chain-thaw", "A5B.lp-ft", "A3B", "B3B+", "R5B", "A3B.keep")


def patient(patience: int | None = PATIENCE, **training: Any) -> Recipe:
    changed = {"pictures": {"folds": 2}, "evaluation": {"every": EVERY, "batch": 11}}
    return tiny_recipe({**changed, "training": {**TRAINING, "patience": patience, **training}})


def lines(losses: list[float]) -> list[dict[str, float]]:
    return [{"step": float(step), "holdout_loss": loss} for step, loss in enumerate(losses)]


@pytest.mark.parametrize(
    ("losses", "lowest", "ended"),
    [
        ([3.0], 0, []),
        ([3.0, 2.0, 2.5, 2.4], 1, []),
        ([3.0, 2.0, 2.5, 2.4, 2.0], 1, [4]),  # as low is not lower
        ([1.0, 2.0, 2.0, 2.0], 0, [3]),
        ([2.0, float("nan"), float("inf"), 1.0], 3, []),
        ([float("nan")] * 4, 3, []),
        ([float("nan")] * 4 + [1.0, 1.0, float("nan"), 1.0], 4, [7]),
        # From its end on a phase is measured by the best of the phase before, which it begins with.
        ([3.0, 2.0, 9.0, 9.0, 9.0, 8.0, 7.0], 1, [4]),
        ([3.0, 2.0, 9.0, 9.0, 9.0, 8.0, 7.0, 2.0], 1, [4, 7]),
        ([3.0, 2.0, 9.0, 9.0, 9.0, 8.0, 1.0, 2.0, 2.0], 6, [4]),
        ([3.0, 2.0, 9.0, 9.0, 9.0, 8.0, 1.0, 2.0, 2.0, 2.0, 0.5], 10, [4, 9]),
    ],
)
def test_the_rule(losses: list[float], lowest: int, ended: list[int]) -> None:
    assert best(lines(losses))["step"] == lowest and ends(lines(losses), 3) == ended


def networks() -> list[Network]:
    return [named(SPLIT, 0, name) for name in NAMES]


def made(study: Study) -> dict[str, tuple[dict[str, Any], str]]:
    """Of every network what decides: of its row the numbers, and its log."""
    keys = ("top1", "loss", "holdout_loss", "step", "stopped_at", "status", "weights_digest", "frozen_digest_after", "fixed_loss")
    found = {}
    for path in study.row_files():
        row = json.loads(path.read_text())
        numbers = {key: row[key] for key in (*keys, "layer_steps", "multiply_adds")} | {"phase_ends": row.get("phase_ends")}
        found[row["network"]] = (numbers, (path.parent / "log.csv").read_text())
    return found


def trained(study: Study, recipe: Recipe, some: list[Network], bank_size: int | None = None) -> dict[str, Any]:
    study.write_recipe(recipe)
    train(study, bases([SPLIT], [0]), CPU, bank_size, silent())
    train(study, some, CPU, bank_size, silent())
    return made(study)


def killed(monkeypatch: pytest.MonkeyPatch, study: Study, recipe: Recipe, some: list[Network]) -> dict[str, Any]:
    """As `trained`, killed at every seventh step and begun anew, in banks of four."""

    class Killed(BaseException):
        pass

    step, count, kills = Bank.step, 0, 0

    def dying(bank: Bank) -> None:
        nonlocal count
        count += 1
        if count % 7 == 0:
            raise Killed
        step(bank)

    monkeypatch.setattr(Bank, "step", dying)
    while True:
        try:
            found = trained(study, recipe, some, bank_size=4)
            break
        except Killed:
            kills += 1
    assert kills > 5
    return found


def test_each_ends_where_the_rule_says_with_the_weights_of_its_best(split_study: Study) -> None:
    """Held against banks without patience, whose weights and holdout are looked at from outside at each measurement."""
    found = trained(split_study, patient(), networks())
    plain, by_step = Bench(split_study, patient(None), split_study.halves(SPLIT), CPU, torch.float32), dict[str, dict[int, str]]()
    losses = dict[str, list[float]]()
    for group in (bases([SPLIT], [0]), networks()):
        bank = plain.bank(group)
        for step in range(STEPS + 1):
            if step % EVERY == 0:
                held = bank.of_part(bank.holdout)
                for member in bank.members:
                    state = member.module.state_dict()
                    by_step.setdefault(member.network.name, {})[step] = digest(state, sorted(state))
                    losses.setdefault(member.network.name, []).append(held[member.network.name].shares()[2])
            if step < STEPS:
                bank.step()
        bank.close()
    ended = {}
    for name, of in losses.items():
        stop = next((at for at in range(len(of)) if at - of.index(min(of[: at + 1])) >= PATIENCE), len(of) - 1)
        lowest = of.index(min(of[: stop + 1]))
        row, log = found[name]
        assert (row["step"], row["stopped_at"]) == (lowest * EVERY, stop * EVERY), name
        assert row["holdout_loss"] == of[lowest], name
        assert row["weights_digest"] == by_step[name][lowest * EVERY], name
        assert [float(line["holdout_loss"]) for line in csv.DictReader(log.splitlines())] == of[: stop + 1]
        ended[name] = (row["step"], row["stopped_at"])
    assert len({stopped for _, stopped in ended.values()}) > 1, "they end at different steps"
    assert any(stopped < STEPS for _, stopped in ended.values()) and any(at > 0 for at, _ in ended.values())


@pytest.mark.slow
def test_alone_killed_and_resumed_is_the_same(split_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(split_study, patient(), networks())
    for folder in [path.parent for path in split_study.row_files()]:
        for file in folder.iterdir():
            file.unlink()
    assert killed(monkeypatch, split_study, patient(), networks()[::-1]) == whole
    problems = verify(split_study, CPU, None, lambda text: None).problems
    assert problems == []


def test_verify_knows_where_training_ended(split_study: Study) -> None:
    trained(split_study, patient(), networks()[:2])
    path = split_study.folder(named(SPLIT, 0, NAMES[0])) / "row.json"
    row = json.loads(path.read_text())
    for change, said in (
        ({"stopped_at": row["stopped_at"] + EVERY}, "its row says that it ended at step"),
        ({"step": row["stopped_at"] if row["step"] != row["stopped_at"] else 0}, "by its log another was best"),
    ):
        path.write_text(json.dumps(row | change))
        assert any(said in problem for problem in verify(split_study, CPU, None, lambda text: None).problems), change
    path.write_text(json.dumps(row))
    weights = load_file(path.parent / "weights.safetensors")
    assert digest(weights, sorted(weights)) == row["weights_digest"]


def test_patience_wants_a_fold_and_is_a_part_of_the_recipe() -> None:
    with pytest.raises(TransferError, match=r"training\.patience looks at a fold of the training pictures: set pictures\.folds"):
        tiny_recipe({"training": {"patience": 3}})
    with pytest.raises(TransferError, match=r"training\.snapshots are at shares of all steps, which with training\.patience"):
        patient(snapshots=[0.5])
    assert patient(None).digest() != patient(3).digest() != patient(4).digest()
