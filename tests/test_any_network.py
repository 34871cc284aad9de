"""Any network as a chain of layers: each of torchvision's classifiers, some of timm's; what is cut is the network, to the bit."""

import copy
import json
import socket
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import CPU, TINY, Said, with_slow
from torch import Tensor, nn
from torchvision import models

from transfercli.networks.catalogue import chained, made, settled, weightless
from transfercli.networks.checking import check
from transfercli.networks.layers import Chain, Masks, chain, layers_of, run
from transfercli.networks.tracing import Uncuttable
from transfercli.plan.words import evenly
from transfercli.recipe import reading as recipes
from transfercli.recipe.network import NetworkRecipe
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.study.settling import settle_recipe
from transfercli.system.errors import TransferError
from transfercli.system.randomness import drawing, generator
from transfercli.training.inputs import draw_masks

TORCHVISION = models.list_models(module=models)
# Pixels a side, where 32 are too few. Transformers with position tables take those that they were made for and no others.
CROPS = {"alexnet": 64, "inception_v3": 96, "maxvit_t": 224} | {name: 224 for name in TORCHVISION if name.startswith("vit_")}
COUNTS = {
    **{"alexnet": 8, "vgg11": 11, "resnet18": 10, "densenet121": 9, "googlenet": 13, "mobilenet_v3_small": 15},
    **{"efficientnet_b0": 19, "convnext_tiny": 23, "vit_b_16": 14, "swin_t": 17, "efficientnet_v2_l": 82},
}
DEEP = {  # a second or so each; smaller ones of their families are always walked
    *("densenet161", "densenet169", "densenet201", "resnet152", "vit_h_14", "swin_v2_s", "swin_v2_b", "regnet_x_3_2gf"),
    *("efficientnet_b3", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_m"),
    *("efficientnet_v2_l", "resnet101", "resnext101_64x4d", "wide_resnet101_2", "vit_l_16", "vit_l_32"),
    *("efficientnet_b1", "mnasnet1_3", "mobilenet_v3_large", "regnet_y_400mf"),
}
LIGHT = {  # below 12 million weights
    *("densenet121", "efficientnet_b0", "efficientnet_b1", "googlenet", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_large"),
    *("mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0"),
    *("squeezenet1_1", "shufflenet_v2_x2_0", "mnasnet1_3"),
}
HUGE = {"vit_h_14", "vit_l_16", "vit_l_32", "regnet_y_128gf", "regnet_y_32gf", "convnext_large"}  # gigabytes, to compare
TIMM = {"resnet10t": 32, "convnext_atto": 32, "vit_tiny_patch16_224": 224, "ghostnet_050": 32, "efficientnet_b0": 32}
SLIM = {"img_size": 12, "patch_size": 4, "embed_dim": 24, "num_heads": 3, "depth": 3}  # of timm's vision transformers
# A residual network, one with stochastic depth, one with squeeze-and-excitation, one with attention.
FOUR: dict[str, dict[str, Any]] = {
    "resnet18": {"name": "torchvision/resnet18"},
    "efficientnet_b0": {"name": "torchvision/efficientnet_b0", "arguments": {"stochastic_depth_prob": 0.9}},
    "mobilenet_v3_small": {"name": "torchvision/mobilenet_v3_small"},
    "vit": {"name": "timm/vit_tiny_patch16_224", "arguments": {**SLIM, "drop_path_rate": 0.5, "proj_drop_rate": 0.3}},
}


def spec(name: str, **keys: Any) -> NetworkRecipe:
    return NetworkRecipe(name=name, **keys)


# -- every classifier of torchvision


def partitioned(network: nn.Module, found: Chain) -> None:
    """Each parameter and each buffer is in one layer, under its own name; and each layer has parameters, here without memory."""
    assert all(parameter.is_meta for parameter in network.parameters())
    parameters = [name for link in found.links for name in link.parameters]
    assert sorted(parameters) == sorted(name for name, _ in network.named_parameters())
    buffers = [name for link in found.links for name in link.buffers]
    assert sorted(buffers) == sorted(name for name, _ in network.named_buffers())
    assert all(link.parameters for link in found.links)
    assert len({link.name for link in found.links}) == len(found.links) >= 2


def cut_as_it_should_be(name: str, crop: int, **keys: Any) -> Chain:
    network, found = chained(spec(name, **keys), 10, crop)
    partitioned(network, found)
    with weightless():
        other = made(spec(name, **keys), 7)
    depend = {key for key, parameter in other.named_parameters() if parameter.shape != network.get_parameter(key).shape}
    assert depend and depend <= set(found.links[-1].parameters)
    return found


@pytest.mark.parametrize("name", with_slow(TORCHVISION, DEEP))
def test_each_classifier_of_torchvision_is_a_chain_of_layers(name: str) -> None:
    """Without weights: every parameter in one layer, names as they were, and the last layer alone depends on the classes.

    With weights, where they are few: its layers one after another are the network, bit for bit.
    """
    found = cut_as_it_should_be(f"torchvision/{name}", CROPS.get(name, 32))
    if name in LIGHT:
        assert equals_itself(spec(f"torchvision/{name}"), found, CROPS.get(name, 32))
    if name in COUNTS:
        assert len(found.links) == COUNTS[name]
    if name in ("googlenet", "inception_v3"):  # without their heads for training
        assert not any("aux" in key.lower() for link in found.links for key in link.parameters)


def test_there_are_eighty() -> None:
    """Else the test above would walk fewer and say nothing."""
    assert len(TORCHVISION) >= 80
    assert COUNTS.keys() | CROPS.keys() | DEEP | LIGHT | HUGE <= set(TORCHVISION)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(TORCHVISION) - HUGE - LIGHT))
