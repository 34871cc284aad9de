"""Networks of libraries, and one's own: found by name, built without their heads for training alone, and cut into layers."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from transfercli.networks.checking import check
from transfercli.networks.heads import with_head
from transfercli.networks.layers import Chain, chain
from transfercli.networks.tracing import Uncuttable
from transfercli.plan.words import check_layers
from transfercli.recipe.schema import NetworkRecipe, Recipe
from transfercli.system.errors import TransferError

Builder = Callable[..., nn.Module]
IMAGENETS_CROP = 224
INSTALL_TIMM = "pip install 'transfer-study[timm]'"


def builder(name: str) -> Builder:
    """What makes the network of that name: takes `num_classes`. Raises TransferError with the near names."""
    library, _, own = name.rpartition("/")
    return {"torchvision": _torchvision, "timm": _timm, "python": _python}[library](own)


def _torchvision(name: str) -> Builder:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise TransferError(
            f"torchvision has no classifier {name!r}{near(name, known)}; see them: torchvision.models.list_models()"
        )
    heads = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    return lambda **arguments: models.get_model(name, weights=None, **{**heads, **arguments})


def _timm(name: str) -> Builder:
    need_timm(f"timm/{name}")
    import timm

    known = timm.list_models()
    if name not in known:
        raise TransferError(f"timm has no network {name!r}{near(name, known)}; see timm.list_models()")
    return lambda **arguments: timm.create_model(name, pretrained=False, **arguments)


def need_timm(what: str) -> None:
    """Raise TransferError where timm, which `what` needs, is not installed."""
    try:
        import timm as timm
    except ImportError:
        raise TransferError(f"{what} needs timm, which is not installed: {INSTALL_TIMM}") from None


def _python(name: str) -> Builder:
    """One's own function. Code is imported only of a name that the command line gave: see `allow`."""
    if name not in ALLOWED:
        raise TransferError(f"the study's network is your own code, {name}; say that it may run: --network {name}")
    return ALLOWED[name]


ALLOWED: dict[str, Builder] = {}  # functions that were named in this process: on the command line, or to `allow`


