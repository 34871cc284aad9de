"""What travels with a network's weights: all that is needed to build the network in plain PyTorch and to feed it.

The metadata of weights.safetensors; docs/weights.md says how to read it, and a test does what is written there.
"""

import base64
import json
from typing import Any

from torch import Tensor, nn

from transfercli.networks.catalogue import arguments_of, outputs_of
from transfercli.networks.heads import head_of
from transfercli.networks.layers import layers_of
from transfercli.networks.modules import LRN, Dropout, Skip
from transfercli.plan.networks import Network, columns
from transfercli.recipe.schema import Recipe

TELLING = {"size", "crop", "fit", "orientation", "interpolation", "channels", "divide", "std"}  # of what the input is made


def metadata(
    recipe: Recipe, network: Network, module: nn.Module, classes: tuple[str, ...], mean: Tensor | None
) -> dict[str, str]:
    """One JSON text, `about`: recipe, network, layers, input and classes; and of a mean image its bytes.

    One, since safetensors writes several in any order, and the same network is to be the same file.

    `mean`: what was subtracted, as `normalise` takes it. The image is float32, little-endian, in base64.
    """
    pictures, library = recipe.pictures, recipe.network.library  # which builds its networks itself
    image = mean is not None and mean.dim() == 3
    told: dict[str, Any] = {
        "recipe": {"name": recipe.name, **recipe.decisive()},
        "network": columns(network),
        "layers": [
            {"layer": number, "modules": [{"name": name} if library else described(name, part) for name, part in layer.modules]}
            for number, layer in enumerate(layers_of(module), start=1)
        ],
        "input": {
            **pictures.model_dump(mode="json", include=TELLING),
            "mean": "image" if image else None if mean is None else mean.tolist(),
        },
        "classes": classes,
    }
    if mean is not None and image:
        told["mean_image"] = base64.b64encode(mean.cpu().numpy().astype("<f4").tobytes()).decode("ascii")
    if library:
        told["builder"] = {
            "name": recipe.network.name,
            "arguments": arguments_of(recipe.network, outputs_of(recipe, len(classes))),
            **({"head": head} if (head := head_of(module)) else {}),
        }
    return {"about": json.dumps(told, ensure_ascii=True)}


def described(name: str, module: nn.Module) -> dict[str, Any]:
    """One module as `torch.nn` has it: the class of its own name, made with its arguments."""
    return {"name": name, **_in_torch(module)}


def _in_torch(module: nn.Module) -> dict[str, Any]:
    keys: tuple[str, ...]
    match module:
        case nn.Conv2d():
            keys = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "groups")
        case nn.Linear():
            keys = ("in_features", "out_features")
        case nn.BatchNorm2d():
            keys = ("num_features", "eps")
        case nn.MaxPool2d():
            keys = ("kernel_size", "stride", "padding", "ceil_mode")
        case nn.ReLU() | nn.Flatten() | Skip():
            keys = ()
        case LRN():
            size = {"size": module.size, "alpha": module.alpha, "beta": module.beta, "k": module.k}
            return {"kind": "LocalResponseNorm", "arguments": size}
        case Dropout():
            return {"kind": "Dropout", "arguments": {"p": module.rate}}
        case _:
            raise ValueError(f"no words for a module of {type(module).__name__}")
    return {"kind": type(module).__name__, "arguments": {key: getattr(module, key) for key in keys}}
