"""Networks of our own, all of eight layers: the paper's CaffeNet, its contemporaries CNN-F, CNN-M and CNN-S, and a small one.

ReLU and max-pooling commute, so pooling comes first: the same function on a quarter of the elements.
"""

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from transfercli.networks.modules import LRN, Dropout, Skip


class Eight(nn.Sequential):
    """Modules one after another; a skip adds what came into its layer."""

    def forward(self, x: Tensor) -> Tensor:
        entry = x
        for module in self:
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                entry = x
            x = module(x, entry) if isinstance(module, Skip) else module(x)
        return x


CAFFENET_WIDTHS = (96, 256, 384, 384, 256, 4096, 4096)


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


class Convolution(NamedTuple):
    kernel: int
    stride: int
    padding: int
    normalised: bool  # by local response normalisation
    pool: tuple[int, int] | None = None  # kernel and stride


# Chatfield, Simonyan, Vedaldi and Zisserman, "Return of the Devil in the Details" (BMVC 2014), table 1.
PLAIN = Convolution(3, 1, 1, False)
CHATFIELD = {
    "cnn-f": (
        *(Convolution(11, 4, 0, True, (3, 2)), Convolution(5, 1, 2, True, (3, 2))),
        *(PLAIN, PLAIN, Convolution(3, 1, 1, False, (3, 2))),
    ),
    "cnn-m": (
        *(Convolution(7, 2, 0, True, (3, 2)), Convolution(5, 2, 1, True, (3, 2))),
        *(PLAIN, PLAIN, Convolution(3, 1, 1, False, (3, 2))),
    ),
    "cnn-s": (
        *(Convolution(7, 2, 0, True, (3, 3)), Convolution(5, 1, 1, False, (2, 2))),
        *(PLAIN, PLAIN, Convolution(3, 1, 1, False, (3, 3))),
    ),
}


def chatfield(name: str, num_classes: int, widths: Sequence[int], crop: int = 224, dropout: float = 0.5) -> nn.Sequential:
    """CNN-F, CNN-M or CNN-S: fast, medium and slow, as their authors' table has them; 8 learnable layers.

    Takes (batch, 3, crop, crop) and returns logits (batch, num_classes). Pooling rounds up, as Caffe's does, and follows
    normalisation.
    """
    modules: list[tuple[str, nn.Module]] = []
    channels = 3
    for i, (width, of) in enumerate(zip(widths[:5], CHATFIELD[name], strict=True), start=1):
        modules.append((f"conv{i}", nn.Conv2d(channels, width, of.kernel, of.stride, of.padding)))
        modules.append((f"relu{i}", nn.ReLU(True)))
        if of.normalised:
            modules.append(
                (f"norm{i}", LRN(width, alpha=5e-4, k=2.0))
            )  # as Krizhevsky et al. (2012), whose alpha is of one channel
        if of.pool:
            modules.append((f"pool{i}", nn.MaxPool2d(*of.pool, ceil_mode=True)))
        channels = width
    return _with_classifier(modules, crop, widths[5], widths[6], dropout, num_classes)


def small(
    num_classes: int,
    widths: Sequence[int],
    crop: int,
    dropout: float = 0.5,
    normalisation: str = "none",
    skips: bool = False,
) -> nn.Sequential:
    """The same eight layers for small pictures: 3×3 kernels (conv1: 5×5), stride 1, 2×2 pooling after conv1, conv2 and conv5.

    Takes (batch, 3, crop, crop) and returns logits (batch, num_classes). `normalisation` is `none`,
    `lrn` (after the first two layers, as in the paper) or `batch` (after each convolution). With `skips`, conv2 to conv5 and fc7
    add their input to what they put out, before pooling and without weights of their own (as He et al. 2016, option A).
    """
    modules: list[tuple[str, nn.Module]] = []
    channels = 3
    for i, width in enumerate(widths[:5], start=1):
        kernel = 5 if i == 1 else 3
        modules.append((f"conv{i}", nn.Conv2d(channels, width, kernel, padding=kernel // 2)))
        if normalisation == "batch":
            modules.append((f"norm{i}", nn.BatchNorm2d(width)))
        pool = [(f"pool{i}", nn.MaxPool2d(2, 2))] * (i in (1, 2, 5))
        relu: list[tuple[str, nn.Module]] = [(f"relu{i}", nn.ReLU(True))]
        modules += [*relu, (f"skip{i}", Skip()), *pool] if skips and i > 1 else [*pool, *relu]
        if normalisation == "lrn" and i in (1, 2):
            modules.append((f"norm{i}", LRN(width)))
        channels = width
    return _with_classifier(modules, crop, widths[5], widths[6], dropout, num_classes, skips)


def _with_classifier(
    modules: list, crop: int, f6: int, f7: int, dropout: float, num_classes: int, skips: bool = False
) -> nn.Sequential:
    convolutions = [copy.deepcopy(module).to("meta").eval() for _, module in modules if not isinstance(module, Skip)]
    with torch.no_grad():
        features = nn.Sequential(*convolutions)(torch.empty(1, 3, crop, crop, device="meta")).numel()
    modules += [
        *(("flatten", nn.Flatten()), ("fc6", nn.Linear(features, f6)), ("relu6", nn.ReLU(True)), ("drop6", Dropout(dropout, f6))),
        *(("fc7", nn.Linear(f6, f7)), ("relu7", nn.ReLU(True)), *[("skip7", Skip())] * skips, ("drop7", Dropout(dropout, f7))),
        ("fc8", nn.Linear(f7, num_classes)),
    ]
    return Eight(OrderedDict(modules))
