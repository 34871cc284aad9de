"""transfer train-base"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from transfercli.cli import show
from transfercli.cli.options import (
    accept_option,
    device_options,
    recipe_option,
    report_options,
    set_option,
    settle_recipe,
    study_at,
    study_options,
)

if TYPE_CHECKING:
    from transfercli.recipe import Recipe
    from transfercli.study import Study


@click.command("train-base", short_help="Train baseA and baseB.")
@recipe_option
@set_option
@device_options
@accept_option
@report_options
@study_options
def train_base(
    recipe: str | None,
    overrides: tuple[str, ...],
    device: str,
    bank_size: int | None,
    accept_change: bool,
    folder: Path,
    smoke: bool,
) -> None:
    """Train baseA and baseB, from random weights, for every split and seed of the study.

    Killed or interrupted, the same command goes on where it was. Bases that are done stay as they are.

    \b
        transfer train-base
        transfer train-base --device cuda:1 --set training.epochs=30
    """
    study = study_at(folder, smoke)
    settled = settle_recipe(study, recipe, overrides, smoke)
    rows = make(study, settled, device, bank_size, accept_change)
    if not smoke and any(row["status"] != "done" for row in rows):
        click.echo("A base that did not train has nothing to transfer: try another learning rate in a new study (--study DIR).")
    show.next_step("transfer sweep --layers 1-7", study)
    show.end(rows, smoke)


def make(study: "Study", recipe: "Recipe", device: str, bank_size: int | None, accept_change: bool) -> list[dict[str, Any]]:
    """Train the bases and show them; returns their rows."""
    from transfercli.cli.progress import reporting
    from transfercli.devices import pick_device
    from transfercli.plan import bases
    from transfercli.training import train

    where = pick_device(device)
    splits = study.need_splits()
    with study.held([]):  # so that no recipe changes under a command that trains by it
        study.write_recipe(recipe)
    with reporting("bases, network-steps") as reporter:
        rows = train(study, bases(splits, recipe.seeds), where, bank_size, reporter, accept_change)
    show.networks(rows)
    click.echo(f"Table: {study.root / 'results.csv'}")
    return rows
