"""Phases that last until patience is over: each ends where the log says, and the next goes on from its best measurement."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CPU, SPLIT, Tiny, tiny_recipe
from test_patience import killed, made, trained
from test_phases import changed, states

from transfercli.networks.start import digest
from transfercli.plan.networks import Network, named
from transfercli.plan.resolve import resolve
from transfercli.plan.treatments import TREATMENTS
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.report.phases import WIDTH, chart
from transfercli.study.folder import Study
from transfercli.study.table import load
from transfercli.system.errors import TransferError
from transfercli.training.bank import Bank
from transfercli.training.bench import Bench
from transfercli.training.cost import Layers, work_of
from transfercli.training.verify import verify

STEPS, EVERY, PATIENCE = 60, 2, 2
TRAINING: dict[str, Any] = {"steps": STEPS, "schedule": {"name": "constant", "rate": 0.05}, "checkpoint_steps": 1}
THAW = [{"train": "new", "until": "patience"}, {"train": "each copied", "until": "patience"}, {"train": "all"}]
MELT = [{"train": "from the top", "until": "patience"}, {"train": "all", "until": "patience", "rate": 0.5}]
OWN = [{"name": "AnB.thaw", "phases": THAW}, {"name": "BnB.thaw", "phases": THAW}, {"name": "AnB.melt", "phases": MELT}]
ALL8 = [*range(1, 9)]
LEARNS = {  # by turns, by hand
    "A3B.thaw": [[4, 5, 6, 7, 8], [1], [2], [3], ALL8],
    "B2B.thaw": [[3, 4, 5, 6, 7, 8], [1], [2], ALL8],
    "A2B.melt": [[3, 4, 5, 6, 7, 8], [2, 3, 4, 5, 6, 7, 8], ALL8],
}
PLAIN = ("A3B", "A3B+", "A3B.keep")


@pytest.fixture(autouse=True)
def only_built_in() -> Iterator[None]:
    """What recipes of one test define is gone in the next."""
    before = dict(TREATMENTS)
    yield
    TREATMENTS.clear()
    TREATMENTS.update(before)


def patient(own: list[dict[str, Any]] = OWN, **training: Any) -> Recipe:
    changes = {"pictures": {"folds": 2}, "evaluation": {"every": EVERY, "batch": 11}}
    values = tiny_recipe({**changes, "training": {**TRAINING, "patience": PATIENCE}}).model_dump(mode="json")
    return recipes.validate({**values, "own_treatments": own, "training": {**values["training"], **training}}, "tiny")


def networks() -> list[Network]:
    return [named(SPLIT, 0, name) for name in (*LEARNS, *PLAIN)]


def by_hand(losses: list[float]) -> list[int]:
    """At which measurements patience is over."""
    ended = list[int]()
    for at in range(len(losses)):
        lowest = losses.index(min(losses[: at + 1]))
        if at - max([lowest, *ended[-1:]]) >= PATIENCE:
            ended.append(at)
    return ended


@pytest.fixture(scope="module")
def done(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of patient networks and others, trained in one go. Only to copy, or to compare with."""
    study = Study(tmp_path_factory.mktemp("patient") / "study")
    shutil.copytree(tiny.study.root, study.root)
    before = dict(TREATMENTS)
    trained(study, patient(), networks())
    TREATMENTS.clear()
    TREATMENTS.update(before)
    return study


