"""A plan that fits into the time: how many steps, n, rates and repeats, by what a step takes on this device."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from transfercli.advice.arms import rates, ways
from transfercli.advice.kept import Asked, Plan
from transfercli.plan.jobs import jobs
from transfercli.recipe.schema import Recipe
from transfercli.system.errors import TransferError
from transfercli.training.cost import Layers
from transfercli.training.measuring import Pace

RATES = 3
LEAST_STEPS = 120  # fewer tell little of any way to train
ENOUGH = 0.2  # of the usual steps: a plan is made thinner before it is shorter, as short training favours what is frozen
FEWEST_STEPS = 30  # of the smallest plan
LEAST_REPEATS = 2
EPOCHS, FEWEST, MOST = 20, 300, 2000
SPARE = 0.7  # of the time, for training and reading
RESERVE = 0.15  # of the time, for rates beyond the grid, which a plan of a single rate has none of; the rest is luck
READ = 3  # times that all pictures are read: as they are split, looked at before training, and trained on
MEASURED_AGAIN = 0.4  # of a forward and backward pass, what a picture takes that is only measured


class Size(NamedTuple):
    """How much of a study."""

    layers: int | None  # n of a family; None: all
    rates: int
    repeats: int


@dataclass(frozen=True)
class Work:
    """What training takes here."""

    recipe: Recipe
    classes: int
    pace: Pace
    at_work: int  # networks at the same moment
    bank_size: int
    measured: int  # pictures that each network is measured on: all measurements of the validation part, and the fold
    reading: float = 0.0  # seconds that it takes to read all pictures once

    def seconds(self, size: Size, steps: int, fresh: bool) -> float:
        """Of all networks."""
        depth = self.recipe.network.depth
        every = [way.network(0, rate) for way in ways(depth, size.layers, fresh) for rate in rates(way.family, size.rates)]
        banks = [job.networks for job in jobs(every, self.bank_size)]
        each = sum(self.pace.seconds(bank, self.recipe, self.classes, self.at_work) for bank in banks)
        forward = MEASURED_AGAIN * 3 * sum(Layers.of(self.recipe, self.classes).work) * self.pace.multiply_add
        measuring = len(every) * self.measured * forward / min(self.at_work, len(every))
        return size.repeats * (each * steps + measuring)


def fit(work: Work, asked: Asked, steps: int) -> Plan:
    """The largest plan within the time that was asked: of all `steps` where there is time, else thinner, and then shorter.

    Raises TransferError where not even the smallest fits.
    """
    whole = Size(None, RATES, asked.repeats)
    depth, share = work.recipe.network.depth, SPARE
    chosen, taken = whole, steps
    for size in _smaller(whole, depth):
        chosen = size
        if asked.minutes is None:
            break
        share = SPARE + RESERVE * (size.rates == 1)
        seconds = share * 60 * asked.minutes - READ * work.reading
        fixed = work.seconds(size, 0, asked.fresh)
        taken = min(steps, int((seconds - fixed) / max(1e-9, work.seconds(size, 1, asked.fresh) - fixed)))
        if taken >= min(steps, max(LEAST_STEPS, ENOUGH * steps)):
            break
    if taken < min(steps, FEWEST_STEPS):
        least = (work.seconds(chosen, min(steps, FEWEST_STEPS), asked.fresh) + READ * work.reading) / share / 60
        raise TransferError(
            f"{asked.minutes:g} minutes are too few for {work.recipe.network.name} on these pictures and this device: the "
            f"smallest plan takes {math.ceil(least)}; give it more, or fewer pictures: --set pictures.val_per_class=20"
        )
    return Plan(
        layers=chosen.layers,
        rates=chosen.rates,
        repeats=chosen.repeats,
        steps=taken,
        seconds=work.seconds(chosen, taken, asked.fresh),
        network_seconds=work.pace.network,
        multiply_add_seconds=work.pace.multiply_add,
        at_work=work.at_work,
        left_out=tuple(_left_out(whole, chosen, depth, steps, taken)),
    )


def _smaller(size: Size, depth: int) -> Iterator[Size]:
    """The size, and ever smaller ones: first fewer n, then a single rate, then fewer repeats; always both ends of n.

    Repeats last: two say so little of how far a third would lie that every interval is too wide (Student's t of 1 is 12.7).
    """
    for layers in [None, *(n for n in (8, 6, 5, 4, 3) if n < depth)]:
        yield size._replace(layers=layers)
    for repeats in range(size.repeats, min(size.repeats, LEAST_REPEATS) - 1, -1):
        yield Size(min(3, depth), 1, repeats)
    yield Size(2, 1, 1)


def _left_out(whole: Size, chosen: Size, depth: int, steps: int, taken: int) -> Iterator[str]:
    """What a longer run would add."""
    if chosen.layers is not None and chosen.layers < depth:
        yield f"{depth - chosen.layers} of {depth} numbers of frozen layers"
    if chosen.rates < whole.rates:
        yield f"{whole.rates - chosen.rates} of {whole.rates} learning rates"
    if chosen.repeats < whole.repeats:
        yield f"{whole.repeats - chosen.repeats} of {whole.repeats} repeats"
    if taken < steps:
        yield f"{steps - taken} of {steps} steps"


def usual_steps(pictures: int, batch: int) -> int:
    """How long a network trains where nobody says: through its pictures twenty times, but neither too short nor too long."""
    return max(FEWEST, min(MOST, round(EPOCHS * pictures / batch)))
