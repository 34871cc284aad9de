"""transfer sweep"""

from pathlib import Path

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import (
    accept_option,
    completed,
    device_options,
    parsed,
    ray_options,
    recipe_option,
    report_options,
    set_option,
    study_argument,
    study_at,
    study_options,
)
from transfercli.cli.progress import reporting
from transfercli.plan.tasks import ALTERNATE, HALVES
from transfercli.plan.treatments import sweepable
from transfercli.plan.words import ALL, parse_layers, parse_targets, parse_treatments
from transfercli.system.device_names import Remote


def _layers(text: str) -> str | tuple[int, ...]:
    return ALL if text == ALL else parse_layers(text)


@click.command(short_help="Train the transfer networks for each layer n.")
@click.option(
    "--layers", metavar="N-N|N,N", callback=parsed(_layers), help="Which n: 1-7, 1,3,5 or all; by default the recipe's."
)
@click.option(
    "--treatments",
    metavar="BnB,AnB,…",
    callback=parsed(parse_treatments),
    shell_complete=completed(sweepable(), several=True),
    help=f"Which of {', '.join(sweepable())}, or the recipe's own_treatments; by default the recipe's.",
)
@click.option(
    "--targets",
    metavar="B|A|A,B|alternate",
    callback=parsed(parse_targets),
    shell_complete=completed((*HALVES, ",".join(HALVES), ALTERNATE)),
    help="Which half is learned and measured (alternate: A in odd random splits, else B); by default the recipe's.",
)
@recipe_option
@set_option
@device_options
@ray_options
@accept_option
@report_options
@study_options
@study_argument
def sweep(
    layers: str | tuple[int, ...] | None,
    treatments: tuple[str, ...] | None,
    targets: tuple[str, ...] | None,
    recipe: str | None,
    overrides: tuple[str, ...],
    device: str,
    bank_size: int | None,
    accept_change: bool,
    remote: Remote | None,
    folder: Path,
    smoke: bool,
) -> None:
    """Train the transfer networks: for each layer n its first n layers copied, frozen or fine-tuned, the rest fresh.

    \b
    BnB   layers 1..n from the target's own base, frozen      (the control)
    BnB+  the same, fine-tuned
    AnB   layers 1..n from the other half's base, frozen      (transfer)
    AnB+  the same, fine-tuned
    RnB   layers 1..n random and frozen

    All train side by side on one stream of pictures. Killed or interrupted, the same command goes on where it was.

    \b
        transfer sweep --layers 1-7
        transfer sweep --layers 3,5 --treatments AnB,AnB+ --targets A,B
    """
    study = study_at(folder, smoke)
    with reporting("sweep, network-steps") as reporter:
        trained = transfercli.sweep(
            study,
            layers,
            treatments,
            targets,
            recipe=recipe,
            overrides=overrides,
            smoke=smoke,
            device=device,
            bank_size=bank_size,
            accept_change=accept_change,
            remote=remote,
            reporter=reporter,
        )
    show.swept(study)
    if smoke:
        click.echo(show.SMOKE)
    show.next_step("plot", study=study)
    show.end(trained.rows, smoke, trained.lacking)
