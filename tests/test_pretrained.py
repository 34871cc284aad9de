"""Pretrained sources, as people name them. No weights are fetched: libraries get made-up entries, servers of the test's own."""

import hashlib
import http.server
import io
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from conftest import CLASSES, SPLIT
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torchvision import models
from torchvision.models import Weights, WeightsEnum
from torchvision.transforms import InterpolationMode
from torchvision.transforms._presets import ImageClassification

from transfercli.networks.catalogue import made, weightless
from transfercli.networks.pretrained import Input, Pretrained, described, find, usual_input
from transfercli.networks.start import Source, copy_layers, layers_of, skeleton
from transfercli.recipe.schema import NetworkRecipe, Pictures
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError

ROOT = Path(__file__).parents[1]
SMALL = "torchvision/shufflenet_v2_x0_5"
OWN = "shufflenet_v2_x0_5"
IMAGENETS = Input(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
State = dict[str, Tensor]


def drawn(name: str = OWN, classes: int = 5, **arguments: Any) -> State:
    torch.manual_seed(3)
    return models.get_model(name, num_classes=classes, **arguments).state_dict()


@pytest.fixture(scope="module")
def state() -> State:
    return drawn()


def same(found: Pretrained, state: State) -> bool:
    return found.state.keys() == state.keys() and all(torch.equal(found.state[name], state[name]) for name in state)


def refused(said: str | Path, network: str | None = SMALL) -> str:
    """The line by which a source is refused: one line, in time."""
    began = time.monotonic()
    with pytest.raises(TransferError) as error:
        find(str(said), network)
    assert "\n" not in str(error.value)
    assert time.monotonic() - began < 30  # the hub's client alone would try for 46 seconds
    return str(error.value)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for word in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(word, raising=False)
        monkeypatch.delenv(word.lower(), raising=False)
    monkeypatch.setattr(socket, "create_connection", connect)


# -- torchvision


class Entry:
    """A made-up entry of torchvision's: two kinds of weights for the small network, in a cache of the test's own."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch):
        self.cache, self.monkeypatch = home / "hub/checkpoints", monkeypatch
        monkeypatch.setenv("TORCH_HOME", str(home))
        self.server = "https://nowhere.invalid"

    def of(self, state: State, kept: bool = True) -> Path:
        """The file that holds the weights, under the name that torchvision gives it: with the beginning of its sha256."""
        data = io.BytesIO()
        torch.save(state, data)
        self.data = data.getvalue()
        path = self.cache / f"small-{hashlib.sha256(self.data).hexdigest()[:8]}.pth"
        if kept:
            self.cache.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.data)

        def transforms() -> ImageClassification:
            cubic = InterpolationMode.BICUBIC
            return ImageClassification(
                crop_size=64, resize_size=72, mean=(0.5, 0.5, 0.4), std=(0.2, 0.2, 0.3), interpolation=cubic
            )

        told = {"categories": ["cat", "dog", "ant", "bee", "elk"], "license": "cc-by-nc-4.0"}

        class MadeUp(WeightsEnum):
            IMAGENET1K_V1 = Weights(f"{self.server}/models/other-00000000.pth", transforms, {"categories": None})
            IMAGENET1K_V2 = Weights(f"{self.server}/models/{path.name}", transforms, told)
            DEFAULT = IMAGENET1K_V2

        self.monkeypatch.setattr(models, "get_model_weights", lambda name: {OWN: MadeUp}[name])
        return path


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    return Entry(tmp_path / "torch", monkeypatch)


@pytest.mark.parametrize("said", [SMALL, f"{SMALL}@IMAGENET1K_V2", f"{SMALL}@DEFAULT"])
def test_a_librarys_weights_and_what_it_says_of_them(said: str, entry: Entry, state: State, no_network: None) -> None:
    file = entry.of(state)
    found = find(said)
    assert same(found, state) and found.digest == Source.of(state).digest and found.file == file
    assert (found.said, found.called, found.network.name) == (said, f"{SMALL}@IMAGENET1K_V2", SMALL)
    assert found.input == Input(72, 64, (0.5, 0.5, 0.4), (0.2, 0.2, 0.3), interpolation="bicubic")
    assert (found.assumed, found.licence, found.notes) == ((), "cc-by-nc-4.0", ())
    assert found.classes == ("cat", "dog", "ant", "bee", "elk")


def test_a_description_needs_no_weights(entry: Entry, state: State, no_network: None) -> None:
    entry.of(state, kept=False)
    told = described(f"{SMALL}@IMAGENET1K_V1")
    assert (told.called, told.input.crop, told.classes, told.licence) == (f"{SMALL}@IMAGENET1K_V1", 64, (), "")


def test_the_inputs_keys_are_those_of_a_recipes_pictures() -> None:
    told = vars(described("torchvision/efficientnet_b0").input)
    assert Pictures.model_validate(told).model_dump(include=set(told)) == told
    assert (told["size"], told["crop"], told["interpolation"], told["fit"]) == (256, 224, "bicubic", "crop")


def test_without_a_network_it_is_said_at_once_where_the_file_goes(entry: Entry, state: State, no_network: None) -> None:
    file = entry.of(state, kept=False)
    assert refused(SMALL) == (
        f"no {file.name} in {entry.cache}, and nowhere.invalid cannot be reached (Name or service not known); "
        f"fetch https://nowhere.invalid/models/{file.name} where there is a network and put it into {entry.cache} (TORCH_HOME)"
    )
    assert not entry.cache.exists()


@pytest.mark.parametrize("keep", [0, 1000, -1])
def test_a_file_of_the_cache_that_is_not_whole(keep: int, entry: Entry, state: State, no_network: None) -> None:
    file = entry.of(state)
    file.write_bytes(entry.data[:keep])
    found = hashlib.sha256(entry.data[:keep]).hexdigest()[:8]
    line = f"{file} is damaged or not whole: its sha256 begins with {found}, not {file.stem[-8:]}; "
    assert refused(SMALL) == line + "remove it and run the command again"


class Serving(http.server.BaseHTTPRequestHandler):
    """Sends the server's data, or the beginning of it, and says that it is whole; or has none."""

    def do_GET(self) -> None:
        data, sent = self.server.data, self.server.sent  # type: ignore[attr-defined]
        self.send_response(200 if data else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:sent])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Serving) as found:
        found.data, found.sent = b"", None  # type: ignore[attr-defined]
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def test_weights_are_fetched_once(entry: Entry, state: State, server: Any) -> None:
    entry.server = f"http://127.0.0.1:{server.server_port}"
    file = entry.of(state, kept=False)
    server.data = entry.data
    assert same(find(SMALL), state) and list(entry.cache.iterdir()) == [file]
    server.data = b""
    assert same(find(SMALL), state)


