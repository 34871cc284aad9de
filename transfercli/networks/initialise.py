"""Fresh weights, drawn as the paper or as He et al. (2015) draw them; and random layers that let something through."""

import math
import re
from collections.abc import Callable

import torch
from torch import Tensor, nn

from transfercli.networks.layers import Activation, layers_of


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


def preserve(network: nn.Module, generator: Callable[[str], torch.Generator]) -> None:
    """Draw weights by He et al. (2015) and set every branch to its full scale, so that random blocks are no near-identities.

    Some libraries begin with a last BatchNorm of zero, or a layer scale of 1e-6: what such a block computes is nothing yet.
    """
    with torch.no_grad():
        for layer in layers_of(network):
            for name, parameter, kind in layer.named_parameters():
                if kind == "weight":
                    std = math.sqrt(2 / parameter[0].numel())
                    parameter.copy_(torch.empty(parameter.shape).normal_(0, std, generator=generator(name)))
                elif kind == "bias":
                    parameter.fill_(float(name.endswith("weight")))  # normalisation's
                elif SCALE.search(name):
                    parameter.fill_(1)


def near_identities(network: nn.Module) -> list[str]:
    """The parameters by which blocks of a network, as it is drawn, do next to nothing: scales that are nearly zero."""
    return [
        name
        for layer in layers_of(network)
        for name, parameter, kind in layer.named_parameters()
        if ((kind == "bias" and name.endswith("weight")) or (kind == "table" and SCALE.search(name)))
        and float(parameter.detach().abs().max()) < NEARLY
    ]


def measure_statistics(network: nn.Module, pictures: Tensor) -> None:
    """Give every BatchNorm the mean and variance of what comes to it, layer after layer, of these (n, 3, crop, crop)."""
    x: Activation = pictures
    with torch.no_grad():
        network.eval()
        for layer in layers_of(network):
            norms = [module for _, module in layer.modules if isinstance(module, BatchNorm)]
            usual = [norm.momentum for norm in norms]
            for norm in norms:
                norm.train()
                norm.momentum = 1.0  # what was there before counts for nothing
            if norms:
                layer.run(x)
            for norm, momentum in zip(norms, usual, strict=True):
                norm.eval()
                norm.momentum = momentum
            x = layer.run(x)


BatchNorm = nn.modules.batchnorm._BatchNorm
SCALE = re.compile(r"(?<!logit_)(gamma|scale|ls|gain)[_0-9]*(xca)?(\.scale)?$")  # what libraries call layer scale
NEARLY = 0.01

# (standard deviation of the weights, value of the biases) where they are not (0.01, 0): train_val.prototxt of the study
CAFFE_GAUSSIANS = {
    "conv2": (0.01, 1.0),
    "conv4": (0.01, 1.0),
    "conv5": (0.01, 1.0),
    "fc6": (0.005, 1.0),
    "fc7": (0.005, 1.0),
}
