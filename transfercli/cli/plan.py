"""transfer plan"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import (
    changing,
    complete_recipe,
    device_options,
    download_option,
    json_option,
    on_the_same,
    set_option,
)
from transfercli.cli.progress import counting, say
from transfercli.study.hints import command

if TYPE_CHECKING:
    from transfercli.training.planning import Estimate, Scaled

PAPER_DAYS = 9.5  # GPU-days for each network: the authors' README


@click.command(short_help="What a study will cost, before anything runs.")
@click.argument("recipe_name", metavar="RECIPE", shell_complete=complete_recipe)
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@download_option
@set_option
@device_options
@click.option("--workers", metavar="K", type=click.IntRange(1), help="Say what K devices like this one would take, too.")
@json_option
def plan(
    recipe_name: str,
    directory: Path | None,
    overrides: tuple[str, ...],
    device: str,
    bank_size: int | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Say what a study by RECIPE of the pictures in DIR will cost: networks, banks, steps, multiply-adds, disk, memory, time.

    The time is an estimate from a few seconds of training on noise, on this very device, without reading pictures.
    Where a bank's step takes long, it is reckoned from one network's with fewer pictures. Without DIR, what the recipe leaves
    open of classes and pictures is as ImageNet has it, and the time says so. Nothing is written.

    With --workers also what several such devices take, the least that any number takes (a base, then a network that copies
    its layers), and how fast the disk must be that all read pictures from.

    \b
        transfer plan tiny-imagenet /data/tiny-imagenet-200
        transfer plan yosinski2014 --device cuda --workers 8
        transfer plan demo --json
    """
    from transfercli.system.devices import device_name
    from transfercli.training.planning import timed

    found = transfercli.estimate(recipe_name, directory, overrides=overrides, device=device, bank_size=bank_size, measured=False)
    machine = device_name(found.device)
    if not as_json:
        _costs(found, machine)
    say("measuring how long training takes, for some seconds")
    found = timed(found, counting)
    pictures_of = [directory or "DIR"] if directory or not found.recipe.pictures.builtin else []
    following = ["run", recipe_name, *pictures_of, *changing(overrides), *on_the_same(device, bank_size)]
    scaled = found.on(workers) if workers else None
    if as_json:
        several = _of_several(scaled) if scaled else None
        show.document(_document(found, machine) | {"workers": several, "next": command(*following)})
        return
    _times(found)
    if scaled:
        _scaled(scaled)
    show.next_step(*following)


def _costs(found: "Estimate", machine: str) -> None:
    assumed = f", as on {found.assumed}: no DIR is named" if found.assumed else ""
    others = sorted({*found.lengths} - {found.steps})
    lengths = f"; {', '.join(f'{length:,}' for length in others)} of those of another length" if others else ""
    fewer = ", fewer where training.patience ends it" * (found.recipe.training.patience is not None)
    show.facts(
        ("device", f"{machine}, {found.free_bytes / 2**30:.0f} GiB free, {str(found.precision)[6:]}"),
        ("pictures", f"{found.pictures:,} of {found.classes} classes to train on{assumed}"),
        ("networks", f"{found.networks} in {len(found.banks)} banks" + f" of at most {found.bank_size}" * (not found.parts)),
        *((f"  {net}", _of_one(part)) for net, part in found.parts.items()),
        ("steps", f"{found.steps:,} of {found.recipe.training.batch} pictures for each network{lengths}{fewer}"),
        (
            "multiply-adds",
            f"{found.multiply_adds:.3g} for training; {found.multiply_adds_alone:.3g} if each network trained alone",
        ),
        ("memory", f"{found.memory_bytes / 2**30:.1f} GiB for the largest bank"),
        ("disk", f"{found.disk_bytes / 2**30:.1f} GiB for weights and checkpoints"),
    )


