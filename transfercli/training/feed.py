"""Which batches a network sees."""

from typing import NamedTuple

from transfercli.plan import purposes
from transfercli.plan.networks import Network
from transfercli.recipe.schema import Training


class Feed(NamedTuple):
    """Which batches a network sees: those of its target's pictures; with `stream: fresh` transfer networks have their own."""

    target: str
    pictures: str  # of the target's those that it learns from, as `Network.pictures`
    transfer: bool  # whether there are batches that only transfer networks see, and these are they

    @classmethod
    def of(cls, network: Network, training: Training) -> "Feed":
        return cls(network.target, network.pictures, training.stream == "fresh" and not network.is_base)

    def purpose(self, network: Network) -> purposes.Purpose:
        """What its order, crops and masks are drawn for, in the split and with the seed of this network.

        Crops and masks are the same from however many pictures it learns, so that amounts differ in nothing else.
        """
        return purposes.stream(network.seed, network.split, self.target, self.transfer)
