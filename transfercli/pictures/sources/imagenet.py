"""ImageNet (ILSVRC2012) as people have it, beside folders of classes:

- Kaggle's CLS-LOC: ``ILSVRC/Data/CLS-LOC/{train,val}`` with a flat ``val/``, and ``LOC_val_solution.csv`` above it.
- torchvision's root before anything is unpacked: ``ILSVRC2012_img_train.tar``, with a tar file for each class in it, and
  ``ILSVRC2012_img_val.tar``; also where one of the two, or the classes' tar files, are unpacked already.
- ``train/<wnid>/`` and a flat ``val/`` of ``ILSVRC2012_val_<number>.JPEG``.

The labels of the 50,000 validation pictures ship with this package, and are those whose splits have the paper's md5s.
"""

import csv
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from transfercli import paper
from transfercli.pictures.sources import folders
from transfercli.pictures.sources.folders import Folders
from transfercli.pictures.sources.labels import without_id
from transfercli.pictures.sources.listed import Found, Links, Parted, Stretch, Stretches
from transfercli.pictures.sources.source import ENDINGS, Source
from transfercli.pictures.sources.tar import members
from transfercli.system.errors import TransferError
from transfercli.system.words import some

TRAIN_TAR, VAL_TAR = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
SOLUTION = "LOC_val_solution.csv"
CLS_LOC = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC", "CLS-LOC", ".")  # below what the user names
NUMBERED = re.compile(r"ILSVRC2012_val_(\d{8})(?:_n\d{8})?\.jpe?g", re.IGNORECASE)


def read(root: Path) -> Source | None:
    """ImageNet at or below ``root``; None where it is not there, or in folders of classes that ``folders`` reads.

    Raises TransferError where it is not whole; and OSError.
    """
    for below in CLS_LOC:
        base = root / below
        if _has_folders(base / "train") and _has_folders(base / "val"):
            return folders.read(base) if below != "." else None
        if (val := _validation(root, base)) and (train := _training(base, alone=False)):
            return Parted(root, train, val, f"ImageNet, {train.found} and {val.found}")
        if not (base / "val").exists() and not _has_folders(base / "train") and (train := _training(base, alone=True)):
            return train
    return None


def _training(base: Path, alone: bool) -> Source | None:
    """Folders of classes; or a tar file for each class, below train/ or in one tar file."""
    tars = sorted(path for path in (base / "train").glob("n*.tar") if re.fullmatch(r"n\d{8}", path.stem))
    if _has_folders(base / "train"):
        if left := [path.name for path in tars if not (base / "train" / path.stem).is_dir()]:
            raise TransferError(
                f"{base / 'train'} has folders of classes, and tar files of others: {some(left)}. Unpack these too"
            )
        source = Folders(base, folders.by_class(base, "train/"))
        source.folders, source.found = (base / "train",), "train/"
        return source
    if tars:
        within = [(path, one._replace(name=f"{path.stem}/{one.name}")) for path in tars for one in members(path)]
        found = f"train/ of {len(tars)} tar files"
    elif (base / TRAIN_TAR).is_file():
        within, found = [(base / TRAIN_TAR, one) for one in members(base / TRAIN_TAR)], TRAIN_TAR
    else:
        return None
    pictures = [(Found("train", _class_of(path, one.name), one.name), Stretch(path, *one)) for path, one in within]
    return Stretches(base, [one for one in pictures if one[0].path.lower().endswith(ENDINGS)], found, alone)


def _class_of(tar: Path, name: str) -> str:
    """The class folder of a path in a tar file."""
    if len(places := PurePosixPath(name).parts) < 2:
        raise TransferError(f"{tar}: {name} is in no class's tar file or folder. Fetch the tar file as ImageNet distributes it")
    return places[-2]


def _validation(root: Path, base: Path) -> Source | None:
    """Validation pictures without folders of classes, in val/ or in a tar file."""
    if (base / "val").is_dir():
        if _has_folders(base / "val"):
            return None
        names = [path.removeprefix("val/") for path in folders.pictures_in(base, "val")]
        if not names or not (all(map(NUMBERED.fullmatch, names)) or _solution(root, base)):
            return None
        labels = _labels(root, base, names)
        flat = [Found("val", labels[name], f"val/{without_id(labels[name], name)}") for name in names]
        source = Links(base, flat, "a flat val/", alone=False, paths=[f"val/{name}" for name in names])
        source.folders = (base / "val",)
        return source
    if (base / VAL_TAR).is_file():
        tar = base / VAL_TAR
        found = {PurePosixPath(one.name).name: one for one in members(tar) if one.name.lower().endswith(ENDINGS)}
        labels = _labels(root, base, found)
        pictures = [
            (Found("val", labels[name], without_id(labels[name], one.name)), Stretch(tar, *one)) for name, one in found.items()
        ]
        return Stretches(base, pictures, VAL_TAR, alone=False)
    return None


def _labels(root: Path, base: Path, names: Iterable[str]) -> dict[str, str]:
    """The class of each validation picture, by its file's name: as Kaggle's table says, else by its number."""
    solution = _solution(root, base)
    told = _told(solution) if solution else {}
    wnids, indices = [one.wnid for one in paper.classes()], paper.validation_labels()
    labels = {}
    for name in names:
        number = NUMBERED.fullmatch(name)
        if (wnid := told.get(name.rpartition(".")[0])) is not None:
            labels[name] = wnid
        elif solution:
            raise TransferError(f"{solution}: no line for {name}. Restore the file, or remove the picture")
        elif number and 1 <= int(number[1]) <= len(indices):
            labels[name] = wnids[indices[int(number[1]) - 1]]
        else:
            raise TransferError(f"{base}: {name} is no validation picture of ImageNet. Remove it")
    return labels


def _solution(root: Path, base: Path) -> Path | None:
    """Kaggle's table, where it lies between the pictures and what the user named, or up to ILSVRC's folder and the one above."""
    above = [base, *base.resolve().parents[:3]] if base.resolve().name == "CLS-LOC" else [base]
    return next((folder / SOLUTION for folder in (*above, root) if (folder / SOLUTION).is_file()), None)


def _told(solution: Path) -> dict[str, str]:
    """File name without its ending -> class, from ``ImageId,PredictionString``, of which the first word is the class."""
    try:
        with solution.open(encoding="utf-8-sig", newline="") as file:
            rows = [(row["ImageId"], row["PredictionString"].split()[0]) for row in csv.DictReader(file)]
    except (UnicodeDecodeError, csv.Error, KeyError, AttributeError, IndexError, TypeError):
        raise TransferError(f"{solution} is not Kaggle's table ImageId,PredictionString. Restore it, or remove it") from None
    return dict(rows)


def _has_folders(folder: Path) -> bool:
    return folder.is_dir() and bool(folders.folders_in(folder))
