"""How far measured accuracies may lie from what new pictures, and training again, would give. Arrays in, arrays out; no torch.

A network is right or wrong of each picture, and all arms are asked the same pictures, so that differences are of pairs: the
covariance is over pictures. Training again moves an arm by itself (its fresh layers) and all arms together (their order of
pictures, which fold was left out); both are told from the repeats, and with few repeats they are not told well. So neither is
a number here but something to draw: found · f / χ²(f) − known, at least 0, which is Student's t where it is all there is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Right = NDArray[np.bool_]  # (arms, pictures): which were right


@dataclass(frozen=True)
class Component:
    """A variance between repeats, in squared fractions: the mean square that was found less what pictures explain of it."""

    found: float = 0.0
    known: float = 0.0
    freedom: float = 0.0  # degrees of freedom; 0 where there is nothing to tell it from, and the variance is taken as 0

    @property
    def variance(self) -> float:
        return max(0.0, self.found - self.known)

    def drawn(self, random: np.random.RandomState, draws: int) -> Floats:
        """(draws,) variances that these repeats allow."""
        if not self.freedom:
            return np.zeros(draws)
        return np.maximum(0.0, self.found * self.freedom / random.chisquare(self.freedom, draws) - self.known)


@dataclass(frozen=True)
class Spread:
    """The mean accuracies of k arms over repeats, and of what their errors are made."""

    mean: Floats  # (k,), fractions
    pictures: Floats  # (k, k): the covariance of `mean` by the choice of pictures
    repeats: int
    own: Component  # of one training: what moves an arm by itself
    common: Component  # of one training: what moves all arms together; no difference between arms has it

    @cached_property
    def apart(self) -> Floats:
        """(k, k): the standard error of the difference between two arms; 0 on the diagonal alone."""
        both = self.pictures + np.eye(len(self.mean)) * self.own.variance / self.repeats
        own = np.diag(both)
        return np.sqrt(np.maximum(0.0, own[:, None] + own[None, :] - 2 * both))

    @cached_property
    def alone(self) -> Floats:
        """(k,): the standard error of an arm's accuracy."""
        return np.sqrt(np.diag(self.pictures) + (self.own.variance + self.common.variance) / self.repeats)

    def drawn(self, random: np.random.RandomState, draws: int) -> tuple[Floats, Floats]:
        """(draws, k), (draws, 1): errors of `mean` without what is common to all arms; and that."""
        k = len(self.mean)
        values, vectors = np.linalg.eigh(self.pictures)
        errors = random.standard_normal((draws, k)) @ (vectors * np.sqrt(np.maximum(0.0, values))).T
        own, common = (np.sqrt(part.drawn(random, draws) / self.repeats)[:, None] for part in (self.own, self.common))
        return errors + own * random.standard_normal((draws, k)), common * random.standard_normal((draws, 1))


def of_folds(folds: Sequence[Right]) -> Spread:
    """The spread of arms that were measured on folds without a common picture: for each repeat (arms, its pictures).

    Each fold counts alike. Raises ValueError for a fold of fewer than two pictures.
    """
    if min(fold.shape[1] for fold in folds) < 2:
        raise ValueError("a fold of fewer than two pictures says nothing of others")
    of_each = [_covariance(fold.astype(float)) / fold.shape[1] for fold in folds]
    means = np.array([fold.mean(axis=1) for fold in folds])
    counted = sum(fold.shape[1] for fold in folds)
    return _spread(means, sum(of_each) / len(folds) ** 2, sum(of_each) / len(folds), counted)


def of_same_pictures(repeats: Sequence[Right]) -> Spread:
    """The spread of arms that were measured on the same pictures after each repeat: for each (arms, pictures).

    What a picture is to an arm does not average out over repeats, so the covariance is that of the pictures' means.
    """
    every = np.stack(repeats).astype(float)  # repeats, arms, pictures
    pictures = every.shape[2]
    if pictures < 2:
        raise ValueError("fewer than two validation pictures say nothing of others")
    means = every.mean(axis=2)
    of_picture = every.mean(axis=0)
    # What is left of a repeat without its pictures' means is noise of its own, and is part of how repeats' means differ.
    left = sum((_covariance(one - of_picture) for one in every), np.zeros((every.shape[1],) * 2)) / max(1, len(every) - 1)
    return _spread(means, _covariance(of_picture) / pictures, left / pictures, pictures)


def _covariance(values: Floats) -> Floats:
    return np.atleast_2d(np.cov(values))


def _spread(means: Floats, pictures: Floats, within: Floats, counted: int) -> Spread:
    """means: (repeats, k); pictures: the covariance of their mean; within: of one repeat's mean, by its pictures alone."""
    repeats, k = means.shape
    # Two arms that never disagreed on n pictures might on the next: half a picture more in each cell of right and wrong
    # (Agresti and Min, 2005), which is 1 / n² in the variance of each difference.
    pictures = pictures + np.eye(k) / (2 * counted**2)
    own = common = Component()
    if repeats > 1:
        among = np.eye(k) - 1 / k  # takes out what is common to all arms
        apart = (means - means.mean(axis=0)) @ among
        if k > 1:
            found = float((apart**2).sum()) / ((repeats - 1) * (k - 1))
            known = float(np.trace(among @ within @ among)) / (k - 1)
            # Arms that resemble each other are fewer than k - 1 independent ones (Box, 1954).
            parts = among @ (within + np.eye(k) * max(found - known, 1e-12)) @ among
            freedom = (repeats - 1) * float(np.trace(parts)) ** 2 / float((parts**2).sum())
            own = Component(found, known, freedom)
        together = means.mean(axis=1)
        common = Component(float(together.var(ddof=1)), own.variance / k + float(within.sum()) / k**2, repeats - 1)
    return Spread(means.mean(axis=0), pictures, repeats, own, common)
