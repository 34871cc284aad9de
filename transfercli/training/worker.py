"""One bank in a process of its own, beside others, here or on another machine: what a worker does, whoever sent it.

Its order is plain data. What it makes lies in its attempt's folder (`study/attempts.py`).
"""

import os
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from transfercli.plan.networks import Network, named
from transfercli.study.attempts import LATE_SECONDS, Attempt
from transfercli.study.folder import Study
from transfercli.study.versions import differing, here
from transfercli.system import memory, threads
from transfercli.system.devices import device_name, pick_device, pick_precision, reproducible
from transfercli.system.errors import TransferError
from transfercli.system.interrupts import Stopped, at_once, deferred
from transfercli.training.bench import Bench
from transfercli.training.engine import train_together
from transfercli.training.reporter import SILENT

DONE, STOPPED = "done", "stopped"


class Share(NamedTuple):
    """What a worker has of its machine."""

    processors: int
    beside: int  # how many workers its memory is for, this one among them


@dataclass(frozen=True)
class Order:
    """What a worker is to train."""

    study: str
    attempt: str
    net: str
    networks: tuple[tuple[str, int, str], ...]  # split, seed, name; of one split and seed
    device: str
    versions: tuple[tuple[str, str], ...]  # that the study goes on with
    accepted: str
    bank_size: int | None
    share: Share
    files: tuple[tuple[str, int], ...]  # that it goes on from, and their sizes


def describe(study: str, device: str) -> dict[str, str]:
    """What decides numbers where this runs: versions and precision."""
    recipe, where = Study(study).recipe(), pick_device(device)
    libraries = {one.network.library for one in recipe.each().values()}
    return here(pick_precision(recipe.training.precision, where), libraries)


def lacking_means(study: Study, split: str) -> list[str]:
    """The tasks of which what is subtracted is still to be computed of their pictures."""
    bench = _bench(study, split, "", "cpu", "")
    if bench.recipe.pictures.mean not in ("image", "channel"):
        return []
    return [task.name for task in bench.halves.split.tasks if bench.kept_mean(task.name) is None]


def mean(study: str, split: str, task: str, device: str, share: Share) -> str:
    """Compute it, and keep it in the split's folder for all networks."""
    _keep_to(share)
    bench = _bench(Study(study), split, "", device, "")
    with reproducible(bench.device):
        bench.mean(task)
    return DONE


def kill(pid: int) -> None:
    """End a process of this machine, if it is there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def work(order: Order) -> str:
    """Train these networks to their rows, from the study's checkpoints where there are any: DONE, or STOPPED after a checkpoint.

    Rows that were written before a stop are kept, too. Raises TransferError.
    """
    try:
        with at_once():  # outside of a bank's steps
            return _work(order)
    except Stopped:
        return STOPPED


def _work(order: Order) -> str:
    _keep_to(order.share)
    study = Study(order.study)
    _await(study, order.files)
    attempt, networks = Attempt(study, order.attempt), [named(*one) for one in order.networks]
    now = describe(order.study, order.device)
    refuse_other(dict(order.versions), now)
    bench = _bench(study, networks[0].split, order.net, order.device, order.accepted, attempt.made)
    about = {"device": device_name(bench.device), "members": order.networks}
    with attempt.beating(about, lambda: os.kill(os.getpid(), signal.SIGTERM)) as tell, reproducible(bench.device):
        attempt.go_on(networks)
        try:
            train_together(networks, bench, order.bank_size, replace(SILENT, tell=tell, say=attempt.say))
        except Stopped:
            ended = STOPPED
        else:
            ended = DONE
        with deferred():
            attempt.finish()
    return ended


def _await(study: Study, files: Iterable[tuple[str, int]]) -> None:
    """Wait until these files are seen here as they are, for a while: a file system of many machines may show them late."""
    until = time.monotonic() + LATE_SECONDS
    for name, size in files:
        while time.monotonic() < until:
            with suppress(OSError):
                if (study.root / name).stat().st_size == size:
                    break
            time.sleep(0.2)


def refuse_other(wanted: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Raise TransferError where a worker would give other numbers than the study was begun with."""
    if odd := differing(wanted, there, wanted):
        raise TransferError(f"{os.uname().nodename} has other versions than the others ({'; '.join(odd)})")


def _keep_to(share: Share) -> None:
    memory.keep_to(1 / share.beside)
    threads.keep_to(share.processors)


def _bench(study: Study, split: str, net: str, device: str, accepted: str, made: Study | None = None) -> Bench:
    whole, where = study.recipe(), pick_device(device)
    whole.define_treatments()
    recipe = whole.of(net) if net or whole.networks is None else next(iter(whole.each().values()))
    precision = pick_precision(recipe.training.precision, where)
    return Bench(study, recipe, study.halves(split), where, precision, accepted, made=made)


def called(networks: Iterable[Network]) -> tuple[tuple[str, int, str], ...]:
    """Networks as an order has them."""
    return tuple((network.split, network.seed, network.name) for network in networks)
