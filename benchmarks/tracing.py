"""Seconds to cut a library's network into layers, and to compare it with them: what a run does once for each network it names.

python -m benchmarks.tracing                        # a dozen classifiers, each in processes of their own
python -m benchmarks.tracing torchvision/resnet50
"""

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from statistics import median

import click
import torch

from benchmarks.measure import Flags, Row, figure, options, record, show
from transfercli.networks.catalogue import builder, chained, made
from transfercli.networks.checking import check
from transfercli.recipe import reading as recipes
from transfercli.system.devices import pick_device, reproducible

SOME = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mobilenet_v3_large"),
    *("regnet_y_400mf", "resnet18", "resnet50", "shufflenet_v2_x1_0", "swin_t", "vgg16", "vit_b_16"),
)
OUTPUTS = 1000
TARGETS = {"torchvision/resnet50": "3"}  # seconds for both


def taken(recipe_name: str, overrides: Sequence[str]) -> tuple[float, ...]:
    """How many layers; seconds to find them and to compare, and the processors' for both. In a process that has only imported."""
    recipe = recipes.find(recipe_name, overrides)
    spec, crop = recipe.network, recipe.pictures.crop
    builder(spec.name)
    times = [_now()]
    with reproducible(torch.device("cpu")):  # as in a run
        found = chained(spec, OUTPUTS, crop)[1]
        times.append(_now())
        network = made(spec, OUTPUTS)  # with weights, which a run draws in any case
        network.transfer_chain = found  # type: ignore[assignment]
        times.append(_now())
        check(network, crop)
        times.append(_now())
    (find, own), _, (compare, too) = ((b[0] - a[0], b[1] - a[1]) for a, b in pairwise(times))
    return len(found.links), find, compare, own + too


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


@click.command(help=__doc__)
@click.argument("networks", nargs=-1)
@click.option("--repeats", default=3, show_default=True, type=click.IntRange(1), help="Each in a fresh process.")
@options("imagenet-resnet50")
def main(networks: tuple[str, ...], repeats: int, flags: Flags) -> None:
    device = pick_device(flags.device)  # whose file the rows go to; layers are found and compared on the CPU
    lines, rows = [], []
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh:
        for name in networks or [f"torchvision/{one}" for one in SOME]:
            asked = (*flags.overrides, f"network={name}")
            every = [fresh.submit(taken, flags.recipe, asked).result() for _ in range(repeats)]
            layers, find, compare, own = (median(values) for values in zip(*every, strict=True))
            known, target = recipes.find(flags.recipe, asked), TARGETS.get(name, "")
            lines.append((name, int(layers), find, compare, find + compare, own, target))
            note = f"{figure(find)} s to find {layers:.0f} layers, {figure(compare)} s to compare at {known.pictures.crop}²"
            note += f"; {figure(own)} s of the processors' time; medians of {repeats} processes"
            rows.append(
                Row(f"{flags.label or 'cpu'}: cutting {known.network.name} into layers", find + compare, "s", target, note)
            )
    show(
        "A network into layers, seconds",
        ("", "layers", "to find them", "to compare", "both", "processors' time", "target"),
        lines,
    )
    record(rows, device, flags.dry)


if __name__ == "__main__":
    main()
