"""A network as a chain of layers, whatever network it is. The rest of the program knows networks by `Layer` alone.

The network stays the module that its library made, with its own names. A chain (`Chain`) says of a kind of network which nodes of
its graph are which layer's; it is made once (`tracing.py` has the graph and its cuts) and serves every network of the kind.
Every parameter is in exactly one layer; the layers one after another are the network, bit for bit, in training and evaluation.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from transfercli.networks.modules import Dropout
from transfercli.networks.shapes import shapes_in
from transfercli.networks.tracing import Cut, Kind, Piece, Uncuttable, is_dropout, parameters_of, pieces, trace

Modules = tuple[tuple[str, nn.Module], ...]
Masks = Mapping[str, Tensor]  # for each dropout, by name: a factor for each number or row, scaled by 1 / (1 - rate)
Activation = Any  # a Tensor; or a tuple of one and of what travels along with it


@dataclass(frozen=True)
class Drop:
    """Where a network leaves out at random: how often, and the shape of a mask for one picture."""

    rate: float
    shape: tuple[int, ...]
    scaled: bool = True  # what stays is divided by 1 - rate
    each: bool = True  # every picture has its own; otherwise one for the batch


@dataclass(frozen=True)
class Link:
    """What a layer is in every network of a kind: names, and two functions (network, activation, …, masks …) -> activation."""

    name: str
    modules: tuple[str, ...]  # in the order in which they run
    parameters: Mapping[str, Kind]
    buffers: tuple[str, ...]
    drops: Mapping[str, Drop]
    training: Callable[..., Activation]
    evaluation: Callable[..., Activation]


@dataclass(frozen=True)
class Chain:
    """The layers of a kind of network. A network has its own as `network.transfer_chain`; copies of it share that."""

    links: tuple[Link, ...]
    graph: fx.Graph  # of training
    pieces: tuple[Piece, ...]  # of that graph

    def __deepcopy__(self, memo: object) -> "Chain":
        return self


@dataclass(frozen=True)
class Layer:
    """One link of one network."""

    network: nn.Module
    link: Link
    modules: Modules

    @property
    def name(self) -> str:
        return self.link.name

    def run(self, x: Activation, masks: Masks | None = None) -> Activation:
        """The layer's output. In training, `masks` holds the mask of each of its dropouts."""
        given = x if isinstance(x, tuple) else (x,)
        if masks is None:
            return self.link.evaluation(self.network, *given)
        return self.link.training(self.network, *given, *(masks[name] for name in self.link.drops))

    def owns(self, name: str) -> bool:
        """Whether the network's parameter or buffer of that name is this layer's."""
        return name in self.link.parameters or name in self.link.buffers

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter, Kind]]:
        """Name, parameter and what it is: a weight, a bias (or normalisation's), a table."""
        for name, kind in self.link.parameters.items():
            yield name, self.network.get_parameter(name), kind

    def parameters(self) -> Iterator[nn.Parameter]:
        for _, parameter, _ in self.named_parameters():
            yield parameter

    def learn(self, learns: bool) -> None:
        """Let it learn, or hold it: without gradients, and in evaluation's mode, so that BatchNorm's statistics stay."""
        for parameter in self.parameters():
            parameter.requires_grad_(learns)
        self.train(learns)

    def train(self, mode: bool) -> None:
        """The mode of its modules: training's or evaluation's."""
        for _, module in self.modules:
            module.train(mode)


def layers_of(network: nn.Module) -> list[Layer]:
    """The learnable layers of a network, in order: the first is layer 1. Raises Uncuttable."""
    if not isinstance(own := getattr(network, "transfer_chain", None), Chain):
        own = network.transfer_chain = chain(network)  # type: ignore[assignment]
    return [Layer(network, link, tuple((name, network.get_submodule(name)) for name in link.modules)) for link in own.links]


def run(layers: Iterable[Layer], x: Activation, masks: Masks | None = None) -> Activation:
    """Run layers one after another."""
    for layer in layers:
        x = layer.run(x, masks)
    return x


# -- from a network to its chain


def chain(network: nn.Module, cut: Cut = "blocks", crop: int = 0, outputs: int = 0) -> Chain:
    """The chain of a network on pictures of crop × crop, which has so many outputs.

    Without a crop no dropout but our own is known. Raises Uncuttable with the reason.
    """
    was = {module: module.training for module in network.modules()}
    try:
        graphs = {mode: trace(network.train(mode)) for mode in (False, True)}
    finally:
        for module, mode in was.items():
            module.training = mode
    parts = {mode: pieces(network, graph, cut) for mode, graph in graphs.items()}
    names = [piece.name for piece in parts[True]]
    if names != [piece.name for piece in parts[False]]:
        raise Uncuttable("its layers in training are others than those in evaluation")
    shapes = shapes_in(network, graphs[True], crop) if crop else {}
    last = graphs[True].output_node().args[0]
    shape = shapes.get(last, ()) if isinstance(last, fx.Node) else ()
    if crop and shape != (outputs,):
        raise Uncuttable(f"for {outputs} classes it must return (pictures, {outputs})")
    found: list[Link] = []
    for place, name in enumerate(names):
        nodes = {mode: list(graph.nodes)[parts[mode][place].begin : parts[mode][place].end] for mode, graph in graphs.items()}
        drops = {
            _drop_name(node, graphs[True]): (node, _drop(network, node, shapes)) for node in nodes[True] if _drops(network, node)
        }
        kept = {key: (node, drop) for key, (node, drop) in drops.items() if drop.rate > 0}
        after = {mode: (parts[mode][place + 1].incoming if place + 1 < len(names) else None) for mode in graphs}
        functions = {
            mode: _function(network, graphs[mode], nodes[mode], parts[mode][place].incoming, after[mode], masked)
            for mode, masked in ((True, {node: key for key, (node, _) in kept.items()}), (False, {}))
        }
        called = [str(node.target) for node in nodes[True] if node.op == "call_module"]
        found.append(
            Link(
                name,
                tuple(dict.fromkeys(called)),
                {parameter: kind for node in nodes[True] for parameter, _, kind in parameters_of(network, node)},
                tuple(dict.fromkeys(_buffers(network, nodes[True]))),
                {key: drop for key, (_, drop) in kept.items()},
                functions[True],
                functions[False],
            )
        )
    return Chain(_partitioned(network, found), graphs[True], tuple(parts[True]))