def _of_one(part: "Estimate") -> str:
    """What one of several networks costs."""
    banks = f"{part.networks} in {len(part.banks)} bank{'s' * (len(part.banks) > 1)} of at most {part.bank_size}"
    return f"{banks}, {part.multiply_adds:.3g} multiply-adds, {part.memory_bytes / 2**30:.1f} GiB for the largest bank"


def _speed(found: "Estimate") -> str:
    """What was measured of a network."""
    assert found.seconds_per_step is not None
    bank, speed = found.banks[found.largest], found.work[found.largest] / found.seconds_per_step
    how = ", reckoned from one network's of few pictures" * found.reckoned
    measured = f"{found.seconds_per_step:.3f} s for a step of {len(bank)} networks{how}"
    return f"{measured}, {speed / 1e9:,.0f} billion multiply-adds a second"


def _times(found: "Estimate") -> None:
    assert found.seconds is not None
    paper = f"; the paper's took {PAPER_DAYS} days on a GPU of 2014" * any(
        one.network.name == "caffenet" for one in found.recipe.each().values()
    )
    yours = f" if the pictures are as many as {found.assumed}'s (else name DIR)" if found.assumed else ""
    show.facts(
        *((f"  {net}".rstrip() or "measured", _speed(part)) for net, part in (found.parts or {"": found}).items()),
        ("time", f"{show.duration(found.seconds)} of training{yours}, evaluations and the reading of pictures not counted"),
        ("each network", f"{show.duration(found.seconds / found.networks)}{paper}"),
    )


def _scaled(scaled: "Scaled") -> None:
    line, files = scaled.timeline, scaled.file_bytes_per_second
    as_files = f"; {files / 1e6:,.0f} MB/s of files" if files else ""
    sizes = ", if they are as large as ImageNet's" * bool(files and not scaled.estimate.file_bytes)
    show.facts(
        (
            "workers",
            f"{line.devices} device{'s' * (line.devices > 1)} like this one: {show.duration(line.end)}, "
            f"{scaled.speedup:.1f} times as fast as one; {line.busy:.0%} of their time at work",
        ),
        ("at least", f"{show.duration(line.floor)} with however many: a base, then a network that needs it, each alone"),
        (
            "reading",
            f"at most {scaled.pictures_per_second:,.0f} pictures a second, all together: "
            f"{scaled.raw_bytes_per_second / 1e6:,.0f} MB/s of a store's raw pixels{as_files}{sizes}",
        ),
    )


def _of_several(scaled: "Scaled") -> dict[str, Any]:
    return {
        "devices": scaled.timeline.devices,
        "seconds": scaled.timeline.end,
        "speedup": scaled.speedup,
        "busy": scaled.timeline.busy,
        "floor_seconds": scaled.timeline.floor,
        "jobs": len(scaled.timeline.runs),
        "pictures_per_second": scaled.pictures_per_second,
        "raw_bytes_per_second": scaled.raw_bytes_per_second,
        "file_bytes_per_second": scaled.file_bytes_per_second,
    }


def _document(found: "Estimate", machine: str) -> dict[str, Any]:
    assert found.seconds is not None
    return {
        "recipe": found.recipe.name,
        "device": machine,
        "free_bytes": found.free_bytes,
        "precision": str(found.precision)[6:],
        "classes": found.classes,
        "pictures": found.pictures,
        "assumed": found.assumed or None,
        "networks": found.networks,
        "banks": len(found.banks),
        "bank_size": found.bank_size,
        "steps": found.steps,
        "batch": found.recipe.training.batch,
        "multiply_adds": found.multiply_adds,
        "multiply_adds_alone": found.multiply_adds_alone,
        "memory_bytes": found.memory_bytes,
        "disk_bytes": found.disk_bytes,
        "seconds_per_step": found.seconds_per_step,
        "reckoned": found.reckoned,
        "seconds": found.seconds,
        "seconds_per_network": found.seconds / found.networks,
        **({"each": {net: _document(part, machine) for net, part in found.parts.items()}} if found.parts else {}),
    }