@pytest.mark.parametrize("name", LEARNS)
def test_each_phase_ends_where_the_log_says_with_its_best(done: Study, name: str) -> None:
    """Alone, looked at from outside after every step: what the bank of all made of it, to the bit."""
    bench = Bench(done, patient(), done.halves(SPLIT), CPU, torch.float32)
    bank = bench.bank([named(SPLIT, 0, name)])
    (member,) = bank.members
    kept, losses, ended, seen = list[str](), list[float](), list[int](), list[list[list[int]]]()

    def now() -> str:
        state = member.module.state_dict()
        return digest(state, sorted(state))

    while True:
        if bank.step_number % EVERY == 0:
            kept.append(now())
            bank.evaluate()
            losses.append(member.log[-1]["holdout_loss"])
            over = len(losses) - 1 in by_hand(losses)
            assert now() == (kept[losses.index(min(losses))] if over else kept[-1])
            ended += [bank.step_number] * over
        if bank.step_number == STEPS or len(ended) == len(LEARNS[name]):
            break
        before = states(bank)
        bank.step()
        seen += [[]] * (len(ended) == len(seen))
        seen[-1] = seen[-1] + [changed(before, states(bank))]
    taken = bank.step_number
    phases = zip(seen, LEARNS[name], strict=False)
    assert all(layers == expected for of, expected in phases for layers in of), seen
    assert member.stopped == (len(ended) == len(LEARNS[name])) and ended
    bank.close()
    row, log = made(done)[name]
    assert row["phase_ends"] == " ".join(map(str, ended)) and row["stopped_at"] == taken
    assert [float(line["holdout_loss"]) for line in csv.DictReader(log.splitlines())] == losses
    lowest = losses.index(min(losses))
    assert (row["step"], row["holdout_loss"], row["weights_digest"]) == (lowest * EVERY, losses[lowest], kept[lowest])
    spans = [end - began for began, end in zip([0, *ended], [*ended, taken], strict=False)]
    assert row["layer_steps"] == sum(span * len(layers) for span, layers in zip(spans, LEARNS[name], strict=False))


def test_they_end_at_different_steps_and_some_find_better_weights(done: Study, tmp_path: Path) -> None:
    rows = {name: row for name, (row, _) in made(done).items()}
    assert len({rows[name]["phase_ends"] for name in LEARNS}) == len(LEARNS)
    assert any(rows[name]["stopped_at"] < STEPS for name in LEARNS)
    assert any(rows[name]["step"] > int(rows[name]["phase_ends"].split()[0]) for name in LEARNS)
    assert all(rows[name]["phase_ends"] is None for name in PLAIN)
    patient()  # which defines them, as the recipe beside a table does
    table = load(Path(shutil.copy(done.root / "results.csv", tmp_path))).set_index("network")["phase_ends"]
    assert table["A3B.thaw"] == rows["A3B.thaw"]["phase_ends"] and table["A3B"] == ""


