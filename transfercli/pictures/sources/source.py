"""What every source of pictures is: classes, a listing, encoded pictures to read, pixels to train on.

A picture goes by its *canonical path*, the one that it has where train/ and val/ have a folder for each class
(``train/<class>/<file>``), however it really lies: so the digest of a split, the order of its pictures and the pictures held
out do not depend on the layout, and the same pictures in two layouts give the same study.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from transfercli.recipe.schema import Pictures
from transfercli.system.errors import TransferError
from transfercli.system.progress import Counting

if TYPE_CHECKING:
    from torch import Tensor

    from transfercli.pictures.decode import Encoded, Place, Put

# What torchvision's ImageFolder takes, and GIF; decode.py reads them all.
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")

Part = dict[str, tuple[str, ...]]  # class -> canonical paths, sorted


class Source:
    """Where pictures lie, and how they come from there. Each kind has a file of its own, and `find` chooses among them.

    ``train`` and ``val`` have the same keys, the names of the classes, sorted; a value holds the class's pictures, at least one,
    sorted. ``validation`` is what the validation pictures' part is called, None where there is none of its own: then ``val``
    has no picture for any class, and paths begin with the class.
    """

    root: Path  # as the user named it
    train: Part
    val: Part
    validation: str | None = "val"
    called: str = ""  # the name of a set, with its place, where it is no path that leads to it
    found: str = ""  # what lies there, in words, where that is not folders of classes
    alone: str = "training pictures alone"  # what lies there, where there is no validation part
    passed_over: tuple[str, ...] = ()  # what could be the validation pictures, were it not for those that are
    folders: tuple[Path, ...] = ()  # all that lies there is taken for a class or a picture
    mark: str = ""  # in the digest, where the pixels are not quite those of the files
    unreadable: Mapping[str, str] | None = None  # pictures without pixels and why; None where nobody has looked

    def size(self, path: str) -> int:
        """Bytes of an encoded picture. May raise OSError."""
        raise NotImplementedError

    def joinpath(self, path: str) -> "Encoded":
        """The encoded picture of a canonical path."""
        raise NotImplementedError

    def place_of(self, path: str) -> tuple[int, ...]:
        """By which pictures are sorted that are to be read soon: all alike where any order will do."""
        return ()

    @contextmanager
    def at_hand(self, aside: Path, counting: Counting) -> Iterator["Place"]:
        """Where each of these pictures is soon read, in any order: here, or in the file `aside`, which goes once all are read.

        After a failure it stays, for the next try. Raises TransferError where it cannot be written.
        """
        yield self

    @property
    def state(self) -> str:
        """Of the files, where `at_hand` writes them down: others have another. It is a part of that file's name."""
        return ""

    @property
    def aside_bytes(self) -> int:
        """How large the file will be that `at_hand` makes."""
        return 0

    def check(self, pictures: Pictures, paths: Sequence[str] = ()) -> None:
        """Raise TransferError unless these pictures can be had as the recipe takes them."""

    def verify(self) -> None:
        """Compare what lies there with its digests, where it has any. Raises TransferError."""

    def load(self, paths: Sequence[str], pictures: Pictures, workers: ThreadPoolExecutor, pinned: bool = False) -> "Tensor":
        """`each` of these pictures, in their order: uint8 (n, size, size, 3), RGB. `pinned`: in page-locked memory."""
        import torch

        made = torch.empty(len(paths), pictures.size, pictures.size, 3, dtype=torch.uint8, pin_memory=pinned)
        self.each(paths, pictures, workers, made.numpy().__setitem__)  # numpy's, which copies on the calling thread alone
        return made

    def each(self, paths: Sequence[str], pictures: Pictures, workers: ThreadPoolExecutor, put: "Put") -> None:
        """Give `put` each of these pictures as the recipe takes it, on the worker that read it.

        Raises TransferError for one that cannot be read, and could be when the split was made.
        """
        from transfercli.pictures.decode import Undecodable, decode_each

        order = sorted(range(len(paths)), key=lambda i: self.place_of(paths[i]))
        how = (pictures.size, pictures.fit, workers, lambda i, picture: put(order[i], picture))
        try:
            decode_each(self, [paths[i] for i in order], *how, pictures.orientation, pictures.interpolation)
        except Undecodable as error:
            raise TransferError(
                f"cannot decode {error.where} ({error.reason}), which could be decoded when the split was made; "
                "put it back as it was, and the same command goes on"
            ) from None


def unreachable(error: OSError) -> TransferError:
    if isinstance(error, PermissionError):
        return TransferError(f"permission denied: {error.filename}. Make it readable for this user")
    return TransferError(f"cannot read {error.filename}: {error.strerror}. Check the folder and its disk")
