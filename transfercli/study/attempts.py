"""Attempts: what a worker elsewhere makes of some networks, under its own name until whoever holds the study takes it.

study/.attempts/<name>/beat.json     who works there and how far it is, anew every few seconds
study/.attempts/<name>/stop          asks it to stop after its step
study/.attempts/<name>/done.json     the sha256 of every file that it made; written last
study/.attempts/<name>/<split>/...   networks and checkpoints, as in a study

A worker that was thought lost may come back and write on. Nothing of it stands in the study's own folders: `take` alone moves
networks there, `salvage` checkpoints, and what comes later is swept away.
"""

import hashlib
import json
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfercli.plan.networks import Network, placed
from transfercli.study import checkpoint_files
from transfercli.study.checkpoint_files import FILES
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.system.files import read_text, write_text

FOLDER = ".attempts"
BEAT_SECONDS = 5.0  # between two signs of life
LOST_SECONDS = 60.0  # without one, after which a worker counts as lost
LATE_SECONDS = 60.0  # that a file may take to be seen as it was written, on a file system of many machines
SNAPSHOTS = "at-*.safetensors"


@dataclass(frozen=True)
class Attempt:
    study: Study
    name: str

    @property
    def made(self) -> Study:
        """What it makes, as a study of its own."""
        return Study(self.study.root / FOLDER / self.name)

    @property
    def _done(self) -> Path:
        return self.made.root / "done.json"

    # -- the worker's side

    @contextmanager
    def beating(self, about: Mapping[str, Any], stop: Callable[[], None]) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Give signs of life while the work goes on. Yields a function that takes how far it is; if asked, calls `stop` once."""
        own, over = {"host": socket.gethostname(), "pid": os.getpid(), **about}, threading.Event()
        said: dict[str, Any] = {}

        def beat() -> None:
            with suppress(TransferError):  # of a disk that is full the next checkpoint will speak
                write_text(self.made.root / "beat.json", json.dumps({**own, **said, "count": next(counts)}))

        def live() -> None:
            asked, last = False, 0.0
            while not over.wait(0.5):
                if not asked and (self.made.root / "stop").exists():
                    asked = True
                    stop()
                if time.monotonic() - last >= BEAT_SECONDS:
                    last = time.monotonic()
                    beat()

        counts = iter(range(10**9))
        beat()
        thread = threading.Thread(target=live, daemon=True)
        thread.start()
        try:
            yield said.update
        finally:
            over.set()
            thread.join()

    def say(self, line: str) -> None:
        """Keep a line for whoever holds the study."""
        with suppress(OSError), (self.made.root / "said.txt").open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{line}\n")

    def go_on(self, networks: Iterable[Network]) -> None:
        """Have the snapshots that an earlier attempt at these networks took."""
        for network in networks:
            for path in self.study.folder(network).glob(SNAPSHOTS):
                self.made.folder(network).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, self.made.folder(network) / path.name)

    def finish(self) -> None:
        """No more is made: say which networks are whole."""
        files = sorted(path for path in self.made.root.rglob("*") if path.is_file() and self._counts(path))
        sums = {path.relative_to(self.made.root).as_posix(): _sum(path) for path in files}
        write_text(self._done, json.dumps(sums, indent=1))

    def _counts(self, path: Path) -> bool:
        inside = path.relative_to(self.made.root).parts
        return len(inside) > 2 and checkpoint_files.FOLDER not in inside and (path.parent / "row.json").exists()

    # -- the side of whoever holds the study

    def beat(self) -> dict[str, Any] | None:
        """Its last sign of life: host, pid, device, step and so on; None before the first."""
        try:
            return json.loads((self.made.root / "beat.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def said(self) -> list[str]:
        """Its lines."""
        try:
            return (self.made.root / "said.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []

    def stop(self) -> None:
        """Ask it to stop after its step."""
        write_text(self.made.root / "stop", "")

    def take(self, seconds: float = LATE_SECONDS, finished: bool = False) -> list[Network]:
        """Move the networks that it made to their places in the study, and return them; none where it has not finished, and none
        that is there already: others may have copied its layers.

        `finished`: its worker says that it has, so the list of its files is waited for, too. Waits so long for files that are
        not yet seen as they were written. Raises TransferError where they never are.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                sums = dict(json.loads(read_text(self._done))) if self._done.exists() else {}
                wrong = [name for name, digest in sums.items() if digest not in self._seen(name)]
                wrong += [self._done.name] if finished and not sums else []
            except (ValueError, TypeError, TransferError):
                wrong = [self._done.name]
            if not wrong:
                break
            if time.monotonic() > until:
                raise TransferError(f"{self.made.root / wrong[0]} is not as it was written; its networks are trained again")
            time.sleep(0.2)
        try:
            rows = [placed(Path(name).parent.as_posix()) for name in sums if Path(name).name == "row.json"]
        except ValueError as error:
            raise TransferError(f"{self._done}: {error}") from None
        known = self.study.split_names()
        networks = [network for network in rows if network.split in known]
        for network in (network for network in networks if self.made.folder(network).exists()):
            place = self.study.folder(network)
            if (place / "row.json").exists():
                continue
            if place.exists():  # of one that was killed before its row
                shutil.rmtree(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.made.folder(network), place)
        return networks

    def _seen(self, name: str) -> set[str]:
        """The sha256 of a file where it was made, and in its place, where a take that was killed may have moved it."""
        return {_sum(self.made.root / name), _sum(self.study.root / name)}

    def salvage(self) -> dict[Network, int]:
        """Move its checkpoints and snapshots to where the next attempt looks for them; how many steps networks have in these.

        Of each bank the last checkpoints stay.
        """
        furthest: dict[Network, int] = {}
        for path in sorted(self.made.root.rglob(f"{checkpoint_files.FOLDER}/{FILES}")):
            place = self.study.root / path.relative_to(self.made.root)
            with suppress(FileNotFoundError):  # its own worker, if it lives on, keeps only the last two
                _move(path, place)
                for network in _networks(self.study, place):
                    furthest[network] = max(furthest.get(network, 0), checkpoint_files.step_of(path))
            checkpoint_files.prune(place)
        for path in self.made.root.glob(f"[!.]*/**/{SNAPSHOTS}"):
            place = self.study.root / path.relative_to(self.made.root)
            if not (place.parent / "row.json").exists():
                with suppress(FileNotFoundError):
                    _move(path, place)
        return furthest

    def sweep(self) -> None:
        """Remove what is left of it."""
        shutil.rmtree(self.made.root, ignore_errors=True)


