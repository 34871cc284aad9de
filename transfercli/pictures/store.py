"""The packed store: a folder's pictures at one size in memory-mapped Arrow files, so that each is decoded and resized once.

    store.json           what the store holds and of which pictures; a digest of every other file
    index.arrow          a line for each row: part, class, path, bytes (of the file that it was made from)
    shard-00000.arrow …  the pixels: one column `picture`, one record batch, so many rows a shard

Row i is the i-th picture of `PictureFolder.listing`, train before val: raw pixels (size·size·3 bytes: rows, columns, RGB) or
a JPEG file; null where the picture could not be decoded. One store serves every split: a split is a list of rows.

Paths in a store are names and nothing more: the only files opened are those above, in the store's own folder. As with every
mapped file, a shard must not be cut short while a process reads it; `pack` replaces shards and never changes one.
"""

import hashlib
import shlex
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from transfercli.pictures.sources.source import Part, Source
from transfercli.recipe.schema import Pictures
from transfercli.system.errors import TransferError
from transfercli.system.files import read_text

if TYPE_CHECKING:
    import pyarrow

    from transfercli.pictures.decode import Put

ABOUT, INDEX = "store.json", "index.arrow"
SHARD_BYTES = 128 * 2**20  # of raw pixels; a few such buffers are in memory while packing
TAKEN = {"size", "fit", "orientation", "interpolation"}  # of a recipe: how a picture is taken, which a form says of a store's
CHUNK = 16  # rows that a thread takes at a time
JPEG_ROWS = 4  # times as many rows in a shard of JPEGs: they are a fifth as large

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Row = tuple[str, str, str, int]  # part, class, path, bytes


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Form(_Model):
    """What was made of every picture. `quality` is JPEG's, None for raw pixels. `orientation`: whether EXIF's was honoured."""

    size: Annotated[int, Field(gt=0, le=16384)]
    fit: Literal["warp", "crop"]
    orientation: Literal["exif", "ignore"] = "ignore"  # these two as in stores from before there was a choice
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    encoding: Literal["raw", "jpeg"] = "raw"
    quality: Annotated[int, Field(ge=1, le=100)] | None = None

    @model_validator(mode="after")
    def _quality_is_jpegs(self) -> "Form":
        if (self.quality is None) != (self.encoding == "raw"):
            raise ValueError("JPEG has a quality, raw pixels have none")
        return self

    def __str__(self) -> str:
        quality = "" if self.quality is None else f" of quality {self.quality}"
        return f"{self.shape}, {self.encoding}{quality}"

    @property
    def shape(self) -> str:
        """What was made of a picture before it was encoded."""
        turned = ", turned as EXIF tells" * (self.orientation == "exif")
        resized = f", {self.interpolation}" * (self.interpolation != "bilinear")
        return f"{self.size}×{self.size} ({self.fit}{turned}{resized})"

    def changes(self, wanted: Mapping[str, object]) -> list[str]:
        """What to add to a command so that a recipe which wants something else takes these pictures."""
        ours = self.model_dump()
        return [f"--set pictures.{key}={ours[key]}" for key, value in wanted.items() if ours[key] != value]

    @property
    def raw_bytes(self) -> int:
        """Of one picture."""
        return self.size * self.size * 3

    @property
    def rows_per_shard(self) -> int:
        return max(1, SHARD_BYTES // self.raw_bytes) * (JPEG_ROWS if self.encoding == "jpeg" else 1)


class Piece(_Model):
    """A file of the store, as it must be."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Sha256


class About(_Model):
    """store.json. A shard that is not made yet is None."""

    format: Literal["transfer-store-1"] = "transfer-store-1"
    form: Form
    source: str  # the folder it was made of, for the reader
    made_with: str  # versions that decide about pixels
    listing: Sha256  # of the rows: part, class, path and size of each file
    rows: Annotated[int, Field(gt=0)]
    per_shard: Annotated[int, Field(gt=0)]
    index: Piece
    shards: tuple[Piece | None, ...]
    unreadable: dict[Annotated[int, Field(ge=0)], str] = {}  # row -> reason

    @model_validator(mode="after")
    def _adds_up(self) -> "About":
        if len(self.shards) != -(-self.rows // self.per_shard):
            raise ValueError(f"{len(self.shards)} shards of {self.per_shard} rows cannot hold {self.rows} rows")
        if any(row >= self.rows for row in self.unreadable):
            raise ValueError(f"there is no row {max(self.unreadable)}")
        return self

    @property
    def missing(self) -> list[int]:
        return [number for number, piece in enumerate(self.shards) if piece is None]

    def rows_of(self, shard: int) -> range:
        return range(shard * self.per_shard, min((shard + 1) * self.per_shard, self.rows))


@dataclass(frozen=True, eq=False)
class Store(Source):
    """A whole store, open; `number`: path -> row."""

    root: Path
    about: About
    train: Part
    val: Part
    number: dict[str, int]
    sizes: Sequence[int]  # by row: bytes of the file that it was made from
    shards: "tuple[pyarrow.Array, ...]"

    @classmethod
    def open(cls, root: Path) -> "Store":
        """Map a store. Every file's size, schema and number of rows is checked, no pixel is read: that is `verify`.

        Raises TransferError where the store is unfinished or damaged.
        """
        about = read_about(root)
        if about.missing:
            done = len(about.shards) - len(about.missing)
            raise TransferError(
                f"the store {root} is not finished ({done} of {len(about.shards)} shards); {_again(root, about, 'go on')}"
            )
        if not sound(root / INDEX, about.index):
            raise _damaged(root, about, INDEX, "its digest does not fit")
        rows = _read_index(root, about)
        number = {path: row for row, (_, _, path, _) in enumerate(rows)}
        if not len(number) == len(rows) == about.rows:
            raise _damaged(root, about, INDEX, "a row is missing or stands twice")
        parts: dict[str, dict[str, list[str]]] = {"train": {}, "val": {}}
        for part, name, path, _ in rows:
            parts.setdefault(part, {}).setdefault(name, []).append(path)
        train, val = ({name: tuple(paths) for name, paths in parts[part].items()} for part in ("train", "val"))
        val = val or {name: () for name in train}
        shards = tuple(_map_shard(root, about, shard) for shard in range(len(about.shards)))
        return cls(root, about, train, val, number, [size for _, _, _, size in rows], shards)

    @property
    def validation(self) -> str | None:  # type: ignore[override]
        first = next((path for paths in self.val.values() for path in paths), None)
        return first and first.partition("/")[0]

    @property
    def mark(self) -> str:  # type: ignore[override]
        """What sets the store's pixels apart from its folder's: nothing for raw ones, a digest of them all for JPEG."""
        if self.about.form.encoding == "raw":
            return ""
        digests = [piece.sha256 for piece in self.about.shards if piece is not None]
        return f"jpeg {hashlib.sha256(' '.join(digests).encode()).hexdigest()}\n"

    @property
    def unreadable(self) -> dict[str, str]:  # type: ignore[override]
        """Of when it was packed: path -> why the picture could not be decoded."""
        return {path: self.about.unreadable[row] for path, row in self.number.items() if row in self.about.unreadable}

    def size(self, path: str) -> int:
        return self.sizes[self.number[path]]

    def check(self, pictures: Pictures, paths: Sequence[str] = ()) -> None:
        ours, values = self.about.form, pictures.model_dump(include=TAKEN)
        if changes := ours.changes(values):
            wanted = Form.model_construct(**values)  # though no store may be of that size
            turned = f" --set pictures.orientation={wanted.orientation}" * (wanted.orientation != ours.orientation)
            resized = f" --set pictures.interpolation={wanted.interpolation}" * (wanted.interpolation != "bilinear")
            raise TransferError(
                f"the pictures in {self.root} are {ours.shape}, but the recipe wants {wanted.shape}; pack them again: "
                f"transfer pack {_source(self.about)} --out NEW --size {wanted.size} --fit {wanted.fit}{turned}{resized}, "
                f"or change the recipe: {' '.join(changes)}"
            )
        self.rows(paths)

    def rows(self, paths: Iterable[str]) -> list[int]:
        """The rows of pictures. Raises TransferError for one that the store does not have."""
        found = []
        for path in paths:
            row = self.number.get(path)
            if row is None or row in self.about.unreadable:
                why = "is not in" if row is None else f"could not be decoded ({self.about.unreadable[row]}) when it went into"
                raise TransferError(f"{path} {why} the store {self.root}; make the split again: transfer split {self.root}")
            found.append(row)
        return found

    def stored(self, row: int) -> np.ndarray:
        """One row where it lies in the mapped file, uncopied: uint8 (size, size, 3), or the bytes of a JPEG file (n,)."""
        shard, place = divmod(row, self.about.per_shard)
        size, column = self.about.form.size, self.shards[shard]
        if self.about.form.encoding == "jpeg":
            return np.frombuffer(column[place].as_buffer(), np.uint8)
        pixels = np.frombuffer(column.buffers()[1], np.uint8, size * size * 3, place * size * size * 3)
        return pixels.reshape(size, size, 3)

    def each(self, paths: Sequence[str], pictures: Pictures, workers: ThreadPoolExecutor, put: "Put") -> None:
        """As `Source` says; a row is decoded, or given as it lies. Raises TransferError for a JPEG that is damaged."""
        rows, encoding = self.rows(paths), self.about.form.encoding

        def some(start: int) -> None:
            for i in range(start, min(start + CHUNK, len(rows))):
                stored = self.stored(rows[i])
                put(i, stored if encoding == "raw" else self._from_jpeg(rows[i], stored))

        for _ in workers.map(some, range(0, len(rows), CHUNK)):
            pass

    def _from_jpeg(self, row: int, stored: np.ndarray) -> np.ndarray:
        import torch
        from torchvision.io import ImageReadMode, decode_jpeg

        size = self.about.form.size
        try:
            picture = decode_jpeg(torch.frombuffer(bytearray(stored), dtype=torch.uint8), mode=ImageReadMode.RGB)
        except RuntimeError:
            picture = torch.empty(0)
        if picture.shape != (3, size, size):
            raise TransferError(
                f"row {row} of the store {self.root} is damaged; mend the store: transfer pack DIR --out {self.root}"
            )
        return picture.permute(1, 2, 0).numpy()

    def verify(self, progress: Callable[[int], None] = lambda count: None) -> None:
        """Read everything and compare with the digests. Raises TransferError for the first file that is damaged.

        `progress` is called with the number of shards checked since its last call.
        """
        for shard, piece in enumerate(self.about.shards):
            if piece is None or not sound(self.root / shard_name(shard), piece):
                raise _damaged(self.root, self.about, shard_name(shard), "its digest does not fit")
            progress(1)
        if not sound(self.root / INDEX, self.about.index):
            raise _damaged(self.root, self.about, INDEX, "its digest does not fit")


def is_store(root: Path) -> bool:
    """Whether a folder is a store, whole or not. One with a train/ of its own is a folder of pictures."""
    return (root / ABOUT).exists() and not (root / "train").exists()


def shard_name(shard: int) -> str:
    return f"shard-{shard:05d}.arrow"


def read_about(root: Path) -> About:
    """store.json. Raises TransferError where it cannot be read."""
    text = read_text(root / ABOUT)
    try:
        return About.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where, what = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        reason = " ".join(f"{where}: {what}".removeprefix(": ").split())[:200]
        raise TransferError(
            f"{root / ABOUT} is damaged ({reason}); remove {root} and pack again: transfer pack DIR --out {root}"
        ) from None


def piece(path: Path) -> Piece:
    """A file's size and digest."""
    with path.open("rb") as file:
        return Piece(bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def sound(path: Path, wanted: Piece) -> bool:
    """Whether a file of the store is there, is its own and no link, and has its digest."""
    try:
        return _size(path) == wanted.bytes and piece(path) == wanted
    except OSError:
        return False


def shard_schema(about: About, shard: int) -> "pyarrow.Schema":
    """The schema of a shard. Its metadata tell it from every other one, of this store or of another."""
    import pyarrow

    form = about.form
    column = pyarrow.field("picture", pyarrow.binary(form.raw_bytes if form.encoding == "raw" else -1))
    first = about.rows_of(shard).start
    return pyarrow.schema([column], {"form": str(form), "listing": about.listing, "first row": str(first)})


def index_table(rows: Sequence[Row]) -> "pyarrow.Table":
    """index.arrow. Names are bytes, since a file's name need not be text."""
    import pyarrow

    part, name, path, size = zip(*rows, strict=True)
    names, paths = ([text.encode("utf-8", "surrogateescape") for text in column] for column in (name, path))
    return pyarrow.table([part, names, paths, size], schema=_index_schema())


def _index_schema() -> "pyarrow.Schema":
    import pyarrow

    binary = pyarrow.binary()
    return pyarrow.schema({"part": pyarrow.string(), "class": binary, "path": binary, "bytes": pyarrow.int64()})


def listing_digest(rows: Iterable[Row], mark: str = "") -> str:
    """SHA-256 (hex) over part, class, path and size in bytes of each row."""
    digest = hashlib.sha256(mark.encode())
    for part, name, path, size in rows:
        line = f"{part}\0{name}\0{path}\0{size}\n"  # \0 cannot occur in a path
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _read_index(root: Path, about: About) -> list[Row]:
    import pyarrow

    try:
        with pyarrow.memory_map(str(root / INDEX), "r") as file:
            table = pyarrow.ipc.open_file(file).read_all()
        table.validate(full=True)
        if not table.schema.equals(_index_schema()) or any(column.null_count for column in table.columns):
            raise ValueError("its columns are others")
        part, name, path, size = (column.to_pylist() for column in table.columns)
        names, paths = ([text.decode("utf-8", "surrogateescape") for text in column] for column in (name, path))
        return list(zip(part, names, paths, size, strict=True))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _damaged(root, about, INDEX, str(error)) from None


def _map_shard(root: Path, about: About, shard: int) -> "pyarrow.Array":
    """The column of a shard, mapped. What could lead a reader out of the file is checked; the file itself is closed again."""
    import pyarrow

    path, wanted, rows = root / shard_name(shard), about.shards[shard], about.rows_of(shard)
    assert wanted is not None
    try:
        if _size(path) != wanted.bytes:
            raise ValueError(f"{_size(path):,} bytes, not {wanted.bytes:,}")
        with pyarrow.memory_map(str(path), "r") as file:
            reader = pyarrow.ipc.open_file(file)
            if not reader.schema.equals(shard_schema(about, shard), check_metadata=True) or reader.num_record_batches != 1:
                raise ValueError("it is a shard of another store, or another shard")
            column = reader.get_batch(0).column(0)
        column.validate(full=True)
        least = len(rows) * about.form.raw_bytes if about.form.encoding == "raw" else 0
        if len(column) != len(rows) or column.buffers()[1].size < least:
            raise ValueError(f"it does not hold {len(rows)} rows")
        empty = {row - rows.start for row in about.unreadable if row in rows}
        if column.null_count != len(empty) or any(column[place].is_valid for place in empty):
            raise ValueError("a picture is missing")
        return column
    except FileNotFoundError:
        raise _damaged(root, about, path.name, "it is missing") from None
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _damaged(root, about, path.name, str(error)) from None


def _size(path: Path) -> int:
    """Bytes of a plain file. Raises OSError for a link or anything else that is not one."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{path.name} is not a plain file")
    return found.st_size


def _damaged(root: Path, about: About, name: str, reason: str) -> TransferError:
    text = " ".join(reason.split())[:200].rstrip(".")
    return TransferError(f"{root / name} is damaged ({text}); {_again(root, about, 'mend the store')}")


def _again(root: Path, about: About, what: str) -> str:
    return f"{what}: transfer pack {_source(about)} --out {root}"


def _source(about: About) -> str:
    """The folder that a store was made of, as one would type it; from a file that anybody may have written."""
    return shlex.quote(about.source) if about.source.isprintable() else "DIR"
