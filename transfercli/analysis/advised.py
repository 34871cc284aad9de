"""What the advised arm gives on pictures that chose nothing, and the advice in three sentences. No torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transfercli.analysis.advice import DRAWS, INSIDE, Arm, Rate, Verdict, quantile
from transfercli.analysis.spread import of_same_pictures
from transfercli.analysis.words import signed

HIGHEST = "the most accurate on the folds"
TOO_WIDE = 0.2  # an accuracy whose interval is wider: so few pictures allow no conclusion


@dataclass(frozen=True)
class Measured:
    """A mean over repeats, a fraction, and its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Shown:
    """What figures and sentences show. With the chance INSIDE all intervals hold together."""

    accuracies: dict[str, Measured]  # by arm's name
    gains: dict[str, Measured]  # the advised arm less each that it is compared with, by that one's name
    pictures: int
    repeats: int


def compared(verdict: Verdict, layers: int) -> dict[str, Arm]:
    """The few arms that the advised one is compared with, by what a sentence calls them; itself is none of them."""
    roles = {
        "fine-tuning all layers": lambda arm: arm.family == "keep" and arm.n == 0,
        "the linear classifier": lambda arm: arm.family == "keep" and arm.n == layers - 1 and arm.n > 0,
        "training from scratch": lambda arm: arm.family == "scratch",
        HIGHEST: lambda arm: arm == verdict.best,
    }
    found: dict[str, Arm] = {}
    for role, fits in roles.items():
        arm = next((arm for arm in verdict.arms if fits(arm)), None)
        if arm is not None and arm != verdict.advised and arm not in found.values():
            found[role] = arm
    return found


def shown(
    verdict: Verdict,
    right: Mapping[str, Sequence[NDArray[np.bool_]]],
    layers: int,
    draws: int = DRAWS,
    seed: int = 0,
) -> Shown:
    """Accuracies of all arms of the verdict, and of the advised one beside those that it is `compared` with.

    right: by arm, for each repeat, which validation pictures were right, in one order. Accuracies hold together in 97.5 % and
    differences in 97.5 %, each by the largest of their errors (max-T, two-sided), so all of them in 95 %. Raises ValueError as
    `spread.of_same_pictures` does.
    """
    repeats = [np.stack(each) for each in zip(*(right[arm.name] for arm in verdict.arms), strict=True)]
    spread = of_same_pictures(repeats)
    errors, common = spread.drawn(np.random.RandomState(seed), draws)
    inside = 1 - (1 - INSIDE) / 2
    pictures = repeats[0].shape[1]
    far = quantile((np.abs(errors + common) / spread.alone).max(axis=1), inside)
    accuracies = {
        arm.name: _wilson(float(mean), float(error), far, pictures)
        for arm, mean, error in zip(verdict.arms, spread.mean, spread.alone, strict=True)
    }
    others = [verdict.index(arm) for arm in compared(verdict, layers).values()]
    gains = {}
    if others:
        at = verdict.index(verdict.advised)
        far = quantile((np.abs(errors[:, [at]] - errors[:, others]) / spread.apart[at, others]).max(axis=1), inside)
        for other in others:
            gain, reach = float(spread.mean[at] - spread.mean[other]), far * float(spread.apart[at, other])
            gains[verdict.arms[other].name] = Measured(gain, gain - reach, gain + reach)
    return Shown(accuracies, gains, pictures, len(repeats))


def _wilson(share: float, error: float, far: float, pictures: int) -> Measured:
    """Wilson's interval (1927), `far` standard errors wide, of as many pictures as have this standard error, at most all."""
    usual = (share * pictures + 2) / (pictures + 4)  # which is never 0 or 1
    square = far**2 / min(float(pictures), usual * (1 - usual) / error**2)
    middle = (share + square / 2) / (1 + square)
    reach = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return Measured(share, max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach)))


# -- words


def sentences(verdict: Verdict, measured: Shown, rates: Mapping[str, Rate], source: str, layers: int, chance: float) -> list[str]:
    """Three: what to do, what it gives, what it costs beside the alternatives. Each follows from the numbers alone.

    rates: as `choose_rates` has them; source: what the copied layers come from, in words; layers: of the network, the
    classifier among them; chance: the accuracy of guessing, a fraction.
    """
    return [
        _do(verdict, measured, rates, source, layers, chance),
        _gives(verdict, measured, chance),
        _costs(verdict, measured, layers),
    ]


