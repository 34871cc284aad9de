"""The bank's promises for networks of libraries: residual, with stochastic depth, squeeze-and-excitation, attention."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import ADAMW, CLASSES, CPU, SPLIT, TINY, Tiny, numbers, run, silent, with_slow
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from transfercli.networks.catalogue import ALLOWED, settled
from transfercli.networks.initialise import near_identities
from transfercli.networks.layers import layers_of
from transfercli.networks.start import digest, names_of, random_weights
from transfercli.pictures.stream import centre_crop, normalise
from transfercli.plan.networks import Network, base, named, transfers
from transfercli.plan.treatments import USUAL
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.training.bank import Bank
from transfercli.training.bench import Bench
from transfercli.training.engine import _tell_of_near_identities
from transfercli.training.inputs import draw_masks

Numbers = dict[str, dict[str, str]]

SLIM = {"img_size": 12, "patch_size": 4, "embed_dim": 24, "num_heads": 3, "depth": 4}


def residual(num_classes: int) -> nn.Module:
    """torchvision's residual network, slim."""
    down = nn.Sequential(nn.Conv2d(8, 16, 1, 2, bias=False), nn.BatchNorm2d(16))
    stem = (nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    blocks = (BasicBlock(8, 8), BasicBlock(8, 16, 2, down), BasicBlock(16, 16), BasicBlock(16, 16))
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes))


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "residual": ({"name": "python/test_any_bank:residual"}, {}),
    "resnet18": ({"name": "torchvision/resnet18"}, {}),
    "stochastic depth": ({"name": "torchvision/efficientnet_b0", "arguments": {"stochastic_depth_prob": 0.9}}, {}),
    "squeeze and excitation": ({"name": "torchvision/mobilenet_v3_small", "arguments": {"width_mult": 0.5}}, {}),
    "attention": (
        {"name": "timm/vit_tiny_patch16_224", "arguments": {**SLIM, "drop_path_rate": 0.5, "proj_drop_rate": 0.3}},
        ADAMW,
    ),
}
NAMES = ("baseB", "A2B", "A2B+", "B2B", "A4B", "R2B", "R4B")
NETWORKS = {
    network.name: network
    for network in (base(SPLIT, 0, "B"), *transfers([SPLIT], [0], ["B"], (2, 4), USUAL))
    if network.name in NAMES
}


def recipe_of(kind: str, **network: Any) -> Recipe:
    own, training = KINDS[kind]
    values = {**TINY, "network": {**own, **network}, "evaluation": {"every": 2, "batch": 20}}
    return settled(recipes.validate({**values, "training": {**TINY["training"], "bias_rate": 1, "steps": 3, **training}}, "tiny"))


EACH = with_slow(KINDS, ["resnet18", "stochastic depth"])


@pytest.fixture(scope="module", autouse=True)
def the_slim_one_may_run() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ALLOWED, "test_any_bank:residual", residual)
        yield


@pytest.fixture(scope="module")
def together(tiny: Tiny) -> Callable[[str], Numbers]:
    """What one bank of all seven networks, on one thread, makes of them, by kind."""
    made: dict[str, Numbers] = {}

    def of(kind: str) -> Numbers:
        if kind not in made:
            made[kind] = numbers(run(tiny.bank(NETWORKS.values(), recipe_of(kind))))
        return made[kind]

    return of


@pytest.mark.parametrize("kind", EACH)
def test_each_network_alone_is_what_it_is_among_others(tiny: Tiny, together: Callable[[str], Numbers], kind: str) -> None:
    """Weights, BatchNorm's statistics and log, bit for bit; on two threads as on one."""
    expected = together(kind)
    assert set(expected) == set(NAMES)
    assert len({repr({**network, "log": ""}) for network in expected.values()}) == len(NAMES)  # they are told apart
    for name in ("baseB", "A2B+", "A4B", "R2B"):
        assert numbers(run(tiny.bank([NETWORKS[name]], recipe_of(kind))))[name] == expected[name], name
    pair = [NETWORKS["R4B"], NETWORKS["A2B"]]
    assert numbers(run(tiny.bank(pair, recipe_of(kind), threads=2))) == {one.name: expected[one.name] for one in pair}


@pytest.mark.parametrize("kind", EACH)
def test_a_bank_restored_at_a_step_ends_the_same(tiny: Tiny, together: Callable[[str], Numbers], kind: str) -> None:
    names = ("A4B", "baseB", "A2B+", "R2B")
    bank = tiny.bank([NETWORKS[name] for name in names], recipe_of(kind))
    bank.evaluate()
    bank.step()
    live, about = bank.state()
    state = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in live.items()}
    bank.step()  # which must not reach the other
    resumed = tiny.bank([NETWORKS[name] for name in names[:0:-1]], recipe_of(kind))
    resumed.restore(state, about)
    assert resumed.step_number == 1
    assert numbers(run(resumed)) == {name: together(kind)[name] for name in names[:0:-1]}


