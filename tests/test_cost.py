"""What a study costs: sums that a person can redo, and a time that was measured."""

import numpy as np
import pytest
import torch
from conftest import ADAMW, CLASSES, SPLIT, Tiny, tiny_recipe

from transfercli.networks.layers import layers_of, run
from transfercli.networks.start import build
from transfercli.plan.jobs import jobs
from transfercli.plan.networks import Network, base, bases, named, transfers
from transfercli.recipe.reading import find
from transfercli.recipe.schema import Recipe
from transfercli.training import cost, measuring
from transfercli.training.bank import Bank

CPU = torch.device("cpu")
LAYERS = cost.Layers(
    work=(10, 20, 30, 40, 50, 60, 70, 80), parameters=(1, 2, 3, 4, 5, 6, 7, 8), outputs=(100,) * 8, largest=(100,) * 8, kept=3200
)
ALL = sum(LAYERS.work)


def network(text: str) -> Network:
    return named("random-0", 0, text)


def small() -> Recipe:
    return find("demo", ["pictures.size=10", "pictures.crop=8", "network.widths=[4,4,6,6,4,8,8]", "training.batch=16"])


def test_a_network_costs_three_passes_but_for_the_first_input_and_the_frozen_layers() -> None:
    assert cost.multiply_adds([base("random-0", 0, "B")], LAYERS) == 3 * ALL - 10
    assert cost.multiply_adds([network("A3B+")], LAYERS) == 3 * ALL - 10
    assert cost.multiply_adds([network("A3B")], LAYERS) == 60 + 3 * 300 - 40
    assert cost.multiply_adds([network("A7B")], LAYERS) == 280 + 2 * 80


def test_a_frozen_prefix_is_counted_once_for_each_source_and_target() -> None:
    trained = sum(3 * sum(LAYERS.work[n:]) - LAYERS.work[n] for n in (3, 5))
    assert cost.multiply_adds([network("A3B"), network("A5B")], LAYERS) == 150 + trained
    assert cost.multiply_adds([network("A3B"), network("B5B")], LAYERS) == 60 + 150 + trained
    assert cost.multiply_adds([network("A3B"), network("A5B")], LAYERS, shared=False) == 60 + 150 + trained


def test_layers_are_those_of_the_network() -> None:
    layers = cost.Layers.of(find("yosinski2014"), 500)
    assert sum(layers.parameters) == 60_965_224  # 1000 outputs for halves too
    assert layers.work[0] == 55 * 55 * 96 * 3 * 11 * 11
    assert len(layers.work) == 8


