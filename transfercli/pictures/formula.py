"""The built-in pictures: made by formula in seconds, with nothing to download and no licence to ask about.

Two families, after two published sets that were made to train networks without photographs:

* *natural*: attractors of iterated-function systems, as in FractalDB (Kataoka et al., ACCV 2020);
* *man-made*: nested radial contours with straight sides, as in RCDB (Kataoka et al., CVPR 2022).

A class is one set of formula parameters, fixed by its name alone. A picture shakes these parameters a little
and draws its own colours, pose and ground, so that neither colour nor place tells the class. Nothing has a state:
picture i is a function of (seed, class name, part, i) and of the size.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from transfercli.system.errors import TransferError

VERSION = 1  # raise it when a change here changes the pictures: folders of another version are then refused
PARTS = ("train", "val")
KINDS = ("man-made", "natural")

# Pictures are drawn in whole blocks, one generator each: fast, and a short request is a prefix of a long one.
BLOCK = 50

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]


def class_names(count: int) -> tuple[str, ...]:
    """Names of `count` built-in classes, sorted: half man-made, half natural; an odd one is natural."""
    each = {"man-made": count // 2, "natural": count - count // 2}
    return tuple(sorted(f"{kind}-{number:02d}" for kind in KINDS for number in range(each[kind])))


def pictures(name: str, part: str, count: int, size: int, seed: int) -> npt.NDArray[np.uint8]:
    """The first `count` pictures of class `name` in `part`: uint8 RGB, shape (count, size, size, 3).

    `name` is one that `class_names` gives, `part` is "train" or "val", `size` is the side in pixels, `seed` not
    negative. Raises ValueError for another name, part or seed.
    """
    kind, _, number = name.rpartition("-")
    if kind not in KINDS or not number.isdecimal():
        raise ValueError(f"no built-in class {name!r}: the names are man-made-00, natural-00, ...")
    if part not in PARTS:
        raise ValueError(f"no part {part!r}: the parts are train and val")
    draw = {"man-made": _contours, "natural": _fractals}[kind]
    made = np.empty((count, size, size, 3), np.uint8)
    for start in range(0, count, BLOCK):
        key = (KINDS.index(kind), int(number), PARTS.index(part), start // BLOCK)
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))
        figure, cover = draw(int(number), _pose(random, BLOCK), size, random)
        made[start : start + BLOCK] = _on_ground(figure, cover, random)[: count - start]
    return made


def write(
    root: Path,
    classes: int,
    train: int,
    val: int,
    size: int,
    seed: int,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Write the built-in pictures as an ImageFolder tree: root/train/<class>/0000.png, the same under root/val.

    `train` and `val` count the pictures of each class, `size` is their side in pixels; `progress` is called
    after each class with the number of pictures just written. The tree appears at `root` whole or not at all.
    Where it stands already, made with the same arguments, nothing is done. Raises TransferError if `root`
    holds anything else.
    """
    arguments = {
        "version": VERSION,
        "classes": classes,
        "train": train,
        "val": val,
        "size": size,
        "seed": seed,
    }
    if _stands(root, arguments):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    _sweep(root)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{root.name}.unfinished-", dir=root.parent))
    tree = unfinished / root.name  # a folder below, for mkdtemp's own is closed to other users
    try:
        for part, count in zip(PARTS, (train, val), strict=True):
            for name in class_names(classes):
                folder = tree / part / name
                folder.mkdir(parents=True)
                for i, pixels in enumerate(pictures(name, part, count, size, seed)):
                    Image.fromarray(pixels).save(folder / f"{i:04d}.png", compress_level=1)
                progress(count)
        (tree / "formula.json").write_text(json.dumps(arguments) + "\n", encoding="utf-8")
        try:
            os.replace(tree, root)
        except OSError:
            # Another process may have put the same pictures there meanwhile; anything else is an error.
            if not _stands(root, arguments):
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _stands(root: Path, arguments: dict[str, int]) -> bool:
    """True if `root` holds these pictures, False if it is free; TransferError if it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = dict(json.loads((root / "formula.json").read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        raise TransferError(f"{root} is not a folder of built-in pictures; name another folder") from None
    wrong = [f"{key} {found.get(key)}, not {value}" for key, value in arguments.items() if found.get(key) != value]
    if wrong:
        made = "; ".join(wrong)
        raise TransferError(f"{root} holds other built-in pictures ({made}); delete it or name another folder")
    for part in PARTS:
        for name in class_names(arguments["classes"]):
            folder = root / part / name
            if not folder.is_dir() or len(os.listdir(folder)) < arguments[part]:
                raise TransferError(f"pictures are missing in {folder}; delete {root} and make them again")
    return True


def _sweep(root: Path) -> None:
    """Remove what killed runs left beside `root`; a day is longer than any run that is still writing."""
    for left in root.parent.iterdir():
        if left.name.startswith(f".{root.name}.unfinished-") and time.time() - left.stat().st_mtime > 86400:
            shutil.rmtree(left, ignore_errors=True)


# --- what every picture has: a pose, colours, a ground ---


def _pose(random: np.random.Generator, count: int) -> Floats:
    """Matrices (count, 2, 3) from the figure's plane, where it fills [-1, 1], to the picture's [-1, 1]."""
    turn, shear = random.normal(0, 0.35, count), random.normal(0, 0.08, count)
    scale = random.uniform(0.7, 1.0, count)
    stretch = np.exp(random.normal(0, 0.06, count))
    cos, sin = np.cos(turn), np.sin(turn)
    pose = np.empty((count, 2, 3), np.float32)
    pose[:, 0, 0], pose[:, 0, 1] = cos * stretch, cos * shear - sin / stretch
    pose[:, 1, 0], pose[:, 1, 1] = sin * stretch, sin * shear + cos / stretch
    pose[:, :, :2] *= scale[:, None, None]
    pose[:, :, 2] = random.uniform(-0.15, 0.15, (count, 2))
    return pose


def _rgb(hue: Any, saturation: Any, value: Any) -> Floats:
    """HSV in [0, 1] to RGB in [0, 1], with a last axis of 3."""
    k = (np.array([5.0, 3.0, 1.0]) + np.asarray(hue)[..., None] * 6) % 6
    saturation, value = np.asarray(saturation)[..., None], np.asarray(value)[..., None]
    return np.asarray(value * (1 - saturation * np.clip(np.minimum(k, 4 - k), 0, 1)), np.float32)


def _colours(random: np.random.Generator, count: int, many: int) -> Floats:
    """Bright colours (count, many, 3) whose hues stand apart, so that the parts of a figure can be told."""
    hue = random.random((count, 1)) + np.arange(many) * random.uniform(0.08, 0.3, (count, 1))
    return _rgb(hue, random.uniform(0.25, 0.95, (count, many)), random.uniform(0.6, 1, (count, many)))


def _smooth_noise(random: np.random.Generator, count: int, cells: int, size: int) -> Floats:
    """Smooth noise (count, size, size) in about [-1, 1], with `cells` bumps along a side."""
    at = np.linspace(0, cells, size, dtype=np.float32)
    near = np.clip(1 - np.abs(at[:, None] - np.arange(cells + 1, dtype=np.float32)), 0, 1)
    near = near * near * (3 - 2 * near)
    return np.asarray(near @ random.uniform(-1, 1, (count, cells + 1, cells + 1)).astype(np.float32) @ near.T)


def _on_ground(figure: Floats, cover: Floats, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Lay figures (count, size, size, 3) by their cover in [0, 1] on grounds of their own; grain over all."""
    count, size = cover.shape[:2]
    octaves = ((2, 1.0), (5, 0.67), (11, 0.5))
    bumps = sum(_smooth_noise(random, count, cells, size) * height for cells, height in octaves)
    wave = random.normal(0, 9, (2, count, 1, 1)).astype(np.float32)
    at = np.linspace(-1, 1, size, dtype=np.float32)
    stripes = np.sin(wave[0] * at[:, None] + wave[1] * at)
    stripes *= random.uniform(0, 0.7, (count, 1, 1)).astype(np.float32)
    blend = np.clip(0.5 + 0.4 * (bumps + stripes), 0, 1)[..., None]
    # Two hues near each other, both dark for most: a bright figure stands out, and a net learns sooner.
    hue = random.random((count, 1)) + random.normal(0, 0.12, (count, 2))
    saturation = random.uniform(0.1, 0.8, (count, 2))
    value = random.uniform([0.05, 0.2], [0.3, 0.6], (count, 2))
    ends = _rgb(hue, saturation, value)
    picture = ends[:, None, None, 0] * (1 - blend) + ends[:, None, None, 1] * blend
    picture += cover[..., None] * (figure - picture)
    grain = random.standard_normal((count, size, size), np.float32)
    picture += (grain * random.uniform(0.01, 0.04, (count, 1, 1)).astype(np.float32))[..., None]
    return np.asarray(np.clip(picture, 0, 1) * 255 + 0.5, np.uint8)


