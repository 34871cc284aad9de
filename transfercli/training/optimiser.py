"""The optimiser: what is trained, at which rate."""

from collections.abc import Iterable

import torch
from torch import nn

from transfercli.recipe.schema import Training


def make_optimizer(module: nn.Sequential, training: Training) -> torch.optim.SGD:
    """SGD over what is not frozen. Biases (and normalisation's parameters) have their own rate and decay."""
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    weights = [p for _, p in named if p.dim() > 1]
    biases = [p for _, p in named if p.dim() == 1]
    return torch.optim.SGD(
        [
            {"params": weights, "weight_decay": training.weight_decay, "times": 1.0},
            {"params": biases, "weight_decay": training.weight_decay * training.bias_decay, "times": training.bias_rate},
        ],
        lr=0.0,
        momentum=training.momentum,
        nesterov=training.nesterov,
        fused=True,
    )


def set_rate(optimizer: torch.optim.SGD, training: Training, rate: float, previous: float) -> None:
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
