"""transfer run, and transfer demo, which is run on the built-in pictures"""

from pathlib import Path
from typing import Any

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import (
    accept_option,
    complete_recipe,
    device_options,
    download_option,
    ray_options,
    report_options,
    set_option,
    skip_option,
    study_at,
    study_options,
)
from transfercli.cli.progress import counting, reporting
from transfercli.system.device_names import Remote


def _run(name: str, directory: Path | None, folder: Path, smoke: bool, **how: Any) -> None:
    """The work and the words of both commands."""
    study = study_at(folder, smoke)
    done = transfercli.run(
        study,
        name,
        directory,
        smoke=smoke,
        told=show.telling(study),
        counting=counting,
        reporting=lambda label: reporting(f"{label}, network-steps"),
        **how,
    )
    if done.report and smoke:
        click.echo(show.SMOKE)
    if done.report:
        show.next_step("analyze", study=study)
    show.end(done.rows, smoke, done.networks.lacking if done.networks else ())


@click.command(short_help="Do a whole study by a recipe: split, bases, sweep, figures, report.")
@click.argument("name", metavar="RECIPE", shell_complete=complete_recipe)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@download_option
@skip_option
@set_option
@device_options
@ray_options
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
    remote: Remote | None,
    folder: Path,
    smoke: bool,
) -> None:
    """Do a whole study of the pictures in DIR by a recipe: split, train-base, sweep, plot and report.

    Killed or interrupted, the same command goes on where it was.

    \b
        transfer run tiny-imagenet /data/tiny-imagenet-200
        transfer run yosinski2014 /data/imagenet --smoke
    """
    how = {"device": device, "bank_size": bank_size, "accept_change": accept_change, "remote": remote}
    _run(name, directory, folder, smoke, skip_unreadable=skip_unreadable, overrides=overrides, **how)


@click.command(short_help="The whole study on built-in pictures, in minutes.")
@set_option
@device_options
@ray_options
@accept_option
@report_options
@study_options
def demo(
    overrides: tuple[str, ...],
    device: str,
    bank_size: int | None,
    accept_change: bool,
    remote: Remote | None,
    folder: Path,
    smoke: bool,
) -> None:
    """Do the whole study on pictures made by formula: two bases, 28 transfer networks and 7 of random features.

    \b
        transfer demo
        transfer demo --smoke
    """
    how = {"device": device, "bank_size": bank_size, "accept_change": accept_change, "remote": remote}
    _run("demo", None, folder, smoke, overrides=overrides, **how)
