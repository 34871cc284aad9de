"""`transfer plan` and `transfer layers`: what a recipe's study costs before anything runs, and what its network is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from operator import mul
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from transfercli.networks.catalogue import usual_crop
from transfercli.networks.costs import describe
from transfercli.networks.start import blueprint
from transfercli.pictures.folder import scan
from transfercli.plan.amounts import steps_of
from transfercli.plan.jobs import jobs
from transfercli.plan.networks import Network, varied
from transfercli.plan.schedule import Run, Timeline, simulate
from transfercli.plan.splits import UNDIVIDED
from transfercli.recipe import reading as recipes
from transfercli.recipe.fields import is_network
from transfercli.recipe.schema import Recipe
from transfercli.study.choosing import halve, take
from transfercli.study.settling import cut
from transfercli.system.devices import free_memory, pick_device, pick_precision, reproducible
from transfercli.system.errors import TransferError
from transfercli.system.progress import Counting, uncounted
from transfercli.training import cost, measuring

if TYPE_CHECKING:
    import pandas

IMAGENET_CLASSES, IMAGENET_PICTURES = 1000, 1_281_167
IMAGENETS_HALF = 500
IMAGENET_FILE_BYTES = 110_000  # of a training picture, in the mean
SIZES_PER_CLASS = 3  # pictures whose size is looked up


@dataclass(frozen=True)
class Estimate:
    """What a study by a recipe will cost; of several networks, all of them, and each by itself in `parts`."""

    recipe: Recipe
    device: torch.device
    precision: torch.dtype
    free_bytes: int  # of the device's memory
    classes: int  # of both halves
    pictures: int  # to train on, of all classes
    assumed: str  # the dataset whose number of pictures was taken; empty where the pictures are known
    file_bytes: float | None  # of a picture's file, in the mean; None where no folder is named
    networks: int
    banks: list[tuple[Network, ...]]
    bank_size: int
    steps: int  # of each network, as a rule
    lengths: list[int]  # steps of each bank
    work: list[int]  # multiply-adds of a step of each bank
    multiply_adds: int  # for training all
    multiply_adds_alone: int  # if each network trained alone
    memory_bytes: int  # of the largest bank
    disk_bytes: int  # for weights and checkpoints
    seconds_per_step: float | None = None  # of the largest bank; None while it is not measured
    reckoned: bool = False  # from one network's step with few pictures
    parts: dict[str, "Estimate"] = field(default_factory=dict)  # by what the networks are called, where there are several

    @property
    def largest(self) -> int:
        """Which bank is measured."""
        return self.banks.index(max(self.banks, key=len))

    @property
    def measured(self) -> bool:
        return all(part.measured for part in self.parts.values()) if self.parts else self.seconds_per_step is not None

    @property
    def seconds(self) -> float | None:
        """Of training; evaluations and the reading of pictures are not counted."""
        if self.parts:
            return sum(part.seconds or 0 for part in self.parts.values()) if self.measured else None
        if self.seconds_per_step is None:
            return None
        return self.seconds_per_step * sum(map(mul, self.work, self.lengths)) / self.work[self.largest]

    def steps_of(self, network: Network) -> int:
        """How many steps it trains."""
        part = self.part_of(network)
        return _length(part.recipe, network, part.steps, part.classes, part.pictures)

    def multiply_adds_of(self, bank: Sequence[Network]) -> int:
        """For training these networks side by side to their last step."""
        part, steps = self.part_of(bank[0]), self.steps_of(bank[0])
        layers = cost.Layers.of(part.recipe, in_a_task(part.recipe, part.classes))
        return cost.multiply_adds(bank, layers, steps=steps) * part.recipe.training.batch * steps

    def on(self, devices: int) -> "Scaled":
        """What as many devices like this one take. Raises ValueError where this one was not measured."""
        if not self.measured:
            raise ValueError("how long a step takes was not measured")

        def seconds(bank: tuple[Network, ...]) -> float:
            part = self.part_of(bank[0])
            return (part.seconds_per_step or 0) * part.multiply_adds_of(bank) / part.work[part.largest]

        def planned(count: int) -> Timeline:
            return simulate([one for bank in self.banks for one in bank], count, lambda one: self.part_of(one).bank_size, seconds)

        return Scaled(self, planned(devices), planned(1).end)

    def part_of(self, network: Network) -> "Estimate":
        """What is said of the networks of its kind."""
        return self.parts.get(network.net, self)


@dataclass(frozen=True)
class Scaled:
    """What a study takes on several devices that are all alike, and what they ask of the disk that they all read from."""

    estimate: Estimate
    timeline: Timeline  # in seconds
    alone: float  # seconds of one device

    @property
    def speedup(self) -> float:
        return self.alone / self.timeline.end

    @property
    def pictures_per_second(self) -> float:
        """The most that all banks at work read at once, as long as no picture is kept in memory."""
        return self.timeline.most(self._reads)

    @property
    def raw_bytes_per_second(self) -> float:
        """The same of a packed store's raw pixels."""
        return self.timeline.most(lambda run: 3 * self._recipe(run).pictures.size ** 2 * self._reads(run))

    @property
    def file_bytes_per_second(self) -> float | None:
        """The same of the pictures' files; where no folder is named, as if they were ImageNet's. Built-in pictures have none."""
        taken = self.estimate.recipe.pictures.builtin
        return None if taken else self.pictures_per_second * (self.estimate.file_bytes or IMAGENET_FILE_BYTES)

    def _recipe(self, run: Run) -> Recipe:
        return self.estimate.part_of(run.job.networks[0]).recipe

    def _reads(self, run: Run) -> float:
        steps = self.estimate.steps_of(run.job.networks[0])
        return self._recipe(run).training.batch * steps / (run.end - run.start)


