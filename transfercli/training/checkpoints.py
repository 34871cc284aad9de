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
from transfercli.system.files import metadata, replacing


class Saved(NamedTuple):
    """A checkpoint that networks go on from."""

    tensors: dict[str, Tensor]
    about: dict[str, Any]


Group = tuple[list[str], Saved | None]  # networks that go on together, and from what; None for those that start anew

KEEP = 2  # the last good one stays until the next is whole


def save(folder: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Path:
    """Write the checkpoint of `about["step"]` and remove all but the last two of the same bank."""
    stem = hashlib.sha256(" ".join(sorted(about["networks"])).encode()).hexdigest()[:12]
    path = folder / f"{stem}-{about['step']:08d}.safetensors"
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as aside:
        save_file(whole, aside, {"about": json.dumps(about), "digest": _digest(whole, about)})
    for old in sorted(folder.glob(f"{stem}-*.safetensors"))[:-KEEP]:
        old.unlink()
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
    for path in sorted(folder.glob("[!.]*.safetensors"), key=lambda p: p.stem.rpartition("-")[2], reverse=True):
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


def clear(folder: Path, done: Container[str]) -> None:
    """Remove the checkpoints whose networks are all done, and what nobody can go on from. The others wait for their networks."""
    for path in folder.glob("*.safetensors"):
        if path.name.startswith(".") or all(name in done for name in _networks(path)):
            path.unlink()
    if folder.exists() and not any(folder.iterdir()):
        folder.rmdir()


def _networks(path: Path) -> list[str]:
    """The networks of a checkpoint, by its header alone; none where it is damaged."""
    try:
        return list(json.loads(metadata(path)["about"])["networks"])
    except (KeyError, ValueError, TypeError):
        return []


def _digest(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> str:
    text = json.dumps(about, sort_keys=True) + digest(tensors, sorted(tensors))
    return hashlib.sha256(text.encode()).hexdigest()
