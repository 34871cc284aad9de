"""Sets by name: ``torchvision:CIFAR10``, or ``torchvision:CIFAR10@ROOT``, as torchvision's own classes find them below a root.

Where pictures are files, a set becomes a list of them, and is read as any folder is. Sets of arrays are read by torchvision's
class, after every file's md5 has been compared with the published one: CIFAR's are pickles, which may carry any code. What is
labelled and no test is trained on, as is usual where a set has a part to choose settings by; networks are measured on the test.
"""

import gzip
import hashlib
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from transfercli.pictures.sources import folders, index, labels
from transfercli.pictures.sources.folders import Folders
from transfercli.pictures.sources.listed import Found, Links, Listed
from transfercli.pictures.sources.source import Source
from transfercli.system.downloads import STALLED, unreachable
from transfercli.system.errors import Contradiction, TransferError, plain

if TYPE_CHECKING:
    import numpy as np

PREFIX = "torchvision:"
ROOT = "TORCHVISION_DATA"  # the environment's word for the root where sets lie

Asked = Mapping[str, Sequence[Mapping[str, Any]]]  # "train" and "val" -> how torchvision's class is asked for each of its parts


def _asked(key: str, train: Sequence[object], test: object) -> Asked:
    return {"train": [{key: part} for part in train], "val": [{key: test}]}


WHOLE: Asked = {"train": [{}]}  # a share of each class is held out
HALVED = _asked("split", ["train"], "test")
THIRDS = _asked("split", ["train", "val"], "test")
FOR_TRAINING = _asked("split", ["trainval"], "test")
BOOLEAN = _asked("train", [True], False)


def _listed(of: Any) -> list[tuple[str, str]]:
    meta = [(of.meta["filename"], of.meta["md5"])] if hasattr(of, "meta") else []
    return [(f"{of.base_folder}/{name}", md5) for name, md5 in (*of.train_list, *of.test_list, *meta)]


def _compressed(of: Any) -> list[tuple[str, str]]:
    return [(f"{of.__name__}/raw/{name}", md5) for name, md5 in of.resources]


class Set(NamedTuple):
    """How torchvision's class of a set is asked, and what is taken of it."""

    lies: str  # below the root: what must be there
    url: str | Callable[[Any], str]  # of its class; empty where it can no longer be fetched
    parts: Asked = HALVED
    pictures: str = "_image_files"  # its attribute: paths, paths with labels, or pixels; empty where folders of classes are read
    labels: str = "_labels"
    hashed: Callable[[Any], list[tuple[str, str]]] = lambda of: []  # files that are read once their md5 is the published one
    scipy: bool = False  # whether its lists or pixels are MATLAB's
    no_class: str = ""  # a folder that is none


MNISTS = Set("MNIST/raw", lambda of: of.mirrors[0], BOOLEAN, "data", "targets", _compressed)
SETS = {
    "CIFAR10": Set("cifar-10-batches-py", lambda of: of.url, BOOLEAN, "data", "targets", _listed),
    "CIFAR100": Set("cifar-100-python", lambda of: of.url, BOOLEAN, "data", "targets", _listed),
    "MNIST": MNISTS,
    "FashionMNIST": MNISTS._replace(lies="FashionMNIST/raw"),
    "KMNIST": MNISTS._replace(lies="KMNIST/raw"),
    "STL10": Set("stl10_binary", lambda of: of.url, HALVED, "data", "labels", _listed),
    "SVHN": Set(
        *("train_32x32.mat", "http://ufldl.stanford.edu/housenumbers/", HALVED, "data", "labels"),
        hashed=lambda of: [tuple(of.split_list[part][1:]) for part in ("train", "test")],
        scipy=True,
    ),
    "Flowers102": Set(
        *("flowers-102/jpg", lambda of: of._download_url_prefix, THIRDS),
        hashed=lambda of: [(f"flowers-102/{name}", md5) for name, md5 in (of._file_dict["label"], of._file_dict["setid"])],
        scipy=True,
    ),
    "DTD": Set("dtd/dtd", lambda of: of._URL, THIRDS),
    "OxfordIIITPet": Set("oxford-iiit-pet/images", "https://www.robots.ox.ac.uk/~vgg/data/pets/", FOR_TRAINING, "_images"),
    "FGVCAircraft": Set("fgvc-aircraft-2013b", lambda of: of._URL, FOR_TRAINING),
    "Food101": Set("food-101/images", lambda of: of._URL),
    "GTSRB": Set("gtsrb/GTSRB", "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/", HALVED, "_samples", ""),
    "StanfordCars": Set("stanford_cars/devkit", "", HALVED, "_samples", "", scipy=True),
    "Country211": Set("country211", lambda of: of._URL, _asked("split", ["train", "valid"], "test"), "samples", ""),
    "SUN397": Set("SUN397", lambda of: of._DATASET_URL, WHOLE),
    "Imagenette": Set("imagenette2", lambda of: of._ARCHIVES["full"][0], WHOLE, ""),
    "EuroSAT": Set("eurosat/2750", "https://huggingface.co/datasets/torchgeo/eurosat", WHOLE, ""),
    "Caltech101": Set(
        *("caltech101/101_ObjectCategories", "https://data.caltech.edu/records/20086", WHOLE, ""),
        no_class="BACKGROUND_Google",
    ),
    "Caltech256": Set(
        *("caltech256/256_ObjectCategories", "https://data.caltech.edu/records/20087", WHOLE, ""), no_class="257.clutter"
    ),
}


