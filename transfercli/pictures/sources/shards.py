"""Tar files of pictures: WebDataset's shards (``<key>.jpg`` beside ``<key>.cls``), or class folders in tar files.

``train-*.tar`` and ``val-*.tar`` (or ``validation-*``, ``test-*``), in one folder or in one for each part; or ``train/`` and
``val/`` in the tar files. A label is a number or a text; of numbers the names stand in ``classnames.txt`` or ``classes.txt``, one
a line, where there is such a file.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from transfercli.pictures.sources import index, labels, tar
from transfercli.pictures.sources.folders import TRAIN, VALIDATION
from transfercli.pictures.sources.listed import Stretch, Stretches
from transfercli.pictures.sources.source import ENDINGS
from transfercli.system.errors import TransferError

LABEL = ".cls"
LONGEST = 1000  # bytes of a label
NAMES = ("classnames.txt", "classes.txt")


class Picture(NamedTuple):
    """A picture in a shard: its path there, where its bytes begin and their number, the part its path tells, its label."""

    name: str
    start: int
    length: int
    part: str
    label: str


def read(root: Path) -> Stretches | None:
    """The shards in a folder, or in folders for the parts; None where there are none, or no pictures in them.

    Raises TransferError where one is damaged or has no labels; and OSError.
    """
    places = ("", "data/", "train/", *(f"{part}/" for part in VALIDATION))
    files = sorted(file for place in places for file in root.glob(f"{place}*.tar"))
    if not files:
        return None
    stretches, pictures = [], []
    for file, of in labels.parts_of(root, files).items():
        for name, start, size, part, label in index.kept(file, "shard", Picture.__annotations__, partial(_listed, file)):
            stretches.append(Stretch(file, name, start, size))
            pictures.append((part or of, label, name))
    if not pictures:
        return None
    parts = ["train", *filter(None, [labels.validation_of(root, {part for part, _, _ in pictures})])]
    taken = [i for i, (part, _, _) in enumerate(pictures) if part in parts]
    found = labels.named(root, [pictures[i] for i in taken], _names(root))
    counts = f"{len(files)} tar file{'s' * (len(files) > 1)} of {' and '.join(parts)}"
    return Stretches(root, [(one, stretches[i]) for one, i in zip(found, taken, strict=True)], counts)


def _listed(file: Path) -> list[Picture]:
    return list(_read(file))


def _read(file: Path) -> Iterator[Picture]:
    """The pictures of a shard with their labels: beside them, else the folders that they are in. Raises TransferError."""
    members = list(tar.read(file))
    told = {key: one for one in members for key, ending in (_parted(one.name),) if ending == LABEL}
    with file.open("rb") as opened:
        for one in members:
            key, ending = _parted(one.name)
            beside, part = told.get(key), ""
            if not (ending in ENDINGS if beside else ending.endswith(ENDINGS)):  # a sample may have other pictures, as of depths
                continue
            if beside:
                opened.seek(beside.start)
                label = opened.read(min(beside.length, LONGEST)).decode("utf-8", "replace").strip()
            else:
                part, label = _folders(file, one.name)
            if not label:
                raise TransferError(f"{file}: {one.name} has no label. Put {key}{LABEL} beside it, or it in its class's folder")
            yield Picture(*one, part, label)


def _folders(file: Path, name: str) -> tuple[str, str]:
    """The part and the class that a picture's folders are called by: the class follows the part, or begins the path."""
    places = PurePosixPath(name).parts[:-1]
    part = next((place for place in places[:-1] if place in (*TRAIN, *VALIDATION)), "")  # else it is a class's
    below = places[places.index(part) + 1 :] if part else places[places[:-1][:1] == (file.stem,) :]
    return TRAIN[0] if part in TRAIN else part, below[0] if below else ""


def _parted(name: str) -> tuple[str, str]:
    """A path in two, at the first point in its last name: a sample's files have the first in common."""
    folder, slash, last = name.rpartition("/")
    key, point, ending = last.partition(".")
    return f"{folder}{slash}{key}", (point + ending).lower()


def _names(root: Path) -> list[str]:
    """The names of classes by number, one a line; none where there is no such file."""
    path = next((root / name for name in NAMES if (root / name).is_file()), None)
    return path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines() if path else []