def does(arm: Arm, source: str, layers: int) -> str:
    """What a person does who follows it."""
    below = {0: "", 1: "the first layer"}.get(arm.n, f"the first {arm.n} layers")
    if arm.family == "scratch":
        return "train from scratch and copy nothing"
    if arm.family == "random":
        return f"copy nothing, leave {below} of {layers} at random values and train the rest"
    if arm.family == "fresh" and arm.n < layers - 1:
        return f"copy {below} of {layers} from {source}, freeze {'it' if arm.n == 1 else 'them'} and train the rest, drawn anew"
    if arm.n == 0:
        return f"copy all layers but the classifier from {source} and train them all"
    if arm.n == layers - 1:
        return f"copy all layers but the classifier from {source}, freeze them and train the classifier alone"
    return f"copy all layers but the classifier from {source}, freeze {below} of {layers} and train the rest"


def _do(verdict: Verdict, measured: Shown, rates: Mapping[str, Rate], source: str, layers: int, chance: float) -> str:
    arm = verdict.advised
    rate, held = rates[arm.name], sum(verdict.pictures)
    said = f"{does(arm, source, layers)}, at learning rate {rate.rate:.2g} ({arm.name})"
    ways = f"{len(verdict.arms)} ways to train"
    if _guesses(measured, chance):
        said = f"nothing here is worth doing yet, as none of the {ways} is clearly better than guessing; the rule picks: {said}"
    elif not verdict.tells and len(verdict.arms) > 1:
        said = f"{held:,} held-out pictures are too few for any conclusion, as each of the {ways} may be the best; "
        said += f"until there are more, {does(arm, source, layers)}, at learning rate {rate.rate:.2g} ({arm.name})"
    edges = {
        "low": "; its rate is the lowest that was tried, and a lower one may be better",
        "high": "; its rate is the highest that was tried, and a higher one may be better",
        "only": "; no other rate was tried",
    }
    said += edges.get(rate.edge, "")
    return f"{said[0].upper()}{said[1:]}."


def _guesses(measured: Shown, chance: float) -> bool:
    return all(one.low <= chance for one in measured.accuracies.values())


def _gives(verdict: Verdict, measured: Shown, chance: float) -> str:
    found = measured.accuracies[verdict.advised.name]
    said = f"On {measured.pictures:,} validation pictures, which chose nothing, it is right of {_percent(found)}"
    if found.high - found.low > TOO_WIDE:
        said += ", which is too wide for any conclusion"
    if found.low <= chance:
        said += f", not clearly more than by guessing ({100 * chance:.1f}%)"
    held = f"the {sum(verdict.pictures):,} held-out pictures"
    if len(verdict.arms) == 1:
        said += "; nothing was trained to the end that it could be compared with"
    elif verdict.as_good:
        said += f"; by {held} it is as good as the best of {len(verdict.arms)}, within {_points(verdict.within)}"
    else:
        worse = math.ceil(round(1000 * verdict.bound, 6)) / 10  # upwards, for "at most" to stay true
        said += f"; by {held} it is at most {worse:.1f} points worse than the best of {len(verdict.arms)}"
        said += " (these pictures cannot tell more)"
    about = "new pictures like these, and training again on this set"
    if min(measured.repeats, len(verdict.pictures)) == 1:
        about = "new pictures like these alone, as one repeat does not tell what training again would change"
    return f"{said}; 95% intervals, about {about}."


def _costs(verdict: Verdict, measured: Shown, layers: int) -> str:
    arm = verdict.advised
    parts: list[str] = []
    for role, other in compared(verdict, layers).items():
        gain, named = measured.gains[other.name], f"{role}, {other.name}," if role == HIGHEST else role
        cost, seconds = (f"{one / another:.2f}" for one, another in ((arm.cost, other.cost), (arm.seconds, other.seconds)))
        times = f"{cost} ({seconds})" if parts else f"{cost} times the multiply-adds ({seconds} times the seconds)"
        interval = f"({signed(100 * gain.low, 1)} to {signed(100 * gain.high, 1)})"
        parts.append(f"{times} of {named} for {signed(100 * gain.mean, 1)} points {interval}")
    said = f"a step takes {', '.join(parts)}, and trains" if parts else "there is nothing to set its cost beside; it trains"
    said += f" {arm.trained:,} parameters"
    if verdict.left_out:
        said += f"; left out, as no rate trained all repeats to the end: {', '.join(verdict.left_out)}"
    return f"{said[0].upper()}{said[1:]}."


def _percent(found: Measured) -> str:
    return f"{100 * found.mean:.1f}% ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _points(share: float) -> str:
    points = f"{100 * share:.2g}"
    return f"{points} point{'s' * (points != '1')}"
