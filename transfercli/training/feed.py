"""Which batches a network sees."""

from typing import NamedTuple

from transfercli.plan.networks import Network
from transfercli.recipe.schema import Training


class Feed(NamedTuple):
    """Which batches a network sees: those of its target; with `stream: fresh` transfer networks have their own."""

    target: str
    role: str  # "" where there is but one stream for all

    @classmethod
    def of(cls, network: Network, training: Training) -> "Feed":
        return cls(network.target, "transfer" if training.stream == "fresh" and not network.is_base else "")

    @property
    def purpose(self) -> tuple[str, ...]:
        """What its order, crops and masks are drawn for, beside the seed and the split."""
        return (self.role, self.target) if self.role else (self.target,)