def test_an_interrupted_download_leaves_nothing_that_passes_for_weights(entry: Entry, state: State, server: Any) -> None:
    entry.server = f"http://127.0.0.1:{server.server_port}"
    file = entry.of(state, kept=False)
    server.data, server.sent = entry.data, 100_000
    url = f"{entry.server}/models/{file.name}"
    remedy = f"fetch {url} where there is a network and put it into {entry.cache} (TORCH_HOME)"
    assert refused(SMALL) == f"what came from {url} is not whole; run the command again, or {remedy}"
    assert list(entry.cache.iterdir()) == []
    server.data = b""
    assert refused(SMALL) == f"cannot fetch {url}: the server says 404 Not Found; {remedy}"
    assert list(entry.cache.iterdir()) == [] and socket.getdefaulttimeout() is None


def test_a_server_that_takes_up_no_connection(
    entry: Entry, state: State, monkeypatch: pytest.MonkeyPatch, no_network: None
) -> None:
    """A resolver that never answers holds nobody up."""
    entry.of(state, kept=False)
    monkeypatch.setattr("transfercli.system.downloads.PATIENCE", 0.2)
    monkeypatch.setattr(socket, "create_connection", lambda *_: time.sleep(60))
    assert "nowhere.invalid does not answer; fetch https://" in refused(SMALL)


