"""One command at a time at a study: a lock that dies with its process, and a note of who has it.

On a file system of several machines a lock may hold nothing. There the note counts, whose holder renews it every few seconds.
"""

import json
import os
import signal
import socket
import threading
import time
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
RENEWED, STALE = 10.0, 60.0  # seconds between two signs of life; without one for so long another machine's holder is dead
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
        raise _taken(root, holder(root) or {"pid": "?", "since": "now"}) from None
    except OSError as error:
        raise cannot_write(root / LOCK, error) from None
    if other := _elsewhere(root):
        lock.release()
        raise _taken(root, other)
    over = threading.Event()
    try:
        names = [[network.split, network.seed, network.name] for network in networks]
        since = datetime.now().astimezone().isoformat(" ", "seconds")
        sweep(folders())
        own = {"host": socket.gethostname(), "pid": os.getpid(), "since": since, "networks": names}
        write_text(root / NOTE, json.dumps(own))

        def tell(bank: Mapping[str, Any]) -> None:
            with suppress(TransferError):  # of a disk that is full the next checkpoint will speak
                write_text(root / NOTE, json.dumps({**own, "bank": dict(bank)}))

        threading.Thread(target=_renew, args=(root, own, over), daemon=True).start()
        yield tell
    finally:
        over.set()
        (root / NOTE).unlink(missing_ok=True)
        lock.release()


def _renew(root: Path, own: Mapping[str, Any], over: threading.Event) -> None:
    """Give signs of life until it is over; stop where another machine, which had none for too long, has taken the study."""
    while not over.wait(RENEWED):
        with suppress(OSError):  # of a disk that is away for a moment
            os.utime(root / NOTE)
        if (now := _note(root)) and not over.is_set() and (now["host"], now["pid"]) != (own["host"], own["pid"]):
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _note(root: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(read_text(root / NOTE))
        return {"host": socket.gethostname(), **note}  # of before there were hosts
    except (TransferError, ValueError, TypeError):
        return None


def _elsewhere(root: Path) -> dict[str, Any] | None:
    """The note of a holder on another machine that gave a sign of life lately, by the clock of the file system."""
    if not (note := _note(root)) or note["host"] == socket.gethostname():
        return None
    try:
        now = time.time()
        with suppress(OSError):  # a study that may only be read
            os.utime(root / LOCK)
            now = (root / LOCK).stat().st_mtime
        return note if now - (root / NOTE).stat().st_mtime < STALE else None
    except OSError:
        return None


def _taken(root: Path, other: Mapping[str, Any]) -> TransferError:
    host = f" on {other['host']}" if other.get("host", socket.gethostname()) != socket.gethostname() else ""
    return TransferError(
        f"process {other['pid']}{host} has been at work in {root} since {other['since']}; "
        "wait for it, or use another study: --study DIR"
    )


def holder(root: Path) -> dict[str, Any] | None:
    """Which process holds the study: `host`, `pid`, `since`, `networks`, `bank` where one trains; None where none is alive."""
    lock = FileLock(root / LOCK, timeout=0)
    try:
        if (root / LOCK).exists():
            with lock:
                return _elsewhere(root)
        return None
    except Timeout:
        return _note(root)
    except OSError:  # a study that may only be read: nothing trains in it
        return None
