"""What commands print: tables, lines, and what to type next."""

import json
import math
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from transfercli.analysis.words import half_title, signed
from transfercli.cli import columns
from transfercli.cli.signs import written
from transfercli.plan import treatments
from transfercli.plan.treatments import TREATMENTS
from transfercli.study.hints import command
from transfercli.system.errors import plain

if TYPE_CHECKING:
    import pandas

    from transfercli.recipe.default import Chosen
    from transfercli.recipe.schema import Recipe
    from transfercli.report.figures import Plotted
    from transfercli.study.folder import Study
    from transfercli.study.splits import Halves
    from transfercli.study.splitting import Made, Unlisted
    from transfercli.training.sweeping import Trained

STDOUT = Path("-")
FAILED = 3  # the exit code where everything ran and a network failed
SMOKE = "A smoke run only shows that everything works; its numbers mean nothing."


def next_step(*words: object, study: "Study | None" = None, recipe: "Recipe | None" = None) -> None:
    """What to type next: `hints.command`."""
    if words:
        click.echo(f"Next: {command(*words, study=study, recipe=recipe)}")


def next_of(study: "Study", *flags: str) -> list[str]:
    """The command with which the study's recipe goes on, with these flags where it trains; none after a failed base."""
    from transfercli.study.standing import following

    step = following(study)
    return [] if step is None else [step] if step in ("plot", "advise") else [step, *flags]


def csv(rows: "pandas.DataFrame", file: Path) -> None:
    """Rows as CSV into a file, or, where that is `-`, to standard output."""
    from transfercli.system.files import write_text

    text = rows.to_csv(index=False, lineterminator="\n", float_format="%.6f")
    if file == STDOUT:
        click.echo(text, nl=False)
    else:
        write_text(file, text)


def echo(line: str) -> None:
    """A line that holds names which anybody may have chosen."""
    click.echo(plain(line))


def document(value: Any) -> None:
    """One JSON document on standard output, in ASCII; what is missing (NaN) is null."""
    click.echo(json.dumps(_plain(value), indent=1, allow_nan=False))


def _plain(value: Any) -> Any:
    """A value as JSON has it, of Python's, numpy's or pandas' own."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def width() -> int | None:
    """How wide lines may be: as the terminal; None where they go to a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str, keys: int = 1) -> None:
    """Plain text in columns; `align` has a letter for each, l (left) or r (right), the last one for all that follow.

    Where the terminal is too narrow, words go on below and columns in further tables, each with the first `keys` columns.
    """
    sides = align.ljust(len(header), align[-1])
    for part, block in enumerate(columns.fold(_written([header, *rows]), width(), keys=keys)):
        if part:
            click.echo()
        for cells in block.lines:
            for line in zip_longest(*(cell.split("\n") for cell in cells), fillvalue=""):
                padded = [
                    f"{cell:{'<' if sides[column] == 'l' else '>'}{size}}"
                    for cell, column, size in zip(line, block.columns, block.widths, strict=True)
                ]
                click.echo((" " * block.gap).join(padded).rstrip())


