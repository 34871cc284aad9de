"""A network as a chain of layers.

A network is a flat `nn.Sequential` with named modules, so that its parameters are called `conv1.weight` … `fc8.bias`.
A *layer* is a convolution or a fully connected module with all that follows it up to the next one. Every parameter belongs to
exactly one layer, and the layers one after another are the network. The rest of the program knows networks by `Layer` alone.
"""

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Modules = tuple[tuple[str, nn.Module], ...]
Masks = Mapping[str, Tensor]  # for each dropout module, by name: (batch, units), scaled by 1 / (1 - rate)


class LRN(nn.Module):
    """Local response normalisation across channels, as Caffe and `torch.nn.LocalResponseNorm` (k = 1) define it.

    The sum over neighbouring channels is a 1×1 convolution with a banded matrix, which every device does fast:
    `x / (1 + alpha / size * sum(x²)) ** beta`. Takes and returns (batch, channels, height, width).
    """

    band: Tensor

    def __init__(self, channels: int, size: int = 5, alpha: float = 1e-4, beta: float = 0.75):
        super().__init__()
        self.size, self.alpha, self.beta = size, alpha, beta
        channel = torch.arange(channels)
        distance = channel[None, :] - channel[:, None]  # from each output channel (row) to each input channel
        near = (-(size // 2) <= distance) & (distance <= (size - 1) // 2)
        # Not persistent: a constant, so neither saved nor counted as a weight.
        self.register_buffer("band", (near * (alpha / size))[:, :, None, None].float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        # In float32 from here on: 1 + something small is 1 in bfloat16.
        scale = 1 + nn.functional.conv2d(x * x, self.band).float()
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
        return x  # evaluation; training multiplies by a mask in `Layer.run`


class Skip(nn.Module):
    """Adds a layer's input to what has become of it: no weights; a channel that only one of the two has is the other's zero."""

    def forward(self, x: Tensor, entry: Tensor) -> Tensor:
        """(batch, channels, ...) each, alike in all else than the channels; as many channels as `x` has."""
        missing = x.shape[1] - entry.shape[1]
        return x + (entry if missing == 0 else nn.functional.pad(entry, (0, 0) * (entry.dim() - 2) + (0, missing)))


@dataclass(frozen=True)
class Layer:
    """One link of a network: its learnable module, whose name it has, and what follows that up to the next one."""

    name: str
    modules: Modules

    def run(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """The layer's output. In training, `masks` holds the mask of each dropout module."""
        entry = x
        for name, module in self.modules:
            if isinstance(module, Skip):
                x = module(x, entry)
            else:
                x = x * masks[name] if masks is not None and isinstance(module, Dropout) else module(x)
        return x

    def owns(self, name: str) -> bool:
        """Whether the network's parameter or buffer of that name is this layer's."""
        return any(name.startswith(f"{own}.") for own, _ in self.modules)

    def parameters(self) -> Iterator[nn.Parameter]:
        for _, module in self.modules:
            yield from module.parameters()

    def learn(self, learns: bool) -> None:
        """Let it learn, or hold it: without gradients, and in evaluation's mode, so that BatchNorm's statistics stay."""
        for _, module in self.modules:
            module.requires_grad_(learns).train(learns)

    def train(self, mode: bool) -> None:
        """The mode of its modules: training's or evaluation's."""
        for _, module in self.modules:
            module.train(mode)

    @property
    def dropouts(self) -> list[tuple[str, Dropout]]:
        return [(name, module) for name, module in self.modules if isinstance(module, Dropout)]


def layers_of(network: nn.Sequential) -> list[Layer]:
    """The learnable layers of a network, in order: the first is layer 1."""
    found: list[list[tuple[str, nn.Module]]] = []
    for name, module in network.named_children():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            found.append([])
        found[-1].append((name, module))
    return [Layer(modules[0][0], tuple(modules)) for modules in found]


def run(layers: Iterable[Layer], x: Tensor, masks: Masks | None = None) -> Tensor:
    """Run layers one after another."""
    for layer in layers:
        x = layer.run(x, masks)
    return x


def describe(network: nn.Sequential, crop: int) -> list[dict]:
    """For each layer: number, name, output shape, parameters; for one picture its multiply-adds and all its modules' outputs."""
    shapes = iter(_output_shapes(list(network.named_children()), crop))
    rows = []
    for number, layer in enumerate(layers_of(network), start=1):
        outputs = [next(shapes) for _ in layer.modules]
        name, module = layer.modules[0]
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        positions = math.prod(outputs[0][1:])  # 1 for a fully connected layer
        rows.append(
            {
                "layer": number,
                "name": name,
                "modules": [name for name, _ in layer.modules],
                "shape": outputs[-1],
                "parameters": sum(parameter.numel() for parameter in layer.parameters()),
                "multiply_adds": positions * module.weight.numel(),
                "outputs": sum(math.prod(shape) for shape in outputs),
            }
        )
    return rows


def _output_shapes(modules: Iterable[tuple[str, nn.Module]], crop: int) -> list[tuple[int, ...]]:
    """The shape after each module for one picture, without computing anything (meta tensors)."""
    shapes, x = [], torch.empty(1, 3, crop, crop, device="meta")
    with torch.no_grad():
        for _, module in modules:
            if not isinstance(module, Skip):  # which leaves the shape as it is
                x = copy.deepcopy(module).to("meta").eval()(x)
            shapes.append(tuple(x.shape[1:]))
    return shapes
