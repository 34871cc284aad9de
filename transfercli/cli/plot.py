"""transfer plot"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from transfercli.cli import show
from transfercli.cli.options import study_argument, study_at, study_options

if TYPE_CHECKING:
    from transfercli.study.folder import Study


@click.command(short_help="Draw accuracy against layer.")
@click.option("--paper", is_flag=True, help="Draw the published values of 2014 beside; alone where there is no study.")
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to; by default figures/ in the study, and paper-2014/ beside it where there is none.",
)
@study_options
@study_argument
def plot(paper: bool, out: Path | None, folder: Path, smoke: bool) -> None:
    """Draw the study's figures, as PNG and SVG.

    Accuracy against layer; what each network gains over its base; learning curves, and what transfer gives on the way (start,
    slope, asymptote); the first layer's kernels of each base. Of a folder with a results.csv alone, what its table gives.

    \b
        transfer plot
        transfer plot --paper
    """
    study = study_at(folder, smoke)
    if make(study, paper, out) and not paper:
        show.next_step("analyze", study=study)


def make(study: "Study", paper: bool, out: Path | None = None) -> bool:
    """Draw the figures; True where they show the study, False where they show the paper alone."""
    from transfercli.analysis.published import published_table
    from transfercli.report.figures import draw
    from transfercli.report.first_layer import first_layers

    instead = "draw the published study: transfer plot --paper"
    table = show.table_of(study) if paper else show.finished_table(study, "draw", instead)
    if table.empty:
        click.echo(f"No network in {study.root} is done: these are the published values alone.")
    folder = out or (study.root.with_name("paper-2014") if table.empty else study.root / "figures")
    for path in draw(table, study.logs(), folder, published_table() if paper else None, first_layers(study)):
        if path.suffix == ".png":
            click.echo(f"Figure: {path} (and .svg)")
    return not table.empty
