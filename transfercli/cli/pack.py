"""transfer pack"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from transfercli.cli import show
from transfercli.cli.options import complete_recipe, set_option, skip_option

if TYPE_CHECKING:
    from transfercli.pictures.folder import PictureFolder
    from transfercli.pictures.store import Form, Store

QUALITY = 95  # of JPEGs where nothing else is said


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
@click.option("--quality", metavar="N", type=click.IntRange(1, 100), help=f"Of JPEGs; by default {QUALITY}.")
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
    from transfercli.cli.progress import counting
    from transfercli.pictures.folder import scan
    from transfercli.pictures.packing import pack as pack_folder
    from transfercli.system.threads import processors

    found = scan(directory)
    form = _form(found, out, recipe, overrides, size, fit, encoding, quality)
    store = pack_folder(found, out, form, processors(), skip_unreadable, counting)
    _say(store)
    show.next_step(*_next(found, store, recipe, overrides))


def _form(
    found: "PictureFolder",
    out: Path,
    recipe: str | None,
    overrides: tuple[str, ...],
    size: int | None,
    fit: str | None,
    encoding: str | None,
    quality: int | None,
) -> "Form":
    """What to make of the pictures: as the flags say, else as a store in `out` has them already, else as the recipe says."""
    from transfercli.cli import split
    from transfercli.pictures.store import ABOUT, Form, read_about
    from transfercli.recipe import reading as recipes

    own = read_about(out).form if (out / ABOUT).exists() else None
    if own is None or recipe is not None or overrides:
        pictures = recipes.find(recipe or split.default_recipe(found), overrides).pictures
        size, fit, orientation = size or pictures.size, fit or pictures.fit, pictures.orientation
    else:
        size, fit, orientation = size or own.size, fit or own.fit, own.orientation
    encoding = encoding or (own.encoding if own else "jpeg" if quality else "raw")
    if encoding == "raw" and quality is not None:
        raise click.UsageError("--quality is for JPEGs; leave it out with --encoding raw")
    if encoding == "jpeg":
        quality = quality or (own.quality if own else None) or QUALITY
    shape = {"size": size, "fit": fit, "orientation": orientation}
    return Form.model_validate({**shape, "encoding": encoding, "quality": quality})


def _say(store: "Store") -> None:
    from transfercli.pictures.packing import size_text
    from transfercli.pictures.store import ABOUT

    about, left_out = store.about, len(store.about.unreadable)
    disk = about.index.bytes + sum(piece.bytes for piece in about.shards if piece)
    unreadable = f"; {ABOUT} names the {left_out} unreadable picture{'s' * (left_out > 1)} left out" if left_out else ""
    click.echo(f"Store: {store.root} ({about.rows - left_out:,} pictures, {about.form}, {size_text(disk)}{unreadable})")
    if about.form.encoding == "jpeg":
        click.echo("Its pixels are not quite the folder's: a study is of the store or of the folder, from the split on.")


def _next(found: "PictureFolder", store: "Store", recipe: str | None, overrides: tuple[str, ...]) -> list[str]:
    """The words of the command that makes a split of the store, by a recipe that wants what it holds."""
    from transfercli.cli import split
    from transfercli.recipe import reading as recipes

    pictures = recipes.find(recipe or split.default_recipe(found), overrides).pictures
    changes = store.about.form.changes(pictures.model_dump(include={"size", "fit", "orientation"}))
    words = ["split", str(store.root)] + (["--recipe", recipe] if recipe else [])
    return words + [word for override in overrides for word in ("--set", override)] + " ".join(changes).split()
