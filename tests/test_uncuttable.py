"""Networks that are refused, and why: one line each, before anything is trained."""

import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from conftest import CLASSES, SPLIT, TINY, TRAIN, VAL, Said
from torch import Tensor, nn

from transfercli.networks import catalogue
from transfercli.networks.catalogue import chained, checked, made, settled
from transfercli.networks.start import copy_layers, draw
from transfercli.recipe import reading as recipes
from transfercli.recipe.network import NetworkRecipe
from transfercli.recipe.schema import Recipe
from transfercli.system.errors import TransferError

Transfer = Callable[..., Said]


class Plain(nn.Module):
    """Three layers that can be cut; what follows spoils them."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, num_classes)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.two(self.one(x).relu()).relu().mean((2, 3)))

    def head(self, x: Tensor) -> Any:
        return self.three(x)


class DependsOnThePictures(Plain):
    def head(self, x: Tensor) -> Tensor:
        return self.three(x) if x.sum() > 0 else self.three(-x)


class Tied(Plain):
    def __init__(self, num_classes: int):
        super().__init__(num_classes)
        self.again = nn.Conv2d(4, 4, 3)
        self.again.weight = self.two.weight

    def forward(self, x: Tensor) -> Any:
        return self.head(self.again(self.two(self.one(x))).mean((2, 3)))


class Twice(Plain):
    """One new parameter in two modules."""

    def __init__(self, num_classes: int):
        super().__init__(num_classes)
        self.two.bias = self.one.bias = nn.Parameter(torch.zeros(4))


class Unused(Plain):
    def __init__(self, num_classes: int):
        super().__init__(num_classes)
        self.spare = nn.Linear(2, 2)


class InTwo(Tied):
    """A module that runs again after another."""

    def __init__(self, num_classes: int):
        super().__init__(num_classes)
        self.again = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.two(self.again(self.two(self.one(x)))).mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, num_classes: int, dropout: float = 0.1):
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, num_classes)
        self.attention = nn.MultiheadAttention(8, 2, dropout, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))


class Noisy(Plain):
    def head(self, x: Tensor) -> Tensor:
        return self.three(torch.dropout(x, 0.5, self.training))


class Drawn(Plain):
    """As many random numbers as there are pictures."""

    def head(self, x: Tensor) -> Tensor:
        return self.three(x * torch.rand(x.shape[0], 1))


class Constant(Plain):
    def head(self, x: Tensor) -> Tensor:
        return self.three(x + torch.randn(4))


class Like(Plain):
    def head(self, x: Tensor) -> Tensor:
        return self.three(x + torch.rand_like(x))


class Choosing(Plain):
    """Leaves a layer out now and then, in training: what is drawn as it is followed would hold for good."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        return self.head((x if self.training and random.random() < 0 else self.two(x)).mean((2, 3)))


class ByNumpy(Plain):
    def head(self, x: Tensor) -> Tensor:
        return self.three(x * float(np.random.rand()))


class InPlace(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.two(self.one(x.sub_(0.5))).mean((2, 3)))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.relu, self.conv = nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.relu(x))


class BlockInPlace(Plain):
    """Each of its blocks begins by changing what the block before put out."""

    def __init__(self, num_classes: int):
        super().__init__(num_classes)
        self.two = nn.Sequential(Block(), Block())  # type: ignore[assignment]


class Several(Plain):
    def head(self, x: Tensor) -> Any:
        return self.three(x), x


class Maps(Plain):
    def head(self, x: Tensor) -> Any:
        return self.three(x)[:, :, None, None]


class Twofold(Plain):
    def forward(self, x: Tensor) -> Any:
        x = self.one(x)
        return self.head((self.two(x) if self.training else x).mean((2, 3)))


class Single(nn.Module):
    def __init__(self, num_classes: int):
        super().__init__()
        self.one = nn.Conv2d(3, num_classes, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x).mean((2, 3))


class Buffered(Plain):
    """What it computes depends on how often it has run."""

    count: Tensor

    def __init__(self, num_classes: int):
        super().__init__(num_classes)
        self.register_buffer("count", torch.zeros(()))

    def head(self, x: Tensor) -> Tensor:
        self.count += 1
        return self.three(x) * self.count


def of(network: Callable[..., nn.Module], monkeypatch: pytest.MonkeyPatch, crop: int = 12, **keys: Any) -> None:
    """Cut it and compare it with its layers, as where a study begins."""
    name = f"tests:{network.__name__}"  # type: ignore[attr-defined]
    monkeypatch.setitem(catalogue.ALLOWED, name, network)
    spec = NetworkRecipe(name=f"python/{name}", **keys)
    _, found = chained(spec, 5, crop)
    module = made(spec, 5)
    module.transfer_chain = found  # type: ignore[assignment]
    checked(spec, 5, crop, module)


