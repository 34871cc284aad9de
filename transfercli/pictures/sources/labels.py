"""What classes are called, where a source has numbers for them."""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath

from transfercli import paper
from transfercli.pictures.sources.folders import TRAIN, VALIDATION
from transfercli.pictures.sources.listed import Found
from transfercli.system.errors import TransferError

WNID = re.compile(r"n\d{8}")
ALIKE = 0.9  # of 1000 names, that they are taken for ImageNet's: lists differ in a few words
_PART = re.compile(rf"(?<![a-z])({'|'.join((*TRAIN, *VALIDATION))})(?![a-z])")


def parts_of(root: Path, files: Iterable[Path]) -> dict[Path, str]:
    """The part that each file's name speaks of, or its folder's: "train", or one of VALIDATION; "" beside such files, which is no
    part (SVHN's `extra`). Where none speaks of any, all are "train".
    """
    found = {file: _part_in(file.stem) or _part_in(file.parent.relative_to(root).as_posix()) for file in files}
    return found if any(found.values()) else dict.fromkeys(found, TRAIN[0])


def _part_in(name: str) -> str:
    found = _PART.search(name.lower())
    return "" if found is None else TRAIN[0] if found[1] in TRAIN else found[1]


def validation_of(root: Path, parts: Collection[str]) -> str | None:
    """Of the parts that there are, the one to be measured on: the first of VALIDATION. Raises TransferError without training."""
    if TRAIN[0] not in parts:
        others = " and ".join(sorted(filter(None, parts))) or "others"
        raise TransferError(f"no training pictures in {root}, only {others}. Put the files of train there")
    return next((name for name in VALIDATION if name in parts), None)


def named(root: Path, pictures: Sequence[tuple[str, str, str]], names: Sequence[str] = ()) -> list[Found]:
    """Pictures by what their classes are called, from their part, label and path.

    Where all labels are whole numbers, `names` are those of the numbers, if there are any. ImageNet's 1000 classes are called by
    their WordNet ids, in whose order they are numbered. Raises TransferError for a number that has no name.
    """
    labels = {label for _, label, _ in pictures}
    if all(re.fullmatch(r"-?\d{1,9}", label) for label in labels):
        training = ((int(label), path) for part, label, path in pictures if part == "train")
        called = _called(root, sorted(map(int, labels)), names, training)
        folder = {label: called[int(label)] for label in labels}
    else:
        folder = {label: as_folder(label) for label in labels}
    found = [(part, folder[label], path) for part, label, path in pictures]
    return [Found("train" if part == "train" else "val", name, without_id(name, path)) for part, name, path in found]


def _called(root: Path, numbers: Sequence[int], names: Sequence[str], training: Iterable[tuple[int, str]]) -> dict[int, str]:
    if numbers[0] < 0:
        raise TransferError(f"{root}: there is a label {numbers[0]}. Leave out what has no class")
    wnids = [one.wnid for one in paper.classes()]
    if _imagenets(names) or (not names and _agree(numbers, training, wnids)):
        names = wnids
    if not names:
        return {number: f"{number:0{len(str(numbers[-1]))}}" for number in numbers}
    if numbers[-1] >= len(names):
        raise TransferError(f"{root}: there is a label {numbers[-1]}, and the classes are 0 to {len(names) - 1}. Mend the labels")
    if len({as_folder(name) for name in names}) < len(names):
        raise TransferError(f"{root}: two classes have one name. Rename one")
    return {number: as_folder(names[number]) for number in numbers}


def as_folder(name: str) -> str:
    """A class's name as its folder's, in which there is no slash."""
    return name.strip().replace("/", "-")


def without_id(name: str, path: str) -> str:
    """A path without the WordNet id of its class that Hugging Face's ImageNet adds to it."""
    return path.replace(f"_{name}.", ".") if WNID.fullmatch(name) else path


def _imagenets(names: Sequence[str]) -> bool:
    """Whether names are those of ImageNet's 1000 classes, in its order."""
    ours = paper.classes()
    if len(names) != len(ours):
        return False
    alike = sum(_first(theirs) in (_first(one.words), one.wnid) for theirs, one in zip(names, ours, strict=True))
    return alike >= ALIKE * len(ours)


def _first(words: str) -> str:
    return words.partition(",")[0].strip().lower()


def _agree(numbers: Sequence[int], pictures: Iterable[tuple[int, str]], wnids: Sequence[str]) -> bool:
    """Whether every training picture's name begins with the id of its class of ImageNet."""
    if not numbers or not 0 <= numbers[0] <= numbers[-1] < len(wnids):
        return False
    return all(PurePosixPath(path).name.startswith(wnids[number]) for number, path in pictures)
