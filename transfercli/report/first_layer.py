"""The first layer's kernels as pictures: what each base looks for in its pixels. No torch."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from transfercli.study.folder import Study
from transfercli.study.rows import log_name

WEIGHT = "conv1.weight"
SIDE = 32  # pixels: about as long is a kernel's longer side in the picture
GAP = 2  # pixels of white between kernels
GREY = 128  # a weight of 0
MOST_KERNELS, MOST_TAPS = 4096, 64  # a file with more, or with longer kernels, is none of this program's


def first_layers(study: Study) -> dict[str, np.ndarray]:
    """The first layer of each base that is done: {"random-0/baseA": picture}, in the table's order; see `grid`.

    The picture is RGB whichever order of channels the recipe trains in. A base is left out where its weights are not there
    (they are large, and a user may remove them), are damaged, or hold no first layer of finite kernels on three channels.
    Raises TransferError where there are weights but no readable recipe.
    """
    bases = [row for row in study.rows() if row["treatment"] == "base" and row["status"] == "done"]
    kernels = {_called(row): read for row in bases if (read := _read(study, log_name(row))) is not None}
    if kernels and study.recipe().pictures.channels == "bgr":
        kernels = {name: read[:, ::-1] for name, read in kernels.items()}
    return {name: grid(read) for name, read in kernels.items()}


def grid(kernels: np.ndarray) -> np.ndarray:
    """(kernels, 3, height, width) floats as one picture, uint8 (height, width, 3), on white; a weight of 0 is mid-grey.

    Each kernel is scaled by its own largest absolute weight, as their sizes differ much, and enlarged without smoothing. They
    stay in the network's order, row by row: the same place in two pictures is the same channel.
    """
    count, channels, height, width = kernels.shape
    largest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
    scaled = kernels / np.where(largest > 0, largest, 1)
    pixels = np.rint(GREY + 127 * scaled).astype(np.uint8).transpose(0, 2, 3, 1)
    times = max(1, round(SIDE / max(height, width)))
    tiles = pixels.repeat(times, axis=1).repeat(times, axis=2)
    columns = columns_for(count)
    rows = math.ceil(count / columns)
    down, right = height * times + GAP, width * times + GAP
    picture = np.full((rows * down - GAP, columns * right - GAP, channels), 255, np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * down, place % columns * right
        picture[top : top + down - GAP, left : left + right - GAP] = tile
    return picture


def _called(row: Mapping[str, Any]) -> str:
    """random-0/baseA, pets/baseA (cats)."""
    return log_name(row) + (f" ({row['target_name']})" if row.get("target_name") else "")


def columns_for(count: int) -> int:
    """How many kernels stand in a row: between 4:3 and 4:1, with full rows where a number between leaves none open."""
    fewest, most = math.ceil(math.sqrt(count * 4 / 3)), math.isqrt(count * 4)
    full = [columns for columns in range(fewest, most + 1) if count % columns == 0]
    return full[0] if full else min(fewest, count)


def _read(study: Study, name: str) -> np.ndarray | None:
    """The first layer's kernels, float64 (kernels, 3, height, width); None where they cannot be shown."""
    path = study.root / name / "weights.safetensors"
    if not path.is_file():
        return None
    try:
        with safe_open(path, "np") as file:
            first = next((name for name in _in_order(file) if _is_first_layer(file.get_slice(name).get_shape())), None)
            if first is None or file.get_slice(first).get_dtype() not in ("F16", "F32", "F64"):
                return None
            kernels = file.get_tensor(first).astype(np.float64)
    except (SafetensorError, OSError, ValueError):
        return None
    return kernels if np.isfinite(kernels).all() else None


def _in_order(file: Any) -> list[str]:
    """The weights of the file's first layer; of one that does not say what its layers are, of a name that comes first."""
    names = set(file.keys())
    try:
        first = [module["name"] for module in json.loads(file.metadata()["about"])["layers"][0]["modules"]]
    except (KeyError, TypeError, ValueError, IndexError):
        first = [WEIGHT.removesuffix(".weight")]
    return [f"{module}.weight" for module in first if f"{module}.weight" in names]


def _is_first_layer(shape: list[int]) -> bool:
    if len(shape) != 4:
        return False
    kernels, channels, height, width = shape
    return 1 <= kernels <= MOST_KERNELS and channels == 3 and 1 <= height <= MOST_TAPS and 1 <= width <= MOST_TAPS
