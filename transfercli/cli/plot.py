"""transfer plot"""

from pathlib import Path

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import study_argument, study_at, study_options


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
    plotted = transfercli.plot(study, paper, out)
    show.plotted(study, plotted)
    if not plotted.paper_alone and not paper:
        show.next_step("report" if study.advice_file.exists() else "analyze", study=study)
