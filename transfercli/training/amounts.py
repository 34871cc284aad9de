"""Which pictures and classes a network learns, where it learns from a part of its target's data.

The parts are nested: of one seed, the pictures of 5 a class are among those of 10, and the classes of a share among those of a
larger one. Another seed draws others, and so is a repeat of the whole: of the draw, the weights and the order.
"""

from collections.abc import Mapping, Sequence

import torch

from transfercli.pictures.stream import Pixels
from transfercli.plan import purposes
from transfercli.plan.amounts import part
from transfercli.plan.networks import Network
from transfercli.plan.splits import LEAST, Split
from transfercli.system.errors import TransferError
from transfercli.system.randomness import generator


def classes_of(split: Split, network: Network) -> tuple[str, ...]:
    """The classes that a network tells apart, in the order of their labels."""
    names = split.classes(network.target)
    if (share := dict(network.axes).get("share")) is None:
        return names
    order = torch.randperm(len(names), generator=generator(*purposes.classes(network.seed, split.name, network.target)))
    return tuple(names[place] for place in sorted(order[: round(share * len(names))].tolist()))


def of_classes(pixels: Pixels, split: Split, network: Network) -> Pixels:
    """Of a target's pictures those of the classes that the network tells apart, which have its labels 0..k-1."""
    every, own = split.classes(network.target), classes_of(split, network)
    if own == every:
        return pixels
    places = torch.tensor([every.index(name) for name in own])
    some = pixels.only(torch.isin(pixels.labels, places).nonzero()[:, 0])
    some.labels = torch.searchsorted(places, some.labels)
    return some


def learned(pixels: Pixels, split: Split, network: Network) -> Pixels:
    """Of its target's training pictures those that the network learns from, in the order that they have."""
    pixels = of_classes(pixels, split, network)
    if (amount := dict(network.axes).get("per")) is None:
        return pixels
    chosen = []
    for label, name in enumerate(classes_of(split, network)):
        of_class = (pixels.labels == label).nonzero()[:, 0]
        order = torch.randperm(len(of_class), generator=generator(*purposes.amount(network.seed, split.name, name)))
        chosen.append(of_class[order[: part(amount, len(of_class))]])
    return pixels.only(torch.cat(chosen).sort().values)


def refuse_more_than_there_is(
    networks: Sequence[Network], split: Split, pictures: Mapping[str, Sequence[object]], folds: int | None
) -> None:
    """Raise TransferError where there are not as many training pictures as a network wants, or no more than these, or no classes.

    `pictures` are those of each class; `folds`: as many parts they are dealt out to, of which one may be left out.
    """
    for network in {(network.pictures, network.seed): network for network in networks if network.split == split.name}.values():
        axes = network.of_axes("data")
        who, names = f"{network.pictures} of split {split.name}", split.classes(network.target)
        if round(axes.get("share", 1) * len(names)) < LEAST:
            raise TransferError(f"{who}: of {len(names)} classes that is fewer than {LEAST}; take a larger share")
        if not isinstance(wanted := axes.get("per"), int):
            continue
        there = {name: len(pictures[name]) - (-(-len(pictures[name]) // folds) if folds else 0) for name in names}
        fewest = min(names, key=there.__getitem__)
        if there[fewest] < wanted:
            raise TransferError(f"{who}: class {fewest} has {there[fewest]} pictures to train on; take fewer a class, or all")
        if max(there.values()) == wanted:
            raise TransferError(f"{who}: {wanted} pictures a class are all that there are; write all in the place of {wanted}")
