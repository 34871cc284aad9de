"""transfer pack"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import changing, complete_recipe, download_option, set_option, skip_option
from transfercli.cli.progress import counting
from transfercli.system.errors import Contradiction

if TYPE_CHECKING:
    from transfercli.pictures.forms import Packed


@click.command(short_help="Pack a folder's pictures at the recipe's size, to be read as fast as the disk.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--out", metavar="STORE", required=True, type=click.Path(file_okay=False, path_type=Path), help="The store's folder."
)
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    shell_complete=complete_recipe,
    help="Whose size and fit to pack at (see: transfer recipes); by default the one that split takes for DIR.",
)
@set_option
@click.option("--size", metavar="N", type=click.IntRange(1, 16384), help="Pixels a side, instead of the recipe's.")
@click.option("--fit", type=click.Choice(["warp", "crop"]), help="How a picture becomes square, instead of the recipe's way.")
@click.option(
    "--encoding",
    type=click.Choice(["raw", "jpeg"]),
    help="raw (the default): the very pixels that the folder gives; jpeg: a fifth of the disk, pixels slightly different.",
)
@click.option("--quality", metavar="N", type=click.IntRange(1, 100), help="Of JPEGs; by default 95.")
@download_option
@skip_option
def pack(
    directory: Path,
    out: Path,
    recipe: str | None,
    overrides: tuple[str, ...],
    size: int | None,
    fit: str | None,
    encoding: str | None,
    quality: int | None,
    skip_unreadable: bool,
) -> None:
    """Pack the pictures in DIR, train and val, at the recipe's size: each is decoded and resized once for all studies.

    Every split can be made of the store instead of DIR. With raw pixels it gives the same numbers, and a study may change from
    the one to the other. Interrupted, the same command goes on where it was; of a store that is whole it checks every file, and
    makes again what is damaged.

    \b
        transfer pack /data/imagenet --out /data/imagenet-256
        transfer pack /data/imagenet --out /data/imagenet-256 --recipe yosinski2014 --encoding jpeg
    """
    try:
        packed = transfercli.pack(
            directory,
            out,
            recipe=recipe,
            overrides=overrides,
            size=size,
            fit=fit,
            encoding=encoding,
            quality=quality,
            skip_unreadable=skip_unreadable,
            counting=counting,
        )
    except Contradiction as error:
        raise click.UsageError(str(error)) from None
    _say(packed)
    words = ["split", packed.store.root] + (["--recipe", recipe] if recipe else []) + changing(overrides)
    named = transfercli.find_recipe(recipe, overrides) if recipe else None
    show.next_step(*words, *" ".join(packed.changes).split(), recipe=named)


def _say(packed: "Packed") -> None:
    from transfercli.pictures.packing import size_text
    from transfercli.pictures.store import ABOUT

    about, left_out = packed.store.about, len(packed.store.about.unreadable)
    unreadable = f"; {ABOUT} names the {left_out} unreadable picture{'s' * (left_out > 1)} left out" if left_out else ""
    pictures = f"{about.rows - left_out:,} pictures, {about.form}, {size_text(packed.bytes)}{unreadable}"
    click.echo(f"Store: {packed.store.root} ({pictures})")
    if about.form.encoding == "jpeg":
        click.echo("Its pixels are not quite the folder's: a study is of the store or of the folder, from the split on.")