def test_as_many_networks_train_side_by_side_as_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least one; and each further one needs room for its weights and velocities."""
    recipe = small()
    parameters = sum(cost.Layers.of(recipe, 10).parameters)
    sizes = []
    for free in (0, 10**8, 10**8 + 1000 * 8 * parameters):
        monkeypatch.setattr(cost, "free_memory", lambda device, free=free: free)
        sizes.append(cost.bank_size(recipe, 10, CPU))
    assert sizes[0] == 1
    assert sizes[2] - sizes[1] in (699, 700, 701)  # 0.7 of the room for a thousand


@pytest.mark.parametrize(("optimizer", "kept", "written"), [("sgd", 2, 5), ("adamw", 3, 7)])
def test_what_the_optimiser_remembers_is_counted(tiny: Tiny, optimizer: str, kept: int, written: int) -> None:
    """In memory beside the weights, and in each of two checkpoints; as a bank has it. AdamW's counts of steps are small."""
    recipe = tiny_recipe({"training": ADAMW if optimizer == "adamw" else {}})
    layers, networks = cost.Layers.of(recipe, CLASSES // 2), bases([SPLIT], [0])
    weights = 4 * sum(layers.parameters)
    assert cost.held_bytes(recipe, layers) == kept * weights
    assert cost.disk_bytes(10, recipe, layers) == 10 * written * weights
    bank = tiny.bank(networks, recipe)
    bank.step()
    counts = 4 * 16 * len(networks) * (optimizer == "adamw")  # for each weight and bias of eight layers
    tensors = [tensor for name, tensor in bank.state()[0].items() if not name.endswith(("/loss_sum", "/finite"))]
    assert sum(tensor.nbytes for tensor in tensors) - counts == len(networks) * cost.held_bytes(recipe, layers)
    for at_work in (1, 2):
        each = cost.bank_bytes(9, recipe, layers, at_work) - cost.bank_bytes(8, recipe, layers, at_work)
        assert each == cost.held_bytes(recipe, layers)


def taken(recipe: Recipe, frozen: int) -> int:
    """The memory that a training step outside this program takes, by torch's own account of it: the most at any moment."""
    layers, batch = layers_of(built := build(recipe, CLASSES)), recipe.training.batch
    for layer in layers:
        layer.learn(layer in layers[frozen:])
    learning = [weight for weight in built.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(learning, 0.001, momentum=0.9)
    pictures, labels = torch.randn(batch, 3, recipe.pictures.crop, recipe.pictures.crop), torch.zeros(batch, dtype=torch.long)

    def step() -> None:
        torch.nn.functional.cross_entropy(run(layers, pictures), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    step()  # after which the optimiser remembers
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return 4 * sum(each.numel() for each in [*built.parameters(), *learning]) + int(changes.max())


def test_a_step_of_one_network_takes_less_memory_the_more_of_it_is_frozen() -> None:
    recipe = find("demo", ["network.widths=[16,24,32,32,24,64,64]", "network.dropout=0", "training.batch=16"])
    reckoned = [cost.step_bytes(network(name), recipe, CLASSES) for name in ("baseB", *(f"A{n}B" for n in range(1, 8)))]
    assert reckoned == sorted(set(reckoned), reverse=True)
    for frozen in (0, 7):
        assert reckoned[frozen] == pytest.approx(taken(recipe, frozen), rel=0.25)


def test_bases_come_in_banks_before_what_needs_them() -> None:
    networks = [*transfers(["random-0"], [0], ["B"], [1, 2], ["AnB"]), base("random-0", 0, "A"), base("random-0", 0, "B")]
    assert [[n.name for n in job.networks] for job in jobs(networks, 2)] == [["baseA", "baseB"], ["A1B", "A2B"]]


@pytest.mark.parametrize("mean", ["none", "channel", "image"])
def test_the_time_of_a_step_is_measured(mean: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "MEASURE_SECONDS", 0.05)
    recipe = find("demo", ["pictures.size=10", "pictures.crop=8", "network.widths=[4,4,6,6,4,8,8]", f"pictures.mean={mean}"])
    networks = transfers(["random-0"], [0], ["A", "B"], [1, 7], ["AnB", "BnB+", "RnB"])
    assert 0 < measuring.seconds_per_step(networks, recipe, 4, CPU, torch.float32) < 10


class Machine:
    """Stands in for the device: a step takes a time for each network, and one for each multiply-add; the clock is its own."""

    def __init__(self, patch: pytest.MonkeyPatch, rest: float, each: float, layers: cost.Layers):
        self.clock, self.steps = 0.0, 0

        def step(bank: Bank) -> None:
            networks, pictures = [member.network for member in bank.members], bank.recipe.training.batch
            self.clock += rest * len(networks) + each * pictures * cost.multiply_adds(networks, layers)
            self.steps += 1

        patch.setattr(Bank, "step", step)
        patch.setattr(measuring, "_now", lambda device: self.clock)
        patch.setattr(measuring, "at_once", lambda device: 1)


@pytest.mark.parametrize(("rest", "each"), [(0.5, 1e-6), (0.01, 1e-8), (0.0, 1e-5), (2.0, 1e-9)])
@pytest.mark.parametrize("batch", [1, 16, 256])
def test_a_step_is_reckoned_within_seconds(rest: float, each: float, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a bank whose own step would take up to hours, by a few steps of one network; and it comes to the bank's own time."""
    training = small().training.model_copy(update={"batch": batch})
    recipe = small().model_copy(update={"training": training})
    layers = cost.Layers.of(recipe, 4)
    networks = transfers(["random-0"], [0], ["A", "B"], [1, 4, 7], ["AnB", "BnB+", "RnB"])
    machine = Machine(monkeypatch, rest, each, layers)
    found = measuring.reckoned(networks, recipe, 4, CPU, torch.float32)
    one = cost.multiply_adds([base("random-0", 0, "B")], layers)
    assert machine.steps <= 2 * (1 + measuring.TAKEN)  # of either size, and one before them; more than one only of short ones
    assert machine.steps <= 4 or machine.clock <= 2 * measuring.PROBE_SECONDS
    assert machine.clock <= 4 * max(measuring.PROBE_SECONDS + rest, rest + each * one * measuring.FEW * measuring.MORE)
    if batch > 1:  # one picture cannot tell the two times apart
        assert found == pytest.approx(rest * len(networks) + each * batch * cost.multiply_adds(networks, layers))
    else:
        assert found > 0
