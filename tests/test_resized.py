"""Random resized crops: torchvision's boxes for the same numbers, its pixels to the last bit; the step alone decides."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import CPU, SPLIT, run, tiny_recipe
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import v2 as transforms
from torchvision.transforms.v2 import _geometry, functional

from transfercli.pictures import stream as stream_module
from transfercli.pictures.resized import TRIES, boxes, resized
from transfercli.pictures.stream import Part, Pixels, Stream, centre_crop, normalise
from transfercli.plan.networks import base
from transfercli.recipe.schema import Pictures
from transfercli.study.folder import Study
from transfercli.system.randomness import generator
from transfercli.training.bench import Bench

COUNT, SIZE, CROP = 20, 17, 12
STREAM = (3, "random-0", "B")


def recipe(**values: Any) -> Pictures:
    return Pictures(size=SIZE, crop=CROP, augment="random-resized-crop", **values)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("noise")
    for number in range(COUNT):
        Image.effect_noise((SIZE, SIZE), 90).convert("RGB").save(root / f"{number:02d}.png")
    return root


def source(root: Path, pictures: Pictures, device: torch.device = CPU) -> Pixels:
    return Pixels(Part(root, tuple(f"{n:02d}.png" for n in range(COUNT)), tuple(range(COUNT))), pictures, device, 2)


# -- where


class Given:
    """`torch` as torchvision's transform sees it, where every try's random numbers, each in [0, 1), are those given."""

    exp = staticmethod(torch.exp)

    def __init__(self, tries: list[list[float]]):
        self.tries, self.number = tries, -1

    def empty(self, _: int) -> Any:
        return SimpleNamespace(uniform_=self.uniform)

    def uniform(self, low: Any, high: Any) -> torch.Tensor:
        shape = isinstance(low, torch.Tensor)  # of its logarithm; a try begins with an area, between two plain numbers
        self.number += not shape
        self.places = self.tries[self.number][2:]
        u = self.tries[self.number][int(shape)]
        return torch.tensor([float(low) + (float(high) - float(low)) * u], dtype=torch.float64)

    def randint(self, low: int, high: int, size: tuple[int]) -> torch.Tensor:
        assert low == 0 and size == (1,)
        return torch.tensor([int(self.places.pop(0) * high)])


KEYS = ("top", "left", "height", "width")
PAIRS = st.tuples(st.floats(0.02, 1), st.floats(0.02, 1)).map(sorted)
SHAPES = st.tuples(st.floats(0.1, 8), st.floats(0.1, 8)).map(sorted)


@given(side=st.integers(2, 300), scale=PAIRS, ratio=SHAPES | st.just([3 / 4, 4 / 3]), seed=st.integers(0, 2**31))
@settings(max_examples=150, deadline=None)
def test_boxes_are_torchvisions_for_the_same_numbers(side: int, scale: Any, ratio: Any, seed: int) -> None:
    """All ten tries, and what is taken where none of them fits."""
    found = boxes(3, side, scale, ratio, torch.Generator().manual_seed(seed)).tolist()
    u = torch.rand(4, TRIES, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    theirs = transforms.RandomResizedCrop(8, scale, ratio)
    theirs._log_ratio = torch.tensor(ratio, dtype=torch.float64).log()
    for k, box in enumerate(found):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_geometry, "torch", Given(u[:, :, k].T.tolist()))
            wanted = theirs.make_params([torch.empty(3, side, side)])
        if min(wanted.values()) >= 0 and wanted["height"] and wanted["width"]:  # else torchvision has nothing to cut
            assert box == [wanted[key] for key in KEYS]


def test_boxes_are_spread_as_torchvisions() -> None:
    """By its own generator: areas, shapes and places of 4000 boxes cannot be told from its own."""
    ours = boxes(4000, 64, (0.08, 1), (3 / 4, 4 / 3), generator("spread")).double()
    theirs = transforms.RandomResizedCrop(8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = [theirs.make_params([torch.empty(3, 64, 64)]) for _ in range(4000)]
    drawn = torch.tensor([[one[key] for key in KEYS] for one in made]).double()
    for name, of in {
        "area": lambda b: b[:, 2] * b[:, 3],
        "shape": lambda b: b[:, 3] / b[:, 2],
        "top": lambda b: b[:, 0],
        "left": lambda b: b[:, 1],
    }.items():
        samples = of(ours), of(drawn)
        shares = [torch.searchsorted(one.sort().values, torch.cat(samples), right=True) / 4000 for one in samples]
        assert (shares[0] - shares[1]).abs().max() < 0.036, name  # Kolmogorov and Smirnov: less in 99 of 100


# -- what


@given(data=st.data(), size=st.integers(1, 30), interpolation=st.sampled_from(["bilinear", "bicubic"]), count=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_pixels_are_torchvisions_to_the_last_bit(data: Any, size: int, interpolation: str, count: int) -> None:
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    pictures = torch.randint(0, 256, (5, SIZE, SIZE, 3), dtype=torch.uint8, generator=random)
    where = torch.randint(5, (count,), generator=random)
    mirrored = torch.rand(count, generator=random) < 0.5
    parts = boxes(count, SIZE, (0.01, 1), (0.3, 3), random)
    how = transforms.InterpolationMode(interpolation)
    for i, (top, left, height, width) in enumerate(parts.tolist()):
        picture = pictures[where[i]].permute(2, 0, 1)
        wanted = functional.resized_crop(picture, top, left, height, width, [size, size], how, antialias=True)
        wanted = functional.horizontal_flip(wanted) if mirrored[i] else wanted
        part = pictures[where[i], top : top + height, left : left + width].contiguous()
        assert torch.equal(resized(part, bool(mirrored[i]), size, how).permute(2, 0, 1), wanted)


# -- in the stream


def test_a_batch_depends_on_its_step_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on torch's own generator, which it leaves as it was, nor on what was asked for before, nor on where pictures are."""
    before = torch.get_rng_state()
    used = Stream(source(folder, recipe()), 9, STREAM)
    batches = [used.batch(t).pixels for t in (0, 5, 2, 3)]
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    monkeypatch.setattr(stream_module, "MEMORY_SHARE", 0)
    fresh = Stream(source(folder, recipe()), 9, STREAM)
    assert all(torch.equal(made, fresh.make(t).pixels) for made, t in zip(batches, (0, 5, 2, 3), strict=True))
    other = Stream(source(folder, recipe()), 9, (4, *STREAM[1:]))
    assert not torch.equal(other.make(0).pixels, batches[0])
    used.close()


