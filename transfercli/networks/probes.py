"""What a layer's features may be worth for a task, before anything is trained. docs/predictors.md has the sources.

Pure: features (n, d) and labels (n,) from 0 come in, and all is reckoned in float64, by a matrix of the smaller of n and d, so
that neither many pictures nor wide features take long.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transfercli.networks.layers import Activation, Layer

# Tried as the penalty of ridge regression, in multiples of the mean squared singular value: the features' scale decides nothing.
PENALTIES = tuple(10 ** (half / 2) for half in range(-12, 7))
# By what ridge regression's outputs are multiplied. For pictures that are all told apart more would always be better; and for
# those that nothing tells apart 0, which leaves no gradient to look at.
LEAST, MOST = 1.0, 100.0
CLOSE, TURNS, WIDEST = 1e-6, 500, 1e10  # of LogME's fixed point: when it stands, when it is left, how far from where it began


class Spectrum(NamedTuple):
    """A matrix (n, d) of rank r as U diag(√squares) V', without V."""

    left: Tensor  # U (n, r)
    squares: Tensor  # (r,), ascending: the singular values, squared


def spectrum(features: Tensor) -> Spectrum:
    """By the smaller of the matrix's two products with itself. What is zero but for rounding is left out."""
    n, d = features.shape
    squares, vectors = torch.linalg.eigh(features.T @ features if d <= n else features @ features.T)
    there = squares > squares[-1] * max(n, d) * torch.finfo(squares.dtype).eps
    squares, vectors = squares[there], vectors[:, there]
    return Spectrum(features @ vectors / squares.sqrt() if d <= n else vectors, squares)


# -- the ridge probe


@dataclass(frozen=True)
class Head:
    """A linear classifier of features: logits are features (n, d) @ weight (d, k) + bias (k,)."""

    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        return features @ self.weight + self.bias

    def right(self, features: Tensor, labels: Tensor) -> Tensor:
        """Which pictures it is right of, bool (n,)."""
        return self.logits(features.double()).argmax(1) == labels


def ridge(features: Tensor, labels: Tensor, classes: int) -> Head:
    """Ridge regression of each class's 0 and 1 on the features, the intercept without a penalty.

    Of PENALTIES the one with the smallest squared error when each picture is left out of its own fit, which for regression is
    known without fitting again (Allen, 1974: PRESS). The outputs are then scaled, which changes no answer, so that as logits
    they give these left-out pictures the smallest cross-entropy.
    """
    n, wanted = len(labels), F.one_hot(labels, classes).double()
    mean, share = features.double().mean(0), wanted.mean(0)
    x, y = features.double() - mean, wanted - share
    left, squares = spectrum(x)
    along, squared = left.T @ y, left.square()
    scale = float(squares.mean()) if len(squares) else 1.0
    best, chosen, outside = math.inf, scale, y
    for penalty in (scale * one for one in PENALTIES):
        shrunk = squares / (squares + penalty)
        # A picture's error without itself: its error, by what is left of 1 without its own weight in its own answer.
        errors = (y - left @ (shrunk[:, None] * along)) / (1 - 1 / n - squared @ shrunk)[:, None]
        if (error := float(errors.square().sum())) < best:
            best, chosen, outside = error, penalty, errors
    weight = x.T @ (left @ (along / (squares + chosen)[:, None]))
    scale = _sharpness(wanted - outside, labels)
    return Head(scale * weight, scale * (share - mean @ weight))


def _sharpness(outputs: Tensor, labels: Tensor) -> float:
    """What outputs are multiplied by, from LEAST to MOST, to be logits of the least cross-entropy, which falls and then rises."""
    own, low, high = outputs.gather(1, labels[:, None]).sum(), LEAST, MOST
    for _ in range(40):
        scale = (low + high) / 2
        falls = ((scale * outputs).softmax(1) * outputs).sum() < own  # its derivative is below 0
        low, high = (scale, high) if falls else (low, scale)
    return (low + high) / 2


# -- measures of features and labels alone


def h_score(features: Tensor, labels: Tensor, shrinkage: float | None = None) -> float:
    """H-score (Bao et al., 2019): tr(cov(f)⁻¹ cov(E[f | y])), of 0 to the number of classes less 1.

    As Ibrahim et al. (2022) have it, for features wider than there are pictures: tr(cov_a(f)⁻¹ (1 − a) cov(E[f | y])), where
    cov_a(f) = (1 − a) cov(f) + a tr(cov(f)) / d I, and `shrinkage` a is Ledoit and Wolf's. With 0 it is that of Bao et al.
    """
    n, d = features.shape
    x = features.double() - features.double().mean(0)
    left, squares = spectrum(x)
    variances = squares / n
    kept = 1 - (ledoit_wolf(x, variances) if shrinkage is None else shrinkage)
    wanted = _there(labels)
    between = ((left.T @ wanted).square() / wanted.sum(0)).sum(1)  # of each direction, the classes' share in its variance
    return float((kept * variances * between / (kept * variances + (1 - kept) * variances.sum() / d)).sum())


