"""What the networks of a bank share at one step."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from transfercli.networks.layers import Dropout, forward
from transfercli.pictures.stream import Batch, normalise
from transfercli.system.randomness import generator
from transfercli.training.feed import Feed
from transfercli.training.member import Member

if TYPE_CHECKING:
    from transfercli.training.bank import Bank


class Prefix(NamedTuple):
    """What identifies a frozen prefix's input and weights: which batches, whose weights."""

    feed: Feed
    source: str


class Inputs:
    """What the members of a bank share at one step: inputs by source's mean, frozen prefixes, dropout masks."""

    def __init__(self, bank: "Bank", batches: Mapping[Feed, Batch], t: int | None):
        self.bank, self.batches, self.t = bank, batches, t
        self.masks: dict[Feed, dict[str, Tensor] | None] = {}
        self.ready: dict[Prefix, Future[list[Tensor]]] = {}

    def prepare(self, members: list[Member]) -> None:
        """Start to compute what `members` share: for each target and source the input, and the layers frozen for any of them."""
        for feed in {m.feed for m in members}:
            self.masks[feed] = None if self.t is None else self._masks(feed, members[0])
        groups: dict[Prefix, Member] = {}
        for member in members:
            prefix = Prefix(member.feed, member.network.source)
            if prefix not in groups or member.network.frozen > groups[prefix].network.frozen:
                groups[prefix] = member
        for prefix, deepest in groups.items():
            if self.bank.pool is not None:
                self.ready[prefix] = self.bank.pool.submit(self._prefix, deepest)
            else:
                self.ready[prefix] = Future()
                self.ready[prefix].set_result(self._prefix(deepest))

    def of(self, member: Member) -> tuple[Tensor, Tensor]:
        """The input of the member's first trained layer, and the labels (batch,)."""
        prefix = Prefix(member.feed, member.network.source)
        return self.ready[prefix].result()[member.network.frozen], self.batches[member.feed].labels

    def _prefix(self, deepest: Member) -> list[Tensor]:
        """The normalised input and the output of each frozen layer, as far as any member of the group needs them."""
        feed = deepest.feed
        with torch.no_grad(), self.bank.autocast():
            x = normalise(self.batches[feed], self.bank.means[deepest.network.mean_from], self.bank.recipe.pictures)
            outputs = [x]
            for layer in deepest.layers[: deepest.network.frozen]:
                x = forward(layer, x, self.masks[feed])
                outputs.append(x)
        return outputs

    def _masks(self, feed: Feed, member: Member) -> dict[str, Tensor]:
        """One mask per dropout layer and step for all networks of a feed, scaled by 1 / (1 - rate)."""
        masks, width = {}, 0
        for name, module in member.module.named_children():
            if isinstance(module, nn.Linear):
                width = module.out_features
            if isinstance(module, Dropout):
                random = generator(*self.bank.purpose, *feed.purpose, name, self.t or 0, device=self.bank.device)
                keep = 1 - module.rate
                mask = torch.empty(len(self.batches[feed].labels), width, device=self.bank.device)
                masks[name] = mask.bernoulli_(keep, generator=random).div_(keep).to(self.bank.precision)
        return masks
