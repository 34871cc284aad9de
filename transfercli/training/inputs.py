"""What the networks of a bank share at one step: inputs, frozen prefixes, dropout masks."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from transfercli.networks.layers import Activation, Drop, Masks
from transfercli.pictures.stream import Batch, normalise
from transfercli.plan.purposes import Purpose, dropout
from transfercli.recipe.schema import Pictures
from transfercli.system.randomness import generator
from transfercli.training.feed import Feed
from transfercli.training.member import INPUT, Lineage, Member


@dataclass(frozen=True)
class Setting:
    """Where and how a bank computes."""

    device: torch.device
    precision: torch.dtype
    pictures: Pictures
    means: Mapping[str, Tensor | None]  # by source, on the device
    pool: ThreadPoolExecutor | None  # of a CPU

    def autocast(self) -> torch.autocast:
        reduced = self.precision != torch.float32
        return torch.autocast(self.device.type, self.precision if reduced else None, enabled=reduced)


class Inputs:
    """The inputs of these members for one batch of each feed: what they share is computed once."""

    def __init__(self, setting: Setting, members: Iterable[Member], batches: Mapping[Feed, Batch], masks: Mapping[Feed, Masks]):
        """Begins to compute: a frozen prefix is shared by all whose lineages have it in common, as far as they do."""
        self.setting, self.batches, self.masks = setting, batches, masks
        self.chains: dict[Lineage, Future[list[Activation]]] = {}
        for member in sorted(members, key=lambda member: -member.shared):
            if self._chain(member.lineage) is None:
                self._begin(member)

    def of(self, member: Member) -> tuple[Activation, Tensor]:
        """The output of the member's first `shared` layers, and the labels (batch,)."""
        chain = self._chain(member.lineage)
        assert chain is not None
        return chain.result()[member.shared], self.batches[member.feed].labels

    def _chain(self, lineage: Lineage) -> Future[list[Activation]] | None:
        """What computes this lineage or a longer one that begins so."""
        return next((chain for other, chain in self.chains.items() if other[: len(lineage)] == lineage), None)

    def _begin(self, member: Member) -> None:
        """Compute a new chain, from where it parts from one that there is. That began before, so no thread waits in vain."""
        own = member.lineage
        nearest = max(self.chains, key=lambda other: _in_common(own, other), default=())
        done = _in_common(own, nearest) - INPUT  # layers; the input alone is sooner made than waited for
        before = self.chains[nearest] if done > 0 else None

        def compute() -> list[Activation]:
            outputs = before.result()[: done + 1] if before else []
            feed, mean = member.feed, self.setting.means[member.resolved.input]
            with torch.no_grad(), self.setting.autocast():
                if not outputs:
                    outputs = [normalise(self.batches[feed], mean, self.setting.pictures)]
                for layer in member.layers[len(outputs) - 1 : member.shared]:
                    outputs.append(layer.run(outputs[-1], None if member.quiet else self.masks.get(feed)))
            return outputs

        self.chains[own] = _submitted(self.setting.pool, compute)


def draw_masks(
    drops: Iterable[tuple[str, Drop]], stream: Purpose, step: int, batch: int, device: torch.device, precision: torch.dtype
) -> dict[str, Tensor]:
    """One mask (batch, *shape) per dropout and step for all networks of a feed, scaled by 1 / (1 - rate)."""
    masks = {}
    for name, drop in drops:
        random = generator(*dropout(stream, name, step), device=device)
        keep = 1 - drop.rate
        mask = torch.empty(batch if drop.each else 1, *drop.shape, device=device).bernoulli_(keep, generator=random)
        masks[name] = (mask.div_(keep) if drop.scaled and keep > 0 else mask).to(precision)
    return masks


def _in_common(one: Lineage, other: Lineage) -> int:
    """How long the beginning is that both have."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _submitted(pool: ThreadPoolExecutor | None, work: Callable[[], list[Activation]]) -> Future[list[Activation]]:
    if pool is not None:
        return pool.submit(work)
    future: Future[list[Activation]] = Future()
    future.set_result(work())
    return future
