"""transfer split"""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from transfercli.cli import show
from transfercli.cli.options import (
    recipe_option,
    refuse_changes,
    set_option,
    skip_option,
    study_at,
    study_options,
    wanted_recipe,
)
from transfercli.system.errors import TransferError

if TYPE_CHECKING:
    from transfercli.pictures.folder import PictureFolder
    from transfercli.recipe.schema import Recipe
    from transfercli.study.folder import Study
    from transfercli.study.splits import Halves


IMAGENET = 1000  # classes; with as many, pictures are taken for ImageNet's


@click.command(short_help="Split a folder's classes into halves A and B.")
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--method",
    metavar="random|man-made-natural|FILE",
    help="How to split; FILE is a CSV with the columns class and half. By default the recipe's splits, usually random-0.",
)
@click.option(
    "--seed", metavar="N", type=click.IntRange(0, 2**32 - 1), help="Which random halves; by default 0. The paper's are 0-3."
)
@skip_option
@recipe_option
@set_option
@study_options
def split(
    directory: Path | None,
    method: str | None,
    seed: int | None,
    skip_unreadable: bool,
    recipe: str | None,
    overrides: tuple[str, ...],
    folder: Path,
    smoke: bool,
) -> None:
    """Split the classes of the pictures in DIR into two halves, A and B.

    DIR holds train/ and val/ with one folder per class (as ImageNet usually does), or is Tiny-ImageNet-200 as it is
    distributed. In val/'s place there may be validation/, valid/ or test/; where there are class folders alone, a share of
    each class is held out to be measured on (pictures.held_out in the recipe). Every picture is decoded once, so that a
    broken one is found now. Without DIR the recipe's built-in pictures are made. In the man-made-natural split half A is
    natural and B man-made, as in the authors' released files (the paper's text says it the other way round). A CSV file may
    call its halves by any two names: the first by the alphabet is A, and what is printed and drawn says the names.

    \b
        transfer split /data/imagenet
        transfer split /data/imagenet --seed 1
        transfer split /data/imagenet --method man-made-natural
    """
    if seed is not None and method not in (None, "random"):
        raise click.UsageError(f"--seed is for random halves; leave it out with --method {method}")
    random = method == "random" or (method is None and seed is not None)
    words = [f"random-{seed or 0}"] if random else [method] if method else None
    study = study_at(folder, smoke)
    make(study, directory, words, skip_unreadable, recipe, overrides, smoke)
    show.next_step("train-base", study=study)


def make(
    study: "Study",
    directory: Path | None,
    words: Sequence[str] | None,
    skip_unreadable: bool,
    recipe_name: str | None,
    overrides: tuple[str, ...],
    smoke: bool,
) -> None:
    """Make splits, by default the recipe's. Nothing but built-in pictures is written before all are known to be right."""
    from transfercli.pictures.folder import scan
    from transfercli.plan.splits import check_file, method_and_seed, split_name
    from transfercli.study import choosing as indexing

    # What is wrong with the recipe or a file of halves is said before a folder of a million pictures is read.
    known = recipe_name is not None or _own_recipe_fits(study, directory)
    found = None if known or directory is None else scan(directory)
    default = None if known else default_recipe(found)
    if default and found:
        show.echo(f"Recipe: {default} for {_why(found)}; another: --recipe NAME (see: transfer recipes)")
    recipe = wanted_recipe(study, recipe_name, overrides, smoke, default)
    words = words or recipe.splits
    for word in words:
        check_file(word)
    remade = tuple(split_name(*method_and_seed(word)) for word in words)
    refuse_changes(study, recipe, remade)
    if found is None:
        found = scan(directory or _known_folder(study, recipe, words))
    if found.validation is None and study.root.resolve().is_relative_to(found.root.resolve()):
        raise TransferError(
            f"the study {study.root} would lie among the class folders of {found.root}, and its figures be taken for pictures; "
            "choose another folder: --study DIR"
        )
    for name in study.split_names():
        if name not in remade and not indexing.holds(found, study.halves(name), recipe.pictures):
            raise TransferError(
                f"the pictures in {found.root} are not those of the split {name} in {study.root}, and a study is of one dataset; "
                f"start a new one: transfer split {shlex.quote(str(found.root))} --study NEW"
            )
    for word in words:
        _say_unlisted(word, found)

    chosen = {word: indexing.select(found, recipe.pictures, split=word) for word in words}
    # A store's pictures were decoded when it was packed, and what could not be was left out then.
    broken = found.store.unreadable if found.store else _unreadable(found.root, chosen.values(), skip_unreadable)
    made = []
    for word, part in chosen.items():
        left_out = [path for path in indexing.all_paths(part) if path in broken]
        made.append(indexing.make_halves(study, part.without(left_out), word, left_out, whole=found))
    with study.held([]):
        for halves in made:
            _refuse_another(study, halves)
        for halves in made:
            study.write_halves(halves)
            show.halves(halves)
        study.write_recipe(recipe)
    _say_validation(found, recipe)
    for halves in made:
        click.echo(f"Split: {study.root / halves.name / 'split.json'}" + _left_out(halves))
    click.echo(f"Recipe: {study.recipe_file} ({recipe.name})")


