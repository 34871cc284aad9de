"""Which arm to advise: the rule of docs/advise-rule.md, as arithmetic on which pictures were right. No torch.

An arm is a way to train a network (how many layers are copied, which are frozen); each was trained at several learning rates,
in several repeats, each of which holds out another fold of the training pictures.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from transfercli.analysis.spread import Floats, Spread, of_folds
from transfercli.plan.rates import Rate, choose

INSIDE = 0.95  # of all answers: how often all their bounds together hold
DRAWS = 20_000
EXACT = 1e-9  # a difference of means that is 0.01 in exact arithmetic is not more than 0.01
RARELY, TOO_MUCH = 0.05, 2.0  # how often more than so many times `within` may be given away


Family = Literal["keep", "fresh", "scratch", "random"]


@dataclass(frozen=True)
class Arm:
    """One way to train. `n` layers are frozen; what the family does above and with them:

    keep     all but the classifier is copied (n = 0 is fine-tuning all, the deepest n a linear classifier)
    fresh    the first n are copied, the rest is drawn anew
    scratch  nothing is copied, nothing frozen
    random   the first n are drawn and stay as they are
    """

    name: str
    family: Family
    n: int
    cost: float  # multiply-adds of a training step, by which "cheapest" is judged; above 0
    seconds: float  # of a step, above 0
    trained: int  # parameters


@dataclass(frozen=True)
class Network:
    """One network that was trained: an arm at a learning rate in a repeat."""

    arm: str
    rate: float
    repeat: int
    loss: float  # mean on the repeat's holdout, nats; not finite where it diverged
    right: NDArray[np.bool_] | None = None  # (pictures of the fold,), in one order for all networks of a repeat
    right_val: NDArray[np.bool_] | None = None  # (pictures of val,), in one order for all networks


def choose_rates(networks: Iterable[Network]) -> dict[str, Rate]:
    """For each arm the rate that counts (`plan.rates.choose`), by the arm's name; an arm without one is not in the answer."""
    losses: dict[str, dict[float, dict[int, float]]] = {}
    for network in networks:
        losses.setdefault(network.arm, {}).setdefault(network.rate, {})[network.repeat] = network.loss
    repeats = {repeat for rates in losses.values() for each in rates.values() for repeat in each}
    chosen = {arm: choose(losses[arm], repeats) for arm in sorted(losses)}
    return {arm: rate for arm, rate in chosen.items() if rate}


def rightness(
    networks: Iterable[Network], rates: Mapping[str, Rate], of: Literal["right", "right_val"] = "right"
) -> dict[str, list[NDArray[np.bool_]]]:
    """By arm, for each repeat in ascending order, which pictures its network at the chosen rate was right of."""
    chosen = (one for one in networks if one.arm in rates and one.rate == rates[one.arm].rate)
    found: dict[str, list[NDArray[np.bool_]]] = {arm: [] for arm in sorted(rates)}
    for network in sorted(chosen, key=lambda one: one.repeat):
        pictures = getattr(network, of)
        if pictures is None:
            raise ValueError(f"{network.arm}, repeat {network.repeat}: it is not said which pictures were right")
        found[network.arm].append(np.asarray(pictures, dtype=bool))
    return found


@dataclass(frozen=True)
class Verdict:
    """What the holdouts say. All arrays are in the order of `arms`, which is that of their names; fractions of pictures."""

    arms: tuple[Arm, ...]
    spread: Spread
    within: float
    expected: Floats  # r(arm) = E[max θ − θ(arm)]: what to expect to give away
    risk: Floats  # the chance that the arm lies more than TOO_MUCH · within below the one of the highest mean
    upper: Floats  # the 95% upper bounds of max θ − θ(arm), all together
    excluded: NDArray[np.bool_]  # which do not beat all others, by the same bounds
    advised: Arm
    best: Arm  # of the highest mean
    pictures: tuple[int, ...]  # of each fold
    left_out: tuple[str, ...]  # arms that were not trained to the end in all repeats at any rate

    def index(self, arm: Arm) -> int:
        return self.arms.index(arm)

    @cached_property
    def bound(self) -> float:
        """How much worse than the best the advised arm may be."""
        return float(self.upper[self.index(self.advised)])

    @property
    def as_good(self) -> bool:
        """Whether the advised arm may be called as good as the best."""
        return self.bound <= self.within + EXACT

    @property
    def tells(self) -> bool:
        """Whether these pictures tell anything: that the advised arm is as good as any, or that one does not beat the others."""
        return self.as_good or bool(self.excluded.any())


