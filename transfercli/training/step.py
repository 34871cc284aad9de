"""The training step of one network. What is random or changes with the step comes from outside."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from transfercli.networks.layers import Activation, Masks, run
from transfercli.recipe.schema import Training
from transfercli.training.member import Member
from transfercli.training.optimiser import clip, set_rate, weights_of


class Given(NamedTuple):
    """What a step takes: the output of the layers that others share, its labels and masks, the learning rate now and before."""

    x: Activation  # (batch, ...)
    labels: Tensor  # (batch,)
    masks: Masks
    rate: float
    previous: float


def step(member: Member, given: Given, training: Training, autocast: torch.autocast) -> None:
    """One step of one network: forward, backward, and its layers that learn are changed."""
    x, layers = given.x, member.layers
    with autocast:
        if member.held > member.shared:  # what has learned before, and rests now
            with torch.no_grad():
                x = run(layers[member.shared : member.held], x, given.masks)
        logits = run(member.trained, x, given.masks)
    loss = F.cross_entropy(logits.float(), given.labels)
    loss.backward()
    if training.adaptive_clip:
        clip(weights_of(member.optimizer), training.adaptive_clip)
    set_rate(member.optimizer, training, given.rate, given.previous)
    member.optimizer.step()
    member.optimizer.zero_grad()
    member.loss_sum += loss.detach()
    member.finite += member.loss_sum.isfinite()  # once the sum is not, it stays so
    member.loss_count += 1
