"""Sets by name: each as torchvision lays it out is read as it stands; no pickle is opened whose hash is not the published one."""

import gzip
import hashlib
import json
import pickle
import shutil
import struct
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import Said
from PIL import Image
from torchvision import datasets

from transfercli import Study, TransferError, fetch
from transfercli.pictures.decode import decode
from transfercli.pictures.folder import scan
from transfercli.pictures.sources import named
from transfercli.recipe.schema import Pictures
from transfercli.study.choosing import halve, halves_of, pictures_of, take

NAMES = ("ant", "bee", "cat", "dog")
TRAIN, TEST = 3, 2  # of a class
RANDOM = np.random.default_rng(0)
Patch = pytest.MonkeyPatch


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def pickled(path: Path, what: object) -> str:
    """Write a pickle; its md5."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(what))
    return md5(path)


def drawn(*paths: Path) -> None:
    """Pictures of noise, each another."""
    for i, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(8 + i % 5, 9 + i, 3)).save(path)


def labels(count: int) -> list[int]:
    return [i % len(NAMES) for i in range(count * len(NAMES))]


# -- each set as torchvision unpacks it: what makes it below a root, of four classes, each with three and two pictures


def cifar(root: Path, patch: Patch, name: str) -> None:
    of, fine = getattr(datasets, name), name == "CIFAR100"

    def batch(path: str, told: list[int]) -> str:
        pixels = noise(len(told), 3072)
        return pickled(root / of.base_folder / path, {"data": pixels, "fine_labels" if fine else "labels": told})

    train = labels(TRAIN)
    cut = len(train) // len(of.train_list) or 1
    ends = [(i * cut, (i + 1) * cut if i + 1 < len(of.train_list) else None) for i in range(len(of.train_list))]
    parts = [[path, batch(path, train[start:end])] for (path, _), (start, end) in zip(of.train_list, ends, strict=True)]
    patch.setattr(of, "train_list", parts)
    patch.setattr(of, "test_list", [[path, batch(path, labels(TEST))] for path, _ in of.test_list])
    meta = pickled(root / of.base_folder / of.meta["filename"], {of.meta["key"]: [*NAMES]})
    patch.setattr(of, "meta", {**of.meta, "md5": meta})


def mnist(root: Path, patch: Patch, name: str) -> None:
    of = getattr(datasets, name)
    resources = []
    for file, _ in of.resources:
        told = labels(TRAIN if file.startswith("train") else TEST)
        array = noise(len(told), 28, 28) if "images" in file else np.array(told, dtype=np.uint8)
        raw = root / name / "raw" / file.removesuffix(".gz")
        raw.parent.mkdir(parents=True, exist_ok=True)
        raw.write_bytes(struct.pack(f">I{array.ndim}I", 8 * 256 + array.ndim, *array.shape) + array.tobytes())
        with gzip.open(f"{raw}.gz", "wb") as out:
            out.write(raw.read_bytes())
        resources.append((file, md5(Path(f"{raw}.gz"))))
    patch.setattr(of, "resources", resources)
    patch.setattr(of, "classes", [*NAMES])


def stl10(root: Path, patch: Patch, name: str) -> None:
    base, of = root / "stl10_binary", datasets.STL10
    base.mkdir()
    (base / "class_names.txt").write_text("\n".join(NAMES))
    for files, count in ((of.train_list, TRAIN), (of.test_list, TEST)):
        told = labels(count)
        (base / files[0][0]).write_bytes(noise(len(told), 3, 96, 96).tobytes())
        (base / files[1][0]).write_bytes(bytes(label + 1 for label in told))
    unlabelled = datasets.STL10.train_list[2]  # which is not there
    patch.setattr(of, "train_list", [*([file, md5(base / file)] for file, _ in of.train_list[:2]), unlabelled])
    patch.setattr(of, "test_list", [[file, md5(base / file)] for file, _ in of.test_list])


def matlab(patch: Patch) -> None:
    """SciPy's reader of MATLAB's files, for files that are pickles."""
    io, scipy = ModuleType("scipy.io"), ModuleType("scipy")
    io.loadmat, scipy.io = lambda path, **_: pickle.loads(Path(path).read_bytes()), io  # type: ignore[attr-defined]
    scipy.__spec__ = ModuleSpec("scipy", None)
    patch.setitem(sys.modules, "scipy", scipy)
    patch.setitem(sys.modules, "scipy.io", io)


def svhn(root: Path, patch: Patch, name: str) -> None:
    matlab(patch)
    lists = {}
    for part, count in (("train", TRAIN), ("test", TEST)):
        url, file, _ = datasets.SVHN.split_list[part]
        told = np.array([[label or 10] for label in labels(count)])
        lists[part] = [url, file, pickled(root / file, {"X": noise(32, 32, 3, len(told)), "y": told})]
    patch.setattr(datasets.SVHN, "split_list", lists)


def flowers(root: Path, patch: Patch, name: str) -> None:
    matlab(patch)
    base, count = root / "flowers-102", len(NAMES) * (TRAIN + TEST)
    drawn(*(base / f"jpg/image_{i + 1:05}.jpg" for i in range(count)))
    ids = {"trnid": [1, 2, 3, 4], "valid": [*range(5, 13)], "tstid": [*range(13, count + 1)]}
    sets = {key: np.array(values) for key, values in ids.items()}
    files = {
        "label": ("imagelabels.mat", pickled(base / "imagelabels.mat", {"labels": np.array(labels(TRAIN + TEST)) + 1})),
        "setid": ("setid.mat", pickled(base / "setid.mat", sets)),
    }
    patch.setattr(datasets.Flowers102, "_file_dict", datasets.Flowers102._file_dict | files)
    patch.setattr(datasets.Flowers102, "classes", [*NAMES])


def numbered(count: int) -> list[tuple[str, str]]:
    """Class and file, in no order of the classes."""
    return [(name, f"{name}_{i}") for i in range(count) for name in NAMES]


def dtd(root: Path, patch: Patch, name: str) -> None:
    every = numbered(TRAIN + TEST)
    drawn(*(root / f"dtd/dtd/images/{of}/{file}.jpg" for of, file in every))
    for part, lines in (("train", every[:4]), ("val", every[4:12]), ("test", every[12:])):
        path = root / f"dtd/dtd/labels/{part}1.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{of}/{file}.jpg\n" for of, file in lines))


def pets(root: Path, patch: Patch, name: str) -> None:
    every = numbered(TRAIN + TEST)
    drawn(*(root / f"oxford-iiit-pet/images/{file}.jpg" for _, file in every))
    for part, lines in (("trainval", every[:12]), ("test", every[12:])):
        path = root / f"oxford-iiit-pet/annotations/{part}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{file} {NAMES.index(of) + 1} 1 1\n" for of, file in lines))


def aircraft(root: Path, patch: Patch, name: str) -> None:
    data, every = root / "fgvc-aircraft-2013b/data", numbered(TRAIN + TEST)
    drawn(*(data / f"images/{file}.jpg" for _, file in every))
    (data / "variants.txt").write_text("\n".join(NAMES))
    for part, lines in (("trainval", every[:12]), ("test", every[12:])):
        (data / f"images_variant_{part}.txt").write_text("".join(f"{file} {of}\n" for of, file in lines))


def food(root: Path, patch: Patch, name: str) -> None:
    every = numbered(TRAIN + TEST)
    drawn(*(root / f"food-101/images/{of}/{file}.jpg" for of, file in every))
    (root / "food-101/meta").mkdir()
    for part, lines in (("train", every[:12]), ("test", every[12:])):
        told = {of: [f"{of}/{file}" for other, file in lines if other == of] for of in NAMES}
        (root / f"food-101/meta/{part}.json").write_text(json.dumps(told))


def signs(root: Path, patch: Patch, name: str) -> None:
    base, told = root / "gtsrb", labels(TEST)
    drawn(*(base / f"GTSRB/Training/{of:05}/{i:05}.ppm" for of in range(4) for i in range(TRAIN)))
    drawn(*(base / f"GTSRB/Final_Test/Images/{i:05}.ppm" for i in range(len(told))))
    lines = [f"{i:05}.ppm;9;{label}\n" for i, label in enumerate(told)]
    (base / "GT-final_test.csv").write_text("Filename;Width;ClassId\n" + "".join(lines))


def cars(root: Path, patch: Patch, name: str) -> None:
    matlab(patch)
    base = root / "stanford_cars"
    pickled(base / "devkit/cars_meta.mat", {"class_names": np.array(NAMES)})
    for part, annotations, count in (
        ("train", "devkit/cars_train_annos.mat", TRAIN),
        ("test", "cars_test_annos_withlabels.mat", TEST),
    ):
        told = [{"fname": f"{i:05}.jpg", "class": label + 1} for i, label in enumerate(labels(count))]
        pickled(base / annotations, {"annotations": told})
        drawn(*(base / f"cars_{part}/{one['fname']}" for one in told))


def countries(root: Path, patch: Patch, name: str) -> None:
    files = {"train": 1, "valid": TRAIN - 1, "test": TEST}
    drawn(
        *(root / f"country211/{part}/{of}/{part}-{i}.jpg" for part, count in files.items() for of in NAMES for i in range(count))
    )


def sun(root: Path, patch: Patch, name: str) -> None:
    drawn(*(root / f"SUN397/{of[0]}/{of}/sun_{file}.jpg" for of, file in numbered(TRAIN + TEST)))
    (root / "SUN397/ClassName.txt").write_text("".join(f"/{of[0]}/{of}\n" for of in NAMES))


def imagenette(root: Path, patch: Patch, name: str) -> None:
    parts = {"train": numbered(TRAIN), "val": numbered(TEST)}
    drawn(*(root / f"imagenette2/{part}/{of}/{file}.JPEG" for part, every in parts.items() for of, file in every))


def folders(below: str, *others: str) -> Callable[[Path, Patch, str], None]:
    def made(root: Path, patch: Patch, name: str) -> None:
        drawn(*(root / below / of / f"{file}.jpg" for of, file in numbered(TRAIN + TEST)))
        drawn(*(root / below / other / "0001.jpg" for other in others))

    return made


MADE: Mapping[str, Callable[[Path, Patch, str], None]] = {
    **dict.fromkeys(("CIFAR10", "CIFAR100"), cifar),
    **dict.fromkeys(("MNIST", "FashionMNIST", "KMNIST"), mnist),
    **{"STL10": stl10, "SVHN": svhn, "Flowers102": flowers, "DTD": dtd, "OxfordIIITPet": pets, "FGVCAircraft": aircraft},
    **{"Food101": food, "GTSRB": signs, "StanfordCars": cars, "Country211": countries, "SUN397": sun, "Imagenette": imagenette},
    "EuroSAT": folders("eurosat/2750"),
    "Caltech101": folders("caltech101/101_ObjectCategories", "BACKGROUND_Google"),
    "Caltech256": folders("caltech256/256_ObjectCategories", "257.clutter"),
}
ALONE = ("SUN397", "EuroSAT", "Caltech101", "Caltech256")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: Patch) -> Callable[[str], str]:
    """A set in torchvision's layout below `data`, and what its user says."""

    def make(name: str) -> str:
        (tmp_path / "data").mkdir(exist_ok=True)
        MADE[name](tmp_path / "data", monkeypatch, name)
        return f"torchvision:{name}@{tmp_path / 'data'}"

    return make


