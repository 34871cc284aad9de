"""Seconds of the commands that should answer at once, seconds and memory of the demo, memory of a bank of 28 CaffeNets.

python -m benchmarks.startup --demo
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import torch

from benchmarks.measure import Flags, Row, options, record, show
from benchmarks.samples import sweep_networks
from benchmarks.step import make_bank, seconds_per_step
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.system.devices import free_memory, pick_device
from transfercli.training import cost

ROOT = Path(__file__).parents[1]


def command(words: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak memory in bytes of one `python -m …`. Raises ClickException where it fails."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}
    run = [sys.executable, str(ROOT / "benchmarks" / "peak.py"), sys.executable, "-m", *words]
    result = subprocess.run(run, capture_output=True, text=True, env=environment)
    seconds, peak, code = json.loads(result.stdout)
    if code:
        raise click.ClickException(f"{' '.join(words)} failed:\n{result.stderr[-2000:]}")
    return seconds, peak


def median(words: Sequence[str], repeats: int) -> float:
    return statistics.median(command(words)[0] for _ in range(repeats))


def bank_memory(recipe: Recipe, overrides: Sequence[str], classes: int, device: torch.device) -> Row:
    """Measured where the bank fits, else what is known of it without training."""
    name, networks = f"{device.type}: memory of a bank of 28, {recipe.name}", sweep_networks()
    known = cost.bank_bytes(len(networks), recipe, cost.Layers.of(recipe, classes), cost.at_once(device))
    free = free_memory(device)
    if 1.4 * known > free:
        return Row(name, known / 1e9, "GB", "", "computed: it does not fit here")
    if device.type == "cuda":
        bank = make_bank(recipe, networks, classes, device)
        seconds_per_step(bank, 1)
        note = f"torch.cuda.max_memory_allocated over three steps of {recipe.training.batch}; {known / 1e9:.1f} computed"
        return Row(name, torch.cuda.max_memory_allocated(device) / 1e9, "GB", "", note)
    changes = [f"--set={override}" for override in overrides]
    peak = command(["benchmarks.startup", "--bank-only", "--recipe", recipe.name, "--classes", str(classes), *changes])[1]
    return Row(name, peak / 1e9, "GB", "", f"peak of a process that takes three steps of {recipe.training.batch}")


@click.command(help=__doc__)
@click.option("--demo", is_flag=True, help="Measure the real demo too, which takes minutes.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--classes", default=500, show_default=True, help="Of the bank's target half.")
@click.option("--bank-only", is_flag=True, hidden=True)
@options("imagenet-fast")
def main(demo: bool, repeats: int, classes: int, bank_only: bool, flags: Flags) -> None:
    device = pick_device(flags.device)
    recipe = recipes.find(flags.recipe, flags.overrides)
    if bank_only:
        seconds_per_step(make_bank(recipe, sweep_networks(), classes, device), 1)
        return
    rows = []
    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as temporary:
        study = str(Path(temporary) / "study")
        where = ["--device", device.type, "--study"]
        rows.append(Row("transfer --help", median(["transfercli", "--help"], repeats), "s", "", f"median of {repeats}"))
        seconds, peak = command(["transfercli", "demo", "--smoke", *where, study])
        rows.append(Row(f"{device.type}: transfer demo --smoke", seconds, "s"))
        rows.append(Row(f"{device.type}: transfer demo --smoke, peak memory", peak / 1e9, "GB"))
        plot = median(["transfercli", "plot", "--smoke", "--study", study], repeats)
        rows.append(Row("transfer plot", plot, "s", "", f"median of {repeats}, on a finished smoke study"))
        if demo:
            seconds, peak = command(["transfercli", "demo", *where, f"{study}-whole"])
            asked = "180" if device.type == "cpu" else ""
            rows.append(Row(f"{device.type}: transfer demo", seconds, "s", asked, "37 networks and figures, installed before"))
            rows.append(Row(f"{device.type}: transfer demo, peak memory", peak / 1e9, "GB"))
    rows.append(bank_memory(recipe, flags.overrides, classes, device))
    lines = [(row.measure, row.value, row.unit, row.target, row.note) for row in rows]
    show("Start-up and memory", ("", "", "unit", "target", "measured"), lines)
    record(rows, device, flags.dry)


if __name__ == "__main__":
    main()
