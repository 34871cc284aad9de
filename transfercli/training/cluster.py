"""Banks on several devices, here or on many machines, by Ray: only which worker does what. Nothing else knows Ray.

The study's folder stays the only state: workers write attempts (`study/attempts.py`), and this process, which holds the study,
takes what they finished. Ray carries orders, and that a worker has ended or died.
"""

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transfercli.plan.jobs import Job
from transfercli.plan.networks import Network, without_need
from transfercli.plan.schedule import next_job
from transfercli.recipe.schema import Recipe
from transfercli.study import attempts
from transfercli.study.attempts import LOST_SECONDS, Attempt
from transfercli.study.folder import Study
from transfercli.study.splits import Halves
from transfercli.study.versions import DECISIVE
from transfercli.system.device_names import HERE, Remote
from transfercli.system.errors import TransferError
from transfercli.system.interrupts import Stopped, Wish, deferred
from transfercli.system.threads import processors
from transfercli.training import cost, worker
from transfercli.training.reporter import Reporter

TRIES = 3  # of a bank without a newer checkpoint
STOP_SECONDS = 60.0  # for all to finish their step and save
ANSWER_SECONDS = 10.0  # for a cluster to be there
STORE_BYTES = 80 * 2**20  # Ray's object store, through which nothing of size goes
INSTALL = "--ray needs Ray: pip install 'transfer-study[ray]'"


@dataclass
class Running:
    """A bank at a worker."""

    job: Job
    attempt: Attempt
    ref: Any
    host: str = "its worker"
    count: int = -1  # of the last sign of life
    heard: float = 0.0  # when that was
    told: int = 0  # network-steps, to the reporter


@contextmanager
def connected(remote: Remote) -> Iterator[Any]:
    """Ray, joined or begun; what was begun ends with the block. Raises TransferError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if remote.address != HERE and _has_token():  # as `ray start` does by itself; a cluster that wants none takes it, too
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise TransferError(INSTALL) from None
    if remote.address != HERE:
        _refuse_deaf(remote.address)
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if remote.address == HERE:
        how |= {"include_dashboard": False, "object_store_memory": STORE_BYTES, "num_cpus": _local_cpus(remote)}
    try:
        ray.init(address=remote.address, **how)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise TransferError(f"no Ray at {remote.address}: {' '.join(str(error).split())}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _refuse_deaf(address: str) -> None:
    """Raise TransferError where nobody listens, which Ray finds out within minutes and many words."""
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:  # and what else Ray may take for an address
        try:
            socket.create_connection((host, int(port)), ANSWER_SECONDS).close()
        except OSError as error:
            raise TransferError(f"no Ray at {address} ({error.strerror or error}); begin one: ray start --head") from None


def _has_token() -> bool:
    """Whether Ray would find a token to show to a cluster: of 2.59 and newer, a Ray that begins here leaves one behind."""
    told = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(told) or Path("~/.ray/auth_token").expanduser().is_file()


def _local_cpus(remote: Remote) -> int:
    there = processors()
    return max(there, (remote.workers or 1) * (remote.cpus or 1))


def share(machines: Sequence[Mapping[str, int]], workers: int | None) -> int:
    """The most processors that each of so many workers can have, each on one machine; unsaid, of as many as can have two."""
    each = [own["CPU"] for own in machines]
    wanted = workers or sum(max(count // 2, min(count, 1)) for count in each)
    return max((many for many in range(1, max(each, default=0) + 1) if sum(count // many for count in each) >= wanted), default=1)


class Crew:
    """The workers of a cluster: what one takes, how many there are, and how to send one an order."""

    def __init__(self, ray: Any, remote: Remote):
        self.ray, self.remote = ray, remote
        machines = self.machines
        gpus = remote.device.startswith("cuda") or (remote.device == "auto" and any(own["GPU"] for own in machines))
        self.device = "cuda" if gpus else "cpu"
        # Beside a GPU its part of the machine's processors, where all its GPUs are at work, on the machine with the fewest.
        beside = [max(1, own["CPU"] // own["GPU"]) for own in machines if own["GPU"]]
        self.cpus = remote.cpus or (min(beside, default=1) if gpus else share(machines, remote.workers))

    @property
    def machines(self) -> list[dict[str, int]]:
        """What each has that is there now."""
        found = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        return [{kind: int(own.get(kind, 0)) for kind in ("CPU", "GPU")} for own in found]

    def places(self, own: Mapping[str, int]) -> int:
        """How many workers a machine holds."""
        beside = own["CPU"] // self.cpus
        return beside if self.device == "cpu" else min(beside, own["GPU"])

    @property
    def about(self) -> str:
        own = f"{self.cpus} processor{'s' * (self.cpus > 1)}"
        return f"a GPU and {own} each" if self.device == "cuda" else f"{own} each"

    @property
    def size(self) -> int:
        """How many work side by side, of the machines that are there now."""
        there = max(1, sum(map(self.places, self.machines)))
        return min(there, self.remote.workers or there)

    def send(self, function: Any, *args: Any) -> Any:
        """Have a worker call this in a process of its own."""
        how = {"num_cpus": self.cpus, "num_gpus": int(self.device == "cuda"), "max_calls": 1, "max_retries": 0}
        return self.ray.remote(**how)(function).remote(*args)

    def said(self, ref: Any) -> str:
        """What a call that has ended returned, or why it did not."""
        try:
            return self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            return str(error.cause)
        except self.ray.exceptions.RayError as error:
            return f"the worker died ({type(error).__name__})"

    def ended(self, refs: list[Any], wish: Wish) -> Iterator[Any]:
        """Calls, each as soon as it has ended; no more of them once a signal asks to stop."""
        while refs and wish.number is None:
            ended, refs = self.ray.wait(refs, timeout=1.0)
            yield from ended

    def versions(self, study: Study, wish: Wish) -> dict[str, str]:
        """What decides numbers on every machine. Raises TransferError where two differ, and names them; Stopped by a signal."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        nodes = [node for node in self.ray.nodes() if node["Alive"]]
        gpus = int(self.device == "cuda")
        fit = [node for node, own in zip(nodes, self.machines, strict=True) if self.places(own)]
        if not fit:
            raise TransferError(f"no machine of the cluster has {self.about.removesuffix(' each')} for a worker: --cpus-per-bank")
        task = self.ray.remote(num_cpus=0, num_gpus=gpus, max_calls=1, max_retries=0)(worker.describe)
        asked = [
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
                str(study.root.resolve()), self.device
            )
            for node in fit
        ]
        for _ in self.ended(asked, wish):  # a machine all of whose GPUs work for others is waited for
            pass
        if wish.number is not None:
            raise Stopped(wish.number)
        told = self.ray.get(asked)
        for node, versions in zip(fit, told, strict=True):
            if odd := [f"{key}: {told[0][key]} and {versions[key]}" for key in DECISIVE if told[0].get(key) != versions.get(key)]:
                first, other = fit[0]["NodeManagerHostname"], node["NodeManagerHostname"]
                raise TransferError(f"{first} and {other} would give other numbers ({'; '.join(odd)}); make them alike")
        return told[0]


