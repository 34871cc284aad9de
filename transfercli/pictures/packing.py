"""A source of pictures packed into a store.

Pictures are decoded on threads straight into the next shard while the last one is written, so packing runs as fast as
decoding and needs the memory of three shards. A shard is written aside, brought to the disk and renamed, and then entered in
store.json: after a kill the same call goes on with the first shard that is missing. Nothing depends on the number of threads.
"""

import io
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torchvision
from filelock import FileLock, Timeout
from PIL import Image

from transfercli.pictures import store as stores
from transfercli.pictures.decode import Place, Undecodable, decode
from transfercli.pictures.folder import PictureFolder
from transfercli.pictures.store import ABOUT, INDEX, About, Form, Piece, Row, Store
from transfercli.system.errors import TransferError
from transfercli.system.files import cannot_write, replacing, write_text
from transfercli.system.progress import Counting
from transfercli.system.threads import pool

CHUNK = 8  # pictures per future
JPEG_SHARE = 1 / 5  # of the raw bytes, about, for photographs at quality 95
FLAG = "--out STORE"
ASIDE = ".encoded"  # in the store's folder while packing: pictures as they came, where their source is slow in the store's order


def write_store(folder: PictureFolder, out: Path, form: Form, threads: int, skip_unreadable: bool, counting: Counting) -> Store:
    """All pictures of a folder, train and val, as a store in the folder `out`.

    Goes on where an earlier call was killed. Of a store that is there already every shard is checked and the damaged ones are
    made again. A picture that cannot be decoded stops it, or with `skip_unreadable` becomes a row without pixels.
    Raises TransferError.
    """
    _refuse_place(folder, out)
    with _alone(out):
        rows = list(folder.listing())
        about = _begin(folder, out, rows, form, counting)
        aside = out / f"{ASIDE}-{folder.source.state}"
        for other in out.glob(f"{ASIDE}*"):
            if other != aside or not about.missing:  # made of files that were others then, or no longer needed
                other.unlink()
        if about.missing:
            _refuse_small_disk(out, about, 0 if aside.exists() else folder.source.aside_bytes)
            with folder.source.at_hand(aside, counting) as source:
                _make(_Work(source, out, [path for _, _, path, _ in rows], about, skip_unreadable), threads, counting)
    return Store.open(out)


