"""`transfer split`: a folder's classes in two halves, written down in the study."""

import shlex
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from transfercli.pictures.folder import PictureFolder, scan
from transfercli.pictures.twice import Same, Twice, across
from transfercli.plan.splits import UNDIVIDED, Split, check_file, method_and_seed, split_name
from transfercli.recipe.default import Chosen, default_recipe
from transfercli.recipe.schema import Recipe
from transfercli.study.choosing import halve, halves_of, holds, take
from transfercli.study.folder import Study
from transfercli.study.hints import command
from transfercli.study.settling import refuse_changes, wanted_recipe
from transfercli.study.settling import settled as settle
from transfercli.study.splits import Halves
from transfercli.system.errors import TransferError, TransferWarning
from transfercli.system.progress import Counting, Told, ignored, uncounted


class Unlisted(NamedTuple):
    """Classes of a folder that a CSV file of halves leaves out."""

    split: Split
    classes: tuple[str, ...]
    of: int  # how many classes the folder has


@dataclass(frozen=True)
class Made:
    """The splits that `split` made, and of what."""

    halves: tuple[Halves, ...]
    recipe: Recipe
    pictures: PictureFolder  # all that the folder has
    chosen: Chosen | None  # why this recipe, where nobody named it
    unlisted: tuple[Unlisted, ...]


def split(
    study: Study,
    folder: str | Path | None = None,
    splits: str | Sequence[str] = (),
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    smoke: bool = False,
    skip_unreadable: bool = False,
    told: Told = ignored,
    counting: Counting = uncounted,
) -> Made:
    """Split the classes of the pictures in a folder into halves A and B.

    folder: laid out as `pictures.folder` says, or a store; None: where the study's pictures were, else the recipe's built-in
    ones, which are made. splits: `random-<seed>`, `man-made-natural`, CSV files; none: the recipe's. recipe: a name or a file;
    None: the study's own, else `default_recipe`. overrides: as `training.epochs=5`. Every picture is decoded once; with
    skip_unreadable those that cannot be are left out. Before that begins `told` is given `chosen` and each `unlisted` of Made.

    Raises TransferError. Nothing but built-in pictures is written before all is known to be right.
    """
    study.check_plain()
    folder = None if folder is None else Path(folder)
    # What is wrong with the recipe or a file of halves is said before a folder of a million pictures is read.
    known = recipe is not None or _own_recipe_fits(study, folder)
    found = None if known or folder is None else scan(folder)
    chosen = None if known else default_recipe(len(found.classes) if found else None)
    if chosen:
        told("chosen", chosen)
    settled = settle(wanted_recipe(study, chosen.recipe if chosen else recipe, overrides, smoke))
    words = (splits,) if isinstance(splits, str) else splits or settled.splits
    for word in words:
        check_file(word)
    remade = {split_name(*method_and_seed(word)) for word in words}
    refuse_changes(study, settled, remade)
    found = found or scan(folder or _own_pictures(study, settled, words, counting), UNDIVIDED not in words)
    _refuse_place(study, found)
    _refuse_other_pictures(study, found, settled, remade)

    unlisted = [left for word in words if (left := _unlisted(found, word))]
    for left in unlisted:
        told("unlisted", left)
    made = [halve(found.classes, word, settled.pictures.classes) for word in words]
    taken = {one: take(found, one, settled.pictures) for one in made}
    broken, same = _checked(found, taken.values(), skip_unreadable, counting)
    written = tuple(_halves(study, one, pictures, broken) for one, pictures in taken.items())
    with study.held([]):
        for halves in written:
            _refuse_another(study, halves)
        for halves in written:
            study.write_halves(halves)
        study.write_recipe(settled)
    _warn_of_twice(found, taken, same)
    return Made(written, settled, found, chosen, tuple(unlisted))


def _own_recipe_fits(study: Study, folder: Path | None) -> bool:
    """Whether the study has a recipe, and not one that it used for built-in pictures while `folder` now holds other ones."""
    if folder is None or not study.recipe_file.exists():
        return study.recipe_file.exists()
    made_here = study.root / "pictures"
    return folder == made_here or all(study.pictures(study.halves(name)) != made_here for name in study.split_names())


def _own_pictures(study: Study, recipe: Recipe, words: Sequence[str], counting: Counting) -> Path:
    """Where the pictures are when nobody says: where they were, or made by formula."""
    from transfercli.pictures import formula

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
        halve(formula.class_names(builtin.classes), word)
    try:
        with counting("making pictures", builtin.classes * (builtin.train + builtin.val)) as progress:
            formula.write(made_here, builtin.classes, builtin.train, builtin.val, recipe.pictures.size, builtin.seed, progress)
    except OSError as error:
        raise TransferError(
            f"cannot write pictures to {made_here}: {error.strerror or error}; make room or choose another folder: --study DIR"
        ) from None
    return made_here


