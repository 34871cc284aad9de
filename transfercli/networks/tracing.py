"""Any network as a graph, and where it may be cut into layers: `torch.fx` follows one tensor through it.

A *cut* lies where one activation alone is alive, so that what comes after it is a network of its own; whole numbers and constants
made of shapes may travel along. A layer begins at a weight of two or more dimensions. Norms, biases, class tokens and position
tables belong to the layer that they follow, or stand in.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import fx, nn

from transfercli.networks.draws import drawing_call, states

Kind = Literal["weight", "bias", "table"]
Cut = Literal["blocks", "finest"] | Sequence[str]

OURS = "transfercli.networks."
LEAVES = ("torch.nn", "torch.ao.nn", "torchvision.ops", OURS)  # modules of these are taken as they are, not looked into
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase, nn.LocalResponseNorm, nn.RMSNorm)
SHAPES = {
    "size",
    "dim",
    "ndimension",
    "numel",
    "stride",
    "shape",
    "ndim",
    "dtype",
    "device",
    "is_cuda",
}  # of a tensor; no activations


class Uncuttable(ValueError):
    """Why a network is no chain of layers."""


class _Tracer(fx.Tracer):
    proxy_buffer_attributes = True  # else what is computed of buffers alone would be a constant of the graph, on one device

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict)):
            return type(module).__module__.startswith(OURS)
        own = type(module).__module__.startswith(LEAVES)
        return own or isinstance(module, NORMS) or is_dropout(module)

    def create_args_for_root(self, root_fn: Callable, is_module: bool, concrete_args: object = None) -> tuple[Callable, list]:
        """Pictures alone come in: what else `forward` takes, such as a mask for attention, is as it is when nobody gives it."""
        return root_fn, [self.root, self.create_proxy("placeholder", "pictures", (), {})]


def is_dropout(module: nn.Module) -> bool:
    """Whether it does nothing but leave out at random: what is there twice, in torch, torchvision and timm, goes by its name."""
    return type(module).__name__ in {"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "StochasticDepth", "DropPath"}


def trace(network: nn.Module) -> fx.Graph:
    """What it computes in the mode that it is in. Raises Uncuttable where that depends on the pictures."""
    before, drawn = dict(network.named_buffers()), states()
    try:
        graph = _Tracer().trace(network)
    except Exception as error:  # whatever its own code raises of a value that is not there yet
        _refuse_draws(network)
        raise Uncuttable(f"it cannot be followed ({' '.join(str(error).split())[:160]})") from None
    if states() != drawn:  # what it drew just now would be drawn for good
        _refuse_draws(network)
    if any(node.op == "get_attr" and str(node.target).startswith("_tensor_constant") for node in graph.nodes):
        raise Uncuttable("it makes a constant tensor as it runs, which would stay on one device; register it as a buffer")
    if written := [name for name, now in network.named_buffers() if now is not before.get(name)]:
        raise Uncuttable(f"it writes its {written[0]} anew as it runs")
    return graph


def _refuse_draws(network: nn.Module) -> None:
    if call := drawing_call(lambda: _Tracer().trace(network)):
        raise Uncuttable(f"it draws random numbers of its own, by {call}")


@dataclass(frozen=True)
class Piece:
    """A layer's part of a graph: the nodes from `begin` up to `end`, and what comes in: activation first."""

    name: str
    begin: int
    end: int
    incoming: tuple[fx.Node, ...]


