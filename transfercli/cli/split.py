"""transfer split"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from transfercli.cli import show
from transfercli.cli.options import settle_recipe, study_at, study_options
from transfercli.errors import TransferError

if TYPE_CHECKING:
    from transfercli.pictures.folder import PictureFolder
    from transfercli.recipe import Recipe
    from transfercli.study import Halves, Study


@click.command(short_help="Split a folder's classes into halves A and B.")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--method",
    metavar="random|man-made-natural|FILE",
    help="How to split; FILE is a CSV with the columns class,half. By default the recipe's splits, which is random-0.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the random halves; the paper's are 0-3.")
@click.option("--skip-unreadable", is_flag=True, help="Leave out pictures that cannot be decoded; the split records them.")
@study_options
def split(
    directory: Path | None,
    method: str | None,
    seed: int,
    skip_unreadable: bool,
    folder: Path,
    recipe: str | None,
    overrides: tuple[str, ...],
    smoke: bool,
) -> None:
    """Split the classes of the pictures in DIR into two halves, A and B.

    DIR holds train/ and val/ with one folder per class (as ImageNet usually does), or is Tiny-ImageNet-200 as it is
    distributed. Every picture is decoded once, so that a broken one is found now. Without DIR the recipe's
    built-in pictures are made. In the man-made-natural split half A is natural and B man-made, as in the authors' released
    files (the paper's text says it the other way round).

    \b
        transfer split /data/imagenet
        transfer split /data/imagenet --method man-made-natural
    """
    words = None if method is None else [f"random-{seed}" if method == "random" else method]
    study = make(directory, words, skip_unreadable, study_at(folder, smoke), recipe, overrides, smoke)
    show.next_step("transfer train-base", study)


def make(
    directory: Path | None,
    words: list[str] | None,
    skip_unreadable: bool,
    study: "Study",
    recipe_name: str | None,
    overrides: tuple[str, ...],
    smoke: bool,
) -> "Study":
    """Make the splits. Nothing is written before all of them are known to be right."""
    from transfercli import indexing
    from transfercli.pictures.folder import scan
    from transfercli.threads import processors

    found = None if directory is None else scan(directory)
    default = None if study.recipe_file.exists() else _default_recipe(found)
    recipe = settle_recipe(study, recipe_name, overrides, smoke, default)
    if found is None:
        found = scan(_known_folder(study, recipe))
    chosen = indexing.select(found, recipe.pictures)
    with show.counting("checking pictures", len(indexing.all_paths(chosen))) as progress:
        broken = indexing.unreadable_pictures(chosen, processors(), progress)
    if broken and not skip_unreadable:
        path, reason = next(iter(broken.items()))
        more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        raise TransferError(
            f"cannot decode {found.root / path} ({reason}){more}; replace the picture, or leave such out: --skip-unreadable"
        )
    chosen = indexing.select(found, recipe.pictures, broken)
    made = [indexing.make_halves(study, chosen, word, broken) for word in words or recipe.splits]
    for halves in made:
        if _in_use(study, halves):
            raise TransferError(
                f"{study.root} has networks of another split {halves.name} (other classes or pictures); "
                "start a new study: --study DIR"
            )
    study.write_recipe(recipe)
    for halves in made:
        study.write_halves(halves)
        show.halves(halves)
    if broken:
        click.echo(f"Left out {len(broken)} unreadable pictures; {study.root}/{made[0].name}/split.json names them.")
    click.echo(f"Recipe {recipe.name}, saved as {study.recipe_file}")
    return study


def _default_recipe(found: "PictureFolder | None") -> str:
    """ImageNet's recipe for ImageNet's classes, the built-in study without a folder, the small network for all else."""
    if found is None:
        return "demo"
    return "imagenet-fast" if len(found.classes) >= 1000 else "tiny-imagenet"


def _known_folder(study: "Study", recipe: "Recipe") -> Path:
    """Where the pictures are when the command does not say: where they were, or made by formula."""
    if names := study.split_names():
        return study.pictures(study.halves(names[0]))
    builtin = recipe.pictures.builtin
    if builtin is None:
        raise TransferError(f"the recipe {recipe.name} has no pictures of its own; say where they are: transfer split DIR")
    from transfercli.pictures import formula

    folder = study.root / "pictures"
    with show.counting("making pictures", builtin.classes * (builtin.train + builtin.val)) as progress:
        formula.write(folder, builtin.classes, builtin.train, builtin.val, recipe.pictures.size, builtin.seed, progress)
    return folder


def _in_use(study: "Study", halves: "Halves") -> bool:
    """Whether the study has networks of a split of that name that is not this one."""
    if halves.name not in study.split_names() or study.halves(halves.name).digest == halves.digest:
        return False
    return any(row["split"] == halves.name for row in study.rows())
