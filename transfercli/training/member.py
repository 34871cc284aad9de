"""One network in training."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from transfercli.networks.layers import Layer
from transfercli.plan.networks import Network
from transfercli.plan.resolve import FRESH, Resolved
from transfercli.training.evaluation import Counted
from transfercli.training.feed import Feed
from transfercli.training.optimiser import forget
from transfercli.training.stopping import best, ends

# What a frozen beginning is computed from: batches, whose mean, which network on which data, and then each layer's origin.
Lineage = tuple[Any, ...]
INPUT = 3  # entries of a lineage before the first layer's


@dataclass
class Member:
    """One network in training: its layers, which of them learn now, and what has been measured of it."""

    resolved: Resolved  # its patient stages as they have ended so far
    feed: Feed
    quiet: bool  # whether what is frozen leaves out nothing in training
    copied: str  # the digest of the weights that its layers were copied from; "" where they are no network's of the study
    module: nn.Module  # the whole network
    layers: list[Layer]
    optimizer: torch.optim.Optimizer
    frozen_before: str  # the digest, as training began, of what never learns
    loss_sum: Tensor  # of the training loss since the last evaluation
    finite: Tensor  # of these steps, how many before the loss was not finite
    loss_count: int = 0
    diverged: int | None = None  # the step (1-based) at which the loss was not finite
    counted: Counted | None = None  # at the last measurement, where that was in this process
    log: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)  # with patience: the weights of its best measurement
    stopped: bool = False  # its patience is over: it trains no more
    learning: frozenset[int] = frozenset()  # the layers that learn now, numbered from 1
    shared: int = 0  # of the first layers those that have not learned so far, whose output others may share
    held: int = 0  # of the first layers those that do not learn now: no gradient goes there
    pace: float = 1.0  # the phase's learning rate, in multiples of the schedule's, and that of the step before
    pace_before: float = 1.0

    @property
    def network(self) -> Network:
        return self.resolved.network

    def enter(self, step: int, steps: int) -> None:
        """Let those layers learn that do at this step (0-based) of so many. What begins to learn has no velocity yet."""
        stage = self.resolved.stage_at(step, steps)
        so_far = self.resolved.stages[: stage + 1]
        self.pace, self.pace_before = so_far[-1].rate, self.pace if self.learning else so_far[-1].rate
        if so_far[-1].layers != self.learning:
            for number, layer in enumerate(self.layers, start=1):
                layer.learn(number in so_far[-1].layers)
                if number in so_far[-1].layers - self.learning:
                    forget(self.optimizer, layer)
            self.learning = so_far[-1].layers
        self.held = min(self.learning) - 1
        self.shared = min(min(one.layers) for one in so_far) - 1

    @property
    def lineage(self) -> Lineage:
        """What the output of its first `shared` layers is computed from."""
        origins = (self.resolved.role if origin == FRESH else origin for origin in self.resolved.origins[: self.shared])
        kind = tuple(self.network.of_axes("network", "data").items())
        return (self.feed, self.resolved.input, kind, *origins)

    def follow_log(self, patience: int) -> list[int]:
        """Its phases, and its training, end where its log says that patience was over: those steps."""
        ended = ends(self.log, patience)
        self.resolved, self.stopped = self.resolved.ended(ended), len(ended) == self.resolved.patiences
        return ended

    def look_back(self, patience: int) -> None:
        """After a measurement: keep the weights where it was the best, and take them back where patience is over."""
        if best(self.log) is self.log[-1]:
            self.best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        if self.log[-1]["step"] in self.follow_log(patience):
            self.take_best()

    def take_best(self) -> None:
        """The weights of its best measurement, where it has any, are its own again; velocities are of others."""
        if self.best and best(self.log) is not self.log[-1]:
            self.module.load_state_dict(self.best)
            self.optimizer.state.clear()
            self.counted = None

    @property
    def trained(self) -> list[Layer]:
        """The layers that a gradient goes through."""
        return self.layers[self.held :]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """BatchNorm with its running statistics also in the layers that learn; the others have it so always."""
        for layer in self.layers:
            layer.train(False)
        try:
            yield
        finally:
            for number, layer in enumerate(self.layers, start=1):
                layer.train(number in self.learning)
