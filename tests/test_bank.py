"""The bank's promises, network by network and bit by bit, and its steps against plain loops that share no code with it."""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ADAMW, CLASSES, CPU, HALVES, SPLIT, TINY, Tiny, numbers, run, sweep, tiny_recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from transfercli.networks.layers import layers_of
from transfercli.networks.start import digest, names_of
from transfercli.pictures.stream import Stream, centre, centre_crop, normalise
from transfercli.plan.networks import Network, base, bases
from transfercli.plan.resolve import resolve
from transfercli.recipe.schema import Recipe
from transfercli.training.bank import Bank
from transfercli.training.evaluation import Counted
from transfercli.training.member import Member
from transfercli.training.optimiser import clip, make_optimizer, set_rate, weights_of

Numbers = dict[str, dict[str, str]]

BOTH = [*bases([SPLIT], [0]), *sweep("AB")]  # 72 networks: two bases, and 35 for each target
RECIPES = {
    "no normalisation": tiny_recipe(),
    "batch normalisation": tiny_recipe(
        {"network": {"normalisation": "batch"}, "training": {"velocity": "pytorch", "nesterov": True}}
    ),
    "lrn": tiny_recipe({"network": {"normalisation": "lrn", "init": "caffe"}, "pictures": {"channels": "bgr"}}),
    "fresh and clipped": tiny_recipe({"training": {"stream": "fresh", "adaptive_clip": 0.05}}),
    "adamw": tiny_recipe({"network": {"normalisation": "batch"}, "training": ADAMW}),
}


def named(name: str) -> Network:
    return next(network for network in BOTH if network.name == name)


def members(bank: Bank) -> dict[str, Member]:
    return {member.network.name: member for member in bank.members}


# -- promise 1: composition does not matter


@pytest.fixture(scope="module")
def together(tiny: Tiny) -> Callable[[str], Numbers]:
    """What one bank of all 72 networks, on one thread, makes of them, by recipe."""
    made: dict[str, Numbers] = {}

    def of(recipe: str) -> Numbers:
        if recipe not in made:
            made[recipe] = numbers(run(tiny.bank(BOTH, RECIPES[recipe])))
        return made[recipe]

    return of


@pytest.mark.parametrize("recipe", RECIPES)
def test_each_network_alone_is_what_it_is_among_all(tiny: Tiny, together: Callable[[str], Numbers], recipe: str) -> None:
    """All 28 networks of the sweep, the 7 of random features and the base: weights and log, bit for bit."""
    expected = together(recipe)
    for network in [base(SPLIT, 0, "B"), *sweep("B")]:
        if recipe != "no normalisation" and network.layer in (2, 3, 4, 6):
            continue  # for those recipes fewer will do
        assert numbers(run(tiny.bank([network], RECIPES[recipe])))[network.name] == expected[network.name], network.name


def test_the_networks_of_a_sweep_are_told_apart(together: Callable[[str], Numbers]) -> None:
    """Else that they are equal here and there would mean nothing: no two of the 72 end alike."""
    made = together("no normalisation")
    assert len(made) == 72
    assert len({repr({**network, "log": ""}) for network in made.values()}) == 72


@given(seed=st.integers(0, 2**32), size=st.integers(1, 12), cut_at=st.integers(1, 12), threads=st.sampled_from([1, 3]))
@settings(max_examples=8, deadline=None)
def test_any_banks_in_any_order_on_any_threads(
    tiny: Tiny, together: Callable[[str], Numbers], seed: int, size: int, cut_at: int, threads: int
) -> None:
    """Networks of both targets, shuffled and cut into banks anyhow, on one or three threads."""
    recipe = ("no normalisation", "batch normalisation", "adamw")[seed % 3]
    some = random.Random(seed).sample(BOTH, size)
    for part in (some[:cut_at], some[cut_at:]):
        if part:
            made = numbers(run(tiny.bank(part, RECIPES[recipe], threads)))
            assert made == {network.name: together(recipe)[network.name] for network in part}


