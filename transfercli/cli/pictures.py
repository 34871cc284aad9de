"""transfer pictures"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import download_option
from transfercli.cli.progress import counting
from transfercli.system.words import some

if TYPE_CHECKING:
    from transfercli.pictures.survey import Survey


@click.command(short_help="What lies in a folder of pictures: layout, classes, sizes, what is broken or there twice.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--sheet", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Draw some pictures of each class: a PNG."
)
@click.option(
    "--csv",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write a line for each class, its pictures counted; - for standard output.",
)
@download_option
def pictures(directory: Path, sheet: Path | None, file: Path | None) -> None:
    """Read the pictures in DIR once, and say what is there, and what to do before a study is made of it.

    DIR is what split takes. Pictures are there twice where their files are the same, byte for byte: those in both
    training and validation make every accuracy look better than it is, and those in two classes cannot all be told apart.

    \b
        transfer pictures /data/imagenet
        transfer pictures /data/flowers --sheet flowers.png
    """
    found = transfercli.survey(directory, sheet, counting=counting)
    if file is not None:
        show.csv(found.table, file)
    if file != show.STDOUT:
        _say(found, directory)
        if sheet is not None:
            show.echo(f"Sheet: {sheet}")


def _say(found: "Survey", directory: Path) -> None:
    all_of, table = found.pictures, found.table
    layout = all_of.source.found or (
        f"folders of classes in train/ and {all_of.validation}/" if all_of.validation else all_of.source.alone
    )
    show.echo(f"Layout: {layout}")
    show.echo(f"Classes: {len(table)} ({some([*table['called']])})")
    for part in ("train", "val") if all_of.validation else ("train",):
        counts = table[part]
        word = part if all_of.validation else "Pictures"
        show.echo(f"{word.capitalize()}: {counts.sum():,}, {counts.min():,} to {counts.max():,} of a class")
    if found.sizes:
        widths, heights = zip(*found.sizes, strict=True)
        width, height = found.median
        sides = (
            f"{min(widths)} to {max(widths)} wide, {min(heights)} to {max(heights)} high, {width:.0f}×{height:.0f} in the middle"
        )
        show.echo(f"Sizes: {sides}; {found.bytes / 1e6:,.1f} MB in all")
    _wrong(
        "Unreadable",
        [f"{path} ({why})" for path, why in found.unreadable.items()],
        "mend or skip them: --skip-unreadable",
    )
    _wrong(
        "In train and val",
        [" = ".join(same) for same in found.leaked],
        "remove one of each, or what is learned is measured",
    )
    _wrong("In two classes", [" = ".join(same) for same in found.disputed], "remove the wrong one of each")
    once = [" = ".join(same) for same in found.twice if same not in {*found.leaked, *found.disputed}]
    if all_of.validation:
        _wrong("Twice in one class of one part", once, "they count twice")
    else:
        _wrong("Twice in one class", once, "remove one of each, since a share is held out")
    if found.fault:
        show.echo(f"No study can be made of them yet: {found.fault}")
    else:
        show.next_step("split", directory)


def _wrong(what: str, found: list[str], remedy: str) -> None:
    if found:
        show.echo(f"{what}: {len(found):,}: {some(found)}; {remedy}")
