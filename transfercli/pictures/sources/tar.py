"""What a tar file holds, and where in it: nothing is unpacked, so no path in it leads anywhere."""

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from transfercli.pictures.sources import index
from transfercli.system.errors import TransferError

BLOCK = 512


class Member(NamedTuple):
    """A plain file in a tar file: its path there, where its bytes begin, and how many they are."""

    name: str
    start: int
    length: int


def members(path: Path) -> list[Member]:
    """The plain files of a tar file in their order, those of tar files in it too: `<inner>/<file>` for a file of inner.tar.

    Folders and hidden files are passed over. What a list of a large file says is kept for the next time.
    Raises TransferError for a damaged or compressed file, a link, and a path that leads outward; and OSError.
    """
    return [Member(*row) for row in index.kept(path, "tar", Member.__annotations__, lambda: list(read(path)))]


def read(path: Path) -> Iterator[Member]:
    """The same, from the file."""
    with path.open("rb") as file:
        try:
            for member in _plain(file, path, 0, path.stat().st_size):
                if member.name.lower().endswith(".tar"):
                    inner = member.name[: -len(".tar")]
                    for one in _plain(file, path, member.start, member.start + member.length):
                        yield one._replace(name=f"{inner}/{one.name}")
                else:
                    yield member
        except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:  # of numbers that are none, or too large
            raise _damaged(path, str(error)) from None


def _plain(file: BinaryIO, path: Path, start: int, end: int) -> Iterator[Member]:
    file.seek(start)
    tar = tarfile.TarFile(str(path), fileobj=file, errors="surrogateescape")
    while (one := tar.next()) is not None:
        vars(tar)["members"].clear()  # which it would remember, a kilobyte each
        if one.size < 0:  # it would lead back
            raise _damaged(path, f"the size of {one.name} is negative")
        name = one.name.removeprefix("./")
        places = PurePosixPath(name).parts
        if one.isdir() or any(place.startswith(".") and place != ".." for place in places):
            continue
        if one.issym() or one.islnk():
            raise TransferError(f"{path}: {name} is a link. Pack the files themselves")
        if not one.isreg() or one.issparse():
            raise TransferError(f"{path}: {name} is no plain file. Pack plain files alone")
        if name.startswith("/") or ".." in places:
            raise TransferError(f"{path}: {name} leads out of the archive. Pack it with paths below one folder")
        if one.offset_data + one.size > end:
            raise _damaged(path, "it is cut short")
        yield Member(name, one.offset_data, one.size)
    # tarfile takes whatever it cannot read for the end: that is a block of zeros.
    file.seek(tar.offset)
    if tar.offset + BLOCK > end or file.read(BLOCK).strip(b"\0"):
        raise _damaged(path, "it is cut short, or damaged in the middle")


def _damaged(path: Path, reason: str) -> TransferError:
    return TransferError(
        f"{path} is no sound tar file ({reason.rstrip('.')}). Fetch it again; a compressed one is to be unpacked"
    )