def test_names_that_there_are_not() -> None:
    assert refused(f"{SMALL}@IMAGENET1K_V7") == (
        f"{SMALL} has no weights 'IMAGENET1K_V7' (did you mean IMAGENET1K_V1?); it has IMAGENET1K_V1, DEFAULT"
    )
    assert "torchvision has no classifier 'resnt18' (did you mean resnet18 or" in refused("torchvision/resnt18", None)
    assert refused("resnet18", None) == "no file, folder or library's weights resnet18; did you mean torchvision/resnet18?"
    assert "no file, folder or library's weights mine.pth; see docs/sources.md" in refused("mine.pth")
    assert "timm has no network 'resnt18' (did you mean resnet18 or" in refused("timm/resnt18", None)
    assert "timm has no weights 'a9' of resnet18; it has a1_in1k, a2_in1k" in refused("timm/resnet18.a9", None)
    assert "timm has no weights of vit_tiny_patch16_" not in refused("timm/vit_wee_patch16_224.augreg_in21k", None)
    assert refused("torchvision/resnet18") == (
        f"torchvision/resnet18 is of torchvision/resnet18, not of {SMALL}; leave the network out, or choose other weights"
    )


def as_torchvision_builds(name: str, member: str) -> bool:
    """Whether the network that weights are told to be of is that which torchvision makes when it is given them."""
    told = described(f"torchvision/{name}@{member}")
    with pytest.MonkeyPatch.context() as patch, weightless():
        patch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: {})
        patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
        theirs = models.get_model(name, weights=member)
        ours = made(told.network, len(told.classes) or 1000)
    own = {one: value.shape for one, value in theirs.state_dict().items() if not one.startswith("AuxLogits.")}
    assert getattr(ours, "transform_input", None) == getattr(theirs, "transform_input", None)
    return own == {one: value.shape for one, value in ours.state_dict().items()}


SPECIAL = [
    *[("googlenet", "IMAGENET1K_V1"), ("inception_v3", "IMAGENET1K_V1"), ("vit_b_16", "IMAGENET1K_V1")],
    *[("vit_b_16", "IMAGENET1K_SWAG_E2E_V1"), ("maxvit_t", "IMAGENET1K_V1"), ("vgg16", "IMAGENET1K_FEATURES")],
]


@pytest.mark.parametrize(("name", "member"), SPECIAL)
def test_the_network_that_weights_want(name: str, member: str) -> None:
    assert as_torchvision_builds(name, member)


@pytest.mark.slow
def test_the_network_that_all_weights_of_torchvision_want() -> None:
    for name in models.list_models(module=models):
        for member in models.get_model_weights(name).__members__:
            assert as_torchvision_builds(name, member), (name, member)
            assert re.search(r"-[0-9a-f]{8,}\.pth$", models.get_model_weights(name)[member].url)


# -- files


def test_a_file_of_either_kind(state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "mine.safetensors")
    torch.save(state, tmp_path / "mine.pth")
    for name in ("mine.safetensors", "mine.pth"):
        found = find(str(tmp_path / name), SMALL)
        assert same(found, state) and found.digest == Source.of(state).digest
        assert (found.network.name, found.input, found.classes, found.licence, found.notes) == (SMALL, IMAGENETS, (), "", ())
        assert found.assumed == ("size", "crop", "mean", "std", "interpolation", "fit")


