"""`transfer run`: a whole study in one call."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfercli.report.figures import Plotted, plot
from transfercli.report.page.writing import write_report
from transfercli.study.folder import Study
from transfercli.study.splitting import Made, split
from transfercli.study.standing import following
from transfercli.system.device_names import CPU, Remote
from transfercli.system.devices import pick_device
from transfercli.system.progress import Counting, Told, ignored, uncounted
from transfercli.training.reporter import SILENT, Reporter
from transfercli.training.sweeping import Trained, sweep, train_all, train_base


@dataclass(frozen=True)
class Done:
    """A whole study. Where a base failed there is no more than the bases."""

    split: Made
    bases: Trained
    networks: Trained | None = None
    figures: Plotted | None = None
    report: Path | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.bases.rows + (self.networks.rows if self.networks else [])


@contextmanager
def _silent(label: str) -> Iterator[Reporter]:
    yield SILENT


def run(
    study: Study,
    recipe: str,
    folder: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    skip_unreadable: bool = False,
    device: str = "auto",
    bank_size: int | None = None,
    accept_change: bool = False,
    remote: Remote | None = None,
    told: Told = ignored,
    counting: Counting = uncounted,
    reporting: Callable[[str], AbstractContextManager[Reporter]] = _silent,
) -> Done:
    """Do a whole study of the pictures in a folder by a recipe: `split`, `train_base`, `sweep`, `plot` and `write_report`.

    `remote`: on several devices, in the place of `device`. `told` is given the name and the result of each as soon as it is
    there, and what `split` tells; `reporting` is asked for a Reporter for the bases and for the sweep. Killed, the same call
    goes on where it was. Raises TransferError.
    """
    pick_device(CPU if remote else device)  # said now, not after the pictures are checked
    made = split(
        study,
        folder,
        recipe=recipe,
        overrides=overrides,
        smoke=smoke,
        skip_unreadable=skip_unreadable,
        told=told,
        counting=counting,
    )
    told("split", made)
    how: dict[str, Any] = {"device": device, "bank_size": bank_size, "accept_change": accept_change, "remote": remote}
    if remote:
        with reporting("bases and sweep") as reporter:
            train_all(study, remote, bank_size, accept_change, reporter)
    with reporting("bases") as reporter:
        bases = train_base(study, reporter=reporter, **how)
    told("train_base", bases)
    if following(study) is None and not smoke:  # networks of a smoke run learn nothing
        return Done(made, bases)
    with reporting("sweep") as reporter:
        networks = sweep(study, reporter=reporter, **how)
    told("sweep", networks)
    figures = plot(study)
    told("plot", figures)
    report = write_report(study)
    told("write_report", report)
    return Done(made, bases, networks, figures, report)
