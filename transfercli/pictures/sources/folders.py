"""Pictures in a folder for each class. Three layouts:

- ImageFolder, as torchvision has it: ``train/<class>/**`` and ``val/<class>/**``; pictures may lie deeper. In place of
  ``val/`` there may be ``validation/``, ``valid/`` or ``test/``: the first of these that is there is taken.
- Class folders alone, ``<class>/**``: a share of each class is held out to be measured on.
- Tiny-ImageNet-200 as Stanford released it: ``train/<wnid>/images/*.JPEG``, ``val/images/*.JPEG`` and
  ``val/val_annotations.txt``, which names the class of each validation picture.
"""

import os
from pathlib import Path

from transfercli.pictures.sources.source import ENDINGS, Part, Source
from transfercli.system.errors import TransferError
from transfercli.system.words import some

TRAIN = ("train", "training")  # what that of training pictures may be called in tables and tar files
VALIDATION = ("val", "validation", "valid", "test")  # what the folder of validation pictures may be called; the first wins
ANNOTATIONS = "val_annotations.txt"


class Folders(Source):
    """Files below a folder, each at its canonical path: so are those of any list of paths."""

    alone = "class folders alone"

    def __init__(self, root: Path, train: Part | None = None, val: Part | None = None, validation: str | None = "val"):
        self.root, self.train, self.val, self.validation = root, train or {}, val or {}, validation
        self.folders = tuple(root / part for part in (("train", validation) if validation else (".",)))

    @property
    def passed_over(self) -> tuple[str, ...]:  # type: ignore[override]  # looked up where it is asked for
        others = (name for name in VALIDATION if name != self.validation)
        return tuple(name for name in others if self.validation and (self.root / name).is_dir())

    def size(self, path: str) -> int:
        return os.stat(os.path.join(self.root, path)).st_size

    def joinpath(self, path: str) -> Path:
        return self.root / path


def read(root: Path) -> Folders:
    """The pictures of a folder in any of the layouts.

    Hidden files and folders are passed over, and so is what has no picture's ending. Linked folders and
    files are followed. Raises TransferError for train/ or val/ without the other and for a bad annotation; and OSError.
    """
    validation = _validation(root)
    train = by_class(root, "train/" if validation else "")
    if validation is None:
        return Folders(root, train, {name: () for name in train}, None)
    if validation == "val" and (root / "val" / ANNOTATIONS).exists() and folders_in(root / "val") == ["images"]:
        val = _annotated(root, train)
    else:
        val = by_class(root, f"{validation}/")
    return Folders(root, train, val, validation)


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
    folders = folders_in(root)
    if deeper := next((name for name in folders if (root / name / "train").is_dir()), None):
        raise TransferError(f"no train/ in {root}, but there is one in {root / deeper}. Give that folder")
    if found or not folders:
        raise TransferError(f"no train/ in {root}. {wanted}")
    return None


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def of_classes(root: Path) -> bool:
    """Whether there are folders of classes, below train/ or alone with pictures in them, whatever else lies beside them."""
    if (root / "train").is_dir() and folders_in(root / "train"):
        return True
    alone = (name for name in folders_in(root) if name not in ("train", *VALIDATION))
    return sum(any(file.lower().endswith(ENDINGS) for *_, files in os.walk(root / name) for file in files) for name in alone) > 1


def by_class(root: Path, part: str) -> Part:
    """Pictures by class folder in ``part`` ("train/", or "" for ``root`` itself); a class without pictures has an empty tuple."""
    return {name: pictures_in(root, f"{part}{name}") for name in folders_in(root / part)}


def pictures_in(root: Path, below: str) -> tuple[str, ...]:
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


def _annotated(root: Path, train: Part) -> Part:
    """Tiny-ImageNet-200's validation pictures by class; a line is file, class and a box, tab separated."""
    annotations = root / "val" / ANNOTATIONS
    prefix = "val/images/"
    unnamed = {path.removeprefix(prefix) for path in pictures_in(root, "val/images")}
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
            f"{annotations}: no line for {some(sorted(unnamed))} of val/images. Add the lines or remove the pictures"
        )
    return {name: tuple(sorted(files)) for name, files in named.items()}