def train_elsewhere(
    study: Study,
    todo: Sequence[Network],
    recipe: Recipe,
    halves: Mapping[str, Halves],
    remote: Remote,
    begin: Callable[[dict[str, str], str], str],
    bank_size: int | None,
    reporter: Reporter,
) -> None:
    """Train these networks to their rows, each as soon as the base that it copies is there.

    `begin` is told the versions and the devices, and returns the changes of version that were accepted. What needs a base that
    has learned nothing is left out. Raises TransferError where banks failed TRIES times (the others are done then), and Stopped
    where a signal asked to stop; the same call then goes on from the checkpoints.
    """
    with connected(remote) as ray, deferred() as wish:
        crew = Crew(ray, remote)
        versions = crew.versions(study, wish)
        accepted = begin(versions, f"{crew.size} worker{'s' * (crew.size > 1)} of {crew.about}")
        of = Work(study, recipe, halves, crew, versions, accepted, bank_size, reporter)
        of.compute_means(todo, wish)
        of.train(dict.fromkeys(todo), wish)


@dataclass
class Work:
    """Networks in training at several workers."""

    study: Study
    recipe: Recipe
    halves: Mapping[str, Halves]
    crew: Crew
    versions: Mapping[str, str]
    accepted: str
    bank_size: int | None
    reporter: Reporter
    running: list[Running] = field(default_factory=list)
    broken: dict[Network, str] = field(default_factory=dict)  # and why
    tries: Counter[Network] = field(default_factory=Counter)  # since its furthest checkpoint
    reached: dict[Network, int] = field(default_factory=dict)  # its step
    statuses: dict[Network, str] = field(default_factory=dict)  # of networks with a row
    works: dict[tuple[Network, ...], float] = field(default_factory=dict)  # of banks

    def compute_means(self, networks: Iterable[Network], wish: Wish) -> None:
        """What is subtracted, once for each half of each split."""
        root = str(self.study.root.resolve())
        tasks = sorted({(one.split, task.name) for one in networks for task in self.halves[one.split].split.tasks})
        lacking = [task for task in tasks if worker.lacks_mean(self.study, *task)]
        refs = [self.crew.send(worker.mean, root, *task, self.crew.device, self.crew.cpus) for task in lacking]
        for ref in self.crew.ended(refs, wish):
            if (problem := self.crew.said(ref)) != worker.DONE:
                raise TransferError(problem)

    def train(self, waiting: dict[Network, None], wish: Wish) -> None:
        while (waiting or self.running) and wish.number is None:
            self._leave_out(waiting)
            while len(self.running) < self.crew.size and (job := self._next(waiting)):
                self.running.append(self._begin(job))
                for network in job.networks:
                    del waiting[network]
            if not self.running:
                break  # what is left needs what is broken
            self.reporter.working(len(self.running), self.crew.size)
            ended, _ = self.crew.ray.wait([one.ref for one in self.running], timeout=1.0)
            for one in list(self.running):
                if one.ref in ended:
                    self._end(one, self.crew.said(one.ref), waiting)
                elif self._hear(one) > LOST_SECONDS:
                    self.crew.ray.cancel(one.ref, force=True)
                    self._end(one, f"no sign of life from {one.host} for {LOST_SECONDS:.0f} s", waiting)
        if wish.number is not None:
            self._stop()
            raise Stopped(wish.number, "the banks in training have saved a checkpoint each")
        if self.broken:
            names = ", ".join(f"{network.split} {network.name}" for network in self.broken)
            why = next(iter(self.broken.values()))
            raise TransferError(f"{names} failed {TRIES} times ({why}); the others are done")

    def _status(self, network: Network) -> str | None:
        if network not in self.statuses and (row := self.study.row(network)):
            self.statuses[network] = row["status"]
        return self.statuses.get(network)

    def _leave_out(self, waiting: dict[Network, None]) -> None:
        """Those that need a base which has learned nothing, or is broken, are not trained."""
        needed = {one for network in waiting for one in (network.donor, network.control) if one}
        bad = [one for one in needed if one in self.broken or self._status(one) not in (None, "done")]
        for network in waiting.keys() - without_need(waiting, bad) if bad else ():
            if not network.is_base:
                del waiting[network]
                self.reporter.say(f"{network.split}: {network.name} is left out: a base that it needs has nothing to transfer")

    def _next(self, waiting: Collection[Network]) -> Job | None:
        """The bank that an idle worker begins."""
        done = {donor for network in waiting if (donor := network.donor) and self._status(donor)}
        return next_job(waiting, done, self.crew.size, lambda network: self.bank_size or len(waiting), self._work)

    def _work(self, bank: tuple[Network, ...]) -> float:
        """The multiply-adds of a picture, in all the steps of a bank."""
        if bank not in self.works:
            recipe, halves = self.recipe.of(bank[0].net), self.halves[bank[0].split]
            steps, classes = halves.steps_of(bank[0], recipe), len(halves.split.classes(bank[0].target))
            self.works[bank] = steps * cost.multiply_adds(bank, cost.Layers.of(recipe, classes), steps=steps)
        return self.works[bank]

    def _begin(self, job: Job) -> Running:
        attempt = attempts.begin(self.study)
        order = worker.Order(
            str(self.study.root.resolve()),
            attempt.name,
            job.networks[0].net,
            worker.called(job.networks),
            self.crew.device,
            tuple((key, value) for key, value in self.versions.items() if key in DECISIVE),
            self.accepted,
            self.bank_size,
            self.crew.cpus,
        )
        return Running(job, attempt, self.crew.send(worker.work, order))

    def _hear(self, one: Running) -> float:
        """Listen for its sign of life, tell how far it is, and return for how many seconds there has been none."""
        beat = one.attempt.beat()
        if beat is not None and beat["count"] != one.count:
            one.count, one.host, one.heard = beat["count"], beat["host"], time.monotonic()
            done = int(beat.get("step", 0)) * len(beat.get("networks", ()))
            if done > one.told:
                (self.reporter.advance if one.told else self.reporter.held)(done - one.told)
                one.told = done
        return time.monotonic() - one.heard if one.count >= 0 else 0.0  # a worker may have to wait before it begins

    def _end(self, one: Running, said: str, waiting: dict[Network, None]) -> None:
        """A worker has ended: its networks go to their places, or wait to be trained again, or are given up."""
        self.running.remove(one)
        key = one.job.networks
        if said == worker.DONE:
            try:
                one.attempt.take(finished=True)
                one.attempt.sweep()
                self.study.write_table()
                steps = self.halves[key[0].split].steps_of(key[0], self.recipe)
                self.reporter.advance(steps * len(key) - one.told)
                return
            except TransferError as error:
                said = str(error)
        step = one.attempt.salvage()
        one.attempt.sweep()
        self.reporter.held(-one.told)
        self.reporter.say(f"{key[0].split}: {', '.join(network.name for network in key)} did not end: {said}")
        for network in key:
            if step > self.reached.get(network, 0):
                self.tries[network], self.reached[network] = 0, step
            self.tries[network] += said != worker.STOPPED
            if self.tries[network] < TRIES:
                waiting[network] = None
            else:
                self.broken[network] = said

    def _stop(self) -> None:
        """Let all finish their step and save, and keep what they saved or finished."""
        for one in self.running:
            one.attempt.stop()
        if refs := [one.ref for one in self.running]:
            self.crew.ray.wait(refs, num_returns=len(refs), timeout=STOP_SECONDS)
        attempts.settle(self.study)
