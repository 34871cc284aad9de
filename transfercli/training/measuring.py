"""How long a step takes, measured on this device."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from transfercli.networks.start import Source, build, start
from transfercli.pictures.stream import Part, Pixels
from transfercli.plan.networks import Network, base
from transfercli.plan.resolve import resolve
from transfercli.recipe.schema import Pictures, Recipe, Schedule
from transfercli.system.threads import processors
from transfercli.training.bank import Bank
from transfercli.training.cost import Layers, at_once, multiply_adds

MEASURE_SECONDS = 4.0  # of steps of a whole bank
PROBE_SECONDS = 2.0  # of a step of one network with as many pictures as that allows, where a whole bank's would take long
FEW, MORE = 2, 4  # pictures in the first such step, and the least by which the second has more


def random_pictures(count: int, classes: int, pictures: Pictures, device: torch.device) -> Pixels:
    """Pictures of random bytes in memory, to measure a bank without any on the disk."""
    labels = tuple(i % classes for i in range(count))
    pixels = torch.randint(0, 256, (count, pictures.size, pictures.size, 3), dtype=torch.uint8)
    return Pixels(Part(Path(), ("",) * count, labels), pictures, device, 1, pixels.to(device))


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
    """The time of one step of a bank of these networks on this device, from `seconds` on random pictures; at least a step."""
    least = MEASURE_SECONDS if seconds is None else seconds
    bank = bank_of_noise(networks, recipe, classes, device, precision)
    bank.step()  # the first makes kernels and buffers
    taken, began = 0, _now(device)
    while not taken or _now(device) - began < least:
        bank.step()
        taken += 1
    per_step = (_now(device) - began) / taken
    bank.close()
    return per_step


def bank_of_noise(
    networks: Sequence[Network], recipe: Recipe, classes: int, device: torch.device, precision: torch.dtype
) -> Bank:
    """A bank of these networks at its first step, on random pictures, with random weights for what would be copied."""
    schedule = Schedule(name="constant", rate=recipe.training.schedule.rate)  # others may have no rate at a step so late
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"schedule": schedule})})
    halves = sorted({network.target for network in networks})
    pixels = random_pictures(2 * recipe.training.batch, classes, recipe.pictures, device)
    resolved = [resolve(network, recipe.network.depth) for network in networks]
    origins = {source for one in resolved for source in one.sources}
    sources = dict.fromkeys(origins, Source(build(recipe, classes).state_dict() if origins else {}, ""))
    started = {one.network: start(recipe, one, classes, sources) for one in resolved}
    pictures = recipe.pictures
    shape = (pictures.size, pictures.size, 3) if pictures.mean == "image" else (3,)
    mean = None if pictures.mean == "none" else torch.zeros(shape)
    both = {half: pixels for half in halves}
    means = {one.input: mean for one in resolved}
    return Bank(recipe, started, both, both, means, 10**6, device, precision, processors())


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