def ledoit_wolf(centred: Tensor, variances: Tensor) -> float:
    """The shrinkage of a covariance towards a multiple of the identity that is nearest the truth (Ledoit and Wolf, 2004).

    `variances`: the covariance's eigenvalues, but for zeros. 0 where the covariance is such a multiple already.
    """
    n, d = centred.shape
    square = float(variances.square().sum())
    apart = square - float(variances.sum()) ** 2 / d
    noise = (float(centred.square().sum(1).square().mean()) - square) / n
    return min(1.0, max(0.0, noise / apart)) if apart > 1e-12 * square else 0.0


def log_me(features: Tensor, labels: Tensor) -> float:
    """LogME (You et al., 2021): the logarithm of the maximum evidence of a class's 0 and 1, a picture, the mean over classes.

    y = f w + e with weights w of precision α and noise e of precision β, no intercept; at a ratio t = α / β the best β is
    known, and t is found by their fixed point, α = γ / |m|² and β = (n − γ) / |y − f m|².
    """
    n = len(labels)
    left, squares = spectrum(features.double())
    wanted = _there(labels)
    along = (left.T @ wanted).square()  # (r, classes)
    beyond = (wanted.sum(0) - along.sum(0)).clamp(min=0) * (len(squares) < n)  # what no weights explain
    begin = float(squares.mean()) if len(squares) else 1.0
    t, squares = torch.full_like(beyond, begin), squares[:, None]
    for _ in range(TURNS):
        known = (squares / (squares + t)).sum(0)  # γ
        length, error = _explained(along, squares, beyond, t)
        before, t = t, (known * error / ((n - known) * length)).nan_to_num(nan=math.inf).clamp(begin / WIDEST, begin * WIDEST)
        if float((t / before - 1).abs().max()) < CLOSE:
            break
    length, error = _explained(along, squares, beyond, t)
    precision = n / (error + t * length)
    evidence = precision.log() - (squares / t).log1p().sum(0) / n - 1 - math.log(2 * math.pi)
    return float(evidence.mean()) / 2


def _explained(along: Tensor, squares: Tensor, beyond: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """|m|² and |y − f m|² of the posterior's mean m at the ratio t."""
    return (along * squares / (squares + t).square()).sum(0), (along * (t / (squares + t)).square()).sum(0) + beyond


def _there(labels: Tensor) -> Tensor:
    """0 and 1 (n, classes) of the classes that there are."""
    wanted = F.one_hot(labels).double()
    return wanted[:, wanted.any(0)]


# -- of a network


def pooled(activation: Activation) -> Tensor:
    """What a layer returns as features (n, d) in float32: the mean over places, or over tokens.

    Of a tuple its first tensor. Of four dimensions the channels come first, but where the two that follow n are alike and the
    last is another: then they are places, as in Swin transformers.
    """
    x = next(part for part in activation if isinstance(part, Tensor)) if isinstance(activation, tuple) else activation
    x = x.float()
    if x.dim() == 3:
        return x.mean(1)
    if x.dim() == 4 and x.shape[1] == x.shape[2] != x.shape[3]:
        return x.mean((1, 2))
    return x.flatten(2).mean(2) if x.dim() > 2 else x


def gradients(layers: Sequence[Layer], head: Head, x: Activation, labels: Tensor) -> list[Tensor]:
    """Of each layer's weights the gradient of the cross-entropy, summed over the pictures x; in evaluation's mode.

    `head` stands on the last of these layers. Biases and what normalises are no weights.
    """
    weights = weights_of(layers)
    with torch.enable_grad():
        for layer in layers:
            x = layer.run(x)
        logits = pooled(x) @ head.weight.float().to(labels.device) + head.bias.float().to(labels.device)
        loss = F.cross_entropy(logits, labels, reduction="sum")
    return list(torch.autograd.grad(loss, [weight for of in weights for weight in of]))


def gradient_ratio(layers: Sequence[Layer], summed: Sequence[Tensor], pictures: int) -> list[float]:
    """Of each layer |gradient| / |weights| (Lee et al., 2022: relative gradient norm), of the mean loss of so many pictures.

    `summed`: as of `gradients`, added up over batches.
    """
    found, at = [], iter(summed)
    for weights in weights_of(layers):
        own, length = _length(weights), _length([next(at) for _ in weights]) / pictures
        found.append(length / own if own else math.nan)
    return found


def _length(tensors: Sequence[Tensor]) -> float:
    return math.sqrt(sum(float(tensor.detach().cpu().double().square().sum()) for tensor in tensors))


def weights_of(layers: Sequence[Layer]) -> list[list[Tensor]]:
    """The weights of each layer: no biases, no normalisation, no tables."""
    return [[parameter for _, parameter, kind in layer.named_parameters() if kind == "weight"] for layer in layers]
