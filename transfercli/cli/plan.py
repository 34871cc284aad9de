"""transfer plan"""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from transfercli.cli import show
from transfercli.cli.options import complete_recipe, device_options, set_option
from transfercli.errors import TransferError

if TYPE_CHECKING:
    from transfercli.recipe import Recipe

PAPER_DAYS = 9.5  # GPU-days for each network: the authors' README


@click.command(short_help="What a study will cost, before anything runs.")
@click.argument("recipe_name", metavar="RECIPE", shell_complete=complete_recipe)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@set_option
@device_options
def plan(recipe_name: str, directory: Path | None, overrides: tuple[str, ...], device: str, bank_size: int | None) -> None:
    """Say what a study by RECIPE of the pictures in DIR will cost: networks, banks, steps, multiply-adds, disk, memory, time.

    The time is an estimate from a few seconds of training on noise, on this very device, without reading pictures.
    Without DIR, ImageNet's numbers of classes and pictures are taken. Nothing is written.

    \b
        transfer plan tiny-imagenet /data/tiny-imagenet-200
        transfer plan yosinski2014 --device cuda
    """
    from transfercli import cost
    from transfercli import recipe as recipes
    from transfercli.devices import device_name, free_memory, pick_device, pick_precision, reproducible
    from transfercli.plan import bases, transfers

    recipe = recipes.find(recipe_name, overrides)
    where = pick_device(device)
    precision = pick_precision(recipe.training.precision, where)
    classes, pictures = _half(recipe, directory)
    steps = recipe.training.length(pictures)
    networks = bases(recipe.splits, recipe.seeds) + transfers(
        recipe.splits, recipe.seeds, recipe.targets, recipe.layers, recipe.treatments
    )
    layers = cost.Layers.of(recipe, classes)
    size = bank_size or cost.bank_size(recipe, classes, where)
    cut = cost.cut(networks, size)
    work = [cost.multiply_adds(bank, layers) * recipe.training.batch for bank in cut]
    memory = cost.bank_bytes(max(map(len, cut)), recipe, layers, cost.at_once(where))
    alone = sum(cost.multiply_adds([n], layers) for n in networks) * recipe.training.batch

    show.facts(
        ("device", f"{device_name(where)}, {free_memory(where) / 2**30:.0f} GiB free, {str(precision)[6:]}"),
        ("networks", f"{len(networks)} in {len(cut)} banks of at most {size}"),
        ("steps", f"{steps:,} of {recipe.training.batch} pictures for each network"),
        ("multiply-adds", f"{sum(work) * steps:.3g} for training; {alone * steps:.3g} if each network trained alone"),
        ("memory", f"{memory / 2**30:.1f} GiB for the largest bank"),
        ("disk", f"{cost.disk_bytes(len(networks), layers) / 2**30:.1f} GiB for weights and checkpoints"),
    )
    if memory > free_memory(where):
        raise TransferError("a single network does not fit in the free memory; choose another device or a smaller training.batch")
    with reproducible(where):
        largest = max(cut, key=len)
        seconds = cost.seconds_per_step(largest, recipe, classes, where, precision)
    total = seconds * sum(work) / work[cut.index(largest)] * steps
    speed = work[cut.index(largest)] / seconds
    paper = f"; the paper's took {PAPER_DAYS} days on a GPU of 2014" if recipe.network.name == "caffenet" else ""
    show.facts(
        ("measured", f"{seconds:.3f} s for a step of {len(largest)} networks, {speed / 1e9:,.0f} billion multiply-adds a second"),
        ("time", f"{show.duration(total)} of training, evaluations and the reading of pictures not counted"),
        ("each network", f"{show.duration(total / len(networks))}{paper}"),
    )
    where_from = shlex.quote(str(directory)) if directory else "" if recipe.pictures.builtin else "DIR"
    click.echo(f"Next: transfer run {recipe_name} {where_from}".rstrip())


def _half(recipe: "Recipe", directory: Path | None) -> tuple[int, int]:
    """The classes and training pictures of the larger half: of DIR, of the built-in pictures, or of ImageNet."""
    from transfercli.indexing import select
    from transfercli.pictures.folder import scan

    if directory is not None:
        folder = select(scan(directory), recipe.pictures)
        count, pictures = len(folder.classes), sum(map(len, folder.train.values()))
    elif recipe.pictures.builtin:
        count = recipe.pictures.builtin.classes
        pictures = count * recipe.pictures.builtin.train
    else:
        count, pictures = 1000, 1_281_167
    half = -(-count // 2)
    return half, -(-pictures * half // count)
