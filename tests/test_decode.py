"""Odd picture files come out with the right colours, and broken ones are named."""

import io
import os
import struct
import tempfile
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import unreadable
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torchvision.transforms import v2 as transforms

from transfercli.pictures import decode as decode_module
from transfercli.pictures import exif
from transfercli.pictures.decode import Fit, Interpolation, Orientation, Place, decode, decode_each
from transfercli.system.errors import TransferError

HEIGHT, WIDTH = 48, 64
pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")


def scene() -> np.ndarray:
    """A smooth picture whose corners differ, so that no flip, swap of colours or inversion goes unseen."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.stack([x * 4, y * 5, 255 - x * 2 - y * 2], axis=-1).astype(np.uint8)


SCENE = scene()
GREY = SCENE[..., 0]


def square(array: np.ndarray = SCENE) -> np.ndarray:
    return array[:, :HEIGHT]


def decode_many(root: Place, paths: list[str], size: int, *how: Any) -> torch.Tensor:
    """What `decode_each` gives, as one tensor: uint8 (n, 3, size, size). `how`: fit, threads, orientation, interpolation."""
    fit, threads, *others = how
    made = np.empty((len(paths), size, size, 3), np.uint8)
    decode_each(root, paths, size, fit, threads, made.__setitem__, *others)
    return torch.from_numpy(made).permute(0, 3, 1, 2)


def chw(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))


def untouched(path: Path) -> np.ndarray:
    """The picture of a square file (HEIGHT x HEIGHT) through decode(): (height, width, 3)."""
    picture = decode(path, HEIGHT, "warp")
    assert picture.dtype == torch.uint8
    assert picture.shape == (3, HEIGHT, HEIGHT)
    return picture.permute(1, 2, 0).numpy()


def off(picture: np.ndarray, expected: np.ndarray) -> float:
    """Mean difference in grey levels."""
    return float(np.abs(picture.astype(int) - expected.astype(int)).mean())


def png(rows: list[bytes], bits: int, colour_type: int) -> bytes:
    """A PNG such as Pillow does not write; each row of bytes opens with its filter."""
    header = struct.pack(">IIBBBBB", HEIGHT, HEIGHT, bits, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def encoded(array: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_whatever_the_ending_says(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.JPEG"
    path.write_bytes(encoded(square(), kind))
    assert np.array_equal(untouched(path), square())


def test_webp_and_gif(tmp_path: Path) -> None:
    (tmp_path / "a.webp").write_bytes(encoded(square(), "WEBP", lossless=True))
    assert np.array_equal(untouched(tmp_path / "a.webp"), square())
    (tmp_path / "a.gif").write_bytes(encoded(square(), "GIF"))
    assert off(untouched(tmp_path / "a.gif"), square()) < 8  # 256 colours


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_picture_of_an_animation(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    others = [Image.fromarray(255 - square())]
    path.write_bytes(encoded(square(), kind, save_all=True, append_images=others))
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 2
    assert off(untouched(path), square()) < 8


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(tmp_path: Path, progressive: bool) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(square(), "JPEG", quality=95, progressive=progressive))
    with Image.open(path) as image:
        assert np.array_equal(untouched(path), np.asarray(image))
    assert off(untouched(path), square()) < 2


def test_grey(tmp_path: Path) -> None:
    grey = np.repeat(square(GREY)[..., None], 3, axis=2)
    (tmp_path / "a.jpg").write_bytes(encoded(square(GREY), "JPEG", quality=95))
    assert off(untouched(tmp_path / "a.jpg"), grey) < 2
    (tmp_path / "a.png").write_bytes(encoded(square(GREY), "PNG"))
    assert np.array_equal(untouched(tmp_path / "a.png"), grey)
    (tmp_path / "a.png").write_bytes(encoded(square(GREY), "PNG", "1", dither=None))
    assert set(np.unique(untouched(tmp_path / "a.png"))) == {0, 255}


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    inks = np.dstack([255 - square(), np.full((HEIGHT, HEIGHT), 100, np.uint8)])
    buffer = io.BytesIO()
    Image.frombytes("CMYK", (HEIGHT, HEIGHT), inks.tobytes()).save(buffer, "JPEG", quality=100)
    path.write_bytes(buffer.getvalue())
    assert off(untouched(path), square() * (155 / 255)) < 2


def test_ycck_jpeg(tmp_path: Path) -> None:
    # As Photoshop writes it: inks inverted, CMY turned into YCC. Pillow cannot write that, but it can write
    # four planes (which it inverts, hence 255 -), and then the Adobe marker is told that they are YCCK.
    path = tmp_path / "a.jpg"
    ycc = np.asarray(Image.fromarray(255 - square()).convert("YCbCr"))
    planes = np.dstack([ycc, np.full((HEIGHT, HEIGHT), 155, np.uint8)])
    buffer = io.BytesIO()
    Image.frombytes("CMYK", (HEIGHT, HEIGHT), (255 - planes).tobytes()).save(buffer, "JPEG", quality=100)
    data = bytearray(buffer.getvalue())
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    path.write_bytes(data)
    assert off(untouched(path), square() * (155 / 255)) < 2


def test_transparency_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    alpha = square(np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256).astype(np.uint8)
    path.write_bytes(encoded(np.dstack([square(), alpha]), "PNG"))
    assert np.array_equal(untouched(path), square())
    path.write_bytes(encoded(np.dstack([square(GREY), alpha]), "PNG"))
    assert np.array_equal(untouched(path), np.repeat(square(GREY)[..., None], 3, axis=2))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("options", [{}, {"transparency": 0}, {"transparency": bytes(range(32))}])
def test_palette(tmp_path: Path, options: dict[str, object]) -> None:
    path = tmp_path / "a.png"
    palette = Image.fromarray(square()).quantize(32)
    palette.save(path, "PNG", **options)
    assert np.array_equal(untouched(path), np.asarray(palette.convert("RGB")))


def test_sixteen_bits_keep_the_upper_byte(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for colour_type, samples in ((2, square()), (0, square(GREY))):
        wide = (samples.astype(">u2") << 8 | 0xAB).astype(">u2")
        path.write_bytes(png([b"\0" + row.tobytes() for row in wide], 16, colour_type))
        expected = samples if samples.ndim == 3 else np.repeat(samples[..., None], 3, axis=2)
        assert np.array_equal(untouched(path), expected)


def told(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "a camera's maker"  # an entry before it, with its text elsewhere
    return exif


def test_exif_orientation_is_ignored_where_the_recipe_says_so(tmp_path: Path) -> None:
    plain, turned = tmp_path / "plain.jpg", tmp_path / "turned.jpg"
    plain.write_bytes(encoded(SCENE, "JPEG"))
    turned.write_bytes(encoded(SCENE, "JPEG", exif=told(6)))  # a quarter turn
    assert plain.read_bytes() != turned.read_bytes()
    assert torch.equal(decode(plain, 32, "crop"), decode(turned, 32, "crop"))
    assert torch.equal(decode(plain, 32, "crop"), decode(turned, 32, "crop", "ignore"))


@pytest.mark.parametrize("path", ["torchvision", "Pillow"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured_as_pillow_does(
    tmp_path: Path, kind: str, orientation: int, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path == "Pillow":
        monkeypatch.setattr(decode_module, "_with_torchvision", lambda data: None)
    turned, expected = tmp_path / "turned", tmp_path / "expected.png"
    turned.write_bytes(encoded(SCENE, kind, exif=told(orientation)))
    with Image.open(turned) as image:
        ImageOps.exif_transpose(image.convert("RGB")).save(expected)
    for size, fit in ((HEIGHT, "warp"), (31, "crop")):
        picture = decode(turned, size, fit, "exif")  # type: ignore[arg-type]
        assert torch.equal(picture, decode(expected, size, fit))  # type: ignore[arg-type]
        assert picture.stride(0) == 1  # channels lie together
    assert torch.equal(decode(turned, 31, "crop"), decode(expected, 31, "crop")) == (orientation == 1)


def test_a_tiff_is_turned_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(encoded(SCENE, "TIFF", exif=told(6)))
    for orientation in ("exif", "ignore"):  # Pillow turns it as it loads, and always did
        picture = decode(tmp_path / "a", WIDTH, "warp", orientation)  # type: ignore[arg-type]
        (tmp_path / "b").write_bytes(encoded(np.rot90(SCENE, -1), "PNG"))
        assert torch.equal(picture, decode(tmp_path / "b", WIDTH, "warp"))


def jpeg_with(*segments: tuple[bytes, bytes]) -> bytes:
    """A JPEG with further segments, (marker, content) each, before its own."""
    plain = encoded(SCENE, "JPEG")
    made = b"".join(b"\xff" + marker + struct.pack(">H", len(inside) + 2) + inside for marker, inside in segments)
    return plain[:2] + made + plain[2:]


def exif_of(order: str, tag: int = 0x0112, kind: int = 3, value: int = 6, count: int = 1, entries: int = 1) -> bytes:
    """An Exif segment's content with one entry, by hand."""
    number = {1: "Bxxx", 3: "Hxx", 4: "I"}.get(kind, "I")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return b"Exif\0\0" + head + struct.pack(f"{order}HHHI{number}", entries, tag, kind, count, value)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (jpeg_with((b"\xe1", exif_of("<"))), 6),
        (jpeg_with((b"\xe1", exif_of(">"))), 6),
        (jpeg_with((b"\xe1", exif_of(">", kind=4))), 6),
        (jpeg_with((b"\xe1", exif_of("<", kind=1))), 6),
        (jpeg_with((b"\xe0", b"JFIF\0"), (b"\xfe", b"a comment"), (b"\xe1", b"http://ns.adobe"), (b"\xe1", exif_of("<"))), 6),
        (jpeg_with((b"\xe1", exif_of("<", value=0))), 1),
        (jpeg_with((b"\xe1", exif_of("<", value=9))), 1),
        (jpeg_with((b"\xe1", exif_of("<", kind=5))), 1),
        (jpeg_with((b"\xe1", exif_of("<", tag=0x0100))), 1),
        (jpeg_with((b"\xe1", exif_of("<", tag=0x0100, entries=65535))), 1),
        (jpeg_with((b"\xe1", exif_of("<")[:-5])), 1),
        (jpeg_with((b"\xe1", b"Exif\0\0")), 1),
        (jpeg_with((b"\xe1", exif_of("<").replace(b"\x08\0\0\0", b"\xff\xff\xff\xff"))), 1),
        (jpeg_with(), 1),
        (b"\xff\xd8\xff", 1),
        (b"", 1),
    ],
)
def test_orientations_and_what_tells_none(data: bytes, expected: int) -> None:
    assert exif.orientation(data) == expected


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_exif_never_refuses_a_picture(data: st.DataObject) -> None:
    whole = bytearray(jpeg_with((b"\xe1", exif_of(data.draw(st.sampled_from("<>"))))))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(12, 33))] = data.draw(st.integers(0, 255))  # within the segment: its length stays
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(whole)
        assert decode(path, 16, "warp", "exif").shape == (3, 16, 16)
        assert exif.orientation(bytes(whole)) in range(1, 9)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_have_an_orientation(data: bytes) -> None:
    for jpeg in (data, b"\xff\xd8" + data, jpeg_with((b"\xe1", b"Exif\0\0" + data))):
        assert exif.orientation(jpeg) in range(1, 9)