def test_the_callers_number_of_threads_does_not_matter(tiny: Tiny, together: Callable[[str], Numbers]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        made = numbers(run(tiny.bank([named("A3B"), named("A3B+")], RECIPES["no normalisation"])))
    finally:
        torch.set_num_threads(before)
    assert made == {name: together("no normalisation")[name] for name in ("A3B", "A3B+")}


# -- promise 2: a bank that goes on from its state is the bank that was never stopped


@pytest.mark.parametrize(
    ("recipe", "stopped"),
    [
        *((recipe, step) for recipe in ("no normalisation", "adamw") for step in range(6)),
        *(("batch normalisation", 2), ("fresh and clipped", 3)),
    ],
)
def test_a_bank_restored_at_any_step_ends_the_same(
    tiny: Tiny, together: Callable[[str], Numbers], recipe: str, stopped: int
) -> None:
    """Some of its networks go on in a new bank, in another order; the state is taken where a run would save it."""
    networks = [named(name) for name in ("A5B", "R7A", "baseB", "B2B+", "A7B", "B3A+")]
    bank = tiny.bank(networks, RECIPES[recipe])
    while bank.step_number < stopped:
        if bank.step_number in bank.recipe.evaluation.at(bank.steps):
            bank.evaluate()
        bank.step()
    live, about = bank.state()
    state = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in live.items()}
    if stopped < bank.steps:
        bank.step()  # what the first bank does from here on must not reach the second
    resumed = tiny.bank(networks[4:0:-1], RECIPES[recipe], threads=2)
    resumed.restore(state, about)
    made = numbers(run(resumed))
    assert made == {network.name: together(recipe)[network.name] for network in networks[4:0:-1]}


# -- promise 3: the pairs are paired


def inputs_of(bank: Bank, layer: str) -> dict[str, list[Tensor]]:
    """Fills with what reaches `layer` of each network."""
    seen: dict[str, list[Tensor]] = defaultdict(list)
    for member in bank.members:
        module = member.module.get_submodule(layer)
        module.register_forward_pre_hook(lambda _, args, name=member.network.name: seen[name].append(args[0].detach().clone()))
    return seen


