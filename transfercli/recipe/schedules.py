"""Learning-rate schedules: pure functions of the step.

Each takes the step (0-based), the number of steps and its own figures, and returns a learning rate.
The first five are Caffe's `fixed`, `step`, `exp`, `inv` and `poly` with power 0.5 (caffe/src/caffe/solvers/sgd_solver.cpp).
"""

import inspect
import math
from collections.abc import Callable


def constant(step: int, steps: int, rate: float) -> float:
    """Always `rate`."""
    return rate


def staircase(step: int, steps: int, rate: float, gamma: float, every: int | None = None, falls: int = 0) -> float:
    """`rate`, multiplied by `gamma` each `every` steps (Caffe's `step`), or `falls` times, after equal stretches."""
    return rate * gamma ** (step // every if every else step * (falls + 1) // steps)


def exponential(step: int, steps: int, rate: float, gamma: float) -> float:
    """`rate * gamma ** step`: Caffe's `exp`."""
    return rate * gamma**step


def inverse(step: int, steps: int, rate: float, gamma: float, power: float) -> float:
    """`rate * (1 + gamma * step) ** -power`: Caffe's `inv`."""
    return rate * (1 + gamma * step) ** -power


def square_root(step: int, steps: int, rate: float) -> float:
    """`rate * sqrt(1 - step / steps)`: Caffe's `poly` with power 0.5; the reduced study's fast schedule."""
    return rate * math.sqrt(1 - step / steps)


def cosine(step: int, steps: int, rate: float, warmup: int = 0, peak: float = 0.0) -> float:
    """Linear rise over `warmup` steps, or over the share `peak` of them all, then half a cosine from `rate` towards 0 (Loshchilov
    and Hutter, 2017).
    """
    warmup = warmup or round(peak * steps)
    if step < warmup:
        return rate * (step + 1) / (warmup + 1)
    return rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def one_cycle(step: int, steps: int, rate: float, peak: float = 0.3, start: float = 0.04) -> float:
    """Linear rise from `start * rate` to `rate` at the share `peak` of the steps, then linear fall towards 0 (Smith, 2018)."""
    top = peak * steps
    if step < top:
        return rate * (start + (1 - start) * step / top)
    return rate * (steps - step) / (steps - top)


def slanted_triangular(step: int, steps: int, rate: float, cut: float = 0.1, ratio: float = 32) -> float:
    """Linear rise from `rate / ratio` to `rate` at the share `cut` of the steps, then linear fall (Howard and Ruder, 2018)."""
    top = cut * steps
    height = step / top if step < top else (steps - step) / (steps - top)
    return rate * (1 + height * (ratio - 1)) / ratio


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "step": staircase,
    "exponential": exponential,
    "inverse": inverse,
    "square-root": square_root,
    "cosine": cosine,
    "one-cycle": one_cycle,
    "slanted-triangular": slanted_triangular,
}

EITHER = (("every", "falls"), ("warmup", "peak"))  # figures that say the same, in steps or as a share
EXAMPLE = {"rate": 0.01, "gamma": 0.1, "every": 10000, "power": 0.75}  # figures as one might choose them


def example(name: object) -> str:
    """How a recipe writes the schedule of that name, or one-cycle where there is none of that name."""
    known = name if name in SCHEDULES else "one-cycle"
    takes = inspect.signature(SCHEDULES[str(known)]).parameters
    return "{" + ", ".join([f"name: {known}", *(f"{key}: {figure}" for key, figure in EXAMPLE.items() if key in takes)]) + "}"
