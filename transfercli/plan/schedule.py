"""Schedule: which networks an idle device begins, and what so many devices take for all of them. Pure.

`next_job` decides, whoever asks: `training/cluster.py` for workers, `simulate` on paper.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heappop, heappush
from itertools import accumulate

from transfercli.plan.jobs import Job
from transfercli.plan.networks import Network

TimeOf = Callable[[tuple[Network, ...]], float]  # for training a bank from its first step to its last, in any unit
Fits = Callable[[Network], int]  # how many networks of its kind a device holds side by side

MOST = 0.7  # of a device's share, in a bank of more than FEW networks
FEW = 8


def next_job(waiting: Iterable[Network], done: Collection[Network], devices: int, fits: Fits, time_of: TimeOf) -> Job | None:
    """What an idle device begins; None where all that waits needs a network that is not done.

    waiting: the networks that nobody has begun. done: those whose layers can be copied. devices: all, idle or not.

    A bank is built around the ready network with the longest way to the end, what waits for it included: so bases come first,
    and what is short fills the gaps at the end. Others that learn from the same batches join it, first those of its treatment,
    with which it shares frozen layers; up to most of a device's share of what is ready, so that banks get smaller towards the end
    and even out what was reckoned wrongly. Of few networks, or on one device, a bank takes the whole share, since of networks in
    two banks frozen layers are computed, and pictures read, twice.
    """
    alone = {network: time_of((network,)) for network in waiting}
    behind: dict[Network | None, float] = {}  # of a network that others wait for, the longest of them
    for network, time in alone.items():
        behind[_donor(network)] = max(behind.get(_donor(network), 0.0), time)
    ready = [network for network in alone if _donor(network) is None or _donor(network) in done]
    if not ready:
        return None
    ways = {network: alone[network] + behind.get(network, 0.0) for network in ready}
    first = max(ready, key=ways.__getitem__)
    share = sum(alone[network] for network in ready) / devices
    others = [one for one in ready if _kind(one) == _kind(first) and (one in behind) == (first in behind) and one != first]
    others.sort(key=lambda one: (one.treatment != first.treatment, one.treatment, -ways[one]))
    bank: tuple[Network, ...] = (first,)
    for one in others[: fits(first) - 1]:
        if time_of((*bank, one)) > share * (MOST if devices > 1 and len(bank) >= FEW else 1):
            break
        bank += (one,)
    return Job(bank)


@lru_cache(maxsize=2**16)
def _donor(network: Network) -> Network | None:
    return network.donor


@lru_cache(maxsize=2**16)
def _kind(network: Network) -> tuple:
    """What is the same for networks that learn from the same batches, equally long: one stream of pictures feeds them."""
    return network.split, network.seed, network.net, network.pictures, dict(network.axes).get("length")


@dataclass(frozen=True)
class Run:
    """A job on a device, from one time to another."""

    job: Job
    device: int
    start: float
    end: float


@dataclass(frozen=True)
class Timeline:
    """What so many devices do, and when."""

    devices: int
    runs: tuple[Run, ...]  # in the order in which they begin
    floor: float  # what any number of devices takes: a base and then the longest that needs it, each alone

    @property
    def end(self) -> float:
        return max((run.end for run in self.runs), default=0.0)

    @property
    def busy(self) -> float:
        """The share of all devices' time at work."""
        return sum(run.end - run.start for run in self.runs) / (self.devices * self.end) if self.runs else 1.0

    def most(self, of: Callable[[Run], float]) -> float:
        """The largest sum of this over the runs that go on at the same moment."""
        changes = [(run.start, 1, of(run)) for run in self.runs] + [(run.end, 0, -of(run)) for run in self.runs]
        return max(accumulate(change for _, _, change in sorted(changes)), default=0.0)


def simulate(networks: Sequence[Network], devices: int, fits: Fits, time_of: TimeOf) -> Timeline:
    """The networks as `next_job` gives them to devices that are all alike; bases that are not among them are done already."""
    time_of = lru_cache(maxsize=None)(time_of)
    waiting, done = dict.fromkeys(networks), {donor for donor in map(_donor, networks) if donor} - {*networks}
    alone: dict[Network | None, float] = {network: time_of((network,)) for network in networks}
    floor = max((alone[network] + alone.get(_donor(network), 0.0) for network in networks), default=0.0)
    idle, ends, runs, now = list(range(devices)), list[tuple[float, int]](), list[Run](), 0.0
    while waiting:
        while idle and (job := next_job(waiting, done, devices, fits, time_of)):
            runs.append(Run(job, heappop(idle), now, now + time_of(job.networks)))
            heappush(ends, (runs[-1].end, len(runs) - 1))
            for network in job.networks:
                del waiting[network]
        now, ended = heappop(ends)
        heappush(idle, runs[ended].device)
        done.update(runs[ended].job.networks)
    return Timeline(devices, tuple(runs), floor)