@pytest.mark.parametrize("name", named.SETS)
def test_each_set_as_torchvision_lays_it_out(name: str, made: Callable[[str], str], tmp_path: Path) -> None:
    found = scan(Path(made(name)))
    classes = {"OxfordIIITPet": tuple(map(str.title, NAMES)), **dict.fromkeys(("GTSRB", "SVHN"), tuple("0123"))}
    assert found.classes == classes.get(name, NAMES)
    assert (found.source.found, found.validation) == (f"torchvision's {name}", None if name in ALONE else "val")
    each = {of: (len(found.train[of]), len(found.val[of])) for of in found.classes}
    assert {*each.values()} == {(TRAIN + TEST, 0) if name in ALONE else (TRAIN, TEST)}
    for path in found.paths:
        encoded = found.source.joinpath(path)
        assert len(encoded.read_bytes()) == found.source.size(path)
        assert decode(encoded, 8, "warp").shape == (3, 8, 8)
    assert len({decode(found.source.joinpath(path), 8, "warp").numpy().tobytes() for path in found.paths}) == len(found.paths)
    assert not any(str(tmp_path) in path for path in found.paths)  # so that the digest is the same wherever the set lies


def test_pixels_and_labels_are_torchvisions(made: Callable[[str], str], tmp_path: Path) -> None:
    """To the last bit, in its order; a set of arrays is the study that folders of the same pictures are."""
    for name in ("CIFAR10", "MNIST", "SVHN", "STL10"):
        found = scan(Path(made(name)))
        part = {"split": "train"} if name in ("SVHN", "STL10") else {"train": True}
        theirs = named._class(name)(str(tmp_path / "data"), **part)
        ending = "pgm" if name == "MNIST" else "ppm"
        for i, (picture, label) in enumerate(theirs):
            ours = decode(found.source.joinpath(f"train/{found.classes[label]}/{i:05}.{ending}"), picture.width, "warp")
            assert np.array_equal(ours.permute(1, 2, 0).numpy(), np.asarray(picture.convert("RGB")))
        for path in found.paths:
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(found.source.joinpath(path).read_bytes())
        assert scan(tmp_path / name).digest(found.classes) == found.digest(found.classes)


