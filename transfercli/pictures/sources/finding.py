"""Which source of pictures a folder is; each kind has a file of its own beside this one."""

from pathlib import Path

from transfercli.pictures.sources import folders, imagenet, named, parquet, shards, table
from transfercli.pictures.sources.source import ENDINGS, Part, Source, unreachable
from transfercli.pictures.store import Store, is_store
from transfercli.system.errors import TransferError
from transfercli.system.words import classes_have, plural, some


def find(root: Path) -> Source:
    """The pictures that lie there, in whichever layout. Raises TransferError where they cannot be read."""
    try:
        if named.is_named(root):
            source: Source = named.read(root)
        elif not root.exists():
            raise TransferError(f"no such folder: {root}. Give the folder that holds train/ and val/")
        elif root.suffix.lower() == table.ENDING and root.is_file():
            source = table.of_file(root)
        elif not root.is_dir():
            raise TransferError(f"not a folder: {root}. Give the folder that holds train/ and val/")
        else:
            source = Store.open(root) if is_store(root) else _read(root)
    except OSError as error:
        raise unreachable(error) from error
    return source


def check(root: Path, source: Source) -> None:
    """Raise TransferError where a class has too few pictures, or none in a part."""
    if source.validation is None:
        _check_classes(root, source.train)
    else:
        _check_parts(root, source.train, source.val, source.validation)


def _read(root: Path) -> Source:
    """What the first kind of source says that takes the folder for its own."""
    if source := imagenet.read(root):
        return source
    if not folders.of_classes(root):
        for kind in (parquet, shards, table):
            if source := kind.read(root):
                return source
    return folders.read(root)


def _check_classes(root: Path, train: Part) -> None:
    """Refuse class folders of which none, or not a share, can be held out."""
    if not any(train.values()):
        raise TransferError(
            f"no train/ in {root}, and no pictures in {root}/<class>/. Give the folder that holds train/ and val/, "
            f"or one with a folder per class that holds its pictures ({' '.join(ENDINGS)})"
        )
    few = [name for name, files in train.items() if len(files) < 2]
    if few:
        raise TransferError(
            f"{root}: {classes_have(few)} fewer than two pictures: {some(few)}. "
            "Give each class one to train on and one to hold out, or remove it"
        )


def _check_parts(root: Path, train: Part, val: Part, validation: str) -> None:
    """Refuse what cannot be trained on, the most telling complaint first."""
    parts = (("train", train), (validation, val))
    for part, pictures in parts:
        if not any(pictures.values()):
            raise TransferError(f"no pictures in {root / part}/<class>/. Put each class's pictures ({' '.join(ENDINGS)}) there")
    for (part, pictures), (other, others) in (parts, parts[::-1]):
        lone = [name for name in pictures if name not in others]
        if lone:
            raise TransferError(
                f"{root}: {len(lone)} {plural(lone)} in {part}/ but not in {other}/: {some(lone)}. "
                "Give each class pictures in both, or remove it"
            )
    for part, pictures in parts:
        empty = [name for name, files in pictures.items() if not files]
        if empty:
            raise TransferError(
                f"{root}: {classes_have(empty)} no picture in {part}/: {some(empty)}. "
                f"Give each class pictures in both, or remove it from train/ and {validation}/"
            )