def test_a_picture_of_the_size_is_untouched(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, HEIGHT, 3), dtype=np.uint8)
    path.write_bytes(encoded(noise, "PNG"))
    for fit in ("warp", "crop"):
        assert torch.equal(decode(path, HEIGHT, fit), chw(noise))


def test_warp_and_crop(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(SCENE, "PNG"))
    side = HEIGHT // 2
    # A gradient stays one, so far from the edges the value at a place is known.
    at = np.arange(2, side - 2)
    warp = decode(path, side, "warp")[:, 2:-2, 2:-2].numpy().astype(float)
    assert np.abs(warp[0] - ((at + 0.5) * WIDTH / side - 0.5)[None] * 4).max() <= 1
    assert np.abs(warp[1] - ((at + 0.5) * 2 - 0.5)[:, None] * 5).max() <= 1
    crop = decode(path, side, "crop")[:, 2:-2, 2:-2].numpy().astype(float)
    left = (WIDTH - HEIGHT) / 2
    assert np.abs(crop[0] - ((at + 0.5) * 2 - 0.5 + left)[None] * 4).max() <= 1
    assert np.abs(crop[1] - warp[1]).max() <= 1
    # The longer side alone need not be cut where the shorter one has the size.
    assert torch.equal(decode(path, HEIGHT, "crop"), chw(SCENE[:, 8 : 8 + HEIGHT]))


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    lines = np.zeros((64, 64), np.uint8)
    lines[:, ::8] = 255  # where plain bilinear, which looks at two pixels in eight, sees nothing
    path.write_bytes(encoded(lines, "PNG"))
    assert decode(path, 8, "warp").min() > 10


