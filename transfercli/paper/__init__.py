"""The 2014 study's facts, as its authors released them, and the few lines that read them.

Source: Yosinski, Clune, Bengio and Lipson, "How transferable are features in deep neural networks?",
NIPS 2014, https://arxiv.org/abs/1411.1792, and the authors' files, https://github.com/yosinski/convnet_transfer.

    ilsvrc2012_classes.csv      index,wnid,words,kind       the 1000 classes in the order of their WordNet ids
    ilsvrc2012_val_labels.txt   one class index a line      the 50,000 validation pictures, in order
    split_md5.csv               list,md5                    digests of the authors' picture lists
    published.csv               one network a line          top-1 and loss of every released training log

The files are read as package resources, so an installed wheel (or a zip) serves them too.
"""

import csv
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas


class ImageNetClass(NamedTuple):
    """One of the 1000 classes of ILSVRC2012; `kind` is "natural" (449 classes) or "man-made" (551)."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    wnid: str
    words: str
    kind: str


def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


@cache
def classes() -> tuple[ImageNetClass, ...]:
    """The 1000 classes, by index 0-999, which is also the order of their WordNet ids."""
    rows = csv.DictReader(_text("ilsvrc2012_classes.csv").splitlines())
    return tuple(ImageNetClass(int(row["index"]), row["wnid"], row["words"], row["kind"]) for row in rows)


@cache
def _words() -> dict[str, str]:
    return {one.wnid: one.words.partition(",")[0] for one in classes()}


def called(name: str) -> str:
    """A class's name for the reader: ImageNet's with the first word for it, "tench (n01440764)"; any other as it is."""
    return f"{_words()[name]} ({name})" if name in _words() else name


@cache
def validation_labels() -> tuple[int, ...]:
    """True class indices (0-999) of the 50,000 validation pictures, ILSVRC2012_val_00000001.JPEG first."""
    return tuple(map(int, _text("ilsvrc2012_val_labels.txt").split()))


def validation_list(half: Sequence[int]) -> str:
    """The validation list of a half as the authors' files have it: one "<file name> <new label>" a line.

    half: class indices (0-999) in label order: the first gets label 0. Pictures of other classes are
    left out; the rest keep the order of the validation set. The md5 of this text is in `split_md5()`.
    """
    labels = {index: label for label, index in enumerate(half)}
    return "".join(
        f"ILSVRC2012_val_{picture:08d}.JPEG {labels[index]}\n"
        for picture, index in enumerate(validation_labels(), start=1)
        if index in labels
    )


def split_md5() -> dict[str, str]:
    """md5 of each picture list of the authors, e.g. "half0B_valid/files.txt" (seed 0, half B, validation)."""
    return {row["list"]: row["md5"] for row in csv.DictReader(_text("split_md5.csv").splitlines())}


def published() -> "pandas.DataFrame":
    """The released results, one row per network, columns as in the file.

    `split` is "random" (with `seed` 0-3), "man-made-natural", "all-1000" or "reduced-<pictures per class>";
    `source` and `target` are "A", "B", "natural", "man-made", "all" or "random", and `source` is "" for a
    base network. Top-1 are fractions, `loss_final` is in nats. `seed` is a nullable integer.
    """
    import pandas

    with files(__name__).joinpath("published.csv").open(encoding="utf-8") as file:
        return pandas.read_csv(file, dtype={"seed": "Int64"}, keep_default_na=False, na_values={"seed": [""]})
