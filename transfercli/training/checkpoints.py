"""Checkpoints of a whole bank: weights, the optimisers' memory, logs and the step, in a safetensors file written aside, renamed.

Randomness has no state (`randomness.py`), so nothing else is needed to go on as if nothing had happened.
"""

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from transfercli.networks.start import digest
from transfercli.study import checkpoint_files
from transfercli.study.checkpoint_files import FILES, networks_of
from transfercli.system.files import replacing


class Saved(NamedTuple):
    """A checkpoint that networks go on from."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]


Group = tuple[list[str], Saved | None]  # networks that go on together, and from what; None for those that start anew


def save(folder: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Path:
    """Write the checkpoint of `about["step"]` and remove all but the last of the same bank."""
    path = checkpoint_files.path_of(folder, about["networks"], about["step"])
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as aside:
        save_file(whole, aside, {"about": json.dumps(about), "digest": _digest(whole, about)})
    checkpoint_files.prune(path)
    return path


def load(path: Path) -> Saved:
    """What `save` was given. Raises ValueError where the file is truncated or altered."""
    try:
        with safe_open(path, "pt") as file:
            kept = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        about = json.loads(kept["about"])
        if _digest(tensors, about) != kept["digest"]:
            raise ValueError("its digest does not fit")
        return Saved(tensors, about)
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        raise ValueError(f"the checkpoint {path} is damaged: {error}") from None


def latest(folder: Path, wanted: Iterable[str], fits: Mapping[str, Any], warn: Callable[[str], None]) -> list[Group]:
    """The wanted networks in groups that go on together: those of a checkpoint, the furthest first; last those that start anew.

    Only checkpoints whose `about` holds all of `fits` count; what a killed `save` left aside (its name opens with a dot)
    does not. A damaged one is named to `warn`, and an earlier one is used.
    """
    remaining, groups = list(wanted), list[Group]()
    for path in sorted(folder.glob(FILES), key=checkpoint_files.step_of, reverse=True):
        if not remaining:
            break
        try:
            saved = load(path)
            found = [name for name in remaining if name in saved.about["networks"]]
        except (ValueError, KeyError, TypeError) as error:
            warn(f"{error}; an earlier one is used where there is one")
            continue
        if found and all(saved.about.get(key) == value for key, value in fits.items()):
            groups.append((found, saved))
            remaining = [name for name in remaining if name not in found]
    return [*groups, (remaining, None)] if remaining else groups


def clear_done(folder: Path) -> None:
    """Remove the checkpoints of networks that all have a row."""
    clear(folder, {row.parent.name for row in folder.parent.glob("*/row.json")})


def clear(folder: Path, done: Container[str]) -> None:
    """Remove the checkpoints whose networks are all done, and what nobody can go on from. The others wait for their networks."""
    for path in folder.glob("*.safetensors"):
        if path.name.startswith(".") or all(name in done for name in networks_of(path)):
            path.unlink()
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    text = json.dumps(about, sort_keys=True) + digest(tensors, sorted(tensors))
    return hashlib.sha256(text.encode()).hexdigest()
