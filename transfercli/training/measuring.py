"""How long a step takes, measured on this device."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from transfercli.networks.start import Source, build, start
from transfercli.pictures.stream import Part, Pixels
from transfercli.plan.networks import Network, base
from transfercli.plan.resolve import resolve
from transfercli.plan.tasks import HALVES
from transfercli.recipe.schema import Pictures, Recipe, Schedule
from transfercli.system.threads import processors
from transfercli.training.bank import Bank
from transfercli.training.cost import Layers, at_once, multiply_adds

MEASURE_SECONDS = 4.0  # of steps of a whole bank
PROBE_SECONDS = 2.0  # of a step of one network with as many pictures as that allows, where a whole bank's would take long
TAKEN = 4  # such steps at the most, of which the shortest counts
FEW, MORE = 2, 4  # pictures in the first such step, and the least by which the second has more


def random_pictures(count: int, classes: int, pictures: Pictures, device: torch.device) -> Pixels:
    """Pictures of random bytes in memory, to measure a bank without any on the disk."""
    labels = tuple(i % classes for i in range(count))
    pixels = torch.randint(0, 256, (count, pictures.size, pictures.size, 3), dtype=torch.uint8)
    return Pixels(Part(Path(), ("",) * count, labels), pictures, device, 1, pixels.to(device))


@dataclass(frozen=True)
class Pace:
    """What a step takes on a device: a time for each network (its weights change), and one for what is computed."""

    network: float  # seconds
    multiply_add: float  # seconds

    def seconds(self, networks: Sequence[Network], recipe: Recipe, classes: int, at_work: int) -> float:
        """Of a step of a bank of these networks, so many of which are at work at the same moment."""
        work = recipe.training.batch * multiply_adds(networks, Layers.of(recipe, classes))
        return (self.network * len(networks) + self.multiply_add * work) / min(at_work, len(networks))


def pace(recipe: Recipe, classes: int, device: torch.device, precision: torch.dtype) -> Pace:
    """What steps take here, reckoned from two of a base with few pictures: within seconds on any device."""
    batch = recipe.training.batch
    one = [base("", 0, HALVES[0])]

    def taken(pictures: int) -> float:
        """The least of some, as whatever else the machine does only adds to it."""
        smaller = recipe.model_copy(update={"training": recipe.training.model_copy(update={"batch": pictures})})
        bank = bank_of_noise(one, smaller, classes, device, precision)
        bank.step()  # the first makes kernels and buffers
        found = list[float]()
        while not found or (len(found) < TAKEN and sum(found) + found[-1] <= PROBE_SECONDS / 2):
            began = _now(device)
            bank.step()
            found.append(_now(device) - began)
        bank.close()
        return min(found)

    few = min(FEW, batch)
    short = taken(few)
    many = min(batch, max(MORE * few, int(few * PROBE_SECONDS / short)))
    long = taken(many) if many > few else short
    each = max(0.0, long - short) / (many - few) if many > few else long / many
    return Pace(max(0.0, long - each * many), each / multiply_adds(one, Layers.of(recipe, classes)))


def reckoned(networks: Sequence[Network], recipe: Recipe, classes: int, device: torch.device, precision: torch.dtype) -> float:
    """What `seconds_per_step` comes to, by the pace of this device."""
    return pace(recipe, classes, device, precision).seconds(networks, recipe, classes, at_once(device))


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
    parts = sorted({network.pictures for network in networks})
    pixels = random_pictures(2 * recipe.training.batch, classes, recipe.pictures, device)
    resolved = [resolve(network, recipe.network.depth) for network in networks]
    origins = {source for one in resolved for source in one.sources}
    sources = dict.fromkeys(origins, Source(build(recipe, classes).state_dict() if origins else {}, ""))
    started = {one.network: start(recipe, one, classes, sources) for one in resolved}
    pictures = recipe.pictures
    shape = (pictures.size, pictures.size, 3) if pictures.mean == "image" else (3,)
    mean = None if pictures.mean == "none" else torch.zeros(shape)
    both = dict.fromkeys(parts, pixels)
    means = {one.input: mean for one in resolved}
    return Bank(recipe, started, both, both, means, 10**6, device, precision, processors())


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