@pytest.mark.slow
def test_killed_and_resumed_inside_any_phase_is_the_same(
    done: Study, split_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert killed(monkeypatch, split_study, patient(), networks()[::-1]) == made(done)


def test_a_state_right_after_a_phases_end_goes_on_the_same(done: Study) -> None:
    """As it is saved when a picture cannot be read: measured already, the next phase not begun."""
    bench, network = Bench(done, patient(), done.halves(SPLIT), CPU, torch.float32), named(SPLIT, 0, "A2B.melt")
    first, _ = map(int, made(done)[network.name][0]["phase_ends"].split()[:2])

    def go(bank: Bank, until: int) -> Bank:
        while bank.step_number < until:
            bank.step()
            if bank.step_number % EVERY == 0:
                bank.evaluate()
        return bank

    whole, stopped = bench.bank([network]), bench.bank([network])
    whole.evaluate()
    stopped.evaluate()
    tensors, about = go(stopped, first).state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    resumed = bench.bank([network])
    resumed.restore(tensors, json.loads(json.dumps(about)))
    both = [go(bank, first + 3).state() for bank in (whole, resumed)]
    assert repr(both[0][1]) == repr(both[1][1]) and both[0][0].keys() == both[1][0].keys()
    assert all(both[0][0][name].equal(both[1][0][name]) for name in both[0][0])
    for bank in (whole, stopped, resumed):
        bank.close()


def test_a_phase_begins_without_velocity(done: Study) -> None:
    """Also of what learned in the phase before: its weights are of an earlier step now."""
    recipe = patient(velocity="pytorch", weight_decay=0.0, bias_rate=1.0)
    bank = Bench(done, recipe, done.halves(SPLIT), CPU, torch.float32).bank([named(SPLIT, 0, "A2B.melt")])
    (member,) = bank.members
    bank.evaluate()
    while member.resolved.stages[0].end(STEPS) == STEPS:  # which it has not come to
        bank.step()
        if bank.step_number % EVERY == 0:
            bank.evaluate()
    last, gradients = next(member.layers[7].parameters()), list[torch.Tensor]()
    last.register_hook(lambda gradient: gradients.append(gradient.clone()))
    bank.step()
    assert member.optimizer.state[last]["momentum_buffer"].equal(gradients[0]) and gradients[0].any()
    bank.close()


def test_verify_reads_the_phases_from_the_log(done: Study, tmp_path: Path) -> None:
    study = Study(shutil.copytree(done.root, tmp_path / "study"))

    def problems() -> str:
        return "\n".join(verify(study, CPU, None, lambda text: None).problems)

    assert problems() == ""
    folder = study.folder(named(SPLIT, 0, "A3B.thaw"))
    row, log = (folder / "row.json").read_text(), (folder / "log.csv").read_text()
    for change, said in (
        ({"phase_ends": "2 4"}, "A3B.thaw: its row says that phases ended at steps 2 4, its log "),
        ({"layer_steps": 1}, "A3B.thaw: its row has layer_steps 1, its log gives "),
        ({"stopped_at": 1}, "A3B.thaw: its row says that it ended at step 1, its log does not"),
    ):
        (folder / "row.json").write_text(json.dumps(json.loads(row) | change))
        assert said in problems(), change
    (folder / "row.json").write_text(row)
    lines = log.splitlines()
    (end,) = [place for place, line in enumerate(lines) if line.startswith(f"{json.loads(row)['phase_ends'].split()[0]},")]
    lines[end] = f"{lines[end].rpartition(',')[0]},0.001"  # as if the first phase had not ended there
    (folder / "log.csv").write_text("\n".join([*lines, ""]))
    assert "A3B.thaw: its row says that phases ended at steps" in problems()


def test_what_never_ends_is_planned_as_equal_parts_and_costs_what_it_took() -> None:
    patient()
    resolved = resolve(named(SPLIT, 0, "A2B.melt"), 8)
    assert [stage.end(100) for stage in resolved.stages] == [25, 50, 100]
    assert [stage.end(100) for stage in resolved.ended(()).stages] == [100, 100, 100]
    as_it_was = resolved.ended((10, 30, 70))
    assert as_it_was.spans(70, 100) == [10, 20, 40] and as_it_was.digest("", "") == resolved.digest("", "")
    assert [as_it_was.stage_at(step, 100) for step in (0, 9, 10, 29, 30, 99)] == [0, 0, 1, 1, 2, 2]
    layers = Layers((10,) * 8, (1,) * 8, (1,) * 8, (1,) * 8, 0)
    of_stage = [20 + 3 * 60 - 10, 10 + 3 * 70 - 10, 3 * 80 - 10]  # forward below; the lowest has no input's gradient
    expected = sum(span * work for span, work in zip((10, 20, 40), of_stage, strict=True)) / 70
    assert work_of([as_it_was], layers, 70, 100) == pytest.approx(expected, abs=1)


def test_a_single_phase_until_patience_is_the_plain_way() -> None:
    patient([{"name": "AnB.one", "phases": [{"train": "all", "until": "patience"}]}])
    plain, one = (resolve(named(SPLIT, 0, name), 8) for name in ("A3B+", "A3B.one"))
    assert plain.digest("r", "s") == one.digest("r", "s")


def test_a_chart_has_phases_of_equal_length_and_says_why() -> None:
    patient()
    drawn = chart(TREATMENTS["AnB.melt"], n=1)
    assert drawn.count(f'width="{WIDTH / 2:.1f}"') == 16 and "each until patience is over" in drawn
    assert "patience" not in chart(TREATMENTS["AnB.chain-thaw"])


def test_a_smoke_run_has_shares() -> None:
    """In its few steps patience would not be over."""
    phases = recipes.smoke(patient()).own_treatments[0].phases
    assert [phase.until for phase in phases] == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize(
    ("phases", "training", "said"),
    [
        (THAW, {"patience": None}, "the phases of AnB.x last until patience is over: set training.patience, in measurements"),
        ([*THAW[:1], {"train": "new", "until": 0.5}, {"train": "all"}], {}, "its phases last until patience all or none"),
        ([{"train": "new", "until": 10}, *THAW], {}, "its phases last until patience all or none; the last may leave it out"),
        ([{"train": "new", "until": "patient"}, *THAW], {}, "after a whole number of them above 1, or by patience"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(phases: list[dict], training: dict, said: str) -> None:
    with pytest.raises(TransferError) as error:
        patient([{"name": "AnB.x", "phases": phases}], **training)
    assert said in str(error.value) and "\n" not in str(error.value)
