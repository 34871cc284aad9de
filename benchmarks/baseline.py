"""What a person would otherwise run: the networks of a sweep one after another.

The plain loop is that of torchvision's references/classification/train.py, with transforms as in its presets.py: PIL, float32,
the library's own network forward and backward, frozen layers by requires_grad=False. With tricks, it has what is usually done for
speed.
"""

import copy
import os
import statistics
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms
from torchvision.datasets.folder import default_loader

from benchmarks.measure import clock
from transfercli.networks.eight import Eight
from transfercli.networks.initialise import BatchNorm
from transfercli.networks.layers import layers_of
from transfercli.networks.modules import LRN, Dropout
from transfercli.networks.start import build
from transfercli.pictures.stream import Part
from transfercli.plan.networks import Network
from transfercli.plan.resolve import resolve
from transfercli.recipe.schema import Pictures, Recipe, Training
from transfercli.system.devices import pick_precision
from transfercli.system.threads import processors

Step = Callable[[Tensor, Tensor], None]


class Folder(Dataset[Any]):
    """What torchvision's ImageFolder gives: each file opened by PIL and transformed in the worker."""

    def __init__(self, part: Part, pictures: Pictures):
        self.samples = [(str(Path(part.root) / path), label) for path, label in zip(part.paths, part.labels, strict=True)]
        size = pictures.size
        how = transforms.InterpolationMode(pictures.interpolation)
        warp, crop = [transforms.Resize((size, size), how)], [transforms.Resize(size, how), transforms.CenterCrop(size)]
        resized = transforms.RandomResizedCrop(pictures.crop, pictures.scale, pictures.ratio, how)
        self.transform = transforms.Compose(
            [
                *(warp if pictures.fit == "warp" else crop),
                transforms.RandomCrop(pictures.crop) if pictures.augment == "crop" else resized,
                transforms.RandomHorizontalFlip(),
                transforms.PILToTensor(),
                transforms.ConvertImageDtype(torch.float),
                transforms.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
            ]
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.samples[index]
        return self.transform(default_loader(path)), label


def _keep_to_a_processor(worker: int) -> None:
    """In the rivals' favour: what the sweep's threads do too, since some schedulers leave two workers on one processor."""
    if hasattr(os, "sched_setaffinity"):
        places = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {places[worker % len(places)]})


def loader(part: Part, recipe: Recipe, device: torch.device, batches: int, tricks: bool) -> "DataLoader[Any]":
    """Shuffled batches, epoch after epoch without a pause between them."""
    dataset, batch = Folder(part, recipe.pictures), recipe.training.batch
    return DataLoader(
        dataset,
        batch_size=batch,
        sampler=RandomSampler(dataset, num_samples=batches * batch),
        num_workers=processors(),
        worker_init_fn=_keep_to_a_processor,
        pin_memory=device.type == "cuda",
        persistent_workers=tricks,
    )


def ordinary(network: nn.Module) -> nn.Module:
    """The same function in everyday modules: a library's network is made of them. Of ours, pooling comes after ReLU, and local
    response normalisation and dropout are torch's own.
    """
    if not isinstance(network, Eight):
        return network
    modules: list[tuple[str, nn.Module]] = []
    for name, module in network.named_children():
        if isinstance(module, LRN):
            modules.append((name, nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)))
        elif isinstance(module, Dropout):
            modules.append((name, nn.Dropout(module.rate)))
        elif isinstance(module, nn.ReLU) and isinstance(modules[-1][1], nn.MaxPool2d):
            modules.insert(-1, (name, module))
        else:
            modules.append((name, module))
    return Eight(OrderedDict(modules))


def freeze(model: nn.Module, layers: int) -> None:
    """As one does by hand: no gradients, and frozen BatchNorm in evaluation's mode.

    Below the first layer that learns nothing needs a gradient, so autograd keeps nothing there and never goes back so far: what
    no_grad would spare is spared, and the network stays whole.
    """
    for layer in layers_of(model)[:layers]:
        for parameter in layer.parameters():
            parameter.requires_grad_(False)
        for _, module in layer.modules:
            if isinstance(module, BatchNorm):
                module.eval()


