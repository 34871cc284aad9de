"""Whether a network's layers, one after another, are the network: bit for bit, in evaluation and in training."""

import copy
from collections.abc import Iterator
from unittest.mock import patch

import torch
from torch import Tensor, nn

from transfercli.networks.draws import drawing_call, states
from transfercli.networks.layers import Activation, Layer, layers_of
from transfercli.networks.tracing import Uncuttable, is_dropout
from transfercli.system.randomness import generator

PICTURES = 2  # BatchNorm takes no single one


def check(network: nn.Module, crop: int) -> None:
    """Compare the network, which stays as it is, with its layers on two pictures of noise. Raises Uncuttable with what differs.

    In training nothing is left out at random here, on either side: what draws from a generator of its own is refused by name.
    """
    noise = torch.randn(PICTURES, 3, crop, crop, generator=generator("check"))
    with torch.no_grad():
        for training in (False, True):
            whole, parts = (copy.deepcopy(network).train(training) for _ in range(2))
            for module in whole.modules():
                if is_dropout(module):
                    module.eval()
            found: Activation = noise
            with patch("torch.nn.functional.dropout", lambda x, *_, **__: x):  # what is no module
                expected = whole(noise.clone())
            for layer in layers_of(parts):
                found = _run(layer, found, training)
            when = "training" if training else "evaluation"
            if not isinstance(expected, Tensor) or expected.dim() != 2:
                raise Uncuttable(f"in {when} it does not return (pictures, classes)")
            if not torch.equal(expected, found):
                raise Uncuttable(f"in {when} its layers one after another are not the network")
            kept = parts.state_dict()
            if wrong := [name for name, value in whole.state_dict().items() if not torch.equal(value, kept[name])]:
                raise Uncuttable(f"in {when} its layers leave {wrong[0]} otherwise than the network does")
        _check_rest(network, noise)


def _check_rest(network: nn.Module, noise: Tensor) -> None:
    """Layers that do not learn must stay as they are, whatever runs in training."""
    held = copy.deepcopy(network)
    x: Activation = noise
    for layer in layers_of(held):
        layer.learn(False)
        x = _run(layer, x, training=True)
    kept = held.state_dict()
    if changed := [name for name, value in network.state_dict().items() if not torch.equal(value, kept[name])]:
        raise Uncuttable(f"its {changed[0]} changes also where its layer is frozen")


def _run(layer: Layer, given: Activation, training: bool) -> Activation:
    """A layer's output on given input, which must stay as it is, as others share it; nothing may be drawn."""
    masks = {name: torch.ones(()) for name in layer.link.drops} if training else None
    before, drawn = [tensor._version for tensor in _tensors(given)], states()
    found = layer.run(given, masks)
    if states() != drawn:
        call = drawing_call(lambda: layer.run(given, masks))
        raise Uncuttable(f"its layer {layer.name} draws random numbers of its own, by {call}")
    if before != [tensor._version for tensor in _tensors(given)]:
        raise Uncuttable(f"its layer {layer.name} changes its input in place")
    return found


def _tensors(given: Activation) -> Iterator[Tensor]:
    yield from (one for one in (given if isinstance(given, tuple) else (given,)) if isinstance(one, Tensor))