def pieces(network: nn.Module, graph: fx.Graph, cut: Cut) -> list[Piece]:
    """The layers: none where there is no weight. Raises Uncuttable where `cut` names what is none."""
    nodes = list(graph.nodes)
    alive = _alive(network, nodes)
    weights = [place for place, node in enumerate(nodes) if _is_weight(network, node)]
    if not weights:
        return []
    first = next(place for place, node in enumerate(nodes) if node.op != "placeholder")
    starts = [(first, "")]
    begun: int | None = None  # the first weight of the layer that was begun last
    for unit, names in _units(network, nodes, weights, alive, cut):
        where = next((p for p in range(unit, (first if begun is None else begun), -1) if alive[p] is not None), None)
        if begun is None:
            starts[0] = (first, names)
        elif where is None or any(where <= place < unit for place in weights):
            if not isinstance(cut, str):
                raise Uncuttable(f"there is no place to cut before {names}, as more than one activation is alive there")
            continue
        else:
            starts.append((where, names))
        begun = next(p for p in weights if p >= unit)
    ends = [place for place, _ in starts[1:]] + [len(nodes) - 1]
    inputs = [tuple(node for node in nodes if node.op == "placeholder"), *(alive[place] for place, _ in starts[1:])]
    return [Piece(name, place, end, given or ()) for (place, name), end, given in zip(starts, ends, inputs, strict=True)]


def _alive(network: nn.Module, nodes: Sequence[fx.Node]) -> list[tuple[fx.Node, ...] | None]:
    """For a cut before each node: what is alive there, the activation first; None where it cannot be cut."""
    flavour: dict[fx.Node, str] = {}
    for node in nodes:
        flavour[node] = _flavour(network, node, flavour)
    last: dict[fx.Node, int] = {}
    for place, node in enumerate(nodes):
        for given in node.all_input_nodes:
            last[given] = place
    found: list[tuple[fx.Node, ...] | None] = []
    living: list[fx.Node] = []
    for place, node in enumerate(nodes):
        living = [one for one in living if last.get(one, -1) >= place]
        activations = [one for one in living if flavour[one] == "activation"]
        one_only = len(activations) == 1 and not any(flavour[one] == "parameter" for one in living)
        found.append((activations[0], *(one for one in living if one is not activations[0])) if one_only else None)
        living.append(node)
    return found


def _flavour(network: nn.Module, node: fx.Node, of: dict[fx.Node, str]) -> str:
    """What a node's value is made of: an activation; parameters; or constants and shapes alone."""
    if node.op == "placeholder":
        return "activation"
    if node.op == "get_attr":
        return "parameter" if isinstance(attribute(network, str(node.target)), nn.Parameter) else "constant"
    if (node.op == "call_method" and node.target in SHAPES) or (node.target is getattr and node.args[1] in SHAPES):
        return "constant"
    given = {of[one] for one in node.all_input_nodes}
    return next((kind for kind in ("activation", "parameter") if kind in given), "constant")


def _is_weight(network: nn.Module, node: fx.Node) -> bool:
    """Whether it multiplies by a weight of two or more dimensions, which a layer may begin with."""
    if node.op == "call_module":
        module = network.get_submodule(str(node.target))
        return any(kind == "weight" for _, _, kind in parameters_of(network, node)) and not isinstance(module, NORMS)
    return node.op == "call_function" and any(
        kind == "weight"
        for given in node.all_input_nodes
        if given.op == "get_attr"
        for _, _, kind in parameters_of(network, given)
    )


def parameters_of(network: nn.Module, node: fx.Node) -> Iterator[tuple[str, nn.Parameter, Kind]]:
    """The parameters that a node itself holds, by their names in the network, and what they are.

    A weight decays; a bias, or what normalisation has, does as the recipe says; a table (class token, positions, layer scale)
    does not, as in the papers that have them.
    """
    if node.op == "get_attr":
        parameter = attribute(network, str(node.target))
        if isinstance(parameter, nn.Parameter):
            last = str(node.target).rpartition(".")[2]
            named = last.endswith("weight") or last.endswith("bias")
            kept = named and str(node.target) not in _without_decay(network)
            yield str(node.target), parameter, _kind(last, parameter) if kept else "table"
    elif node.op == "call_module":
        module = network.get_submodule(str(node.target))
        plain = isinstance(module, NORMS)
        for name, parameter in module.named_parameters():
            table = isinstance(module, nn.Embedding) or f"{node.target}.{name}" in _without_decay(network)
            yield f"{node.target}.{name}", parameter, "table" if table else "bias" if plain else _kind(name, parameter)


def _kind(name: str, parameter: nn.Parameter) -> Kind:
    return "bias" if parameter.dim() < 2 or name.endswith("bias") else "weight"