def estimate(
    recipe: str,
    folder: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    device: str = "auto",
    bank_size: int | None = None,
    measured: bool = True,
    counting: Counting = uncounted,
) -> Estimate:
    """What a study by a recipe of the pictures in a folder will cost; nothing is written.

    Without a folder, what the recipe leaves open of classes and pictures is as ImageNet has it. measured: train on noise for
    some seconds to tell the time. Raises TransferError.
    """
    settled, where = cut(recipes.find(recipe, overrides)), pick_device(device)
    known = _pictures(settled, folder)
    parts = {net: _estimated(one, known, where, bank_size) for net, one in settled.each().items()}
    found = parts[""] if settled.networks is None else _together(settled, parts)
    return timed(found, counting) if measured else found


def _together(recipe: Recipe, parts: dict[str, Estimate]) -> Estimate:
    """What several networks cost, one after another."""
    each = list(parts.values())
    return replace(
        each[0],
        recipe=recipe,
        networks=sum(one.networks for one in each),
        banks=[tuple(varied(one, net=net) for one in bank) for net, part in parts.items() for bank in part.banks],
        lengths=[length for one in each for length in one.lengths],
        bank_size=max(one.bank_size for one in each),
        work=[work for one in each for work in one.work],
        multiply_adds=sum(one.multiply_adds for one in each),
        multiply_adds_alone=sum(one.multiply_adds_alone for one in each),
        memory_bytes=max(one.memory_bytes for one in each),
        disk_bytes=sum(one.disk_bytes for one in each),
        parts=parts,
    )


