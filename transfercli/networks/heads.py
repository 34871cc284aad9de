"""A head of dense layers in the place of a library's classifier (`network.head`), which is one layer of the network, its last."""

from collections.abc import Sequence

import torch
from torch import nn

from transfercli.system.errors import TransferError


class Head(nn.Sequential):
    """Dense layers with a ReLU after each but the last. Not cut inside: nobody copies a part of what is drawn anew."""

    @property
    def widths(self) -> list[int]:
        """What comes in, and what each dense layer puts out."""
        dense = [module for module in self if isinstance(module, nn.Linear)]
        return [dense[0].in_features, *(module.out_features for module in dense)]


def with_head(network: nn.Module, widths: Sequence[int], name: str) -> nn.Module:
    """The network, whose classifier gives way to dense layers of these widths and a last one with as many outputs.

    The classifier is the last dense layer, and in a Sequential (VGG's) all from the first dense one on. `name`: of the network,
    for errors. Raises TransferError where its last layer is not dense.
    """
    weighted = [place for place, module in network.named_modules() if any(True for _ in module.parameters(recurse=False))]
    last = network.get_submodule(place := weighted[-1])
    if not isinstance(last, nn.Linear):
        raise TransferError(f"{name} ends in a {type(last).__name__}, not in a dense layer: leave network.head out")
    first, above = last, place.rpartition(".")[0]
    if isinstance(parent := network.get_submodule(above), nn.Sequential):
        inside, first = next((key, module) for key, module in parent.named_children() if isinstance(module, nn.Linear))
        place = f"{above}.{inside}".lstrip(".")
    put_head(network, place, [first.in_features, *widths, last.out_features], Head)
    return network


def head_of(network: nn.Module) -> dict[str, object] | None:
    """What puts a network's head on the network that its library makes: `place` and `widths`; None where it has its own."""
    return next(({"place": place, "widths": one.widths} for place, one in network.named_modules() if isinstance(one, Head)), None)


# This function, as it stands here, is also written into the script beside an exported network.
def put_head(
    network: torch.nn.Module, place: str, widths: list[int], kind: type[torch.nn.Sequential] = torch.nn.Sequential
) -> None:
    """Put dense layers in the place of a module, and of what follows it in its Sequential."""
    above, _, last = place.rpartition(".")
    parent = network.get_submodule(above)
    if isinstance(parent, torch.nn.Sequential):
        names = [name for name, _ in parent.named_children()]
        for name in names[names.index(last) + 1 :]:
            delattr(parent, name)
    dense = []
    for step, come in enumerate(widths[:-1], start=1):
        dense += [torch.nn.Linear(come, widths[step]), torch.nn.ReLU()]
    setattr(parent, last, kind(*dense[:-1]))
