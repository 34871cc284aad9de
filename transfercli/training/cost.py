"""What a study costs before anything runs: multiply-adds, bytes, and time by a few seconds of measurement."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from transfercli.networks.layers import describe
from transfercli.networks.start import build, start
from transfercli.pictures.stream import Part, Source
from transfercli.plan.networks import Network, banks, base
from transfercli.recipe.schema import Pictures, Recipe, Schedule
from transfercli.system.devices import free_memory
from transfercli.system.threads import processors
from transfercli.training.bank import Bank

PREFIXES = 3  # frozen sources of a target: A, B and random
SHARE = 0.7  # of the free memory, for a bank
MEASURE_SECONDS = 4.0  # of steps of a whole bank
PROBE_SECONDS = 2.0  # of a step of one network with as many pictures as that allows, where a whole bank's would take long
FEW, MORE = 2, 4  # pictures in the first such step, and the least by which the second has more


@dataclass(frozen=True)
class Layers:
    """Of one network and one picture: per layer, multiply-adds of a forward pass, parameters, and numbers put out."""

    work: tuple[int, ...]
    parameters: tuple[int, ...]
    outputs: int  # of all modules together: what backward keeps

    @classmethod
    def of(cls, recipe: Recipe, classes: int) -> "Layers":
        with torch.device("meta"):
            rows = describe(build(recipe, classes), recipe.pictures.crop)
        return cls(
            tuple(row["multiply_adds"] for row in rows),
            tuple(row["parameters"] for row in rows),
            sum(row["outputs"] for row in rows),
        )


def multiply_adds(networks: Sequence[Network], layers: Layers, shared: bool = True) -> int:
    """Of one training step of a bank, for one picture.

    A trained layer costs its forward pass, its weights' gradient and its input's gradient (not the first that is trained). A
    frozen prefix costs its forward pass: once for each target and source, or (`shared=False`) once for every network.
    """
    total, deepest = 0, dict[tuple, int]()
    for network in networks:
        trained = layers.work[network.frozen :]
        total += 3 * sum(trained) - trained[0]
        group = (network.target, network.source) if shared else (network,)
        deepest[group] = max(deepest.get(group, 0), network.frozen)
    return total + sum(sum(layers.work[:frozen]) for frozen in deepest.values())


def bank_bytes(networks: int, recipe: Recipe, layers: Layers, at_work: int) -> int:
    """Memory for a bank: weights and velocities of all; gradients, and what backward keeps, of those at work; shared prefixes."""
    weights, kept = 4 * sum(layers.parameters), 4 * recipe.training.batch * layers.outputs
    return networks * 2 * weights + at_work * (weights + 2 * kept) + PREFIXES * kept


def bank_size(recipe: Recipe, classes: int, device: torch.device) -> int:
    """How many networks train side by side within a share of the device's free memory; at least one."""
    layers, at_work = Layers.of(recipe, classes), at_once(device)
    first = bank_bytes(1, recipe, layers, at_work)
    each = bank_bytes(2, recipe, layers, at_work) - first
    return max(1, 1 + int((SHARE * free_memory(device) - first) // each))


def at_once(device: torch.device) -> int:
    """How many networks are at work at the same moment."""
    return processors() if device.type == "cpu" else 1


def disk_bytes(networks: int, layers: Layers) -> int:
    """Weights of every network, and at the most two checkpoints of weights and velocities."""
    return networks * 4 * sum(layers.parameters) * 5


def noise(count: int, classes: int, pictures: Pictures, device: torch.device) -> Source:
    """Pictures of random bytes in memory, to measure a bank without any on the disk."""
    labels = tuple(i % classes for i in range(count))
    pixels = torch.randint(0, 256, (count, pictures.size, pictures.size, 3), dtype=torch.uint8)
    return Source(Part(Path(), ("",) * count, labels), pictures, device, 1, pixels.to(device))


def reckoned(networks: Sequence[Network], recipe: Recipe, classes: int, device: torch.device, precision: torch.dtype) -> float:
    """What `seconds_per_step` comes to, reckoned from one network's steps with few pictures: within seconds on any device.

    A step takes a time for each network (its weights change) and a time for each multiply-add, as two steps of one base tell.
    """
    first, layers, batch = networks[0], Layers.of(recipe, classes), recipe.training.batch
    one = [base(first.split, first.seed, first.target)]

    def taken(pictures: int) -> float:
        training = recipe.training.model_copy(update={"batch": pictures})
        return seconds_per_step(one, recipe.model_copy(update={"training": training}), classes, device, precision, 0)

    few = min(FEW, batch)
    short = taken(few)
    many = min(batch, max(MORE * few, int(few * PROBE_SECONDS / short)))
    long = taken(many) if many > few else short
    each = max(0.0, long - short) / (many - few) if many > few else long / many
    rest = max(0.0, long - each * many)
    work = multiply_adds(networks, layers) / multiply_adds(one, layers)
    return (rest * len(networks) + each * batch * work) / min(at_once(device), len(networks))


def seconds_per_step(
    networks: Sequence[Network],
    recipe: Recipe,
    classes: int,
    device: torch.device,
    precision: torch.dtype,
    seconds: float | None = None,
) -> float:
    """The time of one step of a bank of these networks on this device, from `seconds` of training on noise; at least a step."""
    least = MEASURE_SECONDS if seconds is None else seconds
    schedule = Schedule(name="constant", rate=recipe.training.schedule.rate)  # others may have no rate at a step so late
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"schedule": schedule})})
    halves = sorted({network.target for network in networks})
    source = noise(2 * recipe.training.batch, classes, recipe.pictures, device)
    started = {}
    for network in networks:
        donor = build(recipe, classes).state_dict() if network.needs else None
        started[network] = start(recipe, network, classes, donor)
    pictures = recipe.pictures
    mean = {"none": None, "channel": torch.zeros(3), "image": torch.zeros(pictures.size, pictures.size, 3)}[pictures.mean]
    sources = {half: source for half in halves}
    means = {network.mean_from: mean for network in networks}
    bank = Bank(recipe, started, sources, sources, means, 10**6, device, precision, processors())
    bank.step()  # the first makes kernels and buffers
    taken, began = 0, _now(device)
    while not taken or _now(device) - began < least:
        bank.step()
        taken += 1
    per_step = (_now(device) - began) / taken
    bank.close()
    return per_step


def cut(networks: Sequence[Network], size: int) -> list[list[Network]]:
    """The banks of a plan: bases first."""
    bases = [network for network in networks if network.is_base]
    return banks(bases, size) + banks([n for n in networks if not n.is_base], size)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