class Pixmap(NamedTuple):
    """A picture of an array, as a PPM or PGM file: the same bytes on every machine, of one length whatever is on it."""

    name: str
    pixels: "np.ndarray"  # uint8 (height, width, 3) RGB, or (height, width) of greys

    @property
    def header(self) -> bytes:
        height, width, *colours = self.pixels.shape
        return b"P%d\n%d %d\n255\n" % (6 if colours else 5, width, height)

    def read_bytes(self) -> bytes:
        return self.header + self.pixels.tobytes()

    def __str__(self) -> str:
        return self.name


class Arrays(Listed):
    """Pictures of arrays, called by their number in their part."""

    def __init__(self, called: str, pictures: Sequence[Found], pixels: "Sequence[np.ndarray]"):
        super().__init__(Path(called), pictures, "")
        self.pixels = pixels

    def size(self, path: str) -> int:
        picture = self.joinpath(path)
        return len(picture.header) + picture.pixels.nbytes

    def joinpath(self, path: str) -> Pixmap:
        return Pixmap(f"{path} of {self.root}", self.pixels[self.number[path]])


def is_named(place: str | Path) -> bool:
    """Whether this is the name of a set, and no folder."""
    return str(place).startswith(PREFIX)


def read(place: Path) -> Source:
    """The pictures of a set. Raises TransferError where it is not there, is another one or cannot be read; and OSError."""
    name, root = _parsed(place)
    _check(name, root)
    source = _of_class(name, root) if SETS[name].pictures else _of_folders(name, root)
    source.found, source.called = f"torchvision's {name}", f"{PREFIX}{name}@{root}"
    source.folders = (root / SETS[name].lies,)
    return source


def fetch(place: str | Path) -> Path:
    """Fetch a set of that name into its root by torchvision, unless it lies there whole. Returns the root.

    Raises TransferError, at once where there is no network.
    """
    if not is_named(place):
        raise Contradiction(f"--download fetches a set by its name, such as {PREFIX}CIFAR10; name one as DIR, or leave it out")
    name, root = _parsed(Path(place))
    of, one = _class(name), SETS[name]
    try:
        _check(name, root)
        return root
    except TransferError:  # torchvision mends what it can
        url = one.url(of) if callable(one.url) else one.url
    remedy = f"fetch {url} where there is a network, and unpack it so that {root / one.lies} is there"
    if not url:
        raise TransferError(f"{name} can no longer be fetched by torchvision; put it where {root / one.lies} is its folder")
    archive, parents = urlsplit(url).path.rpartition("/")[2], (root, *(root / one.lies).parents)
    fetched = any((parent / archive).is_file() for parent in parents if parent.is_relative_to(root))  # and only to be unpacked
    if not fetched and (reason := unreachable(url)):
        raise TransferError(f"no {name} in {root}, and {urlsplit(url).hostname} {reason}; {remedy}")
    waits = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with redirect_stdout(sys.stderr):
            for how in (how for asked in one.parts.values() for how in asked):
                of(str(root), download=True, **how)
    except Exception as error:  # of torchvision, the network, the archive or the disk
        raise TransferError(f"cannot fetch {name} ({_why(error)}); run the command again, or {remedy}") from None
    finally:
        socket.setdefaulttimeout(waits)
    _check(name, root)
    return root


