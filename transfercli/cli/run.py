"""transfer run, and transfer demo, which is run on the built-in pictures"""

from pathlib import Path

import click

from transfercli.cli import plot, show, sweep, train_base
from transfercli.cli import split as splitting
from transfercli.cli.options import device_options, settle_recipe, study_at, study_options


def _all_four(
    name: str | None,
    directory: Path | None,
    skip_unreadable: bool,
    device: str,
    bank_size: int | None,
    folder: Path,
    overrides: tuple[str, ...],
    smoke: bool,
) -> None:
    from transfercli.training import pick_device

    pick_device(device)  # said now, not after the pictures are checked
    study = study_at(folder, smoke)
    splitting.make(directory, None, skip_unreadable, study, name, overrides, smoke)
    recipe = settle_recipe(study, None, (), smoke)
    train_base.make(study, recipe, device, bank_size)
    sweep.make(study, recipe, device, bank_size)
    plot.make(study, paper=False)
    show.next_step("transfer plot --paper", study)


@click.command(short_help="Do a whole study by a recipe: split, bases, sweep, figures.")
@click.argument("recipe_name", metavar="RECIPE")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--skip-unreadable", is_flag=True, help="Leave out pictures that cannot be decoded; the split records them.")
@device_options
@study_options
def run(
    recipe_name: str,
    directory: Path | None,
    skip_unreadable: bool,
    device: str,
    bank_size: int | None,
    folder: Path,
    recipe: str | None,
    overrides: tuple[str, ...],
    smoke: bool,
) -> None:
    """Do a whole study of the pictures in DIR by a recipe: split, train-base, sweep and plot.

    Killed or interrupted, the same command goes on where it was.

    \b
        transfer run tiny-imagenet /data/tiny-imagenet-200
        transfer run yosinski2014 /data/imagenet --smoke
    """
    if recipe is not None:
        raise click.UsageError("run takes the recipe as its first argument; leave --recipe out")
    _all_four(recipe_name, directory, skip_unreadable, device, bank_size, folder, overrides, smoke)


@click.command(short_help="The whole study on built-in pictures, in minutes.")
@device_options
@study_options
def demo(
    device: str, bank_size: int | None, folder: Path, recipe: str | None, overrides: tuple[str, ...], smoke: bool
) -> None:
    """Do the whole study on pictures made by formula: two bases, 28 transfer networks and 7 of random features.

    \b
        transfer demo
        transfer demo --smoke
    """
    _all_four(recipe or "demo", None, False, device, bank_size, folder, overrides, smoke)
