"""Multiply-adds per second of a bank step, against the machine's own matrix products in the same run.

python -m benchmarks.step --recipe tiny-imagenet-cpu
python -m benchmarks.step --recipe imagenet-fast --device cuda --classes 500
"""

import copy
import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click
import torch

from benchmarks.measure import Flags, Row, best, clock, figure, options, record, show
from benchmarks.samples import sweep_networks
from transfercli.networks.start import start
from transfercli.pictures.stream import Batch
from transfercli.plan.networks import Network, base
from transfercli.plan.resolve import resolve
from transfercli.plan.treatments import USUAL
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import DEPTH, Recipe
from transfercli.system.devices import pick_device, pick_precision, reproducible
from transfercli.system.threads import pool, processors
from transfercli.training import cost
from transfercli.training.bank import Bank


class Repeated:
    """A stream of one batch: the step without decoding and cropping."""

    def __init__(self, batch: Batch):
        self.made = batch

    def batch(self, t: int) -> Batch:
        return self.made


def fixed_batch(recipe: Recipe, classes: int, device: torch.device) -> Batch:
    count, crop = recipe.training.batch, recipe.pictures.crop
    pixels = torch.randint(256, (count, crop, crop, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
    across = torch.arange(crop, device=device).expand(count, crop)
    return Batch(pixels, torch.randint(classes, (count,), device=device), across, across)


def make_bank(recipe: Recipe, networks: Sequence[Network], classes: int, device: torch.device) -> Bank:
    """The bank that a sweep would train, on one batch. All begin with the same fresh weights: no time depends on them."""
    first = resolve(base(networks[0].split, networks[0].seed, networks[0].target), recipe.network.depth)
    fresh = start(recipe, first, classes, {})
    mean = None if recipe.pictures.mean == "none" else torch.full((3,), 128.0)
    if recipe.pictures.mean == "image":
        mean = torch.full((recipe.pictures.size, recipe.pictures.size, 3), 128.0)
    started = {network: copy.deepcopy(fresh) for network in networks}
    precision = pick_precision(recipe.training.precision, device)
    nothing: Any = {network.pictures: None for network in networks}
    bank = Bank(recipe, started, nothing, {}, {"A": mean, "B": mean}, 1_000_000, device, precision, processors())
    feed: Any = Repeated(fixed_batch(recipe, classes, device))
    bank.streams = {member.feed: feed for member in bank.members}
    return bank


def matrix_peak(device: torch.device, precision: torch.dtype) -> float:
    """Multiply-adds per second of large square matrix products: on a CPU the better of one on all threads, and one on each."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device).to(precision) for _ in range(2))
    rates = [side**3 / best(lambda: a @ b, device, 2.0)]
    if device.type == "cpu":
        threads = processors()
        with pool(threads) as workers:
            rates.append(threads * side**3 / best(lambda: list(workers.map(lambda _: a @ b, range(threads))), device, 2.0))
    return max(rates)


def seconds_per_step(bank: Bank, steps: int) -> float:
    """After two steps that are not counted."""
    with reproducible(bank.setting.device):
        for _ in range(2):
            bank.step()
        began = clock(bank.setting.device)
        for _ in range(steps):
            bank.step()
        return (clock(bank.setting.device) - began) / steps


def profile(bank: Bank) -> str:
    """Where the time of one step goes, by operation; the networks one after another, which a profiler can follow."""
    bank.setting = replace(bank.setting, pool=None)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if bank.setting.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with reproducible(bank.setting.device):
        bank.step()
        with torch.profiler.profile(activities=activities) as watched:
            bank.step()
    key = f"self_{bank.setting.device.type}_time_total"
    return watched.key_averages().table(sort_by=key, row_limit=12, max_name_column_width=40)


def parts(networks: Sequence[Network]) -> dict[str, list[Network]]:
    """The whole sweep, each treatment, each n."""
    wanted: dict[str, Callable[[Network], bool]] = {"all 28": lambda network: True}
    wanted |= {name: lambda network, name=name: network.treatment == name for name in USUAL}  # type: ignore[misc]
    wanted |= {f"n = {n}": lambda network, n=n: network.layer == n for n in range(1, DEPTH["caffenet"])}  # type: ignore[misc]
    return {name: [network for network in networks if choose(network)] for name, choose in wanted.items()}


@click.command(help=__doc__)
@click.option("--classes", default=100, show_default=True, help="Of the target half.")
@click.option("--steps", default=10, show_default=True)
@click.option("--target", default="", help="What the step of all 28 must reach of the matrix peak.")
@click.option("--profile", "only_profile", is_flag=True, help="Only say where the time of a step of all 28 goes, by operation.")
@options("tiny-imagenet-cpu")
def main(classes: int, steps: int, target: str, only_profile: bool, flags: Flags) -> None:
    device = pick_device(flags.device)
    recipe = recipes.find(flags.recipe, flags.overrides)
    label = flags.label or f"{device.type}, {flags.recipe}"
    if only_profile:
        click.echo(profile(make_bank(recipe, sweep_networks(), classes, device)))
        return
    precision = pick_precision(recipe.training.precision, device)
    peaks = {dtype: matrix_peak(device, dtype) for dtype in (torch.bfloat16, torch.float32)}
    limit, word = peaks[precision], str(precision)[6:]
    rows = [Row(f"{device.type}: matrix product in {str(d)[6:]}", peak / 1e9, "10⁹ multiply-adds/s") for d, peak in peaks.items()]
    lines = []
    for name, networks in parts(sweep_networks()).items():
        needed = recipe.training.batch * cost.multiply_adds(networks, cost.Layers.of(recipe, classes))
        bank = make_bank(recipe, networks, classes, device)
        seconds = seconds_per_step(bank, steps)
        del bank
        gc.collect()
        lines.append((name, len(networks), 1000 * seconds, needed / 1e9, needed / seconds / 1e9, needed / seconds / limit))
        asked = target if name == "all 28" else ""
        said = f"{figure(1000 * seconds)} ms a step, {figure(needed / 1e9)} 10⁹ multiply-adds, {steps} steps, one batch in memory"
        rows.append(Row(f"{label}: bank step, {name} / {word} matrix peak", needed / seconds / limit, "×", asked, said))
    header = ("bank", "networks", "ms a step", "10⁹ multiply-adds", "10⁹ a second", f"of the {word} peak, {limit / 1e9:,.0f}")
    show(f"{label}: the step alone", header, lines)
    record(rows, device, flags.dry)


if __name__ == "__main__":
    main()