# --- natural: iterated-function systems ---


class System(NamedTuple):
    """Maps x -> turn(left) stretch turn(right) x + shift; arrays open with (maps,) or (count, maps).

    Given by singular values (Anderson and Farrell, WACV 2022), not by free matrices as in FractalDB: shaken, it
    still contracts as long as its `stretch` stays below 1.
    """

    left: Array  # angle
    right: Array  # angle
    stretch: Array  # (..., 2), the second with either sign: negative mirrors
    shift: Array  # (..., 2)


MAPS = (2, 3, 4, 3)  # maps of a system, by class number
WALKERS = 64  # points that walk at once over each attractor


@functools.cache
def _system(number: int) -> System:
    """The system of natural class `number`: the first drawn that is neither dust nor line nor blot."""
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence((1, number))))
    maps, cells = MAPS[number % len(MAPS)], 24
    while True:
        sign = random.choice([-1.0, 1.0], (BLOCK, maps))
        large = random.uniform(0.45, 0.85, (BLOCK, maps))
        stretch = np.stack([large, sign * large * random.uniform(0.3, 1, (BLOCK, maps))], -1)
        turns = random.uniform(-np.pi, np.pi, (2, BLOCK, maps))
        drawn = System(turns[0], turns[1], stretch, random.uniform(-1, 1, (BLOCK, maps, 2)))
        points, _ = _chaos_game(drawn, 40, random)
        cell = np.clip((points + 1) * (cells / 2), 0, cells - 1).astype(np.int64)
        at = (cell[0] * cells + cell[1]) + np.arange(BLOCK)[:, None] * cells**2
        filled = (np.bincount(at.ravel(), minlength=BLOCK * cells**2).reshape(BLOCK, -1) > 0).mean(1)
        spread = points.std(2).min(0) / points.std(2).max(0)
        good = np.flatnonzero((filled > 0.2) & (filled < 0.45) & (spread > 0.45))
        if len(good):
            return System(*(field[good[0]] for field in drawn))


