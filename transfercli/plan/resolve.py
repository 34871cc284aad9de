"""From a network's identity to what training needs: for each layer its origin, when it learns and how fast. Pure."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from transfercli.plan.networks import AXES, OUTSIDE, RANDOM, Network, with_axes
from transfercli.plan.treatments import COPIED, PATIENCE, Treatment, turns

FRESH = ""  # the origin of layers that are drawn anew


@dataclass(frozen=True)
class Stage:
    """A part of the training in which the same layers learn: a phase, or one of its turns."""

    layers: frozenset[int]  # that learn; numbered from 1
    until: float  # the share of all steps at which it ends
    rate: float = 1.0  # in multiples of the schedule's
    after: float = 0.0  # so many steps later
    patient: bool = False  # where it ends the network's log says (`Resolved.ended`); until then it is taken for a share

    def end(self, steps: int) -> int:
        """The step (0-based) before which it ends, of so many."""
        return round(self.until * steps + self.after)

    @property
    def told(self) -> list[Any]:
        """What decides numbers, for a digest; what is usual is left out."""
        end = PATIENCE if self.patient else [self.until, self.after] if self.after else self.until
        return [sorted(self.layers), end, *[self.rate] * (self.rate != 1)]


@dataclass(frozen=True)
class Resolved:
    """What decides a network's numbers beside recipe and pictures. Layers are numbered from 1; `origins[0]` is layer 1's.

    An origin is FRESH, RANDOM, PRETRAINED, or the id of the network whose layer it is.
    """

    network: Network
    origins: tuple[str, ...]
    stages: tuple[Stage, ...]
    rates: tuple[float, ...]  # of each layer, in multiples of the schedule's

    @cached_property
    def learns(self) -> frozenset[int]:
        """The layers that learn at any time; the others are frozen from first to last."""
        return frozenset().union(*(stage.layers for stage in self.stages))

    @property
    def sources(self) -> tuple[str, ...]:
        """The origins that are no draw, each once."""
        return tuple(origin for origin in dict.fromkeys(self.origins) if origin not in (FRESH, RANDOM))

    @cached_property
    def frozen(self) -> tuple[int, ...]:
        """The layers that never learn, in order."""
        return tuple(layer for layer in range(1, len(self.origins) + 1) if layer not in self.learns)

    @property
    def prefix(self) -> int:
        """How many of the first layers never learn: what networks with the same origins share."""
        return min(self.learns) - 1

    @property
    def input(self) -> str:
        """Whose mean is subtracted: the source's, as in the study; layers that are no network's of it take the target's."""
        return self.network.target if self.network.rule.origin in OUTSIDE else self.network.source

    @property
    def role(self) -> str:
        """Which fresh draw it begins with: all transfer networks of a target share theirs, so that they are compared in pairs.

        It is not the draw that their base began with.
        """
        return f"{'base' if self.network.is_base else 'transfer'}{self.network.target}"

    def stage_at(self, step: int, steps: int) -> int:
        """Which stage the step (0-based) of so many is in. Where there are fewer steps than stages, some have none."""
        return next(place for place, stage in enumerate(self.stages) if step < stage.end(steps) or stage is self.stages[-1])

    @property
    def patiences(self) -> int:
        """How often patience is over before its training is."""
        return 1 + sum(stage.patient for stage in self.stages)

    def ended(self, at: Sequence[int]) -> "Resolved":
        """The same where the first of its patient stages have ended at these steps, and the next has no end yet."""
        ends = [(0.0, step) for step in at] + [(1.0, 0)] * len(self.stages)
        stages = zip(self.stages, ends, strict=False)
        found = (replace(stage, until=until, after=after) if stage.patient else stage for stage, (until, after) in stages)
        return replace(self, stages=tuple(found))

    def spans(self, taken: int, steps: int) -> list[int]:
        """How many of the first `taken` of so many steps each stage has."""
        ends = [min(taken, stage.end(steps)) for stage in self.stages[:-1]]
        return [end - began for began, end in pairwise([0, *ends, taken])]

    def layer_steps(self, taken: int, steps: int) -> int:
        """How many layers learned at how many steps, together, of the first `taken` of so many steps."""
        return sum(span * len(stage.layers) for stage, span in zip(self.stages, self.spans(taken, steps), strict=True))

    def check(self, steps: int) -> None:
        """Raise ValueError where phases that are told in steps do not follow each other within a run of so many."""
        ends = [0, *(stage.end(steps) for stage in self.stages)]
        if any(stage.after for stage in self.stages) and (ends != sorted(ends) or ends[-2] >= steps):
            raise ValueError(f"{self.network.rule.name}: its phases do not fit in a run of {steps} steps")

    def digest(self, recipe: str, split: str) -> str:
        """sha256 of all that decides its numbers, given the digests of recipe and split; what is usual is left out."""
        network = self.network
        about = {
            **{"recipe": recipe, "split": split, "name": network.split, "seed": network.seed, "target": network.target},
            **{"role": self.role, "input": self.input},
            "origins": {place: origin for place, origin in enumerate(self.origins, start=1) if origin != FRESH},
            "stages": [stage.told for stage in self.stages],
            "rates": [] if set(self.rates) == {1.0} else self.rates,
            "axes": dict(network.axes),
        }
        kept = {key: value for key, value in about.items() if value not in ({}, [])}
        return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def resolve(network: Network, depth: int) -> Resolved:
    """What training needs of a network of `depth` layers. Raises ValueError where n or the segment lie outside."""
    return _resolved(network, network.rule, depth)


@lru_cache(maxsize=4096)
def _resolved(network: Network, rule: Treatment, depth: int) -> Resolved:
    n, first = network.layer, network.first
    if rule.swept and not (1 <= first <= max(n, 1) and rule.least <= n < depth):
        raise ValueError(f"{network.name}: of {depth} layers {rule.least} to {depth - 1} can be copied")
    copied = frozenset(COPIED[rule.copied](first, n, depth))
    origin = _origin(network)
    origins = tuple(origin if layer in copied else FRESH for layer in range(1, depth + 1))
    rate = dict(network.axes).get("rate", AXES["rate"].usual)
    rates = tuple(rate / rule.slower ** (depth - layer) for layer in range(1, depth + 1))
    return Resolved(network, origins, tuple(_stages(network, rule, copied, depth)), rates)


def _stages(network: Network, rule: Treatment, copied: frozenset[int], depth: int) -> Iterator[Stage]:
    share, after = 0.0, 0.0  # where the phase before ended
    for place, phase in enumerate(rule.phases, start=1):
        try:
            by_turns = turns(phase.train, copied, network.first, network.layer, depth)
        except ValueError as error:
            raise ValueError(f"{rule.name}: {error}") from None
        if not by_turns or not all(by_turns):
            raise ValueError(f"{network.name}: in one of its phases no layer learns")
        until = place / len(rule.phases) if rule.patient else float(phase.until)
        ended = (0.0, until) if phase.counted else (until, 0.0)
        each = [(end - begun) / len(by_turns) for begun, end in zip((share, after), ended, strict=True)]
        for turn, layers in enumerate(by_turns[:-1], start=1):
            yield Stage(layers, share + each[0] * turn, phase.rate, after + each[1] * turn, rule.patient)
        yield Stage(by_turns[-1], ended[0], phase.rate, ended[1], rule.patient and place < len(rule.phases))
        share, after = ended


def _origin(network: Network) -> str:
    """The source's id, with what says which of its weights are meant."""
    which = {key: value for key, value in network.of_axes("source").items() if not AXES[key].becomes}
    return with_axes(network.donor.name if network.donor else network.source, which)
