"""Checkpoints as files: where they lie, how they are called, and what one says of itself without its tensors.

`training/checkpoints.py` writes and reads them whole.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transfercli.system.files import metadata

FOLDER = "checkpoints"  # beside the networks of a split and seed
FILES = "[!.]*.safetensors"  # but what a killed writer left aside, whose name opens with a dot
KEEP = 2  # of a bank: the last good one stays until the next is whole


def path_of(folder: Path, networks: Iterable[str], step: int) -> Path:
    """Of these networks' bank, after so many steps."""
    stem = hashlib.sha256(" ".join(sorted(networks)).encode()).hexdigest()[:12]
    return folder / f"{stem}-{step:08d}.safetensors"


def step_of(path: Path) -> int:
    """The step after which it was saved; -1 for a file that is called otherwise."""
    number = path.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def prune(path: Path) -> None:
    """Remove all but the last ones of this one's bank."""
    for old in sorted(path.parent.glob(f"{path.stem.rpartition('-')[0]}-*.safetensors"))[:-KEEP]:
        old.unlink()


def about(path: Path) -> dict[str, Any]:
    """What it says of itself: networks, step, recipe, split and so on. Raises ValueError where it is damaged."""
    said = json.loads(metadata(path).get("about", "null"))
    if not isinstance(said, dict):
        raise ValueError(f"{path} says nothing of itself")
    return said


def networks_of(path: Path) -> list[str]:
    """The networks in it; none where it is damaged."""
    try:
        return [str(name) for name in about(path)["networks"]]
    except (ValueError, KeyError, TypeError):
        return []