def test_its_layers_one_after_another_are_the_network(name: str) -> None:
    crop = CROPS.get(name, 32)
    _, found = chained(spec(f"torchvision/{name}"), 10, crop)
    assert equals_itself(spec(f"torchvision/{name}"), found, crop)


def equals_itself(of: NetworkRecipe, found: Chain, crop: int) -> bool:
    with drawing("network"):
        network = made(of, 10)
    network.transfer_chain = found  # type: ignore[assignment]
    check(network, crop)  # raises where it is not so
    return True


@pytest.mark.parametrize("name", TIMM)
def test_networks_of_timm(name: str) -> None:
    found = cut_as_it_should_be(f"timm/{name}", TIMM[name])
    assert equals_itself(spec(f"timm/{name}"), found, TIMM[name])
    assert len(found.links) == {"resnet10t": 8, "convnext_atto": 17, "vit_tiny_patch16_224": 14}.get(name, len(found.links))


class Two(nn.Module):
    """Two layers."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).mean((2, 3)))


def test_the_check_sees_what_differs() -> None:
    """The chain of a network that has the same layers and pools otherwise is not this one's; and nothing may be drawn."""

    class Other(Two):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.conv(x).amax((2, 3)))

    class Drawing(Two):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.dropout(self.conv(x).mean((2, 3)), 0.5, True))

    network = Two(3)
    layers_of(network)
    check(network, 8)
    network.transfer_chain = Other(3).transfer_chain = chain(Other(3))  # type: ignore[assignment]
    with pytest.raises(Uncuttable, match=r"in evaluation its layers one after another are not the network"):
        check(network, 8)
    with pytest.raises(Uncuttable, match=r"its layer conv draws random numbers of its own"):
        check(Drawing(3), 8)


# -- prefix and suffix, with masks, gradients and statistics


class Masked(nn.Module):
    """In place of a network's own dropout: leaves out what the mask says."""

    def __init__(self, mask: Tensor):
        super().__init__()
        self.mask = mask

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask if self.training else x


def drawn(kind: str) -> nn.Module:
    of = spec(**FOUR[kind])
    with drawing("network", kind):
        network = made(of, 5)
    network.transfer_chain = chained(of, 5, 12)[1]  # type: ignore[assignment]
    return network


def masks_of(network: nn.Module) -> dict[str, Tensor]:
    drops = {name: drop for layer in layers_of(network) for name, drop in layer.link.drops.items()}
    return draw_masks(drops.items(), (0, "random-0", "B"), 3, 6, CPU, torch.float32)


def as_the_library_has_it(network: nn.Module, masks: Masks) -> nn.Module:
    """A copy in which the masks stand where the network has its dropouts."""
    whole = copy.deepcopy(network)
    for name, mask in masks.items():
        above, _, own = name.rpartition(".")
        setattr(whole.get_submodule(above), own, Masked(mask))
    return whole


def learned(network: nn.Module, logits: Tensor) -> dict[str, Tensor]:
    """Gradients and buffers after a step backwards."""
    F.cross_entropy(logits, torch.arange(6) % 5).backward()
    gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    return {**gradients, **dict(network.named_buffers()), "logits": logits.detach()}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("kind", FOUR)