def test_the_recipe_says_which_parts(folder: Path) -> None:
    """Whole pictures where the scale is 1, half of them mirrored where the recipe says so; labels belong to their pictures."""
    whole = {"scale": [1, 1], "ratio": [1, 1]}
    pictures = source(folder, recipe(**whole))
    assert pictures.kept is not None
    all_of_it = functional.resize(pictures.kept.permute(0, 3, 1, 2), [CROP, CROP], antialias=True)
    plain, turned = (Stream(source(folder, recipe(mirror=mirror, **whole)), COUNT, STREAM).make(7) for mirror in (False, True))
    assert torch.equal(plain.pixels, all_of_it[plain.labels])
    mirrored = (plain.pixels != turned.pixels).flatten(1).any(1)
    assert torch.equal(turned.pixels[mirrored], plain.pixels[mirrored].flip(3))
    assert 3 < mirrored.sum() < COUNT - 3
    small = Stream(source(folder, recipe(mirror=False, scale=[0.1, 0.2])), COUNT, STREAM).make(7)
    assert torch.equal(small.labels, plain.labels) and not torch.equal(small.pixels, plain.pixels)
    assert plain.pixels.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_is_the_centre_crop_as_ever(folder: Path) -> None:
    resized, cropped = source(folder, recipe()), source(folder, Pictures(size=SIZE, crop=CROP))
    for one, other in zip(centre_crop(resized, torch.arange(5)), centre_crop(cropped, torch.arange(5)), strict=True):
        assert torch.equal(one, other)


def test_a_network_trains_the_same_alone_or_beside_others(split_study: Study) -> None:
    """With all that other networks want at once, and to the last bit (promise 1)."""
    own = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "divide": 1, "interpolation": "bicubic"}
    tiny = tiny_recipe({"pictures": {**own, "augment": "random-resized-crop"}})
    bench = Bench(split_study, tiny, split_study.halves(SPLIT), CPU, torch.float32)
    a, b = (base(SPLIT, 0, half) for half in "AB")
    trained = []
    for networks in ([b], [a, b]):
        bank = run(bench.bank(networks))
        (member,) = (member for member in bank.members if member.network == b)
        trained.append(member.module.state_dict())
        bank.close()
    assert all(torch.equal(trained[0][name], trained[1][name]) for name in trained[0])
    batch = Stream(bench.pixels("B", "train"), 9, STREAM).make(0)
    x = normalise(batch, bench.mean("B"), tiny.pictures)
    assert torch.isfinite(x).all() and x.abs().max() < 3


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("share", [0.4, 0])
def test_on_cuda_the_same_parts_but_for_a_grey_level(folder: Path, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torchvision resizes in floating point instead of whole numbers."""
    monkeypatch.setattr(stream_module, "MEMORY_SHARE", share)
    here, there = (Stream(source(folder, recipe(), torch.device(name)), 9, STREAM) for name in ("cpu", "cuda"))
    for t in range(4):
        one, other = here.batch(t), there.batch(t)
        assert torch.equal(one.labels, other.labels.cpu())
        assert (one.pixels.int() - other.pixels.cpu().int()).abs().max() <= 1
