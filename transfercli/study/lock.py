"""One command at a time at a study: a lock that dies with its process, and a note of who has it."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from transfercli.plan.networks import Network
from transfercli.system.errors import TransferError
from transfercli.system.files import cannot_write, read_text, sweep, write_text

LOCK, NOTE = ".lock", ".holder.json"
Tell = Callable[[Mapping[str, Any]], None]  # takes what others are to know of the bank in training


@contextmanager
def held(root: Path, networks: Sequence[Network], folders: Callable[[], Iterable[Path]]) -> Iterator[Tell]:
    """Hold the study in `root` while these networks train, or its splits are written; the lock dies with its process.

    Yields a function that tells others of the bank in training, as `holder` gives it to them. What a killed process had set
    aside in the study's `folders` is removed. Raises TransferError if the study is held already.
    """
    lock = FileLock(root / LOCK, timeout=1)  # not 0: `holder` has the lock for a moment, to see whether it is free
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        other = holder(root) or {"pid": "?", "since": "now"}
        raise TransferError(
            f"process {other['pid']} has been at work in {root} since {other['since']}; "
            "wait for it, or use another study: --study DIR"
        ) from None
    except OSError as error:
        raise cannot_write(root / LOCK, error) from None
    try:
        names = [[network.split, network.seed, network.name] for network in networks]
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        sweep(folders())
        own = {"pid": os.getpid(), "since": since, "networks": names}
        write_text(root / NOTE, json.dumps(own))

        def tell(bank: Mapping[str, Any]) -> None:
            with suppress(TransferError):  # of a disk that is full the next checkpoint will speak
                write_text(root / NOTE, json.dumps({**own, "bank": dict(bank)}))

        yield tell
    finally:
        (root / NOTE).unlink(missing_ok=True)
        lock.release()


def holder(root: Path) -> dict[str, Any] | None:
    """Which process holds the study: `pid`, `since`, `networks`, and `bank` where one trains; None where none is alive."""
    lock = FileLock(root / LOCK, timeout=0)
    try:
        if (root / LOCK).exists():
            with lock:
                return None
        return None
    except Timeout:
        try:
            return json.loads(read_text(root / NOTE))
        except (TransferError, ValueError):
            return None
    except OSError:  # a study that may only be read: nothing trains in it
        return None
