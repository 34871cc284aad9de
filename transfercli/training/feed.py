"""Which batches a network sees."""

from typing import NamedTuple

from transfercli.plan import purposes
from transfercli.plan.networks import Network
from transfercli.recipe.schema import Training


class Feed(NamedTuple):
    """Which batches a network sees: those of its target; with `stream: fresh` transfer networks have their own."""

    target: str
    transfer: bool  # whether there are batches that only transfer networks see, and these are they

    @classmethod
    def of(cls, network: Network, training: Training) -> "Feed":
        return cls(network.target, training.stream == "fresh" and not network.is_base)

    def purpose(self, network: Network) -> purposes.Purpose:
        """What its order, crops and masks are drawn for, in the split and with the seed of this network."""
        return purposes.stream(network.seed, network.split, self.target, self.transfer)
