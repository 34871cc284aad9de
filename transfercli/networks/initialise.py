"""Fresh weights, drawn as the paper or as He et al. (2015) draw them."""

import math
from collections.abc import Callable

import torch
from torch import nn

from transfercli.networks.layers import layers_of


def initialise(network: nn.Module, scheme: str, generator: Callable[[str], torch.Generator]) -> None:
    """Draw all weights anew, each parameter from `generator(name)`, so that a layer's draw does not depend on the others.

    `caffe`: the paper's Gaussians and biases. `he`: He et al. (2015), biases 0, for networks without the paper's scale.
    """
    layers = layers_of(network)
    for number, layer in enumerate(layers, start=1):
        name, module = layer.modules[0]
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