def test_folders_of_classes_are_the_study_of_that_folder(made: Callable[[str], str], tmp_path: Path) -> None:
    found = scan(Path(made("EuroSAT")))
    assert found.digest(NAMES) == scan(tmp_path / "data/eurosat/2750").digest(NAMES)


# -- hashes


class Evil:
    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_pickle_of_another_hash_is_never_opened(made: Callable[[str], str], tmp_path: Path, file: str) -> None:
    place, path, opened = made("CIFAR10"), tmp_path / "data/cifar-10-batches-py" / file, tmp_path / "opened"
    whole = md5(path)
    path.write_bytes(pickle.dumps(Evil(opened)))
    assert refusal(place) == (
        f"{path} is not the published file: its md5 is {md5(path)}, not {whole}. Nothing of it was read; "
        f"remove {path.parent} and fetch it again: --download"
    )
    assert not opened.exists()
    pickle.loads(path.read_bytes())
    assert opened.exists()  # had it been opened


def test_arrays_that_are_not_what_was_published(made: Callable[[str], str], tmp_path: Path) -> None:
    raw = tmp_path / "data/MNIST/raw"
    place, file = made("MNIST"), raw / "t10k-labels-idx1-ubyte"
    (tmp_path / "data/MNIST/processed").mkdir()
    for old in ("training.pt", "test.pt"):  # without a published hash: not looked at
        (tmp_path / "data/MNIST/processed" / old).write_bytes(b"x")
    assert scan(Path(place)).classes == NAMES
    file.write_bytes(bytes(file.stat().st_size))
    assert refusal(place) == (
        f"{file}.gz is not the published file: {file} is not what is in it. Nothing of it was read; "
        f"remove {raw.parent} and fetch it again: --download"
    )
    file.with_name(f"{file.name}.gz").unlink()
    assert refusal(place).startswith(f"no MNIST in {tmp_path / 'data'}: MNIST/raw/{file.name}.gz is missing.")


