"""What a network costs, layer by layer, without weights: shapes, parameters, multiply-adds, and what a step keeps."""

import copy
import math

import torch
from torch import Tensor, nn

from transfercli.networks.layers import Chain, layers_of
from transfercli.networks.shapes import PICTURES, Counting, example


def describe(network: nn.Module, crop: int) -> list[dict]:
    """For each layer: number, name, output shape, parameters; for one picture its multiply-adds and its modules' outputs.

    outputs: the numbers that all modules put out; largest: that one of them does.
    """
    layers = layers_of(network)
    own: Chain = network.transfer_chain  # type: ignore[assignment]
    counted = Counting(network, own.graph)
    counted.run(example(crop))
    rows = []
    nodes = list(own.graph.nodes)
    for number, (layer, piece) in enumerate(zip(layers, own.pieces, strict=True), start=1):
        inside = nodes[piece.begin : piece.end]
        sizes = [math.prod(counted.shapes.get(node, (0,))) for node in inside if node.op != "get_attr"]
        last = own.pieces[number].incoming[0] if number < len(layers) else own.graph.output_node().all_input_nodes[0]
        rows.append(
            {
                "layer": number,
                "name": layer.name,
                "modules": list(layer.link.modules),
                "shape": counted.shapes[last],
                "parameters": sum(parameter.numel() for parameter in layer.parameters()),
                "multiply_adds": sum(counted.work[node] for node in inside),
                "outputs": sum(sizes),
                "largest": max(sizes),
            }
        )
    return rows


def saved_for_backward(network: nn.Module, crop: int, frozen: int = 0) -> int:
    """How many bytes a training step keeps for its backward pass of one picture, in float32: each tensor once, without weights.

    frozen: so many first layers do not learn. Found by a forward pass that computes nothing (meta tensors).
    """
    held = copy.deepcopy(network).to("meta").train()
    for layer in layers_of(held)[:frozen]:
        layer.learn(False)
    own = {tensor.untyped_storage()._cdata for tensor in held.state_dict(keep_vars=True).values()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage()._cdata, tensor)  # and so alive: no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = held(example(crop))
        nn.functional.cross_entropy(logits, logits.argmax(1))
    return sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in own) // PICTURES
