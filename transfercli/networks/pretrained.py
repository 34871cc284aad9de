"""Pretrained networks, named as people name them: of torchvision, of timm and the Hugging Face hub, a file, a study's network.

docs/sources.md has the words. What a library or a file says of its weights is taken: network, input, classes, licence.
"""

import base64
import binascii
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np
import torch
from pydantic import ValidationError

from transfercli.networks import weights
from transfercli.networks.catalogue import builder, near, need_timm
from transfercli.networks.layers import layers_of
from transfercli.networks.start import State, digest, skeleton
from transfercli.recipe.schema import NetworkRecipe, Pictures
from transfercli.system import downloads, files
from transfercli.system.errors import TransferError, plain

IMAGENETS: dict[str, Any] = {"size": 256, "crop": 224, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # what a repository's weights are called, in this order
TOLD = ("size", "crop", "mean", "std", "interpolation", "fit")  # what a library tells of its weights' input
Three = tuple[float, float, float]


@dataclass(frozen=True)
class Input:
    """How a picture becomes the input that weights were trained for: keys of a recipe's `pictures`."""

    size: int
    crop: int
    mean: Three | Literal["none"]  # of pixels from 0 to 1
    std: Three | None
    divide: float = 1.0
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    fit: Literal["crop", "warp"] = "crop"
    channels: Literal["rgb", "bgr"] = "rgb"


@dataclass(frozen=True)
class Described:
    """What is known of weights without reading them."""

    said: str  # as the user wrote it
    called: str  # the same in full: torchvision/resnet50@IMAGENET1K_V2 for torchvision/resnet50; of a file its path
    network: NetworkRecipe  # with the arguments that these weights want; `outputs` is left to whoever copies
    input: Input
    assumed: tuple[str, ...]  # which of the input's keys nobody told: the network's usual ones, else ImageNet's
    classes: tuple[str, ...]  # in the order of the outputs; none where they are not known
    licence: str  # empty where it is not known


@dataclass(frozen=True)
class Pretrained(Described):
    """A network's weights, read and found to fit, and what is known of them."""

    state: State  # by the library's own names, float32; the last layer with any number of outputs, or without it
    digest: str  # as `start.Source.of` has it
    file: Path  # where the weights lie
    notes: tuple[str, ...]  # what was done to them: taken out of a wrapper, converted, auxiliary heads left out


Load = Callable[[], tuple[Any, Path]]  # what a file holds, and which it is; fetched where it is not there


def described(said: str, network: str | NetworkRecipe | None = None) -> Described:
    """What is known of the weights that are called so. Nothing of torchvision or timm is fetched. Raises TransferError.

    `network`: of which network a file is that does not say so itself; where it does, it must be the same.
    """
    return _look(said, network)[0]


def find(said: str, network: str | NetworkRecipe | None = None, crop: int | None = None) -> Pretrained:
    """The weights that are called so, fetched where they are not on this machine, and checked. Raises TransferError.

    `crop`: pixels a side of what the network will see, where that is not what the weights were trained for.
    """
    about, load = _look(said, network)
    loaded, file = load()
    side = crop or about.input.crop
    state, notes = weights.fitted(loaded, skeleton(about.network, 2, side), about.network.name, about.called)
    found = digest(state, sorted(state))
    if _digest_of_row(file) not in ("", found):
        raise TransferError(f"the weights in {file.parent} are not those of its row; remove it and train it again")
    if isinstance(network, NetworkRecipe) and network.head != about.network.head:  # nobody copies what gives way to it
        about = replace(about, network=about.network.model_copy(update={"head": network.head}))
        below = layers_of(skeleton(about.network, 2, side))[:-1]
        state = {name: value for name, value in state.items() if any(layer.owns(name) for layer in below)}
    return Pretrained(**vars(about), state=state, digest=found, file=file, notes=notes)


def _look(said: str, network: str | NetworkRecipe | None) -> tuple[Described, Load]:
    library, _, own = said.partition("/")
    if library == "torchvision":
        return _torchvision(said, own, network)
    if library == "timm":
        return _timm(said, own, network)
    if said.startswith("hf-hub:"):
        return _hub(said, network)
    path = Path(said).expanduser()
    if path.is_dir():
        return _folder(said, path, network)
    if not path.exists():
        hint = f"; did you mean torchvision/{said}?" if _is_torchvisions(said) else ""
        raise TransferError(f"no file, folder or library's weights {said}{hint or '; see docs/sources.md for how to name them'}")
    return _file(said, path, network)


def _spec(name: str, wanted: str | NetworkRecipe | None, said: str, arguments: dict[str, Any] | None = None) -> NetworkRecipe:
    """The network of these weights, as somebody wants it. Raises TransferError where they want another."""
    _check_same(name, wanted, said)
    given = wanted if isinstance(wanted, NetworkRecipe) else _validated(name)
    told = {**(arguments or {}), **dict(given.arguments)}
    return _validated({**given.model_dump(), "arguments": told, "outputs": None, "head": None})


def _check_same(name: str, wanted: str | NetworkRecipe | None, said: str) -> None:
    own = wanted.name if isinstance(wanted, NetworkRecipe) else wanted
    if own not in (None, name):
        raise TransferError(f"{said} is of {name}, not of {own}; leave the network out, or choose other weights")


def _validated(network: Any) -> NetworkRecipe:
    try:
        return NetworkRecipe.model_validate(network)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise TransferError(f"{plain(reason)}; see docs/sources.md for how a source is told") from None


# -- torchvision


def _torchvision(said: str, own: str, network: str | NetworkRecipe | None) -> tuple[Described, Load]:
    from torchvision import models

    name, at, member = own.partition("@")
    builder(f"torchvision/{name}")
    known = models.get_model_weights(name).__members__
    if at and member not in known:
        raise TransferError(f"torchvision/{name} has no weights {member!r}{near(member, list(known))}; it has {', '.join(known)}")
    chosen = known[member or "DEFAULT"]
    arguments: dict[str, Any] = {}  # those that torchvision's own builder adds where it is given weights
    if name in ("googlenet", "inception_v3"):
        arguments["transform_input"] = True
    if name.startswith("vit_") and (side := chosen.meta["min_size"][0]) != IMAGENETS["crop"]:
        arguments["image_size"] = side
    about = Described(
        said,
        f"torchvision/{name}@{chosen.name}",
        _spec(f"torchvision/{name}", network, said, arguments),
        _of_transforms(chosen.transforms()),
        (),
        tuple(chosen.meta["categories"] or ()),  # of features alone there are none
        chosen.meta.get("license", ""),
    )
    return about, lambda: _fetched(chosen.url)


def _of_transforms(done: Any) -> Input:
    """torchvision's transforms: the shorter side to `resize_size`, and the centre of that."""
    size, crop = done.resize_size[0], done.crop_size[0]
    return Input(size, crop, tuple(done.mean), tuple(done.std), interpolation=done.interpolation.value)


def _is_torchvisions(name: str) -> bool:
    from torchvision import models

    return name.partition("@")[0] in models.list_models(module=models)


def _fetched(url: str) -> tuple[Any, Path]:
    """A library's file, which torch's own cache keeps under the URL's last name, checked by the hash in that."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    if not path.exists():
        downloads.download(url, path)
    downloads.check_whole(path, downloads.hash_in(path.name))
    return weights.read(path), path


# -- timm, and the Hugging Face hub


def _timm(said: str, own: str, network: str | NetworkRecipe | None) -> tuple[Described, Load]:
    name, dot, tag = own.partition(".")
    builder(f"timm/{name}")
    import timm

    try:
        known = timm.models.get_pretrained_cfg(own)
    except RuntimeError:
        known = None
    if known is None or not known.has_weights:
        there = [one.partition(".")[2] or one for one in timm.list_pretrained([f"{name}.*", name])]
        raise TransferError(
            f"timm has no weights {tag!r} of {name}{near(tag, there)}; it has {', '.join(there) or 'none'}"
            if dot
            else f"timm has no weights of {name}; see timm.list_pretrained()"
        )
    about = _of_timm(said, f"timm/{name}" + f".{known.tag}" * bool(known.tag), known, network, {})

    def load() -> tuple[Any, Path]:
        if known.hf_hub_id:
            file = downloads.from_hub(known.hf_hub_id, [known.hf_hub_filename] if known.hf_hub_filename else HUB_FILES, said)
            return _as_timm_loads(weights.read(file), known, {}, said), file
        assert isinstance(known.url, str), "without a repository there is a URL"
        loaded, file = _fetched(known.url)
        return _as_timm_loads(loaded, known, {}, said), file

    return about, load


def _of_timm(said: str, called: str, known: Any, network: str | NetworkRecipe | None, arguments: dict[str, Any]) -> Described:
    """What timm's configuration of pretrained weights says of them."""
    from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_data_config

    told = resolve_data_config(pretrained_cfg=known.to_dict())
    channels, height, width = told["input_size"]
    if channels != 3 or height != width:
        raise TransferError(
            f"{said} takes input of {channels}×{height}×{width}, not square pictures in colour; choose other weights"
        )
    unlike = ["fit"] * (told["crop_mode"] == "border") + ["interpolation"] * (
        told["interpolation"] not in ("bilinear", "bicubic")
    )
    subset = infer_imagenet_subset({"num_classes": known.num_classes})
    classes = known.label_names or (ImageNetInfo(subset).label_descriptions() if subset else ())
    return Described(
        said,
        called,
        _spec(f"timm/{known.architecture}", network, said, arguments),
        Input(
            math.floor(width / told["crop_pct"]),
            width,
            tuple(told["mean"]),
            tuple(told["std"]),
            interpolation="bicubic" if "interpolation" in unlike else told["interpolation"],
            fit="warp" if told["crop_mode"] == "squash" else "crop",
        ),
        tuple(unlike),
        tuple(classes),
        known.license if known.license not in (None, "unknown") else "",
    )


def _as_timm_loads(loaded: Any, known: Any, arguments: dict[str, Any], said: str) -> State:
    """The weights under the names of timm's network today, which each family of it makes from its files in its own way."""
    import timm

    chosen = replace(known, state_dict=loaded, source=None, custom_load=False)
    try:
        return timm.create_model(known.architecture, pretrained=True, pretrained_cfg=chosen, **arguments).state_dict()
    except Exception as error:  # whatever its families raise of what does not fit
        reason = " ".join(str(error).split())[:200]
        raise TransferError(f"timm cannot load {said} ({plain(reason)}); choose other weights") from None


def _hub(said: str, network: str | NetworkRecipe | None) -> tuple[Described, Load]:
    """A repository of the hub that timm's own functions wrote: hf-hub:OWNER/NAME, and @REVISION."""
    repository = said.removeprefix("hf-hub:")
    if repository.count("/") != 1:
        raise TransferError(f"{said} names no repository; write hf-hub:OWNER/NAME")
    need_timm(said)
    folder = downloads.from_hub(repository, ["config.json"], said).parent
    return _of_config(said, folder, network, lambda: downloads.from_hub(repository, HUB_FILES, said))


def _of_config(said: str, folder: Path, network: str | NetworkRecipe | None, fetch: Callable[[], Path]) -> tuple[Described, Load]:
    """What timm wrote into config.json beside weights."""
    from timm.models import PretrainedCfg

    try:
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        name = told["architecture"]
        inside = {
            key: value for key, value in told.get("pretrained_cfg", {}).items() if key in PretrainedCfg.__dataclass_fields__
        }
        sources = ("url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "custom_load")
        known = PretrainedCfg(**{key: value for key, value in inside.items() if key not in sources})
        known = replace(known, architecture=name, num_classes=told.get("num_classes", known.num_classes))
        known = replace(known, label_names=told.get("label_names", known.label_names))
        arguments = {key: value for key, value in told.get("model_args", {}).items() if key != "num_classes"}
        builder(f"timm/{name}")
        about = _of_timm(said, said, known, network, arguments)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = plain(f"{type(error).__name__}: {error}")[:120]
        raise TransferError(f"{folder / 'config.json'} is not what timm writes ({reason}); choose other weights") from None

    def load() -> tuple[Any, Path]:
        file = fetch()
        return _as_timm_loads(weights.read(file), known, {"num_classes": known.num_classes, **arguments}, said), file

    return about, load


# -- files, and networks of a study


def _folder(said: str, path: Path, network: str | NetworkRecipe | None) -> tuple[Described, Load]:
    """The folder of a study's network; or one that timm wrote, as `hf download` brings it."""
    if (file := path / "weights.safetensors").exists():
        return _file(said, file, network)
    if (path / "config.json").exists():
        need_timm(said)
        there = [path / name for name in HUB_FILES if (path / name).exists()]
        if not there:
            raise TransferError(f"{path} has no {' or '.join(HUB_FILES)} beside its config.json; download it again")
        return _of_config(said, path, network, lambda: there[0])
    inside = sorted(path.glob("*/*/weights.safetensors")) or sorted(path.glob("*/weights.safetensors"))
    hint = f"name one of its networks, as {inside[0].parent}" if inside else "name a network's folder, or a file"
    raise TransferError(f"{path} holds no weights.safetensors; {hint}")


def _file(said: str, path: Path, network: str | NetworkRecipe | None) -> tuple[Described, Load]:
    def load() -> tuple[Any, Path]:
        return weights.read(path), path

    if about := files.metadata(path).get("about") if path.suffix == ".safetensors" and path.is_file() else None:
        return _of_metadata(said, path, about, network), load
    if network is None:
        weights.read(path)  # a file that is none is told so first
        raise TransferError(f"{path} does not say of which network its weights are; say it: --network torchvision/resnet18")
    spec = _spec(network if isinstance(network, str) else network.name, network, said)
    return Described(said, said, spec, usual_input(spec.name), TOLD, (), ""), load


def usual_input(name: str) -> Input:
    """The input that weights of a network usually take: its library's own weights', else ImageNet's. Raises TransferError."""
    if name.startswith(("torchvision/", "timm/")):
        try:
            return _look(name, None)[0].input
        except TransferError:
            builder(name)  # a network that there is not
    return Input(**IMAGENETS)


def _of_metadata(said: str, path: Path, about: str, network: str | NetworkRecipe | None) -> Described:
    """What our own weights say of themselves: see description.py."""
    try:
        told = json.loads(about)
        own = NetworkRecipe.model_validate(told["recipe"]["network"])
        wanted = dict(told["input"])
        white = 1 if wanted.get("std") else 255
        if wanted["mean"] == "image":  # whose mean stands for it: other pictures have other places
            image = np.frombuffer(base64.b64decode(told["mean_image"]), "<f4").reshape(wanted["size"], wanted["size"], 3)
            wanted["mean"] = image.mean((0, 1)).tolist()
        if wanted["mean"] is None:
            wanted["mean"] = "none"
        else:  # as short as float32 tells: 0.485, not 0.48500001430511475
            wanted["mean"] = [float(str(np.float32(value / white))) for value in wanted["mean"]]
        input = Pictures.model_validate(wanted)
        classes = tuple(plain(str(name)) for name in told["classes"])
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError) as error:
        reason = plain(f"{type(error).__name__}: {error}".partition("\n")[0])[:120]
        raise TransferError(
            f"what {path} says of itself cannot be read ({reason}); train it again, or choose other weights"
        ) from None
    _check_same(own.name, network, said)
    spec = own.model_copy(update={"outputs": None})
    return Described(said, said, spec, Input(**{key: getattr(input, key) for key in Input.__annotations__}), (), classes, "")


def _digest_of_row(file: Path) -> str:
    """What the row beside a study's weights says of them; empty where there is none."""
    if file.name != "weights.safetensors":
        return ""
    try:
        return json.loads((file.parent / "row.json").read_text(encoding="utf-8")).get("weights_digest", "")
    except (OSError, ValueError, AttributeError):
        return ""
