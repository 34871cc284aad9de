"""One bank in a process of its own, beside others, here or on another machine: what a worker does, whoever sent it.

Its order is plain data. What it makes lies in its attempt's folder (`study/attempts.py`).
"""

import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from transfercli.plan.networks import Network, named
from transfercli.study.attempts import Attempt
from transfercli.study.folder import Study
from transfercli.study.versions import here
from transfercli.system import memory, threads
from transfercli.system.devices import device_name, pick_device, pick_precision, reproducible
from transfercli.system.errors import TransferError
from transfercli.system.interrupts import Stopped
from transfercli.training.bench import Bench
from transfercli.training.engine import train_together
from transfercli.training.reporter import SILENT

DONE, STOPPED = "done", "stopped"


@dataclass(frozen=True)
class Order:
    """What a worker is to train. `processors`: its share of the machine's."""

    study: str
    attempt: str
    net: str
    networks: tuple[tuple[str, int, str], ...]  # split, seed, name; of one split and seed
    device: str
    versions: tuple[tuple[str, str], ...]  # that the study goes on with
    accepted: str
    bank_size: int | None
    processors: int


def describe(study: str, device: str) -> dict[str, str]:
    """What decides numbers where this runs: versions and precision."""
    recipe, where = Study(study).recipe(), pick_device(device)
    libraries = {one.network.library for one in recipe.each().values()}
    return here(pick_precision(recipe.training.precision, where), libraries)


def lacks_mean(study: Study, split: str, task: str) -> bool:
    """Whether what is subtracted for a task is still to be computed of its pictures."""
    bench = _bench(study, split, "", "cpu", "")
    return bench.recipe.pictures.mean in ("image", "channel") and bench.kept_mean(task) is None


def mean(study: str, split: str, task: str, device: str, processors: int) -> str:
    """Compute it, and keep it in the split's folder for all networks."""
    _share(processors)
    bench = _bench(Study(study), split, "", device, "")
    with reproducible(bench.device):
        bench.mean(task)
    return DONE


def work(order: Order) -> str:
    """Train these networks to their rows, from the study's checkpoints where there are any: DONE, or STOPPED after a checkpoint.

    Raises TransferError.
    """
    _share(order.processors)
    study = Study(order.study)
    attempt, networks = Attempt(study, order.attempt), [named(*one) for one in order.networks]
    now = describe(order.study, order.device)
    refuse_other(dict(order.versions), now)
    bench = _bench(study, networks[0].split, order.net, order.device, order.accepted, attempt.made)
    about = {"device": device_name(bench.device), "members": order.networks}
    with attempt.beating(about, lambda: os.kill(os.getpid(), signal.SIGTERM)) as tell, reproducible(bench.device):
        try:
            train_together(networks, bench, order.bank_size, replace(SILENT, tell=tell))
        except Stopped:
            return STOPPED
        attempt.finish()
    return DONE


def refuse_other(wanted: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Raise TransferError where a worker would give other numbers than the study was begun with."""
    if odd := [f"{key}: {wanted[key]} → {there.get(key)}" for key in wanted if wanted[key] != there.get(key)]:
        raise TransferError(f"{os.uname().nodename} has other versions than the others ({'; '.join(odd)})")


def _share(processors: int) -> None:
    """Keep to so many processors, and to as large a part of the memory."""
    memory.keep_to(min(1.0, processors / threads.processors()))
    threads.keep_to(processors)


def _bench(study: Study, split: str, net: str, device: str, accepted: str, made: Study | None = None) -> Bench:
    whole, where = study.recipe(), pick_device(device)
    whole.define_treatments()
    recipe = whole.of(net) if net or whole.networks is None else next(iter(whole.each().values()))
    precision = pick_precision(recipe.training.precision, where)
    return Bench(study, recipe, study.halves(split), where, precision, accepted, made=made)


def called(networks: Iterable[Network]) -> tuple[tuple[str, int, str], ...]:
    """Networks as an order has them."""
    return tuple((network.split, network.seed, network.name) for network in networks)
