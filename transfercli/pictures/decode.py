"""A picture file to a uint8 tensor, and the check for files that are no pictures.

JPEG is decoded by torchvision, which lets other Python threads run meanwhile; all else, and a JPEG that
torchvision refuses, by Pillow. For JPEG the two agree bit for bit, CMYK and YCCK as Adobe writes them
included. torchvision is not given PNG, GIF or WebP: a damaged PNG can crash the whole process in it, 16-bit
PNG comes as uint16 and an animation as four dimensions.

Colours are taken as they are stored, as Caffe took them: transparency is dropped, not blended; colour profiles
are ignored; of an animation the first picture counts; grey becomes three equal channels and 16-bit samples keep
their upper byte. Whether EXIF's orientation is honoured, the recipe says (a TIFF's always is, by Pillow itself).

Threads: decoding and torchvision's uint8 resizing (on CPUs with AVX2 or NEON) run on the calling thread alone.
"""

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import InterpolationMode, functional

from transfercli.pictures import exif
from transfercli.system.errors import TransferError
from transfercli.system.threads import pool

Fit = Literal["warp", "crop"]
Orientation = Literal["exif", "ignore"]
Interpolation = Literal["bilinear", "bicubic"]
Result = TypeVar("Result")
# Takes a picture's number among those asked for, and the picture: uint8 (size, size, 3), RGB, which may not be written to.
Put = Callable[[int, np.ndarray], None]

# The formats behind ENDINGS; not all of Pillow's, some of which start other programs (EPS).
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
Image.init()  # now: Pillow loads the rarer formats when first met, and two threads may then miss one

JPEG_START = b"\xff\xd8"
CHUNK = 64  # pictures per future: few enough to stop soon after Ctrl-C, enough that a future costs nothing
FEW = 4  # on a pool that serves batches: all its threads have their share of one

# Said once per picture; what it asks for (TorchCodec) is no dependency, and Pillow gives the same bits.
warnings.filterwarnings("ignore", "The image decoding and encoding capabilities of TorchVision", DeprecationWarning)
warnings.filterwarnings("ignore", category=UserWarning, module="PIL.TiffImagePlugin")  # what it thinks of damaged EXIF


class _Unreadable(Exception):
    """Why a file gave no picture, in a few words."""


class Undecodable(TransferError):
    """An encoded picture that nothing can read: where it lies, and the reason in a few words."""

    def __init__(self, where: object, reason: object):
        super().__init__(f"cannot decode {where}: {reason}. Replace or remove the file")
        self.where, self.reason = str(where), str(reason)


class Encoded(Protocol):
    """An encoded picture. A pathlib.Path is one; str() of it says where it lies."""

    def read_bytes(self) -> bytes: ...  # raises OSError


class Place(Protocol):
    """Where encoded pictures are found by their paths: a folder, as a pathlib.Path, or a source of pictures."""

    def joinpath(self, path: str, /) -> Encoded: ...


def decode(
    picture: str | Encoded,
    size: int,
    fit: Fit,
    orientation: Orientation = "ignore",
    interpolation: Interpolation = "bilinear",
) -> torch.Tensor:
    """A picture, by its path or encoded, as uint8 (3, size, size), RGB, 0-255; in memory its channels lie together.

    ``fit`` "warp" makes both sides ``size`` whatever the shape was, as the paper did; "crop" makes the
    shorter side ``size`` and takes the centre. Resizing is antialiased; a picture that has the size
    already comes through untouched. ``orientation`` "exif" turns it first as its EXIF tells; damaged EXIF
    tells nothing. Raises Undecodable when nothing can read it.
    """
    try:
        pixels = _read(picture, orientation)
    except _Unreadable as reason:
        raise Undecodable(picture, reason) from reason
    sides = [size, size] if fit == "warp" else [size]
    resized: torch.Tensor = functional.resize(pixels, sides, InterpolationMode(interpolation), antialias=True)
    return resized if fit == "warp" else functional.center_crop(resized, [size, size])


def decode_each(
    root: Place,
    paths: Sequence[str],
    size: int,
    fit: Fit,
    threads: int | ThreadPoolExecutor,
    put: Put,
    orientation: Orientation = "ignore",
    interpolation: Interpolation = "bilinear",
) -> None:
    """Give ``put`` each of these pictures, as soon as it is decoded, on the thread that decoded it.

    ``paths`` are relative to ``root``. Raises Undecodable for the first file that cannot be read.
    """

    def one(index: int) -> None:
        picture = decode(root.joinpath(paths[index]), size, fit, orientation, interpolation)
        put(index, picture.permute(1, 2, 0).numpy())

    for _ in _in_threads(one, len(paths), threads):
        pass


