"""From a folder of pictures to the halves of a study, and back to the pictures of a half."""

import hashlib
import json
import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from transfercli.pictures.folder import PictureFolder, scan
from transfercli.pictures.sources.named import is_named
from transfercli.plan.splits import UNDIVIDED, Split, make_split, method_and_seed
from transfercli.recipe.schema import Pictures
from transfercli.study.folder import Study
from transfercli.study.splits import Halves
from transfercli.system.errors import TransferError


def halve(classes: Sequence[str], word: str, most: int | None = None) -> Split:
    """The split that a recipe's word means (`random-0`, `man-made-natural` or a CSV file), of at most so many classes.

    They are evenly spaced, so the choice needs no seed. Where the split is not random, only its classes count (a CSV file may
    list some), and as many come from each of its halves.
    """
    method, seed = method_and_seed(word)
    if method in ("random", UNDIVIDED):
        return make_split(method, _spread(classes, most), seed)
    whole = make_split(method, classes, seed)
    if most is None or most >= len(whole.A) + len(whole.B):
        return whole
    return replace(whole, A=_spread(whole.A, most // 2), B=_spread(whole.B, most - most // 2))


def take(folder: PictureFolder, split: Split, pictures: Pictures, left_out: Collection[str] = ()) -> PictureFolder:
    """The pictures of a split that a recipe takes. Those left out are not replaced by others, which nobody has checked."""
    folder.source.check(pictures)
    parted = folder.held_out(pictures.held_out, pictures.held_out_seed)
    return parted.only(split.every, pictures.train_per_class, pictures.val_per_class).without(left_out)


def halves_of(study: Study, taken: PictureFolder, split: Split, left_out: Collection[str] = ()) -> Halves:
    """What split.json will hold of a split and the pictures taken for it. Nothing is written."""
    counts = {task.name: dict(zip(("train", "val"), taken.counts(task.classes), strict=True)) for task in split.tasks}
    root, base = Path(taken.where), study.root.resolve()
    where = os.path.relpath(root, base) if root.is_relative_to(base) else str(root)
    return Halves(split, where, counts, _digest(taken, split), tuple(sorted(left_out)))


def pictures_of(study: Study, halves: Halves, pictures: Pictures) -> PictureFolder:
    """The pictures of a split, found again where they were. Raises TransferError where they are not the same."""
    root = study.pictures(halves)
    if not is_named(root) and not root.exists():
        raise TransferError(
            f"the pictures of split {halves.name} are no longer in {root}; "
            f"put them back, or say where they are now: transfer split DIR --study {study.quoted}"
        )
    taken = _taken_again(scan(root, not halves.split.whole), halves, pictures)
    if _digest(taken, halves.split) != halves.digest:
        raise TransferError(
            f"the pictures in {root} are not those that split {halves.name} was made of; "
            f"put them back, or start a new study: transfer split {shlex.quote(str(root))} --study NEW"
        )
    return taken


def holds(folder: PictureFolder, halves: Halves, pictures: Pictures) -> bool:
    """Whether the pictures of a split are in a folder, wherever either lies: judged by the split's digest."""
    try:
        return _digest(_taken_again(folder, halves, pictures), halves.split) == halves.digest
    except TransferError:  # a class is missing, or has no picture that may be used
        return False


def _taken_again(folder: PictureFolder, halves: Halves, pictures: Pictures) -> PictureFolder:
    if missing := [name for name in halves.split.every if name not in folder.train]:
        raise TransferError(f"class {missing[0]} is missing in {folder.root}; put it back, or start a new study")
    return take(folder, halves.split, pictures, halves.left_out)


def _spread(names: Sequence[str], most: int | None) -> tuple[str, ...]:
    """At most `most` names (None: all), evenly spaced."""
    return tuple(names) if most is None or most >= len(names) else tuple(names[i * len(names) // most] for i in range(most))


def _digest(taken: PictureFolder, split: Split) -> str:
    tasks = {task.name: task.classes for task in split.tasks}
    text = json.dumps({**tasks, "pictures": taken.digest(split.every)})
    return hashlib.sha256(text.encode()).hexdigest()