def test_weights_can_be_copied_as_a_start_copies(state: State, tmp_path: Path) -> None:
    """All but the last layer, into a network of other classes, strictly."""
    torch.save({"epoch": 3, "model": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "mine.pth")
    found = find(str(tmp_path / "mine.pth"), SMALL)
    assert found.notes == ("its weights are those under model", "module. is taken off its names")
    network = made(NetworkRecipe(name=SMALL), 7)
    network.transfer_chain = skeleton(NetworkRecipe(name=SMALL), 7, 224).transfer_chain
    depth = len(layers_of(network))
    copy_layers(network, found.state, range(1, depth))
    own = network.state_dict()
    assert [name for name in own if own[name].shape != state[name].shape] == ["fc.weight", "fc.bias"]
    assert all(torch.equal(own[name], state[name]) for name in own if not name.startswith("fc."))


@pytest.mark.parametrize(
    ("change", "notes"),
    [
        (lambda state: {"state_dict": state, "optimizer": {"lr": 0.1}}, ("its weights are those under state_dict",)),
        (lambda state: {f"_orig_mod.module.{n}": v for n, v in state.items()}, 2),
        (lambda state: {n: v for n, v in state.items() if not n.startswith("fc.")}, ()),
        (
            lambda state: {**{n: v for n, v in state.items() if n[:3] != "fc."}, "fc.0.weight": torch.ones(3, 4)},
            ("a head of another kind is left out: fc.0.weight",),
        ),
        (lambda state: {n: v for n, v in state.items() if "num_batches" not in n}, ()),
        (lambda state: {n: nn.Parameter(v) if v.is_floating_point() else v for n, v in state.items()}, ()),
    ],
    ids=["wrapped", "two prefixes", "no last layer", "two dense layers", "of before 2018", "parameters"],
)
def test_usual_wrappings(change: Callable[[State], Any], notes: Any, state: State, tmp_path: Path) -> None:
    torch.save(change(state), tmp_path / "mine.pt")
    found = find(str(tmp_path / "mine.pt"), SMALL)
    assert len(found.notes) == notes if isinstance(notes, int) else found.notes == notes
    below = [name for name in state if not name.startswith("fc.")]
    assert all(torch.equal(found.state[name], state[name]) for name in below)
    assert found.state.keys() - below <= {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_taken_as_float32(dtype: torch.dtype, state: State, tmp_path: Path) -> None:
    save_file(
        {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()},
        tmp_path / "a.safetensors",
    )
    found = find(str(tmp_path / "a.safetensors"), SMALL)
    assert found.notes == (f"its numbers are {str(dtype).removeprefix('torch.')} and are taken as float32",)
    assert all(torch.equal(found.state[name], value.to(dtype).to(value.dtype)) for name, value in state.items())


def test_networks_whose_files_have_other_names(tmp_path: Path) -> None:
    """torchvision's DenseNets have names of before dots were forbidden, GoogLeNet's heads that only training has."""
    dense = drawn("densenet121")
    torch.save(
        {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): value for name, value in dense.items()},
        tmp_path / "d.pth",
    )
    assert not torch.load(tmp_path / "d.pth").keys() <= dense.keys()
    assert same(find(str(tmp_path / "d.pth"), "torchvision/densenet121"), dense)
    heads = drawn("googlenet", aux_logits=True, init_weights=False)
    torch.save(heads, tmp_path / "g.pth")
    found = find(str(tmp_path / "g.pth"), "torchvision/googlenet")
    assert same(found, {name: value for name, value in heads.items() if not name.startswith("aux")})
    assert found.notes == (
        "auxiliary heads are left out: aux1.conv.conv.weight, aux1.conv.bn.weight, aux1.conv.bn.bias and 17 more",
    )


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch hostile",)


def test_a_hostile_file_is_refused_and_nothing_of_it_is_run(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({**state, "fc.bias": Hostile()}, "hostile.pth")
    system = f"{os.system.__module__}.system"
    line = f"hostile.pth is refused: it holds {system}, which is code and not weights; "
    line += "ask for a .safetensors, or for its state_dict() alone"
    assert refused("hostile.pth") == refused("hostile.pth", None) == line
    torch.save(models.get_model(OWN), "whole.pth")  # a module, not its state_dict()
    assert "whole.pth is refused: it holds torchvision.models." in refused("whole.pth")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert refused("hostile.pth") == line and not Path("hostile").exists()


def changed(name: str, value: Tensor) -> Callable[[State], State]:
    return lambda state: {**state, name: value}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            changed("conv1.0.weight", torch.ones(24, 3, 5, 5)),
            f"FILE does not fit {SMALL}: conv1.0.weight is 24×3×5×5, not 24×3×3×3; ",
        ),
        (
            lambda state: drawn("squeezenet1_1"),
            f"FILE does not fit {SMALL}: conv1.0.weight is missing, conv1.1.weight is missing, ",
        ),
        (changed("extra", torch.ones(1)), f"FILE does not fit {SMALL}: extra is not in the network; "),
        (
            changed("conv5.1.bias", torch.full((1024,), torch.nan)),
            "FILE is of no use: its conv5.1.bias holds numbers that are not finite",
        ),
        (
            changed("conv5.1.bias", torch.full((1024,), 1e300, dtype=torch.float64)),
            "FILE is of no use: its conv5.1.bias holds numbers that",
        ),
        (changed("conv5.1.bias", torch.ones(1024, dtype=torch.int8)), "FILE: conv5.1.bias is int8; choose weights of float32"),
        (changed("conv5.1.bias", torch.ones(1024).to_sparse()), "FILE: conv5.1.bias is sparse, quantised or empty"),
        (changed("conv5.1.bias", torch.ones(1024, device="meta")), "FILE: conv5.1.bias is sparse, quantised or empty"),
        (changed("fc.weight", torch.ones(()).expand(10**9, 10**6)), "FILE: fc.weight holds fewer numbers than its shape says"),
        (lambda state: {"epoch": 3, "weights": [1, 2]}, "FILE holds no weights by name: epoch is no tensor; save"),
        (lambda state: {}, "FILE holds no weights by name; save a network's state_dict()"),
        (lambda state: list(state.values()), "FILE holds no weights by name; save a network's state_dict()"),
        (lambda state: {3: torch.ones(1)}, "FILE holds no weights by name; save a network's state_dict()"),
    ],
    ids=lambda value: "" if callable(value) else value[:40],
)
def test_weights_that_do_not_fit_or_are_of_no_use(
    change: Callable[[State], Any], line: str, state: State, tmp_path: Path
) -> None:
    torch.save(change(state), tmp_path / "odd.pth")
    assert refused(tmp_path / "odd.pth").startswith(line.replace("FILE", str(tmp_path / "odd.pth")))


