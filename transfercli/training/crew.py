"""The workers of a Ray cluster, here or on many machines: joined or begun, how many there are, and orders sent to them.

Nothing else knows Ray.
"""

import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transfercli.study.folder import Study
from transfercli.study.versions import differing
from transfercli.system.device_names import HERE, Remote
from transfercli.system.errors import TransferError
from transfercli.system.interrupts import Stopped, Wish
from transfercli.system.threads import processors
from transfercli.training import worker

ASKED = 3  # times a machine is asked what it is
ANSWER_SECONDS = 10.0  # for a cluster to be there
MODE = "RAY_AUTH_MODE"
THEIRS = (MODE, "PYTHONBREAKPOINT")  # which Ray sets itself
STORE_BYTES = 80 * 2**20  # Ray's object store, through which nothing of size goes
INSTALL = "--ray needs Ray: pip install 'transfer-study[ray]'"


class Died(str):
    """Why a call did not end that another worker, or the same again, may end."""


@contextmanager
def connected(remote: Remote) -> Iterator[Any]:
    """Ray, joined or begun; what was begun ends with the block. Raises TransferError."""
    with _settings(remote):
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


@contextmanager
def _settings(remote: Remote) -> Iterator[None]:
    """What Ray reads from the environment, as long as it is there. A mode left behind would be believed by the servers of the
    next Ray, but not by this process, which has read its own before."""
    wished = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    if remote.address != HERE and _has_token():  # as `ray start` does by itself; a cluster that wants none takes it, too
        wished[MODE] = "token"
    own = {name: os.environ.get(name) for name in (*wished, *THEIRS)}
    for name, value in wished.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name, was in own.items():
            if was is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = was


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
    def undecided(self) -> bool:
        """Whether all machines that could hold a worker have still to say what they are."""
        return bool(self.asked) and not any(map(self.places, self.machines))

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

    def cancel(self, ref: Any) -> None:
        """Take back a call that has not begun."""
        self.ray.cancel(ref)

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

    def wait(self, refs: list[Any], all_of: bool = False) -> tuple[list[Any], list[Any]]:
        """Those of the calls that have ended, and the others, once one has (`all_of`: once all have), or after a second."""
        return self.ray.wait(refs, num_returns=len(refs) if all_of else 1, timeout=1.0)

    def ended(self, refs: list[Any], wish: Wish) -> Iterator[Any]:
        """Calls, each as soon as it has ended; no more of them once a signal asks to stop."""
        while refs and wish.number is None:
            ended, refs = self.wait(refs)
            yield from ended

    def versions(self, study: Study, wish: Wish) -> dict[str, str]:
        """What decides numbers on every machine. Raises TransferError where two differ, and names them; Stopped by a signal."""
        told: dict[str, tuple[str, dict[str, str]]] = {}  # by machine, and what it is called
        for _ in range(ASKED):
            fit = [node for node in self.nodes if self.places(_own(node)) and node["NodeID"] not in told]
            asked = {self._ask(node, study): node for node in fit for _ in range(self._askings(node))}
            for ref in self.ended([*asked], wish):  # a machine all of whose GPUs work for others is waited for
                answer, name, host = self.said(ref), asked[ref]["NodeID"], asked[ref]["NodeManagerHostname"]
                if isinstance(answer, Died):
                    self.known.discard(name)
                elif isinstance(answer, str):
                    raise TransferError(f"{host} cannot train: {answer}")
                else:
                    told[name] = host, answer
            self.known |= told.keys()  # one of whose processes died, too
            if wish.number is not None:
                raise Stopped(wish.number)
        if not told:
            raise TransferError(f"no machine of the cluster has {self.about.removesuffix(' each')} for a worker: --cpus-per-bank")
        (first, wanted), *others = told.values()
        for host, versions in others:
            if odd := differing(wanted, versions, to="and"):
                raise TransferError(f"{first} and {host} would give other numbers ({'; '.join(odd)}); make them alike")
        return wanted

    def _askings(self, node: Mapping[str, Any]) -> int:
        """How often it is asked: here, on a CPU, once for each worker, whose process is then there with its imports done."""
        if self.remote.address != HERE or self.device == "cuda":
            return 1  # of machines that others may be using, or processes that end with each call
        return min(self.places(_own(node)), self.each.beside)

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
        return self.call_on(node, worker.describe, root(study), self.device, gpus=int(self.device == "cuda"))


def _alone(gpus: int) -> dict[str, int]:
    """For a call that Ray is not to repeat. With a GPU in a process that ends with it, for the next to have all of its memory."""
    return {"num_gpus": gpus, "max_retries": 0, **({"max_calls": 1} if gpus else {})}


def _own(node: Mapping[str, Any]) -> dict[str, int]:
    """The processors and GPUs of a machine."""
    return {kind: int(node["Resources"].get(kind, 0)) for kind in ("CPU", "GPU")}


def root(study: Study) -> str:
    """As all machines see it: through a link where there is one, which need not lead to the same place everywhere."""
    return str(study.root.absolute())
