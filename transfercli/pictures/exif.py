"""Which way up a photograph is. A phone stores the pixels as its sensor lay, and says in EXIF how they are to be turned."""

from typing import Any

ORIENTATION = 0x0112  # the tag; 1 is upright, 2-8 are turned or mirrored
_SIZES = {1: 1, 3: 2, 4: 4}  # bytes of a TIFF number by its type; cameras write a short
# For each orientation: whether rows and columns change places, and which of (height, width) then run the other way.
_TURNS: dict[int, tuple[bool, tuple[int, ...]]] = {
    2: (False, (1,)),
    3: (False, (0, 1)),
    4: (False, (0,)),
    5: (True, ()),
    6: (True, (1,)),
    7: (True, (0, 1)),
    8: (True, (0,)),
}


def orientation(jpeg: bytes) -> int:
    """The orientation 1-8 that a JPEG file's EXIF tells; 1 where it has none, or a damaged one. Never raises.

    Only the segments before the picture itself are looked at, by their lengths.
    """
    place = 2
    while jpeg[place : place + 1] == b"\xff":
        marker, length = jpeg[place + 1 : place + 2], int.from_bytes(jpeg[place + 2 : place + 4], "big")
        if marker == b"\xe1" and jpeg[place + 4 : place + 10] == b"Exif\0\0":
            return _of_tiff(jpeg[place + 10 : place + 2 + length])
        if not (b"\xe0" <= marker <= b"\xef" or marker == b"\xfe") or length < 2:  # neither an application's data nor a comment
            break
        place += 2 + length
    return 1


def _of_tiff(tiff: bytes) -> int:
    """The orientation in the first directory of EXIF's TIFF structure."""
    big = tiff[:2] == b"MM"

    def number(place: int, size: int) -> int:
        return int.from_bytes(tiff[place : place + size], "big" if big else "little")

    first = number(4, 4) + 2
    for place in range(first, min(first + 12 * number(first - 2, 2), len(tiff) - 11), 12):
        if number(place, 2) == ORIENTATION:
            value = number(place + 8, _SIZES.get(number(place + 2, 2), 0))
            return value if value in _TURNS else 1
    return 1


def upright(pixels: Any, told: int) -> Any:
    """A tensor (height, width, …) turned as an orientation tells, its memory in the new order; any but 2-8 change nothing."""
    if told not in _TURNS:
        return pixels
    swapped, reversed_ = _TURNS[told]
    return (pixels.transpose(0, 1) if swapped else pixels).flip(reversed_).contiguous()