def test_all_networks_of_a_target_see_the_same_pictures_and_labels(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe({"pictures": {"mean": "none"}})
    bank = tiny.bank(BOTH, recipe)
    bank.setting = replace(bank.setting, means=dict.fromkeys(HALVES))
    seen, labels = inputs_of(bank, "conv1"), list[Tensor]()
    plain = F.cross_entropy

    def spy(logits: Tensor, wanted: Tensor, **more: Any) -> Tensor:
        labels.append(wanted)
        return plain(logits, wanted, **more)

    monkeypatch.setattr(F, "cross_entropy", spy)
    for t in range(3):
        bank.step()
        batches = {half: Stream(tiny.pixels(half, "train", recipe), 9, (0, SPLIT, half)).make(t) for half in HALVES}
        for name, xs in seen.items():
            assert len(xs) == 1
            assert torch.equal(xs[0], normalise(batches[named(name).target], None, recipe.pictures)), name
        assert {name for name, m in members(bank).items() if m.resolved.prefix == 0} <= seen.keys()  # the others share a prefix
        of_half = {half: sum(torch.equal(wanted, batches[half].labels) for wanted in labels) for half in HALVES}
        assert of_half == {"A": 36, "B": 36}
        seen.clear()
        labels.clear()


def test_fresh_streams_show_transfer_networks_what_no_base_saw(tiny: Tiny) -> None:
    """Order, crops and dropout masks: all transfer networks of a target have the same ones, and the bases have their old ones."""
    bank = tiny.bank(BOTH, tiny_recipe({"pictures": {"mean": "none"}, "training": {"stream": "fresh"}}))
    bank.setting = replace(bank.setting, means=dict.fromkeys(HALVES))
    pictures, masks = inputs_of(bank, "conv1"), inputs_of(bank, "fc8")
    purposes = {(half, role): (0, SPLIT, *role, half) for half in HALVES for role in ((), ("transfer",))}
    for t in range(2):
        show_masks(bank)
        bank.step()
        recipe, distinct = bank.recipe, set()
        for (half, role), purpose in purposes.items():
            batch = Stream(tiny.pixels(half, "train", recipe), 9, purpose).make(t)
            of = {name for name in pictures if named(name).target == half and named(name).is_base == (role == ())}
            assert of
            assert all(torch.equal(pictures[name][0], normalise(batch, None, recipe.pictures)) for name in of)
            seen = {masks[n][0].numpy().tobytes() for n in masks if named(n).target == half and named(n).is_base == (role == ())}
            assert len(seen) == 1
            distinct |= seen
        assert len(distinct) == 4
        pictures.clear()
        masks.clear()


def test_each_network_takes_the_mean_of_its_source(tiny: Tiny) -> None:
    """As in the study: the transferred layers get what they were trained on. Random features take their target's."""
    recipe = tiny_recipe()
    bank = tiny.bank([named(name) for name in ("baseB", "A3B+", "B3B+", "A2B", "R2B")], recipe)
    seen = inputs_of(bank, "conv1")
    bank.step()
    batch = Stream(tiny.pixels("B", "train", recipe), 9, (0, SPLIT, "B")).make(0)
    means = {half: tiny.pixels(half, "train", recipe).mean_image() for half in HALVES}
    assert not torch.equal(means["A"], means["B"])
    assert {name: len(xs) for name, xs in seen.items()} == dict.fromkeys(("baseB", "A3B+", "B3B+", "A2B", "R2B"), 1)
    for name, half in {"baseB": "B", "A3B+": "A", "B3B+": "B", "A2B": "A", "R2B": "B"}.items():
        assert torch.equal(seen[name][0], normalise(batch, means[half], recipe.pictures)), name


def show_masks(bank: Bank) -> None:
    """Make fc6 and fc7 put out ones, so that what reaches the next layer is the mask and nothing else."""
    for member in bank.members:
        for name in ("fc6", "fc7"):
            layer = member.module.get_submodule(name)
            assert isinstance(layer, nn.Linear)
            with torch.no_grad():
                layer.weight.zero_()
                layer.bias.fill_(1)


def test_dropout_masks_are_one_for_all_networks_and_stay_above_frozen_layers(tiny: Tiny) -> None:
    """At a step all networks of a target have the same mask at the same layer, those with n = 6 and 7 as well (promise 4)."""
    bank = tiny.bank(BOTH, tiny_recipe({"network": {"dropout": 0.25}}))
    seen = {"drop6": inputs_of(bank, "fc7"), "drop7": inputs_of(bank, "fc8")}
    masks = {}
    for t in range(3):
        show_masks(bank)
        bank.step()
        for layer, of in seen.items():
            for half in HALVES:
                found = {name: xs for name, xs in of.items() if named(name).target == half}
                assert all(len(xs) == 1 for xs in found.values())
                distinct = {xs[0].numpy().tobytes() for xs in found.values()}
                assert len(distinct) == 1, (t, layer, half)
                masks[t, layer, half] = distinct.pop()
                # Every network but those whose prefix ends higher up, of which the deepest of each source stands for all.
                assert {n.name for n in BOTH if n.target == half and resolve(n, 8).prefix < 6} <= found.keys()
            values, times = torch.cat([xs[0] for xs in of.values()]).unique(return_counts=True)
            assert values.tolist() == [0, pytest.approx(4 / 3)]
            assert 0.05 < times[0] / times.sum() < 0.5
            assert {"A7B", "B7B", "R7B"} <= of.keys()
            of.clear()
    assert len(set(masks.values())) == 12  # they differ by step, layer and target


@pytest.mark.parametrize("name", ["A6B", "A7B", "B6B", "R6B"])
def test_dropout_above_a_frozen_layer_acts_in_training_only(tiny: Tiny, name: str) -> None:
    bank = tiny.bank([named(name)], tiny_recipe())
    seen = inputs_of(bank, "fc7" if "6" in name else "fc8")
    show_masks(bank)
    bank.step()
    (mask,) = seen[name]
    assert mask.unique().tolist() == [0, 2]
    seen.clear()
    show_masks(bank)
    bank.evaluate()
    assert torch.cat(seen[name]).unique().tolist() == [1]
    assert sum(len(x) for x in seen[name]) == 20


# -- promise 4: frozen is frozen


@pytest.mark.parametrize("training", [{}, ADAMW], ids=["sgd", "adamw"])
def test_frozen_layers_are_the_same_after_training_to_the_bit(tiny: Tiny, training: dict[str, Any]) -> None:
    """BatchNorm's running statistics too, under a weight decay that would show."""
    decay = {"weight_decay": 0.5, "bias_decay": True}
    recipe = tiny_recipe({"network": {"normalisation": "batch"}, "training": {**training, **decay}})
    bank = tiny.bank([*bases([SPLIT], [0]), *sweep("B")], recipe)
    before = {name: {k: v.clone() for k, v in m.module.state_dict().items()} for name, m in members(bank).items()}
    run(bank)
    for name, member in members(bank).items():
        frozen, after = names_of(member.module, member.resolved.frozen), member.module.state_dict()
        layers = {number for number in range(1, 9) if f"conv{number}.weight" in frozen or f"fc{number}.weight" in frozen}
        assert layers == set(range(1, member.resolved.prefix + 1)), name
        assert member.frozen_before == digest(before[name], frozen) == digest(after, frozen)
        assert (member.frozen_before == "") == (member.resolved.prefix == 0)
        for key, value in after.items():
            same = torch.equal(value, before[name][key])
            if key in frozen:
                assert same, (name, key)
            elif key.endswith((".weight", ".running_mean", ".running_var", ".num_batches_tracked")):
                assert not same, (name, key)


def test_the_optimiser_holds_what_is_trained_and_nothing_else(tiny: Tiny) -> None:
    bank = tiny.bank(sweep("A"), tiny_recipe({"network": {"normalisation": "batch"}}))
    for name, member in members(bank).items():
        held = [id(p) for group in member.optimizer.param_groups for p in group["params"]]
        trained = [id(p) for layer in layers_of(member.module)[member.resolved.prefix :] for p in layer.parameters()]
        assert sorted(held) == sorted(trained), name
        assert {id(p) for p in member.module.parameters() if p.requires_grad} == set(trained), name


def test_measuring_changes_nothing(tiny: Tiny) -> None:
    """No weight, no running statistic, no mode, and no later number: measured often or seldom, it trains the same."""
    often = tiny_recipe({"network": {"normalisation": "batch"}, "evaluation": {"every": 1}})
    seldom = tiny_recipe({"network": {"normalisation": "batch"}, "evaluation": {"every": 5}})
    networks = [named(name) for name in ("baseB", "A3B", "A3B+", "R6B")]
    one, other = (members(run(tiny.bank(networks, recipe))) for recipe in (often, seldom))
    for name in one:
        a, b = one[name], other[name]
        assert all(torch.equal(x, y) for x, y in zip(a.module.state_dict().values(), b.module.state_dict().values(), strict=True))
        assert {**a.log[-1], "train_loss": 0} == {**b.log[-1], "train_loss": 0}
        assert [line["step"] for line in a.log] == list(range(6))
        modes = [m.training for layer in layers_of(a.module)[a.resolved.prefix :] for _, m in layer.modules]
        assert all(modes)
        assert not any(m.training for layer in layers_of(a.module)[: a.resolved.prefix] for _, m in layer.modules)


# -- a network that diverges


def poison(member: Member) -> None:
    with torch.no_grad():
        first = next(p for p in member.module.parameters() if p.requires_grad)
        first[(0,) * first.dim()] = float("nan")


@pytest.mark.parametrize("after", range(5))
def test_a_network_that_diverges_says_at_which_step_and_leaves_the_others_alone(
    tiny: Tiny, together: Callable[[str], Numbers], after: int
) -> None:
    """Its weights are spoiled after so many steps; measured at 0, 2, 4 and 5, so before, at and after a measurement."""
    names = ("A3B", "A3B+", "baseB", "B3A")
    bank = tiny.bank([named(name) for name in names], RECIPES["no normalisation"])
    while True:
        if bank.step_number in {0, 2, 4, 5}:
            bank.evaluate()
        if bank.step_number == 5:
            break
        if bank.step_number == after:
            poison(members(bank)["A3B+"])
        bank.step()
    sick = members(bank)["A3B+"]
    assert sick.diverged == after + 1
    assert [line["step"] for line in sick.log] == [step for step in (0, 2, 4, 5) if step <= after] + [
        min(step for step in (2, 4, 5) if step > after)
    ]
    assert [member.network.name for member in bank.live] == ["A3B", "baseB", "B3A"]
    made = numbers(bank)
    for name in ("A3B", "baseB", "B3A"):
        assert made[name] == together("no normalisation")[name]
        assert members(bank)[name].diverged is None


def test_a_network_spoiled_before_it_is_measured_diverged_at_that_step(tiny: Tiny) -> None:
    """All training losses were finite, the validation loss was not."""
    bank = tiny.bank([named("A3B+"), named("A3B")], tiny_recipe())
    bank.step()
    bank.step()
    poison(members(bank)["A3B+"])
    bank.evaluate()
    assert [member.diverged for member in bank.members] == [2, None]


def test_steps_to_divergence_count_on_through_a_checkpoint(tiny: Tiny) -> None:
    """The state holds how many losses were finite; a network that has stopped stays so."""
    recipe = tiny_recipe({"evaluation": {"every": 5}})
    bank = tiny.bank([named("A3B+"), named("A3B")], recipe)
    for step in range(4):
        if step == 2:
            poison(members(bank)["A3B+"])
        bank.step()
    tensors, about = bank.state()
    resumed = tiny.bank([named("A3B+"), named("A3B")], recipe)
    resumed.restore({name: tensor.clone() for name, tensor in tensors.items()}, about)
    run(resumed)
    assert [member.diverged for member in resumed.members] == [3, None]
    again = tiny.bank([named("A3B"), named("A3B+")], recipe)
    again.restore(*resumed.state())
    assert [member.network.name for member in again.live] == ["A3B"]


# -- the optimiser


class Caffe:
    """SGDSolver of Caffe (src/caffe/solvers/sgd_solver.cpp) in float64: Regularize, ComputeUpdateValue, Update."""

    def __init__(self, momentum: float, weight_decay: float):
        self.momentum, self.weight_decay = momentum, weight_decay
        self.history: dict[str, np.ndarray] = {}

    def update(self, name: str, w: np.ndarray, g: np.ndarray, rate: float, lr_mult: float, decay_mult: float) -> np.ndarray:
        diff = g + self.weight_decay * decay_mult * w
        v = self.momentum * self.history.get(name, np.zeros_like(w)) + rate * lr_mult * diff
        self.history[name] = v
        return w - v


SCHEDULES = [
    {"name": "step", "rate": 0.05, "gamma": 0.1, "every": 3},
    {"name": "cosine", "rate": 0.05, "warmup": 2},
    {"name": "square-root", "rate": 0.05},
]


@given(
    schedule=st.sampled_from(SCHEDULES),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    decay=st.sampled_from([0.0, 0.01]),
    bias_rate=st.sampled_from([1.0, 2.0]),
    bias_decay=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_caffes_velocity_is_caffes(
    schedule: dict[str, Any], momentum: float, decay: float, bias_rate: float, bias_decay: bool, seed: int
) -> None:
    """The learning rate is inside the velocity, so where the rate falls the old velocity keeps its length."""
    changes = {"steps": 8, "schedule": schedule, "momentum": momentum, "weight_decay": decay}
    training = tiny_recipe({"training": {**changes, "bias_rate": bias_rate, "bias_decay": bias_decay}}).training
    rate, random = training.schedule.bind(8), torch.Generator().manual_seed(seed)
    module = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        for p in module.parameters():
            p.normal_(generator=random)
    optimizer, solver = make_optimizer(layers_of(module), {1: 1.0}, training), Caffe(momentum, decay)
    naive = {name: p.detach().double().numpy() for name, p in module.named_parameters()}
    for t in range(8):
        for name, p in module.named_parameters():
            p.grad = torch.randn(p.shape, generator=random)
            mults = (bias_rate, float(bias_decay)) if name == "0.bias" else (1.0, 1.0)
            naive[name] = solver.update(name, naive[name], p.grad.double().numpy(), rate(t), *mults)
        set_rate(optimizer, training, rate(t), rate(max(0, t - 1)))
        optimizer.step()
        for name, p in module.named_parameters():
            np.testing.assert_allclose(p.detach().numpy(), naive[name], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("nesterov", [False, True])
def test_pytorchs_velocity_is_pytorchs(nesterov: bool) -> None:
    """Two parameter groups of torch.optim.SGD, its learning rate set by hand before each step."""
    training = tiny_recipe(
        {"training": {"velocity": "pytorch", "nesterov": nesterov, "weight_decay": 0.01, "bias_rate": 2, "steps": 8}}
    ).training
    one, other = nn.Sequential(nn.Linear(4, 3)), nn.Sequential(nn.Linear(4, 3))
    other.load_state_dict(one.state_dict())
    ours = make_optimizer(layers_of(one), {1: 1.0}, training)
    groups: list[dict[str, Any]] = [{"params": [other[0].weight]}, {"params": [other[0].bias], "weight_decay": 0.0}]
    theirs = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=nesterov)
    rate = training.schedule.bind(8)
    for t in range(8):
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(t))
            q.grad = p.grad.clone()
        set_rate(ours, training, rate(t), rate(max(0, t - 1)))
        theirs.param_groups[0]["lr"], theirs.param_groups[1]["lr"] = rate(t), 2 * rate(t)
        ours.step()
        theirs.step()
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(p, q)


class AdamW:
    """Algorithm 2 of Loshchilov and Hutter (2019) in float64, with the learning rate before both terms, as PyTorch has it."""

    def __init__(self, betas: tuple[float, float], weight_decay: float):
        self.betas, self.weight_decay = betas, weight_decay
        self.history: dict[str, tuple[int, np.ndarray, np.ndarray]] = {}

    def update(self, name: str, w: np.ndarray, g: np.ndarray, rate: float, lr_mult: float, decay_mult: float) -> np.ndarray:
        first, second = self.betas
        t, m, v = self.history.get(name, (0, np.zeros_like(w), np.zeros_like(w)))
        t, m, v = t + 1, first * m + (1 - first) * g, second * v + (1 - second) * g**2
        self.history[name] = t, m, v
        step = m / (1 - first**t) / (np.sqrt(v / (1 - second**t)) + 1e-8)
        return w - rate * lr_mult * (step + self.weight_decay * decay_mult * w)


class Scaled(nn.Module):
    """A linear layer and its layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.gamma = nn.Linear(4, 3), nn.Parameter(torch.full((3,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * self.gamma


@given(
    schedule=st.sampled_from(SCHEDULES),
    betas=st.sampled_from([(0.9, 0.999), (0.8, 0.95), (0.0, 0.5)]),
    decay=st.sampled_from([0.0, 0.3]),
    bias_rate=st.sampled_from([1.0, 2.0]),
    bias_decay=st.booleans(),
    layer_rate=st.sampled_from([1.0, 0.25]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_adamw_is_the_papers(
    schedule: dict[str, Any],
    betas: tuple[float, float],
    decay: float,
    bias_rate: float,
    bias_decay: bool,
    layer_rate: float,
    seed: int,
) -> None:
    """Weights, biases and tables, each at its rate and with its decay; layer scale is a table."""
    changes = {**ADAMW, "steps": 8, "schedule": schedule, "weight_decay": decay, "betas": list(betas)}
    training = tiny_recipe({"training": {**changes, "bias_rate": bias_rate, "bias_decay": bias_decay}}).training
    rate, random = training.schedule.bind(8), torch.Generator().manual_seed(seed)
    module = Scaled()
    mults = {"linear.weight": (1.0, 1.0), "linear.bias": (bias_rate, float(bias_decay)), "gamma": (1.0, 0.0)}
    optimizer = make_optimizer(layers_of(module), {1: layer_rate}, training)
    assert [id(weight) for weight in weights_of(optimizer)] == [id(module.get_parameter("linear.weight"))]
    naive = {name: p.detach().double().numpy() for name, p in module.named_parameters()}
    solver = AdamW(betas, decay)
    for t in range(8):
        for name, p in module.named_parameters():
            p.grad = torch.randn(p.shape, generator=random)
            naive[name] = solver.update(name, naive[name], p.grad.double().numpy(), layer_rate * rate(t), *mults[name])
        set_rate(optimizer, training, rate(t), rate(max(0, t - 1)))
        optimizer.step()
        for name, p in module.named_parameters():
            np.testing.assert_allclose(p.detach().numpy(), naive[name], rtol=2e-5, atol=2e-6)


@given(share=st.sampled_from([0.01, 0.1, 1.0]), scale=st.sampled_from([1e-4, 1.0, 1e4]), seed=st.integers(0, 1000))
def test_clipping_bounds_each_units_gradient_by_its_own_weights(share: float, scale: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    for shape in ((5, 3, 2, 2), (4, 7)):
        weight = nn.Parameter(torch.randn(shape, generator=random))
        with torch.no_grad():
            weight[0] = 0  # a unit without weights is held to a floor of 0.001, else it could never begin
        gradient = scale * torch.randn(shape, generator=random)
        weight.grad = gradient.clone()
        clip([weight], share)
        for unit, before, after in zip(weight.detach(), gradient, weight.grad, strict=True):
            most = share * max(float(unit.norm()), 1e-3)
            assert float(after.norm()) <= most * 1.0001
            torch.testing.assert_close(after, before * min(1, most / float(before.norm())))


def test_biases_are_not_clipped_and_frozen_layers_have_nothing_to_clip(tiny: Tiny) -> None:
    bank = tiny.bank([named("A3B")], tiny_recipe({"training": {"adaptive_clip": 1e-9}}))
    (member,) = bank.members
    assert {id(p) for p in weights_of(member.optimizer)} == {
        id(p) for p in member.module.parameters() if p.requires_grad and p.dim() > 1
    }
    before = {name: p.detach().clone() for name, p in member.module.named_parameters()}
    bank.step()
    for name, p in member.module.named_parameters():
        moved = not torch.equal(p, before[name])
        assert moved == (name in ("fc6.bias", "fc7.bias", "fc8.bias", "conv4.bias", "conv5.bias") or (moved and "weight" in name))


# -- whole networks against a plain loop


def plainly(tiny: Tiny, bank: Bank, network: Network, recipe: Recipe) -> tuple[dict[str, np.ndarray], list[float]]:
    """Train one network by Caffe's rule or AdamW's without a bank: the whole module on each batch, gradients by autograd."""
    module = members(bank)[network.name].module
    weights = {name: p.detach().double().numpy().copy() for name, p in module.named_parameters()}
    clone = tiny.bank([network], recipe).members[0].module.eval()
    training = recipe.training
    solver: Caffe | AdamW = Caffe(training.momentum, training.weight_decay)
    if training.optimizer == "adamw":
        solver = AdamW(training.betas, training.weight_decay)
    rate = training.schedule.bind(bank.steps)
    stream = Stream(tiny.pixels(network.target, "train", recipe), recipe.training.batch, (0, SPLIT, network.target))
    source = network.source if network.source != "R" else network.target
    mean = tiny.pixels(source, "train", recipe).mean_image()
    trained = {f"{name}." for layer in layers_of(clone)[resolve(network, 8).prefix :] for name, _ in layer.modules}
    losses = []
    for t in range(bank.steps):
        batch = stream.make(t)
        for name, p in clone.named_parameters():
            p.data = torch.from_numpy(weights[name]).float()
        logits = clone(normalise(batch, mean, recipe.pictures))
        loss = -logits.log_softmax(1)[torch.arange(len(logits)), batch.labels].mean()
        losses.append(float(loss.detach()))
        chosen = [(name, p.requires_grad_()) for name, p in clone.named_parameters() if name[: name.index(".") + 1] in trained]
        for (name, _), g in zip(chosen, torch.autograd.grad(loss, [p for _, p in chosen]), strict=True):
            mults = (recipe.training.bias_rate, 0.0) if name.endswith("bias") else (1.0, 1.0)
            weights[name] = solver.update(name, weights[name], g.double().numpy(), rate(t), *mults)
    return weights, losses


@pytest.mark.parametrize("training", [{}, {**ADAMW, "schedule": TINY["training"]["schedule"]}], ids=["sgd", "adamw"])
def test_whole_networks_train_as_a_plain_loop_trains_them(tiny: Tiny, training: dict[str, Any]) -> None:
    """Over the drop of the learning rate at step 3; without dropout, whose masks the loop does not know."""
    changes = {"network": {"dropout": 0}, "training": {**training, "weight_decay": 0.01}, "pictures": {"channels": "bgr"}}
    recipe = tiny_recipe(changes)
    networks = [named(name) for name in ("baseB", "A3B", "A3B+", "B6B", "R4A", "B2A+")]
    bank = tiny.bank(networks, recipe)
    expected = {network.name: plainly(tiny, bank, network, recipe) for network in networks}
    run(bank)
    for name, member in members(bank).items():
        weights, losses = expected[name]
        for key, p in member.module.named_parameters():
            np.testing.assert_allclose(p.detach().numpy(), weights[key], rtol=1e-3, atol=1e-5, err_msg=f"{name} {key}")
        logged = [line["train_loss"] for line in member.log]
        means = [np.mean(losses[a:b]) for a, b in ((0, 2), (2, 4), (4, 5))]  # of the steps since the last measurement
        assert np.isnan(logged[0])
        assert logged[1:] == pytest.approx(means, rel=1e-4)
        assert [line["step"] for line in member.log] == [0, 2, 4, 5]
        assert [line["learning_rate"] for line in member.log] == pytest.approx([0.1, 0.1, 0.01, 0.01])


# -- measuring


def test_the_fixed_loss_is_of_the_same_training_pictures_without_dropout(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfercli.training.bank.FIXED", 10)  # of the 32 training pictures of a half
    bank = run(tiny.bank([named("A3B"), named("baseB"), named("R6A")], tiny_recipe()))
    found = bank.fixed_losses()
    for name, member in members(bank).items():
        target, source = member.network.target, member.resolved.input
        pictures = tiny.pixels(target, "train", bank.recipe)
        batch = centre_crop(pictures, torch.tensor([0, 3, 6, 9, 12, 16, 19, 22, 25, 28]))
        x = normalise(batch, tiny.pixels(source, "train", bank.recipe).mean_image(), bank.recipe.pictures)
        with torch.no_grad():
            loss = F.cross_entropy(member.module.eval()(x), batch.labels)
        assert found[name] == pytest.approx(float(loss), rel=1e-5)
        assert sorted(set(batch.labels.tolist())) == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [1, 3, 7, 20, 500])
def test_the_whole_validation_part_counts(tiny: Tiny, size: int) -> None:
    """20 pictures, one at a time here, in batches there, the last of them partial."""
    recipe = tiny_recipe({"evaluation": {"batch": size}})
    networks = [named(name) for name in ("baseB", "A6B", "B2A+", "R7B")]
    bank = tiny.bank(networks, recipe)
    for _ in range(3):
        bank.step()
    bank.evaluate()
    for member in bank.members:
        target = member.network.target
        mean = bank.setting.means[member.network.source if member.network.source != "R" else target]
        pictures, right, losses = tiny.pixels(target, "val", recipe), 0, []
        with torch.no_grad():
            module = member.module.eval()
            for index in centre(pictures, 1):
                batch = centre_crop(pictures, index)
                logits = module(normalise(batch, mean, recipe.pictures))[0]
                right += int(logits.argmax()) == int(batch.labels[0])
                losses.append(float(-logits.log_softmax(0)[batch.labels[0]]))
        assert len(losses) == 20
        assert member.log[-1]["top1"] == right / 20
        assert member.log[-1]["top5"] == 1  # four classes: the right one is among the first five
        assert member.log[-1]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


@given(classes=st.integers(2, 12), pictures=st.integers(1, 30), seed=st.integers(0, 1000))
def test_counts_of_first_and_of_five_guesses(classes: int, pictures: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    logits, labels = random.normal(size=(pictures, classes)), random.integers(0, classes, pictures)
    rank = [int((row > row[label]).sum()) for row, label in zip(logits, labels, strict=True)]  # how many come before it
    loss = sum(np.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, labels, strict=True))
    found = Counted.none(classes, CPU)
    for part in np.array_split(np.arange(pictures), 3):
        if len(part):
            found.add(torch.from_numpy(logits[part]).float(), torch.from_numpy(labels[part]))
    assert found.sums.dtype == torch.float64
    assert found.sums[:2].tolist() == [sum(r < 1 for r in rank), sum(r < 5 for r in rank)]
    assert float(found.sums[2]) == pytest.approx(loss, rel=1e-4)
    right = [sum(r < guesses for r in rank) / pictures for guesses in (1, 5)]
    assert found.shares() == pytest.approx((*right, loss / pictures), rel=1e-4)
    recalls = [np.mean([r < 1 for r, label in zip(rank, labels, strict=True) if label == one]) for one in set(labels)]
    assert found.balanced() == pytest.approx(np.mean(recalls))


def test_outputs_beyond_the_classes_of_a_half_are_measured_too(tiny: Tiny) -> None:
    """The study's nets have 1000 outputs for halves of 500: a guess beyond the classes is wrong, and counts among the five."""
    recipe = tiny_recipe({"network": {"outputs": 9}})
    bank = tiny.bank([named("baseB")], recipe)
    (member,) = bank.members
    last = member.module.get_submodule("fc8")
    assert isinstance(last, nn.Linear) and last.out_features == 9
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([1.0, 2, 3, 4, 5, 6, 7, 8, 9]))
    bank.evaluate()
    assert (member.log[0]["top1"], member.log[0]["top5"]) == (0, 0)
    assert member.log[0]["loss"] == pytest.approx(np.log(np.exp(range(1, 10)).sum()) - 2.5, rel=1e-5)