def _rotation(angle: Array) -> Array:
    """Matrices (..., 2, 2) that turn by angles (...)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos, -sin, sin, cos], -1).reshape(*angle.shape, 2, 2)


def _chaos_game(system: System, steps: int, random: np.random.Generator) -> tuple[Floats, Array]:
    """Points on the attractors of `count` systems, each fitted into [-1, 1], and the maps that they came by.

    Shapes (2, count, steps * WALKERS) and (count, steps * WALKERS).
    """
    count, maps = system.left.shape
    settle = 12  # steps until a point is on the attractor, to the eye
    matrices = (_rotation(system.left) * system.stretch[..., None, :]) @ _rotation(system.right)
    table = np.concatenate([matrices, system.shift[..., None]], -1).reshape(-1, 6).T.astype(np.float32)
    # A map is taken as often as its image is large (FractalDB), but never almost never.
    weight = np.abs(system.stretch.prod(-1)) + 0.03
    limits = np.cumsum(weight / weight.sum(-1, keepdims=True), -1)[:, :-1].astype(np.float32)
    chance = random.random((settle + steps, count, WALKERS), np.float32)
    chosen = (chance[..., None] > limits[:, None]).sum(-1)
    rows = chosen + (np.arange(count) * maps)[:, None]
    x = y = np.zeros((count, WALKERS), np.float32)
    points = np.empty((steps, 2, count, WALKERS), np.float32)
    for step in range(-settle, steps):
        a, b, c, d, e, f = table.take(rows[settle + step], 1)
        x, y = a * x + b * y + c, d * x + e * y + f
        if step >= 0:
            points[step] = x, y
    cloud = points.transpose(1, 2, 0, 3).reshape(2, count, -1)
    low, high = cloud.min(2, keepdims=True), cloud.max(2, keepdims=True)
    half = np.maximum((high - low).max(0) / 2, 1e-6)
    return (cloud - (low + high) / 2) / half, chosen[settle:].transpose(1, 0, 2).reshape(count, -1)


def _fractals(number: int, pose: Floats, size: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Pictures (count, size, size, 3) of natural class `number` and their cover (count, size, size)."""
    count, mean = len(pose), _system(number)
    maps = len(mean.left)
    shaken = System(
        mean.left + random.normal(0, 0.08, (count, maps)),
        mean.right + random.normal(0, 0.08, (count, maps)),
        np.clip(mean.stretch * np.exp(random.normal(0, 0.06, (count, maps, 2))), -0.9, 0.9),
        mean.shift + random.normal(0, 0.06, (count, maps, 2)),
    )
    points, last = _chaos_game(shaken, -(-2 * size * size // WALKERS), random)
    fine = 2 * size  # counted on a grid of half pixels and summed: soft edges
    x, y = (pose[:, i, :1] * points[0] + pose[:, i, 1:2] * points[1] + pose[:, i, 2:] for i in range(2))
    column, row = ((axis + 1) * (fine / 2) for axis in (x, y))
    inside = (column >= 0) & (column < fine) & (row >= 0) & (row < fine)
    layer = np.arange(count)[:, None] * maps + last  # one for each map of each picture: a map has a colour
    at = (layer * fine + row.astype(np.int64)) * fine + column.astype(np.int64)
    counts = np.bincount(at[inside], minlength=count * maps * fine * fine).astype(np.float32)
    quarters = counts.reshape(count, maps, size, 2, size, 2)
    density = quarters[:, :, :, 0, :, 0] + quarters[:, :, :, 0, :, 1]
    density += quarters[:, :, :, 1, :, 0] + quarters[:, :, :, 1, :, 1]  # much faster than .sum((3, 5))
    total = density.sum(1)
    colours = _colours(random, count, maps)
    figure = (density.reshape(count, maps, -1).transpose(0, 2, 1) @ colours).reshape(count, size, size, 3)
    figure /= np.maximum(total, 1)[..., None]
    return np.asarray(figure, np.float32), np.asarray(1 - np.exp(-0.7 * total), np.float32)


# --- man-made: nested radial contours ---


class Contour(NamedTuple):
    """A star or polygon and how it is nested."""

    corners: int
    depth: float  # how far the middles of the sides are drawn in, 0 (polygon) .. 0.55 (star)
    rings: int
    ratio: float  # size of a ring to the one around it
    twist: float  # turn of a ring against the one around it, as a fraction of a corner's angle
    line: float  # width of the outline as a fraction of the room between two rings; 1 is filled
    aspect: float  # height to width
    wave: float  # how much the radius waves between the corners


def _contour(number: int) -> Contour:
    """The contour of man-made class `number`.

    Corners go round; the rest is no draw but a walk by irrational steps (Roberts' R-sequence): far apart.
    """
    fields, root = 7, 1.0
    for _ in range(40):
        root = (1 + root) ** (1 / (fields + 1))
    u = [(0.5 + (number + 1) * root ** -(i + 1)) % 1 for i in range(fields)]
    return Contour(
        corners=(5, 3, 8, 4, 6, 7)[number % 6],
        depth=0.55 * u[0],
        rings=2 + int(3 * u[1]),
        ratio=0.5 + 0.25 * u[2],
        twist=0.5 * u[3],
        line=0.4 + 0.6 * u[4],
        aspect=0.55 + 0.45 * u[5],
        wave=0.2 * u[6],
    )


def _contours(number: int, pose: Floats, size: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Pictures (count, size, size, 3) of man-made class `number` and their cover (count, size, size)."""
    count, mean = len(pose), _contour(number)
    one = (count, 1, 1)

    def shaken(value: float, by: float) -> Floats:
        return (value + random.normal(0, by, one)).astype(np.float32)

    depth, ratio = shaken(mean.depth, 0.05)[:, 0], np.clip(shaken(mean.ratio, 0.03), 0.3, 0.85)
    twist, line = shaken(mean.twist, 0.06), np.clip(shaken(mean.line, 0.08), 0.2, 1)
    aspect, wave = np.clip(shaken(mean.aspect, 0.06), 0.4, 1.2), shaken(mean.wave, 0.03)
    step = np.float32(np.pi / mean.corners)  # from a corner to the middle of a side
    # Radii of corners and middles in turn, each a little off; a polygon's middles stand at cos(step).
    middle = np.where(np.arange(2 * mean.corners) % 2, np.cos(step) * (1 - np.clip(depth, 0, 0.7)), 1)
    radii = (middle * (1 + random.normal(0, 0.04, middle.shape))).astype(np.float32)

    centre = (np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1
    inverse = np.linalg.inv(pose[:, :, :2])
    dx, dy = centre[None, None, :] - pose[:, 0, 2:, None], centre[None, :, None] - pose[:, 1, 2:, None]
    x = inverse[:, 0, 0, None, None] * dx + inverse[:, 0, 1, None, None] * dy
    y = (inverse[:, 1, 0, None, None] * dx + inverse[:, 1, 1, None, None] * dy) / aspect
    angle, distance = np.arctan2(y, x), np.hypot(x, y)
    distance /= 1 + wave * np.cos(mean.corners * angle * 2)
    pixel = np.sqrt(np.abs(np.linalg.det(pose[:, :, :2])))[:, None, None] * np.sqrt(aspect) * (size / 2)

    colours = _colours(random, count, mean.rings)
    figure = np.broadcast_to(colours[:, None, None, 0], (count, size, size, 3)).copy()
    cover = np.zeros((count, size, size), np.float32)
    corner, next_corner = radii.ravel(), np.roll(radii, -1, axis=1).ravel()
    at = np.arange(count)[:, None, None] * (2 * mean.corners)
    turn = np.float32(2 * np.pi)
    for ring in range(mean.rings):
        turned = angle - ring * twist * step * 2
        turned -= turn * np.floor(turned / turn)  # into 0 .. turn; % takes several times as long
        side = np.clip((turned / step).astype(np.int64), 0, 2 * mean.corners - 1)
        r, r2 = corner[at + side], next_corner[at + side]
        along = turned - side * step
        length = np.sqrt(r * r + r2 * r2 - 2 * r * r2 * np.cos(step))
        scale = ratio**ring
        # Signed distance to the side's line, positive inside: soft edges at any size without supersampling.
        inner = distance / scale
        depth_in = (r * r2 * np.sin(step) - inner * (r * np.sin(step - along) + r2 * np.sin(along))) / length
        paint = np.clip(depth_in * scale * pixel + 0.5, 0, 1)
        width = line * (1 - ratio) * scale * pixel
        hollow = np.clip(depth_in * scale * pixel - width + 0.5, 0, 1) * (mean.line < 0.85)
        paint = paint - hollow
        figure += paint[..., None] * (colours[:, None, None, ring] - figure)
        cover = np.maximum(cover, paint)
    return figure, cover