# -- what is refused, and fetched


def refusal(place: str, call: Callable[[Path], object] = scan) -> str:
    with pytest.raises(TransferError) as caught:
        call(Path(place))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_where_sets_lie(made: Callable[[str], str], tmp_path: Path, monkeypatch: Patch) -> None:
    """At ROOT, else where the environment says, else in the user's cache; a set that is not there says what to do."""
    made("DTD")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv(named.ROOT, raising=False)
    assert refusal("torchvision:DTD") == (
        f"no DTD in {tmp_path}/home/.cache/transfer/torchvision: dtd/dtd is missing. Fetch it: --download, or put it there as "
        "torchvision unpacks it; for another place say torchvision:DTD@ROOT, or set TORCHVISION_DATA"
    )
    (tmp_path / "home").mkdir()
    (tmp_path / "home/sets").symlink_to(tmp_path / "data")
    assert scan(Path("torchvision:DTD@~/sets")).classes == NAMES
    monkeypatch.setenv(named.ROOT, str(tmp_path / "data"))
    assert scan(Path("torchvision:DTD")).where == f"torchvision:DTD@{tmp_path / 'data'}"
    assert refusal("torchvision:DTD@elsewhere").startswith(f"no DTD in {Path('elsewhere').resolve()}: ")


@pytest.mark.parametrize(
    ("name", "meant"), [("CIFAR", "did you mean CIFAR10 or CIFAR100? "), ("dtd", "did you mean DTD? "), ("?", "")]
)
def test_a_name_that_is_not_known(name: str, meant: str) -> None:
    known = ", ".join(sorted(named.SETS))
    assert refusal(f"torchvision:{name}") == f"no set {name!r} of torchvision is known here; {meant}There are {known}"


def test_lists_that_are_damaged(made: Callable[[str], str], tmp_path: Path) -> None:
    place = made("Food101")
    (tmp_path / "data/food-101/meta/test.json").write_text("{")
    said = refusal(place)
    assert said.startswith(f"Food101 in {tmp_path / 'data'} cannot be read (JSONDecodeError: ") and said.endswith(" --download")


def test_without_scipy(made: Callable[[str], str], monkeypatch: Patch) -> None:
    place = made("Flowers102")
    monkeypatch.setattr(named, "find_spec", lambda name: None)
    assert refusal(place) == "torchvision reads Flowers102 with SciPy, which is not installed: pip install scipy"


def test_what_is_there_is_not_fetched(made: Callable[[str], str], tmp_path: Path, monkeypatch: Patch) -> None:
    place = made("CIFAR10")
    monkeypatch.setattr(named, "unreachable", lambda url: pytest.fail("the network was asked"))
    assert fetch(place) == tmp_path / "data"


