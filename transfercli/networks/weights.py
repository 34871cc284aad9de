"""Files of weights from anywhere: read without running what may be in them, and brought to a network's names and numbers."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from transfercli.networks.layers import layers_of
from transfercli.system.errors import TransferError, plain

WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net")  # under which training scripts save weights
PREFIXES = ("module.", "_orig_mod.", "model.")  # of names: DataParallel's, torch.compile's, that of a network within another
AUXILIARY = {"torchvision/googlenet": ("aux1.", "aux2."), "torchvision/inception_v3": ("AuxLogits.",)}  # heads for training alone
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
SHOWN = 3  # names in an error


def read(path: Path) -> Any:
    """What a file of weights holds; nothing of it is run. Raises TransferError."""
    try:
        if not path.is_file():
            raise TransferError(f"{path} is no plain file; give a .safetensors or .pth")
        if not path.stat().st_size:
            raise TransferError(f"{path} is empty; copy or download it again")
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # of torch's, to programmers
            return torch.load(path, map_location="cpu", weights_only=True)
    except TransferError:
        raise
    except (Exception, RecursionError) as error:  # whatever a file that is no file of weights leads to
        said = " ".join(str(error).split())
        if code := re.search(r"GLOBAL (\S+)", said):
            raise TransferError(
                f"{path} is refused: it holds {plain(code[1])}, which is code and not weights; "
                "ask for a .safetensors, or for its state_dict() alone"
            ) from None
        kind = "" if isinstance(error, SafetensorError) else f"{type(error).__name__}: "
        raise TransferError(f"{path} cannot be read as weights ({plain(kind + said)[:160]}); copy or download it again") from None


def fitted(loaded: Any, network: nn.Module, name: str, what: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Weights under the network's own names, and what was done to them. `network`: as it is named, without weights.

    The last layer may have any number of outputs, or be missing: nobody copies it. Raises TransferError, which begins with
    `what`, where anything below does not fit or is of no use.
    """
    own, last = network.state_dict(), layers_of(network)[-1]
    notes: list[str] = []
    found = _old_names(_unprefixed(_unwrapped(loaded, what, notes), own, notes), name)

    def leave_out(names: list[str], reason: str) -> None:
        if names:
            notes.append(f"{reason} left out: {_first(names)}")
        for one in names:
            del found[one]

    leave_out([one for one in found if one not in own and one.startswith(AUXILIARY.get(name, ()))], "auxiliary heads are")
    heads = tuple(f"{module}." for module in last.link.modules)
    leave_out([one for one in found if one not in own and one.startswith(heads)], "a head of another kind is")
    for one, value in own.items():  # which files of before 2018 do not have, and torch takes for 0
        if one.endswith(".num_batches_tracked") and f"{one.rpartition('.')[0]}.running_var" in found:
            found.setdefault(one, torch.zeros((), dtype=value.dtype))
    wrong = [f"{one} is missing" for one in own if one not in found and not last.owns(one)]
    wrong += [f"{one} is not in the network" for one in found if one not in own]
    wrong += [
        f"{one} is {_shape(found[one])}, not {_shape(value)}"
        for one, value in own.items()
        if one in found and found[one].shape != value.shape and not last.owns(one)
    ]
    if wrong:
        raise TransferError(f"{what} does not fit {name}: {_first(wrong)}; say which network it is of, and what its input is")
    state = {one: _numbers(found[one], value.dtype, one, what) for one, value in own.items() if one in found}
    for one, value in state.items():
        if not last.owns(one) and not np.isfinite(value.numpy()).all():
            raise TransferError(f"{what} is of no use: its {one} holds numbers that are not finite; choose other weights")
    kinds = {str(found[one].dtype).removeprefix("torch.") for one in state if found[one].is_floating_point()}
    notes += [f"its numbers are {kind} and are taken as float32" for kind in sorted(kinds - {"float32"})]
    return state, tuple(notes)


def _unwrapped(loaded: Any, what: str, notes: list[str]) -> dict[str, Tensor]:
    """The weights themselves, where they lie beside an optimiser's and what else a training script keeps."""
    while isinstance(loaded, Mapping) and not all(isinstance(one, Tensor) for one in loaded.values()):
        inside = next((key for key in WRAPPERS if isinstance(loaded.get(key), Mapping)), None)
        if inside is None:
            break
        loaded = loaded[inside]
        notes.append(f"its weights are those under {inside}")
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(key, str) for key in loaded):
        raise TransferError(f"{what} holds no weights by name; save a network's state_dict()")
    if odd := [key for key, one in loaded.items() if not isinstance(one, Tensor)]:
        raise TransferError(f"{what} holds no weights by name: {plain(odd[0])} is no tensor; save a network's state_dict()")
    return {plain(key): one.detach() for key, one in loaded.items()}


def _unprefixed(found: dict[str, Tensor], own: Mapping[str, Tensor], notes: list[str]) -> dict[str, Tensor]:
    """Names without what wrappers put before each of them."""
    while not found.keys() & own.keys():
        prefix = next((one for one in PREFIXES if all(name.startswith(one) for name in found)), None)
        if prefix is None:
            break
        found = {name.removeprefix(prefix): value for name, value in found.items()}
        notes.append(f"{prefix} is taken off its names")
    return found


def _old_names(found: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """torchvision's files of DenseNet have names of before dots were forbidden in them: norm.1 for norm1."""
    if not name.startswith("torchvision/densenet"):
        return found
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", one): value for one, value in found.items()}


def _numbers(value: Tensor, dtype: torch.dtype, name: str, what: str) -> Tensor:
    """A tensor as the network has it: float32, or whole numbers."""
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        raise TransferError(f"{what}: {name} is sparse, quantised or empty; choose weights of plain numbers")
    if value.untyped_storage().nbytes() < value.numel() * value.element_size():
        raise TransferError(f"{what}: {name} holds fewer numbers than its shape says; choose other weights")
    if dtype.is_floating_point and value.dtype not in FLOATS:
        kind = str(value.dtype).removeprefix("torch.")
        raise TransferError(f"{what}: {name} is {kind}; choose weights of float32, float16 or bfloat16")
    return value.to(dtype).contiguous()


def _shape(value: Tensor) -> str:
    return "×".join(map(str, value.shape)) or "one number"


def _first(words: list[str]) -> str:
    more = len(words) - SHOWN
    return ", ".join(words[:SHOWN]) + f" and {more} more" * (more > 0)
