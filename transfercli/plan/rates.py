"""Which learning rate counts of those at which the same way to train was tried. Pure."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

Edge = Literal["", "low", "high", "only"]


@dataclass(frozen=True)
class Rate:
    """A way's learning rate. `edge`: on which side of those tried an even better one may lie."""

    rate: float
    loss: float  # mean over repeats
    edge: Edge
    tried: tuple[float, ...]  # ascending
    diverged: tuple[float, ...]  # those of which a repeat diverged


def choose(losses: Mapping[float, Mapping[int, float]], repeats: Collection[int]) -> Rate | None:
    """The rate of the smallest mean loss (of whatever kind) on held-out pictures, of two alike the smaller; None without any.

    losses: by rate and repeat. A rate of which a repeat is missing, or not finite as it diverged, is out. A best rate beside
    one that is out is no edge: what lies there was tried.
    """
    tried = sorted(losses)
    whole = {rate: [losses[rate].get(repeat, math.nan) for repeat in sorted(repeats)] for rate in tried}
    sound = {rate: math.fsum(each) / len(each) for rate, each in whole.items() if all(map(math.isfinite, each))}
    if not sound:
        return None
    rate = min(sound, key=lambda one: (sound[one], one))
    edge: Edge = "low" if rate == tried[0] else "high" if rate == tried[-1] else ""
    out = tuple(one for one in tried if one not in sound)
    return Rate(rate, sound[rate], "only" if len(tried) == 1 else edge, tuple(tried), out)
