"""Pictures that lie otherwise than their canonical paths say: lists of them, and stretches of larger files."""

import os
from array import array
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from transfercli.pictures.sources.folders import TRAIN, VALIDATION
from transfercli.pictures.sources.source import Part, Source
from transfercli.system.errors import TransferError

if TYPE_CHECKING:
    from transfercli.pictures.decode import Encoded


class Found(NamedTuple):
    """A picture: its part ("train" or "val"), its class, and its path as the source has it."""

    part: str
    name: str
    path: str


class Listed(Source):
    """Pictures in the order in which a source has them, to be found by their canonical paths."""

    def __init__(self, root: Path, pictures: Sequence[Found], found: str, alone: bool | None = None):
        """`alone`: whether paths begin with the class; None: where there are training pictures alone.

        Raises TransferError where a picture stands twice, or a class has a name that no folder can have.
        """
        self.root, self.found = root, found
        alone = not any(one.part == "val" for one in pictures) if alone is None else alone
        self.validation = None if alone else "val"
        self.train, self.val, self.number = _arranged(root, pictures, alone, self.place)

    def place(self, i: int) -> str:
        """What tells a picture from every other one where their paths do not; nothing where they should."""
        return ""

    def place_of(self, path: str) -> tuple[int, ...]:
        return (self.number[path],)


class Links(Listed):
    """Files that lie at other paths below a folder, or anywhere."""

    def __init__(
        self, root: Path, pictures: Sequence[Found], found: str, alone: bool | None = None, paths: Sequence[str] | None = None
    ):
        """`paths`: where the files are, if not at the pictures' own."""
        super().__init__(root, pictures, found, alone)
        self.paths = paths or [one.path for one in pictures]

    def size(self, path: str) -> int:
        return os.stat(self.joinpath(path)).st_size

    def joinpath(self, path: str) -> Path:
        return self.root / self.paths[self.number[path]]


class Stretch(NamedTuple):
    """An encoded picture that is a part of a larger file."""

    file: Path
    name: str  # of the picture in it
    start: int
    length: int

    def read_bytes(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.start)
            data = file.read(self.length)
        if len(data) < self.length:
            raise OSError(0, "the file is cut short", str(self.file))
        return data

    def __str__(self) -> str:
        return f"{self.name} in {self.file}"


class Stretches(Listed):
    """Pictures that are stretches of larger files."""

    def __init__(self, root: Path, pictures: Sequence[tuple[Found, Stretch]], found: str, alone: bool | None = None):
        self.files = list(dict.fromkeys(stretch.file for _, stretch in pictures))
        file = {path: i for i, path in enumerate(self.files)}
        self.names = [stretch.name for _, stretch in pictures]
        self.file = array("l", (file[stretch.file] for _, stretch in pictures))
        self.starts = array("q", (stretch.start for _, stretch in pictures))
        self.sizes = array("q", (stretch.length for _, stretch in pictures))
        super().__init__(root, [one for one, _ in pictures], found, alone)

    def place(self, i: int) -> str:
        return f"{self.files[self.file[i]].stem}/{self.names[i]}"

    def size(self, path: str) -> int:
        return self.sizes[self.number[path]]

    def joinpath(self, path: str) -> "Encoded":
        i = self.number[path]
        return Stretch(self.files[self.file[i]], self.names[i], self.starts[i], self.sizes[i])


class Parted(Source):
    """Training pictures of one source, and of their classes the validation pictures of another."""

    def __init__(self, root: Path, train: Source, val: Source, found: str):
        self.root, self.found, self.parts = root, found, {"train": train, "val": val}
        self.train, self.val = train.train, {name: of for name, of in val.val.items() if name in train.train}
        self.folders = (*train.folders, *val.folders)

    def size(self, path: str) -> int:
        return self._of(path).size(path)

    def joinpath(self, path: str) -> "Encoded":
        return self._of(path).joinpath(path)

    def place_of(self, path: str) -> tuple[int, ...]:
        source = self._of(path)
        return ([*self.parts.values()].index(source), *source.place_of(path))

    def _of(self, path: str) -> Source:
        return self.parts[path.partition("/")[0]]


def _arranged(
    root: Path, pictures: Sequence[Found], alone: bool, place: Callable[[int], str]
) -> tuple[Part, Part, dict[str, int]]:
    """Canonical paths by class, of train and val; and which picture each path is."""
    for name in {one.name for one in pictures}:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise TransferError(f"{root}: {name!r} cannot be the name of a class. Rename it")
    for file_of in (lambda i: _below_class(pictures[i]), lambda i: pictures[i].path, place):
        number: dict[str, int] = {}
        for i, one in enumerate(pictures):
            path = f"{one.name}/{file_of(i)}" if alone else f"{one.part}/{one.name}/{file_of(i)}"
            if number.setdefault(path, i) != i:  # some lie in several places under one name
                twice = one
                break
        else:
            break
    else:
        raise TransferError(f"{root}: {twice.path} of class {twice.name} is there twice. Remove one of the two")
    parts: dict[str, dict[str, list[str]]] = {"train": defaultdict(list), "val": defaultdict(list)}
    for path, i in number.items():
        parts[pictures[i].part][pictures[i].name].append(path)
    train, val = ({name: tuple(sorted(of)) for name, of in sorted(parts[part].items())} for part in ("train", "val"))
    return train, ({name: () for name in train} if alone else val), number


def _below_class(one: Found) -> str:
    """What follows the folder of the class in a picture's path; where there is no such folder, its last name."""
    places = PurePosixPath(one.path).parts
    folders = places[:-1]
    above = next((i + 1 for i, place in enumerate(folders) if place in (*TRAIN, *VALIDATION)), 0)
    begin = above if one.name in folders[above:] else 0  # a class may be called as a folder above it
    return "/".join(places[places.index(one.name, begin) + 1 :]) if one.name in folders else places[-1]