def _function(
    network: nn.Module,
    graph: fx.Graph,
    nodes: Sequence[fx.Node],
    incoming: Sequence[fx.Node],
    outgoing: Sequence[fx.Node] | None,
    masked: Mapping[fx.Node, str],
) -> Callable[..., Activation]:
    """Nodes of a graph as a function of a network, of what comes in, and of masks. `outgoing`: None for the network's output."""
    own = fx.Graph()
    here = {node: own.placeholder(node.name) for node in incoming}
    masks = {node: own.placeholder(f"mask_{place}") for place, node in enumerate(masked)}
    for node in nodes:
        if node.op == "placeholder":
            continue
        if node in masks:
            here[node] = own.call_function(torch.mul, (here[node.all_input_nodes[0]], masks[node]))
        elif _drops(network, node):
            here[node] = here[node.all_input_nodes[0]]
        else:
            here[node] = own.node_copy(node, lambda given: here[given])
    last = graph.output_node().args[0] if outgoing is None else (*outgoing,) if len(outgoing) > 1 else outgoing[0]
    own.output(fx.map_arg(last, lambda node: here[node]))
    code = own.python_code("self")
    space: dict[str, Any] = dict(code.globals)
    exec(compile(code.src, f"<layer {nodes[0].name}>", "exec"), space)
    return space["forward"]


def _partitioned(network: nn.Module, links: Sequence[Link]) -> tuple[Link, ...]:
    """The links, every parameter and buffer in one. Raises Uncuttable."""
    parameters = dict(network.named_parameters(remove_duplicate=False))
    if len({id(parameter) for parameter in parameters.values()}) < len(parameters):
        raise Uncuttable("two of its parameters are one and the same")
    taken = [name for link in links for name in link.parameters]
    if missing := [name for name in parameters if name not in taken]:
        raise Uncuttable(f"its parameter {missing[0]} takes part in nothing")
    if twice := [name for name in parameters if taken.count(name) > 1]:
        raise Uncuttable(f"its parameter {twice[0]} is in two layers")
    owned: dict[str, int] = {}
    for place, link in enumerate(links):
        for name in link.buffers:
            owned.setdefault(name, place)
    for name, _ in network.named_buffers():  # one that takes no part in the graph goes with what stands beside it
        above = name.rpartition(".")[0]
        near = (place for place, link in enumerate(links) for other in link.parameters if other.startswith(f"{above}."))
        owned.setdefault(name, next(near, 0))
    kept = [tuple(name for name, at in owned.items() if at == place) for place in range(len(links))]
    return tuple(Link(**{**vars(link), "buffers": names}) for link, names in zip(links, kept, strict=True))


def _buffers(network: nn.Module, nodes: Iterable[fx.Node]) -> Iterator[str]:
    known = {name for name, _ in network.named_buffers()}
    for node in nodes:
        if node.op == "get_attr" and node.target in known:
            yield str(node.target)
        elif node.op == "call_module":
            yield from (f"{node.target}.{name}" for name, _ in network.get_submodule(str(node.target)).named_buffers())


# -- what a network leaves out at random


def _drops(network: nn.Module, node: fx.Node) -> bool:
    if node.op == "call_module":
        return is_dropout(network.get_submodule(str(node.target)))
    return node.target is nn.functional.dropout


def _drop_name(node: fx.Node, graph: fx.Graph) -> str:
    """Its module's name; one that runs again, perhaps in another layer, has a number, and so a mask of its own."""
    if node.op != "call_module":
        return node.name
    again = [other for other in graph.nodes if other.op == "call_module" and other.target == node.target].index(node)
    return f"{node.target}#{again + 1}" if again else str(node.target)


def _drop(network: nn.Module, node: fx.Node, shapes: Mapping[fx.Node, tuple[int, ...]]) -> Drop:
    if node.op != "call_module":
        rate = float(node.args[1] if len(node.args) > 1 else node.kwargs.get("p", 0.5))  # type: ignore[arg-type]
        training = node.args[2] if len(node.args) > 2 else node.kwargs.get("training", True)
        return Drop(rate if training else 0.0, shapes.get(node, ()))
    module = network.get_submodule(str(node.target))
    if isinstance(module, Dropout):
        return Drop(module.rate, (module.units,))
    shape = shapes.get(node, ())
    rows = (1,) * len(shape)
    match type(module).__name__:
        case "Dropout":
            return Drop(float(module.p), shape)  # type: ignore[arg-type]
        case "StochasticDepth":
            return Drop(float(module.p), rows, each=module.mode == "row")  # type: ignore[arg-type]
        case "DropPath":
            return Drop(float(module.drop_prob or 0), rows, bool(module.scale_by_keep))  # type: ignore[arg-type]
        case _:  # whole channels
            return Drop(float(module.p), shape[:1] + rows[1:])  # type: ignore[arg-type]