def rich_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]], keys: int = 1) -> None:
    """A table with a title, in colour where a gain is clear; the first column is text, the others numbers.

    A last column without a name is a remark. Narrow terminals get it as they get a `table`.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    paragraph(title)
    for block in columns.fold(_written([header, *rows]), width(), gaps=(1,), keys=keys, edges=2):
        made = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
        for column, name in zip(block.columns, block.lines[0], strict=True):
            made.add_column(Text(name), justify="right" if column and name else "left", overflow="fold")
        for cells in block.lines[1:]:
            made.add_row(*(Text(cell, _colour(cell)) for cell in cells))
        Console(highlight=False, width=2 + sum(block.widths) + len(block.widths)).print(made)


def _written(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """The cells as they will stand there, so that columns do not shift where a sign becomes several."""
    return [["\n".join(written(plain(part), sys.stdout) for part in cell.split("\n")) for cell in line] for line in lines]


def paragraph(text: str, first: str = "") -> None:
    """A text of some length, whose lines end between words on a terminal; `first` opens it."""
    if limit := width():
        text = click.wrap_text(plain(text), limit, initial_indent=first, subsequent_indent=" " * len(first))
        click.echo(text)
    else:
        echo(first + text)


def _colour(cell: str) -> str:
    """Of a gain whose interval leaves out zero: green above, red below."""
    return "" if "*" not in cell else "green" if cell.startswith("+") else "red"


def points(fraction: float) -> str:
    """A difference of accuracies in points, with its sign."""
    return signed(100 * fraction)


def accuracy(fraction: float | None) -> str:
    """A fraction with three decimals, a dash where there is none."""
    return _number(fraction)


def gain(row: dict[str, Any], form: Callable[[float], str] = points, between: str = " ") -> str:
    """A mean and its 95% interval, as `+0.31* ±0.25`; without interval for one pair. * where it leaves out zero."""
    if math.isnan(row["low"]):
        return form(row["mean"])
    clear = "*" if form is points and (row["low"] > 0 or row["high"] < 0) else ""
    return f"{form(row['mean'])}{clear}{between}±{form((row['high'] - row['low']) / 2).lstrip('+')}"


def telling(study: "Study") -> Callable[[str, Any], None]:
    """Says what the library tells while it works, in the words of the command that does it alone."""
    words: dict[str, Callable[[Any], None]] = {
        "chosen": chosen,
        "unlisted": unlisted,
        "split": lambda found: made(study, found),
        "train_base": lambda found: bases(study, found),
        "sweep": lambda found: swept(study),
        "plot": lambda found: plotted(study, found),
        "write_report": reported,
    }
    return lambda what, found: words[what](found)


def chosen(found: "Chosen") -> None:
    """The recipe that nobody named, where there are pictures to choose it by."""
    if found.classes is not None:
        device = "CUDA" if found.cuda else "a CPU (no CUDA device is here)"
        echo(f"Recipe: {found.recipe} for {found.classes} classes on {device}; another: --recipe NAME (see: transfer recipes)")


def unlisted(found: "Unlisted") -> None:
    """Which of the folder's classes a CSV file leaves out."""
    names, count = found.classes, len(found.classes)
    more = f" and {count - 5} more" if count > 5 else ""
    listed = f"{count} of {found.of} classes {'is' if count == 1 else 'are'} not in {found.split.method}"
    echo(f"{found.split.name}: {listed} and left out: {', '.join(names[:5])}{more}")


def made(study: "Study", found: "Made") -> None:
    """The splits, and where they and the recipe are."""
    for one in found.halves:
        halves(one)
    _validation(found)
    for one in found.halves:
        count = len(one.left_out)
        left_out = f" (names the {count} unreadable picture{'s' * (count > 1)} left out)" if count else ""
        click.echo(f"Split: {study.root / one.name / 'split.json'}{left_out}")
    click.echo(f"Recipe: {study.recipe_file} ({found.recipe.name})")


def _validation(found: "Made") -> None:
    """Which pictures networks are measured on, where the folder leaves a choice."""
    from transfercli.pictures.sources.folders import VALIDATION

    pictures = found.pictures
    if pictures.source.found:
        echo(f"Pictures: {pictures.source.found}")
    if pictures.validation is None:
        echo(
            f"Validation pictures: {found.recipe.pictures.held_out:.0%} of each class is held out (pictures.held_out), "
            f"since {pictures.root} has {pictures.source.alone}"
        )
    elif pictures.passed_over or pictures.validation != VALIDATION[0]:
        others = "".join(f"; {name}/ is not used" for name in pictures.passed_over)
        echo(f"Validation pictures: {pictures.validation}/{others} (the first that is there of {', '.join(VALIDATION)})")


def bases(study: "Study", found: "Trained") -> None:
    """The bases, those that were left out, and where the table is."""
    networks(found.rows)
    for half in found.left_out:
        train_it = command("train-base", "--halves", half, study=study)
        click.echo(f"base{half} is left out: no network of the recipe needs it; to train it too: {train_it}")
    _table(study)
    if any(row["status"] != "done" for row in found.rows):
        click.echo("A base that did not train has nothing to transfer: try another learning rate in a new study (--study DIR).")


def swept(study: "Study") -> None:
    """The study's accuracies, and where its table is."""
    results(study.table())
    _table(study)


def _table(study: "Study") -> None:
    click.echo(f"Table: {study.root / 'results.csv'}")


def plotted(study: "Study", found: "Plotted") -> None:
    """The figures that were written."""
    if found.paper_alone:
        click.echo(f"No network in {study.root} is done: these are the published values alone.")
    for path in found.paths:
        if path.suffix == ".png":
            click.echo(f"Figure: {path} (and .svg)")


def reported(path: Path) -> None:
    """Where the report is."""
    echo(f"Report: {path}")


def halves(found: "Halves") -> None:
    """A line for each half of a split."""
    for task in found.split.tasks:
        counts = found.counts[task.name]
        click.echo(
            f"{found.name} {half_title(found.name, task.name, found.split.half_names)}: {len(task.classes)} classes, "
            f"{counts['train']} training and {counts['val']} validation pictures"
        )


