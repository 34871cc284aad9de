"""What goes through a graph, found without computing anything (meta tensors): shapes, and multiply-adds."""

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from transfercli.networks.tracing import Uncuttable

PICTURES = 2  # in what is run for its shapes: BatchNorm takes no single one


def example(crop: int) -> Tensor:
    return torch.empty(PICTURES, 3, crop, crop, device="meta")


class Counting(fx.Interpreter):
    """Runs a graph: shapes without the batch, and multiply-adds of one picture."""

    def __init__(self, network: nn.Module, graph: fx.Graph, counting: bool = True):
        held = copy.deepcopy(network).to("meta").train()
        super().__init__(held, graph=graph)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.work: dict[fx.Node, int] = {}
        self.counter, self.counting = FlopCounterMode(display=False), counting

    def run_node(self, n: fx.Node) -> Any:
        plain = n.op == "call_module" and not any(True for _ in self.module.get_submodule(str(n.target)).parameters())
        bare = plain or not self.counting
        if bare:  # as normalisation by a band of constants
            result = super().run_node(n)
        else:
            with self.counter:  # from nothing, at each node
                result = super().run_node(n)
        self.work[n] = 0 if bare else self.counter.get_total_flops() // (2 * PICTURES)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape[1:])
        return result

    def run(self, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return super().run(*args, **kwargs)


def shapes_in(network: nn.Module, graph: fx.Graph, crop: int) -> dict[fx.Node, tuple[int, ...]]:
    """The shape of every tensor in the graph, without the batch. Raises Uncuttable where the pictures are no input of it."""
    counted = Counting(network, graph, counting=False)
    try:
        counted.run(example(crop))
    except Exception as error:  # whatever its modules raise of a shape
        said = " ".join(str(error).partition("While executing")[0].split())
        raise Uncuttable(f"it takes no pictures of {crop}×{crop} ({said[:160]})") from None
    return counted.shapes