def test_prefix_and_suffix_are_the_whole_with_gradients_and_statistics(kind: str, training: bool) -> None:
    """The first n layers, and the others on what these put out, under the masks that the bank draws."""
    network = drawn(kind)
    masks, x = masks_of(network), torch.randn(6, 3, 12, 12, generator=generator("pictures"))
    assert (masks == {}) == (kind == "resnet18")
    assert not masks or any(bool((mask == 0).any()) and bool((mask > 0).any()) for mask in masks.values())
    whole = as_the_library_has_it(network, masks).train(training)
    before = {name: value.clone() for name, value in whole.named_buffers()}
    expected = learned(whole, whole(x))
    assert len(expected) == 1 + len(list(network.parameters())) + len(list(network.buffers()))
    if training and before:
        assert all(not torch.equal(value, expected[name]) for name, value in before.items())
    given = masks if training else None
    count = len(layers_of(network))
    for n in (1, count // 2, count - 1):
        own = copy.deepcopy(network).train(training)
        layers = layers_of(own)
        found = learned(own, run(layers[n:], run(layers[:n], x.clone(), given), given))
        assert found.keys() == expected.keys()
        assert not [name for name in expected if not torch.equal(found[name], expected[name])], n
    if masks and training:
        assert not torch.equal(run(layers_of(network.train()), x, {key: torch.ones(()) for key in masks}), expected["logits"])


@pytest.mark.parametrize("kind", FOUR)
def test_what_lies_above_a_frozen_prefix_learns_as_in_the_whole(kind: str) -> None:
    """The prefix without gradients, in evaluation's mode and computed once; the rest has the whole's gradients."""
    network, n = drawn(kind), 3
    masks, x = masks_of(network), torch.randn(6, 3, 12, 12, generator=generator("pictures"))
    whole, own = as_the_library_has_it(network, masks).train(), copy.deepcopy(network).train()
    for layer in layers_of(own)[:n]:
        layer.learn(False)
    frozen = {name for layer in layers_of(own)[:n] for name, _, _ in layer.named_parameters()}
    for name, module in layers_of(whole)[0].network.named_modules():
        mine = {f"{name}.{key}" for key, _ in module.named_parameters(recurse=False)}
        if mine and mine <= frozen:
            module.eval()
    for name, parameter in whole.named_parameters():
        parameter.requires_grad_(name not in frozen)
    with torch.no_grad():
        prefix = run(layers_of(own)[:n], x, masks)
    expected, found = learned(whole, whole(x)), learned(own, run(layers_of(own)[n:], prefix, masks))
    assert found.keys() == expected.keys() and not frozen & found.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# -- where to cut


BLOCKS = ["conv1", *(f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)), "fc"]


def names(name: str, crop: int = 12, **keys: Any) -> list[str]:
    return [link.name for link in chained(spec(name, **keys), 5, crop)[1].links]


def test_blocks_and_finest() -> None:
    assert names("torchvision/resnet18") == BLOCKS
    # Inside a residual block two activations are alive: the finest cut is the same, called after the weights.
    assert names("torchvision/resnet18", cut="finest") == [f"{b}.conv1" if "." in b else b for b in BLOCKS]
    finest = names("torchvision/mobilenet_v3_small", cut="finest")
    assert finest[:5] == ["features.0.0", *(f"features.1.block.{part}" for part in ("0.0", "1", "2.0")), "features.2.block.0.0"]
    assert len(finest) == 28
    assert names("timm/vit_tiny_patch16_224", arguments=SLIM) == ["patch_embed.proj", "blocks.0", "blocks.1", "blocks.2", "head"]
    inside = [f"blocks.{block}.{part}" for block in range(3) for part in ("attn.qkv", "mlp.fc1")]
    assert names("timm/vit_tiny_patch16_224", arguments=SLIM, cut="finest") == ["patch_embed.proj", *inside, "head"]


@pytest.mark.parametrize("kind", FOUR)
def test_the_finest_cut_is_the_network_too(kind: str) -> None:
    of = spec(**FOUR[kind], cut="finest")
    network, found = chained(of, 10, 12)
    partitioned(network, found)
    assert equals_itself(of, found, 12)


def test_layers_by_the_names_of_modules() -> None:
    """What comes before the first that is named belongs to its layer; in any order."""
    chosen = spec("torchvision/resnet18", cut=["layer4", "layer2", "fc"])
    network, found = chained(chosen, 10, 12)
    assert [link.name for link in found.links] == ["layer2", "layer4", "fc"]
    assert {name.partition(".")[0] for name in found.links[0].parameters} == {"conv1", "bn1", "layer1", "layer2", "layer3"}
    partitioned(network, found)
    assert equals_itself(chosen, found, 12)


