"""95% intervals, by formula alone: of a mean, of one accuracy, of the difference between two accuracies."""

import math
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

Number = TypeVar("Number", float, np.ndarray)
NORMAL = 1.959964  # 95% of the normal distribution lie within so many standard deviations


def binomial_interval(share: float, pictures: int) -> tuple[float, float]:
    """(low, high): Wilson's 95% interval (1927) for an accuracy, a fraction, that was measured on so many pictures."""
    square = NORMAL**2 / pictures
    middle = (share + square / 2) / (1 + square)
    reach = NORMAL / (1 + square) * math.sqrt(share * (1 - share) / pictures + square / (4 * pictures))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def binomial_reach(share: Number, other: Number, pictures: Number) -> Number:
    """How far the difference between two accuracies may be off, in 95% of cases, by the choice of the validation pictures.

    The two are taken as independent. Both networks saw the same pictures, which makes the true figure smaller. NaN where
    `pictures` is. Of numbers, or of arrays of one length.
    """
    return NORMAL * np.sqrt((share * (1 - share) + other * (1 - other)) / pictures)


def mean_interval(
    values: ArrayLike, layers: ArrayLike | None = None, draws: ArrayLike | None = None
) -> tuple[float, float, float]:
    """(mean, low, high): the mean of at least one value, all of them numbers, and its 95% Student t interval.

    With `layers`, one for each value in the same order, it is the mean of the layers' means. With `draws`, values with the same
    draw stand and fall together: only draws are independent, and the interval is over them (cluster-robust, after Liang and
    Zeger, 1986; where each draw has a value for each layer, Student's over the draws' means). Low and high are NaN where a layer
    has one draw, and where all agree exactly, which says nothing of how far others may lie.
    """
    number = np.asarray(values, dtype=float)
    _, layer, sizes = np.unique(np.zeros(len(number)) if layers is None else layers, return_inverse=True, return_counts=True)
    each, draw = np.unique(np.arange(len(number)) if draws is None else draws, return_inverse=True)
    weight, count = 1 / (sizes[layer] * len(sizes)), len(each)
    mean = float((weight * number).sum())
    # From each layer's own mean: that layers differ is no disagreement between draws.
    parts = np.bincount(draw, weight * (number - (np.bincount(layer, number) / sizes)[layer]))
    error = math.sqrt(count / (count - 1) * (parts**2).sum()) if count > 1 else 0.0
    draws_of = np.bincount(np.unique(layer * count + draw) // count)  # of each layer
    if error < 1e-12 or draws_of.min() < 2:
        return mean, math.nan, math.nan
    reach = student_t(count - 1) * error
    return mean, mean - reach, mean + reach


@cache
def student_t(freedom: int, inside: float = 0.95) -> float:
    """The t that holds the share `inside` of Student's distribution within ±t, for whole `freedom` ≥ 1.

    The share within ±t is a finite sum in θ = atan(t / √freedom) (Abramowitz and Stegun, 26.7.3 and 26.7.4).
    It grows with θ, so halving finds it: a dozen lines in place of a dependency.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        theta = (low + high) / 2
        sine, square = math.sin(theta), math.cos(theta) ** 2
        odd = freedom % 2
        term, total = (math.cos(theta) if odd else 1.0), 0.0
        for power in range(2 + odd, freedom + 1, 2):
            total += term
            term *= square * (power - 1) / power
        share = 2 / math.pi * (theta + sine * total) if odd else sine * total
        low, high = (theta, high) if share < inside else (low, theta)
    return math.sqrt(freedom) * math.tan((low + high) / 2)
