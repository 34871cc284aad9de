"""How a network begins: built, its layers drawn anew or copied from their origins, strictly; and what identifies weights."""

import copy
import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transfercli.networks.catalogue import chained, checked, made, outputs_of
from transfercli.networks.eight import CHATFIELD, caffenet, chatfield, small
from transfercli.networks.initialise import BatchNorm, initialise, measure_statistics, preserve
from transfercli.networks.layers import Chain, chain, layers_of
from transfercli.plan import purposes
from transfercli.plan.networks import RANDOM
from transfercli.plan.resolve import FRESH, Resolved
from transfercli.recipe.schema import NetworkRecipe, Recipe
from transfercli.system.errors import TransferError
from transfercli.system.randomness import drawing, generator
from transfercli.system.threads import pool

State = Mapping[str, Tensor]


class Source(NamedTuple):
    """What layers are copied from: a network's weights, and their digest, which rows and checkpoints remember."""

    state: State
    digest: str

    @classmethod
    def of(cls, state: State) -> "Source":
        return cls(state, digest(state, sorted(state)))


def build(recipe: Recipe, classes: int) -> nn.Module:
    """The recipe's network for a half of so many classes; one of ours has no weights yet, that of a library its own draw.

    Raises TransferError for too few outputs, for what is no network, and for BatchNorm in steps of a single picture.
    """
    network = _built(recipe.network, outputs_of(recipe, classes), recipe.pictures.crop)
    if recipe.training.batch == 1 and any(isinstance(module, BatchNorm) for module in network.modules()):
        raise TransferError(
            f"{recipe.network.name} has BatchNorm, which no single picture trains; set training.batch to 2 or more"
        )
    return network


def _built(spec: NetworkRecipe, outputs: int, crop: int) -> nn.Module:
    if spec.library:
        network, found = made(spec, outputs), chained(spec, outputs, crop)[1]
    else:
        network, found = _ours(spec, outputs, crop), _our_chain(spec, outputs, crop)
    network.transfer_chain = found  # type: ignore[assignment]
    return network


@lru_cache(maxsize=32)
def _our_chain(spec: NetworkRecipe, outputs: int, crop: int) -> Chain:
    with torch.device("meta"):
        return chain(_ours(spec, outputs, crop))


def _ours(spec: NetworkRecipe, outputs: int, crop: int) -> nn.Module:
    dropout = spec.dropout or 0.0
    if spec.name == "caffenet":
        return caffenet(outputs, spec.scaled, crop, dropout)
    if spec.name in CHATFIELD:
        return chatfield(spec.name, outputs, spec.scaled, crop, dropout)
    return small(outputs, spec.scaled, crop, dropout, spec.normalisation, spec.skips)


def blueprint(recipe: Recipe, classes: int) -> nn.Module:
    """The recipe's network without memory for weights (meta tensors). Raises TransferError as `build`."""
    if recipe.network.library:
        return chained(recipe.network, outputs_of(recipe, classes), recipe.pictures.crop)[0]
    with torch.device("meta"):
        return build(recipe, classes)


def skeleton(spec: NetworkRecipe, outputs: int, crop: int) -> nn.Module:
    """A network without memory for weights (meta tensors): names, shapes and layers. Raises TransferError."""
    if spec.library:
        return chained(spec, outputs, crop)[0]
    with torch.device("meta"):
        return _built(spec, outputs, crop)


def start(recipe: Recipe, resolved: Resolved, classes: int, sources: Mapping[str, Source]) -> nn.Module:
    """The network as its training begins: each layer from its origin. `sources`: by origin, but for what is drawn fresh.

    Raises ValueError where weights do not fit.
    """
    network = resolved.network
    module = copy.deepcopy(draw(recipe, classes, network.seed, network.split, resolved.role))
    for origin in dict.fromkeys(resolved.origins):
        if origin == FRESH:
            continue
        plain = origin == RANDOM and origin not in sources  # to be looked at alone: without BatchNorm's statistics
        state = random_weights(recipe, classes, network.seed, network.split).state_dict() if plain else sources[origin].state
        copy_layers(module, state, [layer for layer, of in enumerate(resolved.origins, start=1) if of == origin])
    return module


@lru_cache(maxsize=3)  # one draw serves all networks of a target: sixty million Gaussians take a second
def draw(recipe: Recipe, classes: int, seed: int, split: str, role: str) -> nn.Module:
    """Fresh weights for a role: `baseA`, `transferB`, `R`. Copy the module before it is changed."""
    if recipe.network.library:
        with drawing(*purposes.weights(seed, split, role, "all")):
            module = build(recipe, classes)
        checked(recipe.network, outputs_of(recipe, classes), recipe.pictures.crop, module)
        return module
    module = build(recipe, classes)
    initialise(module, recipe.network.init, lambda name: generator(*purposes.weights(seed, split, role, name)))
    return module


def random_weights(recipe: Recipe, classes: int, seed: int, split: str) -> nn.Module:
    """The network whose layers are random features: a draw of its own, as `network.random` says. Copy it before it is changed."""
    network = draw(recipe, classes, seed, split, RANDOM)
    if recipe.network.random == "preserving":
        network = copy.deepcopy(network)
        preserve(network, lambda name: generator(*purposes.weights(seed, split, RANDOM, name)))
    return network


def random_features(recipe: Recipe, classes: int, seed: int, split: str, pictures: Callable[[], Tensor]) -> State:
    """The weights of random features. With `network.statistics: pictures` BatchNorm has those of `pictures`, (n, 3, crop, crop).

    Frozen as it begins it would have none, and leave the scale of what comes in as it is.
    """
    network = random_weights(recipe, classes, seed, split)
    if recipe.network.statistics == "pictures" and any(isinstance(module, BatchNorm) for module in network.modules()):
        network = copy.deepcopy(network)
        with pool(1) as one:  # thread, as the numbers must not depend on how many there are
            one.submit(measure_statistics, network, pictures()).result()
    return network.state_dict()


def copy_layers(module: nn.Module, source: State, layers: Iterable[int]) -> None:
    """Copy these layers, numbered from 1, from `source` into `module`, strictly.

    Raises ValueError that lists every name that is missing from the source, unknown to the module, or of another shape.
    """
    state, layers = module.state_dict(), list(layers)
    wanted = set(names_of(module, layers))
    wrong = sorted(
        {f"{name}: missing from the source" for name in wanted - source.keys()}
        | {f"{name}: not in the network" for name in source.keys() - state.keys()}
        | {
            f"{name}: shape {tuple(source[name].shape)}, not {tuple(state[name].shape)}"
            for name in wanted & source.keys()
            if source[name].shape != state[name].shape
        }
    )
    if wrong:
        raise ValueError(f"cannot copy {len(layers)} layers: {'; '.join(wrong)}")
    with torch.no_grad():
        for name in wanted:
            state[name].copy_(source[name])


def names_of(module: nn.Module, layers: Iterable[int]) -> list[str]:
    """The parameters and buffers of these layers, numbered from 1, in the network's order."""
    own = layers_of(module)
    chosen = [own[layer - 1] for layer in layers]
    return [name for name in module.state_dict() if any(layer.owns(name) for layer in chosen)]


def digest(state: State, names: list[str]) -> str:
    """sha256 of the named tensors: names, shapes and bytes. The empty list has the empty digest."""
    if not names:
        return ""
    sha = hashlib.sha256()
    for name in names:
        tensor = state[name].detach().cpu()
        sha.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