def optimizer_of(model: nn.Module, training: Training, **how: bool) -> torch.optim.Optimizer:
    """The recipe's, over what learns: all at one rate, as the script has it."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    usual = {"lr": training.schedule.rate, "weight_decay": training.weight_decay, **how}
    if training.optimizer == "adamw":
        return torch.optim.AdamW(parameters, betas=training.betas, **usual)
    return torch.optim.SGD(parameters, momentum=training.momentum, nesterov=training.nesterov, **usual)


def plain_step(network: nn.Module, recipe: Recipe, device: torch.device, frozen: int) -> Step:
    """One step as the reference script takes it."""
    model = copy.deepcopy(network).to(device).train()
    freeze(model, frozen)
    criterion = nn.CrossEntropyLoss()
    optimizer = optimizer_of(model, recipe.training)

    def step(image: Tensor, target: Tensor) -> None:
        image, target = image.to(device), target.to(device)
        output = model(image)
        loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.inference_mode():  # the script's utils.accuracy, and what it logs
            correct = output.topk(min(5, output.shape[1])).indices.eq(target[:, None])
            correct[:, 0].sum().item(), correct.sum().item(), loss.item()

    return step


def tricks_step(network: nn.Module, recipe: Recipe, device: torch.device, frozen: int, compiled: bool) -> Step:
    """One step with bfloat16 (where the device has it), channels last, a fused optimiser, nothing read back."""
    model = copy.deepcopy(network).to(device).to(memory_format=torch.channels_last).train()
    freeze(model, frozen)
    run: Callable[[Tensor], Tensor] = torch.compile(model) if compiled else model
    precision = pick_precision("auto", device)
    reduced = precision != torch.float32
    optimizer = optimizer_of(model, recipe.training, fused=True)

    def step(image: Tensor, target: Tensor) -> None:
        image = image.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        target = target.to(device, non_blocking=True)
        with torch.autocast(device.type, precision if reduced else None, enabled=reduced):
            loss = nn.functional.cross_entropy(run(image), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


@dataclass(frozen=True)
class Measured:
    """Seconds for one step of every network, one network after another; and what is to be said of it."""

    seconds: float
    note: str


def measure(
    recipe: Recipe, part: Part, networks: Sequence[Network], device: torch.device, steps: int, tricks: bool, try_compile: bool
) -> Measured:
    """Train every network for so many steps on the pictures of `part`; the DataLoader is warm when the clock starts."""
    torch.backends.cudnn.benchmark = device.type == "cuda"  # as the script sets it
    network = ordinary(build(recipe, max(part.labels) + 1))
    compiled, said = compiling(network, recipe, device) if tricks and try_compile else (False, "")

    made: dict[int, Step] = {}

    def step_of(frozen: int) -> Step:
        if not tricks:
            return plain_step(network, recipe, device, frozen)
        if not compiled:
            return tricks_step(network, recipe, device, frozen, False)
        if frozen not in made:  # one compiled network for all of a depth: compiling is not what is measured
            made[frozen] = tricks_step(network, recipe, device, frozen, True)
        return made[frozen]

    # Made beforehand, so that the DataLoader has no pause to get ahead in.
    waiting = [step_of(resolve(network, recipe.network.depth).prefix) for network in networks]
    image, target = fixed(recipe)
    for step in dict.fromkeys(waiting) if compiled else waiting[:1]:
        step(image, target)
    warm = 2 * processors() + 1  # batches: until the DataLoader's queue is as full as it stays
    batches = iter(loader(part, recipe, device, 2 * warm + steps * len(networks), tricks))
    extra = step_of(0)
    for _ in range(warm):
        extra(*next(batches))
    began = clock(device)
    while waiting:
        step = waiting.pop(0)
        for _ in range(steps):
            step(*next(batches))
        del step  # and with it the network's memory
    seconds = clock(device) - began
    return Measured(seconds / steps, f"{steps} steps of each network, DataLoader warm, nothing evaluated or saved{said}")


def compiling(network: nn.Module, recipe: Recipe, device: torch.device) -> tuple[bool, str]:
    """Whether torch.compile makes a step of one network (three layers frozen) shorter, and what to say of it."""
    image, target = fixed(recipe)
    torch._dynamo.config.recompile_limit = 64
    eager, began = tricks_step(network, recipe, device, 3, False), clock(device)
    try:
        compiled = tricks_step(network, recipe, device, 3, True)
        compiled(image, target)
    except Exception as error:  # no C++ compiler, no Triton: whatever the backend raises
        return False, f"; torch.compile does not work here ({type(error).__name__})"
    took, times = clock(device) - began, dict[Step, list[float]]()
    for step in (eager, compiled) * 8:
        began = clock(device)
        step(image, target)
        times.setdefault(step, []).append(clock(device) - began)
    without, within = (statistics.median(times[step][2:]) for step in (eager, compiled))
    said = f"torch.compile: {1000 * within:.3g} ms a step against {1000 * without:.3g} without, compiled in {took:.0f} s"
    return within < without, f"; {said}, not counted, {'used' if within < without else 'not used'}"


def fixed(recipe: Recipe) -> tuple[Tensor, Tensor]:
    """A batch in memory."""
    crop, batch = recipe.pictures.crop, recipe.training.batch
    return torch.randn(batch, 3, crop, crop), torch.zeros(batch, dtype=torch.int64)
