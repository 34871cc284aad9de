"""The bank: networks that train side by side on one stream of batches a target.

Each picture is read, decoded, moved and cropped once for all networks; a frozen prefix is computed once per source
and target for all n. On a CPU every network's step runs on one thread of its own, so its numbers, bit for bit, do not
depend on what trains beside it, nor on how many threads there are.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfercli.networks.layers import Dropout, cut, forward
from transfercli.networks.start import digest, frozen_names
from transfercli.pictures.stream import Batch, Source, Stream, centre, centre_crop, normalise
from transfercli.plan.networks import Network
from transfercli.recipe.schema import Recipe
from transfercli.system.randomness import generator
from transfercli.system.threads import pool
from transfercli.training.evaluation import FIXED, Counted, evaluating
from transfercli.training.feed import Feed
from transfercli.training.member import Member
from transfercli.training.optimiser import clip, make_optimizer, set_rate


class Bank:
    """Members, the pictures of their targets, and the means of their sources."""

    def __init__(
        self,
        recipe: Recipe,
        started: Mapping[Network, nn.Sequential],
        train: Mapping[str, Source],
        val: Mapping[str, Source],
        means: Mapping[str, Tensor | None],
        steps: int,
        device: torch.device,
        precision: torch.dtype,
        threads: int,
        copied: Mapping[Network, str] | None = None,
    ):
        """`copied`: for each base that layers were copied from, the digest of its weights."""
        first = next(iter(started))
        self.recipe, self.device, self.precision, self.steps = recipe, device, precision, steps
        self.purpose: tuple[str | int, ...] = (first.seed, first.split)
        self.rate = recipe.training.schedule.bind(steps)
        self.train, self.val = train, val
        self.means = {half: m if m is None else m.to(device) for half, m in means.items()}
        feeds = {network: Feed.of(network, recipe.training) for network in started}
        self.streams = {
            feed: Stream(train[feed.target], recipe.training.batch, (*self.purpose, *feed.purpose))
            for feed in dict.fromkeys(feeds.values())
        }
        digests = copied or {}
        self.members = [
            self._member(network, feeds[network], digests.get(network.needs, "") if network.needs else "", module)
            for network, module in started.items()
        ]
        self.pool = pool(threads) if device.type == "cpu" else None
        self.step_number = 0

    def _member(self, network: Network, feed: Feed, copied: str, module: nn.Sequential) -> Member:
        frozen_before = digest(module.state_dict(), frozen_names(module, network.frozen))
        module = module.to(self.device)
        if self.recipe.training.channels_last:
            module = module.to(memory_format=torch.channels_last)
        layers = cut(module)
        for number, layer in enumerate(layers):
            frozen = number < network.frozen
            for _, part in layer:
                part.requires_grad_(not frozen).train(not frozen)  # eval: BatchNorm's statistics stay
        return Member(
            network,
            feed,
            copied,
            module,
            layers,
            make_optimizer(module, self.recipe.training),
            frozen_before,
            torch.zeros((), device=self.device),
            torch.zeros((), device=self.device, dtype=torch.int64),
        )

    # -- training

    def step(self) -> None:
        """Every network takes one step on the batch of its target."""
        t, rate = self.step_number, self.rate(self.step_number)
        previous = self.rate(t - 1) if t else rate
        inputs = Inputs(self, {feed: stream.batch(t) for feed, stream in self.streams.items()}, t)

        def train(member: Member) -> None:
            x, labels = inputs.of(member)
            with self.autocast():
                logits = forward(member.trained, x, inputs.masks[member.feed])
            loss = F.cross_entropy(logits.float(), labels)
            loss.backward()
            if self.recipe.training.adaptive_clip:
                clip(member.weights, self.recipe.training.adaptive_clip)
            set_rate(member.optimizer, self.recipe.training, rate, previous)
            member.optimizer.step()
            member.optimizer.zero_grad()
            member.loss_sum += loss.detach()
            member.finite += member.loss_sum.isfinite()  # once the sum is not, it stays so
            member.loss_count += 1

        self._each(train, inputs)
        self.step_number += 1

    def evaluate(self) -> None:
        """Measure every network on the whole validation part of its target and add a line to its log."""
        size = self.recipe.evaluation.batch
        found = self.count(self.val, {target: centre(source, size) for target, source in self.val.items()})
        for member in self.live:
            counted = found[member.network.name]
            correct1, correct5, loss = counted.shares()
            trained = float(member.loss_sum / member.loss_count) if member.loss_count else math.nan
            rate = self.rate(max(0, self.step_number - 1))
            line = dict(step=self.step_number, train_loss=trained, loss=loss, top1=correct1, top5=correct5, learning_rate=rate)
            member.log.append({**line, "balanced_top1": counted.balanced()})
            if not (math.isfinite(loss) and (math.isfinite(trained) or not member.loss_count)):
                member.diverged = self.step_number - member.loss_count + min(int(member.finite) + 1, member.loss_count)
            member.loss_sum.zero_()
            member.finite.zero_()
            member.loss_count = 0

    def fixed_losses(self) -> dict[str, float]:
        """By network, the loss on training pictures that are always the same, centre-cropped and without dropout.

        At most FIXED pictures of each target, evenly spaced in the order of its classes.
        """
        size = self.recipe.evaluation.batch
        spread = {t: torch.arange(n := min(FIXED, len(s))) * len(s) // n for t, s in self.train.items()}
        found = self.count(self.train, {target: index.split(size) for target, index in spread.items()})
        return {name: counted.shares()[2] for name, counted in found.items()}

    def count(self, sources: Mapping[str, Source], batches: Mapping[str, Sequence[Tensor]]) -> "dict[str, Counted]":
        """By network that trains on, what is right of these pictures of its target: the centre crop, without dropout."""
        counted: dict[str, Counted] = {}
        for target, source in sources.items():
            members = [m for m in self.live if m.network.target == target]
            classes = int(source.labels.max()) + 1
            counted.update({m.network.name: Counted.none(classes, self.device) for m in members})
            for index in batches[target] if members else []:
                batch = centre_crop(source, index)
                inputs = Inputs(self, {m.feed: batch for m in members}, None)

                def measure(member: Member, inputs: "Inputs" = inputs) -> None:
                    x, labels = inputs.of(member)
                    with torch.no_grad(), self.autocast(), evaluating(member):
                        logits = forward(member.trained, x).float()
                    counted[member.network.name].add(logits, labels)

                self._each(measure, inputs, members)
        return counted

    @property
    def measured_at(self) -> int | None:
        """The step at which the networks were last measured."""
        return max((int(member.log[-1]["step"]) for member in self.members if member.log), default=None)

    @property
    def live(self) -> list[Member]:
        """The members that train on; one whose loss was not finite has stopped."""
        return [member for member in self.members if member.diverged is None]

    def _each(self, work: Callable[[Member], None], inputs: "Inputs", members: Iterable[Member] | None = None) -> None:
        """Do the work of every member: side by side on a CPU's threads, one after another on an accelerator."""
        members = list(self.live if members is None else members)
        inputs.prepare(members)
        if self.pool is None:
            for member in members:
                work(member)
            return
        # Those with most to train first, so that the threads end together; they need no prefix, which is made meanwhile.
        futures = [self.pool.submit(work, m) for m in sorted(members, key=lambda m: m.network.frozen)]
        for future in futures:
            future.result()

    def autocast(self) -> torch.autocast:
        reduced = self.precision != torch.float32
        return torch.autocast(self.device.type, self.precision if reduced else None, enabled=reduced)

    def close(self) -> None:
        """End the bank's threads; without this a study of many banks would gather them."""
        for stream in self.streams.values():
            stream.close()
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
        self.members.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # -- state, for checkpoints

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a resumed bank needs: weights, velocities and running sums by `network/name`, and the logs."""
        tensors: dict[str, Tensor] = {}
        for member in self.members:
            name = member.network.name
            tensors |= {f"{name}/{key}": value for key, value in member.module.state_dict().items()}
            tensors |= {f"{name}/loss_sum": member.loss_sum, f"{name}/finite": member.finite}
            for key, parameter in member.module.named_parameters():
                if (velocity := member.optimizer.state.get(parameter, {}).get("momentum_buffer")) is not None:
                    tensors[f"{name}/velocity/{key}"] = velocity
        about = {
            m.network.name: {
                **{"log": m.log, "loss_count": m.loss_count, "diverged": m.diverged},
                **{"frozen": m.frozen_before, "copied": m.copied},
            }
            for m in self.members
        }
        return tensors, {"step": self.step_number, "networks": about}

    def restore(self, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Go on where `state` was taken. The state may hold further networks; numbers do not depend on them.

        Raises ValueError where a network had copied other weights than it copies now.
        """
        for member in self.members:
            base = member.network.needs
            if base and about["networks"][member.network.name].get("copied", member.copied) != member.copied:
                raise ValueError(f"{member.network.name} was begun with layers of another {base.name}")
        self.step_number = about["step"]
        for member in self.members:
            name, kept = member.network.name, about["networks"][member.network.name]
            with torch.no_grad():
                for key, value in member.module.state_dict().items():
                    value.copy_(tensors[f"{name}/{key}"])
            for key, parameter in member.module.named_parameters():
                if f"{name}/velocity/{key}" in tensors:
                    velocity = torch.empty_like(parameter).copy_(tensors[f"{name}/velocity/{key}"])
                    member.optimizer.state[parameter]["momentum_buffer"] = velocity
            member.loss_sum.copy_(tensors[f"{name}/loss_sum"])
            member.finite.copy_(tensors[f"{name}/finite"])
            member.log, member.loss_count, member.diverged = list(kept["log"]), kept["loss_count"], kept["diverged"]
            member.frozen_before = kept["frozen"]


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
