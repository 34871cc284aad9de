"""The pictures of one half as batches on the device: each decoded, moved, cropped and mirrored once for all networks.

Which pictures step t sees, and under which crops, is a function of the seed, the split, the half and t alone.
"""

import copy
import functools
import threading
import weakref
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode

from transfercli.pictures.resized import boxes, resized
from transfercli.pictures.sources.folders import Folders
from transfercli.pictures.sources.source import Source
from transfercli.plan import purposes
from transfercli.recipe.schema import Pictures
from transfercli.system import memory
from transfercli.system.randomness import generator
from transfercli.system.threads import pool

MEMORY_SHARE = 0.4  # of what is free, for pictures kept in memory
PIXEL = np.dtype("V3")  # RGB as one piece
CHUNK = 16  # pictures in memory that a thread takes at a time
AHEAD = 3  # batches decoded ahead of the step
MAKERS = 2  # of these at work at once: while one waits for its last pictures, the other has some for all threads


class Batch(NamedTuple):
    """`pixels` uint8 (batch, 3, crop, crop), channels last in memory; `labels` int64 (batch,); where each was cropped."""

    pixels: Tensor
    labels: Tensor
    rows: Tensor  # int64 (batch, crop): row of the picture behind each row of the crop; (batch, 0) where that was resized
    columns: Tensor  # int64 (batch, crop); descending where mirrored


@dataclass(frozen=True)
class Part:
    """The training or validation pictures of one half, in class order, with their labels 0..k-1.

    `source` is where they come from; None where they are files below `root`.
    """

    root: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    source: Source | None = None

    @classmethod
    def of(cls, root: Path, part: dict[str, tuple[str, ...]], classes: Sequence[str], source: Source | None = None) -> "Part":
        pairs = [(path, label) for label, name in enumerate(classes) for path in part[name]]
        return cls(root, tuple(p for p, _ in pairs), tuple(label for _, label in pairs), source)


class Pixels:
    """Pictures at the recipe's size, (n, size, size, 3) uint8: all kept in memory where they fit, else decoded when asked for.

    Of a packed store they are read instead.
    """

    def __init__(self, part: Part, pictures: Pictures, device: torch.device, threads: int, kept: Tensor | None = None):
        """`kept`: the pictures themselves, where they are in memory already."""
        self.part, self.pictures, self.device, self.kept = part, pictures, device, kept
        self.labels = torch.tensor(part.labels)
        self.chosen: Tensor | None = None  # of its pictures those that are meant
        self.pool = pool(threads)
        self._free: dict[tuple[int, ...], list[np.ndarray]] = defaultdict(list)  # memory of batches that are gone, by their shape
        self.source = part.source or Folders(part.root)
        self.source.check(pictures, part.paths)
        size = len(part.paths) * pictures.size**2 * 3
        if kept is None and size <= MEMORY_SHARE * memory.free():
            self.kept = self.source.load(part.paths, pictures, self.pool)
        if self.kept is not None and device.type == "cuda" and size <= MEMORY_SHARE * torch.cuda.mem_get_info(device)[0]:
            self.kept = self.kept.to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def only(self, chosen: Tensor) -> "Pixels":
        """Some of these pictures, by their numbers; what is in memory is there once for both."""
        some = copy.copy(self)
        some.chosen, some.labels = chosen if self.chosen is None else self.chosen[chosen], self.labels[chosen]
        return some

    def fetch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """A store of pictures (n, size, size, 3) on the device, and (on the CPU) where in it the wanted ones are."""
        index = index if self.chosen is None else self.chosen[index]
        if self.kept is not None and self.kept.device.type == self.device.type:  # not the device: cuda is not equal to cuda:0
            return self.kept, index
        if self.kept is not None:
            rows = self.kept[index]
        else:
            wanted = [self.part.paths[i] for i in index.tolist()]
            rows = self.source.load(wanted, self.pictures, self.pool, pinned=self.device.type == "cuda")
        return moved(rows, self.device), torch.arange(len(index))

    def parts(self, index: Tensor, part: Callable[[int, np.ndarray], np.ndarray], size: int) -> Tensor:
        """What `part` makes of each of these pictures and its number among them: uint8 (batch, size, size, 3), on the CPU.

        It is given uint8 (height, width, 3) and returns `whole_pixels`, on the threads that decode, while the picture is at hand.
        """
        made = self._room((len(index), size, size, 3))
        pixels = made.numpy().view(PIXEL)

        def put(i: int, picture: np.ndarray) -> None:
            pixels[i] = part(i, picture)

        if self.kept is None:
            index = index if self.chosen is None else self.chosen[index]
            self.source.each([self.part.paths[i] for i in index.tolist()], self.pictures, self.pool, put)
            return made
        kept, where = self.kept.numpy(), self.fetch(index)[1].tolist()

        def some(start: int) -> None:
            for i in range(start, min(start + CHUNK, len(where))):
                put(i, kept[where[i]])

        for _ in self.pool.map(some, range(0, len(where), CHUNK)):
            pass
        return made

    def _room(self, shape: tuple[int, ...]) -> Tensor:
        """Memory for a batch, uint8: that of an earlier one which nobody has any more, since fresh pages cost a copy."""
        try:
            room = self._free[shape].pop()
        except IndexError:
            room = np.empty(shape, np.uint8)
        given = room.view()
        weakref.finalize(given, self._free[shape].append, room)
        return torch.from_numpy(given)  # which holds this very view, as do all tensors and arrays that are made of it

    def mean_image(self) -> Tensor:
        """The mean of all pictures, float32 (size, size, 3), 0-255."""
        total = torch.zeros(self.pictures.size, self.pictures.size, 3, dtype=torch.float64)
        for indices in torch.arange(len(self)).split(512):
            store, where = self.fetch(indices)
            # Sums of bytes are exact in float64, so neither order nor chunk size matters.
            total += store[where].sum(0, dtype=torch.int64).cpu()
        return (total / len(self)).float()


