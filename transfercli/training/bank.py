"""The bank: networks that train side by side on one stream of batches a target.

Each picture is read, decoded, moved and cropped once for all networks; a frozen beginning is computed once for all that have
it in common. On a CPU every network's step runs on one thread of its own, so its numbers, bit for bit, do not
depend on what trains beside it, nor on how many threads there are.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from transfercli.networks.layers import layers_of, run
from transfercli.networks.start import digest, names_of
from transfercli.pictures.stream import Pixels, Stream, centre, centre_crop
from transfercli.plan.networks import PRETRAINED, Network
from transfercli.plan.resolve import resolve
from transfercli.recipe.schema import Recipe
from transfercli.system.threads import pool
from transfercli.training.evaluation import FIXED, Counted
from transfercli.training.feed import Feed
from transfercli.training.inputs import Inputs, Setting, draw_masks
from transfercli.training.member import Member
from transfercli.training.optimiser import make_optimizer
from transfercli.training.step import Given, step

BEST = "best"  # what checkpoints call the weights of the best measurement
KEPT_AS = {"velocity": "momentum_buffer"}  # what checkpoints call of the optimiser's memory, and torch does


class Bank:
    """Members, the pictures of their targets, and the means of their sources."""

    def __init__(
        self,
        recipe: Recipe,
        started: Mapping[Network, nn.Module],
        train: Mapping[str, Pixels],
        val: Mapping[str, Pixels],
        means: Mapping[str, Tensor | None],
        steps: int,
        device: torch.device,
        precision: torch.dtype,
        threads: int,
        copied: Mapping[str, str] | None = None,
        holdout: Mapping[str, Pixels] | None = None,
    ):
        """`train`, `val` and `holdout` are by `Network.pictures`, `means` by target. `copied`: of each origin that layers were
        copied from, the digest of its weights. `holdout`: training pictures that these networks do not see, on which they are
        measured at the end.
        """
        first = next(iter(started))
        assert len({(network.split, network.seed) for network in started}) == 1, "a bank is of one split and seed"
        self.recipe, self.steps, self.train, self.val, self.holdout = recipe, steps, train, val, holdout or {}
        on_device = {source: mean if mean is None else mean.to(device) for source, mean in means.items()}
        self.setting = Setting(device, precision, recipe.pictures, on_device, pool(threads) if device.type == "cpu" else None)
        self.rate = recipe.training.schedule.bind(steps)
        self.step_number, self.over = 0, False
        self.members = [self._member(network, module, copied or {}) for network, module in started.items()]
        self.purposes = {member.feed: member.feed.purpose(first) for member in self.members}
        batch = recipe.training.batch
        self.streams = {feed: Stream(train[feed.pictures], batch, purpose) for feed, purpose in self.purposes.items()}
        self.drops = {m.feed: {key: drop for layer in m.layers for key, drop in layer.link.drops.items()} for m in self.members}

    def _member(self, network: Network, module: nn.Module, copied: Mapping[str, str]) -> Member:
        resolved = resolve(network, self.recipe.network.depth).ended(())
        frozen_before = digest(module.state_dict(), names_of(module, resolved.frozen))
        device, training = self.setting.device, self.recipe.training
        module = module.to(device)
        if training.channels_last:
            module = module.to(memory_format=torch.channels_last)
        layers, rates = layers_of(module), {layer: resolved.rates[layer - 1] for layer in resolved.learns}
        member = Member(
            resolved,
            Feed.of(network, training),
            PRETRAINED in resolved.origins and not (self.recipe.source and self.recipe.source.dropout),
            " ".join(copied.get(source, "") for source in resolved.sources),
            module,
            layers,
            make_optimizer(layers, rates, training, apart=len(resolved.stages) > 1),
            frozen_before,
            torch.zeros((), device=device),
            torch.zeros((), device=device, dtype=torch.int64),
        )
        member.enter(0, self.steps)
        return member

    def _digest(self, member: Member) -> str:
        return member.resolved.digest("", "")

    def begin_at(self, step: int) -> None:
        """As if so many steps were taken: the layers that learned at the last of them are those that learn."""
        self.step_number = step
        for member in self.members:
            member.enter(max(0, step - 1), self.steps)

    # -- training

    def step(self) -> None:
        """Every network takes one step on the batch of its target."""
        t, training, device = self.step_number, self.recipe.training, self.setting.device
        rate, previous = self.rate(t), self.rate(max(0, t - 1))
        batches = {feed: stream.batch(t) for feed, stream in self.streams.items()}
        masks = {
            feed: draw_masks(self.drops[feed].items(), purpose, t, training.batch, device, self.setting.precision)
            for feed, purpose in self.purposes.items()
        }
        for member in self.members:
            member.enter(t, self.steps)
        inputs = Inputs(self.setting, self.live, batches, masks)

        def train(member: Member) -> None:
            x, labels = inputs.of(member)
            given = Given(x, labels, masks[member.feed], rate * member.pace, previous * member.pace_before)
            step(member, given, training, self.setting.autocast())

        self._each(train, self.live)
        self.step_number += 1

    def evaluate(self) -> None:
        """Measure every network on the whole validation part of its target and add a line to its log."""
        found, patience = self.of_part(self.val), self.recipe.training.patience
        held = self.of_part(self.holdout) if patience else {}
        for member in self.live:
            counted = found[member.network.name]
            member.counted = counted
            correct1, correct5, loss = counted.shares()
            trained = float(member.loss_sum / member.loss_count) if member.loss_count else math.nan
            rate = self.rate(max(0, self.step_number - 1))
            line = dict(step=self.step_number, train_loss=trained, loss=loss, top1=correct1, top5=correct5, learning_rate=rate)
            line["balanced_top1"] = counted.balanced()
            member.log.append(line | ({"holdout_loss": held[member.network.name].shares()[2]} if patience else {}))
            if not (math.isfinite(loss) and (math.isfinite(trained) or not member.loss_count)):
                member.diverged = self.step_number - member.loss_count + min(int(member.finite) + 1, member.loss_count)
            member.loss_sum.zero_()
            member.finite.zero_()
            member.loss_count = 0
            if patience and member.diverged is None:
                member.look_back(patience)

    def take_best(self) -> None:
        """Training is over: with patience, every network has the weights of its best measurement."""
        self.over = True
        for member in self.live:
            member.take_best()

    def of_part(self, pixels: Mapping[str, Pixels]) -> "dict[str, Counted]":
        """By network that trains on, what is right of all these pictures of its target."""
        return self.count(pixels, lambda of: centre(of, self.recipe.evaluation.batch))

    def last_counts(self) -> "dict[str, dict[str, Counted]]":
        """By network that trains on and part, what is right at the last step; of `val` it has just been counted, as a rule."""
        again = {} if all(member.counted for member in self.live) else self.of_part(self.val)
        held = self.of_part(self.holdout)
        names = {m.network.name: m.counted for m in self.live}
        return {name: {"val": counted or again[name], "holdout": held[name]} for name, counted in names.items()}

    def fixed_losses(self) -> dict[str, float]:
        """By network, the loss on training pictures that are always the same, centre-cropped and without dropout.

        At most FIXED pictures of each target, evenly spaced in the order of its classes.
        """

        def spread(pixels: Pixels) -> Sequence[Tensor]:
            index = torch.arange(n := min(FIXED, len(pixels))) * len(pixels) // n
            return index.split(self.recipe.evaluation.batch)

        return {name: counted.shares()[2] for name, counted in self.count(self.train, spread).items()}

    def count(self, parts: Mapping[str, Pixels], batches: Callable[[Pixels], Sequence[Tensor]]) -> "dict[str, Counted]":
        """By network that trains on, what is right of these pictures of its target: the centre crop, without dropout.

        Pictures that are those of several amounts, as validation pictures are, are read once for all.
        """
        counted: dict[str, Counted] = {}
        for pixels in {id(pixels): pixels for pixels in parts.values()}.values():
            members = [m for m in self.live if parts.get(m.network.pictures) is pixels]
            classes = int(pixels.labels.max()) + 1
            counted.update({m.network.name: Counted.none(classes, self.setting.device) for m in members})
            for index in batches(pixels) if members else []:
                batch = centre_crop(pixels, index)
                inputs = Inputs(self.setting, members, {m.feed: batch for m in members}, {})

                def measure(member: Member, inputs: Inputs = inputs) -> None:
                    x, labels = inputs.of(member)
                    with torch.no_grad(), self.setting.autocast(), member.evaluating():
                        logits = run(member.layers[member.shared :], x).float()
                    counted[member.network.name].add(logits, labels)

                self._each(measure, members)
        return counted

    @property
    def measured_at(self) -> int | None:
        """The step at which the networks were last measured."""
        return max((int(member.log[-1]["step"]) for member in self.members if member.log), default=None)

    @property
    def live(self) -> list[Member]:
        """The members that train on: not those whose loss was not finite, nor, until all have ended, whose patience is over."""
        return [member for member in self.members if member.diverged is None and (self.over or not member.stopped)]

    def _each(self, work: Callable[[Member], None], members: Iterable[Member]) -> None:
        """Do the work of every member: side by side on a CPU's threads, one after another on an accelerator."""
        if (workers := self.setting.pool) is None:
            for member in members:
                work(member)
            return
        # Those with most to train first, so that the threads end together; they need no prefix, which is made meanwhile.
        futures = [workers.submit(work, member) for member in sorted(members, key=lambda member: member.held)]
        for future in futures:
            future.result()

    def close(self) -> None:
        """End the bank's threads; without this a study of many banks would gather them."""
        for stream in self.streams.values():
            stream.close()
        if self.setting.pool is not None:
            self.setting.pool.shutdown(cancel_futures=True)
        self.members.clear()
        if self.setting.device.type == "cuda":
            torch.cuda.empty_cache()

    # -- state, for checkpoints

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that a resumed bank needs: weights, the optimiser's memory and running sums by `network/name`, and the logs."""
        tensors, called = dict[str, Tensor](), {own: kept for kept, own in KEPT_AS.items()}
        for member in self.members:
            name = member.network.name
            tensors |= {f"{name}/{key}": value for key, value in member.module.state_dict().items()}
            tensors |= {f"{name}/{BEST}/{key}": value for key, value in member.best.items()}
            tensors |= {f"{name}/loss_sum": member.loss_sum, f"{name}/finite": member.finite}
            for key, parameter in member.module.named_parameters():
                for what, kept in member.optimizer.state.get(parameter, {}).items():
                    if isinstance(kept, Tensor):
                        tensors[f"{name}/{called.get(what, what)}/{key}"] = kept
        about = {
            m.network.name: {
                **{"log": m.log, "loss_count": m.loss_count, "diverged": m.diverged},
                **{"frozen": m.frozen_before, "copied": m.copied, "treatment": self._digest(m)},
            }
            for m in self.members
        }
        return tensors, {"step": self.step_number, "networks": about}

    def restore(self, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
        """Go on where `state` was taken. The state may hold further networks; numbers do not depend on them.

        Raises ValueError where a network had copied other weights than it copies now, or was treated otherwise.
        """
        for member in self.members:
            network, begun = member.network, about["networks"][member.network.name]
            if begun.get("copied", member.copied) != member.copied:
                raise ValueError(f"{network.name} was begun with layers of another {' and '.join(member.resolved.sources)}")
            if begun.get("treatment", now := self._digest(member)) != now:
                raise ValueError(f"{network.name} was begun by another treatment {network.treatment}")
            member.log, member.loss_count, member.diverged = list(begun["log"]), begun["loss_count"], begun["diverged"]
            member.frozen_before = begun["frozen"]
            if patience := self.recipe.training.patience:
                member.follow_log(patience)
        self.begin_at(about["step"])
        for member in self.members:
            name = member.network.name
            with torch.no_grad():
                for key, value in member.module.state_dict().items():
                    value.copy_(tensors[f"{name}/{key}"])
            parameters = dict(member.module.named_parameters())
            for path, tensor in tensors.items():
                owner, *rest = path.split("/")
                if owner == name and len(rest) == 2 and rest[0] == BEST:
                    member.best[rest[1]] = torch.empty_like(member.module.state_dict()[rest[1]]).copy_(tensor)
                elif owner == name and len(rest) == 2:  # the optimiser's
                    what, parameter = KEPT_AS.get(rest[0], rest[0]), parameters[rest[1]]
                    alike = tensor.shape == parameter.shape
                    own = torch.empty_like(parameter).copy_(tensor) if alike else tensor.to(parameter.device, copy=True)
                    member.optimizer.state[parameter][what] = own
            member.loss_sum.copy_(tensors[f"{name}/loss_sum"])
            member.finite.copy_(tensors[f"{name}/finite"])
