"""Treatments of several phases, of other layers and of rates by layer: a bank trains them as the treatments' table says."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import ADAMW, CPU, SPLIT, Tiny, numbers, run, silent, tiny_recipe, with_slow
from torch import Tensor

from transfercli.networks.layers import layers_of
from transfercli.plan.networks import Network, bases, named, varied
from transfercli.plan.treatments import ALL, TREATMENTS, Phase, Treatment
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training.bank import Bank
from transfercli.training.train import train
from transfercli.training.verify import verify

THAW = Treatment("AnB.thaw", "other", "all but the last", (Phase("last", 0.2), Phase("each", 0.8), Phase("all")), "chain-thaw")
KEEP = TREATMENTS["AnB.keep"]
SLOWER = Treatment("AnB+.slower", "other", "first n", ALL, "rates divided by 2 a layer", slower=2.0)
PROBE = Treatment("AnB.probe", "other", "all but the last", (Phase("last", 0.4), Phase("all", rate=0.5)), "the last, then all")
REST = Treatment("AnB.rest", "other", "first n", (Phase("all", 0.3), Phase("last", 0.6), Phase("all")), "all but for a rest")
TREATED = (THAW, SLOWER, PROBE, REST)
STEPS = 20
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {"training": {"steps": STEPS}},
    "batch": {"network": {"normalisation": "batch"}, "training": {"steps": STEPS, "velocity": "pytorch", "nesterov": True}},
    "adamw": {"network": {"normalisation": "batch"}, "training": {**ADAMW, "steps": STEPS}},
}


@pytest.fixture(autouse=True)
def more_treatments(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for treatment in TREATED:
        monkeypatch.setitem(TREATMENTS, treatment.name, treatment)
    yield


def of(*names: str) -> list[Network]:
    return [named(SPLIT, 0, name) for name in names]


def states(bank: Bank) -> list[dict[str, Tensor]]:
    """By layer, its parameters and buffers."""
    (member,) = bank.members
    whole = member.module.state_dict()
    return [{key: whole[key].clone() for key in whole if layer.owns(key)} for layer in layers_of(member.module)]


def changed(before: list[dict[str, Tensor]], after: list[dict[str, Tensor]]) -> list[int]:
    """The layers that are other than they were."""
    pairs = enumerate(zip(before, after, strict=True), start=1)
    return [number for number, (a, b) in pairs if not all(a[key].equal(b[key]) for key in a)]


@pytest.mark.parametrize("recipe", RECIPES)
def test_in_a_phase_only_its_layers_change(tiny: Tiny, recipe: str) -> None:
    """The last, then each of the eight by turns, then all; BatchNorm's statistics too."""
    bank = tiny.bank(of("A7B.thaw"), tiny_recipe(RECIPES[recipe]))
    assert bank.steps == STEPS
    seen, before = [], states(bank)
    for _ in range(STEPS):
        bank.step()
        after = states(bank)
        seen.append(changed(before, after))
        before = after
    assert seen[:4] == [[8]] * 4 and seen[16:] == [list(range(1, 9))] * 4
    turns = [seen[step][0] for step in range(4, 16)]
    assert all(len(layers) == 1 for layers in seen[4:16]) and turns == sorted(turns) and {*turns} == {*range(1, 9)}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("stopped", with_slow([2, 4, 6, 8, 12, 16, 18], [4, 8, 12, 16, 18]))
def test_a_bank_restored_inside_any_phase_ends_the_same_also_alone(tiny: Tiny, recipe: str, stopped: int) -> None:
    networks = of("A7B.thaw", "A3B.probe", "A5B.rest", "A3B.keep", "A5B", "A3B", "A2-4B", "A3B+.slower", "baseB")
    whole = numbers(run(tiny.bank(networks, tiny_recipe(RECIPES[recipe]))))
    bank = tiny.bank(networks[:4], tiny_recipe(RECIPES[recipe]))
    while bank.step_number < stopped:
        if bank.step_number in bank.recipe.evaluation.at(STEPS):
            bank.evaluate()
        bank.step()
    tensors, about = bank.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    resumed = tiny.bank(networks[3::-1], tiny_recipe(RECIPES[recipe]), threads=2)
    resumed.restore(tensors, about)
    assert numbers(run(resumed)) == {network.name: whole[network.name] for network in networks[:4]}
    for network in networks if stopped == 2 else []:
        assert numbers(run(tiny.bank([network], tiny_recipe(RECIPES[recipe]))))[network.name] == whole[network.name], network.name


