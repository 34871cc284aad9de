"""What a network copies, what is frozen, and what is drawn anew."""

import copy
import hashlib
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor, nn

from transfercli.networks.layers import caffenet, cut, initialise, small
from transfercli.plan.networks import RANDOM, Network
from transfercli.recipe.schema import Recipe
from transfercli.system.errors import TransferError
from transfercli.system.randomness import generator


def build(recipe: Recipe, classes: int) -> nn.Sequential:
    """The recipe's network for a half of so many classes, weights not yet drawn. Raises TransferError for too few outputs."""
    spec = recipe.network
    outputs = spec.outputs or classes
    if outputs < classes:
        raise TransferError(
            f"the recipe {recipe.name} has {outputs} network.outputs for {classes} classes; leave network.outputs out or raise it"
        )
    if spec.name == "caffenet":
        return caffenet(outputs, spec.widths, recipe.pictures.crop, spec.dropout)
    return small(outputs, spec.widths, recipe.pictures.crop, spec.dropout, spec.normalisation)


def start(recipe: Recipe, network: Network, classes: int, source: Mapping[str, Tensor] | None) -> nn.Sequential:
    """The network as its training begins: layers 1..n from `source` (its base's weights), the rest fresh.

    All transfer networks of a split, seed and target share the fresh draw of a layer, so that they are compared in pairs;
    it is not the draw that their base began with. Random features have a draw of their own.
    """
    role = f"base{network.target}" if network.is_base else f"transfer{network.target}"
    module = copy.deepcopy(draw(recipe, classes, network.seed, network.split, role))
    if network.source == RANDOM:
        source = draw(recipe, classes, network.seed, network.split, RANDOM).state_dict()
    if not network.is_base:
        assert source is not None, f"{network.name} needs the weights of its base"
        copy_layers(module, source, network.layer)
    return module


@lru_cache(maxsize=3)  # one draw serves all networks of a target: sixty million Gaussians take a second
def draw(recipe: Recipe, classes: int, seed: int, split: str, role: str) -> nn.Sequential:
    """Fresh weights for a role: `baseA`, `transferB`, `R`. Copy the module before it is changed."""
    module = build(recipe, classes)
    initialise(module, recipe.network.init, lambda name: generator(seed, split, "weights", role, name))
    return module


def copy_layers(module: nn.Sequential, source: Mapping[str, Tensor], layers: int) -> None:
    """Copy the first `layers` layers from `source` into `module`, strictly.

    Raises ValueError that lists every name that is missing from the source, unknown to the module, or of another shape.
    """
    copied = {f"{name}." for layer in cut(module)[:layers] for name, _ in layer}
    state = module.state_dict()
    wanted = {name for name in state if name[: name.index(".") + 1] in copied}
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
        raise ValueError(f"cannot copy {layers} layers: {'; '.join(wrong)}")
    with torch.no_grad():
        for name in wanted:
            state[name].copy_(source[name])


def frozen_names(module: nn.Sequential, layers: int) -> list[str]:
    """The parameters and buffers of the first `layers` layers, in order."""
    frozen = {f"{name}." for layer in cut(module)[:layers] for name, _ in layer}
    return [name for name in module.state_dict() if name[: name.index(".") + 1] in frozen]


def digest(state: Mapping[str, Tensor], names: list[str]) -> str:
    """sha256 of the named tensors: names, shapes and bytes. The empty list has the empty digest."""
    if not names:
        return ""
    sha = hashlib.sha256()
    for name in names:
        tensor = state[name].detach().cpu()
        sha.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
