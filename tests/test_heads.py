"""`network.head`: dense layers of one's own in the place of a library's classifier, one layer and the last."""

import copy
import json
from pathlib import Path

import pytest
import torch
from conftest import CPU, TINY, Tiny
from safetensors.torch import load_file, save_file
from torch import nn

import transfercli
from transfercli.advice.exporting import loading_script
from transfercli.networks.catalogue import chained
from transfercli.networks.description import metadata
from transfercli.networks.heads import Head
from transfercli.networks.layers import layers_of
from transfercli.networks.pretrained import described, find
from transfercli.networks.start import draw
from transfercli.plan.networks import base, named
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import NetworkRecipe, Recipe
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training.reporter import SILENT
from transfercli.training.train import train
from transfercli.training.verify import verify

NAME = "torchvision/mobilenet_v3_small"  # whose classifier is dense, and then dense
CUT = ["features.4", "features.12", "classifier.0"]  # three layers, the last of which is the head
OWN = ["features.4", "features.12", "classifier.3"]


def spec(name: str = NAME, **keys: object) -> NetworkRecipe:
    return NetworkRecipe.model_validate({"name": name, **keys})


@pytest.mark.parametrize(
    ("name", "layers", "place", "widths"),
    [
        ("vgg19", 17, "classifier.0", [25088, 6, 5, 9]),  # its three dense layers give way
        ("resnet18", 10, "fc", [512, 6, 5, 9]),
        ("vit_b_16", 14, "heads.head", [768, 6, 5, 9]),
        ("convnext_tiny", 23, "classifier.2", [768, 6, 5, 9]),  # whose normalisation before it stays
        ("mobilenet_v3_small", 14, "classifier.0", [576, 6, 5, 9]),
    ],
)
def test_a_head_is_one_layer_and_the_last(name: str, layers: int, place: str, widths: list[int]) -> None:
    network, chain = chained(spec(f"torchvision/{name}", head=(6, 5)), 9, 224)
    assert len(chain.links) == layers and chain.links[-1].modules[0] == place
    head = network.get_submodule(place)
    assert isinstance(head, Head) and head.widths == widths
    assert [type(module) for module in head] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]
    assert all(one.startswith(f"{place}.") for one in chain.links[-1].parameters)
    assert len(chain.links[-1].parameters) == 6


def test_no_dense_layers_of_ones_own_are_a_plain_classifier() -> None:
    network, _ = chained(spec(head=()), 9, 64)
    assert isinstance(head := network.get_submodule("classifier.0"), Head) and head.widths == [576, 9]


def test_where_there_can_be_no_head() -> None:
    with pytest.raises(TransferError) as raised:
        chained(spec("torchvision/squeezenet1_0", head=(6,)), 9, 64)
    assert str(raised.value) == "torchvision/squeezenet1_0 ends in a Conv2d, not in a dense layer: leave network.head out"
    with pytest.raises(TransferError, match="head is for networks of libraries; small has its dense layers in widths"):
        recipes.find("demo", ["network.head=[6]"])


def whole(weights: Path, **network: object) -> Recipe:
    values = {
        **TINY,
        "splits": ["all"],
        "targets": ["T"],
        "layers": [2],
        "treatments": ["PnB", "PnB+", "PnB.keep"],
        "source": {"weights": str(weights)},
        "pictures": {**TINY["pictures"], "mean": "channel", "size": 36, "crop": 32},
        "network": {"name": NAME, **network},
    }
    return recipes.validate(values, "whole")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library's own network, for other classes, as a file."""
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_file(draw(whole(path, cut=OWN), 5, 7, "elsewhere", "baseA").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def study(tiny: Tiny, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = Study(tmp_path_factory.mktemp("head") / "study")
    recipe = tmp_path_factory.mktemp("recipe") / "whole.yaml"
    recipe.write_text(recipes.dump(whole(weights, cut=CUT, head=[6, 5])))
    transfercli.split(study, tiny.study.root / "pictures", recipe=str(recipe))
    train(study, [named("all", 0, name) for name in ("baseT", "P2T", "P2T+", "P2T.keep", "P0T.keep")], CPU, None, SILENT)
    return study


def test_all_below_the_head_is_copied_and_the_head_learns(study: Study, weights: Path) -> None:
    given = load_file(weights)
    below = [name for name in given if not name.startswith("classifier.")]
    frozen = load_file(study.folder(named("all", 0, "P2T")) / "weights.safetensors")
    assert all(torch.equal(frozen[name], given[name]) for name in below)
    assert [name for name in frozen if name.startswith("classifier.")] == [
        f"classifier.0.{place}.{kind}" for place in (0, 2, 4) for kind in ("bias", "weight")
    ]
    tuned = load_file(study.folder(named("all", 0, "P2T+")) / "weights.safetensors")
    assert not torch.equal(tuned[below[0]], given[below[0]])
    # All but the last copied, and two of these frozen, is the two of them copied and frozen: the same network.
    kept = load_file(study.folder(named("all", 0, "P2T.keep")) / "weights.safetensors")
    assert all(torch.equal(kept[name], frozen[name]) for name in below)
    row = study.row(named("all", 0, "P2T"))
    assert row and row["source_digest"] == study.recipe().source.digest == find(str(weights), NAME).digest  # type: ignore[union-attr]
    assert verify(study).problems == []


def test_a_network_with_a_head_is_a_source_itself(study: Study) -> None:
    folder = str(study.folder(named("all", 0, "baseT")))
    assert described(folder).network.head == (6, 5)
    same, own, other = (find(folder, spec(head=head, cut=CUT), 32) for head in ((6, 5), None, (3,)))
    assert same.digest == own.digest == other.digest
    assert any(name.startswith("classifier.") for name in same.state)
    for one, head in ((own, None), (other, (3,))):
        assert one.network.head == head and not any(name.startswith("classifier.") for name in one.state)
        assert all(torch.equal(value, same.state[name]) for name, value in one.state.items()) and one.state


@pytest.mark.parametrize("head", [None, (6, 5)])
def test_the_script_beside_an_exported_network_loads_it(head: tuple[int, ...] | None, tmp_path: Path) -> None:
    recipe = recipes.find("demo", [f"network.name={NAME}", "pictures.crop=32", f"network.head={json.dumps(head)}"])
    network = draw(recipe, 4, 0, "random-0", "baseA")
    path = tmp_path / "out.safetensors"
    save_file(network.state_dict(), path, metadata(recipe, base("random-0", 0, "A"), network, tuple("abcd"), None))
    text = loading_script("torchvision", "A network.", path, head is not None)
    assert ("put_head" in text) == (head is not None) and "transfercli" not in text
    space: dict = {"__name__": "beside", "__file__": str(tmp_path / "out.py")}
    exec(text, space)
    again, _, classes = space["load"]()
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(again(x), copy.deepcopy(network).eval()(x))
    assert classes == list("abcd") and not any(isinstance(module, Head) for module in again.modules())


def test_layers_one_after_another_are_the_network() -> None:
    recipe = recipes.find("demo", [f"network.name={NAME}", "pictures.crop=32", "network.head=[6]"])
    network = draw(recipe, 4, 0, "random-0", "baseA")  # which `checking` compares with its layers
    assert isinstance(network.get_submodule(layers_of(network)[-1].name), Head)
