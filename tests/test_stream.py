"""The stream: which pictures a step sees, under which crops, and what becomes of them before the first layer."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CPU
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from transfercli.pictures import stream as stream_module
from transfercli.pictures.decode import Put
from transfercli.pictures.sources.source import Source
from transfercli.pictures.stream import AHEAD, Batch, Part, Pixels, Stream, centre, centre_crop, normalise
from transfercli.recipe.schema import Pictures
from transfercli.system.errors import TransferError

COUNT, SIZE = 16, 11
STREAM = (3, "random-0", "B")


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose pixels say where they are from: red is the picture's number, green the row, blue the column."""
    root = tmp_path_factory.mktemp("coded")
    row, column = np.mgrid[0:SIZE, 0:SIZE]
    for number in range(COUNT):
        pixels = np.stack([np.full_like(row, number), row, column], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{number:02d}.png")
    return root


def recipe(crop: int = 7, **values: Any) -> Pictures:
    return Pictures(size=SIZE, crop=crop, **values)


def source(root: Path, count: int = COUNT, pictures: Pictures | None = None) -> Pixels:
    part = Part(root, tuple(f"{n:02d}.png" for n in range(count)), tuple(n // 3 for n in range(count)))
    return Pixels(part, pictures or recipe(), CPU, 2)


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@given(count=st.integers(1, COUNT), size=st.integers(1, 20), epochs=st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_each_epoch_shows_each_picture_once_and_batches_straddle_epochs(coded: Path, count: int, size: int, epochs: int) -> None:
    """Seen from the pixels: batch after batch, cut into stretches of `count`, is one permutation after another."""
    made = Stream(source(coded, count), size, STREAM)
    batches = [made.make(t) for t in range(-(-epochs * count // size))]
    assert {batch.pixels.shape for batch in batches} == {(size, 3, 7, 7)}
    seen = torch.cat([batch.pixels[:, 0, 0, 0] for batch in batches]).long()
    assert torch.equal(torch.cat([batch.labels for batch in batches]), seen // 3)
    for epoch in range(epochs):
        assert sorted(seen[epoch * count : (epoch + 1) * count].tolist()) == list(range(count))


def test_epochs_have_different_orders(coded: Path) -> None:
    made = Stream(source(coded), COUNT, STREAM)
    orders = {tuple(made.make(epoch).pixels[:, 0, 0, 0].tolist()) for epoch in range(5)}
    assert len(orders) == 5
    assert tuple(range(COUNT)) not in orders


@given(asked=st.lists(st.integers(0, 30), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_a_batch_depends_on_its_step_alone(coded: Path, asked: list[int]) -> None:
    """Whatever was asked for before, in whatever order, and whether made ahead or not (promise 2)."""
    pictures = source(coded, 10)
    used = Stream(pictures, 4, STREAM)
    for t in asked:
        fresh = Stream(pictures, 4, STREAM).make(t)
        assert same(used.batch(t), fresh)
        assert same(used.make(t), fresh)


def test_batches_made_ahead_are_few(coded: Path) -> None:
    """A long study must not gather batches: at any time only the next few wait."""
    made = Stream(source(coded, 10), 4, STREAM)
    for t in [*range(12), *range(20, 200, 10), 3]:
        made.batch(t)
        assert len(made._ahead) <= 2 * AHEAD
        assert len(made._orders) <= 2 * AHEAD


def test_memory_of_batches_is_used_again_but_not_while_anybody_has_one(coded: Path) -> None:
    pictures = source(coded, 10)
    made = Stream(pictures, 4, STREAM)
    first, second = made.make(0), made.make(1)
    held, place, other = second.pixels[2], first.pixels.data_ptr(), second.pixels.data_ptr()
    as_it_was = held.clone()
    assert not pictures._free[tuple(first.pixels.permute(0, 2, 3, 1).shape)]
    del first, second
    assert [len(free) for free in pictures._free.values()] == [1], "the first batch's"
    later = [made.make(t) for t in range(2, 6)]
    places = {batch.pixels.data_ptr() for batch in later}
    assert place in places and other not in places and torch.equal(held, as_it_was)
    assert all(same(batch, Stream(source(coded, 10), 4, STREAM).make(t)) for t, batch in enumerate(later, 2))


def test_pictures_are_cut_alike_however_they_lie_in_memory(monkeypatch: pytest.MonkeyPatch, coded: Path) -> None:
    """Height, width, channels as a decoder gives them; or each channel for itself, as some resizing does."""

    def each(how: Callable[[np.ndarray], np.ndarray], augment: str) -> Batch:
        def decoded(self: Source, paths: Sequence[str], pictures: Pictures, workers: object, put: Put) -> None:
            for i, path in enumerate(paths):
                put(i, how(np.asarray(Image.open(coded / path))))

        monkeypatch.setattr("transfercli.pictures.sources.source.Source.each", decoded)
        pictures = source(coded, pictures=recipe(augment=augment))
        pictures.kept = None
        return Stream(pictures, COUNT, STREAM).make(0)

    for augment in ("crop", "random-resized-crop"):
        across = each(lambda picture: np.ascontiguousarray(picture.transpose(2, 0, 1)).transpose(1, 2, 0), augment)
        assert same(each(lambda picture: picture, augment), across)


def test_streams_differ_by_seed_split_and_half(coded: Path) -> None:
    pictures = source(coded)
    purposes = [(0, "random-0", "B"), (1, "random-0", "B"), (0, "random-1", "B"), (0, "random-0", "A")]
    first = [Stream(pictures, COUNT, purpose).make(0) for purpose in purposes]
    assert len({batch.pixels[:, 0, 0, 0].numpy().tobytes() for batch in first}) == 4
    assert len({batch.rows.numpy().tobytes() for batch in first}) == 4


@given(crop=st.integers(1, SIZE), mirror=st.booleans(), t=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_a_crop_is_a_window_of_its_picture_perhaps_mirrored(coded: Path, crop: int, mirror: bool, t: int) -> None:
    batch = Stream(source(coded, pictures=recipe(crop, mirror=mirror)), 12, STREAM).make(t)
    rows, columns = batch.pixels[:, 1].long(), batch.pixels[:, 2].long()  # what the pixels themselves say
    assert torch.equal(rows, batch.rows[:, :, None].expand(-1, -1, crop))
    assert torch.equal(columns, batch.columns[:, None, :].expand(-1, crop, -1))
    for down, across in zip(batch.rows.tolist(), batch.columns.tolist(), strict=True):
        assert down[0] >= 0 and down[-1] < SIZE
        assert down == list(range(down[0], down[0] + crop))
        left = min(across)
        assert left >= 0 and left + crop <= SIZE
        forwards = list(range(left, left + crop))
        assert across in ([forwards, forwards[::-1]] if mirror else [forwards])


def test_every_window_is_drawn_and_every_second_picture_mirrored(coded: Path) -> None:
    made = Stream(source(coded, pictures=recipe(crop=9)), 50, STREAM)
    batches = [made.make(t) for t in range(40)]
    top = torch.cat([batch.rows[:, 0] for batch in batches])
    columns = torch.cat([batch.columns for batch in batches])
    mirrored = columns[:, 0] > columns[:, -1]
    assert abs(mirrored.float().mean() - 0.5) < 0.05  # 2000 draws: 4.5 standard deviations
    windows = torch.stack([top, columns.min(1).values], 1)
    drawn, times = windows.unique(dim=0, return_counts=True)
    assert len(drawn) == 9  # 3 by 3, about 222 times each
    assert times.min() > 150


def caffe(picture: np.ndarray, mean: np.ndarray, h_off: int, w_off: int, crop: int, mirror: bool, scale: float) -> np.ndarray:
    """DataTransformer::Transform of Caffe (src/caffe/data_transformer.cpp), loop by loop; picture (3, height, width)."""
    out = np.zeros((3, crop, crop), np.float32)
    for c in range(3):
        for h in range(crop):
            for w in range(crop):
                top = crop - 1 - w if mirror else w
                out[c, h, top] = (np.float32(picture[c, h_off + h, w_off + w]) - mean[c, h_off + h, w_off + w]) * scale
    return out


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("fitted", ["in memory", "decoded on the fly"])
def test_pictures_become_what_caffe_makes_of_them(
    coded: Path, channels: str, fitted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean image is cropped and mirrored with its picture, in the order of the channels."""
    if fitted == "decoded on the fly":
        monkeypatch.setattr(stream_module, "MEMORY_SHARE", 0)
    pictures = recipe(mean="image", divide=4, channels=channels)
    mean = torch.rand(SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0)) * 255
    batch = Stream(source(coded, pictures=pictures), 12, STREAM).make(5)
    x = normalise(batch, mean, pictures)
    assert (x.dtype, x.shape) == (torch.float32, (12, 3, 7, 7))
    order = [0, 1, 2] if channels == "rgb" else [2, 1, 0]
    mirrored = 0
    for i in range(12):
        number, across = int(batch.pixels[i, 0, 0, 0]), batch.columns[i].tolist()
        stored = np.asarray(Image.open(coded / f"{number:02d}.png")).transpose(2, 0, 1)[order]
        mirror = across[0] > across[-1]
        mirrored += mirror
        expected = caffe(stored, mean.numpy().transpose(2, 0, 1)[order], int(batch.rows[i, 0]), min(across), 7, mirror, 0.25)
        np.testing.assert_array_equal(x[i].numpy(), expected)
    assert 0 < mirrored < 12


def test_normalise_subtracts_a_mean_for_each_channel_or_none(coded: Path) -> None:
    batch = Stream(source(coded), 5, STREAM).make(0)
    pixels = batch.pixels.float()
    mean = torch.tensor([1.0, 2.0, 3.0])
    assert torch.equal(normalise(batch, None, recipe()), pixels)
    assert torch.equal(normalise(batch, mean, recipe()), pixels - mean[:, None, None])
    bgr = normalise(batch, mean, recipe(channels="bgr", divide=2))
    assert torch.equal(bgr, (pixels - mean[:, None, None]).flip(1) / 2)
    assert batch.pixels.dtype == torch.uint8  # untouched: other networks subtract other means from it


@given(
    mean=st.just("none") | st.tuples(*[st.floats(0, 1, width=32)] * 3),
    std=st.tuples(*[st.floats(2**-7, 1, width=32)] * 3),
    channels=st.sampled_from(["rgb", "bgr"]),
)
@settings(max_examples=40, deadline=None)
def test_three_numbers_do_what_torchvision_does_with_them(coded: Path, mean: Any, std: Any, channels: str) -> None:
    """To the last bit, and red first whatever the order of the input's channels."""
    pictures = recipe(mean=mean, std=std, channels=channels)
    batch = Stream(source(coded), 5, STREAM).make(0)
    x = normalise(batch, None if mean == "none" else torch.tensor(mean), pictures)
    scaled = functional.to_dtype(batch.pixels, torch.float32, scale=True)
    theirs = functional.normalize(scaled, [0.0] * 3 if mean == "none" else mean, std)
    assert torch.equal(x, theirs if channels == "rgb" else theirs.flip(1))


def test_evaluation_takes_every_picture_once_in_the_centre(coded: Path) -> None:
    pictures = source(coded)
    chunks = centre(pictures, 5)
    assert [len(chunk) for chunk in chunks] == [5, 5, 5, 1]
    batches = [centre_crop(pictures, chunk) for chunk in chunks]
    assert torch.cat([batch.pixels[:, 0, 3, 3] for batch in batches]).tolist() == list(range(COUNT))
    assert torch.cat([batch.labels for batch in batches]).tolist() == [n // 3 for n in range(COUNT)]
    for batch in batches:
        assert batch.rows.unique(dim=0).tolist() == [list(range(2, 9))]
        assert batch.columns.unique(dim=0).tolist() == [list(range(2, 9))]
        assert (batch.pixels[:, 1] == batch.rows[:, :, None]).all()


def test_the_centre_of_an_odd_margin_is_caffes(tmp_path: Path) -> None:
    """256 - 227 leaves 29: Caffe's integer division puts 14 before and 15 behind."""
    Image.new("RGB", (256, 256)).save(tmp_path / "00.png")
    batch = centre_crop(source(tmp_path, 1, Pictures(size=256, crop=227)), torch.tensor([0]))
    assert (int(batch.rows[0, 0]), int(batch.columns[0, 0])) == (14, 14)


def test_pictures_decoded_on_the_fly_give_the_same_batches(coded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resident = source(coded)
    monkeypatch.setattr(stream_module, "MEMORY_SHARE", 0)
    fleeting = source(coded)
    assert resident.kept is not None and fleeting.kept is None
    one, other = (Stream(pictures, 6, STREAM) for pictures in (resident, fleeting))
    assert all(same(one.batch(t), other.batch(t)) for t in range(8))
    for index in centre(resident, 5):
        assert same(centre_crop(resident, index), centre_crop(fleeting, index))
    assert torch.equal(resident.mean_image(), fleeting.mean_image())


def test_pictures_stay_in_memory_only_while_they_fit(coded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = COUNT * SIZE * SIZE * 3
    for free, kept in ((needed / 0.4 + 9, True), (needed / 0.4 - 9, False)):
        monkeypatch.setattr(stream_module.memory, "free", lambda free=free: free)
        assert (source(coded).kept is not None) == kept


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, np.ndarray]]:
    """More pictures than the mean takes at a time."""
    root = tmp_path_factory.mktemp("many")
    pixels = np.random.default_rng(0).integers(0, 256, (519, 4, 4, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(root / f"{number:02d}.png")
    yield root, pixels


def test_mean_image_is_exact(many: tuple[Path, np.ndarray]) -> None:
    root, pixels = many
    mean = source(root, len(pixels), Pictures(size=4, crop=4)).mean_image()
    exact = pixels.astype(np.int64).sum(0).astype(np.float64) / len(pixels)
    assert (mean.shape, mean.dtype) == ((4, 4, 3), torch.float32)
    np.testing.assert_array_equal(mean.numpy(), exact.astype(np.float32))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
@pytest.mark.parametrize("share", [0.4, 0])
def test_batches_on_cuda_are_those_on_the_cpu(coded: Path, name: str, share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept on the device or brought there batch by batch, and by whichever name the device is called."""
    monkeypatch.setattr(stream_module, "MEMORY_SHARE", share)
    here = source(coded)
    there = Pixels(here.part, recipe(), torch.device(name), 2)
    assert there.kept is None if share == 0 else there.kept is not None and there.kept.device.type == "cuda"
    one, other = (Stream(pictures, 6, STREAM) for pictures in (here, there))
    for t in range(4):
        on_device = other.batch(t)
        assert {tensor.device.type for tensor in on_device} == {"cuda"}
        assert same(one.batch(t), Batch(*(tensor.cpu() for tensor in on_device)))
    assert torch.equal(here.mean_image(), there.mean_image())


def test_part_numbers_the_classes_of_a_half_from_0(tmp_path: Path) -> None:
    """Labels follow the half's order of classes, whatever other classes the folder has."""
    files = {"cat": ("train/cat/1",), "ant": ("train/ant/1", "train/ant/2"), "bee": ("train/bee/1",)}
    part = Part.of(tmp_path, files, ("ant", "cat"))
    assert part == Part(tmp_path, ("train/ant/1", "train/ant/2", "train/cat/1"), (0, 0, 1))


def test_a_picture_that_is_gone_stops_the_stream_with_its_name(coded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded ahead on another thread, yet the error arrives where the batch is asked for."""
    monkeypatch.setattr(stream_module, "MEMORY_SHARE", 0)
    part = Part(coded, ("00.png", "gone.png"), (0, 1))
    made = Stream(Pixels(part, recipe(), CPU, 1), 2, STREAM)
    path = os.path.join(coded, "gone.png")
    with pytest.raises(TransferError) as error:
        made.batch(0)
    assert str(error.value) == (
        f"cannot decode {path} (no such file or directory), which could be decoded when the split was made; "
        "put it back as it was, and the same command goes on"
    )


def test_pixels_are_channels_last_in_memory(coded: Path) -> None:
    pixels: Tensor = Stream(source(coded), 4, STREAM).make(0).pixels
    assert pixels.is_contiguous(memory_format=torch.channels_last)
