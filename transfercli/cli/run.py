"""transfer run, and transfer demo, which is run on the built-in pictures"""

from pathlib import Path

import click

from transfercli.cli import plot, report, show, sweep, train_base
from transfercli.cli import split as splitting
from transfercli.cli.options import (
    accept_option,
    complete_recipe,
    device_options,
    report_options,
    set_option,
    skip_option,
    study_at,
    study_options,
)


def _all_four(
    name: str,
    directory: Path | None,
    skip_unreadable: bool,
    overrides: tuple[str, ...],
    device: str,
    bank_size: int | None,
    accept_change: bool,
    folder: Path,
    smoke: bool,
) -> None:
    from transfercli.system.devices import pick_device

    pick_device(device)  # said now, not after the pictures are checked
    study = study_at(folder, smoke)
    splitting.make(study, directory, None, skip_unreadable, name, overrides, smoke)
    recipe = study.recipe()
    rows = train_base.make(study, recipe, device, bank_size, accept_change)
    show.end(rows, smoke)  # where a base failed there is nothing to sweep
    rows += sweep.make(study, recipe, device, bank_size, accept_change)
    plot.make(study, paper=False)
    report.make(study)
    if smoke:
        click.echo(show.SMOKE)
    show.next_step("analyze", study=study)
    show.end(rows, smoke)


@click.command(short_help="Do a whole study by a recipe: split, bases, sweep, figures, report.")
@click.argument("name", metavar="RECIPE", shell_complete=complete_recipe)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@skip_option
@set_option
@device_options
@accept_option
@report_options
@study_options
def run(
    name: str,
    directory: Path | None,
    skip_unreadable: bool,
    overrides: tuple[str, ...],
    device: str,
    bank_size: int | None,
    accept_change: bool,
    folder: Path,
    smoke: bool,
) -> None:
    """Do a whole study of the pictures in DIR by a recipe: split, train-base, sweep, plot and report.

    Killed or interrupted, the same command goes on where it was.

    \b
        transfer run tiny-imagenet /data/tiny-imagenet-200
        transfer run yosinski2014 /data/imagenet --smoke
    """
    _all_four(name, directory, skip_unreadable, overrides, device, bank_size, accept_change, folder, smoke)


@click.command(short_help="The whole study on built-in pictures, in minutes.")
@set_option
@device_options
@accept_option
@report_options
@study_options
def demo(overrides: tuple[str, ...], device: str, bank_size: int | None, accept_change: bool, folder: Path, smoke: bool) -> None:
    """Do the whole study on pictures made by formula: two bases, 28 transfer networks and 7 of random features.

    \b
        transfer demo
        transfer demo --smoke
    """
    _all_four("demo", None, False, overrides, device, bank_size, accept_change, folder, smoke)
