"""Random resized crops as torchvision's: a part of each picture, of random area and shape, brought to one size.

Where to cut comes from numbers that are drawn at once for the whole batch; what is cut is torchvision's, to the last bit.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize_image

TRIES = 10


def boxes(count: int, side: int, scale: Sequence[float], ratio: Sequence[float], random: torch.Generator) -> Tensor:
    """Which parts of so many pictures of `side` × `side`: int64 (count, 4), each its top, left, height and width.

    `scale`: the least and largest share of the area; `ratio`: of width by height. The first of ten tries that lies within the
    picture, as in `torchvision.transforms.v2.RandomResizedCrop`; else the largest in the middle that `ratio` allows.
    """
    u = torch.rand(4, TRIES, count, generator=random, dtype=torch.float64)
    area = side**2 * (scale[0] + (scale[1] - scale[0]) * u[0])
    low, high = torch.tensor(ratio, dtype=torch.float64).log()
    shape = (low + (high - low) * u[1]).exp()
    height, width = (area / shape).sqrt().round(), (area * shape).sqrt().round()
    within = (height >= 1) & (height <= side) & (width >= 1) & (width <= side)
    top, left = (u[2] * (side - height + 1)).floor(), (u[3] * (side - width + 1)).floor()
    tried = torch.stack([top, left, height, width]).long()
    chosen = tried.gather(1, within.int().argmax(0).expand(4, 1, count))[:, 0].T

    high, wide = (max(1, round(min(side, share))) for share in (side / ratio[0], side * ratio[1]))
    middle = torch.tensor([(side - high) // 2, (side - wide) // 2, high, wide])
    return torch.where(within.any(0)[:, None], chosen, middle)


def resized(part: Tensor, mirrored: bool, size: int, how: InterpolationMode) -> Tensor:
    """A part of a picture, uint8 (height, width, 3), brought to (size, size, 3), antialiased, and then perhaps mirrored.

    It should be contiguous, which spares the resizing two copies.
    """
    made: Tensor = resize_image(part.permute(2, 0, 1), [size, size], how, antialias=True)
    return (made.flip(2) if mirrored else made).permute(1, 2, 0)