@pytest.mark.parametrize(
    ("cut", "reason"),
    [
        (["conv1", "nowhere"], "it has no module 'nowhere'"),
        (
            ["conv1", "layer1.0.conv2"],
            "there is no place to cut before layer1.0.conv2, as more than one activation is alive there",
        ),
        (["fc"], "it has a single layer: there is nothing to copy but all of it"),
    ],
)
def test_a_list_that_cannot_be(cut: list[str], reason: str) -> None:
    with pytest.raises(TransferError) as refused:
        chained(spec("torchvision/resnet18", cut=cut), 10, 12)
    assert str(refused.value) == f"torchvision/resnet18 cannot be cut into layers: {reason}"


def recipe_of(network: dict[str, Any], **keys: Any) -> Recipe:
    return settled(recipes.validate({**TINY, "network": network, **keys}, "tiny"))


def test_which_layers_are_swept() -> None:
    """In a network of ten layers, the last of which is always fresh: all nine, or four of them, evenly, the ninth included."""
    network = FOUR["resnet18"]
    assert recipe_of(network).network.depth == 10
    assert recipe_of(network).swept == recipe_of(network, layers="all").swept == tuple(range(1, 10))
    assert recipe_of(network, layers={"spread": 4}).swept == (3, 5, 7, 9)
    assert recipe_of(network, layers={"spread": 30}).swept == tuple(range(1, 10))
    assert recipe_of(network, layers="2-4").swept == (2, 3, 4)
    assert recipe_of({**network, "cut": ["layer2", "layer4"]}).swept == (1,)
    with pytest.raises(TransferError, match=r"^layer 10 cannot be transferred in a network of 10 layers, whose last is always"):
        recipe_of(network, layers="1-10")


def test_evenly() -> None:
    for depth in range(2, 90):
        for count in range(1, 12):
            chosen = evenly(depth, count)
            gaps = [after - before for before, after in pairwise((0, *chosen))]
            assert len(chosen) == min(count, depth - 1) and chosen[-1] == depth - 1
            assert max(gaps) - min(gaps) <= 1
        assert evenly(depth, None) == tuple(range(1, depth))


# -- transfer layers


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refused(*words: object, **how: object) -> None:
        raise AssertionError("a connection was asked for")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    yield


@pytest.mark.parametrize(("name", "count", "work"), [("resnet18", 10, 1.814e9), ("vit_b_16", 14, 17.564e9)])
@pytest.mark.usefixtures("offline")
def test_layers_of_a_name(transfer: Callable[..., Said], name: str, count: int, work: float) -> None:
    """On pictures of 224×224 with 1000 classes, as torchvision's page of each has it; without weights."""
    said = transfer("layers", f"torchvision/{name}", "--classes", "1000", "--json")
    assert (said.code, said.err) == (0, "")
    rows = json.loads(said.out)
    assert isinstance(rows, list) and [row["layer"] for row in rows] == list(range(1, count + 1))
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in models.get_model(name, weights=None).parameters())
    assert sum(row["parameters"] for row in rows) == parameters
    assert sum(row["multiply_adds"] for row in rows) == pytest.approx(work, rel=1e-3)
    assert rows[-1]["shape"] == [1000]


@pytest.mark.usefixtures("offline")
def test_layers_for_a_person(transfer: Callable[..., Said]) -> None:
    said = transfer("layers", "torchvision/resnet18", "--classes", "10")
    assert said.code == 0
    assert [word for word in BLOCKS if f" {word} " in said.out] == BLOCKS
    other = transfer("layers", "tiny-imagenet-cpu", "--network", "timm/resnet10t", "--json")
    assert [row["name"] for row in json.loads(other.out)] == names("timm/resnet10t", 32)


@pytest.mark.parametrize(
    ("overrides", "size", "crop", "layers"),
    [
        ([], 74, 64, (9, 17)),
        (["network=torchvision/squeezenet1_1", "pictures.crop=48", "layers=3"], 256, 48, (3,)),
        (["network=timm/vit_tiny_patch16_224"], 256, 224, (7, 13)),  # which takes no other
        (["network=small", "network.widths=[4, 4, 4, 4, 4, 4, 4]", "layers=all"], 256, 224, (1, 2, 3, 4, 5, 6, 7)),
    ],
)
def test_a_smoke_run_of_a_librarys_network_is_light(
    overrides: list[str], size: int, crop: int, layers: tuple[int, ...], tmp_path: Path
) -> None:
    recipe = settle_recipe(Study(tmp_path), "imagenet-resnet50", overrides, smoke=True)
    assert (recipe.pictures.size, recipe.pictures.crop, recipe.swept) == (size, crop, layers)
    assert settle_recipe(Study(tmp_path), "imagenet-resnet50", overrides, smoke=True) == recipe
    assert not recipe.judged
