"""Modules that torch has not."""

import torch
from torch import Tensor, nn


class LRN(nn.Module):
    """Local response normalisation across channels, as Caffe and `torch.nn.LocalResponseNorm` define it.

    The sum over neighbouring channels is a 1×1 convolution with a banded matrix, which every device does fast:
    `x / (k + alpha / size * sum(x²)) ** beta`. Takes and returns (batch, channels, height, width).
    """

    band: Tensor

    def __init__(self, channels: int, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k
        channel = torch.arange(channels)
        distance = channel[None, :] - channel[:, None]  # from each output channel (row) to each input channel
        near = (-(size // 2) <= distance) & (distance <= (size - 1) // 2)
        # Not persistent: a constant, so neither saved nor counted as a weight.
        self.register_buffer("band", (near * (alpha / size))[:, :, None, None].float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        # In float32 from here on: 1 + something small is 1 in bfloat16.
        scale = self.k + nn.functional.conv2d(x * x, self.band).float()
        if self.beta == 0.75:  # the paper's; roots are several times faster than pow
            root = scale.rsqrt()
            return x * (root * root.sqrt()).to(x.dtype)
        return x * scale.pow(-self.beta).to(x.dtype)


class Dropout(nn.Module):
    """Marks where dropout acts, on (batch, units). The mask comes from outside, so that all networks of a bank share it."""

    def __init__(self, rate: float, units: int):
        super().__init__()
        self.rate, self.units = rate, units

    def forward(self, x: Tensor) -> Tensor:
        return x  # evaluation; in training the layer multiplies by a mask instead


class Skip(nn.Module):
    """Adds a layer's input to what has become of it: no weights; a channel that only one of the two has is the other's zero."""

    def forward(self, x: Tensor, entry: Tensor) -> Tensor:
        """(batch, channels, ...) each, alike in all else than the channels; as many channels as `x` has."""
        missing = x.shape[1] - entry.shape[1]
        return x + (entry if missing == 0 else nn.functional.pad(entry, (0, 0) * (entry.dim() - 2) + (0, missing)))