def test_the_plain_network_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every refusal below would say nothing."""
    of(Plain, monkeypatch)
    of(Attention, monkeypatch, arguments={"dropout": 0.0})


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (DependsOnThePictures, "it cannot be followed (symbolically traced variables cannot be used as inputs to control flow)"),
        (Tied, "two of its parameters are one and the same"),
        (Unused, "its parameter spare.weight takes part in nothing"),
        (Attention, "its layer attention draws random numbers of its own, by scaled_dot_product_attention"),
        (Noisy, "its layer two draws random numbers of its own, by dropout"),
        (Drawn, "it draws random numbers of its own, by rand"),
        (Constant, "it draws random numbers of its own, by randn"),
        (Like, "its layer two draws random numbers of its own, by rand_like"),
        (Choosing, "it draws random numbers of its own, by random"),
        (ByNumpy, "it draws random numbers of its own, by a generator of torch, Python or NumPy"),
        (InPlace, "its layer one changes its input in place"),
        (BlockInPlace, "its layer two.0 changes its input in place"),
        (Several, "for 5 classes it must return (pictures, 5)"),
        (Maps, "for 5 classes it must return (pictures, 5)"),
        (Single, "it has a single layer: there is nothing to copy but all of it"),
        (InTwo, "its parameter two.weight is in two layers"),
        (Twofold, "its layers in training are others than those in evaluation"),
        (Buffered, "it writes its count anew as it runs"),
        (Twice, "two of its parameters are one and the same"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_the_reason(monkeypatch: pytest.MonkeyPatch, network: type[nn.Module], reason: str) -> None:
    with pytest.raises(TransferError) as refused:
        of(network, monkeypatch)
    assert str(refused.value) == f"python/tests:{network.__name__} cannot be cut into layers: {reason}"


def test_dropout_that_is_a_function_is_one_of_the_banks(monkeypatch: pytest.MonkeyPatch) -> None:
    class Functional(Plain):
        def head(self, x: Tensor) -> Tensor:
            return self.three(F.dropout(x, 0.25, self.training))

    of(Functional, monkeypatch)
    found = chained(NetworkRecipe(name="python/tests:Functional"), 5, 12)[1]
    assert [[(drop.rate, drop.shape) for drop in link.drops.values()] for link in found.links] == [[], [(0.25, (4,))], []]


# -- on the command line


@pytest.fixture
def refused(transfer: Transfer) -> Callable[..., str]:
    """A command that must be refused in one line with exit code 1 or 2."""

    def typed(*words: str, code: int = 1) -> str:
        said = transfer(*words)
        assert (said.code, said.out, said.err.count("\n")) == (code, "", 1)
        return said.err.rstrip("\n")

    return typed


Refused = Callable[..., str]


def test_unknown_names(refused: Refused) -> None:
    assert refused("layers", "torchvision/resnet19") == (
        "Error: torchvision has no classifier 'resnet19' (did you mean resnet18 or resnet152 or resnet101?); "
        "see them: torchvision.models.list_models()"
    )
    assert refused("layers", "torchvision/deeplabv3_resnet50").startswith("Error: torchvision has no classifier 'deeplabv3_")
    assert refused("layers", "torchvision/qqqqqq") == (
        "Error: torchvision has no classifier 'qqqqqq'; see them: torchvision.models.list_models()"
    )
    said = refused("layers", "timm/convnext_ato")
    assert said.startswith("Error: timm has no network 'convnext_ato' (did you mean convnext_atto or ")
    assert said.endswith("?); see timm.list_models()")
    assert "'caffe/alexnet'" in refused("layers", "tiny-imagenet-cpu", "--network", "caffe/alexnet")


def test_without_timm(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)  # as if it were not installed
    expected = "Error: timm/resnet26t needs timm, which is not installed: pip install 'transfer-study[timm]'"
    assert refused("layers", "timm/resnet26t") == expected
    assert refused("layers", "tiny-imagenet-cpu", "--network", "timm/resnet26t") == expected


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (
            ["network.name=torchvision/alexnet", "pictures.crop=32", "pictures.size=32"],
            "torchvision/alexnet cannot be cut into layers: it takes no pictures of 32×32 (",
        ),
        (
            ["network.name=torchvision/vit_b_16", "pictures.crop=64", "pictures.size=64"],
            "torchvision/vit_b_16 cannot be cut into layers: it takes no pictures of 64×64 (Wrong image height! Expected 224",
        ),
        (
            ["network.name=torchvision/resnet18", "network.arguments={breadth: 2}"],
            "torchvision/resnet18 cannot be built: ResNet.__init__() got an unexpected keyword argument 'breadth'; see",
        ),
        (
            ["network.name=torchvision/resnet18", "network.dropout=0.5"],
            "torchvision/resnet18 cannot be built: ResNet.__init__() got an unexpected keyword argument 'dropout'; see",
        ),
        (
            ["network.name=torchvision/resnet18", "network.width=2"],
            "torchvision/resnet18 has no width to choose; it can be given to torchvision/mobilenet_v2, ",
        ),
        (
            ["network.name=torchvision/resnet18", "network.cut=[conv1, layer9]"],
            "torchvision/resnet18 cannot be cut into layers: it has no module 'layer9'",
        ),
        (
            ["network.name=torchvision/resnet18", "layers=1-10"],
            "layer 10 cannot be transferred in a network of 10 layers, whose last is always fresh; choose layers within 1-9",
        ),
        (["network.name=torchvision/resnet18", "network.skips=true"], "recipe tiny-imagenet-cpu has 1 mistake: network: "),
        (["network.name=torchvision/resnet18", "network.layers=7"], "torchvision/resnet18 has 10 layers, not network.layers 7"),
    ],
)
def test_what_does_not_go_together(refused: Refused, overrides: list[str], reason: str) -> None:
    words = [word for override in overrides for word in ("--set", override)]
    assert refused("plan", "tiny-imagenet-cpu", *words, "--device", "cpu").startswith(f"Error: {reason}")


# -- BatchNorm, and weights of another network


def recipe_of(batch: int, **network: Any) -> Recipe:
    values = {**TINY, "network": network, "training": {**TINY["training"], "batch": batch}}
    return settled(recipes.validate(values, "tiny"))


@pytest.mark.parametrize(
    "network",
    [
        {"name": "torchvision/resnet18"},
        {"name": "small", "widths": [4, 4, 6, 6, 4, 8, 8], "normalisation": "batch"},
    ],
    ids=["resnet18", "small"],
)
def test_batchnorm_with_a_batch_of_one(network: dict[str, Any]) -> None:
    draw(recipe_of(2, **network), 4, 0, SPLIT, "baseA")
    with pytest.raises(TransferError) as refused:
        draw(recipe_of(1, **network), 4, 0, SPLIT, "baseA")
    assert str(refused.value) == (
        f"{network['name']} has BatchNorm, which no single picture trains; set training.batch to 2 or more"
    )


def test_a_batch_of_one_without_batchnorm() -> None:
    draw(recipe_of(1, name="small", widths=[4, 4, 6, 6, 4, 8, 8]), 4, 0, SPLIT, "baseA")


def test_a_batch_of_one_on_the_command_line(transfer: Transfer, tmp_path: Any) -> None:
    builtin = {"classes": CLASSES, "train": TRAIN, "val": VAL}
    values = {**TINY, "network": {"name": "torchvision/resnet18"}, "pictures": {**TINY["pictures"], "builtin": builtin}}
    values["training"] = {**TINY["training"], "batch": 1}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(values))
    said = transfer("run", "one.yaml", "--device", "cpu")
    assert (said.code, said.err.splitlines()[-1]) == (
        1,
        "Error: torchvision/resnet18 has BatchNorm, which no single picture trains; set training.batch to 2 or more",
    )
    assert "Traceback" not in said.err


def test_weights_of_another_network() -> None:
    """Strictly: every name that is missing, not known, or of another shape is told, and nothing is copied."""
    recipe = recipe_of(2, name="torchvision/resnet18")
    network = draw(recipe, 4, 0, SPLIT, "baseA")
    other = draw(recipe_of(2, name="torchvision/resnet18", arguments={"width_per_group": 64}), 4, 0, SPLIT, "baseB")
    state = {key: value for key, value in other.state_dict().items() if key != "layer1.0.conv1.weight"}
    state |= {"conv1.weight": torch.zeros(8, 3, 7, 7), "classifier.weight": torch.zeros(4, 8)}
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ValueError) as refused:
        copy_layers(network, state, [1, 2])
    assert str(refused.value) == (
        "cannot copy 2 layers: classifier.weight: not in the network; conv1.weight: shape (8, 3, 7, 7), not (64, 3, 7, 7); "
        "layer1.0.conv1.weight: missing from the source"
    )
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