def _estimated(settled: Recipe, known: "_Pictures", where: torch.device, bank_size: int | None) -> Estimate:
    """Of one network, without its time; `known` is what `_pictures` says."""
    count, pictures = known.classes, known.train
    classes = in_a_task(settled, count)
    steps = settled.training.length(-(-pictures * classes // count))
    networks, layers = settled.planned(), cost.Layers.of(settled, classes)

    def length(network: Network) -> int:
        return _length(settled, network, steps, count, pictures)

    for of in {steps, *map(length, networks)}:
        settled.training.schedule.bind(of)  # said now, not when a study is begun
        settled.check_phases(of)
    size = bank_size or cost.bank_size(settled, classes, where)
    banks, batch = [job.networks for job in jobs(networks, size)], settled.training.batch
    lengths = [length(bank[0]) for bank in banks]
    work = [cost.multiply_adds(bank, layers, steps=of) * batch for bank, of in zip(banks, lengths, strict=True)]
    return Estimate(
        recipe=settled,
        device=where,
        precision=pick_precision(settled.training.precision, where),
        free_bytes=free_memory(where),
        classes=count,
        pictures=pictures,
        assumed=known.assumed,
        file_bytes=known.file_bytes,
        networks=len(networks),
        banks=banks,
        bank_size=size,
        steps=steps,
        lengths=lengths,
        work=work,
        multiply_adds=sum(map(mul, work, lengths)),
        multiply_adds_alone=sum(cost.multiply_adds([n], layers, steps=length(n)) * length(n) for n in networks) * batch,
        memory_bytes=cost.bank_bytes(max(map(len, banks)), settled, layers, cost.at_once(where)),
        disk_bytes=cost.disk_bytes(len(networks), settled, layers),
    )


def _length(recipe: Recipe, network: Network, steps: int, count: int, pictures: int) -> int:
    """How many steps a network trains, of a study of so many classes and pictures whose networks train `steps` as a rule."""
    classes = in_a_task(recipe, count)
    return steps_of(dict(network.axes), steps, classes, pictures * classes / count * recipe.share_seen(network.seed))


def timed(found: Estimate, counting: Counting = uncounted) -> Estimate:
    """The estimate with its time, from some seconds of training on noise. Raises TransferError where not even a network fits."""
    if found.parts:
        return replace(found, parts={net: timed(part, counting) for net, part in found.parts.items()})
    if found.memory_bytes > free_memory(found.device):
        raise TransferError("a single network does not fit in the free memory; choose another device or a smaller training.batch")
    recipe, classes, bank = found.recipe, in_a_task(found.recipe, found.classes), found.banks[found.largest]
    how = (bank, recipe, classes, found.device, found.precision)
    with reproducible(found.device), counting("measuring", 2) as progress:
        seconds, reckoned = measuring.reckoned(*how), True
        progress(1)
        if seconds < measuring.MEASURE_SECONDS and len(bank) * 4 * sum(cost.Layers.of(recipe, classes).parameters) < 2**30:
            seconds, reckoned = measuring.seconds_per_step(*how), False
        progress(1)
    return replace(found, seconds_per_step=seconds, reckoned=reckoned)


def in_a_task(recipe: Recipe, classes: int) -> int:
    """How many of so many classes a network learns: half of them, where they are halved."""
    return classes if UNDIVIDED in recipe.splits else -(-classes // 2)


class _Pictures(NamedTuple):
    """How many classes and training pictures a study would take; the rest as `Estimate` has it."""

    classes: int
    train: int
    assumed: str = ""
    file_bytes: float | None = None


def _pictures(recipe: Recipe, folder: str | Path | None) -> _Pictures:
    """Of a folder, built-in, or those of a dataset, then named."""
    taken = recipe.pictures
    if folder is not None:
        found = scan(Path(folder), UNDIVIDED not in recipe.splits)
        split = halve(found.classes, UNDIVIDED if UNDIVIDED in recipe.splits else "random-0", taken.classes)
        pictures = take(found, split, taken)
        sizes = [size for part, *_, size in pictures.only(split.every, SIZES_PER_CLASS, 1).listing() if part == "train"]
        return _Pictures(len(split.every), pictures.counts(split.every)[0], file_bytes=mean(sizes))
    if taken.builtin:
        return _Pictures(taken.builtin.classes, taken.builtin.classes * taken.builtin.train)
    count = min(IMAGENET_CLASSES, taken.classes or IMAGENET_CLASSES)
    many = min(IMAGENET_PICTURES * count // IMAGENET_CLASSES, count * (taken.train_per_class or IMAGENET_PICTURES))
    return _Pictures(count, many, "" if taken.classes and taken.train_per_class else "ImageNet")


@dataclass(frozen=True)
class Described:
    """The learnable layers of a recipe's network: what n counts."""

    recipe: Recipe
    classes: int  # in a half
    rows: list[dict[str, Any]]  # layer, name, modules, shape, parameters, multiply_adds: of one picture

    @property
    def table(self) -> "pandas.DataFrame":
        import pandas

        return pandas.DataFrame(self.rows)


def layers(recipe: str, classes: int | None = None, *, overrides: Sequence[str] = ()) -> Described:
    """The layers of a recipe's network, or of a network of that name, as torchvision/resnet18, on pictures as it usually takes.

    For so many classes in a half; by default as the recipe says, else half of ImageNet's. Raises TransferError.
    """
    found = cut(_of_network(recipe, overrides) if "/" in recipe and is_network(recipe) else recipes.find(recipe, overrides))
    taken = found.pictures.builtin.classes if found.pictures.builtin else found.pictures.classes
    half = classes or (taken // 2 if taken else IMAGENETS_HALF)
    keys = ("layer", "name", "modules", "shape", "parameters", "multiply_adds")
    rows = [
        {**({"net": net} if net else {}), **{key: row[key] for key in keys}}
        for net, one in found.each().items()
        for row in describe(blueprint(one, half), one.pictures.crop)
    ]
    return Described(found, half, rows)


def _of_network(name: str, overrides: Sequence[str]) -> Recipe:
    """A recipe of ImageNet's pictures with the network of that name, which is of a library."""
    crop = usual_crop(name)
    return recipes.find("imagenet-fast", [f"network.name={name}", f"pictures.crop={crop}", f"pictures.size={crop}", *overrides])