class Stream:
    """Training batches of one half. `batch(t)` may be asked for any t; the next few are made ahead."""

    def __init__(self, images: Pixels, batch: int, purpose: purposes.Purpose):
        self.images, self.size, self.purpose = images, batch, purpose
        self._orders: dict[int, Tensor] = {}
        self._ordering = threading.Lock()
        self._ahead: dict[int, Future[Batch]] = {}
        self._makers = ThreadPoolExecutor(MAKERS, initializer=torch.set_num_threads, initargs=(1,))

    def batch(self, t: int) -> Batch:
        for step in range(t, t + AHEAD):
            if step not in self._ahead:
                self._ahead[step] = self._makers.submit(self.make, step)
        for old in [step for step in self._ahead if step < t]:
            del self._ahead[old]
        return self._ahead.pop(t).result()

    def close(self) -> None:
        """End the threads that make batches ahead."""
        self._makers.shutdown(cancel_futures=True)

    def make(self, t: int) -> Batch:
        """The batch of step t: the next pictures of the epoch's order, of each a random part, perhaps mirrored."""
        pictures, n, index = self.images.pictures, self.size, self._index(t)
        random = generator(*purposes.crops(self.purpose, t))
        if pictures.augment == "random-resized-crop":
            places = boxes(n, pictures.size, pictures.scale, pictures.ratio, random)
            return resized_crop(self.images, index, places, self._mirrored(random))
        top, left = torch.randint(pictures.size - pictures.crop + 1, (2, n), generator=random)
        return crop(self.images, index, top, left, self._mirrored(random))

    def _mirrored(self, random: torch.Generator) -> Tensor:
        return (torch.rand(self.size, generator=random) < 0.5) & self.images.pictures.mirror

    def _index(self, t: int) -> Tensor:
        """Which pictures step t sees, int64 (batch,): the next ones of the epoch's order, and of the epoch that follows."""
        position, end, parts = t * self.size, (t + 1) * self.size, list[Tensor]()
        while position < end:
            epoch, place = divmod(position, len(self.images))
            parts.append(self._order(epoch)[place : place + end - position])
            position += len(parts[-1])
        return torch.cat(parts)

    def _order(self, epoch: int) -> Tensor:
        with self._ordering:
            if epoch not in self._orders:
                self._orders = {e: order for e, order in self._orders.items() if e >= epoch - 1}
                self._orders[epoch] = torch.randperm(len(self.images), generator=generator(*purposes.order(self.purpose, epoch)))
            return self._orders[epoch]


def whole_pixels(picture: np.ndarray) -> np.ndarray:
    """The same in pieces of three bytes, which numpy copies, and mirrors, several times as fast: PIXEL (height, width, 1)."""
    return (picture if picture.strides[-1] == 1 else np.ascontiguousarray(picture)).view(PIXEL)


