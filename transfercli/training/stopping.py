"""Early stopping: when a network's training ends, and at which of its measurements it was best. Pure."""

import math
from collections.abc import Sequence

Line = dict[str, float]  # of a log, with the loss on pictures held out of the training ones


def best(log: Sequence[Line]) -> Line:
    """The measurement of the lowest holdout loss, the first of several; where none is a number, the last."""
    finite = [line for line in log if math.isfinite(line["holdout_loss"])]
    return min(finite, key=lambda line: line["holdout_loss"]) if finite else log[-1]


def over(log: Sequence[Line], patience: int) -> bool:
    """Whether so many measurements, one after another, had no lower holdout loss than one before them."""
    return len(log) - 1 - log.index(best(log)) >= patience