def networks(rows: Sequence[dict[str, Any]]) -> None:
    """A table of networks, one a line."""
    header = ("split", "seed", "network", "top-1", "top-5", "loss", "status")
    body = [
        (row["split"], str(row["seed"]), _called(row), *(_number(row[key]) for key in ("top1", "top5", "loss")), row["status"])
        for row in rows
    ]
    table(header, body, "lrlrrrl", keys=3)


def _called(row: dict[str, Any]) -> str:
    """A network with its target half where that has a name: "baseA (animals)"."""
    return row["network"] + (f" ({row['target_name']})" if row.get("target_name") else "")


def results(rows: "pandas.DataFrame") -> None:
    """Top-1 accuracy by treatment and layer: a table for each split and target, bases at n = 0, means over seeds.

    Where classes are unequal, a table of balanced accuracies follows each.
    """
    from transfercli.analysis.pairs import by_network, guess, half_names, unequal

    halves = half_names(rows)
    parts = [(net, key, part) for net, of in by_network(rows).items() for key, part in of.groupby(["split", "target"])]
    for net, key, part in parts:
        split, target = map(str, key)
        where = ", ".join(filter(None, (net, split)))
        seeds, chances = part["seed"].nunique(), {"top1": guess(part).iloc[0]}
        if unequal(part):
            chances["balanced_top1"] = 1 / int(part["classes"].iloc[0])
        for metric, chance in chances.items():
            what = "top-1 accuracy" if metric == "top1" else "balanced accuracy, in which each class counts alike"
            click.echo()
            paragraph(
                f"{where}, target {half_title(split, target, halves)}: {what} (chance {chance:.3f})"
                + f", mean of {seeds} seeds" * (seeds > 1)
            )
            layers = sorted({0, *part["layer"]})
            body = []
            for treatment in TREATMENTS:
                of = part[part["treatment"] == treatment]
                if len(of):
                    name = f"base{target}" if treatment == "base" else treatment
                    body.append((name, *(_mean(of[of["layer"] == layer], metric) for layer in layers)))
            table(("", *(f"n={layer}" for layer in layers)), body, "lr")
    for key, part in rows[rows["status"] != "done"].groupby(["split", "status"], sort=True):
        split, status = map(str, key)
        names = list(part["network"])
        more = f" and {len(names) - 8} more (results.csv names them)" if len(names) > 8 else ""
        paragraph(f"{split}, {status}: {' '.join(names[:8])}{more}", "* ")
    click.echo()


def _mean(rows: "pandas.DataFrame", metric: str) -> str:
    """The mean of those that did not fail; marked where one is not done."""
    from transfercli.analysis.pairs import result

    good = rows[result(rows)]
    mean = (good if len(good) else rows)[metric].astype(float).mean() if len(rows) else math.nan
    return _number(mean) + "*" * bool((rows["status"] != "done").any()) if len(rows) else ""


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def end(rows: Sequence[dict[str, Any]], smoke: bool, lacking: Sequence[str] = ()) -> None:
    """End the command with FAILED and a summary where a network failed; of a smoke run, whose networks learn nothing, never.

    `lacking`: what was left out and why, an error each.
    """
    failed = [
        f"{row['split']} {row['network']} ({row['status']})" for row in rows if treatments.failed(row["treatment"], row["status"])
    ]
    if failed and not smoke:
        more = f", and {len(failed) - 8} more (results.csv names them)" if len(failed) > 8 else ""
        click.echo(f"{len(failed)} of {len(rows)} networks failed: {', '.join(failed[:8])}{more}", err=True)
    for reason in lacking:
        click.echo(plain(f"Error: {reason}"), err=True)
    if lacking:
        sys.exit(1)
    if failed and not smoke:
        sys.exit(FAILED)


MODULES = 40  # characters of a layer's modules that a table has room for


def layers(rows: list[dict[str, Any]]) -> None:
    """A table of the learnable layers of a network."""
    short = max(len(" ".join(row["modules"])) for row in rows) <= MODULES  # of a library's network there may be dozens in a layer
    body = [
        (
            str(row["layer"]),
            row["name"],
            *[" ".join(row["modules"])] * short,
            "×".join(map(str, row["shape"])),
            f"{row['parameters']:,}",
            f"{row['multiply_adds']:,}",
        )
        for row in rows
    ]
    total = [f"{sum(row[key] for row in rows):,}" for key in ("parameters", "multiply_adds")]
    head = ("n", "layer", *["modules"] * short, "output", "parameters", "multiply-adds")
    table(head, [*body, ("", "all", *[""] * short, "", *total)], "rl" + "l" * short + "lrr")


def facts(*pairs: tuple[str, str]) -> None:
    """Lines of a name and what is to be said of it."""
    for name, text in pairs:
        paragraph(text, f"{name:13} ")


def duration(seconds: float) -> str:
    """A time in the unit that a person would use."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
