"""transfer status"""

from pathlib import Path

import click

from transfercli.cli import show
from transfercli.cli.options import study_at, study_options


@click.command(short_help="Which networks are done, running, to do.")
@study_options
def status(folder: Path, smoke: bool) -> None:
    """Show which networks of the study are done, which are running, and which are to do.

    \b
        transfer status
        transfer status --study results/mine
    """
    from transfercli.plan import bases, transfers

    study = study_at(folder, smoke)
    recipe = study.recipe()
    splits = study.need_splits()
    first = bases(splits, recipe.seeds)
    planned = first + transfers(splits, recipe.seeds, recipe.targets, recipe.layers, recipe.treatments)
    running, waiting = show.states(study, planned)
    if running:
        return
    if any(study.row(base) is None for base in first):
        show.next_step("transfer train-base", study)
    elif waiting:
        show.next_step("transfer sweep", study)
    else:
        show.next_step("transfer plot", study)