def test_reduced_precision_trains_and_keeps_its_weights_whole(tiny: Tiny) -> None:
    """bfloat16 is for products alone: weights and velocities stay float32, and losses near those of float32."""
    recipe = tiny_recipe()
    bank = tiny.bank([named("A3B+"), named("A6B")], recipe)
    reduced = tiny.bank([named("A3B+"), named("A6B")], recipe)
    reduced.setting = replace(reduced.setting, precision=torch.bfloat16)
    for one, other in zip(run(bank).members, run(reduced).members, strict=True):
        assert {t.dtype for t in other.module.state_dict().values()} == {torch.float32}
        assert [line["train_loss"] for line in other.log][1:] == pytest.approx([x["train_loss"] for x in one.log][1:], rel=0.02)
        assert numbers(bank)[one.network.name] != numbers(reduced)[one.network.name]


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_networks_on_cuda_train_as_on_the_cpu(tiny: Tiny) -> None:
    """Not to the bit, and without dropout, whose masks are drawn on the device."""
    recipe = tiny_recipe({"network": {"dropout": 0, "normalisation": "batch"}})
    networks = [named(name) for name in ("baseB", "A3B", "B3B+", "R6A")]
    here, there = (run(tiny.bank(networks, recipe, device=torch.device(name))) for name in ("cpu", "cuda"))
    for one, other in zip(here.members, there.members, strict=True):
        assert {tensor.device.type for tensor in other.module.state_dict().values()} == {"cuda"}
        for line, expected in zip(other.log, one.log, strict=True):
            assert line["loss"] == pytest.approx(expected["loss"], rel=0.01)
            assert line["train_loss"] == pytest.approx(expected["train_loss"], rel=0.01, nan_ok=True)
        assert digest(other.module.state_dict(), names_of(other.module, other.resolved.frozen)) == one.frozen_before


def test_a_bank_is_on_the_device_that_it_was_given(tiny: Tiny) -> None:
    bank = tiny.bank([named("A3B")], tiny_recipe())
    assert {p.device for p in bank.members[0].module.parameters()} == {CPU}
    assert len(bank.members[0].module.state_dict()["fc8.weight"]) == CLASSES // 2


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_bank_with_adamw_goes_on_on_cuda(tiny: Tiny) -> None:
    """From a state read from the disk: what it remembers of a weight, its count of steps too, lies where the weight does."""
    banks = [tiny.bank([named("A3B+")], RECIPES["adamw"], device=torch.device("cuda")) for _ in range(2)]
    banks[0].step()
    tensors, about = banks[0].state()
    banks[1].restore({name: tensor.cpu() for name, tensor in tensors.items()}, about)
    for bank in banks:
        bank.step()
    for one, other in zip(*(bank.members[0].module.parameters() for bank in banks), strict=True):
        torch.testing.assert_close(one, other)
