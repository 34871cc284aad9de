"""Early stopping: when a network's training, or a phase of it, ends, and at which of its measurements it was best. Pure."""

import math
from collections.abc import Sequence

Line = dict[str, float]  # of a log, with the loss on pictures held out of the training ones


def best(log: Sequence[Line]) -> Line:
    """The measurement of the lowest holdout loss, the first of several; where none is a number, the last."""
    finite = [line for line in log if math.isfinite(line["holdout_loss"])]
    return min(finite, key=lambda line: line["holdout_loss"]) if finite else log[-1]


def ends(log: Sequence[Line], patience: int) -> list[int]:
    """The steps at which patience was over: so many measurements, one after another, had no lower holdout loss than one before.

    It then begins anew, from the weights of the best so far; so a phase's first measurement is that of the phase before's best.
    """
    found, lowest, since = list[int](), math.inf, 0
    for place, line in enumerate(log):
        if lowest == math.inf or line["holdout_loss"] < lowest:
            lowest, since = min(lowest, line["holdout_loss"]), place
        elif place - since >= patience:
            found.append(int(line["step"]))
            since = place
    return found
