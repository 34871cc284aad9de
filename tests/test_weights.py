"""Weights that describe themselves: docs/weights.md's code is run as it stands, and has the row's accuracy."""

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CPU, SPLIT, Tiny, silent, tiny_recipe, with_slow
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from transfercli.networks.description import metadata
from transfercli.networks.start import build, digest, draw
from transfercli.pictures.stream import Part, Pixels, centre_crop, normalise
from transfercli.plan.networks import base, transfers
from transfercli.recipe.reading import find
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.training.bench import Bench
from transfercli.training.train import train

PAGE = Path(__file__).parents[1] / "docs/weights.md"


def code(place: int = 0) -> str:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    return str(blocks[place])


def definitions() -> dict[str, Any]:
    """What the page's code defines, without its last lines, which read a study."""
    space: dict[str, Any] = {}
    exec(code().partition("\nnetwork, wanted, classes")[0], space)
    return space


@pytest.fixture(scope="module")
def space() -> dict[str, Any]:
    return definitions()


def test_the_pages_code_as_it_stands(
    swept: Study, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run from the folder that holds results/study, beside a picture; all validation pictures then give the row's accuracy."""
    shutil.copytree(swept.root / SPLIT, tmp_path / "results/study" / SPLIT)
    classes = tiny.halves.split.B
    pictures = [(tiny.folder.root / path, label) for label, name in enumerate(classes) for path in tiny.folder.val[name]]
    shutil.copy(pictures[0][0], tmp_path / "picture.jpg")
    monkeypatch.chdir(tmp_path)
    space: dict[str, Any] = {}
    exec(code(), space)
    assert re.fullmatch(rf"({'|'.join(classes)}) 0\.\d\d\d\n", capsys.readouterr().out)
    for name in ("baseB", "A3B", "B5B+", "R2B"):  # A3B subtracts the mean image of A
        network, wanted, told = space["load"](f"results/study/{SPLIT}/{name}/weights.safetensors")
        row = json.loads(Path(f"results/study/{SPLIT}/{name}/row.json").read_text())
        assert tuple(told) == classes
        with torch.no_grad():
            logits = torch.cat([network(space["prepare"](str(path), wanted)) for path, _ in pictures])
        labels = torch.tensor([label for _, label in pictures])
        assert float((logits.argmax(1) == labels).double().mean()) == pytest.approx(row["top1"], abs=1e-12)
        assert float(torch.nn.functional.cross_entropy(logits, labels)) == pytest.approx(row["loss"], rel=1e-5)


def test_the_metadata_says_which_network_by_which_recipe(swept: Study, tiny: Tiny) -> None:
    with safe_open(swept.root / SPLIT / "A3B" / "weights.safetensors", "pt") as file:
        about = json.loads(file.metadata()["about"])
    assert Recipe.model_validate(about["recipe"]).digest() == swept.recipe().digest()
    row = json.loads((swept.root / SPLIT / "A3B/row.json").read_text())
    assert about["network"].items() <= row.items()
    assert [(layer["layer"], layer["modules"][0]["name"]) for layer in about["layers"]] == [
        (n, f"{'conv' if n < 6 else 'fc'}{n}") for n in range(1, 9)
    ]
    named = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {*named} == {*about}


CHANNELS = torch.tensor([100.5, 90.25, 80.125])
EVERY_NETWORK = [
    ({"network": {"normalisation": "lrn"}}, CHANNELS),
    ({"network": {"normalisation": "batch", "outputs": 11}}, None),
    ({"network": {"widths": [4, 4, 6, 5, 4, 8, 8], "skips": True}}, None),
    (
        {"network": {"name": "caffenet", "normalisation": "lrn"}, "pictures": {"size": 72, "crop": 67, "channels": "bgr"}},
        CHANNELS,
    ),
]


@pytest.mark.parametrize(("changes", "mean"), EVERY_NETWORK)
def test_every_network_is_built_again(changes: Any, mean: Any, space: dict[str, Any], tmp_path: Path) -> None:
    recipe, network = tiny_recipe(changes), base(SPLIT, 0, "B")
    module = build(recipe, 4).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.05, 0.2)
    save_file(module.state_dict(), tmp_path / "w.safetensors", metadata(recipe, network, module, tuple("abcd"), mean))
    rebuilt, wanted, classes = space["load"](str(tmp_path / "w.safetensors"))
    assert (wanted["crop"], wanted["channels"], classes) == (recipe.pictures.crop, recipe.pictures.channels, list("abcd"))
    assert wanted["mean"] == (None if mean is None else mean.tolist())
    x = 10 * torch.rand(3, 3, recipe.pictures.crop, recipe.pictures.crop)
    with torch.no_grad():
        torch.testing.assert_close(rebuilt(x), module(x))