def _without_decay(network: nn.Module) -> set[str]:
    """The parameters that timm's networks themselves say have no weight decay."""
    named = getattr(network, "no_weight_decay", None)
    return set(named()) if callable(named) else set()


def attribute(network: nn.Module, path: str) -> object:
    """What `network.a.b.c` is."""
    above, _, last = path.rpartition(".")
    return getattr(network.get_submodule(above), last)


# -- where layers begin


def _units(
    network: nn.Module,
    nodes: Sequence[fx.Node],
    weights: Sequence[int],
    alive: Sequence[tuple[fx.Node, ...] | None],
    cut: Cut,
) -> Iterable[tuple[int, str]]:
    """Before which nodes a layer is wanted, and what it is called, in order."""
    if cut == "finest":
        return [(place, _owner(nodes[place])) for place in weights]
    if not isinstance(cut, str):
        return _named(network, nodes, weights, cut)
    units: dict[str, int] = {}
    blocks = _blocks(network, nodes, alive)
    for place in weights:
        block = next((path for path, _ in _stack(nodes[place]) if path in blocks), "")
        start = next(p for p, node in enumerate(nodes) if block in _paths(node)) if block else place
        units.setdefault(block or _owner(nodes[place]), start)
    return [(place, name) for name, place in units.items()]


def _named(network: nn.Module, nodes: Sequence[fx.Node], weights: Sequence[int], names: Sequence[str]) -> list[tuple[int, str]]:
    """Where the modules of these names begin. What comes before the first is of its layer."""
    found: dict[int, str] = {}
    called = dict(network.named_modules())
    for name in names:
        places = [place for place, node in enumerate(nodes) if name in _paths(node)]
        if name not in called or not places:
            raise Uncuttable(f"it has no module {name!r}")
        if places[0] in found:
            raise Uncuttable(f"{name} begins where {found[places[0]]} does; name one of them")
        if not any(places[0] <= place for place in weights):
            raise Uncuttable(f"no weight comes from {name} on")
        found[places[0]] = name
    return sorted(found.items())


def _blocks(network: nn.Module, nodes: Sequence[fx.Node], alive: Sequence[tuple[fx.Node, ...] | None]) -> Collection[str]:
    """The paths of the modules that are not cut inside: of those that come several times, the outermost.

    A stage is not one, though there are several: it is nothing but blocks, each of which begins where it can be cut.
    """
    first: dict[str, int] = {}
    kinds: dict[str, type] = {}
    for place, node in enumerate(nodes):
        for path, kind in _stack(node):
            first.setdefault(path, place)
            kinds[path] = kind
    often = {kind for kind, count in Counter(kinds.values()).items() if count > 1}
    repeated = [path for path, kind in kinds.items() if kind in often]
    inside = {path: [one for one in repeated if one.startswith(f"{path}.")] for path in repeated}
    stages = {
        kind
        for kind in often
        if all(
            inside[path] and all(alive[first[one]] is not None for one in _outermost(inside[path]))
            for path in repeated
            if kinds[path] is kind
        )
    }
    return {path for path in repeated if kinds[path] not in stages}


def _outermost(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]


def _stack(node: fx.Node) -> list[tuple[str, type]]:
    """The modules that a node stands in, from the outermost; without containers and without what is taken as it is."""
    leaf = str(node.target) if node.op == "call_module" else None
    found = (node.meta.get("nn_module_stack") or {}).values()
    return [
        (path, kind) for path, kind in found if path and path != leaf and not issubclass(kind, (nn.Sequential, nn.ModuleList))
    ]


def _paths(node: fx.Node) -> list[str]:
    return [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()] + [str(node.target)] * (
        node.op == "call_module"
    )


def _owner(node: fx.Node) -> str:
    """What a layer that begins at this node is called: by the module, or by the one that its weight is in."""
    if node.op == "call_module":
        return str(node.target)
    held = next(given for given in node.all_input_nodes if given.op == "get_attr")
    return str(held.target).rpartition(".")[0] or str(held.target)
