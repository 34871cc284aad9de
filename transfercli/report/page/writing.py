"""The page of a study as a file."""

from pathlib import Path

from transfercli.report.advised import advice_in
from transfercli.report.page import html
from transfercli.study import table as tables
from transfercli.study.folder import Study
from transfercli.study.hints import command
from transfercli.system.errors import TransferError
from transfercli.system.files import write_text


def write_report(study: Study, out: str | Path | None = None) -> Path:
    """Write the study as one HTML page that needs nothing else; by default report.html in the study. Raises TransferError.

    An advice study has a page of its own: its answer, and what that was made of.
    """
    study.check_plain()
    path = study.root / "report.html" if out is None else Path(out)
    if advice := advice_in(study):
        from transfercli.report.page.advice import advice_html  # which takes torch

        write_text(path, advice_html(advice))
        return path
    if not study.row_files():
        tables.finished(study, "report")
        look = command("analyze", study=study)
        raise TransferError(f"{study.root} holds a results.csv alone, without logs; look at it with: {look}")
    write_text(path, html(study))
    return path
