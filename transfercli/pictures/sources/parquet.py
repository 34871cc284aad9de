"""Hugging Face's parquet: ``data/train-*.parquet``, ``data/validation-*.parquet`` (or ``test-*``), beside one another too.

A column of pictures (the encoded file with its name, or the file alone) and one of labels: numbers, whose names the file's own
metadata tell, or ``dataset_infos.json``, or texts. A file is read a row group at a time, and of its pictures sizes and places
are kept. Reading one picture is reading its row group: soon done in the files' order, in which checks go through them,
and `pack`; for any other, pack first.
"""

import hashlib
import json
import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from transfercli.pictures.sources import index, labels
from transfercli.pictures.sources.listed import Found, Listed, Stretch
from transfercli.system.errors import TransferError
from transfercli.system.files import replacing
from transfercli.system.progress import Counting
from transfercli.system.words import some

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    from transfercli.pictures.decode import Place

FILES = "*." + "".join(f"[{letter}{letter.upper()}]" for letter in "parquet")  # in capitals too
LABELS = ("label", "labels", "fine_label", "class")  # what the column of classes is called; the first that is there
ROWS = 100  # decoded at once while listing
LARGEST = 2**31 - 1  # bytes of pictures in a row group that pyarrow can read out of a struct
KEPT = 256 * 2**20  # bytes of decoded row groups in memory
INFOS = "dataset_infos.json"
PLACES = ("data", "train", "validation", "valid", "val", "test")  # folders in which files may lie


class Row(NamedTuple):
    """A picture in a parquet file: its row group, its row there, its name, its label and its size in bytes."""

    group: int
    row: int
    name: str
    label: str
    length: int


class Columns(NamedTuple):
    """Which columns hold pictures and labels, and the labels' names where they are numbers that have any."""

    picture: str
    label: str
    names: tuple[str, ...]


class Cell(NamedTuple):
    """An encoded picture in a parquet file."""

    source: "Parquet"
    file: Path
    group: int
    row: int

    def read_bytes(self) -> bytes:
        return self.source.cell(self.file, self.group, self.row)

    def __str__(self) -> str:
        return f"row {self.row} of row group {self.group} in {self.file}"


class Parquet(Listed):
    """Pictures in parquet files. Row groups that were read last are kept, some hundred MB of them."""

    def __init__(self, root: Path, pictures: Sequence[Found], cells: "Cells", column: str, found: str):
        self.cells, self.column = cells, column
        self.groups: OrderedDict[tuple[Path, int], Future[pyarrow.ChunkedArray]] = OrderedDict()
        self.lock = threading.Lock()
        super().__init__(root, pictures, found)

    def place(self, i: int) -> str:
        file, group, row = self.cells.at(i)
        return f"{file.stem}/{group}/{row}"

    def size(self, path: str) -> int:
        return self.cells.sizes[self.number[path]]

    def joinpath(self, path: str) -> Cell:
        return Cell(self, *self.cells.at(self.number[path]))

    @property
    def state(self) -> str:
        found = ((file.relative_to(self.root), file.stat()) for file in self.cells.files)
        files = [(name.as_posix(), stat.st_size, stat.st_mtime_ns) for name, stat in found]
        return hashlib.sha256(repr((self.column, files)).encode("utf-8", "surrogateescape")).hexdigest()[:12]

    @property
    def aside_bytes(self) -> int:
        return size if (size := sum(self.cells.sizes)) > KEPT else 0

    @contextmanager
    def at_hand(self, aside: Path, counting: Counting) -> Iterator["Place"]:
        """A picture here, one there would be a row group each: more than stay in memory are written down in the files' order."""
        if not self.aside_bytes:
            yield self
            return
        if not aside.exists():
            with counting("reading parquet", len(self.number)) as progress, replacing(aside, "--out STORE") as written:
                with written.open("wb") as file:
                    for i in range(len(self.number)):
                        file.write(self._sized(i))
                        progress(1)
        yield Gathered(self, aside)
        aside.unlink()

    def _sized(self, i: int) -> bytes:
        """Picture i, of the size that is known. Raises TransferError."""
        file, group, row = self.cells.at(i)
        try:
            data = self.cell(file, group, row)
        except OSError as error:
            raise _damaged(file, error) from None
        if len(data) != self.cells.sizes[i]:
            raise TransferError(f"{file} has changed since it was listed. The same command lists it anew")
        return data

    def cell(self, file: Path, group: int, row: int) -> bytes:
        """Raises OSError where it cannot be read."""
        import pyarrow

        try:
            data: bytes = self._group(file, group)[row].as_py()
        except (pyarrow.ArrowException, OSError, IndexError) as error:
            raise OSError(0, f"damaged parquet: {' '.join(str(error).split())[:200]}", str(file)) from None
        return data

    def _group(self, file: Path, group: int) -> "pyarrow.ChunkedArray":
        """The encoded pictures of a row group: read by the first thread that asks for it, and the others wait for that."""
        key = file, group
        with self.lock:
            is_first = key not in self.groups
            reading = self.groups.setdefault(key, Future())
            self.groups.move_to_end(key)
        if is_first:
            try:
                reading.set_result(self._read_group(file, group))
            except BaseException as error:
                with self.lock:
                    del self.groups[key]
                reading.set_exception(error)
            self._forget()
        return reading.result()

    def _read_group(self, file: Path, group: int) -> "pyarrow.ChunkedArray":
        import pyarrow

        read = _opened(file).read_row_group(group, columns=[self.column], use_threads=False).column(0)
        return pyarrow.chunked_array([_encoded(chunk) for chunk in read.chunks])

    def _forget(self) -> None:
        """Leave out the row groups used longest ago, as far as there are more than stay in memory."""
        with self.lock:
            sizes = {key: one.result().nbytes for key, one in self.groups.items() if one.done()}
            total = sum(sizes.values())
            for key in [*sizes][:-1]:
                if total > KEPT:
                    total -= sizes[key]
                    del self.groups[key]