def test_a_last_layer_that_is_not_finite_is_nobodys_loss(state: State, tmp_path: Path) -> None:
    torch.save({**state, "fc.bias": torch.full((5,), torch.nan)}, tmp_path / "mine.pth")
    assert find(str(tmp_path / "mine.pth"), SMALL).state["fc.bias"].isnan().all()


def test_files_that_are_none(state: State, tmp_path: Path) -> None:
    for name in ("empty.pth", "empty.safetensors"):
        (tmp_path / name).touch()
        assert refused(tmp_path / name) == f"{tmp_path / name} is empty; copy or download it again"
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("<html>404</html>")
        assert refused(tmp_path / name).startswith(f"{tmp_path / name} cannot be read as weights (")
    save_file(state, tmp_path / "short.safetensors")
    os.truncate(tmp_path / "short.safetensors", 10_000)
    assert refused(tmp_path / "short.safetensors").startswith(f"{tmp_path / 'short.safetensors'} cannot be read as weights (")
    os.mkfifo(tmp_path / "pipe.pth")
    assert refused(tmp_path / "pipe.pth") == f"{tmp_path / 'pipe.pth'} is no plain file; give a .safetensors or .pth"
    assert refused(tmp_path) == f"{tmp_path} holds no weights.safetensors; name a network's folder, or a file"


def test_a_file_without_its_network(state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "mine.safetensors")
    assert refused(tmp_path / "mine.safetensors", None) == (
        f"{tmp_path / 'mine.safetensors'} does not say of which network its weights are; say it: --network torchvision/resnet18"
    )
    assert refused(tmp_path / "mine.safetensors", "resnet18").startswith("no network 'resnet18'; choose caffenet, ")
    assert "torchvision has no classifier 'resnt18'" in refused(tmp_path / "mine.safetensors", "torchvision/resnt18")


def test_what_is_usually_given_to_a_network() -> None:
    assert usual_input("torchvision/inception_v3").crop == 299
    assert usual_input("timm/test_vit") == Input(168, 160, (0.5,) * 3, (0.5,) * 3, interpolation="bicubic")
    assert usual_input("python/own:network") == IMAGENETS


# -- networks of a study


