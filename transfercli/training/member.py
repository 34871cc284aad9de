"""One network in training."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from transfercli.networks.layers import Modules
from transfercli.plan.networks import Network
from transfercli.training.feed import Feed


@dataclass
class Member:
    """One network in training: the layers it trains, and what has been measured of it."""

    network: Network
    feed: Feed
    copied: str  # the digest of the weights that its first layers were copied from; "" for a base and random features
    module: nn.Sequential  # the whole network; its first `network.frozen` layers are frozen
    layers: list[Modules]
    optimizer: torch.optim.SGD
    frozen_before: str
    loss_sum: Tensor  # of the training loss since the last evaluation
    finite: Tensor  # of these steps, how many before the loss was not finite
    loss_count: int = 0
    diverged: int | None = None  # the step (1-based) at which the loss was not finite
    log: list[dict[str, float]] = field(default_factory=list)

    @property
    def weights(self) -> list[nn.Parameter]:
        """What is trained of convolutions and fully connected layers, without biases."""
        return self.optimizer.param_groups[0]["params"]

    @property
    def trained(self) -> Iterator[tuple[str, nn.Module]]:
        return (pair for layer in self.layers[self.network.frozen :] for pair in layer)
