"""transfer plan"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from transfercli.cli import show
from transfercli.cli.options import complete_recipe, device_options, json_option, on_the_same, set_option
from transfercli.study.hints import command
from transfercli.system.errors import TransferError

if TYPE_CHECKING:
    from transfercli.recipe.schema import Recipe

PAPER_DAYS = 9.5  # GPU-days for each network: the authors' README


@click.command(short_help="What a study will cost, before anything runs.")
@click.argument("recipe_name", metavar="RECIPE", shell_complete=complete_recipe)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@set_option
@device_options
@json_option
def plan(
    recipe_name: str, directory: Path | None, overrides: tuple[str, ...], device: str, bank_size: int | None, as_json: bool
) -> None:
    """Say what a study by RECIPE of the pictures in DIR will cost: networks, banks, steps, multiply-adds, disk, memory, time.

    The time is an estimate from a few seconds of training on noise, on this very device, without reading pictures.
    Where a bank's step takes long, it is reckoned from one network's with fewer pictures. Without DIR, what the recipe leaves
    open of classes and pictures is as ImageNet has it, and the time says so. Nothing is written.

    \b
        transfer plan tiny-imagenet /data/tiny-imagenet-200
        transfer plan yosinski2014 --device cuda
        transfer plan demo --json
    """
    from transfercli.cli.progress import counting, say
    from transfercli.plan.jobs import jobs
    from transfercli.recipe import reading as recipes
    from transfercli.system.devices import device_name, free_memory, pick_device, pick_precision, reproducible
    from transfercli.training import cost, measuring

    recipe = recipes.find(recipe_name, overrides)
    where = pick_device(device)
    precision = pick_precision(recipe.training.precision, where)
    count, pictures, assumed = _pictures(recipe, directory)
    classes = -(-count // 2)
    steps = recipe.training.length(-(-pictures * classes // count))
    recipe.training.schedule.bind(steps)  # said now, not when a study is begun
    networks = recipe.networks()
    layers = cost.Layers.of(recipe, classes)
    size = bank_size or cost.bank_size(recipe, classes, where)
    cut = [job.networks for job in jobs(networks, size)]
    work = [cost.multiply_adds(bank, layers) * recipe.training.batch for bank in cut]
    memory = cost.bank_bytes(max(map(len, cut)), recipe, layers, cost.at_once(where))
    alone = sum(cost.multiply_adds([n], layers) for n in networks) * recipe.training.batch

    facts = show.facts if not as_json else lambda *pairs: None
    facts(
        ("device", f"{device_name(where)}, {free_memory(where) / 2**30:.0f} GiB free, {str(precision)[6:]}"),
        ("pictures", f"{pictures:,} of {count} classes to train on{assumed and f', as on {assumed}: no DIR is named'}"),
        ("networks", f"{len(networks)} in {len(cut)} banks of at most {size}"),
        ("steps", f"{steps:,} of {recipe.training.batch} pictures for each network"),
        ("multiply-adds", f"{sum(work) * steps:.3g} for training; {alone * steps:.3g} if each network trained alone"),
        ("memory", f"{memory / 2**30:.1f} GiB for the largest bank"),
        ("disk", f"{cost.disk_bytes(len(networks), layers) / 2**30:.1f} GiB for weights and checkpoints"),
    )
    if memory > free_memory(where):
        raise TransferError("a single network does not fit in the free memory; choose another device or a smaller training.batch")
    largest = max(cut, key=len)
    say("measuring how long training takes, for some seconds")
    with reproducible(where), counting("measuring", 2) as progress:
        seconds, how = (
            measuring.reckoned(largest, recipe, classes, where, precision),
            ", reckoned from one network's of few pictures",
        )
        progress(1)
        if seconds < measuring.MEASURE_SECONDS and len(largest) * 4 * sum(layers.parameters) < 2**30:
            seconds, how = measuring.seconds_per_step(largest, recipe, classes, where, precision), ""
        progress(1)
    total = seconds * sum(work) / work[cut.index(largest)] * steps
    speed = work[cut.index(largest)] / seconds
    paper = f"; the paper's took {PAPER_DAYS} days on a GPU of 2014" if recipe.network.name == "caffenet" else ""
    yours = f" if the pictures are as many as {assumed}'s (else name DIR)" if assumed else ""
    facts(
        (
            "measured",
            f"{seconds:.3f} s for a step of {len(largest)} networks{how}, {speed / 1e9:,.0f} billion multiply-adds a second",
        ),
        ("time", f"{show.duration(total)} of training{yours}, evaluations and the reading of pictures not counted"),
        ("each network", f"{show.duration(total / len(networks))}{paper}"),
    )
    pictures_of = [directory or "DIR"] if directory or not recipe.pictures.builtin else []
    changes = [word for override in overrides for word in ("--set", override)]
    following = ["run", recipe_name, *pictures_of, *changes, *on_the_same(device, bank_size)]
    if not as_json:
        show.next_step(*following)
        return
    show.document(
        {
            "recipe": recipe.name,
            "device": device_name(where),
            "free_bytes": free_memory(where),
            "precision": str(precision)[6:],
            "classes": count,
            "pictures": pictures,
            "assumed": assumed or None,
            "networks": len(networks),
            "banks": len(cut),
            "bank_size": size,
            "steps": steps,
            "batch": recipe.training.batch,
            "multiply_adds": sum(work) * steps,
            "multiply_adds_alone": alone * steps,
            "memory_bytes": memory,
            "disk_bytes": cost.disk_bytes(len(networks), layers),
            "seconds_per_step": seconds,
            "reckoned": bool(how),
            "seconds": total,
            "seconds_per_network": total / len(networks),
            "next": command(*following),
        }
    )


def _pictures(recipe: "Recipe", directory: Path | None) -> tuple[int, int, str]:
    """How many classes and training pictures a study would take: of DIR, the built-in ones, or those of a dataset, then named."""
    from transfercli.pictures.folder import scan
    from transfercli.study.choosing import select

    taken = recipe.pictures
    if directory is not None:
        folder = select(scan(directory), taken)
        return len(folder.classes), sum(map(len, folder.train.values())), ""
    if taken.builtin:
        return taken.builtin.classes, taken.builtin.classes * taken.builtin.train, ""
    count = min(1000, taken.classes or 1000)
    pictures = min(1_281_167 * count // 1000, count * (taken.train_per_class or 1_281_167))
    return count, pictures, "" if taken.classes and taken.train_per_class else "ImageNet"
