"""Banks on several devices, here or on many machines, by Ray: only which worker does what. Nothing else knows Ray.

The study's folder stays the only state: workers write attempts (`study/attempts.py`), and this process, which holds the study,
takes what they finished. Ray carries orders, and that a worker has ended or died.
"""

import os
import signal
import socket
import threading
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
from transfercli.study.versions import DECISIVE, differing
from transfercli.system.device_names import HERE, Remote
from transfercli.system.errors import TransferError
from transfercli.system.interrupts import Stopped, Wish, deferred
from transfercli.system.threads import processors
from transfercli.training import checkpoints, cost, worker
from transfercli.training.reporter import Reporter

TRIES = 3  # of a bank without a newer checkpoint
STOP_SECONDS = 60.0  # for all to finish their step and save
LATE_STOP_SECONDS = 5.0  # for what they finished to be seen, before it is left to the next command's trainings
STALL_SECONDS = 10.0  # between two passes of the loop, which takes one
ANSWER_SECONDS = 10.0  # for a cluster to be there
STORE_BYTES = 80 * 2**20  # Ray's object store, through which nothing of size goes
INSTALL = "--ray needs Ray: pip install 'transfer-study[ray]'"


class Died(str):
    """Why a call did not end that another worker, or the same again, may end."""


@dataclass
class Running:
    """A bank at a worker."""

    job: Job
    attempt: Attempt
    ref: Any
    host: str = "its worker"
    count: int = -1  # of the last sign of life
    pid: int | None = None
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
    own = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=remote.address, **how)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise TransferError(f"no Ray at {remote.address}: {' '.join(str(error).split())}") from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, own)  # in whose place Ray has put one that ends the process without a word
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
        self.known = set[str]()  # machines that were asked what they are
        self.asked: dict[str, tuple[str, Any]] = {}  # those that have not yet answered: what they are called, and the call
        self.refused = set[str]()  # those that would give other numbers, or none
        machines = self.machines
        gpus = remote.device.startswith("cuda") or (remote.device == "auto" and any(own["GPU"] for own in machines))
        self.device = "cuda" if gpus else "cpu"
        # Beside a GPU its part of the machine's processors, where all its GPUs are at work, on the machine with the fewest.
        beside = [max(1, own["CPU"] // own["GPU"]) for own in machines if own["GPU"]]
        self.cpus = remote.cpus or (min(beside, default=1) if gpus else share(machines, remote.workers))

    @property
    def shunned(self) -> set[str]:
        """Machines that nothing is sent to."""
        return {*self.asked, *self.refused}

    @property
    def nodes(self) -> list[dict[str, Any]]:
        """The machines that are there now, as Ray has them, but for those that nothing is sent to."""
        return [node for node in self.ray.nodes() if node["Alive"] and node.get("NodeID") not in self.shunned]

    @property
    def machines(self) -> list[dict[str, int]]:
        """What each of them has."""
        return [_own(node) for node in self.nodes]

    def places(self, own: Mapping[str, int]) -> int:
        """How many workers a machine holds."""
        beside = own["CPU"] // self.cpus
        return beside if self.device == "cpu" else min(beside, own["GPU"])

    @property
    def about(self) -> str:
        own = f"{self.cpus} processor{'s' * (self.cpus > 1)}"
        return f"a GPU and {own} each" if self.device == "cuda" else f"{own} each"

    @property
    def each(self) -> worker.Share:
        """What each has of its machine, where all that fit are at work on the one that holds the most."""
        beside = max([1, *map(self.places, self.machines)])
        return worker.Share(self.cpus, min(beside, self.remote.workers or beside))

    @property
    def size(self) -> int:
        """How many work side by side, of the machines that are there now."""
        there = max(1, sum(map(self.places, self.machines)))
        return min(there, self.remote.workers or there)

    def send(self, function: Any, *args: Any) -> Any:
        """Have a worker call this."""
        how: dict[str, Any] = {"num_cpus": self.cpus, **_alone(int(self.device == "cuda"))}
        if shunned := self.shunned:
            from ray.util.scheduling_strategies import NodeLabelSchedulingStrategy, NotIn

            how["scheduling_strategy"] = NodeLabelSchedulingStrategy(hard={"ray.io/node-id": NotIn(*sorted(shunned))})
        return self.ray.remote(**how)(function).remote(*args)

    def call_on(self, node: Mapping[str, Any], function: Any, *args: Any, gpus: int = 0) -> Any:
        """Have this machine call it, whatever else is at work there."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self.ray.remote(num_cpus=0, **_alone(gpus))(function)
        return task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(*args)

    def end(self, ref: Any, host: str, pid: int | None) -> None:
        """End a worker that is no longer waited for, also one that is stopped and hears nothing: its place is for another."""
        self.ray.cancel(ref, force=True)
        for node in self.nodes:
            if pid is not None and node["NodeManagerHostname"] == host:
                self.call_on(node, worker.kill, pid)
                break

    def said(self, ref: Any) -> Any:
        """What a call that has ended returned, or a text that says why it did not."""
        try:
            return self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            return str(error.cause)
        except self.ray.exceptions.RayError as error:
            return Died(f"the worker died ({type(error).__name__})")

    def ended(self, refs: list[Any], wish: Wish) -> Iterator[Any]:
        """Calls, each as soon as it has ended; no more of them once a signal asks to stop."""
        while refs and wish.number is None:
            ended, refs = self.ray.wait(refs, timeout=1.0)
            yield from ended

    def versions(self, study: Study, wish: Wish) -> dict[str, str]:
        """What decides numbers on every machine. Raises TransferError where two differ, and names them; Stopped by a signal."""
        told: dict[str, tuple[str, dict[str, str]]] = {}  # by machine, and what it is called
        for _ in range(TRIES):
            fit = [node for node in self.nodes if self.places(_own(node)) and node["NodeID"] not in told]
            asked = {self._ask(node, study): node for node in fit}
            for ref in self.ended([*asked], wish):  # a machine all of whose GPUs work for others is waited for
                answer, name, host = self.said(ref), asked[ref]["NodeID"], asked[ref]["NodeManagerHostname"]
                if isinstance(answer, Died):
                    self.known.discard(name)
                elif isinstance(answer, str):
                    raise TransferError(f"{host} cannot train: {answer}")
                else:
                    told[name] = host, answer
            if wish.number is not None:
                raise Stopped(wish.number)
        if not told:
            raise TransferError(f"no machine of the cluster has {self.about.removesuffix(' each')} for a worker: --cpus-per-bank")
        (first, wanted), *others = told.values()
        for host, versions in others:
            if odd := differing(wanted, versions, to="and"):
                raise TransferError(f"{first} and {host} would give other numbers ({'; '.join(odd)}); make them alike")
        return wanted

    def look(self, study: Study, versions: Mapping[str, str]) -> Iterator[str]:
        """Ask machines that have joined what decides numbers there; nothing is sent to them before they answer alike.

        Yields why nothing ever is.
        """
        for node in self.nodes:
            if node["NodeID"] not in self.known and self.places(_own(node)):
                self.asked[node["NodeID"]] = node["NodeManagerHostname"], self._ask(node, study)
        for name, (host, ref) in list(self.asked.items()):
            if self.ray.wait([ref], timeout=0)[0]:
                del self.asked[name]
                told = self.said(ref)
                if isinstance(told, Died):
                    self.known.discard(name)  # it is asked again, if it is there
                elif odd := told if isinstance(told, str) else "; ".join(differing(versions, told)):
                    self.refused.add(name)
                    yield f"nothing is trained on {host}: {odd}"

    def _ask(self, node: Mapping[str, Any], study: Study) -> Any:
        self.known.add(node["NodeID"])
        return self.call_on(node, worker.describe, _root(study), self.device, gpus=int(self.device == "cuda"))


def _alone(gpus: int) -> dict[str, int]:
    """For a call that Ray is not to repeat. With a GPU in a process that ends with it, for the next to have all of its memory."""
    return {"num_gpus": gpus, "max_retries": 0, **({"max_calls": 1} if gpus else {})}


def _own(node: Mapping[str, Any]) -> dict[str, int]:
    """The processors and GPUs of a machine."""
    return {kind: int(node["Resources"].get(kind, 0)) for kind in ("CPU", "GPU")}


def _root(study: Study) -> str:
    """As all machines see it: through a link where there is one, which need not lead to the same place everywhere."""
    return str(study.root.absolute())


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
    left_out: int = 0

    def compute_means(self, networks: Iterable[Network], wish: Wish) -> None:
        """What is subtracted, once for each half of each split. Raises TransferError."""
        lacking = [
            (split, task) for split in {one.split: None for one in networks} for task in worker.lacking_means(self.study, split)
        ]
        for tries in range(1, TRIES + 1):
            calls = {self.crew.send(worker.mean, _root(self.study), *of, self.crew.device, self.crew.each): of for of in lacking}
            said = {calls[ref]: self.crew.said(ref) for ref in self.crew.ended([*calls], wish)}
            lacking = [of for of in lacking if said.get(of) != worker.DONE]
            if wish.number is not None or not lacking:
                return
            if tries == TRIES:
                raise TransferError(f"the means of {lacking[0][0]} cannot be computed: {said[lacking[0]]}")

    def train(self, waiting: dict[Network, None], wish: Wish) -> None:
        heard = time.monotonic()
        while (waiting or self.running) and wish.number is None:
            if time.monotonic() - heard > STALL_SECONDS:  # of this process or its disk, during which nobody could be heard
                for one in self.running:
                    one.heard = time.monotonic()
            heard = time.monotonic()
            for refused in self.crew.look(self.study, self.versions):
                self.reporter.say(refused)
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
                    self.crew.end(one.ref, one.host, one.pid)
                    self._end(one, f"no sign of life from {one.host} for {LOST_SECONDS:.0f} s", waiting)
        if wish.number is not None:
            late = self._stop()
            slow = f", but {late} that did not end in time and go on from their last" * (late > 0)
            raise Stopped(wish.number, f"the banks in training have saved a checkpoint each{slow}")
        attempts.settle(self.study)
        if self.broken:
            names = ", ".join(f"{network.split} {network.name}" for network in self.broken)
            why = next(iter(self.broken.values()))
            left_out = f"; {self.left_out} that need a base which is not there are left out" * (self.left_out > 0)
            raise TransferError(f"{names} failed {TRIES} times ({why}){left_out}; the others are done")

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
                self.left_out += 1
                needs = [one for one in (network.donor, network.control) if one]
                why = "could not be trained" if any(one in self.broken for one in needs) else "has nothing to transfer"
                self.reporter.say(f"{network.split}: {network.name} is left out: a base that it needs {why}")

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
            _root(self.study),
            attempt.name,
            job.networks[0].net,
            worker.called(job.networks),
            self.crew.device,
            tuple((key, value) for key, value in self.versions.items() if key in DECISIVE),
            self.accepted,
            self.bank_size,
            self.crew.each,
            tuple((path.as_posix(), size) for path, size in attempts.needed(self.study, job.networks).items()),
        )
        return Running(job, attempt, self.crew.send(worker.work, order))

    def _hear(self, one: Running) -> float:
        """Listen for its sign of life, tell how far it is, and return for how many seconds there has been none."""
        beat = one.attempt.beat()
        if beat is not None and beat["count"] != one.count:
            one.count, one.host, one.pid, one.heard = beat["count"], beat["host"], beat["pid"], time.monotonic()
            done = int(beat.get("step", 0)) * len(beat.get("networks", ()))
            if done > one.told:
                (self.reporter.advance if one.told else self.reporter.held)(done - one.told)
                one.told = done
        return time.monotonic() - one.heard if one.count >= 0 else 0.0  # a worker may have to wait before it begins

    def _end(self, one: Running, said: str, waiting: dict[Network, None]) -> None:
        """A worker has ended: its networks go to their places, or wait to be trained again, or are given up."""
        self.running.remove(one)
        for line in one.attempt.said():
            self.reporter.say(line)
        try:
            taken = one.attempt.take(finished=said == worker.DONE)
        except TransferError as error:
            taken, said = [], str(error)
        reached = one.attempt.salvage()
        one.attempt.sweep()
        steps = self.halves[one.job.networks[0].split].steps_of(one.job.networks[0], self.recipe)
        further = steps * len(taken) - one.told
        (self.reporter.held if further < 0 else self.reporter.advance)(further)
        for network in taken:
            self.reporter.measured(self.study, network, self.study.log(network))
        if taken:
            self.study.write_table()
            checkpoints.clear_done(self.study.checkpoint_folder(taken[0]))
        if not (left := [network for network in one.job.networks if self._status(network) is None]):
            return
        self.reporter.say(f"{left[0].split}: {', '.join(network.name for network in left)} did not end: {said}")
        for network in left:
            if (step := reached.get(network, 0)) > self.reached.get(network, 0):
                self.tries[network], self.reached[network] = 0, step
            self.tries[network] += said != worker.STOPPED
            if self.tries[network] < TRIES:
                waiting[network] = None
            else:
                self.broken[network] = said

    def _stop(self) -> int:
        """Let all finish their step and save, and keep what they saved or finished. Returns how many did not in time."""
        for one in self.running:
            one.attempt.stop()
            if one.count < 0:
                self.crew.ray.cancel(one.ref)  # it has not begun
        refs, until = [one.ref for one in self.running], time.monotonic() + STOP_SECONDS
        while refs and time.monotonic() < until:
            _, refs = self.crew.ray.wait(refs, num_returns=len(refs), timeout=1.0)  # after which a second signal is heard
        attempts.settle(self.study, seconds=LATE_STOP_SECONDS)
        return len(refs)
