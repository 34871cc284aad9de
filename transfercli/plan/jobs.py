"""Jobs: which networks train side by side, as one bank. Plain data, made anew by every command and never stored."""

from collections.abc import Iterable
from dataclasses import dataclass

from transfercli.plan.amounts import EPOCHS
from transfercli.plan.networks import Network


@dataclass(frozen=True)
class Job:
    """One bank: networks of one split, seed and length, which see the same batches. Each needs its donor to be done."""

    networks: tuple[Network, ...]

    @property
    def needs(self) -> tuple[Network, ...]:
        """The networks whose layers are copied, each once."""
        return tuple(dict.fromkeys(network.donor for network in self.networks if network.donor))

    def parted(self) -> list["Job"]:
        """The same networks in two jobs, for one bank that does not fit; a job of one network stays as it is."""
        return jobs(self.networks, -(-len(self.networks) // 2))


def jobs(networks: Iterable[Network], fits: int) -> list[Job]:
    """The networks as jobs of at most `fits`, in the order given; but first those that others need."""
    networks = list(networks)
    needed = {network.donor for network in networks}
    groups: dict[tuple, list[Network]] = {}
    for network in networks:
        key = (network not in needed and not network.is_base, network.split, network.seed, *_length(network))
        groups.setdefault(key, []).append(network)
    ordered = sorted(groups.items(), key=lambda one: one[0][0])
    return [Job(tuple(group[i : i + fits])) for _, group in ordered for i in range(0, len(group), fits)]


def _length(network: Network) -> tuple[object, str]:
    """What is the same for networks that train equally many steps: as many epochs are so many steps of an amount of pictures."""
    length = dict(network.axes).get("length")
    return length, network.pictures * (length == EPOCHS)
