"""What a study costs before anything runs: multiply-adds and bytes. Arithmetic alone; `measuring.py` takes the time."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch

from transfercli.networks.costs import describe, saved_for_backward
from transfercli.networks.start import blueprint
from transfercli.plan.networks import Network
from transfercli.plan.resolve import Resolved, resolve
from transfercli.plan.tasks import HALVES
from transfercli.recipe.schema import Recipe
from transfercli.study.checkpoint_files import KEEP
from transfercli.system.devices import free_memory
from transfercli.system.threads import processors

PREFIXES = len(HALVES) + 1  # frozen beginnings of a target: of either half, and random
REMEMBERED = {"sgd": 1, "adamw": 2}  # numbers that an optimiser keeps of each weight
LONG = 10**6  # steps of a run whose length is not known
SHARE = 0.7  # of the free memory, for a bank


@dataclass(frozen=True)
class Layers:
    """Of one network and one picture: per layer, multiply-adds of a forward pass, parameters, numbers put out; bytes kept."""

    work: tuple[int, ...]
    parameters: tuple[int, ...]
    outputs: tuple[int, ...]
    largest: tuple[int, ...]  # the most that one module puts out
    kept: int  # bytes for the backward pass

    @classmethod
    @lru_cache(maxsize=16)
    def of(cls, recipe: Recipe, classes: int) -> "Layers":
        network, crop = blueprint(recipe, classes), recipe.pictures.crop
        rows = describe(network, crop)
        return cls(
            tuple(row["multiply_adds"] for row in rows),
            tuple(row["parameters"] for row in rows),
            tuple(math.prod(row["shape"]) for row in rows),
            tuple(row["largest"] for row in rows),
            saved_for_backward(network, crop),
        )


def share_copied(recipe: Recipe, classes: int, first: int, layer: int) -> float:
    """Which share of the multiply-adds of a picture the layers from `first` to `layer` take; of none, 0."""
    work = Layers.of(recipe, classes).work
    return sum(work[first - 1 : layer]) / sum(work)


def multiply_adds(networks: Sequence[Network], layers: Layers, shared: bool = True, steps: int = LONG) -> int:
    """Of one training step of a bank, for one picture; of treatments of several phases the mean over their `steps`."""
    return work_of([resolve(network, len(layers.work)) for network in networks], layers, steps, steps, shared)


def work_of(networks: Sequence[Resolved], layers: Layers, taken: int, steps: int, shared: bool = True) -> int:
    """As `multiply_adds`, of the first `taken` of so many steps, where phases were as they are here.

    A layer that learns costs its forward pass, its weights' gradient and its input's gradient (not the lowest that learns); one
    that rests above it two of these. A frozen prefix costs its forward pass: each layer once for all that share it, or
    (`shared=False`) once for every network.
    """
    total, prefixes = 0.0, dict[tuple, float]()
    for resolved in networks:
        network, own, unchanged = resolved.network, defaultdict[tuple, float](float), len(layers.work)
        for stage, span in zip(resolved.stages, resolved.spans(taken, steps), strict=True):
            share = span / taken
            held = min(stage.layers) - 1
            unchanged = min(unchanged, held)
            above = layers.work[held:]
            total += share * (2 * sum(above) - above[0] + sum(layers.work[layer - 1] for layer in stage.layers))
            for layer in range(1, held + 1):
                path = (network.pictures, resolved.input, resolved.origins[:layer])
                own[layer, *(path if shared and layer <= unchanged else (network,))] += share
        prefixes |= {key: max(share, prefixes.get(key, 0)) for key, share in own.items()}
    return round(total + sum(share * layers.work[layer - 1] for (layer, *_), share in prefixes.items()))


def bank_bytes(networks: int, recipe: Recipe, layers: Layers, at_work: int) -> int:
    """Memory for a bank: what `held_bytes` says of all; of those at work gradients, and what backward keeps; shared prefixes.

    Of activations in float32; with bfloat16 it is less.
    """
    weights, batch = 4 * sum(layers.parameters), recipe.training.batch
    at_once = 2 * 4 * batch * max(layers.outputs)  # gradients of activations, as backward passes through
    return (
        networks * held_bytes(recipe, layers)
        + at_work * (weights + batch * layers.kept + at_once)
        + PREFIXES * 4 * batch * sum(layers.outputs)
    )


def bank_size(recipe: Recipe, classes: int, device: torch.device) -> int:
    """How many networks train side by side within a share of the device's free memory; at least one."""
    layers, at_work = Layers.of(recipe, classes), at_once(device)
    first = bank_bytes(1, recipe, layers, at_work)
    each = bank_bytes(2, recipe, layers, at_work) - first
    return max(1, 1 + int((SHARE * free_memory(device) - first) // each))


def at_once(device: torch.device) -> int:
    """How many networks are at work at the same moment."""
    return processors() if device.type == "cpu" else 1


def held_bytes(recipe: Recipe, layers: Layers) -> int:
    """Of a network in training: its weights, and for each what the optimiser remembers (SGD one number, AdamW two).

    With patience its best weights, too.
    """
    kept = 1 + REMEMBERED[recipe.training.optimizer] + (recipe.training.patience is not None)
    return 4 * sum(layers.parameters) * kept


@lru_cache(maxsize=256)
def step_bytes(network: Network, recipe: Recipe, classes: int) -> int:
    """Memory for a training step of this network alone, in float32: weights; gradients and the optimiser's memory of what learns.

    Activations are kept from the lowest layer that learns; below it there are only a module's input and output at a time.
    """
    layers, batch = Layers.of(recipe, classes), recipe.training.batch
    learns = resolve(network, len(layers.work)).learns
    frozen = min(learns) - 1
    trained = sum(layers.parameters[layer - 1] for layer in learns)
    built, crop = blueprint(recipe, classes), recipe.pictures.crop
    below = max((2 * 4 * numbers for numbers in layers.largest[:frozen]), default=0)
    above = saved_for_backward(built, crop, frozen) + 2 * 4 * max(layers.outputs[frozen:])  # and gradients, as backward passes
    changing = 4 * trained * (1 + REMEMBERED[recipe.training.optimizer])
    return 4 * sum(layers.parameters) + changing + batch * max(below, above)


def disk_bytes(networks: int, recipe: Recipe, layers: Layers) -> int:
    """Weights of every network, and at the most two checkpoints of weights and the optimiser's memory."""
    return networks * (4 * sum(layers.parameters) + KEEP * held_bytes(recipe, layers))