def _unreadable(root: Path, folders: Iterable["PictureFolder"], skip: bool) -> dict[str, str]:
    """Every picture that cannot be decoded, with the reason. Raises TransferError for one that may not be skipped."""
    from transfercli.cli.progress import counting
    from transfercli.pictures.decode import unreadable
    from transfercli.study import choosing as indexing
    from transfercli.system.threads import processors

    paths = list(dict.fromkeys(path for folder in folders for path in indexing.all_paths(folder)))
    with counting("checking pictures", len(paths)) as progress:
        broken = unreadable(root, paths, processors(), progress)
    if broken and not skip:
        path, reason = next(iter(broken.items()))
        more = f", nor {len(broken) - 1} more" if len(broken) > 1 else ""
        raise TransferError(
            f"cannot decode {root / path} ({reason}){more}; replace what is broken, or leave it out: --skip-unreadable"
        )
    return broken


def _say_unlisted(word: str, found: "PictureFolder") -> None:
    """Which of the folder's classes a CSV file leaves out."""
    from transfercli.plan.splits import make_split, method_and_seed

    made = make_split(method_and_seed(word)[0], found.classes, method_and_seed(word)[1])
    if unlisted := sorted({*found.classes} - {*made.A, *made.B}):
        count, more = len(unlisted), f" and {len(unlisted) - 5} more" if len(unlisted) > 5 else ""
        listed = f"{count} of {len(found.classes)} classes {'is' if count == 1 else 'are'} not in {made.method}"
        show.echo(f"{made.name}: {listed} and left out: {', '.join(unlisted[:5])}{more}")


def _say_validation(found: "PictureFolder", recipe: "Recipe") -> None:
    """Which pictures networks are measured on, where the folder leaves a choice."""
    from transfercli.pictures.folder import VALIDATION

    if found.validation is None:
        show.echo(
            f"Validation pictures: {recipe.pictures.held_out:.0%} of each class is held out (pictures.held_out), "
            f"since {found.root} has class folders alone"
        )
    elif found.passed_over or found.validation != VALIDATION[0]:
        order = ", ".join(VALIDATION)
        others = "".join(f"; {name}/ is not used" for name in found.passed_over)
        show.echo(f"Validation pictures: {found.validation}/{others} (the first that is there of {order})")


def _left_out(halves: "Halves") -> str:
    count = len(halves.left_out)
    return f" (names the {count} unreadable picture{'s' * (count > 1)} left out)" if count else ""


def _own_recipe_fits(study: "Study", directory: Path | None) -> bool:
    """Whether the study has a recipe, and not one that it used for built-in pictures while DIR now holds other ones."""
    if directory is None or not study.recipe_file.exists():
        return study.recipe_file.exists()
    made_here = study.root / "pictures"
    return directory == made_here or all(study.pictures(study.halves(name)) != made_here for name in study.split_names())


def default_recipe(found: "PictureFolder | None") -> str:
    """The built-in study without a folder; else what this machine trains in hours: by CUDA, ImageNet's recipe for its classes."""
    if found is None:
        return "demo"
    if not _cuda():
        return "tiny-imagenet-cpu"
    return "imagenet-fast" if len(found.classes) >= IMAGENET else "tiny-imagenet"


def _why(found: "PictureFolder") -> str:
    """What `default_recipe` went by."""
    return f"{len(found.classes)} classes on {'CUDA' if _cuda() else 'a CPU (no CUDA device is here)'}"


def _cuda() -> bool:
    from transfercli.system.devices import pick_device

    return pick_device("auto").type == "cuda"


def _known_folder(study: "Study", recipe: "Recipe", words: Sequence[str]) -> Path:
    """Where the pictures are when the command does not say: where they were, or made by formula."""
    from transfercli.cli.progress import counting
    from transfercli.pictures import formula
    from transfercli.plan.splits import make_split, method_and_seed

    builtin, made_here = recipe.pictures.builtin, study.root / "pictures"
    if names := study.split_names():
        known = study.pictures(study.halves(names[0]))
        if builtin is None or known != made_here:
            return known
    if builtin is None:
        raise TransferError(
            f"the recipe {recipe.name} has no pictures of its own; name the folder DIR that holds train/ and val/ in the command"
        )
    for word in words:  # said before pictures are made
        method, seed = method_and_seed(word)
        make_split(method, formula.class_names(builtin.classes), seed)
    try:
        with counting("making pictures", builtin.classes * (builtin.train + builtin.val)) as progress:
            formula.write(made_here, builtin.classes, builtin.train, builtin.val, recipe.pictures.size, builtin.seed, progress)
    except OSError as error:
        raise TransferError(
            f"cannot write pictures to {made_here}: {error.strerror or error}; make room or choose another folder: --study DIR"
        ) from None
    return made_here


def _refuse_another(study: "Study", halves: "Halves") -> None:
    """Raise TransferError where the study has networks of a split of that name that is not this one."""
    if halves.name not in study.split_names() or study.halves(halves.name).digest == halves.digest:
        return
    if any(row["split"] == halves.name for row in study.rows()):
        raise TransferError(
            f"the networks in {study.root} were trained on another split {halves.name} (other classes or pictures); "
            "start a new study: --study DIR"
        )
