"""The pictures of a study, by class: which there are, held out or left out, and their digest. Nothing is decoded here."""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from transfercli.pictures.sources.finding import check, find
from transfercli.pictures.sources.folders import Folders
from transfercli.pictures.sources.source import Part, Source, unreachable
from transfercli.pictures.store import Row, listing_digest
from transfercli.system.errors import TransferError
from transfercli.system.words import classes_have, plural, some

LEAST_CLASSES = 4  # two in each half


@dataclass(frozen=True)
class PictureFolder:
    """The pictures of a source, or some of them, by class.

    ``train`` and ``val`` have the same keys, the names of the classes, sorted. A value holds the class's pictures, at least
    one, sorted, as canonical paths (`Source`): where there are folders of classes, posix paths relative to ``root``.

    ``validation`` is the name of the part that ``val`` is read from; None where there are class folders alone: then all
    pictures are in ``train``, and ``val`` has none for any class, until ``held_out`` parts them.
    """

    root: Path
    train: Part
    val: Part
    source: Source = field(default=None, compare=False, repr=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.source is None:  # files below the root
            object.__setattr__(self, "source", Folders(self.root))

    @property
    def validation(self) -> str | None:
        return self.source.validation

    @property
    def where(self) -> str:
        """What leads to these pictures from any folder."""
        return self.source.called or str(self.root.resolve())

    @property
    def passed_over(self) -> tuple[str, ...]:
        """What could be the validation pictures, were it not for those that are."""
        return self.source.passed_over

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.train)

    @property
    def paths(self) -> list[str]:
        """All files, relative to ``root``: train before val."""
        return [path for part in (self.train, self.val) for files in part.values() for path in files]

    @property
    def _parts(self) -> str:
        """Where the class folders are, for the reader."""
        return f"train/ and {self.validation}/" if self.validation else str(self.root)

    def held_out(self, share: float, seed: int) -> "PictureFolder":
        """Of class folders alone: this share of each class's pictures, at least one and never all, as validation pictures.

        Which ones are taken depends on the seed and on each picture's path below ``root`` alone, so that a picture more or
        less changes little. A folder that has validation pictures of its own stays as it is.
        """
        if self.validation:
            return self

        def drawn(path: str) -> bytes:
            return hashlib.sha256(f"{seed}\0{path}".encode("utf-8", "surrogateescape")).digest()

        train, val = {}, {}
        for name, files in self.train.items():
            count = min(max(1, round(share * len(files))), len(files) - 1)
            held = frozenset(sorted(files, key=drawn)[:count])
            train[name] = tuple(path for path in files if path not in held)
            val[name] = tuple(path for path in files if path in held)
        return replace(self, train=train, val=val)

    def without(self, paths: Collection[str]) -> "PictureFolder":
        """The same folder, these pictures left out; paths that it does not have are passed over.

        Raises TransferError when a class would have no picture left to train on, or none to be measured on.
        """
        gone = frozenset(paths)

        def rest(part: Part) -> Part:
            return {name: tuple(path for path in files if path not in gone) for name, files in part.items()}

        left = replace(self, train=rest(self.train), val=rest(self.val))
        places = ("in train/", f"in {self.validation}/") if self.validation else ("to train on", "held out")
        for place, pictures in zip(places, (left.train, left.val), strict=True):
            empty = [name for name, files in pictures.items() if not files]
            if empty:
                raise TransferError(
                    f"{self.root}: with the unusable pictures left out, {classes_have(empty)} no picture "
                    f"{place}: {some(empty)}. Replace those pictures, or remove the class from {self._parts}"
                )
        return left

    def only(self, classes: Iterable[str], per_class_train: int | None, per_class_val: int | None) -> "PictureFolder":
        """A smaller folder: these classes, with at most so many pictures of each (None: all).

        The pictures kept are evenly spaced in the sorted list, so the choice needs no seed and does not
        favour names that sort first. Raises TransferError for a class that the folder does not have.
        """
        for most in (per_class_train, per_class_val):
            if most is not None and most < 1:
                raise ValueError(f"at least one picture per class is needed, not {most}")
        names = sorted(self._known(classes))
        return replace(
            self,
            train={name: _evenly(self.train[name], per_class_train) for name in names},
            val={name: _evenly(self.val[name], per_class_val) for name in names},
        )

    def counts(self, classes: Iterable[str]) -> tuple[int, int]:
        """How many pictures these classes have in train/ and in val/."""
        names = self._known(classes)
        return sum(len(self.train[name]) for name in names), sum(len(self.val[name]) for name in names)

    def digest(self, classes: Iterable[str]) -> str:
        """SHA-256 (hex) over part, class, relative path and size in bytes of each picture of these classes.

        It does not depend on the order of ``classes`` or on where ``root`` lies. It tells whether the same
        pictures are there, but would miss a picture replaced by another of equal size: contents are not read.
        Asks the file system for each size. Raises TransferError when a file cannot be reached.

        A store of raw pixels has the digest of the folder that it was packed from, since it gives the same
        pixels; one of JPEGs has a digest of its own.
        """
        return listing_digest(self.listing(self._known(classes)), self.source.mark)

    def listing(self, classes: Collection[str] | None = None) -> Iterator[Row]:
        """Part, class, path and size in bytes of each picture of these classes (None: all), by part, class and path.

        Asks the file system for each size. Raises TransferError when a file cannot be reached.
        """
        names = self.classes if classes is None else sorted(classes)
        for part, pictures in (("train", self.train), ("val", self.val)):
            for name in names:
                for path in pictures[name]:
                    yield part, name, path, self._size(path)

    def _size(self, path: str) -> int:
        try:
            return self.source.size(path)
        except OSError as error:
            raise unreachable(error) from error

    def _known(self, classes: Iterable[str]) -> set[str]:
        names = set(classes)
        unknown = sorted(names - self.train.keys())
        if unknown:
            raise TransferError(
                f"{self.root}: {len(unknown)} unknown {plural(unknown)}: {some(unknown)}. Name folders that are in {self._parts}"
            )
        return names