def allow(name: str) -> str:
    """Import `package.module:function`, which takes num_classes and returns a module, so that studies may have it as a network.

    Returns what `network.name` of a recipe calls it. Holds for this process. Raises TransferError.
    """
    where, _, function = name.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` has it: one's own file beside the study
    try:
        found = getattr(importlib.import_module(where), function)
    except Exception as error:  # whatever a stranger's module raises as it is imported
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise TransferError(
            f"cannot import {name} ({reason}); give it as package.module:function, from where Python finds it"
        ) from None
    if not callable(found):
        raise TransferError(f"{name} is no function; it takes num_classes and returns a torch.nn.Module")
    ALLOWED[name] = found
    return f"python/{name}"


def source_of(name: str) -> str:
    """sha256 of the module that was named, and of the one that defines its function: by this a study knows it again.

    What these import in turn is not in it.
    """
    where = name.partition(":")[0]
    try:
        text = inspect.getsource(sys.modules[where])
        if (defined := getattr(ALLOWED[name], "__module__", where)) not in (where, "functools"):
            text += inspect.getsource(sys.modules[defined])
    except (OSError, TypeError, KeyError):
        raise TransferError(f"{name} has no source that Python can read; define it in a file") from None
    return hashlib.sha256(text.encode()).hexdigest()


def near(name: str, known: list[str]) -> str:
    """A question for an error: the names that are like this one; empty where none is."""
    found = get_close_matches(name, known, n=3)
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def usual_crop(name: str) -> int:
    """Pixels a side of the pictures that a library's network was made for. Raises TransferError for none."""
    library, _, own = name.rpartition("/")
    builder(name)
    if library == "torchvision":
        from torchvision import models

        return int(models.get_model_weights(own).DEFAULT.transforms().crop_size[0])
    if library == "timm":
        import timm

        known = timm.get_pretrained_cfg(own)
        return int(known.input_size[-1]) if known else IMAGENETS_CROP
    return IMAGENETS_CROP


# -- a recipe's network


WIDER: dict[str, Callable[[float], dict[str, Any]]] = {
    "torchvision/mobilenet_v2": lambda width: {"width_mult": width},
    **{
        f"torchvision/{name}": lambda width: {"width_per_group": round(64 * width)}
        for name in ("resnet50", "resnet101", "resnet152")
    },
}  # how a library's builder is told to make a network wider


def outputs_of(recipe: Recipe, classes: int) -> int:
    """How many outputs its network has. Raises TransferError for too few."""
    outputs = recipe.network.outputs or classes
    if outputs < classes:
        raise TransferError(
            f"the recipe {recipe.name} has {outputs} network.outputs for {classes} classes; leave network.outputs out or raise it"
        )
    return outputs


def arguments_of(spec: NetworkRecipe, outputs: int) -> dict[str, Any]:
    """What its library's builder is called with. Raises TransferError for a width that it does not take."""
    arguments: dict[str, Any] = {"num_classes": outputs, **dict(spec.arguments)}
    if spec.dropout is not None:
        arguments["drop_rate" if spec.library == "timm" else "dropout"] = spec.dropout
    if spec.width != 1:
        if spec.name not in WIDER:
            raise TransferError(f"{spec.name} has no width to choose; it can be given to {', '.join(WIDER)} and our own networks")
        arguments |= WIDER[spec.name](spec.width)
    return arguments


def made(spec: NetworkRecipe, outputs: int) -> nn.Module:
    """The network with so many outputs, as its library draws it, from torch's own generator. Raises TransferError."""
    arguments, build = arguments_of(spec, outputs), builder(spec.name)
    if spec.source and spec.source != source_of(spec.name.partition("/")[2]):
        raise TransferError(
            f"the code of {spec.name} is not what it was when the study was begun; start a new study: --study DIR"
        )
    try:
        network = build(**arguments)
    except Exception as error:  # whatever a builder raises of arguments that it does not know
        reason = " ".join(f"{error}".split())[:200]
        raise TransferError(f"{spec.name} cannot be built: {reason}; see network.arguments and network.dropout") from None
    if not isinstance(network, nn.Module):
        raise TransferError(f"{spec.name} returned a {type(network).__name__}, not a torch.nn.Module")
    return network if spec.head is None else with_head(network, spec.head, spec.name)


@contextmanager
def weightless() -> Iterator[None]:
    """Within, modules get parameters without memory (meta tensors); whatever else they compute as they are made is real.

    For the main thread: nobody else may make modules meanwhile.
    """
    own, seen = nn.Module.register_parameter, WeakTensorKeyDictionary()

    def register(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if type(parameter) is nn.Parameter and not parameter.is_meta:
            if parameter not in seen:  # one that is in two places stays one
                seen[parameter] = nn.Parameter(parameter.to("meta"), parameter.requires_grad)
            parameter = seen[parameter]
        own(module, name, parameter)

    nn.Module.register_parameter = register  # type: ignore
    try:
        yield
    finally:
        nn.Module.register_parameter = own  # type: ignore[method-assign]


def chained(spec: NetworkRecipe, outputs: int, crop: int) -> tuple[nn.Module, Chain]:
    """The network without weights, and its chain. Raises TransferError where it cannot be cut."""
    network, found = _chained(spec.model_copy(update={"layers": None, "label": None}), outputs, crop)
    if spec.layers not in (None, count := len(found.links)):
        raise TransferError(f"{spec.name} has {count} layers, not network.layers {spec.layers}; leave network.layers out")
    return network, found


@lru_cache(maxsize=32)
def _chained(spec: NetworkRecipe, outputs: int, crop: int) -> tuple[nn.Module, Chain]:
    with weightless():
        network = made(spec, outputs).to("meta")
    cut = spec.cut if isinstance(spec.cut, str) else list(spec.cut)
    try:
        found = chain(network, cut, crop, outputs)
        if len(found.links) < 2:
            raise Uncuttable("it has a single layer: there is nothing to copy but all of it")
    except Uncuttable as error:
        raise TransferError(f"{spec.name} cannot be cut into layers: {error}") from None
    network.transfer_chain = found  # type: ignore[assignment]
    return network, found


CHECKED: set[tuple[NetworkRecipe, int, int]] = set()  # once a run


def checked(spec: NetworkRecipe, outputs: int, crop: int, network: nn.Module) -> None:
    """Compare the network with its layers, once in this process. Raises TransferError where they are not the same."""
    if (spec, outputs, crop) in CHECKED:
        return
    try:
        check(network, crop)
    except Uncuttable as error:
        raise TransferError(f"{spec.name} cannot be cut into layers: {error}") from None
    CHECKED.add((spec, outputs, crop))


def settled(recipe: Recipe) -> Recipe:
    """The recipe with the number of its network's layers, which of a library's network only the network itself tells."""
    spec = recipe.network
    if spec.settled:
        return recipe
    _, found = chained(spec, spec.outputs or 2, recipe.pictures.crop)
    known: dict[str, Any] = {"layers": len(found.links)}
    if spec.library == "python":
        known["source"] = source_of(spec.name.partition("/")[2])
    if isinstance(recipe.layers, tuple):
        check_layers(recipe.layers, known["layers"])
    return recipe.model_copy(update={"network": spec.model_copy(update=known)})
