"""Picture folders: which pictures there are and which class each belongs to. Nothing is decoded here.

Three layouts are read:

- ImageFolder, as torchvision has it: ``train/<class>/**`` and ``val/<class>/**``; pictures may lie deeper. In place of
  ``val/`` there may be ``validation/``, ``valid/`` or ``test/``: the first of these that is there is taken.
- Class folders alone, ``<class>/**``: a share of each class is held out to be measured on.
- Tiny-ImageNet-200 as Stanford released it: ``train/<wnid>/images/*.JPEG``, ``val/images/*.JPEG`` and
  ``val/val_annotations.txt``, which names the class of each validation picture.

A store that was packed from such a folder (store.py) stands for it.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from transfercli.pictures.store import Row, Store, is_store, listing_digest
from transfercli.system.errors import TransferError

# What torchvision's ImageFolder takes, and GIF; decode.py reads them all.
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
VALIDATION = ("val", "validation", "valid", "test")  # what the folder of validation pictures may be called; the first wins
ANNOTATIONS = "val_annotations.txt"
LEAST_CLASSES = 4  # two in each half


@dataclass(frozen=True)
class PictureFolder:
    """The pictures of a folder, by class.

    ``train`` and ``val`` have the same keys, the names of the class folders, sorted. A value holds the
    class's files, at least one, sorted, as posix paths relative to ``root``. Where ``root`` is a store, the
    paths are those in the folder that it was packed from, and only ``store`` knows the pixels.

    ``validation`` is the name of the folder that ``val`` is read from; None where there are class folders alone: then all
    pictures are in ``train``, and ``val`` has none for any class, until ``held_out`` parts them.
    """

    root: Path
    train: dict[str, tuple[str, ...]]
    val: dict[str, tuple[str, ...]]
    store: Store | None = field(default=None, compare=False, repr=False)
    validation: str | None = "val"

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

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Folders that could be those of the validation pictures, were it not for the one that is."""
        others = (name for name in VALIDATION if name != self.validation)
        return tuple(name for name in others if self.validation and (self.root / name).is_dir())

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

        def rest(part: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
            return {name: tuple(path for path in files if path not in gone) for name, files in part.items()}

        left = replace(self, train=rest(self.train), val=rest(self.val))
        places = ("in train/", f"in {self.validation}/") if self.validation else ("to train on", "held out")
        for place, pictures in zip(places, (left.train, left.val), strict=True):
            empty = [name for name, files in pictures.items() if not files]
            if empty:
                raise TransferError(
                    f"{self.root}: with the unusable pictures left out, {_classes(empty)} no picture "
                    f"{place}: {_some(empty)}. Replace those pictures, or remove the class from {self._parts}"
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
                f"Name folders that are in {self._parts}"
            )
        return names


def scan(root: Path, halved: bool = True) -> PictureFolder:
    """List the pictures below ``root``, in any of the layouts, or those of the store that ``root`` is.

    Hidden files and folders are passed over, and so is what has no picture's ending. Linked folders and
    files are followed. Raises TransferError when the folder cannot be used: train/ or val/ without the other, a class
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
            train, val = store.train, store.val
            first = next((path for files in val.values() for path in files), None)
            validation = first and first.partition("/")[0]
        else:
            store, validation = None, _validation(root)
            train = _by_class(root, "train/" if validation else "")
            if validation == "val" and (root / "val" / ANNOTATIONS).exists() and _folders(root / "val") == ["images"]:
                val = _annotated(root, train)
            else:
                val = _by_class(root, f"{validation}/") if validation else {}
    except OSError as error:
        raise _unreachable(error) from error
    if validation is None:
        _check_classes(root, train)
        val = {name: () for name in train}
    else:
        _check_parts(root, train, val, validation)
    if halved and len(train) < LEAST_CLASSES:
        raise TransferError(f"{len(train)} {_plural(train)} in {root}, but two halves need at least {LEAST_CLASSES}. Add classes")
    if len(train) < 2:
        raise TransferError(f"{len(train)} {_plural(train)} in {root}: there is nothing to tell apart. Add classes")
    return PictureFolder(root, train, val, store, validation)


def _validation(root: Path) -> str | None:
    """The folder of the validation pictures beside train/; None where there are class folders alone. Raises TransferError."""
    trained = (root / "train").is_dir()
    found = next((name for name in VALIDATION if (root / name).is_dir()), None)
    wanted = "Give the folder that holds train/ and val/, each with a folder per class"
    if trained and found is None:
        others = ", ".join(f"{name}/" for name in VALIDATION[1:-1])
        raise TransferError(
            f"no val/ in {root}, nor {others} or {VALIDATION[-1]}/. {wanted}; "
            f"or {root / 'train'}, and a share of each class is held out"
        )
    if trained:
        return found
    folders = _folders(root)
    if deeper := next((name for name in folders if (root / name / "train").is_dir()), None):
        raise TransferError(f"no train/ in {root}, but there is one in {root / deeper}. Give that folder")
    if found or not folders:
        raise TransferError(f"no train/ in {root}. {wanted}")
    return None


def _check_classes(root: Path, train: dict[str, tuple[str, ...]]) -> None:
    """Refuse class folders of which none, or not a share, can be held out."""
    if not any(train.values()):
        raise TransferError(
            f"no train/ in {root}, and no pictures in {root}/<class>/. Give the folder that holds train/ and val/, "
            f"or one with a folder per class that holds its pictures ({' '.join(ENDINGS)})"
        )
    few = [name for name, files in train.items() if len(files) < 2]
    if few:
        raise TransferError(
            f"{root}: {_classes(few)} fewer than two pictures: {_some(few)}. "
            "Give each class one to train on and one to hold out, or remove it"
        )


def _check_parts(root: Path, train: dict[str, tuple[str, ...]], val: dict[str, tuple[str, ...]], validation: str) -> None:
    """Refuse what cannot be trained on, the most telling complaint first."""
    parts = (("train", train), (validation, val))
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
                f"Give each class pictures in both, or remove it from train/ and {validation}/"
            )


def _folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def _by_class(root: Path, part: str) -> dict[str, tuple[str, ...]]:
    """Pictures by class folder in ``part`` ("train/", or "" for ``root`` itself); a class without pictures has an empty tuple."""
    return {name: _pictures(root, f"{part}{name}") for name in _folders(root / part)}


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
