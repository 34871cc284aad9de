"""The optimiser: what is trained, and how fast."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from transfercli.networks.layers import Layer
from transfercli.networks.tracing import Kind
from transfercli.recipe.schema import Training


def make_optimizer(
    layers: Sequence[Layer], rates: Mapping[int, float], training: Training, apart: bool = False
) -> torch.optim.Optimizer:
    """SGD or AdamW over the layers that ever learn, each at its rate. Biases have a rate of their own, and decay where the recipe
    says so; tables have the weights' rate, and never decay.

    `rates`: of these layers, numbered from 1, in multiples of the schedule's. `apart`: layers begin to learn at different times,
    so each has groups of its own (torch's fused SGD takes no group in which some have a velocity and some have none). What rests
    in a phase has no gradient there and is passed over, without decay; its memory begins anew when it learns again (`forget`).
    """
    treated: dict[Kind, tuple[float, float]]  # rate and decay, in multiples of a weight's; groups are in this order
    treated = {"weight": (1, 1), "bias": (training.bias_rate, training.bias_decay), "table": (1, 0)}
    groups: dict[tuple[int, float, int], list[nn.Parameter]] = {}
    for number, rate in sorted(rates.items()):
        for _, parameter, kind in layers[number - 1].named_parameters():
            place = list(treated).index(kind)
            groups.setdefault((place, rate, number * apart), []).append(parameter)
    made = []
    for (place, rate, _), parameters in sorted(groups.items(), key=lambda group: group[0]):
        what, (times, decay) = list(treated.items())[place]
        made.append({"params": parameters, "weight_decay": training.weight_decay * decay, "times": rate * times, "kind": what})
    # Fused: a third of the loop's time on a CPU, and a parameter's bits depend neither on its group nor on the threads.
    if training.optimizer == "adamw":
        return torch.optim.AdamW(made, lr=0.0, betas=training.betas, fused=True)
    return torch.optim.SGD(made, lr=0.0, momentum=training.momentum, nesterov=training.nesterov, fused=True)


def forget(optimizer: torch.optim.Optimizer, layer: Layer) -> None:
    """Drop what the optimiser remembers of a layer, as if it had never learned."""
    for parameter in layer.parameters():
        optimizer.state.pop(parameter, None)


def weights_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """What it trains of convolutions and fully connected layers, without biases and tables."""
    return [parameter for group in optimizer.param_groups if group["kind"] == "weight" for parameter in group["params"]]


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
