"""Picture folders: which pictures there are and which class each belongs to. Nothing is decoded here.

Two layouts are read:

- ImageFolder, as torchvision has it: ``train/<class>/**`` and ``val/<class>/**``; pictures may lie deeper.
- Tiny-ImageNet-200 as Stanford released it: ``train/<wnid>/images/*.JPEG``, ``val/images/*.JPEG`` and
  ``val/val_annotations.txt``, which names the class of each validation picture.

A store that was packed from such a folder (store.py) stands for it.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from transfercli.errors import TransferError
from transfercli.pictures.store import Row, Store, is_store, listing_digest

# What torchvision's ImageFolder takes, and GIF; decode.py reads them all.
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
ANNOTATIONS = "val_annotations.txt"
LEAST_CLASSES = 4  # two in each half


@dataclass(frozen=True)
class PictureFolder:
    """The pictures of a folder, by class.

    ``train`` and ``val`` have the same keys, the names of the class folders, sorted. A value holds the
    class's files, at least one, sorted, as posix paths relative to ``root``. Where ``root`` is a store, the
    paths are those in the folder that it was packed from, and only ``store`` knows the pixels.
    """

    root: Path
    train: dict[str, tuple[str, ...]]
    val: dict[str, tuple[str, ...]]
    store: Store | None = field(default=None, compare=False, repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.train)

    def without(self, paths: Collection[str]) -> "PictureFolder":
        """The same folder, these pictures left out; paths that it does not have are passed over.

        Raises TransferError when a class would have no picture left in train/ or in val/.
        """
        gone = frozenset(paths)

        def rest(part: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
            return {name: tuple(path for path in files if path not in gone) for name, files in part.items()}

        left = replace(self, train=rest(self.train), val=rest(self.val))
        for part, pictures in (("train", left.train), ("val", left.val)):
            empty = [name for name, files in pictures.items() if not files]
            if empty:
                raise TransferError(
                    f"{self.root}: with the unusable pictures left out, {_classes(empty)} no picture "
                    f"in {part}/: {_some(empty)}. Replace those pictures, "
                    "or remove the class from train/ and val/"
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
        return listing_digest(self.listing(self._known(classes)), self.store.mark if self.store else "")

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
        if self.store is not None:
            return self.store.sizes[self.store.number[path]]
        try:
            return os.stat(os.path.join(self.root, path)).st_size
        except OSError as error:
            raise _unreachable(error) from error

    def _known(self, classes: Iterable[str]) -> set[str]:
        names = set(classes)
        unknown = sorted(names - self.train.keys())
        if unknown:
            raise TransferError(
                f"{self.root}: {len(unknown)} unknown {_plural(unknown)}: {_some(unknown)}. "
                "Name folders that are in train/ and val/"
            )
        return names


def scan(root: Path) -> PictureFolder:
    """List the pictures below ``root``, in either layout, or those of the store that ``root`` is.

    Hidden files and folders are passed over, and so is what has no picture's ending. Linked folders and
    files are followed. Raises TransferError when the folder cannot be used: no train/ or val/, a class
    without pictures or in one of them only, fewer than four classes, a bad annotation, no permission.
    """
    root = Path(root)
    try:
        if not root.exists():
            raise TransferError(f"no such folder: {root}. Give the folder that holds train/ and val/")
        if not root.is_dir():
            raise TransferError(f"not a folder: {root}. Give the folder that holds train/ and val/")
        if is_store(root):
            store = Store.open(root)
            _check(root, store.train, store.val)
            return PictureFolder(root, store.train, store.val, store)
        for part in ("train", "val"):
            if not (root / part).is_dir():
                raise TransferError(
                    f"no {part}/ in {root}. Give the folder that holds train/ and val/, each with a folder per class"
                )
        train = _by_class(root, "train")
        if (root / "val" / ANNOTATIONS).exists() and _folders(root / "val") == ["images"]:
            val = _annotated(root, train)
        else:
            val = _by_class(root, "val")
    except OSError as error:
        raise _unreachable(error) from error
    _check(root, train, val)
    return PictureFolder(root, train, val)


def _check(root: Path, train: dict[str, tuple[str, ...]], val: dict[str, tuple[str, ...]]) -> None:
    """Refuse what cannot be trained on, the most telling complaint first."""
    parts = (("train", train), ("val", val))
    for part, pictures in parts:
        if not any(pictures.values()):
            raise TransferError(f"no pictures in {root / part}/<class>/. Put each class's pictures ({' '.join(ENDINGS)}) there")
    for (part, pictures), (other, others) in (parts, parts[::-1]):
        lone = [name for name in pictures if name not in others]
        if lone:
            raise TransferError(
                f"{root}: {len(lone)} {_plural(lone)} in {part}/ but not in {other}/: {_some(lone)}. "
                "Give each class pictures in both, or remove it"
            )
    for part, pictures in parts:
        empty = [name for name, files in pictures.items() if not files]
        if empty:
            raise TransferError(
                f"{root}: {_classes(empty)} no picture in {part}/: {_some(empty)}. "
                "Give each class pictures in both, or remove it from train/ and val/"
            )
    if len(train) < LEAST_CLASSES:
        raise TransferError(f"{len(train)} {_plural(train)} in {root}, but two halves need at least {LEAST_CLASSES}. Add classes")


def _folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def _by_class(root: Path, part: str) -> dict[str, tuple[str, ...]]:
    """Pictures by class folder; a class without pictures has an empty tuple."""
    return {name: _pictures(root, f"{part}/{name}") for name in _folders(root / part)}


def _pictures(root: Path, below: str) -> tuple[str, ...]:
    """Paths relative to ``root`` of the pictures at any depth below ``root/below``, sorted.

    ImageNet has 1.28 million files, so each costs no more than its directory entry: no stat, no Path.
    """
    found: list[str] = []
    waiting = [(below, frozenset([os.path.realpath(root / below)]))]
    while waiting:
        folder, above = waiting.pop()
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    real = os.path.realpath(entry.path)
                    if real in above:
                        raise TransferError(f"{entry.path} leads back to a folder that holds it. Remove that link")
                    waiting.append((f"{folder}/{entry.name}", above | {real}))
                elif entry.name.lower().endswith(ENDINGS):
                    if entry.is_file():
                        found.append(f"{folder}/{entry.name}")
                    elif entry.is_symlink():
                        raise TransferError(f"{entry.path} is a link to nothing. Mend or remove it")
    return tuple(sorted(found))


def _annotated(root: Path, train: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Tiny-ImageNet-200's validation pictures by class; a line is file, class and a box, tab separated."""
    annotations = root / "val" / ANNOTATIONS
    prefix = "val/images/"
    unnamed = {path.removeprefix(prefix) for path in _pictures(root, "val/images")}
    named: dict[str, list[str]] = {name: [] for name in train}
    seen: set[str] = set()
    # File names may be any bytes: surrogateescape is how os.scandir spells them, too.
    text = annotations.read_text(encoding="utf-8", errors="surrogateescape")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{annotations}, line {number}"
        file, _, others = line.partition("\t")
        name = others.partition("\t")[0].strip()
        if not file or not name:
            raise TransferError(f"{where}: expected file, class and a box, tab separated. Restore the file")
        if "/" in file or "\\" in file:
            raise TransferError(f"{where}: {file!r} is not a plain file name. Name a file of val/images")
        if name not in named:
            raise TransferError(f"{where}: class {name!r} is not in train/. Correct the line or add the class")
        if file in seen:
            raise TransferError(f"{where}: {file!r} has a line already. Remove one of the two")
        if file not in unnamed:
            raise TransferError(f"{where}: no picture {file!r} in val/images. Restore it or remove the line")
        seen.add(file)
        unnamed.remove(file)
        named[name].append(prefix + file)
    if unnamed:
        raise TransferError(
            f"{annotations}: no line for {_some(sorted(unnamed))} of val/images. Add the lines or remove the pictures"
        )
    return {name: tuple(sorted(files)) for name, files in named.items()}


def _evenly(files: Sequence[str], most: int | None) -> tuple[str, ...]:
    """At most ``most`` files, evenly spaced."""
    if most is None or most >= len(files):
        return tuple(files)
    return tuple(files[index * len(files) // most] for index in range(most))


def _unreachable(error: OSError) -> TransferError:
    if isinstance(error, PermissionError):
        return TransferError(f"permission denied: {error.filename}. Make it readable for this user")
    return TransferError(f"cannot read {error.filename}: {error.strerror}. Check the folder and its disk")


def _plural(names: Collection[str]) -> str:
    return "class" if len(names) == 1 else "classes"


def _classes(names: Collection[str]) -> str:
    return f"{len(names)} {_plural(names)} {'has' if len(names) == 1 else 'have'}"


def _some(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
