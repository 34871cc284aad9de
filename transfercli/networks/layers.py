"""Networks as lists of learnable layers.

A network is a flat `nn.Sequential` with named modules, so that its parameters are called `conv1.weight` … `fc8.bias`.
A *layer* is a convolution or a fully connected module with all that follows it up to the next one.
ReLU and max-pooling commute, so pooling comes first: the same function on a quarter of the elements.
"""

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

Modules = Sequence[tuple[str, nn.Module]]

CAFFENET_WIDTHS = (96, 256, 384, 384, 256, 4096, 4096)


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
    """Marks where dropout acts. The mask comes from outside (`forward`), so that all networks of a bank share it."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return x  # evaluation; training multiplies by a mask in `forward` below


def caffenet(
    num_classes: int = 1000,
    widths: Sequence[int] = CAFFENET_WIDTHS,
    crop: int = 227,
    dropout: float = 0.5,
) -> nn.Sequential:
    """The paper's network: Caffe's reference net (bvlc_reference_caffenet), 8 learnable layers.

    Takes (batch, 3, crop, crop) and returns logits (batch, num_classes). Pooling rounds up, as Caffe's does.
    """
    c1, c2, c3, c4, c5, f6, f7 = widths

    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    conv = nn.Conv2d
    modules: list[tuple[str, nn.Module]] = [
        *(("conv1", conv(3, c1, 11, stride=4)), ("pool1", pool()), ("relu1", nn.ReLU(True)), ("norm1", LRN(c1))),
        *(("conv2", conv(c1, c2, 5, padding=2, groups=2)), ("pool2", pool()), ("relu2", nn.ReLU(True)), ("norm2", LRN(c2))),
        *(("conv3", conv(c2, c3, 3, padding=1)), ("relu3", nn.ReLU(True))),
        *(("conv4", conv(c3, c4, 3, padding=1, groups=2)), ("relu4", nn.ReLU(True))),
        *(("conv5", conv(c4, c5, 3, padding=1, groups=2)), ("pool5", pool()), ("relu5", nn.ReLU(True))),
    ]
    return _with_classifier(modules, crop, f6, f7, dropout, num_classes)


def small(
    num_classes: int,
    widths: Sequence[int],
    crop: int,
    dropout: float = 0.5,
    normalisation: str = "none",
) -> nn.Sequential:
    """The same eight layers for small pictures: 3×3 kernels (conv1: 5×5), stride 1, 2×2 pooling after conv1, conv2 and conv5.

    Takes (batch, 3, crop, crop) and returns logits (batch, num_classes). `normalisation` is `none`,
    `lrn` (after the first two layers, as in the paper) or `batch` (after each convolution).
    """
    modules: list[tuple[str, nn.Module]] = []
    channels = 3
    for i, width in enumerate(widths[:5], start=1):
        kernel = 5 if i == 1 else 3
        modules.append((f"conv{i}", nn.Conv2d(channels, width, kernel, padding=kernel // 2)))
        if normalisation == "batch":
            modules.append((f"norm{i}", nn.BatchNorm2d(width)))
        if i in (1, 2, 5):
            modules.append((f"pool{i}", nn.MaxPool2d(2, 2)))
        modules.append((f"relu{i}", nn.ReLU(True)))
        if normalisation == "lrn" and i in (1, 2):
            modules.append((f"norm{i}", LRN(width)))
        channels = width
    return _with_classifier(modules, crop, widths[5], widths[6], dropout, num_classes)


def _with_classifier(modules: list, crop: int, f6: int, f7: int, dropout: float, num_classes: int) -> nn.Sequential:
    features = math.prod(_output_shapes(modules, crop)[-1])
    modules += [
        *(("flatten", nn.Flatten()), ("fc6", nn.Linear(features, f6)), ("relu6", nn.ReLU(True)), ("drop6", Dropout(dropout))),
        *(("fc7", nn.Linear(f6, f7)), ("relu7", nn.ReLU(True)), ("drop7", Dropout(dropout))),
        ("fc8", nn.Linear(f7, num_classes)),
    ]
    network = nn.Sequential()
    for name, module in modules:
        network.add_module(name, module)
    return network


def cut(network: nn.Sequential) -> list[Modules]:
    """The learnable layers of a network, in order: for each its modules with their names."""
    layers: list[list[tuple[str, nn.Module]]] = []
    for name, module in network.named_children():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            layers.append([])
        layers[-1].append((name, module))
    return list(layers)


def forward(modules: Iterable[tuple[str, nn.Module]], x: Tensor, masks: Mapping[str, Tensor] | None = None) -> Tensor:
    """Run modules on `x`. In training, `masks` holds for each dropout module its mask, already scaled by 1 / (1 - rate)."""
    for name, module in modules:
        x = x * masks[name] if masks is not None and isinstance(module, Dropout) else module(x)
    return x


def initialise(network: nn.Sequential, scheme: str, generator: Callable[[str], torch.Generator]) -> None:
    """Draw all weights anew, each parameter from `generator(name)`, so that a layer's draw does not depend on the others.

    `caffe`: the paper's Gaussians and biases. `he`: He et al. (2015), biases 0, for networks without the paper's scale.
    """
    layers = cut(network)
    for number, layer in enumerate(layers, start=1):
        name, module = layer[0]
        assert isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None
        if scheme == "caffe":
            std, bias = CAFFE_GAUSSIANS.get(name, (0.01, 0.0))
        else:
            last = number == len(layers)
            std, bias = (0.01 if last else math.sqrt(2 / module.weight[0].numel())), 0.0
        with torch.no_grad():
            draw = torch.empty(module.weight.shape).normal_(0, std, generator=generator(f"{name}.weight"))
            module.weight.copy_(draw)
            module.bias.fill_(bias)


# (standard deviation of the weights, value of the biases) where they are not (0.01, 0): train_val.prototxt of the study
CAFFE_GAUSSIANS = {
    "conv2": (0.01, 1.0),
    "conv4": (0.01, 1.0),
    "conv5": (0.01, 1.0),
    "fc6": (0.005, 1.0),
    "fc7": (0.005, 1.0),
}


def describe(network: nn.Sequential, crop: int) -> list[dict]:
    """For each layer: number, name, output shape, parameters; for one picture its multiply-adds and all its modules' outputs."""
    shapes = iter(_output_shapes(list(network.named_children()), crop))
    rows = []
    for number, layer in enumerate(cut(network), start=1):
        outputs = [next(shapes) for _ in layer]
        name, module = layer[0]
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        positions = math.prod(outputs[0][1:])  # 1 for a fully connected layer
        rows.append(
            {
                "layer": number,
                "name": name,
                "modules": [name for name, _ in layer],
                "shape": outputs[-1],
                "parameters": sum(p.numel() for _, m in layer for p in m.parameters()),
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
            x = copy.deepcopy(module).to("meta").eval()(x)
            shapes.append(tuple(x.shape[1:]))
    return shapes
