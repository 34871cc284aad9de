"""transfer status"""

from pathlib import Path

import click

from transfercli.cli import show
from transfercli.cli.options import settle_recipe, study_at, study_options


@click.command(short_help="Which networks are done, in training, to do.")
@study_options
def status(folder: Path, recipe: str | None, overrides: tuple[str, ...], smoke: bool) -> None:
    """Show for each split and seed which networks are done, which are in a checkpoint, and which are to do.

    \b
        transfer status
    """
    from transfercli.plan import bases, transfers

    study = study_at(folder, smoke)
    settled = settle_recipe(study, recipe, overrides, smoke)
    splits = study.need_splits()
    planned = bases(splits, settled.seeds) + transfers(
        splits, settled.seeds, settled.targets, settled.layers, settled.treatments
    )
    show.states(study, planned)
