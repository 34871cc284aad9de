"""What was read from a large file to list its pictures, kept for the next time in the user's cache.

Listing a file of many gigabytes takes minutes, and each command lists. A list is of the file's path, size and time of change:
another file has another. Nothing depends on it but time: what is lost, damaged or cannot be written is read again.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from transfercli.system.errors import TransferError
from transfercli.system.files import replacing

SLOW = 0.05  # seconds from which on a list is kept: a set has a thousand shards
VERSION = 1


def kept(path: Path, kind: str, columns: Mapping[str, type], read: Callable[[], Sequence[tuple[Any, ...]]]) -> Sequence[Any]:
    """What `read` says of a file, a tuple a row, of whole numbers and texts. Raises what `read` raises."""
    import pyarrow

    types = {str: pyarrow.binary(), int: pyarrow.int64()}
    schema = pyarrow.schema({name: types[of] for name, of in columns.items()})
    place = _place(path, kind)
    try:
        with pyarrow.OSFile(str(place), "rb") as file:
            table = pyarrow.ipc.open_file(file).read_all()
        table.validate(full=True)
        if table.schema.equals(schema) and not any(column.null_count for column in table.columns):
            return list(zip(*map(_values, table.columns), strict=True))
    except (OSError, ValueError):  # of which pyarrow's own errors are kinds
        pass
    began = perf_counter()
    rows = read()
    if rows and perf_counter() - began > SLOW:
        cells = zip(*rows, strict=True)
        arrays = [
            [cell.encode("utf-8", "surrogateescape") if isinstance(cell, str) else cell for cell in column] for column in cells
        ]
        table = pyarrow.table(arrays, schema=schema)
        try:
            with replacing(place) as aside, pyarrow.OSFile(str(aside), "wb") as file:
                with pyarrow.ipc.new_file(file, schema) as out:
                    out.write_table(table)
        except TransferError:
            pass  # no room, or not ours to write: it is read again
    return rows


def cache(of: str) -> Path:
    """A folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transfer" / of


def _values(column: Any) -> list[Any]:
    values = column.to_pylist()
    return [value.decode("utf-8", "surrogateescape") for value in values] if values and isinstance(values[0], bytes) else values


def _place(path: Path, kind: str) -> Path:
    real, found = path.resolve(), path.stat()
    what = f"{VERSION}\0{kind}\0{real}\0{found.st_size}\0{found.st_mtime_ns}"
    return cache("pictures") / f"{hashlib.sha256(what.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.arrow"