class Copied(NamedTuple):
    """An encoded picture of a parquet file that is copied into another."""

    cell: Cell
    stretch: Stretch

    def read_bytes(self) -> bytes:
        return self.stretch.read_bytes()

    def __str__(self) -> str:
        return str(self.cell)


class Gathered:
    """The pictures of parquet files one after another in one file."""

    def __init__(self, source: Parquet, file: Path):
        self.source, self.file, self.starts = source, file, array("q", accumulate(source.cells.sizes, initial=0))

    def joinpath(self, path: str, /) -> Copied:
        i = self.source.number[path]
        return Copied(self.source.joinpath(path), Stretch(self.file, path, self.starts[i], self.source.cells.sizes[i]))


class Cells:
    """Where each picture lies, and how large it is: 28 bytes of memory a picture."""

    def __init__(self) -> None:
        self.files: list[Path] = []
        self.file, self.group, self.row, self.sizes = array("i"), array("i"), array("q"), array("q")

    def add(self, file: Path, rows: Sequence[Row]) -> None:
        self.files.append(file)
        self.file.extend([len(self.files) - 1] * len(rows))
        self.group.extend(row.group for row in rows)
        self.row.extend(row.row for row in rows)
        self.sizes.extend(row.length for row in rows)

    def at(self, i: int) -> tuple[Path, int, int]:
        return self.files[self.file[i]], self.group[i], self.row[i]


def read(root: Path) -> Parquet | None:
    """The parquet files in a folder, in its ``data/``, in folders for the parts, or in the one folder that has some; else None.

    Raises TransferError where they are damaged, or hold no pictures with labels; and OSError.
    """
    files = sorted(file for of in (FILES, *(f"{part}/{FILES}" for part in PLACES)) for file in root.glob(of))
    files = files or sorted(root.glob(f"*/{FILES}"))
    if len(sets := {file.parent.name for file in files} - {*PLACES, root.name}) > 1:
        raise TransferError(f"{len(sets)} sets of pictures in {root}: {some(sorted(sets))}. Give the folder of one")
    if not files:
        return None
    of = labels.parts_of(root, files)
    parts = ["train", *filter(None, [labels.validation_of(root, {*of.values()})])]
    columns = _columns(root, next(file for file in files if of[file] == "train"))  # those of test may be without labels
    cells, pictures = Cells(), []
    for file in files:
        if of[file] in parts:
            rows = _rows(file, columns)
            cells.add(file, rows)
            pictures += [(of[file], sys.intern(row.label), row.name) for row in rows]
    if not pictures:
        raise TransferError(f"no rows in the parquet files in {root}. Give the folder of a set of pictures")
    counts = " and ".join(f"{[*of.values()].count(part)} files of {part}" for part in parts)
    return Parquet(root, labels.named(root, pictures, columns.names), cells, columns.picture, f"parquet, {counts}")


def _opened(file: Path) -> "ParquetFile":
    from pyarrow.parquet import ParquetFile

    return ParquetFile(file, memory_map=True)


def _rows(file: Path, columns: Columns) -> list[Row]:
    kind = f"parquet 2 {columns.picture} {columns.label}"  # the number: another where the same file gives other rows
    return [Row(*row) for row in index.kept(file, kind, Row.__annotations__, lambda: list(_read(file, columns)))]