class Examined(NamedTuple):
    """A picture that can be decoded: a digest of its encoded bytes, and its sides in pixels as they are stored."""

    digest: bytes
    width: int
    height: int


def examine(
    root: Place, paths: Sequence[str], threads: int, progress: Callable[[int], None]
) -> Iterator[tuple[str, Examined | str]]:
    """Decode every picture: its path, and what it is or why it cannot be decoded, in the order of ``paths``.

    ``paths`` are relative to ``root``. ``progress`` is called on this thread with the number of pictures
    examined since its last call.
    """

    def one(index: int) -> tuple[str, Examined | str]:
        try:
            data = _bytes(root.joinpath(paths[index]))
            _, height, width = _pixels(data, "ignore").shape
        except _Unreadable as error:
            return paths[index], str(error)
        return paths[index], Examined(hashlib.blake2b(data, digest_size=16).digest(), width, height)

    for some in _in_threads(one, len(paths), threads):
        progress(len(some))
        yield from some


def _in_threads(work: Callable[[int], Result], count: int, threads: int | ThreadPoolExecutor) -> Iterator[list[Result]]:
    """``work(0)`` .. ``work(count - 1)`` on so many threads, or those of a pool; results in order, a chunk at a time."""
    size = FEW if isinstance(threads, ThreadPoolExecutor) else CHUNK

    def chunk(start: int) -> list[Result]:
        return [work(index) for index in range(start, min(start + size, count))]

    with nullcontext(threads) if isinstance(threads, ThreadPoolExecutor) else pool(threads) as workers:
        yield from workers.map(chunk, range(0, count, size))  # after an error, map() drops the chunks that wait


def _read(picture: str | Encoded, orientation: Orientation) -> torch.Tensor:
    """The whole picture: uint8 (3, height, width), RGB. Raises _Unreadable."""
    return _pixels(_bytes(picture), orientation)


def _bytes(picture: str | Encoded) -> bytes:
    """An encoded picture. Raises _Unreadable."""
    try:
        data = (Path(picture) if isinstance(picture, str) else picture).read_bytes()
    except OSError as error:
        raise _Unreadable((error.strerror or "cannot be read").lower()) from error
    if not data:
        raise _Unreadable("the file is empty")
    return data


def _pixels(data: bytes, orientation: Orientation) -> torch.Tensor:
    pixels, told = _with_torchvision(data) or _with_pillow(data)
    return exif.upright(pixels, told if orientation == "exif" else 1).permute(2, 0, 1)


def _with_torchvision(data: bytes) -> tuple[torch.Tensor, int] | None:
    """uint8 (height, width, 3), RGB, and its orientation; None where the file is no JPEG, or none that torchvision reads."""
    if not data.startswith(JPEG_START):
        return None
    try:
        encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        picture: torch.Tensor = decode_jpeg(encoded, mode=ImageReadMode.RGB)
        return picture.permute(1, 2, 0), exif.orientation(data)
    except RuntimeError:
        return None  # Pillow may know better, and says more clearly what is wrong


def _with_pillow(data: bytes) -> tuple[torch.Tensor, int]:
    """uint8 (height, width, 3), RGB, and its orientation. Raises _Unreadable."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.mode == "F":
                raise _Unreadable("floating-point samples")
            if image.mode.startswith("I"):  # 16-bit grey, which convert() would clip at 255
                samples = np.asarray(image)
                if samples.min() < 0 or samples.max() > 0xFFFF:
                    raise _Unreadable("32-bit samples")
                pixels = np.repeat((samples >> 8).astype(np.uint8)[..., None], 3, axis=2)
            else:
                image.info.pop("transparency", None)  # of a palette: convert() would warn that it drops it
                pixels = np.array(image.convert("RGB"))
            return torch.from_numpy(pixels), exif.orientation(data) if data.startswith(JPEG_START) else _told(image)
    except _Unreadable:
        raise
    except UnidentifiedImageError as error:
        raise _Unreadable("not a picture, or of an unknown format") from error
    except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
        raise _Unreadable(_why(error)) from error


def _told(image: Image.Image) -> int:
    """The orientation that a loaded picture has left: of a TIFF none, which Pillow turns as it loads."""
    try:
        return int(image.getexif().get(exif.ORIENTATION, 1))
    except Exception:  # whatever a damaged EXIF leads to; the picture itself is there
        return 1


def _why(error: Exception) -> str:
    """What Pillow says, in a few words."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return "the file is truncated" if "truncated" in text.lower() else text
