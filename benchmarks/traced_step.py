"""A training step of a library's network layer by layer, as a bank takes it, against the library's own module, by turns.

python -m benchmarks.traced_step                    # resnet18, resnet50, vit_b_16, small pictures and batches
python -m benchmarks.traced_step torchvision/convnext_tiny --set training.batch=8
"""

import copy
import time
from collections.abc import Callable
from statistics import median

import click
import torch
from torch import Tensor, nn

from benchmarks.measure import Flags, Row, clock, figure, options, record, show
from transfercli.networks.catalogue import settled
from transfercli.networks.layers import layers_of, run
from transfercli.networks.start import build
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.system.devices import pick_device, pick_precision, reproducible
from transfercli.training.inputs import draw_masks
from transfercli.training.optimiser import make_optimizer

NETWORKS = ("torchvision/resnet18", "torchvision/resnet50", "{name: torchvision/vit_b_16, arguments: {image_size: 64}}")
SMALL = ("pictures.size=72", "pictures.crop=64", "training.batch=16")  # where what a layer costs beside its modules tells most
CLASSES, WARM = 100, 3
TARGET = "1.03"


def steps_of(recipe: Recipe, device: torch.device) -> tuple[Callable[[], None], Callable[[], None]]:
    """One step of the module as it is, and of an equal one layer by layer: the same weights, pictures and optimiser."""
    training, crop = recipe.training, recipe.pictures.crop
    network = build(recipe, CLASSES).to(device)
    if training.channels_last:
        network = network.to(memory_format=torch.channels_last)
    x = torch.randn(training.batch, 3, crop, crop, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (training.batch,), device=device)
    precision = pick_precision(training.precision, device)
    reduced = precision != torch.float32

    def step(module: nn.Module, forward: Callable[[Tensor], Tensor]) -> Callable[[], None]:
        layers = layers_of(module)
        optimizer = make_optimizer(layers, {number: 1.0 for number in range(1, len(layers) + 1)}, training)  # at rate 0

        def one() -> None:
            with torch.autocast(device.type, precision if reduced else None, enabled=reduced):
                logits = forward(x)
            nn.functional.cross_entropy(logits.float(), labels).backward()
            optimizer.step()
            optimizer.zero_grad()

        return one

    stock, traced = (copy.deepcopy(network).train() for _ in range(2))
    layers = layers_of(traced)
    drops = {name: drop for layer in layers for name, drop in layer.link.drops.items()}

    def by_layers(x: Tensor) -> Tensor:
        return run(layers, x, draw_masks(drops.items(), ("bench",), 0, training.batch, device, precision))

    return step(stock, stock), step(traced, by_layers)


def seconds(step: Callable[[], None], device: torch.device) -> float:
    """Of one step: on a CPU the processor's time of its one thread, which leaves out what others did meanwhile."""
    now = time.process_time if device.type == "cpu" else lambda: clock(device)
    began = now()
    step()
    return now() - began


@click.command(help=__doc__)
@click.argument("networks", nargs=-1)
@click.option("--turns", default=15, show_default=True, type=click.IntRange(1), help="Each a step of either.")
@options("imagenet-resnet50")
def main(networks: tuple[str, ...], turns: int, flags: Flags) -> None:
    device, lines, rows = pick_device(flags.device), [], []
    for network in networks or NETWORKS:
        recipe = settled(recipes.find(flags.recipe, (*SMALL, *flags.overrides, f"network={network}")))
        taken: list[tuple[float, ...]] = []
        with reproducible(device):
            both = steps_of(recipe, device)
            for turn in range(WARM + turns):
                order = (0, 1) if turn % 2 else (1, 0)
                times = {which: seconds(both[which], device) for which in order}
                taken.append((times[0], times[1]))
        stock, traced = (median(times) for times in zip(*taken[WARM:], strict=True))
        name, crop, batch = recipe.network.name, recipe.pictures.crop, recipe.training.batch
        lines.append((name, 1000 * stock, 1000 * traced, traced / stock, TARGET))
        how = f"{str(pick_precision(recipe.training.precision, device))[6:]}, batch {batch} at {crop}², medians of {turns} turns"
        how += ", processor time of one thread" * (device.type == "cpu")
        note = f"{figure(1000 * traced)} ms / {figure(1000 * stock)} ms, {how}"
        rows.append(
            Row(f"{flags.label or device.type}: step of {name} by layers / its module's", traced / stock, "×", TARGET, note)
        )
    show("A training step, ms", ("", "the library's module", "layer by layer", "×", "at most"), lines)
    record(rows, device, flags.dry)


if __name__ == "__main__":
    main()
