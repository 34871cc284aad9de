"""Clocks, tables, and the rows of benchmarks/results/<machine>.csv."""

import csv
import functools
import io
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import psutil
import torch
from rich.console import Console
from rich.table import Table

from transfercli.study.folder import write_text
from transfercli.system.devices import device_name
from transfercli.system.threads import processors
from transfercli.training.finish import commit

F = TypeVar("F", bound=Callable[..., Any])

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("measure", "value", "unit", "target", "date", "commit", "note")
QUIET = 10.0  # per cent of the processors' time that others may take before a row says so


@dataclass(frozen=True)
class Row:
    """One measurement. `target` says what it must reach, empty where nothing was asked."""

    measure: str
    value: float
    unit: str
    target: str = ""
    note: str = ""


@dataclass(frozen=True)
class Flags:
    """What `options` were given."""

    recipe: str
    overrides: tuple[str, ...]
    device: str
    label: str  # empty: as the script calls its rows
    dry: bool


def options(recipe: str) -> Callable[[F], F]:
    """The flags of every script, which it is given as one: `--recipe`, `--set`, `--device`, `--name`, `--dry`."""
    flags: list[Callable[[F], F]] = [
        click.option("--recipe", default=recipe, show_default=True),
        click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change the recipe, as in `transfer`."),
        click.option("--device", default="cpu", show_default=True, help="cpu or cuda."),
        click.option("--name", "label", default="", help="What the rows are called; by default the device and the recipe."),
        click.option("--dry", is_flag=True, help="Print, and leave the results as they are."),
    ]

    def add(command: F) -> F:
        @functools.wraps(command)
        def measured(*args: Any, **values: Any) -> Any:
            others()  # now, before this process does anything
            given = {field.name: values.pop(field.name) for field in fields(Flags)}
            return command(*args, flags=Flags(**given), **values)

        return functools.reduce(lambda made, flag: flag(made), reversed(flags), cast(F, measured))

    return add


@functools.cache
def others() -> float:
    """How much of the processors other processes took when this one began, in per cent."""
    return psutil.cpu_percent(interval=1.0)


def clock(device: torch.device) -> float:
    """Seconds, when all work given to the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def best(work: Callable[[], object], device: torch.device, seconds: float) -> float:
    """The shortest time of one call of `work`, repeated for so many seconds after a first call that is not counted."""
    work()
    shortest, end = float("inf"), clock(device) + seconds
    while shortest == float("inf") or time.perf_counter() < end:
        began = clock(device)
        work()
        shortest = min(shortest, clock(device) - began)
    return shortest


def machine(device: torch.device) -> str:
    """The file's name: the processor or GPU, and how many."""
    name = device_name(device)
    if device.type == "cuda":
        name += f" x{torch.cuda.device_count()}, {processors()} processors"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def show(title: str, header: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """Print a table: texts to the left, numbers to the right with three figures."""
    console = Console(width=None if Console().is_terminal else 140)
    table = Table(*header, title=title, title_justify="left")
    for line in lines:
        table.add_row(*(figure(cell) if isinstance(cell, (int, float)) else str(cell) for cell in line))
    for column, cell in zip(table.columns, next(iter(zip(*_cells(table), strict=True)), ()), strict=False):
        column.justify = "right" if re.match(r"-?[\d.,]+$", cell) else "left"
    console.print(table)


def figure(value: float) -> str:
    """Three figures, no exponent: 1,234,567 or 12.3 or 0.0123; a whole number as it is."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")


def _cells(table: Table) -> list[list[str]]:
    return [[str(cell) for cell in column.cells] for column in table.columns]


def record(rows: Iterable[Row], device: torch.device, dry: bool) -> None:
    """Write the rows to this machine's file, each in place of an older one of the same measure."""
    rows, path = list(rows), RESULTS / f"{machine(device)}.csv"
    busy = "" if others() < QUIET else f"; other processes took {others():.0f}% of the processors"
    if dry:
        return
    made = {"date": datetime.now(UTC).date().isoformat(), "commit": commit()}
    new = [
        {
            "measure": row.measure,
            "value": f"{row.value:.4g}",
            "unit": row.unit,
            "target": row.target,
            **made,
            "note": f"{row.note}{'; ' if row.note else ''}torch {torch.__version__}{busy}",
        }
        for row in rows
    ]
    with path.open(newline="", encoding="utf-8") if path.exists() else io.StringIO() as file:
        kept = {line["measure"]: line for line in csv.DictReader(file)}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows((kept | {line["measure"]: line for line in new}).values())
    write_text(path, text.getvalue())  # aside and renamed: whole, or as it was
    click.echo(f"{len(new)} rows: {path}")
