"""Which recipe is taken where nobody names one: the one that this machine trains in hours."""

from typing import NamedTuple

IMAGENET = 1000  # classes; with as many, pictures are taken for ImageNet's


class Chosen(NamedTuple):
    """A recipe that nobody named, and what it was chosen by."""

    recipe: str
    classes: int | None  # of the folder; None: the built-in pictures
    cuda: bool


def default_recipe(classes: int | None) -> Chosen:
    """The built-in study where there is no folder; else by its number of classes, and by whether there is a CUDA device."""
    from transfercli.system.devices import pick_device  # which takes torch

    if classes is None:
        return Chosen("demo", None, False)
    if pick_device("auto").type != "cuda":
        return Chosen("tiny-imagenet-cpu", classes, False)
    return Chosen("imagenet-fast" if classes >= IMAGENET else "tiny-imagenet", classes, True)
