"""transfer train-base"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from transfercli.cli import show
from transfercli.cli.options import (
    accept_option,
    completed,
    device_options,
    on_the_same,
    parsed,
    recipe_option,
    report_options,
    set_option,
    settle_recipe,
    study_argument,
    study_at,
    study_options,
)
from transfercli.plan.tasks import HALVES
from transfercli.plan.words import parse_choices
from transfercli.study.hints import command

if TYPE_CHECKING:
    from transfercli.recipe.schema import Recipe
    from transfercli.study.folder import Study


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
    settled = settle_recipe(study, recipe, overrides, smoke)
    rows = make(study, settled, device, bank_size, accept_change, halves)
    show.next_step(*show.following(study, *on_the_same(device, bank_size, accept_change)), study=study)
    show.end(rows, smoke)


def make(
    study: "Study",
    recipe: "Recipe",
    device: str,
    bank_size: int | None,
    accept_change: bool,
    halves: tuple[str, ...] | None = None,
) -> list[dict[str, Any]]:
    """Train the bases of these halves, by default those that the recipe needs, and show them; returns their rows."""
    from transfercli.cli.progress import reporting
    from transfercli.plan.networks import bases
    from transfercli.system.devices import pick_device
    from transfercli.training.train import train

    where = pick_device(device)
    splits = study.need_splits()
    needed = [network for network in recipe.networks(splits) if network.is_base]
    wanted = bases(splits, recipe.seeds, halves) if halves else needed
    with study.held([]):  # so that no recipe changes under a command that trains by it
        study.write_recipe(recipe)
    with reporting("bases, network-steps") as reporter:
        rows = train(study, wanted, where, bank_size, reporter, accept_change)
    show.networks(rows)
    for half in () if halves else sorted({*HALVES} - {base.target for base in needed}):
        train_it = command("train-base", "--halves", half, study=study.root)
        click.echo(f"base{half} is left out: no network of the recipe needs it; to train it too: {train_it}")
    click.echo(f"Table: {study.root / 'results.csv'}")
    if any(row["status"] != "done" for row in rows):
        click.echo("A base that did not train has nothing to transfer: try another learning rate in a new study (--study DIR).")
    return rows
