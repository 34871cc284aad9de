"""Banks: which networks train side by side."""

from collections.abc import Iterable

from transfercli.plan.networks import Network


def banks(networks: Iterable[Network], size: int) -> list[list[Network]]:
    """Cut into banks of at most `size` networks. The networks of a bank share split, seed and thus their batches."""
    groups: dict[tuple[str, int], list[Network]] = {}
    for network in networks:
        groups.setdefault((network.split, network.seed), []).append(network)
    return [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]
