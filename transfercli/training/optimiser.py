"""The optimiser: what is trained, and how fast."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from transfercli.networks.layers import Layer
from transfercli.recipe.schema import Training


def make_optimizer(layers: Sequence[Layer], rates: Mapping[int, float], training: Training) -> torch.optim.Optimizer:
    """SGD over the layers that ever learn, each at its rate; biases (and normalisation's parameters) have their own, and decay.

    `rates`: of these layers, numbered from 1, in multiples of the schedule's.
    What rests in a phase has no gradient there, and SGD passes it over: no decay, and its velocity stays.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for number, rate in sorted(rates.items()):
        for parameter in layers[number - 1].parameters():
            groups.setdefault((parameter.dim() == 1, rate), []).append(parameter)
    return torch.optim.SGD(
        [
            {
                "params": parameters,
                "weight_decay": training.weight_decay * (training.bias_decay if is_bias else 1),
                "times": rate * (training.bias_rate if is_bias else 1),
                "is_bias": is_bias,
            }
            for (is_bias, rate), parameters in sorted(groups.items(), key=lambda group: group[0])
        ],
        lr=0.0,
        momentum=training.momentum,
        nesterov=training.nesterov,
        fused=True,
    )


def weights_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """What it trains of convolutions and fully connected layers, without biases."""
    return [parameter for group in optimizer.param_groups if not group["is_bias"] for parameter in group["params"]]


def set_rate(optimizer: torch.optim.Optimizer, training: Training, rate: float, previous: float) -> None:
    """Set the step's learning rate.

    Caffe keeps the rate inside the velocity: v ← μv + rate·g, w ← w - v. With v = rate·u that is PyTorch's rule
    u ← (μ·previous/rate)·u + g, w ← w - rate·u, so one number makes torch's SGD Caffe's.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group["times"]
        if training.velocity == "caffe":
            group["momentum"] = training.momentum * previous / rate


def clip(weights: Iterable[nn.Parameter], share: float) -> None:
    """Scale down each unit's gradient to at most `share` of the norm of the weights that come into it.

    Adaptive gradient clipping (Brock et al., 2021, arXiv 2102.06171). Features with a large common mean, as those of several
    random ReLU layers, push all units the same way; without this they are dead before the rate has reached its peak.
    """
    for weight in weights:
        if weight.grad is not None:
            inputs = tuple(range(1, weight.dim()))
            most = torch.linalg.vector_norm(weight.detach(), dim=inputs, keepdim=True).clamp_(min=1e-3).mul_(share)
            norm = torch.linalg.vector_norm(weight.grad, dim=inputs, keepdim=True).clamp_(min=1e-12)
            weight.grad.mul_(most.div_(norm).clamp_(max=1))