def test_a_set_that_can_no_longer_be_fetched(tmp_path: Path, monkeypatch: Patch) -> None:
    matlab(monkeypatch)
    assert refusal(f"torchvision:StanfordCars@{tmp_path}", fetch) == (
        f"StanfordCars can no longer be fetched by torchvision; put it where {tmp_path}/stanford_cars/devkit is its folder"
    )


def test_without_a_network(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(named, "unreachable", lambda url: "does not answer")
    assert refusal(f"torchvision:CIFAR10@{tmp_path}", fetch) == (
        f"no CIFAR10 in {tmp_path}, and www.cs.toronto.edu does not answer; fetch "
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz where there is a network, "
        f"and unpack it so that {tmp_path}/cifar-10-batches-py is there"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_is_there_is_unpacked(made: Callable[[str], str], tmp_path: Path, monkeypatch: Patch) -> None:
    """By torchvision, which compares its hash; without a network."""
    place, base = made("CIFAR10"), tmp_path / "data/cifar-10-batches-py"
    with tarfile.open(tmp_path / "data/cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(base, base.name)
    shutil.rmtree(base)
    monkeypatch.setattr(named, "unreachable", lambda url: pytest.fail("the network was asked"))
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(tmp_path / "data/cifar-10-python.tar.gz"))
    assert fetch(place) == tmp_path / "data"
    assert scan(Path(place)).counts(NAMES) == (len(NAMES) * TRAIN, len(NAMES) * TEST)


# -- commands


SMALL: Sequence[str] = ("--recipe", "tiny-imagenet-cpu", "--set", "pictures.size=12", "--set", "pictures.crop=12")


@pytest.mark.slow
def test_commands_take_a_set_and_a_study_finds_it_again(
    transfer: Callable[..., Said], made: Callable[[str], str], tmp_path: Path, monkeypatch: Patch
) -> None:
    place = made("CIFAR10")
    monkeypatch.setenv(named.ROOT, str(tmp_path / "data"))
    said = transfer("pictures", "torchvision:CIFAR10")
    assert (said.code, said.out.splitlines()[0], said.out.splitlines()[-1]) == (
        *(0, "Layout: torchvision's CIFAR10"),
        "Next: transfer split torchvision:CIFAR10",
    )
    said = transfer("split", "torchvision:CIFAR10", "--download", *SMALL)
    assert (said.code, said.err) == (0, "") and "Pictures: torchvision's CIFAR10" in said.out.splitlines()
    told = json.loads((tmp_path / "results/study/random-0/split.json").read_text())
    assert told["folder"] == place
    monkeypatch.delenv(named.ROOT)
    study = Study(tmp_path / "results/study")
    assert len(pictures_of(study, study.halves("random-0"), study.recipe().pictures).paths) == len(NAMES) * (TRAIN + TEST)
    assert transfer("split", "--seed", "1").code == 0  # where the study's pictures were
    assert transfer("pack", place, "--out", "store", "--size", 12).code == 0
    assert json.loads((tmp_path / "store/store.json").read_text())["source"] == place
    assert scan(tmp_path / "store").digest(NAMES) == scan(Path(place)).digest(NAMES)
    assert transfer("plan", "tiny-imagenet-cpu", place, "--set", "pictures.classes=4").code == 0
    (tmp_path / "data/cifar-10-batches-py/test_batch").unlink()
    said = transfer("train-base")
    assert said.code == 1 and said.err.splitlines()[-1].startswith(f"Error: no CIFAR10 in {tmp_path / 'data'}: ")


def test_download_is_for_names(transfer: Callable[..., Said], tmp_path: Path) -> None:
    for words in (("pictures", "."), ("advise", "."), ("split",)):
        said = transfer(*words, "--download")
        remedy = f"name one as DIR, or leave it out (see: transfer {words[0]} --help)\n"
        assert said.err == f"Error: --download fetches a set by its name, such as torchvision:CIFAR10; {remedy}"
        assert said.code == 2


def test_a_study_goes_on_with_the_set_elsewhere(made: Callable[[str], str], tmp_path: Path) -> None:
    found = scan(Path(made("DTD")))
    split, pictures = halve(found.classes, "random-0"), Pictures(size=12, crop=9)
    digests = [halves_of(Study(tmp_path), take(found, split, pictures), split).digest]
    (tmp_path / "data").rename(tmp_path / "moved")
    found = scan(Path(f"torchvision:DTD@{tmp_path / 'moved'}"))
    assert [halves_of(Study(tmp_path), take(found, split, pictures), split).digest] == digests