def test_a_studys_network_says_of_itself_all_that_is_needed(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its folder or by its file; the mean image comes as its mean colour."""
    monkeypatch.chdir(study.root.parent)
    folder = Path("study") / SPLIT / "baseA"
    state, row = load_file(folder / "weights.safetensors"), json.loads((folder / "row.json").read_text())
    for said in (str(folder), f"{folder}/", str(folder / "weights.safetensors")):
        found = find(said)
        assert same(found, state) and found.digest == row["weights_digest"] and found.file == folder / "weights.safetensors"
        assert found.network.model_copy(update={"outputs": None}) == study.recipe().network
        assert found.classes == study.halves(SPLIT).split.A and len(found.classes) == CLASSES // 2
        assert (found.assumed, found.notes, found.said) == ((), (), said)
        told = vars(found.input)
        pictures = study.recipe().pictures
        assert {key: told[key] for key in told if key != "mean"} == pictures.model_dump(include=set(told) - {"mean"})
        assert all(0.1 < value < 0.9 for value in told["mean"])
    assert found.input.mean != find(str(study.root / SPLIT / "baseB")).input.mean
    assert find(str(folder), "small").digest == row["weights_digest"]
    assert refused("study", None) == f"study holds no weights.safetensors; name one of its networks, as {folder}"
    assert f"{folder} is of small, not of {SMALL}" in refused(folder)


def test_weights_that_are_not_those_of_their_row(study: Study) -> None:
    folder = study.root / SPLIT / "baseA"
    row = json.loads((folder / "row.json").read_text())
    (folder / "row.json").write_text(json.dumps({**row, "weights_digest": "0" * 64}))
    assert refused(folder, None) == f"the weights in {folder} are not those of its row; remove it and train it again"


@pytest.mark.parametrize(
    "about",
    [
        "[]",
        "{",
        '{"recipe": {}}',
        "[" * 10_000,
        json.dumps({"recipe": {"network": "torchvision/resnet18"}, "input": {"size": 9}}),
    ],
)
def test_a_file_that_says_nonsense_of_itself(about: str, state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "mine.safetensors", {"about": about})
    assert refused(tmp_path / "mine.safetensors").startswith(
        f"what {tmp_path / 'mine.safetensors'} says of itself cannot be read ("
    )


# -- timm and the hub

TINY = "timm/test_resnet.r160_in1k"


@pytest.fixture(scope="module")
def timms() -> State:
    torch.manual_seed(4)
    return timm.create_model("test_resnet", pretrained=False, num_classes=1000).state_dict()


class Cache:
    """The hub's cache, as its client lays it out."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        self.root = root
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(root))

    def put(self, repository: str, name: str, data: bytes) -> Path:
        folder = self.root / f"models--{repository.replace('/', '--')}"
        blob, link = folder / "blobs" / hashlib.sha256(data).hexdigest(), folder / "snapshots" / ("1" * 40) / name
        for path in (blob, link, folder / "refs/main"):
            path.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        link.symlink_to(blob)
        (folder / "refs/main").write_text("1" * 40)
        return link


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    return Cache(tmp_path / "hub", monkeypatch)


def bytes_of(state: State, tmp_path: Path) -> bytes:
    save_file(state, tmp_path / "written.safetensors")
    return (tmp_path / "written.safetensors").read_bytes()


@pytest.mark.parametrize("said", [TINY, "timm/test_resnet"])
def test_weights_of_timm(said: str, hub: Cache, timms: State, tmp_path: Path, no_network: None) -> None:
    file = hub.put(TINY, "model.safetensors", bytes_of(timms, tmp_path))
    found = find(said)
    assert same(found, timms) and found.digest == Source.of(timms).digest and found.file == file
    assert (found.called, found.network.name, found.licence) == (TINY, "timm/test_resnet", "apache-2.0")
    assert found.input == Input(168, 160, (0.5,) * 3, (0.5,) * 3)
    assert len(found.classes) == 1000 and found.classes[0].startswith("tench") and found.assumed == ()