@pytest.mark.parametrize("kind", EACH)
def test_frozen_is_frozen_and_the_rest_learns(tiny: Tiny, kind: str) -> None:
    """BatchNorm's statistics too; what is not frozen is another after three steps, but for a scale that no gradient reaches."""
    bank = tiny.bank([NETWORKS[name] for name in ("baseB", "A2B", "A4B", "R4B")], recipe_of(kind))
    before = {m.network.name: {k: v.clone() for k, v in m.module.state_dict().items()} for m in bank.members}
    run(bank)
    for member in bank.members:
        name, after = member.network.name, member.module.state_dict()
        frozen = names_of(member.module, member.resolved.frozen)
        assert bool(frozen) == (member.network.layer > 0)
        assert member.frozen_before == digest(before[name], frozen) == digest(after, frozen)
        statistics = [key for key in after if key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
        assert bool(statistics) == (kind != "attention")
        for key in statistics:
            assert torch.equal(after[key], before[name][key]) == (key in frozen), (name, key)
        weights = {key: value for key, value in after.items() if key.endswith("weight") and value.dim() > 1}
        assert not [key for key in weights if torch.equal(after[key], before[name][key]) != (key in frozen)], name


@pytest.mark.parametrize("kind", with_slow(["stochastic depth", "squeeze and excitation", "attention"], ["stochastic depth"]))
def test_all_networks_have_the_same_masks_where_they_leave_out(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """One mask a step and place for all of a target, whatever trains beside; another at the next step."""
    drawn: list[dict[str, Tensor]] = []

    def spy(*words: Any) -> dict[str, Tensor]:
        drawn.append(draw_masks(*words))
        return drawn[-1]

    monkeypatch.setattr("transfercli.training.bank.draw_masks", spy)
    recipe = recipe_of(kind)
    for names in (("A4B",), ("baseB", "A2B+", "A4B", "R2B")):
        bank = tiny.bank([NETWORKS[name] for name in names], recipe)
        given: list[dict[str, Tensor]] = []
        for member in bank.members:
            seen: dict[str, Tensor] = {}
            given.append(seen)
            for place, layer in enumerate(member.layers):
                member.layers[place] = replace(layer, link=replace(layer.link, training=watched(layer.link, seen)))
        bank.step()
        assert len(drawn) % 2 == 1  # one draw a step, for all
        assert given and all(seen for seen in given)
        assert all(mask is drawn[-1][key] for seen in given for key, mask in seen.items())
        above = {key for layer in bank.members[0].layers[4:] for key in layer.link.drops}
        assert all(above <= seen.keys() for seen in given)  # also above frozen layers
        bank.step()
    alone, later, beside, _ = drawn
    assert alone.keys() == beside.keys() and all(torch.equal(alone[key], beside[key]) for key in alone)
    assert any(not torch.equal(alone[key], later[key]) for key in alone)
    assert len(alone) == 1 or any(not torch.equal(a, b) for a in alone.values() for b in alone.values() if a.shape == b.shape)


def watched(link: Any, seen: dict[str, Tensor]) -> Callable[..., Any]:
    """A layer in training that tells which masks it was given."""

    def ran(network: nn.Module, *given: Any) -> Any:
        seen.update(zip(link.drops, given[len(given) - len(link.drops) :], strict=True))
        return link.training(network, *given)

    return ran


# -- random features


def bench_of(study: Study, recipe: Recipe) -> Bench:
    study.write_recipe(recipe)
    return Bench(study, recipe, study.halves(SPLIT), CPU, torch.float32)


@pytest.mark.parametrize("kind", with_slow(["residual", "stochastic depth", "squeeze and excitation"], ["stochastic depth"]))
@pytest.mark.parametrize("how", ["own", "preserving"])
def test_random_layers_have_the_statistics_of_the_fixed_pictures(split_study: Study, tiny: Tiny, kind: str, how: str) -> None:
    """What comes to each BatchNorm of these pictures has the mean and the variance that it takes off; drawn weights stay."""
    recipe = recipe_of(kind, random=how)
    bench, network = bench_of(split_study, recipe), NETWORKS["R4B"]
    source = bench.random(network)
    module = random_weights(recipe, CLASSES // 2, 0, SPLIT)
    plain = {key: value.clone() for key, value in module.state_dict().items()}
    parameters = [name for name, _ in module.named_parameters()]
    assert all(torch.equal(source.state[key], plain[key]) for key in parameters)
    module = copy.deepcopy(module).eval()
    module.load_state_dict(dict(source.state))
    seen: dict[str, Tensor] = {}
    for name, part in module.named_modules():
        if isinstance(part, nn.BatchNorm2d):
            part.register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0].detach()}))
    pixels = bench.pixels("B", "train")
    assert len(pixels) == 32
    x = normalise(centre_crop(pixels, torch.arange(32)), bench.mean("B"), recipe.pictures)
    for layer in layers_of(module):  # those before have their statistics; within a layer all are measured at once
        norms = {name: part for name, part in layer.modules if isinstance(part, nn.BatchNorm2d)}
        for norm in norms.values():
            norm.train()
            norm.momentum = 0.0
        with torch.no_grad():
            module(x)
        for name, norm in norms.items():
            norm.eval()
            mean, variance = source.state[f"{name}.running_mean"], source.state[f"{name}.running_var"]
            torch.testing.assert_close(mean, seen[name].mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(variance, seen[name].var((0, 2, 3)), rtol=1e-4, atol=1e-6)
            assert not torch.equal(variance, plain[f"{name}.running_var"])
    assert len(seen) >= 10


def test_these_statistics_depend_on_nothing_else_in_the_bank(split_study: Study) -> None:
    """Alone or beside others, with one n or another, begun anew: the same, and they stay in training."""
    recipe = recipe_of("squeeze and excitation")
    r2, r4, alone = NETWORKS["R2B"], NETWORKS["R4B"], {}

    def frozen(bank: Bank) -> dict[Network, str]:
        run(bank)
        found = {}
        for m in bank.members:
            kept = names_of(m.module, m.resolved.frozen)
            assert any(key.endswith("running_var") for key in kept) == (m.network.layer > 0)
            assert m.frozen_before == digest(m.module.state_dict(), kept)
            found[m.network] = digest(m.module.state_dict(), names_of(m.module, [1, 2]))
        bank.close()
        return found

    for network in (r2, r4):
        alone |= frozen(bench_of(split_study, recipe).bank([network]))
    assert frozen(bench_of(split_study, recipe).bank([r4, NETWORKS["baseB"], r2]))[r2] == alone[r2] == alone[r4]


@pytest.mark.parametrize(
    ("network", "least"),
    [
        ({"name": "timm/convnext_atto"}, 12),  # the layer scales of its twelve blocks begin at 1e-6
        pytest.param({"name": "torchvision/convnext_tiny"}, 18, marks=pytest.mark.slow),
        ({"name": "torchvision/resnet18", "arguments": {"zero_init_residual": True}}, 8),
    ],
    ids=["layer scale", "torchvision's", "last BatchNorm"],
)
def test_a_preserving_draw_has_no_block_that_does_nothing(network: dict[str, Any], least: int) -> None:
    def drawn(how: str) -> nn.Module:
        values = {**TINY, "pictures": {**TINY["pictures"], "size": 32, "crop": 32}, "network": {**network, "random": how}}
        return random_weights(settled(recipes.validate(values, "tiny")), 4, 0, SPLIT).eval()

    own, preserving = drawn("own"), drawn("preserving")
    assert len(near_identities(own)) == least
    assert near_identities(preserving) == []
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert change(own, x) < 0.01 < 0.1 < change(preserving, x)


@pytest.mark.parametrize(
    ("name", "mended"), [("R1B", "--set network.random=preserving"), ("R1B@net=deep", "random: preserving of deep")]
)
def test_random_blocks_that_do_nothing_are_told_with_what_mends_them(name: str, mended: str, split_study: Study) -> None:
    network = {"name": "torchvision/resnet18", "arguments": {"zero_init_residual": True}}
    values = {**TINY, "pictures": {**TINY["pictures"], "size": 32, "crop": 32}, "network": network}
    said: list[str] = []
    bench = bench_of(split_study, settled(recipes.validate(values, "tiny")))
    _tell_of_near_identities([named(SPLIT, 0, name)], bench, silent(said=said))
    assert said == [
        "RnB: torchvision/resnet18, as its library draws it, has 8 scales near zero (layer1.0.bn2.weight), so that random blocks "
        f"do next to nothing; in a new study {mended} draws them at full scale"
    ]


def change(network: nn.Module, x: Tensor) -> float:
    """By how much the first block that keeps the shape changes what comes to it, in parts of that; a last ReLU aside."""
    with torch.no_grad():
        for layer in layers_of(network):
            found = layer.run(x)
            if found.shape == x.shape:
                return float((found - x).norm() / x.norm())
            x = found
    raise AssertionError("no such block")
