"""From a folder of pictures to the halves of a study, and back to the pictures of a half."""

import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace

from transfercli.pictures.folder import PictureFolder, scan
from transfercli.plan.splits import make_split, method_and_seed
from transfercli.recipe.schema import Pictures
from transfercli.study.folder import Study
from transfercli.study.splits import Halves
from transfercli.system.errors import TransferError


def select(folder: PictureFolder, pictures: Pictures, left_out: Iterable[str] = (), split: str = "random-0") -> PictureFolder:
    """The part of a folder that a recipe takes for a split: evenly spaced classes and pictures, so the choice needs no seed.

    Where a split is not random, only its classes count (a CSV file may list some), and as many come from each of its halves.
    Pictures left out are not replaced by others, which nobody has checked.
    """
    names, most = folder.classes, pictures.classes
    method, seed = method_and_seed(split)
    if method != "random":
        whole = make_split(method, names, seed)
        names = (*whole.A, *whole.B)
        if most is not None and most < len(names):
            names = (*_spread(whole.A, most // 2), *_spread(whole.B, most - most // 2))
    elif most is not None:
        names = _spread(names, most)
    return _take(folder, pictures, names, left_out)


def _take(folder: PictureFolder, pictures: Pictures, classes: Iterable[str], left_out: Iterable[str]) -> PictureFolder:
    if folder.store is not None:
        folder.store.check(pictures.size, pictures.fit, pictures.orientation)
    parted = folder.held_out(pictures.held_out, pictures.held_out_seed)
    return parted.only(classes, pictures.train_per_class, pictures.val_per_class).without(tuple(left_out))


def _spread(names: Sequence[str], most: int) -> tuple[str, ...]:
    """At most `most` names, evenly spaced."""
    return tuple(names[i * len(names) // most] for i in range(most)) if most < len(names) else tuple(names)


def all_paths(folder: PictureFolder) -> list[str]:
    return [path for part in (folder.train, folder.val) for files in part.values() for path in files]


def make_halves(
    study: Study, folder: PictureFolder, split: str, left_out: Iterable[str], whole: PictureFolder | None = None
) -> Halves:
    """The halves of one split (`random-0`, `man-made-natural` or a CSV file) of a folder. Nothing is written.

    `whole` is the folder that `folder` was selected from: a CSV file may list any of its classes.
    """
    method, seed = method_and_seed(split)
    if method == "random" or whole is None:
        made = make_split(method, folder.classes, seed)
    else:
        made = make_split(method, whole.classes, seed)
        taken = set(folder.classes)
        made = replace(made, A=tuple(c for c in made.A if c in taken), B=tuple(c for c in made.B if c in taken))
    counts = {half: dict(zip(("train", "val"), folder.counts(made.classes(half)), strict=True)) for half in "AB"}
    root, base = folder.root.resolve(), study.root.resolve()
    inside = root.is_relative_to(base)
    where = os.path.relpath(root, base) if inside else str(root)
    kept_out = tuple(sorted(left_out))
    return Halves(made, where, counts, _digest(folder, made.A, made.B), kept_out)


def pictures_of(study: Study, halves: Halves, pictures: Pictures) -> PictureFolder:
    """The pictures of a split, found again where they were. Raises TransferError where they are not the same."""
    root = study.pictures(halves)
    if not root.exists():
        raise TransferError(
            f"the pictures of split {halves.name} are no longer in {root}; "
            f"put them back, or say where they are now: transfer split DIR --study {study.quoted}"
        )
    folder = _part_of(scan(root), halves, pictures)
    if _digest(folder, halves.split.A, halves.split.B) != halves.digest:
        raise TransferError(
            f"the pictures in {root} are not those that split {halves.name} was made of; "
            f"put them back, or start a new study: transfer split {shlex.quote(str(root))} --study NEW"
        )
    return folder


def holds(folder: PictureFolder, halves: Halves, pictures: Pictures) -> bool:
    """Whether the pictures of a split are in a folder, wherever either lies: judged by the split's digest."""
    try:
        return _digest(_part_of(folder, halves, pictures), halves.split.A, halves.split.B) == halves.digest
    except TransferError:  # a class is missing, or has no picture that may be used
        return False


def _part_of(folder: PictureFolder, halves: Halves, pictures: Pictures) -> PictureFolder:
    classes = [name for name in (*halves.split.A, *halves.split.B) if name in folder.train]
    return _take(folder, pictures, classes, halves.left_out)


def _digest(folder: PictureFolder, a: tuple[str, ...], b: tuple[str, ...]) -> str:
    known = set(folder.classes)
    if missing := [name for name in (*a, *b) if name not in known]:
        raise TransferError(f"class {missing[0]} is missing in {folder.root}; put it back, or start a new study")
    text = json.dumps({"A": a, "B": b, "pictures": folder.digest((*a, *b))})
    return hashlib.sha256(text.encode()).hexdigest()