def _read(file: Path, columns: Columns) -> Iterator[Row]:
    import pyarrow
    from pyarrow.compute import binary_length

    try:
        opened = _opened(file)
        _check_columns(file, opened.schema_arrow, columns)
        for group in range(opened.num_row_groups):
            row = size = 0
            for batch in opened.iter_batches(ROWS, [group], [columns.picture, columns.label], use_threads=False):
                pictures, told = batch.column(columns.picture), batch.column(columns.label)
                encoded, names = _encoded(pictures), _names(pictures)
                for data, name, label in zip(binary_length(encoded), names, told, strict=True):
                    where = f"{file}: row {row} of row group {group}"
                    if not data.is_valid:
                        raise TransferError(f"{where} has no picture in it. Write it with the files' bytes")
                    if not label.is_valid:
                        raise TransferError(f"{where} has no label. Leave out what has no class")
                    try:
                        path, called = name.as_py(), _label(label.as_py())
                    except UnicodeDecodeError:
                        raise TransferError(f"{where} has a path or a label that is not UTF-8. Write it anew") from None
                    place = PurePosixPath((path or "").replace("\\", "/")).name or f"{file.stem}-{group:05}-{row:05}"
                    yield Row(group, row, place, called, data.as_py())
                    row, size = row + 1, size + data.as_py()
            if size > LARGEST and pyarrow.types.is_struct(pictures.type) and pyarrow.types.is_binary(encoded.type):
                raise TransferError(
                    f"{file}: row group {group} has more than 2 GB of pictures. Write smaller ones, as with row_group_size=100"
                )
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(file, error) from None


def _check_columns(file: Path, schema: "pyarrow.Schema", columns: Columns) -> None:
    """Raise TransferError where a file is without the columns that another has."""
    fits = {one.name: one.name != columns.picture or _holds_files(one.type) for one in schema}
    for name, what in ((columns.picture, "encoded pictures"), (columns.label, "labels")):
        if not fits.get(name):
            raise TransferError(f"{file} has no {what} in a column {name}, as others there do. Give it them, or remove the file")


def _label(told: Any) -> str:
    """A class's label as a text; pandas makes a column of numbers one of floats."""
    return str(int(told) if isinstance(told, float) and told.is_integer() else told)


def _encoded(pictures: Any) -> Any:
    """The column of encoded files, of a struct with bytes and path or as it is."""
    import pyarrow

    return pictures.field("bytes") if pyarrow.types.is_struct(pictures.type) else pictures


def _names(pictures: Any) -> Any:
    """The pictures' paths, not yet decoded; None for each where they have none."""
    import pyarrow

    named = pyarrow.types.is_struct(pictures.type) and pictures.type.get_field_index("path") >= 0
    return pictures.field("path") if named else pyarrow.nulls(len(pictures))


def _columns(root: Path, file: Path) -> Columns:
    """Raises TransferError where pictures and their labels cannot be told."""
    import pyarrow

    try:
        schema = _opened(file).schema_arrow
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(file, error) from None
    features = _features(root, file, schema)
    is_picture = {one.name: _holds_files(one.type) for one in schema}
    told = [name for name, feature in features.items() if feature.get("_type") == "Image" and is_picture.get(name)]
    pictures = told or [name for name, holds in is_picture.items() if holds]
    classes = [name for name, feature in features.items() if feature.get("_type") == "ClassLabel"]
    found = [name for name in LABELS if name in schema.names] or [name for name in classes if name in schema.names]
    if not pictures or not found:
        what = "encoded pictures" if not pictures else "labels (" + ", ".join(LABELS) + ")"
        raise TransferError(f"{file} has no column of {what}, only {', '.join(schema.names)}. Give it one")
    names = features.get(found[0], {}).get("names", ())
    return Columns(pictures[0], found[0], tuple(map(str, names)))


def _holds_files(type_: Any) -> bool:
    import pyarrow

    if pyarrow.types.is_struct(type_):
        return type_.get_field_index("bytes") >= 0 and _holds_files(type_.field("bytes").type)
    return bool(pyarrow.types.is_binary(type_) or pyarrow.types.is_large_binary(type_))


def _features(root: Path, file: Path, schema: "pyarrow.Schema") -> Mapping[str, Mapping[str, Any]]:
    """What Hugging Face's `datasets` says of the columns, in the file or beside it; nothing where it says nothing."""
    try:
        if told := (schema.metadata or {}).get(b"huggingface"):
            features = json.loads(told)["info"]["features"]
        else:
            path = next(folder / INFOS for folder in (root, *root.resolve().parents[:1]) if (folder / INFOS).is_file())
            infos = json.loads(path.read_text(encoding="utf-8"))  # by configuration, which has a folder of its name
            only = [*infos] if len(infos) == 1 else []
            features = infos[next(name for name in (file.parent.name, root.resolve().name, *only) if name in infos)]["features"]
        return {name: feature for name, feature in features.items() if isinstance(feature, dict)}
    except (StopIteration, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _damaged(file: Path, error: Exception) -> TransferError:
    return TransferError(f"{file} is no sound parquet file ({' '.join(str(error).split())[:200].rstrip('.')}). Fetch it again")
