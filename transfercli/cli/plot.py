"""transfer plot"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from transfercli.cli.options import study_at, study_options
from transfercli.errors import TransferError

if TYPE_CHECKING:
    from transfercli.study import Study


@click.command(short_help="Draw accuracy against layer.")
@click.option("--paper", is_flag=True, help="Draw the published values of 2014 beside; alone where there is no study.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Where to; by default figures/ in the study.")
@study_options
def plot(
    paper: bool, out: Path | None, folder: Path, recipe: str | None, overrides: tuple[str, ...], smoke: bool
) -> None:
    """Draw the study's figures, as PNG and SVG: accuracy against layer, drop against layer, and learning curves.

    \b
        transfer plot
        transfer plot --paper
    """
    make(study_at(folder, smoke), paper, out)


def make(study: "Study", paper: bool, out: Path | None = None) -> None:
    from transfercli.analysis import published_table
    from transfercli.figures import draw

    table = study.table()
    if table.empty and not paper:
        raise TransferError(
            f"{study.root} has no finished network to draw; train some: transfer train-base, "
            "or draw the published study: transfer plot --paper"
        )
    paths = draw(table, study.logs(), out or study.root / "figures", published_table() if paper else None)
    for path in paths:
        if path.suffix == ".png":
            click.echo(f"Figure: {path} (and .svg)")