def test_timm_has_more_than_one_kind_of_file(hub: Cache, timms: State, tmp_path: Path, no_network: None) -> None:
    torch.save(timms, data := io.BytesIO())
    hub.put(TINY, "pytorch_model.bin", data.getvalue())
    assert same(find(TINY), timms)
    torch.save({**timms, "fc.bias": Hostile()}, data := io.BytesIO())
    hub.put("timm/test_vit.r160_in1k", "pytorch_model.bin", data.getvalue())
    assert "is refused: it holds" in refused("timm/test_vit", None)


def test_timms_weights_that_lie_at_a_url(entry: Entry, timms: State, monkeypatch: pytest.MonkeyPatch) -> None:
    file, own = entry.of(timms), timm.models.get_pretrained_cfg("test_resnet.r160_in1k")
    there = replace(own, hf_hub_id=None, url=f"https://nowhere.invalid/{file.name}", license="cc-by-nc-4.0")
    monkeypatch.setattr(timm.models, "get_pretrained_cfg", lambda name: there)
    found = find(TINY)
    assert same(found, timms) and (found.file, found.licence) == (file, "cc-by-nc-4.0")


def test_a_damaged_file_of_the_hubs_cache(hub: Cache, timms: State, tmp_path: Path, no_network: None) -> None:
    file = hub.put(TINY, "model.safetensors", bytes_of(timms, tmp_path))
    os.truncate(file.resolve(), 5000)
    assert refused(TINY, None).startswith(f"{file.resolve()} is damaged or not whole: its sha256 begins with ")


def test_without_a_network_the_hub_is_given_up_at_once(hub: Cache, no_network: None, monkeypatch: pytest.MonkeyPatch) -> None:
    remedy = f"where there is a network run: hf download {TINY} --local-dir NAME, and give that folder NAME instead of {TINY}"
    missing = f"no {TINY} in {hub.root} (HF_HOME), and "
    assert refused(TINY, None) == f"{missing}huggingface.co cannot be reached (Name or service not known); {remedy}"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert refused(TINY, None) == f"{missing}HF_HUB_OFFLINE is set; {remedy}"


def test_a_folder_as_the_hubs_client_brings_it(hub: Cache, timms: State, tmp_path: Path, no_network: None) -> None:
    network = timm.create_model("test_resnet", num_classes=3)
    timm.models.save_for_hf(network, tmp_path / "mine", model_config={"label_names": ["a", "b", "c"]}, safe_serialization=True)
    for name in ("config.json", "model.safetensors"):
        hub.put("somebody/mine", name, (tmp_path / "mine" / name).read_bytes())
    for said in (str(tmp_path / "mine"), "hf-hub:somebody/mine", "hf-hub:somebody/mine@main"):
        found = find(said)
        assert same(found, network.state_dict()) and found.classes == ("a", "b", "c")
        assert (found.network.name, found.input.crop) == ("timm/test_resnet", 160)
    (tmp_path / "mine/config.json").write_text('{"architectures": ["Bert"]}')
    assert "config.json is not what timm writes (KeyError: 'architecture'); choose other weights" in refused(
        tmp_path / "mine", None
    )
    assert refused("hf-hub:mine", None) == "hf-hub:mine names no repository; write hf-hub:OWNER/NAME"


def test_timm_is_needed_only_where_it_is_named(monkeypatch: pytest.MonkeyPatch, state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "mine.safetensors")
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    assert find(str(tmp_path / "mine.safetensors"), SMALL).digest
    assert refused(TINY, None).startswith("timm/test_resnet needs timm, which is not installed: pip install")
    assert refused("hf-hub:a/b", None).startswith("hf-hub:a/b needs timm, which is not installed: pip install")


# -- the page


def test_the_page_names_every_kind_of_source() -> None:
    page = (ROOT / "docs/sources.md").read_text(encoding="utf-8")
    for word in (
        "torchvision/",
        "@IMAGENET1K_V2",
        "timm/",
        "hf-hub:",
        ".safetensors",
        ".pth",
        "TORCH_HOME",
        "HF_HOME",
        "HF_HUB_OFFLINE",
    ):
        assert word in page
    assert {f"`{key}`" for key in Input.__annotations__} <= set(re.findall(r"`\w+`", page))
