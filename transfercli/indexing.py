"""From a folder of pictures to the halves of a study, and back to the pictures of a half."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable

from transfercli.errors import TransferError
from transfercli.pictures.folder import PictureFolder, scan
from transfercli.recipe import Pictures
from transfercli.split import make_split, method_and_seed
from transfercli.study import Halves, Study

Progress = Callable[[int], None]


def select(folder: PictureFolder, pictures: Pictures, left_out: Iterable[str] = ()) -> PictureFolder:
    """The part of a folder that a recipe takes: evenly spaced classes and pictures, so the choice needs no seed.

    Pictures left out are not replaced by others, which nobody has checked.
    """
    names, most = folder.classes, pictures.classes
    if most is not None and most < len(names):
        names = tuple(names[i * len(names) // most] for i in range(most))
    return folder.only(names, pictures.train_per_class, pictures.val_per_class).without(tuple(left_out))


def unreadable_pictures(folder: PictureFolder, threads: int, progress: Progress) -> dict[str, str]:
    """Every picture that cannot be decoded, with the reason."""
    from transfercli.pictures.decode import unreadable

    return unreadable(folder.root, all_paths(folder), threads, progress)


def all_paths(folder: PictureFolder) -> list[str]:
    return [path for part in (folder.train, folder.val) for files in part.values() for path in files]


def make_halves(study: Study, folder: PictureFolder, split: str, left_out: Iterable[str]) -> Halves:
    """The halves of one split (`random-0`, `man-made-natural` or a CSV file) of a folder. Nothing is written."""
    method, seed = method_and_seed(split)
    made = make_split(method, folder.classes, seed)
    counts = {half: dict(zip(("train", "val"), folder.counts(made.classes(half)), strict=True)) for half in "AB"}
    root, base = folder.root.resolve(), study.root.resolve()
    inside = root.is_relative_to(base)
    where = os.path.relpath(root, base) if inside else str(root)
    kept_out = tuple(sorted(left_out))
    return Halves(made, where, counts, _digest(folder, made.A, made.B), kept_out)


def pictures_of(study: Study, halves: Halves, pictures: Pictures) -> PictureFolder:
    """The pictures of a split, found again where they were. Raises TransferError where they are not the same."""
    root = study.pictures(halves)
    folder = select(scan(root), pictures, halves.left_out)
    if _digest(folder, halves.split.A, halves.split.B) != halves.digest:
        raise TransferError(
            f"the pictures in {root} are not those that split {halves.name} was made of; "
            f"put them back, or start a new study: transfer split {root} --study NEW"
        )
    return folder


def _digest(folder: PictureFolder, a: tuple[str, ...], b: tuple[str, ...]) -> str:
    known = set(folder.classes)
    if missing := [name for name in (*a, *b) if name not in known]:
        raise TransferError(f"class {missing[0]} is missing in {folder.root}; put it back, or start a new study")
    text = json.dumps({"A": a, "B": b, "pictures": folder.digest((*a, *b))})
    return hashlib.sha256(text.encode()).hexdigest()
