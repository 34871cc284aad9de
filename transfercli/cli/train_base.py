"""transfer train-base"""

from pathlib import Path

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import (
    accept_option,
    completed,
    device_options,
    on_the_same,
    parsed,
    ray_options,
    recipe_option,
    report_options,
    set_option,
    study_argument,
    study_at,
    study_options,
)
from transfercli.cli.progress import reporting
from transfercli.plan.tasks import HALVES
from transfercli.plan.words import parse_choices
from transfercli.system.device_names import Remote


@click.command("train-base", short_help="Train baseA and baseB.")
@click.option(
    "--halves",
    metavar="A|B|A,B",
    callback=parsed(lambda text: parse_choices(text, HALVES, "half")),
    shell_complete=completed(HALVES, several=True),
    help="Which bases; by default those that the recipe's networks copy or are compared with.",
)
@recipe_option
@set_option
@device_options
@ray_options
@accept_option
@report_options
@study_options
@study_argument
def train_base(
    halves: tuple[str, ...] | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    device: str,
    bank_size: int | None,
    accept_change: bool,
    remote: Remote | None,
    folder: Path,
    smoke: bool,
) -> None:
    """Train baseA and baseB, from random weights, for every split and seed of the study.

    A base that no network of the recipe needs is left out, and named. Killed or interrupted, the same command goes on where it
    was. Bases that are done stay as they are.

    \b
        transfer train-base
        transfer train-base --device cuda:1 --set training.epochs=30
    """
    study = study_at(folder, smoke)
    with reporting("bases, network-steps") as reporter:
        trained = transfercli.train_base(
            study,
            halves,
            recipe=recipe,
            overrides=overrides,
            smoke=smoke,
            device=device,
            bank_size=bank_size,
            accept_change=accept_change,
            remote=remote,
            reporter=reporter,
        )
    show.bases(study, trained)
    show.next_step(*show.next_of(study, *on_the_same(device, bank_size, accept_change, remote)), study=study)
    show.end(trained.rows, smoke)