def centre(images: Pixels, size: int) -> "list[Tensor]":
    """The indices of all pictures, cut into batches of at most `size`; the last may be smaller."""
    return list(torch.arange(len(images)).split(size))


def centre_crop(images: Pixels, index: Tensor) -> Batch:
    """Pictures for evaluation: the centre crop, not mirrored."""
    offset = torch.full((len(index),), (images.pictures.size - images.pictures.crop) // 2)
    return crop(images, index, offset, offset, torch.zeros(len(index), dtype=torch.bool))


def crop(images: Pixels, index: Tensor, top: Tensor, left: Tensor, mirrored: Tensor) -> Batch:
    """Cut (and mirror) one window from each picture, on the device. `top`, `left`: int64 (batch,)."""
    across = torch.arange(size := images.pictures.crop)
    rows = top[:, None] + across
    columns = left[:, None] + torch.where(mirrored[:, None], across.flip(0), across)
    rows, columns = moved(rows, images.device), moved(columns, images.device)
    if images.device.type == "cpu":  # picture by picture: the same as one gather for all, and several times as fast
        places = list(zip(top.tolist(), left.tolist(), mirrored.tolist(), strict=True))

        def window(i: int, picture: np.ndarray) -> np.ndarray:
            y, x, flip = places[i]
            part = whole_pixels(picture)[y : y + size, x : x + size]
            return part[:, ::-1] if flip else part

        pixels = images.parts(index, window, size)
    else:
        store, where = images.fetch(index)
        where = moved(where, images.device)
        pixels = store[where[:, None, None], rows[:, :, None], columns[:, None, :]]
    return Batch(pixels.permute(0, 3, 1, 2), moved(images.labels[index], images.device), rows, columns)


def resized_crop(images: Pixels, index: Tensor, places: Tensor, mirrored: Tensor) -> Batch:
    """Cut a part from each picture, bring it to the crop's size and mirror it, on the device. `places`: as of `boxes`."""
    size, how = images.pictures.crop, InterpolationMode(images.pictures.interpolation)
    cuts = list(zip(places.tolist(), mirrored.tolist(), strict=True))
    if images.device.type == "cpu":

        def part(i: int, picture: np.ndarray) -> np.ndarray:
            (y, x, height, width), flip = cuts[i]
            whole = torch.from_numpy(picture[y : y + height, x : x + width].copy())
            return whole_pixels(resized(whole, flip, size, how).numpy())

        pixels = images.parts(index, part, size)
    else:
        store, where = images.fetch(index)
        pixels = torch.empty(len(index), size, size, 3, dtype=torch.uint8, device=images.device)
        for k, (i, ((y, x, height, width), flip)) in enumerate(zip(where.tolist(), cuts, strict=True)):
            pixels[k] = resized(store[i, y : y + height, x : x + width].contiguous(), flip, size, how)
    none = torch.empty(len(index), 0, dtype=torch.int64, device=images.device)
    return Batch(pixels.permute(0, 3, 1, 2), moved(images.labels[index], images.device), none, none)


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device; to CUDA from page-locked memory, so that nobody waits for the work that is queued there."""
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    return (tensor if tensor.is_pinned() else tensor.pin_memory()).to(device, non_blocking=True)


@functools.cache
def _on_device(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Brought there once: at every step it would wait for all that is queued on a GPU."""
    return torch.tensor(values, device=device)


def normalise(batch: Batch, mean: Tensor | None, pictures: Pictures) -> Tensor:
    """Float32 input (batch, 3, crop, crop): mean subtracted, divided, channels in the recipe's order.

    `mean` is (size, size, 3), cropped where each picture was, or (3,), or None; of pixels 0-255, where the recipe has a `std` of
    pixels 0-1. As in Caffe, the mean image is taken at the crop's place and mirrored with the picture.
    """
    x = batch.pixels.permute(0, 2, 3, 1).float()
    if pictures.std is not None:
        x *= 1 / 255  # and all that follows as in torchvision, to the last bit
    if mean is not None:
        x -= mean if mean.dim() == 1 else mean[batch.rows[:, :, None], batch.columns[:, None, :]]
    if pictures.divide != 1:
        x /= pictures.divide
    if pictures.std is not None:
        x /= _on_device(pictures.std, x.device)
    x = x.permute(0, 3, 1, 2)
    return x.flip(1).contiguous(memory_format=torch.channels_last) if pictures.channels == "bgr" else x