def scan(root: Path, halved: bool = True) -> PictureFolder:
    """List the pictures at ``root``, in any of the layouts (docs/pictures.md).

    Raises TransferError when they cannot be used: train/ or val/ without the other, a class without pictures or in one of them
    only, fewer than four classes (two, where they are not ``halved``), a bad annotation, no permission.
    """
    found = look(root)
    if fault := fault_of(found, halved):
        raise TransferError(fault)
    return found


def look(root: Path) -> PictureFolder:
    """The pictures at ``root`` as they lie: a class may have none to train on, or none to be measured on.

    Raises TransferError where there are none at all.
    """
    root = Path(root)
    source = find(root)
    names = sorted({*source.train, *source.val})
    train, val = ({name: part.get(name, ()) for name in names} for part in (source.train, source.val))
    found = PictureFolder(root, train, val, source)
    if not found.paths:
        raise TransferError(fault_of(found))
    return found


def fault_of(found: PictureFolder, halved: bool = True) -> str:
    """What keeps a study from being made of the pictures, and what to do about it; empty where nothing does."""
    try:
        check(found.root, found.source)
    except TransferError as error:
        return str(error)
    count, root = len(found.classes), found.root
    if halved and count < LEAST_CLASSES:
        return f"{count} {plural(found.classes)} in {root}, but two halves need at least {LEAST_CLASSES}. Add classes"
    return f"{count} {plural(found.classes)} in {root}: there is nothing to tell apart. Add classes" if count < 2 else ""


def _evenly(files: Sequence[str], most: int | None) -> tuple[str, ...]:
    """At most ``most`` files, evenly spaced."""
    if most is None or most >= len(files):
        return tuple(files)
    return tuple(files[index * len(files) // most] for index in range(most))
