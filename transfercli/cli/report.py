"""transfer report"""

from pathlib import Path

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import study_argument, study_at, study_options


@click.command(short_help="One page to look at: conclusion, figures, tables, provenance.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to; by default report.html in the study.",
)
@study_options
@study_argument
def report(out: Path | None, folder: Path, smoke: bool) -> None:
    """Write the study as one HTML page that needs nothing else: no network, no other file. It reads well on a phone too.

    Point at a network in a figure, or tap it, and the page shows its row and its learning curve.

    \b
        transfer report
        transfer report --study results/mine --out mine.html
    """
    show.reported(transfercli.write_report(study_at(folder, smoke), out))
    if smoke:
        click.echo(show.SMOKE)
