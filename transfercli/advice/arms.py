"""The ways to train that are compared: which networks they are, and at which learning rates. Pure; no torch."""

from typing import Literal, NamedTuple

from transfercli.analysis.advice import Family
from transfercli.plan.networks import Network, varied
from transfercli.plan.splits import UNDIVIDED
from transfercli.plan.tasks import WHOLE
from transfercli.plan.words import evenly

# Of each family its treatment, and the middle of its learning rates, in multiples of the recipe's: what is drawn anew wants more.
FAMILIES: dict[Family, tuple[str, float]] = {
    "keep": ("PnB.keep", 1.0),
    "fresh": ("PnB", 3.0),
    "scratch": ("base", 9.0),
    "random": ("RnB", 3.0),
}
APART = 3.0  # a learning rate and the next


class Way(NamedTuple):
    """One way to train: a family, and its n."""

    family: Family
    n: int

    @property
    def name(self) -> str:
        """The id of its networks, whatever their rate."""
        return self.network(0, 1.0).name

    def network(self, seed: int, rate: float) -> Network:
        return varied(Network(UNDIVIDED, seed, FAMILIES[self.family][0], self.n, WHOLE), rate=rate)


def ways(depth: int, layers: int | None = None, fresh: bool = False) -> list[Way]:
    """All ways for a network of so many layers; `layers`: so many n of each family at the most, evenly spread with both ends.

    `fresh`: Yosinski's way, too, in which what is not frozen is drawn anew.
    """
    n = (0, *evenly(depth, None if layers is None else max(1, layers - 1)))
    keep = [Way("keep", one) for one in n]
    return [
        *keep,
        *[Way("fresh", one) for one in n if fresh and 0 < one < depth - 1],
        Way("random", depth - 1),
        Way("scratch", 0),
    ]


def rates(family: Family, count: int = 3) -> tuple[float, ...]:
    """So many learning rates around the family's middle, ascending, in multiples of the recipe's."""
    middle = FAMILIES[family][1]
    return tuple(_rounded(middle * APART ** (place - (count - 1) // 2)) for place in range(count))


def beyond(rate: float, edge: Literal["low", "high"]) -> float:
    """The next learning rate on that side."""
    return _rounded(rate * APART if edge == "high" else rate / APART)


def _rounded(rate: float) -> float:
    """As ids write it, which are names of folders: 0.333."""
    return float(f"{rate:.3g}")
