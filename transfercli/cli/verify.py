"""transfer verify"""

from pathlib import Path

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import device_options, network_option, study_argument, study_at, study_options
from transfercli.cli.progress import say
from transfercli.system.errors import TransferError


@click.command(short_help="Check everything of a study that can be checked.")
@device_options
@network_option
@study_options
@study_argument
def verify(device: str, bank_size: int | None, folder: Path, smoke: bool) -> None:
    """Read a study again and check it: digests, rows against logs, weights, frozen layers against their source, the table.

    Every network is measured again and must have its row's accuracy: to the bit on the same kind of processor and torch, else
    within 0.01 or two pictures (losses within 2 per cent). Nothing is written.

    \b
        transfer verify
        transfer verify --study results/mine --device cpu
    """
    study = study_at(folder, smoke)
    report = transfercli.verify(study, device, bank_size, say)
    show.table(("checked", "number"), [(what, f"{count:,}") for what, count in report.counts.items()], "lr")
    for left in dict.fromkeys(report.unchecked):
        show.echo(f"Not checked: {left}")
    problems = list(dict.fromkeys(report.problems))  # a base that is damaged is missed by all that came of it
    for problem in problems:
        show.echo(f"Problem: {problem}")
    if problems:
        count = len(problems)
        raise TransferError(f"{study.root} has {count} problem{'s' * (count > 1)}, named above; what each says mends it")
    show.echo(f"{study.root} is sound")