@pytest.mark.parametrize(
    "changes",
    [
        {"interpolation": "bicubic", "fit": "crop", "mean": "channel"},
        {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "divide": 1, "channels": "bgr"},
        {"mean": "channel", "std": [0.2, 0.3, 0.4], "divide": 1},
        {"mean": [0.4, 0.5, 0.6]},
    ],
)
def test_the_pages_input_is_the_networks(changes: Any, space: dict[str, Any], split_study: Study, tmp_path: Path) -> None:
    """A picture of another shape than the recipe's, as the page prepares it and as a network is measured on it."""
    recipe = tiny_recipe({"pictures": changes})
    Image.effect_noise((37, 23), 90).convert("RGB").save(tmp_path / "picture.png")
    mean = Bench(split_study, recipe, split_study.halves(SPLIT), CPU, torch.float32).mean("A")
    pixels = Pixels(Part(tmp_path, ("picture.png",), (0,)), recipe.pictures, CPU, 1)
    told = json.loads(metadata(recipe, base(SPLIT, 0, "A"), build(recipe, 4), tuple("abcd"), mean)["about"])
    x = space["prepare"](str(tmp_path / "picture.png"), told["input"])
    torch.testing.assert_close(x, normalise(centre_crop(pixels, torch.tensor([0])), mean, recipe.pictures))


def test_weights_without_metadata_serve_as_before(study: Study) -> None:
    """As earlier versions wrote them; the digest of the weights is of the tensors alone."""
    for half in "AB":
        file = study.root / SPLIT / f"base{half}" / "weights.safetensors"
        tensors = load_file(file)
        assert digest(tensors, sorted(tensors)) == json.loads((file.parent / "row.json").read_text())["weights_digest"]
        save_file(tensors, file)
    (network,) = transfers([SPLIT], [0], ["B"], [3], ["AnB"])
    (row,) = train(study, [network], CPU, None, silent())
    assert row["network"] == "A3B" and row["step"] == 5


@pytest.mark.parametrize(
    "name",
    with_slow(["torchvision/resnet18", "torchvision/googlenet", "torchvision/mobilenet_v3_small"], ["torchvision/googlenet"]),
)
@pytest.mark.parametrize("head", [None, [], [7, 5]])
def test_a_network_of_torchvision_is_torchvisions(name: str, head: list[int] | None) -> None:
    """Its weights load strictly into what torchvision makes, by the page's second piece of code."""
    recipe = find("demo", [f"network.name={name}", "pictures.crop=32", f"network.head={json.dumps(head)}"])
    network = draw(recipe, 10, 0, SPLIT, "baseA")
    classes = tuple(f"c{i}" for i in range(10))
    about = json.loads(metadata(recipe, base(SPLIT, 0, "A"), network, classes, None)["about"])
    assert about["layers"][0]["modules"][0].keys() == {"name"}
    space: dict[str, Any] = {}
    exec(code(1), space)
    again = space["of_torchvision"](about, network.state_dict())
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(again(x), copy.deepcopy(network).eval()(x))