def judge(
    arms: Iterable[Arm],
    folds: Mapping[str, Sequence[NDArray[np.bool_]]],
    within: float = 0.01,
    draws: int = DRAWS,
    seed: int = 0,
) -> Verdict:
    """Advise the cheapest arm that is expected to give away at most `within`, and hardly ever twice that; bound what it may.

    folds: by arm, for each repeat, which pictures of its fold were right, as `rightness` has them. Arms that have none there
    are left out. Draws are of a generator of their own, and arms are sorted by name, so that neither their order nor
    the time changes anything. Raises ValueError where no arm is left, or arms have not the same folds.
    """
    every = sorted(arms, key=lambda arm: arm.name)
    known = tuple(arm for arm in every if arm.name in folds)
    if not known:
        raise ValueError("no arm has a learning rate at which all its repeats were trained to the end")
    sizes = {tuple(len(fold) for fold in folds[arm.name]) for arm in known}
    if len(sizes) > 1 or sizes == {()}:
        raise ValueError(f"arms were measured on different folds: {', '.join(map(str, sorted(sizes)))} pictures")
    (pictures,) = sizes
    spread = of_folds([np.stack([folds[arm.name][repeat] for arm in known]) for repeat in range(len(pictures))])
    errors, _ = spread.drawn(np.random.RandomState(seed), draws)
    theta, behind = spread.mean + errors, spread.mean.max() - spread.mean
    place = {arm.name: at for at, arm in enumerate(known)}
    best = min(known, key=lambda arm: (behind[place[arm.name]], arm.cost, arm.name))
    risk = (theta[:, [place[best.name]]] - theta > TOO_MUCH * within).mean(axis=0)
    # r(a) less the smallest r is how far a's mean lies below the highest, whatever the covariance: no draw need tell it.
    fit = [arm for arm, gap, far in zip(known, behind, risk, strict=True) if gap <= within + EXACT and far <= RARELY]
    advised = min([best, *fit], key=lambda arm: (arm.cost, behind[place[arm.name]], arm.name))
    upper, excluded = with_the_best(spread, errors)
    return Verdict(
        arms=known,
        spread=spread,
        within=within,
        expected=theta.max(axis=1).mean() - theta.mean(axis=0),
        risk=risk,
        upper=upper,
        excluded=excluded,
        advised=advised,
        best=best,
        pictures=pictures,
        left_out=tuple(arm.name for arm in every if arm.name not in folds),
    )


def with_the_best(spread: Spread, errors: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Multiple comparisons with the best (Hsu, 1984), one-sided.

    (k,) upper bounds of max θ − θ(a), and (k,) which arms do not beat all others. Let b be the best. With the chance INSIDE,
    θ(b) − θ(a) ≤ S(b) − S(a) + q(b) · se(b, a) for all a at once, where q(b) is the quantile of the largest of b's errors over
    the others (max-T, so Dunnett's with b as control). Nobody knows b, so a's bound is the largest over every b that may be
    it; one that lies lower than that allows is not. All hold together, hence of an arm that was picked by its mean, too.
    """
    k = len(spread.mean)
    upper, excluded = np.zeros(k), np.zeros(k, dtype=bool)
    reaches = np.zeros((k, k))
    for b in range(k):
        others = np.arange(k) != b
        reaches[b, others] = spread.apart[b, others] * quantile(
            ((errors[:, others] - errors[:, [b]]) / spread.apart[b, others]).max(axis=1, initial=-np.inf)
        )
    ahead = spread.mean[:, None] - spread.mean[None, :]  # (b, a): how far b lies above a
    for b in range(k):
        excluded[b] = any(ahead[a, b] > reaches[b, a] for a in range(k) if a != b)
    for a in range(k):
        upper[a] = max((ahead[b, a] + reaches[b, a] for b in range(k) if b != a and not excluded[b]), default=0.0)
    return np.maximum(0.0, upper), excluded


def quantile(values: Floats, inside: float = INSIDE) -> float:
    """The smallest of the values that at least the share `inside` of them does not exceed; 0 where there is nothing to exceed."""
    ordered = np.sort(values)
    found = float(ordered[math.ceil(inside * len(ordered)) - 1])
    return found if math.isfinite(found) else 0.0