def test_another_treatment_of_the_same_name_does_not_go_on(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe(RECIPES["plain"])
    state = tiny.bank(of("A3B.keep"), recipe).state()
    monkeypatch.setitem(TREATMENTS, KEEP.name, Treatment(KEEP.name, "other", "all but the last", ALL, "all copied, none frozen"))
    with pytest.raises(ValueError, match=r"A3B\.keep was begun by another treatment AnB\.keep"):
        tiny.bank(of("A3B.keep"), recipe).restore(*state)


def test_a_frozen_prefix_is_shared_whatever_the_treatment(tiny: Tiny) -> None:
    """By all with the longest common beginning: A3B.keep has A5B's first three layers; A2-4B shares nothing, R3B has its own."""
    networks = of("A5B", "A3B.keep", "A3B", "R3B", "A2-4B", "A7B.thaw")
    bank = tiny.bank(networks, tiny_recipe({"training": {"steps": 100}}))
    ran: list[tuple[str, str]] = []
    for member in bank.members:
        for layer in member.layers:
            module, key = member.module.get_submodule(layer.name), (member.network.name, layer.name)
            module.register_forward_pre_hook(lambda _, args, key=key: ran.append(key))
    bank.step()
    first = [name for name, layer in ran if layer == "conv1"]
    assert sorted(first) == ["A2-4B", "A7B.thaw", "R3B"], (
        "A7B.thaw begins with seven layers that rest, and A5B's are the same five"
    )
    assert [name for name, layer in ran if layer == "conv4"].count("A5B") == 0
    assert ("A3B.keep", "conv4") in ran and ("A3B", "conv4") in ran


def test_rates_by_layer_and_of_the_whole_network(tiny: Tiny) -> None:
    """After one step from equal weights without decay, a layer has moved by its rate times what it moves at the recipe's."""
    recipe = tiny_recipe({"training": {"steps": 4, "weight_decay": 0.0}})
    plain, slower = of("A3B+", "A3B+.slower")
    half = varied(plain, rate=0.5)
    before = states(tiny.bank([plain], recipe))
    moved = {}
    for network in (plain, slower, half):
        bank = tiny.bank([network], recipe)
        bank.step()
        pairs = zip(states(bank), before, strict=True)
        moved[network] = [float((after[key] - was[key]).norm()) for after, was in pairs for key in list(was)[:1]]  # weights
    assert moved[half] == pytest.approx([0.5 * one for one in moved[plain]], rel=1e-3)
    assert moved[slower] == pytest.approx([one / 2 ** (8 - n) for n, one in enumerate(moved[plain], start=1)], rel=1e-3)


def test_what_never_learns_is_frozen_and_nothing_else(tiny: Tiny) -> None:
    for name, frozen in (("A2-4B", [2, 3, 4]), ("A3B.keep", [1, 2, 3]), ("A7B.thaw", [])):
        bank = tiny.bank(of(name), tiny_recipe({"training": {"steps": STEPS}}))
        before = states(bank)
        run(bank)
        same = [number for number in range(1, 9) if number not in changed(before, states(bank))]
        assert same == frozen == list(bank.members[0].resolved.frozen), name


def test_what_learns_again_begins_without_velocity(tiny: Tiny) -> None:
    """Rates and velocities of another time say nothing of where a layer stands now."""
    bank = tiny.bank(of("A3B.rest"), tiny_recipe({"training": {"steps": STEPS, "weight_decay": 0.0}}))
    (member,) = bank.members
    first = next(member.layers[0].parameters())
    again = 12
    for _ in range(again):
        bank.step()
    before, gradients = first.detach().clone(), list[Tensor]()
    member.enter(again, STEPS)  # from here on it has a gradient
    first.register_hook(lambda gradient: gradients.append(gradient.clone()))
    bank.step()
    velocity = member.optimizer.state[first]["momentum_buffer"]
    assert velocity.equal(gradients[0])
    torch.testing.assert_close(before - bank.rate(again) * velocity, first.detach())
    assert float((before - first.detach()).norm()) > 0


def test_what_learns_again_is_a_first_step_of_adamw(tiny: Tiny) -> None:
    """Whose means are then of one gradient, and counted so: each weight moves by the learning rate. What rests does not decay."""
    bank = tiny.bank(of("A3B.rest"), tiny_recipe({"training": {**ADAMW, "steps": STEPS, "bias_decay": True}}))
    (member,) = bank.members
    first, again = next(member.layers[0].parameters()), 12
    resting = []
    while bank.step_number < again:
        resting.append(first.detach().clone())
        bank.step()
    assert not resting[5].equal(resting[6]) and all(resting[step].equal(first) for step in range(6, again))
    bank.step()
    rate, state = bank.rate(again), member.optimizer.state[first]
    assert state["step"] == 1 and member.optimizer.state[next(member.layers[7].parameters())]["step"] == again + 1
    moved, gradient = resting[-1] * (1 - rate * 0.1) - first.detach(), state["exp_avg"] / 0.1
    torch.testing.assert_close(moved, rate * gradient / (gradient.abs() + 1e-8))


def test_a_phases_rate_is_the_steps(tiny: Tiny) -> None:
    recipe = tiny_recipe({"training": {"steps": STEPS}})
    bank = tiny.bank(of("A3B.probe"), recipe)
    rates = []
    for step in range(STEPS):
        bank.step()
        rates.append(bank.members[0].optimizer.param_groups[0]["lr"] / bank.rate(step))
    assert rates == pytest.approx([1.0] * 8 + [0.5] * 12)


def test_a_study_of_such_treatments_is_verified(split_study: Study) -> None:
    """Also where what one network has changed by now was another's frozen beginning."""
    recipe = tiny_recipe(RECIPES["batch"])
    split_study.write_recipe(recipe)
    networks = [*bases([SPLIT], [0]), *of("A5B", "A7B.thaw", "A3B.keep", "A2-4B", "A3B.probe", "A3B+.slower")]
    for some in (networks[:2], networks[2:]):
        train(split_study, some, CPU, None, silent())
    report = verify(split_study, CPU, None, lambda text: None)
    assert report.problems == [] and report.counts["measurements"] > 0
    again = train(split_study, networks, CPU, None, silent())
    assert [row["network"] for row in again] == [network.name for network in networks]


def test_a_row_of_another_treatment_of_that_name_is_refused(split_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    split_study.write_recipe(tiny_recipe())
    train(split_study, bases([SPLIT], [0]), CPU, None, silent())
    train(split_study, of("A3B.keep"), CPU, None, silent())
    monkeypatch.setitem(TREATMENTS, KEEP.name, Treatment(KEEP.name, "other", "all but the last", ALL, "none frozen"))
    with pytest.raises(TransferError, match=r"A3B\.keep was trained by another treatment AnB\.keep than there is now"):
        train(split_study, of("A3B.keep"), CPU, None, silent())
    problems = verify(split_study, CPU, None, lambda text: None).problems
    assert any("trained by another treatment" in problem for problem in problems)
