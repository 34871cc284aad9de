"""transfer treatments"""

from pathlib import Path

import click

import transfercli
from transfercli.plan.treatments import STRATEGIES, TREATMENTS


@click.command(short_help="List the treatments, and draw their phases.")
@click.option("--draw", "folder", type=click.Path(file_okay=False, path_type=Path), help="Write their charts into this folder.")
def treatments(folder: Path | None) -> None:
    """List the treatments, and which of them the literature's ways to fine-tune are.

    \b
        transfer treatments
        transfer treatments --draw docs/treatments
    """
    from transfercli.cli import show

    if folder is not None:
        for path in transfercli.draw_treatments(folder):
            click.echo(path)
        return
    show.table(("treatment", ""), [(name, one.about) for name, one in TREATMENTS.items()], "ll")
    click.echo()
    show.table(("in the literature", "treatment", "n", "reference"), STRATEGIES, "llll")
    click.echo()
    show.next_step("recipes", "keys", "treatments")
