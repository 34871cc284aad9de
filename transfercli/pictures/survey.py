"""`transfer pictures`: what lies in a folder, before a study is made of it: classes, sizes, what is broken or there twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from transfercli.paper import called
from transfercli.pictures.decode import decode, examine
from transfercli.pictures.folder import PictureFolder, fault_of, look
from transfercli.pictures.twice import Same, Twice, across
from transfercli.system.errors import TransferError
from transfercli.system.files import replacing
from transfercli.system.progress import Counting, uncounted
from transfercli.system.threads import processors

if TYPE_CHECKING:
    import pandas

TILE, TEXT = 96, 14  # pixels of a picture on the sheet, and of the line above it
ACROSS = 8  # pictures of a class on the sheet, or classes beside one another where there are many
ROWS = 40  # classes up to which each has a row of its own
MOST = 400  # classes on a sheet


@dataclass(frozen=True)
class Survey:
    """What was found. Of a store, whose pictures were checked when it was packed, nothing is read: no `sizes`, none `twice`."""

    pictures: PictureFolder
    bytes: int  # of all encoded pictures
    sizes: tuple[tuple[int, int], ...]  # width and height of each that can be decoded
    unreadable: dict[str, str]  # path -> reason
    twice: tuple[Same, ...]
    fault: str  # what keeps a study from being made of them, and what to do about it; empty where nothing does

    @property
    def table(self) -> "pandas.DataFrame":
        """A row for each class: its folder's name, what it is called, pictures to train on and to be measured on."""
        import pandas

        found = self.pictures
        rows = [(name, called(name), len(found.train[name]), len(found.val[name])) for name in found.classes]
        return pandas.DataFrame(rows, columns=["class", "called", "train", "val"])

    @property
    def leaked(self) -> tuple[Same, ...]:
        """Of what is there twice, that which is in both parts: a network is measured on what it has learned."""
        parts = {"train": self.pictures.train, "val": self.pictures.val}
        return across(self.twice, {path: part for part, of in parts.items() for files in of.values() for path in files})

    @property
    def disputed(self) -> tuple[Same, ...]:
        """Of what is there twice, that which is in two classes."""
        parts = (self.pictures.train, self.pictures.val)
        return across(self.twice, {path: name for part in parts for name, files in part.items() for path in files})

    @property
    def median(self) -> tuple[float, float]:
        """Width and height."""
        widths, heights = zip(*self.sizes, strict=True)
        return median(widths), median(heights)


def survey(folder: str | Path, sheet: str | Path | None = None, *, counting: Counting = uncounted) -> Survey:
    """Read every picture of a folder once, in whichever layout it is, and say what is there.

    sheet: a PNG file for some pictures of each class. Raises TransferError where there are no pictures, or the sheet cannot be
    written.
    """
    if sheet is not None and Path(sheet).suffix.lower() != ".png":
        raise TransferError(f"a sheet is a PNG file, not {Path(sheet).name}; give it a name with .png")
    found = look(Path(folder))
    known = found.source.unreadable
    if sheet is not None and known is not None:
        raise TransferError(f"{folder} is a store; draw the sheet of the folder that it was packed from")
    paths = [] if known is not None else sorted(found.paths, key=found.source.place_of)
    unreadable, sizes, same = dict(known or {}), list[tuple[int, int]](), Twice()
    with counting("checking pictures", len(paths)) as progress:
        for path, one in examine(found.source, paths, processors(), progress):
            if isinstance(one, str):
                unreadable[path] = one
            else:
                sizes.append((one.width, one.height))
                same.add(path, one.digest)
    made = Survey(
        found, sum(size for *_, size in found.listing()), tuple(sizes), unreadable, same.found, fault_of(found, halved=False)
    )
    if sheet is not None:
        _draw(made, Path(sheet))
    return made


def _draw(made: Survey, sheet: Path) -> None:
    """Some pictures of each class, in rows; of very many classes some."""
    found = made.pictures
    classes = _evenly(found.classes, MOST)
    each = ACROSS if len(classes) <= ROWS else 1
    beside = ACROSS // each
    rows = -(-len(classes) // beside)
    image = Image.new("RGB", (ACROSS * TILE, rows * (TILE + TEXT)), "white")
    draw = ImageDraw.Draw(image)
    for i, name in enumerate(classes):
        row, column = divmod(i, beside)
        left, top = column * each * TILE, row * (TILE + TEXT)
        draw.text(
            (left + 2, top + 1), called(name)[: each * TILE // 6].encode("latin-1", "replace").decode("latin-1"), fill="black"
        )
        shown = [path for path in _evenly(found.train[name], each) if path not in made.unreadable]
        for place, path in enumerate(shown):
            image.paste(_tile(found, path), (left + place * TILE, top + TEXT))
    with replacing(sheet, "--sheet FILE") as aside:
        image.save(aside, "PNG")


def _tile(found: PictureFolder, path: str) -> Image.Image:
    pixels = decode(found.source.joinpath(path), TILE - 2, "crop").permute(1, 2, 0).numpy()
    return Image.fromarray(np.ascontiguousarray(pixels))


def _evenly(of: Sequence[str], most: int) -> list[str]:
    return [of[i * len(of) // most] for i in range(most)] if len(of) > most else [*of]
