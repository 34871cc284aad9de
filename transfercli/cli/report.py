"""transfer report"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from transfercli.cli import show
from transfercli.cli.options import study_argument, study_at, study_options
from transfercli.study.hints import command
from transfercli.system.errors import TransferError

if TYPE_CHECKING:
    from transfercli.study.folder import Study


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
    make(study_at(folder, smoke), out)
    if smoke:
        click.echo(show.SMOKE)


def make(study: "Study", out: Path | None = None) -> None:
    from transfercli.report.page import html
    from transfercli.system.files import write_text

    if not study.row_files():
        show.finished_table(study, "report")
        look = command("analyze", study=study.root)
        raise TransferError(f"{study.root} holds a results.csv alone, without logs; look at it with: {look}")
    path = out or study.root / "report.html"
    write_text(path, html(study))
    show.echo(f"Report: {path}")