def _to_jpeg(picture: np.ndarray, quality: int) -> bytes:
    """By Pillow, since torchvision cannot be told to keep the colours at full resolution (4:4:4)."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


# --- what is there already ---------------------------------------------------------------------------------------------


def _refuse_place(folder: PictureFolder, out: Path) -> None:
    if isinstance(folder.source, Store):
        raise TransferError(f"{folder.root} is a store already; pack the folder that it was made of: transfer pack DIR {FLAG}")
    if any(out.resolve().is_relative_to(part.resolve()) for part in folder.source.folders):
        raise TransferError(
            f"{out} is among the pictures, and would be taken for one of their classes; choose another folder: {FLAG}"
        )
    foreign = (entry for entry in out.glob("*") if entry.name != INDEX and not entry.name.startswith("."))
    if not (out / ABOUT).exists() and any(foreign):
        raise TransferError(f"{out} has other files in it and no store; choose another folder: {FLAG}")


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the store's folder; the lock dies with its process. What a killed process had set aside is removed."""
    lock = FileLock(out / ".lock", timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise TransferError(f"another process is packing into {out}; wait for it, or choose another folder: {FLAG}") from None
    except OSError as error:
        raise cannot_write(out, error, FLAG) from None
    try:
        for name in ("shard-*.arrow", INDEX, ABOUT, f"{ASIDE}*"):
            for aside in out.glob(f".{name}.*"):
                aside.unlink()
        yield
    finally:
        lock.release()


def _begin(folder: PictureFolder, out: Path, rows: list[Row], form: Form, counting: Counting) -> About:
    """The store as far as it is made: a new one, or that in `out` with the shards whose digests fit. Raises TransferError."""
    listing = stores.listing_digest(rows)
    if (out / ABOUT).exists():
        about = _sound_part(folder, out, listing, form, counting)
    else:
        about = About(
            form=form,
            source=folder.where.encode("utf-8", "surrogateescape").decode("utf-8", "replace"),
            made_with=made_with(),
            listing=listing,
            rows=len(rows),
            per_shard=form.rows_per_shard,
            index=Piece(bytes=0, sha256="0" * 64),
            shards=(None,) * -(-len(rows) // form.rows_per_shard),
        )
    if not stores.sound(out / INDEX, about.index):
        about = about.model_copy(update={"index": _write_arrow(out / INDEX, stores.index_table(rows))})
    _enter(out, about)
    return about


def _sound_part(folder: PictureFolder, out: Path, listing: str, form: Form, counting: Counting) -> About:
    about = stores.read_about(out)
    if about.listing != listing:
        raise TransferError(
            f"{out} was made of other pictures than those in {folder.root} now (some were added, removed or changed); "
            f"remove it, or choose another folder: {FLAG}"
        )
    if about.form != form:
        raise TransferError(f"the pictures in {out} are {about.form}, not {form}; remove it, or choose another folder: {FLAG}")
    shards: list[Piece | None] = []
    with counting("checking shards", len(about.shards)) as progress:
        for shard, piece in enumerate(about.shards):
            shards.append(piece if piece and stores.sound(out / stores.shard_name(shard), piece) else None)
            progress(1)
    gone = {row for shard, piece in enumerate(shards) if piece is None for row in about.rows_of(shard)}
    unreadable = {row: reason for row, reason in about.unreadable.items() if row not in gone}
    about = about.model_copy(update={"shards": tuple(shards), "unreadable": unreadable})
    if about.missing and about.made_with != made_with():
        raise TransferError(
            f"{out} was begun with {about.made_with}, and here is {made_with()}, which may give other pixels; "
            f"go on with those, or choose another folder: {FLAG}"
        )
    return about


def made_with() -> str:
    """The versions that decide about pixels."""
    return f"torchvision {torchvision.__version__.partition('+')[0]}, Pillow {PIL.__version__}"


def _refuse_small_disk(out: Path, about: About, aside: int) -> None:
    rows = sum(len(about.rows_of(shard)) for shard in about.missing)
    raw = about.form.encoding == "raw"
    needed, free = aside + int(rows * about.form.raw_bytes * (1 if raw else JPEG_SHARE)), shutil.disk_usage(out).free
    if needed > free:
        raise TransferError(
            f"{out} needs {'' if raw else 'about '}{size_text(needed)} more and its disk has {size_text(free)} free; "
            f"make room, or choose another disk: {FLAG}" + ", or a fifth of the size: --encoding jpeg" * raw
        )


def size_text(count: float) -> str:
    """1500000 -> "1.5 MB"."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


# --- shards ------------------------------------------------------------------------------------------------------------


class _Work:
    """What the threads share. `about` is replaced on the writing thread alone."""

    def __init__(self, source: Place, out: Path, paths: list[str], about: About, skip_unreadable: bool):
        self.source, self.out, self.paths, self.about, self.skip = source, out, paths, about, skip_unreadable
        self.form = about.form
        self.spare: list[np.ndarray] = []  # pixels of shards that are written: fresh memory costs as much as a fifth of decoding

    def cells(self, shard: int) -> Any:
        """Room for a shard's pictures: pixels, or a list of JPEG files."""
        if self.form.encoding == "jpeg":
            return [None] * len(self.about.rows_of(shard))
        size = self.form.size
        return self.spare.pop() if self.spare else np.empty((self.about.per_shard, size, size, 3), np.uint8)

    def fill(self, rows: range, first: int, cells: Any) -> dict[int, str]:
        """Decode some rows of the shard that begins with row `first`. Returns those that cannot be, with the reason."""
        failed: dict[int, str] = {}
        for row in rows:
            form = self.form
            encoded = self.source.joinpath(self.paths[row])
            try:
                decoded = decode(encoded, form.size, form.fit, form.orientation, form.interpolation)
            except Undecodable as error:
                failed[row] = error.reason
                if not self.skip:
                    raise TransferError(
                        f"cannot decode {error.where} ({error.reason}); replace it, or leave it out: --skip-unreadable"
                    ) from None
                continue
            picture = decoded.permute(1, 2, 0).numpy()
            cells[row - first] = picture if self.form.quality is None else _to_jpeg(picture, self.form.quality)
        return failed

    def write(self, shard: int, cells: Any, failed: dict[int, str]) -> None:
        import pyarrow

        rows, schema = self.about.rows_of(shard), stores.shard_schema(self.about, shard)
        if self.form.encoding == "raw":
            for row in failed:
                cells[row - rows.start] = 0
            there = np.array([row not in failed for row in rows])
            bits = pyarrow.py_buffer(np.packbits(there, bitorder="little").tobytes()) if failed else None
            column = pyarrow.Array.from_buffers(schema.field(0).type, len(rows), [bits, pyarrow.py_buffer(cells[: len(rows)])])
        else:
            column = pyarrow.array(cells, schema.field(0).type)
        table = pyarrow.Table.from_batches([pyarrow.record_batch([column], schema=schema)])
        written = _write_arrow(self.out / stores.shard_name(shard), table)
        if self.form.encoding == "raw":
            self.spare.append(cells)
        shards = list(self.about.shards)
        shards[shard] = written
        unreadable = dict(sorted({**self.about.unreadable, **failed}.items()))
        self.about = self.about.model_copy(update={"shards": tuple(shards), "unreadable": unreadable})
        _enter(self.out, self.about)


def _make(work: _Work, threads: int, counting: Counting) -> None:
    """The missing shards: while one is written the next is filled and the one after it waits for threads that fall idle."""
    missing = iter(work.about.missing)
    begun: deque[tuple[int, Any, list[tuple[int, Future[dict[int, str]]]]]] = deque()
    total = sum(len(work.about.rows_of(shard)) for shard in work.about.missing)
    with counting("packing pictures", total) as progress, ThreadPoolExecutor(1) as writer, pool(threads) as workers:
        written: Future[None] | None = None

        def begin(shard: int) -> None:
            rows, cells = work.about.rows_of(shard), work.cells(shard)
            chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
            begun.append((shard, cells, [(len(c), workers.submit(work.fill, c, rows.start, cells)) for c in chunks]))

        try:
            for shard in (next(missing, None), next(missing, None)):
                if shard is not None:
                    begin(shard)
            while begun:
                shard, cells, chunks = begun.popleft()
                failed: dict[int, str] = {}
                for count, chunk in chunks:
                    failed |= chunk.result()
                    progress(count)
                if written is not None:
                    written.result()
                written = writer.submit(work.write, shard, cells, failed)
                del cells
                if (following := next(missing, None)) is not None:
                    begin(following)
            if written is not None:
                written.result()
        except BaseException:
            workers.shutdown(cancel_futures=True)  # what is being written is finished and entered, nothing else is begun
            raise


def _write_arrow(path: Path, table: Any) -> Piece:
    import pyarrow

    with replacing(path, FLAG) as aside:
        with pyarrow.OSFile(str(aside), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as out:
            out.write_table(table)
        return stores.piece(aside)


def _enter(out: Path, about: About) -> None:
    write_text(out / ABOUT, about.model_dump_json(indent=1) + "\n", FLAG)