def _parsed(place: Path) -> tuple[str, Path]:
    """The name of a set, and the root below which it lies. Raises TransferError for a name that is not in the table."""
    name, _, root = str(place).removeprefix(PREFIX).partition("@")
    if name not in SETS:
        known = {one.lower(): one for one in SETS}
        near = [known[one] for one in get_close_matches(name.lower(), known, n=2)]
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise TransferError(f"no set {plain(name)!r} of torchvision is known here; {meant}There are {', '.join(sorted(SETS))}")
    usual = os.environ.get(ROOT) or index.cache("torchvision")
    return name, Path(root or usual).expanduser().resolve()


def _class(name: str) -> Any:
    """torchvision's class of a set, but for what nobody asks of it. Raises TransferError without SciPy where it needs that."""
    if SETS[name].scipy and find_spec("scipy") is None:
        raise TransferError(f"torchvision reads {name} with SciPy, which is not installed: pip install scipy")
    from torchvision import datasets

    of, other = getattr(datasets, name), {}
    if name == "STL10":
        other = {"train_list": of.train_list[:2]}  # without the 2.6 GB that have no labels
    elif issubclass(of, datasets.MNIST):
        other = {"_check_legacy_exist": lambda self: False}  # files of an old version, which have no published hash
    return type(name, (of,), other)


def _check(name: str, root: Path) -> None:
    """Raise TransferError unless the set is there, and what has a published md5 has that one."""
    hashed = SETS[name].hashed(_class(name))
    raw = {path: path.removesuffix(".gz") for path, _ in hashed}
    for path in (SETS[name].lies, *raw, *raw.values()):
        if not (root / path).exists():
            raise TransferError(
                f"no {name} in {root}: {path} is missing. Fetch it: --download, or put it there as torchvision unpacks it; "
                f"for another place say {PREFIX}{name}@ROOT, or set {ROOT}"
            )
    for path, md5 in hashed:
        with (root / path).open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != md5 or (raw[path] != path and gzip.decompress((root / path).read_bytes()) != (root / raw[path]).read_bytes()):
            why = f"{root / raw[path]} is not what is in it" if found == md5 else f"its md5 is {found}, not {md5}"
            raise TransferError(
                f"{root / path} is not the published file: {why}. Nothing of it was read; "
                f"remove {root / path.partition('/')[0]} and fetch it again: --download"
            )


def _of_folders(name: str, root: Path) -> Source:
    found, no_class = folders.read(root / SETS[name].lies), SETS[name].no_class
    train, val = ({of: files for of, files in part.items() if of != no_class} for part in (found.train, found.val))
    return Folders(found.root, train, val, found.validation)


def _of_class(name: str, root: Path) -> Source:
    """What torchvision's class holds: a list of files, or pixels."""
    of = _class(name)
    told: list[tuple[str, str, str]] = []  # part, label, path
    pixels: list[np.ndarray] = []
    try:
        for part, asked in SETS[name].parts.items():
            pictures = (one for how in asked for one in _labelled(of(str(root), **how), SETS[name]))
            for i, (picture, label) in enumerate(pictures):
                if isinstance(picture, (str, Path)):
                    told.append((part, label, Path(picture).relative_to(root).as_posix()))
                else:
                    told.append((part, label, f"{i:05}.{'ppm' if picture.ndim == 3 else 'pgm'}"))
                    pixels.append(picture)
    except Exception as error:  # whatever torchvision's class raises for a list that is damaged or lost
        raise TransferError(f"{name} in {root} cannot be read ({_why(error)}). Fetch it again: --download") from None
    found = labels.named(root, told)
    if pixels:
        return Arrays(f"{PREFIX}{name}", found, pixels)
    return Links(root, found, "")


def _labelled(of: Any, one: Set) -> Iterator[tuple[Any, str]]:
    """Pictures, each a path or its pixels (rows, columns, and colours if it has any), and their classes' names or numbers."""
    import numpy as np

    pictures = getattr(of, one.pictures)
    if one.pictures == "data":
        pictures = np.asarray(pictures)
        if pictures.ndim == 4 and pictures.shape[1] == 3:
            pictures = pictures.transpose(0, 2, 3, 1)
        pictures = np.ascontiguousarray(pictures)
    names = getattr(of, "classes", None)
    pairs = zip(pictures, getattr(of, one.labels), strict=True) if one.labels else pictures
    for picture, label in pairs:
        yield picture, names[int(label)] if names else str(int(label))


def _why(error: Exception) -> str:
    return plain(" ".join(f"{type(error).__name__}: {error}".split())[:200].rstrip("."))