def _refuse_place(study: Study, found: PictureFolder) -> None:
    """Raise TransferError where the study would lie among class folders."""
    if any(study.root.resolve().is_relative_to(folder.resolve()) for folder in found.source.folders):
        raise TransferError(
            f"the study {study.root} would lie among the class folders of {found.root}, and its figures be taken for pictures; "
            "choose another folder: --study DIR"
        )


def _refuse_other_pictures(study: Study, found: PictureFolder, recipe: Recipe, remade: Collection[str]) -> None:
    """Raise TransferError where a split that stays is of other pictures."""
    for name in study.split_names():
        if name not in remade and not holds(found, study.halves(name), recipe.pictures):
            raise TransferError(
                f"the pictures in {found.root} are not those of the split {name} in {study.root}, and a study is of one dataset; "
                f"start a new one: transfer split {shlex.quote(str(found.root))} --study NEW"
            )


def _unlisted(found: PictureFolder, word: str) -> Unlisted | None:
    """What a CSV file leaves out of the folder's classes; None where a split has all of them."""
    whole = halve(found.classes, word)
    left_out = tuple(sorted({*found.classes} - {*whole.every}))
    return Unlisted(whole, left_out, len(found.classes)) if left_out else None


def _checked(
    found: PictureFolder, taken: Iterable[PictureFolder], skip: bool, counting: Counting
) -> tuple[Collection[str], tuple[Same, ...]]:
    """What cannot be decoded, and what is there twice. Raises TransferError for a picture that may not be skipped."""
    from transfercli.pictures.decode import examine
    from transfercli.system.threads import processors

    if found.source.unreadable is not None:  # a store's pictures were decoded when it was packed
        return found.source.unreadable, ()
    paths = sorted(dict.fromkeys(path for part in taken for path in part.paths), key=found.source.place_of)
    broken, same = dict[str, str](), Twice()
    with counting("checking pictures", len(paths)) as progress:
        for path, one in examine(found.source, paths, processors(), progress):
            if isinstance(one, str):
                broken[path] = one
            else:
                same.add(path, one.digest)
    if broken and not skip:
        path, reason = next(iter(broken.items()))
        where = found.source.joinpath(path)
        more = f", nor {len(broken) - 1} more" if len(broken) > 1 else ""
        raise TransferError(f"cannot decode {where} ({reason}){more}; replace what is broken, or leave it out: --skip-unreadable")
    return broken, same.found


def _warn_of_twice(found: PictureFolder, taken: Mapping[Split, PictureFolder], same: Sequence[Same]) -> None:
    """Warn of pictures in both parts, so that what is learned is measured, or in both halves, so that a source knows them."""
    every = {path for paths in same for path in paths}
    part_of: dict[str, str] = {}
    half_of: dict[str, dict[str, str]] = {one.name: {} for one in taken}
    for split, pictures in taken.items():
        for part, of in (("train", pictures.train), ("val", pictures.val)):
            for task in split.tasks:
                twice = [path for name in task.classes for path in of[name] if path in every]
                part_of |= dict.fromkeys(twice, part)
                half_of[split.name] |= dict.fromkeys(twice, task.name)
    places = {"in training and in validation": part_of, **{f"in both halves of {name}": of for name, of in half_of.items()}}
    crossing = {where: across(same, of) for where, of in places.items()}
    if said := [f"{len(paths)} {where} ({' = '.join(paths[0])})" for where, paths in crossing.items() if paths]:
        warnings.warn(
            f"pictures are there twice: {', '.join(said)}. Accuracy and transfer look better than they are; "
            f"remove one of each; see: {command('pictures', found.root)}",
            TransferWarning,
            stacklevel=3,
        )


def _halves(study: Study, one: Split, taken: PictureFolder, broken: Collection[str]) -> Halves:
    left_out = [path for path in taken.paths if path in broken]
    return halves_of(study, taken.without(left_out), one, left_out)


def _refuse_another(study: Study, halves: Halves) -> None:
    """Raise TransferError where the study has networks of a split of that name that is not this one."""
    if halves.name not in study.split_names() or study.halves(halves.name).digest == halves.digest:
        return
    if any(row["split"] == halves.name for row in study.rows()):
        raise TransferError(
            f"the networks in {study.root} were trained on another split {halves.name} (other classes or pictures); "
            "start a new study: --study DIR"
        )