def begin(study: Study) -> Attempt:
    """A new attempt."""
    attempt = Attempt(study, secrets.token_hex(6))
    attempt.made.root.mkdir(parents=True)
    return attempt


def attempts(study: Study) -> list[Attempt]:
    """All of which anything is there."""
    return [Attempt(study, path.name) for path in sorted((study.root / FOLDER).glob("*/"))]


def working(study: Study) -> list[dict[str, Any]]:
    """Who is at work at the study elsewhere: host, pid, device, members (split, seed, name), age (seconds since its last sign of
    life), lost (whether that is too long ago); and of the bank in training, once there is one, split, seed, networks, step, steps
    and steps_per_second.
    """
    found = []
    for attempt in attempts(study):
        with suppress(OSError):
            age = max(0.0, time.time() - (attempt.made.root / "beat.json").stat().st_mtime)
            if (beat := attempt.beat()) and isinstance(beat.get("members"), list):
                found.append({**beat, "age": round(age, 1), "lost": age > LOST_SECONDS})
    return found


def settle(study: Study, seconds: float = 0) -> None:
    """Take what earlier attempts finished, salvage their checkpoints and sweep the rest. Only for one who holds the study.

    `seconds`: to wait, as `take` does.
    """
    for attempt in attempts(study):
        with suppress(TransferError):
            attempt.take(seconds)
        attempt.salvage()
        attempt.sweep()
    with suppress(OSError):
        (study.root / FOLDER).rmdir()


def _move(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, place)


def needed(study: Study, networks: Collection[Network]) -> dict[Path, int]:
    """The files that these networks go on from, and their sizes: their checkpoints, and the layers that they copy."""
    sources = [path for one in networks if one.donor for path in study.folder(one.donor).glob(FILES)]
    folders = {study.checkpoint_folder(one) for one in networks}
    saved = [path for folder in folders for path in folder.glob(FILES) if {*_networks(study, path)} & {*networks}]
    return {path.relative_to(study.root): path.stat().st_size for path in sorted({*sources, *saved})}


def _networks(study: Study, checkpoint: Path) -> list[Network]:
    """Those of a checkpoint in its place in the study; none where it is damaged."""
    of = checkpoint.parent.parent.relative_to(study.root)
    try:
        return [placed((of / name).as_posix()) for name in checkpoint_files.networks_of(checkpoint)]
    except ValueError:
        return []


def _sum(path: Path) -> str:
    """A file's sha256; of one that is not there none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
