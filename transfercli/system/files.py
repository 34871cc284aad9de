"""Files read and written whole: what is written is written aside and renamed, so it is whole or not there."""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from transfercli.system.errors import TransferError

# The names that `replacing` writes to (with tempfile's eight characters), and safetensors on its way there.
ASIDE = r"\..+\.[a-z0-9_]{8}(\.\w+)?|\.tmp\w{6}"


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise TransferError(f"{path} is damaged: it is not text; remove it and run the command again") from None
    except OSError as error:
        raise TransferError(f"cannot read {path}: {error.strerror}; check the file and its permissions") from None


def metadata(path: Path) -> dict[str, str]:
    """What a file of weights says of itself; nothing where it is damaged."""
    try:
        with safe_open(path, "np") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError):
        return {}


def write_text(path: Path, text: str, flag: str = "--study DIR") -> None:
    with replacing(path, flag) as aside:
        # File names that are not UTF-8 come as lone surrogates; JSON reads what backslashreplace makes of them back as they were.
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def replacing(path: Path, flag: str = "--study DIR") -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place when it is whole and on the disk.

    Raises TransferError, which names the `flag` that chooses another folder.
    """
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
        aside = Path(name)
        yield aside
        os.chmod(aside, 0o644)  # mkstemp's file, and the one that safetensors puts in its place, are for their owner alone
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except (OSError, SafetensorError) as error:  # safetensors has no OSError for a disk that is full
        raise cannot_write(path, error, flag) from None
    finally:
        if aside is not None:
            aside.unlink(missing_ok=True)


def sweep(folders: Iterable[Path]) -> None:
    """Remove what killed writers have set aside in these folders. Only for one who alone writes there."""
    for folder in folders:
        for path in folder.glob(".*"):
            if re.fullmatch(ASIDE, path.name):
                path.unlink(missing_ok=True)


def cannot_write(path: Path, error: Exception, flag: str = "--study DIR") -> TransferError:
    reason = getattr(error, "strerror", None) or error
    return TransferError(f"cannot write {path}: {reason}; make room or choose another folder: {flag}")