def damaged() -> dict[str, tuple[bytes, str]]:
    """File name -> contents, reason."""
    jpeg = encoded(SCENE, "JPEG", quality=95)
    whole = encoded(SCENE, "PNG")
    # There is no filter 0x63. torchvision's own PNG decoder crashes here, and takes the process with it.
    bad_filter = png([b"\x63" + row.tobytes() for row in square()], 8, 2)
    return {
        "end.jpg": (jpeg[:-100], "the file is truncated"),
        "head.jpg": (jpeg[:200], "the file is truncated"),
        "half.png": (whole[: len(whole) // 2], "the file is truncated"),
        "filter.png": (bad_filter, "unrecognized data stream contents when reading image file"),
        "empty.jpg": (b"", "the file is empty"),
        "text.jpg": (b"<html>404</html>", "not a picture, or of an unknown format"),
        "float.tif": (encoded(GREY.astype(np.float32), "TIFF"), "floating-point samples"),
        "int.tif": (encoded(GREY.astype(np.int32) << 16, "TIFF"), "32-bit samples"),
    }


@pytest.mark.parametrize("name", damaged())
def test_damaged_files(tmp_path: Path, name: str) -> None:
    data, reason = damaged()[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(TransferError) as caught:
        decode(path, 32, "warp")
    assert str(caught.value) == f"cannot decode {path}: {reason}. Replace or remove the file"
    assert unreadable(tmp_path, [name], 1, lambda _: None) == {name: reason}


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    reasons = {"gone.jpg": "no such file or directory", "folder.jpg": "is a directory"}
    assert unreadable(tmp_path, list(reasons), 1, lambda _: None) == reasons


@pytest.fixture
def many(tmp_path: Path) -> list[str]:
    """More pictures than two chunks, each of one grey level: picture i is i, of 5 x (i % 7 + 1) pixels."""
    paths = []
    for i in range(2 * decode_module.CHUNK + 9):
        paths.append(f"{i:03d}.png")
        (tmp_path / paths[-1]).write_bytes(encoded(np.full((5, i % 7 + 1), i, np.uint8), "PNG"))
    return paths


@pytest.mark.parametrize("threads", [1, 3])
def test_unreadable(tmp_path: Path, many: list[str], threads: int) -> None:
    bad = [many[-1], many[3], many[decode_module.CHUNK]]
    for path in bad:
        (tmp_path / path).write_bytes(b"")
    steps: list[int] = []
    paths = many[::-1]
    found = unreadable(tmp_path, paths, threads, steps.append)
    assert list(found) == [path for path in paths if path in bad]
    assert set(found.values()) == {"the file is empty"}
    assert sum(steps) == len(paths)
    assert max(steps) == decode_module.CHUNK
    assert unreadable(tmp_path, [], threads, steps.append) == {}


@pytest.mark.parametrize("fit", ["warp", "crop"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pictures_are_resized_as_torchvision_does_it(tmp_path: Path, fit: Fit, interpolation: Interpolation) -> None:
    path, picture = tmp_path / "a.png", np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path.write_bytes(encoded(picture, "png"))
    sides = {"warp": (20, 20), "crop": 20}[fit]
    resize = transforms.Resize(sides, transforms.InterpolationMode(interpolation))
    expected = transforms.CenterCrop(20)(resize(chw(picture)))
    assert torch.equal(decode(path, 20, fit, "ignore", interpolation), expected)
    assert torch.equal(decode_many(tmp_path, ["a.png"], 20, fit, 1, "ignore", interpolation)[0], expected)


@pytest.mark.parametrize("fit", ["warp", "crop"])
@pytest.mark.parametrize("threads", [1, 3])
def test_each_picture_is_put_at_its_number(tmp_path: Path, many: list[str], threads: int, fit: Fit) -> None:
    pictures = decode_many(tmp_path, many, 4, fit, threads)
    assert torch.equal(pictures, torch.arange(len(many), dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4))
    assert decode_many(tmp_path, [], 4, fit, threads).shape == (0, 3, 4, 4)  # nothing is put, nothing fails


def test_decode_each_gives_what_decode_gives(tmp_path: Path) -> None:
    names = ["a.jpg", "b.png"]
    (tmp_path / "a.jpg").write_bytes(encoded(SCENE, "JPEG"))
    (tmp_path / "b.png").write_bytes(encoded(255 - SCENE, "PNG"))
    expected = torch.stack([decode(tmp_path / name, 32, "crop") for name in names])
    assert torch.equal(decode_many(tmp_path, names, 32, "crop", 2), expected)


def test_decode_each_names_the_first_bad_file_and_stops(tmp_path: Path, many: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (many[70], many[5]):
        (tmp_path / path).write_bytes(b"")
    read: list[object] = []
    real = decode_module._read

    def counted(path: str, orientation: Orientation) -> torch.Tensor:
        read.append(path)
        return real(path, orientation)

    monkeypatch.setattr(decode_module, "_read", counted)
    with pytest.raises(TransferError) as caught:
        decode_many(tmp_path, many[:10] + many[:10] * 300, 4, "warp", 1)
    assert str(caught.value) == (f"cannot decode {tmp_path / many[5]}: the file is empty. Replace or remove the file")
    assert len(read) < 300  # of 3010: those that waited were not begun


def test_threads_work_side_by_side_and_are_gone_afterwards(
    tmp_path: Path, many: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = threading.active_count(), torch.get_num_threads()
    met = threading.Barrier(3, timeout=20)  # breaks, and fails the test, unless three are at work at once
    real = decode_module._pixels
    seen: set[int] = set()

    def read(data: bytes, orientation: Orientation) -> torch.Tensor:
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            met.wait()
        return real(data, orientation)

    monkeypatch.setattr(decode_module, "_pixels", read)
    assert unreadable(tmp_path, many, 3, lambda _: None) == {}
    assert len(seen) == 3
    assert threading.get_ident() not in seen
    assert (threading.active_count(), torch.get_num_threads()) == before


def test_real_pictures(tmp_path: Path) -> None:
    """torchvision's and Pillow's decoders agree bit for bit, and their resizing to a grey level."""
    root = os.environ.get("TRANSFER_TEST_PICTURES")
    if not root:
        pytest.skip("TRANSFER_TEST_PICTURES names no folder of JPEG files")
    paths = sorted(path for path in Path(root).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[:40]
    assert paths, "TRANSFER_TEST_PICTURES has no .jpg or .jpeg file"
    for path in paths:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
        assert np.array_equal(decode_module._read(path, "ignore").permute(1, 2, 0).numpy(), np.asarray(rgb)), path
        small = np.asarray(rgb.resize((64, 64), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(decode(path, 64, "warp").permute(1, 2, 0).numpy() - small).max() <= 1, path
