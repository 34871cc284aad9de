"""transfer status"""

import json
import socket
from itertools import groupby
from pathlib import Path
from typing import Any

import click

import transfercli
from transfercli.analysis.words import half_title
from transfercli.cli import show
from transfercli.cli.options import study_argument, study_at, study_options
from transfercli.study.hints import command

CELLS = {"running": "now", "to do": "-"}  # the states that a table says otherwise; other to-dos have a share of their steps


@click.command(short_help="Which networks are done, running, to do.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it, network by network, as one JSON document.")
@study_options
@study_argument
def status(as_json: bool, folder: Path, smoke: bool) -> None:
    """Show which networks of the study are done, which are running and how far they are, and which are to do.

    Networks that are there are shown also where the recipe does not plan them. A share, as 40%, is of the steps that a
    checkpoint holds: what was interrupted goes on there.

    \b
        transfer status
        transfer status results/mine --json
    """
    from transfercli.study.rows import mixture

    study = study_at(folder, smoke)
    found = transfercli.status(study)
    training, bare = found["counts"]["running"], not found["weights"]
    following = None if training else show.next_of(study) if not bare else ["analyze"]
    if as_json:
        click.echo(json.dumps({**found, "next": command(*following, study=study) if following else None}, indent=1))
        return
    _networks(found["networks"])
    _counts(found)
    _process(found)
    for kept in found["checkpoints"] if not training else ():
        count, steps = len(kept["networks"]), _steps(found, kept)
        show.echo(f"{_place(kept)}: {_some(count)} at step {kept['step']:,} of {steps:,}, in the checkpoint of {kept['saved']}")
    if mixed := mixture(study.rows()):
        show.echo(f"Warning: {mixed}")
    if bare:
        show.paragraph("These results were kept without the networks' weights and logs: the table alone.")
    if following:
        show.next_step(*following, study=study)


def _networks(networks: list[dict[str, Any]]) -> None:
    """A line for each split, seed, network of several, target and treatment, a column for each layer."""
    layers = sorted({0, *(network["layer"] for network in networks)})
    several = any(_axes(network) for network in networks)
    body = []
    for (net, *group), members in groupby(
        networks, key=lambda n: (_axes(n), n["split"], str(n["seed"]), _target(n), n["treatment"])
    ):
        cells = {network["layer"]: _cell(network) for network in members}
        body.append((*group[:2], *[net] * several, *group[2:], *(cells.get(layer, "") for layer in layers)))
    head = ("split", "seed", *["network"] * several, "target", "treatment")
    show.table((*head, *(f"n={layer}" for layer in layers)), body, "lr" + "l" * (len(head) - 2) + "r", keys=len(head))


def _axes(network: dict[str, Any]) -> str:
    """Which of a study's networks it is, from how much data it learns, and where its segment begins."""
    from transfercli.plan.networks import AXES, axes_in_words  # which takes numpy

    axes = axes_in_words({key: network[key] for key in AXES if key in network})
    return ", ".join(filter(None, (axes, f"from layer {network['first_layer']}" if "first_layer" in network else "")))


def _target(network: dict[str, Any]) -> str:
    half = (network["split"], network["target"])
    return half_title(*half, {half: network["target_name"]} if "target_name" in network else {})


def _cell(network: dict[str, Any]) -> str:
    if network["state"] == "to do" and network["step"]:
        return f"{network['step'] / network['steps']:.0%}"
    return CELLS.get(network["state"], network["state"])


def _counts(found: dict[str, Any]) -> None:
    counts, count = found["counts"], len(found["networks"])
    failed = f" ({counts['failed']} failed: they learned nothing, or diverged)" if counts["failed"] else ""
    more = count - counts["planned"] if counts["planned"] else 0
    beyond = f"; {more} of the {count} {'are' if more > 1 else 'is'} beyond the recipe's plan" if more else ""
    click.echo(
        f"\n{counts['done'] + counts['failed']} of {count} networks are done{failed}, "
        f"{counts['running']} running (now), {counts['to do']} to do (-){beyond}"
    )


def _process(found: dict[str, Any]) -> None:
    """Who trains, and how far the bank in training is."""
    process = found["process"]
    if not process:
        return
    host = f" on {process['host']}" if process["host"] != socket.gethostname() else ""
    show.echo(f"Process {process['pid']}{host} has been at work since {process['since']}")
    if bank := process.get("bank"):
        rate, left = bank["steps_per_second"], process["seconds_left"]
        speed = f", {rate:.3g} steps/s" if rate else ""
        until = f", {show.duration(left)} left for all that are running" if left is not None else ""
        show.echo(f"{_place(bank)}: {_some(len(bank['networks']))} at step {bank['step']:,} of {bank['steps']:,}{speed}{until}")
        of_bank = [k for k in found["checkpoints"] if _place(k) == _place(bank) and {*k["networks"]} & {*bank["networks"]}]
        saved = [f"step {kept['step']:,}, of {kept['saved']}" for kept in of_bank]
        click.echo(f"Last checkpoint: {saved[0] if saved else 'none yet'}")
    for worker in found["workers"]:
        at = f", step {worker['step']:,} of {worker['steps']:,}" if "step" in worker else ""
        age = f"lost: no sign of life for {show.duration(worker['age'])}" if worker["lost"] else f"{worker['age']:.0f} s ago"
        place, count = worker["members"][0][0], _some(len(worker["members"]))
        show.echo(f"{worker['host']} ({worker['device']}): {place}, {count}{at}; {age}")


def _place(group: dict[str, Any]) -> str:
    return group["split"] + (f" seed {group['seed']}" if group["seed"] else "")


def _some(count: int) -> str:
    return f"{count} network{'s' * (count > 1)}"


def _steps(found: dict[str, Any], kept: dict[str, Any]) -> int:
    return next(n["steps"] for n in found["networks"] if n["split"] == kept["split"] and n["network"] in kept["networks"])
