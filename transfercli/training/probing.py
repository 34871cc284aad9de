"""One pass over a target's pictures through pretrained layers: what each layer's features may be worth, and what would change.

Nothing is trained. Numbers do not depend on how many threads there are: each chunk of pictures, and each layer's measures, are
one thread's work.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transfercli.networks.costs import saved_for_backward
from transfercli.networks.layers import Activation, Layer, layers_of
from transfercli.networks.probes import Head, gradient_ratio, gradients, h_score, log_me, pooled, ridge
from transfercli.pictures.stream import Pixels, centre, centre_crop, normalise
from transfercli.plan.networks import PRETRAINED, Network
from transfercli.plan.resolve import resolve
from transfercli.system.devices import free_memory
from transfercli.system.errors import TransferError
from transfercli.system.threads import pool, processors
from transfercli.training.bench import Bench

MOST = 2000  # pictures to fit on, and again as many to be measured on
CHUNK, STEP = 64, 16  # pictures that go forward together; and forward and back
DIFFERENTIATED = 512  # pictures, at most, of which the gradient is taken
SHARE = 0.5  # of the memory that is free, for what backward passes keep


@dataclass(frozen=True)
class Probed:
    """What was found of each layer that can be copied, and of how many pictures."""

    rows: list[dict[str, Any]]  # layer (n, from 1), name, width, ridge (accuracy, a fraction), hscore, logme, gradient_ratio
    fitted: int  # pictures seen in fitting
    measured: int  # pictures on which `ridge` was measured, none of them fitted
    differentiated: int  # of those fitted, on which the gradient was taken
    held_out: bool  # measured on the fold that is held out for the seed; else on `val`
    classes: int
    chance: float  # how often a guess of the largest class is right, of those measured


def probe(bench: Bench, target: str, seed: int = 0, most: int = MOST) -> Probed:
    """Probe the layers of the recipe's source on a target's pictures: the centre crop, in evaluation's mode.

    Fitted on what networks of that seed see, measured on their fold or, where there are no folds, on `val`; of either at most
    `most` pictures, of each class its share. Raises TransferError where a layer returns what is not finite.
    """
    depth, classes = bench.recipe.network.depth, len(bench.halves.split.classes(target))
    network = Network(bench.halves.name, seed, "PnB.keep", 0, target)
    module = bench.start(resolve(network, depth), {PRETRAINED: bench.pretrained}).to(bench.device).eval()
    layers = layers_of(module)[:-1]
    seen, held = bench.seen(target, seed), bench.holdout(target, seed)
    fitted, measured = spread(seen, most), spread(bench.pixels(target, "val") if held is None else held, most)
    forward = _Forward(bench, layers, bench.mean(target))
    workers = pool(processors())
    try:
        x, y = forward.features(fitted, workers), forward.features(measured, workers)
        for layer, *of in zip(layers, x, y, strict=True):
            if not all(bool(features.isfinite().all()) for features in of):
                raise TransferError(
                    f"the layer {layer.name} of {_source(bench)} returns numbers that are not finite on these pictures; "
                    "choose other weights, or see that size, mean and std are theirs"
                )

        def measure(place: int) -> tuple[dict[str, Any], Head]:
            head = ridge(x[place], fitted.labels, classes)
            right = head.right(y[place], measured.labels)
            return {
                "layer": place + 1,
                "name": layers[place].name,
                "width": x[place].shape[1],
                "ridge": float(right.double().mean()),
                "hscore": h_score(x[place], fitted.labels),
                "logme": log_me(x[place], fitted.labels),
            }, head

        found = list(workers.map(measure, range(len(layers))))
        few = spread(fitted, DIFFERENTIATED)
        ratios = forward.gradient_ratios(few, found[-1][1], workers)
    finally:
        workers.shutdown(cancel_futures=True)
    rows = [{**row, "gradient_ratio": ratio} for (row, _), ratio in zip(found, ratios, strict=True)]
    counts = measured.labels.bincount()
    return Probed(rows, len(fitted), len(measured), len(few), held is not None, classes, int(counts.max()) / len(measured))


def spread(pixels: Pixels, most: int) -> Pixels:
    """At most so many of these pictures, evenly over their order, which is that of the classes: of each its share."""
    n = len(pixels)
    return pixels if n <= most else pixels.only(torch.arange(most) * n // most)


@dataclass(frozen=True)
class _Forward:
    """How pictures go through the layers."""

    bench: Bench
    layers: Sequence[Layer]
    mean: Tensor | None

    def features(self, pixels: Pixels, workers: ThreadPoolExecutor) -> list[Tensor]:
        """Of each layer the features (n, d), float32, on the CPU."""

        def through(index: Tensor) -> list[Tensor]:
            with torch.no_grad(), self._autocast():
                x, outputs = self._input(pixels, index)[0], []
                for layer in self.layers:
                    x = layer.run(x)
                    outputs.append(pooled(x).cpu())
            return outputs

        found = self._each(through, centre(pixels, CHUNK), workers, at_once=len(pixels))  # what it returns is small
        return [torch.cat(of_layer) for of_layer in zip(*found, strict=True)]

    def gradient_ratios(self, pixels: Pixels, head: Head, workers: ThreadPoolExecutor) -> list[float]:
        """Of each layer, of the mean loss of a head on the last; added up in the pictures' order, however many threads work."""

        def back(index: Tensor) -> list[Tensor]:
            with self._autocast():
                return gradients(self.layers, head, *self._input(pixels, index))

        kept = STEP * saved_for_backward(self.layers[0].network, self.bench.recipe.pictures.crop)
        kept += 4 * sum(parameter.numel() for layer in self.layers for parameter in layer.parameters())
        at_once = max(1, min(processors(), math.floor(SHARE * free_memory(self.bench.device) / kept)))
        found = self._each(back, centre(pixels, STEP), workers, at_once)
        summed = next(found)
        for more in found:
            for total, part in zip(summed, more, strict=True):
                total += part
        return gradient_ratio(self.layers, summed, len(pixels))

    def _input(self, pixels: Pixels, index: Tensor) -> tuple[Activation, Tensor]:
        batch, device = centre_crop(pixels, index), self.bench.device
        mean = self.mean if self.mean is None else self.mean.to(device)
        return normalise(batch, mean, self.bench.recipe.pictures), batch.labels

    def _each(
        self, work: Callable[[Tensor], list[Tensor]], chunks: Sequence[Tensor], workers: ThreadPoolExecutor, at_once: int
    ) -> Iterator[list[Tensor]]:
        """The work of every chunk, in order: so many at once on a CPU's threads, one after another on an accelerator."""
        if self.bench.device.type != "cpu":
            yield from map(work, chunks)
            return
        for first in range(0, len(chunks), at_once):
            yield from workers.map(work, chunks[first : first + at_once])

    def _autocast(self) -> torch.autocast:
        bench = self.bench
        reduced = bench.precision != torch.float32
        return torch.autocast(bench.device.type, bench.precision if reduced else None, enabled=reduced)


def _source(bench: Bench) -> str:
    source = bench.recipe.pretrained
    assert source is not None and source.weights, "there are pretrained weights"
    return source.weights
