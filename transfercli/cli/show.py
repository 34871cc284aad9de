"""What commands print: tables, progress, the next step."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas

    from transfercli.plan import Network
    from transfercli.study import Halves, Study
    from transfercli.training import Reporter

QUIET_SECONDS = 20.0  # between two lines of progress where there is no terminal


def next_step(command: str, study: "Study") -> None:
    """What to type next, with the study's folder where it is not the usual one."""
    usual = os.environ.get("TRANSFER_STUDY", "results/study")
    click.echo(f"Next: {command}" + ("" if str(study.root) == usual else f" --study {study.root}"))


def halves(made: "Halves") -> None:
    """A line for each half of a split."""
    for half in "AB":
        counts = made.counts[half]
        click.echo(
            f"{made.name} {half}: {len(made.split.classes(half))} classes, "
            f"{counts['train']} training and {counts['val']} validation pictures"
        )


@contextmanager
def counting(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with rate and remaining time on a terminal; a line now and then elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
        with Progress(*columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console) as bars:
            task = bars.add_task(label, total=total, rate="")
            began, done = time.monotonic(), 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                bars.update(task, advance=count, rate=f"{done / max(1e-9, time.monotonic() - began):,.0f}/s")

            yield advance
        return
    lines = Lines(label, total)
    yield lines.advance


class Lines:
    """Progress as lines of text, one in QUIET_SECONDS at the most."""

    def __init__(self, label: str, total: int):
        self.label, self.total, self.done = label, total, 0
        self.began = self.said = time.monotonic()

    def advance(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.said >= QUIET_SECONDS:
            rate = self.done / (now - self.began)
            left = (self.total - self.done) / rate if rate else 0
            click.echo(f"{self.label}: {self.done} of {self.total}, {rate:,.0f}/s, {left:,.0f} s left", err=True)
            self.said = now


@contextmanager
def reporting(label: str) -> Iterator["Reporter"]:
    """A Reporter for training: one bar (or lines) for the whole command, in network-steps."""
    from contextlib import ExitStack

    from transfercli.training import Reporter

    with ExitStack() as stack:
        advance: list[Callable[[int], None]] = [lambda count: None]

        def total(count: int) -> None:
            if count:
                advance[0] = stack.enter_context(counting(label, count))

        yield Reporter(total, lambda count: advance[0](count), lambda text: click.echo(text, err=True))


def results(table: "pandas.DataFrame") -> None:
    """Top-1 accuracy by treatment and layer, a table for each split and target."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 110)
    layers = sorted(set(table["layer"]) - {0})
    for (split, target), part in table.groupby(["split", "target"], sort=True):
        classes = int(part["classes"].iloc[0])
        view = Table(title=escape(f"{split}, target {target}: top-1 accuracy (chance {1 / classes:.3f})"), title_justify="left")
        view.add_column("treatment")
        for layer in layers:
            view.add_column(f"n = {layer}", justify="right")
        for treatment in ("base", "BnB", "BnB+", "AnB", "AnB+", "RnB"):
            rows = part[part["treatment"] == treatment]
            if treatment == "base":
                cells = [_cell(rows)] + [""] * (len(layers) - 1)
            else:
                cells = [_cell(rows[rows["layer"] == layer]) for layer in layers]
            if any(cells):
                view.add_row(escape(f"base{target}" if treatment == "base" else treatment), *(cells or [""]))
        console.print(view)
    for row in table[table["status"] != "done"].itertuples():
        console.print(escape(f"{row.split} {row.network}: {row.status}"), highlight=False)


def _cell(rows: "pandas.DataFrame") -> str:
    if rows.empty:
        return ""
    mark = "" if (rows["status"] == "done").all() else "*"
    return f"{rows['top1'].mean():.3f}{mark}"


def network(row: dict) -> None:
    """A line for a network that is done."""
    state = "" if row["status"] == "done" else f", {row['status']}"
    click.echo(f"{row['split']} {row['network']}: top-1 {row['top1']:.3f}, top-5 {row['top5']:.3f}, loss {row['loss']:.3f}{state}")


def states(study: "Study", planned: "Sequence[Network]") -> None:
    """For each split and seed: which networks are done, running (in a checkpoint), to do."""
    groups: dict[tuple[str, int], dict[str, list[str]]] = {}
    for item in planned:
        state = study.state(item)
        groups.setdefault((item.split, item.seed), {}).setdefault(state, []).append(item.name)
    for (split, seed), by_state in groups.items():
        for state, names in by_state.items():
            click.echo(f"{split} seed {seed}: {len(names)} {state}: {' '.join(names)}")
    done = sum(study.state(item) != "to do" and study.row(item) is not None for item in planned)
    click.echo(f"{done} of {len(planned)} networks are done")


def layers(rows: list[dict], name: str) -> None:
    """A table of the learnable layers of a network."""
    from rich.console import Console
    from rich.table import Table

    view = Table(title=f"{name}: one picture through the network", title_justify="left")
    for column in ("n", "layer", "modules", "output", "parameters", "multiply-adds"):
        view.add_column(column, justify="left" if column in ("layer", "modules") else "right", overflow="fold")
    for row in rows:
        shape = " × ".join(map(str, row["shape"]))
        count, work = f"{row['parameters']:,}", f"{row['multiply_adds']:,}"
        view.add_row(str(row["layer"]), row["name"], " ".join(row["modules"]), shape, count, work)
    total = [f"{sum(row[key] for row in rows):,}" for key in ("parameters", "multiply_adds")]
    view.add_section()
    view.add_row("", "all", "", "", *total)
    Console(width=None if sys.stdout.isatty() else 110).print(view)
