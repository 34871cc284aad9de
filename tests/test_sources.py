"""One set of pictures in every layout is one study: the same digest, the same split, the same pixels; and what is refused."""

import hashlib
import io
import json
import os
import random
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from conftest import CPU, Said
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from transfercli import paper
from transfercli.pictures import packing, stream
from transfercli.pictures.folder import PictureFolder, scan
from transfercli.pictures.sources import index
from transfercli.pictures.sources import parquet as parquet_module
from transfercli.pictures.store import Form
from transfercli.pictures.stream import Part, Pixels
from transfercli.plan.splits import make_split
from transfercli.recipe.schema import Pictures
from transfercli.study.choosing import halve, halves_of, pictures_of, take
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.system.progress import uncounted

PICTURES = Pictures(size=12, crop=9)
INDEX = {one.wnid: one.index for one in paper.classes()}
WNIDS = tuple(paper.classes()[label].wnid for label in dict.fromkeys(paper.validation_labels()[:40]))[:6]
TRAIN, VAL = 4, 2
Layout = Callable[[Path, Path], Path]  # from folders of classes, into another folder: what the user then names


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache, where every list is kept."""
    monkeypatch.setattr(index, "SLOW", 0)
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    return place


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of six of ImageNet's classes, its pictures' names, of noise; one a class is a PNG, as ImageNet has one."""
    root, noise = tmp_path_factory.mktemp("imagenet"), np.random.default_rng(0)
    labels = paper.validation_labels()
    for wnid in WNIDS:
        numbers = [number for number, label in enumerate(labels, 1) if label == INDEX[wnid]][:VAL]
        names = [f"train/{wnid}/{wnid}_{number}.JPEG" for number in (18, 2, 10026, 367)[:TRAIN]]
        for path in (*names, *(f"val/{wnid}/ILSVRC2012_val_{number:08}.JPEG" for number in numbers)):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            pixels = noise.integers(0, 256, (*noise.integers(12, 40, 2), 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / path, "PNG" if path.endswith("_2.JPEG") else "JPEG")
    return root


def files(root: Path) -> list[tuple[str, str, Path]]:
    """Part, class and file of each picture in folders of classes, in no useful order."""
    found = [(path.parts[-3], path.parts[-2], path) for path in root.glob("*/*/*")]
    return sorted(found, key=lambda one: one[2].name[::-1])


# -- layouts of ImageNet


def cls_loc(root: Path, out: Path) -> Path:
    """Kaggle's, but for the annotations: DIR is what was unpacked."""
    shutil.copytree(root / "train", out / "ILSVRC/Data/CLS-LOC/train")
    flat(root, out / "ILSVRC/Data/CLS-LOC")
    (out / "ILSVRC/Data/CLS-LOC/test").mkdir()
    lines = [f"{path.stem},{wnid} 85 1 499 272 {wnid} 1 2 3 4 \n" for part, wnid, path in files(root) if part == "val"]
    (out / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "".join(lines))
    (out / "LOC_sample_submission.csv").write_text("ImageId,PredictionString\n")
    return out


def flat(root: Path, out: Path) -> Path:
    """In ``out`` a flat val/."""
    (out / "val").mkdir(parents=True)
    for part, _, path in files(root):
        if part == "val":
            shutil.copy(path, out / "val")
    (out / "val" / ".DS_Store").write_bytes(b"x")
    return out


def folders_and_flat(root: Path, out: Path) -> Path:
    shutil.copytree(root / "train", out / "train")
    return flat(root, out)


def tar_of(out: Path, members: Mapping[str, bytes]) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(out, "w") as tar:
        for name, data in members.items():
            one = tarfile.TarInfo(name)
            one.size = len(data)
            tar.addfile(one, io.BytesIO(data))
    return out


def class_tars(root: Path, out: Path) -> dict[str, bytes]:
    of: dict[str, bytes] = {}
    for wnid in WNIDS:
        path = tar_of(out / f"{wnid}.tar", {path.name: path.read_bytes() for path in (root / "train" / wnid).iterdir()})
        of[path.name] = path.read_bytes()
    return of


def val_tar(root: Path, out: Path) -> Path:
    return tar_of(
        out / "ILSVRC2012_img_val.tar", {path.name: path.read_bytes() for part, _, path in files(root) if part == "val"}
    )


def torchvisions(root: Path, out: Path) -> Path:
    """torchvision's root, as it was fetched."""
    tar_of(out / "ILSVRC2012_img_train.tar", class_tars(root, out / "spare"))
    shutil.rmtree(out / "spare")
    val_tar(root, out)
    (out / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(b"not looked at")
    return out


def half_unpacked(root: Path, out: Path) -> Path:
    class_tars(root, out / "train")
    val_tar(root, out)
    return out


def folders_and_tar(root: Path, out: Path) -> Path:
    shutil.copytree(root / "train", out / "train")
    val_tar(root, out)
    return out


# -- layouts of any pictures


def features(names: Sequence[str]) -> dict[bytes, bytes]:
    told = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    return {b"huggingface": json.dumps({"info": {"features": told}}).encode()}


def parquet_of(
    out: Path, rows: Sequence[tuple[str | None, int | str | None, bytes | None]], names: Sequence[str] = (), group: int = 3
) -> Path:
    """A file as `datasets` writes it."""
    of = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    image = pyarrow.array([{"bytes": data, "path": name} for name, _, data in rows], of)
    table = pyarrow.table({"image": image, "label": [label for _, label, _ in rows]})
    out.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table.replace_schema_metadata(features(names)) if names else table, out, row_group_size=group)
    return out


def hugging_face(root: Path, out: Path, names: Sequence[str]) -> Path:
    for part, word in (("train", "train"), ("val", "validation")):
        rows = [(f"{path.stem}_{wnid}.JPEG", INDEX[wnid], path.read_bytes()) for of, wnid, path in files(root) if of == part]
        for shard in range(2):
            parquet_of(out / f"data/{word}-{shard:05}-of-00002.parquet", rows[shard::2], names)
    parquet_of(out / "data/test-00000-of-00001.parquet", [("ILSVRC2012_test_00000001.JPEG", -1, b"x")], names)
    return out


def with_names(root: Path, out: Path) -> Path:
    return hugging_face(root, out, [one.words for one in paper.classes()])


def without_names(root: Path, out: Path) -> Path:
    return hugging_face(root, out, [])


def with_texts(root: Path, out: Path) -> Path:
    """Parts in folders, as Hugging Face converts them; labels are texts."""
    for part in ("train", "val"):
        rows = [(path.name, wnid, path.read_bytes()) for of, wnid, path in files(root) if of == part]
        parquet_of(out / ("train" if part == "train" else "validation") / "0000.parquet", rows)
    return out


def shards(root: Path, out: Path, label: Callable[[str], str] = lambda wnid: str(INDEX[wnid])) -> Path:
    """WebDataset's, as img2dataset or `tarp` writes it."""
    for part, word in (("train", "imagenet-train"), ("val", "imagenet-validation")):
        of = [one for one in files(root) if one[0] == part]
        for shard in range(2):
            members: dict[str, bytes] = {}
            for _, wnid, path in of[shard::2]:
                members |= {
                    f"./{path.stem}.cls": label(wnid).encode(),
                    f"./{path.name}": path.read_bytes(),
                    f"{path.stem}.json": b"{}",
                }
            tar_of(out / f"{word}-{shard:06}.tar", members)
    return out


def shards_of_texts(root: Path, out: Path) -> Path:
    return shards(root, out, lambda wnid: f"{wnid}\n")


def one_tar(root: Path, out: Path) -> Path:
    """The folders of classes, in a tar file."""
    out.mkdir()
    with tarfile.open(out / "pictures.tar", "w") as tar:
        tar.add(root, "pictures")
    return out


def table(root: Path, out: Path) -> Path:
    shutil.copytree(root, out / "some where")
    lines = [f"some where/{path.relative_to(root)},{wnid},{part},x\n" for part, wnid, path in files(root)]
    (out / "labels.csv").write_text("path,class,part,note\n" + "".join(lines))
    return out


def table_elsewhere(root: Path, out: Path) -> Path:
    """Semicolons, a mark before the header, paths from the root of the disk, other pictures in a part that is passed over."""
    out.mkdir()
    lines = [f"{wnid};{part.replace('val', 'validation')};{path}\n" for part, wnid, path in files(root)]
    file = out / "Labels.CSV"
    file.write_text("class;part;path\n" + "".join(lines) + "x;test;nowhere.jpg\n", encoding="utf-8-sig")
    return file


def flat_with_ids(root: Path, out: Path) -> Path:
    """A flat val/ of the names that Hugging Face's pictures have."""
    folders_and_flat(root, out)
    for part, wnid, path in files(root):
        if part == "val":
            (out / "val" / path.name).rename(out / "val" / f"{path.stem}_{wnid}.JPEG")
    return out


def tar_with_ids(root: Path, out: Path) -> Path:
    shutil.copytree(root / "train", out / "train")
    members = {f"{path.stem}_{wnid}.JPEG": path.read_bytes() for part, wnid, path in files(root) if part == "val"}
    tar_of(out / "ILSVRC2012_img_val.tar", members)
    return out


LAYOUTS = (
    *(cls_loc, folders_and_flat, torchvisions, half_unpacked, folders_and_tar, flat_with_ids, tar_with_ids),
    *(with_names, without_names, with_texts, shards, shards_of_texts, one_tar, table, table_elsewhere),
)


def pixels(folder: PictureFolder, part: str = "train") -> Pixels:
    of = folder.train if part == "train" else folder.val
    return Pixels(Part.of(folder.root, of, folder.classes, folder.source), PICTURES, CPU, 2)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda one: one.__name__)
def test_one_set_in_every_layout_is_one_study(
    layout: Layout, imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, there = scan(imagenet), scan(layout(imagenet, tmp_path / "there"))
    assert expected.counts(WNIDS) == (len(WNIDS) * TRAIN, len(WNIDS) * VAL)
    assert (there.classes, there.train, there.val) == (expected.classes, expected.train, expected.val)
    assert list(there.listing()) == list(expected.listing())
    study, split = Study(tmp_path / "study"), halve(there.classes, "random-0")
    halves = halves_of(study, take(there, split, PICTURES), split)
    assert halves.digest == halves_of(study, take(expected, split, PICTURES), split).digest
    assert pictures_of(study, halves, PICTURES).train == expected.train  # found again, from the lists that were kept

    for share in (0.4, 0):
        monkeypatch.setattr(stream, "MEMORY_SHARE", share)
        for part in ("train", "val"):
            rows = torch.arange(len(pixels(expected, part)))
            theirs, ours = (pixels(one, part).fetch(rows)[0] for one in (expected, there))
            assert torch.equal(theirs, ours)


@pytest.mark.parametrize("layout", [cls_loc, torchvisions, with_names, shards, table_elsewhere], ids=lambda one: one.__name__)
def test_a_store_of_any_layout_is_that_of_the_folders(layout: Layout, imagenet: Path, tmp_path: Path) -> None:
    made = [
        packing.write_store(scan(root), tmp_path / f"store{i}", Form(size=12, fit="warp"), 2, False, lambda *_: Silent())
        for i, root in enumerate((imagenet, layout(imagenet, tmp_path / "there")))
    ]
    assert made[0].about.shards == made[1].about.shards
    assert made[0].about.listing == made[1].about.listing
    assert scan(tmp_path / "store1").digest(WNIDS) == scan(imagenet).digest(WNIDS)


class Silent:
    def __enter__(self) -> Callable[[int], None]:
        return lambda count: None

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("below", [".", "ILSVRC", "ILSVRC/Data", "ILSVRC/Data/CLS-LOC"])
def test_kaggles_folders_are_found_from_wherever(imagenet: Path, tmp_path: Path, below: str) -> None:
    there = scan(cls_loc(imagenet, tmp_path / "kaggle") / below)
    assert (there.train, there.val) == (scan(imagenet).train, scan(imagenet).val)


def test_kaggles_folders_with_validation_pictures_in_folders(imagenet: Path, tmp_path: Path) -> None:
    shutil.copytree(imagenet, tmp_path / "ILSVRC/Data/CLS-LOC")
    there = scan(tmp_path)
    assert (there.train, there.val) == (scan(imagenet).train, scan(imagenet).val)
    assert there.digest(WNIDS) == scan(imagenet).digest(WNIDS)


def test_kaggles_table_that_lacks_a_picture(imagenet: Path, tmp_path: Path) -> None:
    solution = cls_loc(imagenet, tmp_path) / "LOC_val_solution.csv"
    lines = solution.read_text().splitlines(keepends=True)
    name = min(path.name for part, _, path in files(imagenet) if part == "val")
    solution.write_text("".join(line for line in lines if not line.startswith(name.removesuffix(".JPEG"))))
    assert refusal(tmp_path) == f"{solution}: no line for {name}. Restore the file, or remove the picture"
    solution.write_text("a,b\n1,2\n")
    assert refusal(tmp_path).startswith(f"{solution} is not Kaggle's table ImageId,PredictionString.")


@pytest.mark.parametrize("layout", ["flat", "parquet"])
def test_whole_imagenets_splits_are_the_papers(tmp_path: Path, layout: str) -> None:
    """Of 50,000 validation pictures, each in its class by its number or its label, the paper's halves have the released md5s."""
    labels = paper.validation_labels()
    train = {one.wnid: f"{one.wnid}_1.JPEG" for one in paper.classes()}
    names = [f"ILSVRC2012_val_{number:08}.JPEG" for number in range(1, len(labels) + 1)]
    if layout == "parquet":
        parquet_of(tmp_path / "data/train-0.parquet", [(f"{w}_1_{w}.JPEG", INDEX[w], b"x") for w in train], group=500)
        rows = [
            (name.replace(".", f"_{paper.classes()[label].wnid}."), label, b"x")
            for name, label in zip(names, labels, strict=True)
        ]
        parquet_of(tmp_path / "data/validation-0.parquet", rows, group=500)
    else:
        for wnid, name in train.items():
            (tmp_path / "train" / wnid).mkdir(parents=True)
            (tmp_path / "train" / wnid / name).touch()
        (tmp_path / "val").mkdir()
        for name in names:
            (tmp_path / "val" / name).touch()
    found = scan(tmp_path)
    for seed in range(4):
        split = make_split("random", found.classes, seed)
        for half, classes in (("A", split.A), ("B", split.B)):
            lines = [f"{path.rpartition('/')[2]} {label}\n" for label, name in enumerate(classes) for path in found.val[name]]
            assert (
                hashlib.md5("".join(sorted(lines)).encode()).hexdigest() == paper.split_md5()[f"half{seed}{half}_valid/files.txt"]
            )


# -- any names


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters='/\\,;\t"'),
    min_size=1,
    max_size=12,
)
PLAIN = NAMES.map(str.strip).filter(
    lambda name: (
        name
        and not name.startswith(".")
        and name not in ("train", "training", "pictures", *("val", "validation", "valid", "test"))
    )
)
SETS = st.dictionaries(
    PLAIN, st.dictionaries(PLAIN, st.binary(min_size=1, max_size=9), min_size=2, max_size=4), min_size=4, max_size=6
)


@given(of=SETS, ending=st.sampled_from([".jpg", ".JPEG", ".PnG", ".webp"]), alone=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_names_in_any_layout(
    of: dict[str, dict[str, bytes]], ending: str, alone: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("any")
    parts = ["train"] if alone else ["train", "val"]
    every = [(part, name, f"{file}{ending}", data) for part in parts for name, held in of.items() for file, data in held.items()]
    for part, name, file, data in every:
        place = root / "folders" / ("" if alone else part) / name
        place.mkdir(parents=True, exist_ok=True)
        (place / file).write_bytes(data)
    for part in parts:
        rows = [(file, name, data) for of_part, name, file, data in every if of_part == part]
        parquet_of(root / f"parquet/{part}.parquet", rows)
        tar_of(root / f"shards/{part}-0.tar", {f"{name}/{file}": data for file, name, data in rows})
    (root / "table").mkdir()
    lines = [f"../folders/{'' if alone else part + '/'}{name}/{file},{name},{part}\n" for part, name, file, _ in every]
    (root / "table/pictures.csv").write_text("path,class,part\n" + "".join(lines), encoding="utf-16" if alone else "utf-8")
    expected = scan(root / "folders")
    for layout in ("parquet", "shards", "table"):
        there = scan(root / layout)
        assert (there.train, there.val, there.validation) == (expected.train, expected.val, expected.validation)
        assert there.digest(there.classes) == expected.digest(expected.classes)
        for path in there.paths:
            assert there.source.joinpath(path).read_bytes() == (expected.root / path).read_bytes()
        assert there.held_out(0.5, 0).val == expected.held_out(0.5, 0).val


def test_a_class_may_be_called_as_a_folder_above_it(tmp_path: Path) -> None:
    """CIFAR-100 has a class `train`."""
    names = {
        f"{part}/{name}/{i}.jpg": b"%d" % i
        for part in ("train", "val")
        for name in ("train", "cat", "val", "dog")
        for i in (1, 2)
    }
    for path, data in names.items():
        (tmp_path / "folders" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folders" / path).write_bytes(data)
    (tmp_path / "table").mkdir()
    lines = [f"../folders/{path},{path.split('/')[1]},{path.split('/')[0]}\n" for path in names]
    (tmp_path / "table/of.csv").write_text("path,class,part\n" + "".join(lines))
    tar_of(tmp_path / "whole/pictures.tar", names)
    for part in ("train", "val"):
        tar_of(tmp_path / f"parts/{part}.tar", {path.removeprefix(f"{part}/"): b"x" for path in names if path.startswith(part)})
    expected = scan(tmp_path / "folders")
    for layout in ("table", "whole", "parts"):
        there = scan(tmp_path / layout)
        assert (there.train, there.val) == (expected.train, expected.val), layout


def test_a_file_of_no_part_beside_those_of_parts_is_none(tmp_path: Path) -> None:
    """As `extra` of SVHN."""
    rows = [(f"{i}.jpg", i % 4, b"x") for i in range(8)]
    for word in ("train", "test", "extra"):
        parquet_of(tmp_path / f"parquet/{word}-00000-of-00001.parquet", rows)
        tar_of(tmp_path / f"shards/{word}-0.tar", {f"{label}/{name}": data for name, label, data in rows})
    for layout in ("parquet", "shards"):
        found = scan(tmp_path / layout)
        assert found.counts(found.classes) == (8, 8)


def test_a_training_folder_that_is_unpacked_in_part_is_refused(imagenet: Path, tmp_path: Path) -> None:
    half_unpacked(imagenet, tmp_path)
    shutil.copytree(imagenet / "train" / WNIDS[0], tmp_path / "train" / WNIDS[0])
    first = sorted(WNIDS[1:])[0]
    assert refusal(tmp_path).startswith(f"{tmp_path / 'train'} has folders of classes, and tar files of others: {first}.tar, ")


def test_folders_of_classes_are_read_whatever_lies_beside_them(tmp_path: Path) -> None:
    for name in ("ant", "bee", "cat", "dog"):
        (tmp_path / name / "2019").mkdir(parents=True)
        for i in range(2):
            (tmp_path / name / "2019" / f"{i}.jpg").write_bytes(b"x")
    (tmp_path / "some.csv").write_text("path,class\nant/2019/0.jpg,other\n")
    (tmp_path / "odd.csv").write_text('"' + "x" * 200_000)
    assert scan(tmp_path).classes == ("ant", "bee", "cat", "dog")


@pytest.mark.parametrize("text", ["path,class \n{}", "path,class\r{}", " path , class\n{}"])
def test_tables_as_spreadsheets_and_people_write_them(text: str, tmp_path: Path) -> None:
    end = "\r" if "\r" in text else "\n"
    (tmp_path / "of.csv").write_text(text.format("".join(f"{i}.jpg,{'abcd'[i % 4]}{end}" for i in range(8))), newline="")
    assert scan(tmp_path).train["b"] == ("b/1.jpg", "b/5.jpg")


# -- lists that are kept


def test_a_list_is_kept_and_of_that_file_alone(
    imagenet: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = torchvisions(imagenet, tmp_path / "there")
    expected = scan(there)
    kept = sorted((cache / "transfer/pictures").iterdir())
    assert len(kept) == 2
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "TarFile", None)  # nothing is read again
        assert scan(there).train == expected.train
    for path in kept:
        path.write_bytes(path.read_bytes()[:-30])
    assert scan(there).train == expected.train  # read again
    name = next(path for path in expected.val[WNIDS[0]]).rpartition("/")[2]
    tar_of(there / "ILSVRC2012_img_val.tar", {name: b"another"})
    assert list(scan_val(there)) == [name]
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert list(scan_val(there)) == [name]


def scan_val(root: Path) -> list[str]:
    from transfercli.pictures.sources.tar import members

    return [one.name for one in members(root / "ILSVRC2012_img_val.tar")]


# -- what is refused


def refusal(root: Path) -> str:
    with pytest.raises(TransferError) as caught:
        scan(root)
    message = str(caught.value)
    assert "\n" not in message
    return message


def link(name: str, kind: bytes) -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.type, one.linkname = kind, "/etc/passwd"
    return one


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("cat/1.jpg", tarfile.SYMTYPE, "cat/1.jpg is a link. Pack the files themselves"),
        ("cat/1.jpg", tarfile.LNKTYPE, "cat/1.jpg is a link. Pack the files themselves"),
        ("cat/1.jpg", tarfile.FIFOTYPE, "cat/1.jpg is no plain file. Pack plain files alone"),
        ("../cat/1.jpg", tarfile.REGTYPE, "../cat/1.jpg leads out of the archive. Pack it with paths below one folder"),
        ("/cat/1.jpg", tarfile.REGTYPE, "/cat/1.jpg leads out of the archive. Pack it with paths below one folder"),
    ],
)
def test_a_tar_file_that_leads_elsewhere(tmp_path: Path, name: str, kind: bytes, reason: str) -> None:
    path = tmp_path / "train.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(link(name, kind))
    assert refusal(tmp_path) == f"{path}: {reason}"


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_damaged_file_is_refused_or_what_it_says_is_read(kind: str, tmp_path: Path, data: st.DataObject) -> None:
    """Cut anywhere, or with other bytes anywhere: a line that names the file, or pictures that can be read; never a crash."""
    whole = tmp_path / f"train.{kind}"
    if not whole.exists():
        rows = [(f"{name}{i}.jpg", name, bytes(range(i, i + 40)) * 20) for name in "abcd" for i in range(3)]
        if kind == "tar":
            tar_of(whole, {f"{name}/{file}": data for file, name, data in rows})
        else:
            parquet_of(whole, rows, group=4)
    sound = whole.read_bytes()
    hurt = bytearray(sound)
    if data.draw(st.booleans()):
        hurt = hurt[: data.draw(st.integers(0, len(hurt) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            hurt[data.draw(st.integers(0, len(hurt) - 1))] = data.draw(st.integers(0, 255))
    other = tmp_path / "other" / whole.name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(hurt)
    try:
        found = scan(other.parent)
        for path in found.paths:
            found.source.joinpath(path).read_bytes()
    except TransferError as error:
        assert "\n" not in str(error)
    except OSError as error:
        assert error.strerror


def test_a_tar_file_that_is_cut_between_two_pictures(tmp_path: Path) -> None:
    path = tar_of(tmp_path / "train.tar", {f"{name}/{i}.jpg": b"x" * 10 for name in "abcd" for i in range(2)})
    path.write_bytes(path.read_bytes()[: 1024 * 5])
    assert refusal(tmp_path) == (
        f"{path} is no sound tar file (it is cut short, or damaged in the middle). "
        "Fetch it again; a compressed one is to be unpacked"
    )


def test_a_tar_file_that_leads_back(tmp_path: Path) -> None:
    """By a negative size: what reads on from there would read for ever."""
    path = tar_of(tmp_path / "train.tar", {"cat/1.jpg": b"x"})
    one = tarfile.TarInfo("cat/1.jpg")
    one.size = -1024
    path.write_bytes(one.tobuf(tarfile.GNU_FORMAT) + path.read_bytes())
    assert refusal(tmp_path).startswith(f"{path} is no sound tar file (")


def test_files_without_pictures(tmp_path: Path) -> None:
    parquet_of(tmp_path / "a" / "train.parquet", [])
    assert refusal(tmp_path / "a") == f"no rows in the parquet files in {tmp_path / 'a'}. Give the folder of a set of pictures"
    tar_of(tmp_path / "b" / "notes.tar", {"notes.txt": b"x"})
    assert refusal(tmp_path / "b").startswith(f"no train/ in {tmp_path / 'b'}.")


@pytest.mark.parametrize(
    ("label", "names", "said"),
    [
        (4, "abcd", "there is a label 4, and the classes are 0 to 3. Mend the labels"),
        (-1, "abcd", "there is a label -1. Leave out what has no class"),
        (-1, "", "there is a label -1. Leave out what has no class"),
        (0, "abca", "two classes have one name. Rename one"),
    ],
)
def test_labels_out_of_range(tmp_path: Path, label: int, names: str, said: str) -> None:
    rows = [(f"{i}.jpg", i % 4, b"x") for i in range(8)]
    parquet_of(tmp_path / "data/train-0.parquet", [*rows, ("8.jpg", label, b"x")], names)
    assert refusal(tmp_path) == f"{tmp_path}: {said}"


def test_a_clone_with_its_files_in_a_folder(tmp_path: Path) -> None:
    """As Hugging Face has CIFAR-10: the column is another, pictures have no names."""
    rows = [{"img": {"bytes": b"%d" % i, "path": None}, "coarse_label": 0, "fine_label": i % 4} for i in range(8)]
    (tmp_path / "plain_text").mkdir()
    for word in ("train", "test"):
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / f"plain_text/{word}-00000-of-00001.parquet")
    found = scan(tmp_path)
    assert (found.classes, found.counts("0123"), found.validation) == (tuple("0123"), (8, 8), "val")
    assert [found.source.joinpath(path).read_bytes() for path in found.val["3"]] == [b"3", b"7"]
    shutil.copytree(tmp_path / "plain_text", tmp_path / "other")
    assert refusal(tmp_path) == f"2 sets of pictures in {tmp_path}: other, plain_text. Give the folder of one"


def test_rows_without_a_picture_or_a_label(tmp_path: Path) -> None:
    file = parquet_of(tmp_path / "train.parquet", [("1.jpg", 1, b"x"), ("2.jpg", 2, None)])
    assert refusal(tmp_path) == f"{file}: row 1 of row group 0 has no picture in it. Write it with the files' bytes"
    parquet_of(file, [("1.jpg", 1, b"x"), ("2.jpg", None, b"x")])
    assert refusal(tmp_path) == f"{file}: row 1 of row group 0 has no label. Leave out what has no class"
    parquet.write_table(pyarrow.table({"text": ["a"]}), file)
    assert refusal(tmp_path) == f"{file} has no column of encoded pictures, only text. Give it one"


def test_numbers_without_names_are_classes_in_their_order(tmp_path: Path) -> None:
    rows = [(None, label, bytes([label])) for label in range(11) for _ in range(2)]
    parquet_of(tmp_path / "train.parquet", rows)
    found = scan(tmp_path)
    assert found.classes == tuple(f"{label:02}" for label in range(11))
    assert [found.source.joinpath(path).read_bytes() for path in found.train["07"]] == [bytes([7])] * 2


@pytest.fixture
def groups_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Which row groups are read for pictures, in what order; none stays in memory when the next has come."""
    read: list[tuple[str, int]] = []

    class Counted(parquet.ParquetFile):
        def read_row_group(self, i: int, *args: Any, **more: Any) -> Any:
            read.append((self.named, i))
            return super().read_row_group(i, *args, **more)

    def opened(file: Path) -> Any:
        counted = Counted(file)
        counted.named = file.name
        return counted

    monkeypatch.setattr(parquet_module, "KEPT", 0)
    monkeypatch.setattr(parquet_module, "_opened", opened)
    return read


def test_each_row_group_is_read_once_to_pack_or_to_keep(
    groups_read: list[tuple[str, int]], imagenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their pictures lie in any order, as a set that was shuffled before it was written has them."""
    plain = scan(imagenet)
    for part in ("train", "validation"):
        rows = [
            (Path(path).name, name, plain.source.joinpath(path).read_bytes())
            for name, paths in (plain.train if part == "train" else plain.val).items()
            for path in paths
        ]
        parquet_of(tmp_path / f"{part}.parquet", random.Random(0).sample(rows, len(rows)))
    found = scan(tmp_path)
    every = {file.name: parquet.ParquetFile(file).num_row_groups for file in tmp_path.glob("*.parquet")}
    whole = sorted((file, group) for file, count in every.items() for group in range(count))

    kept = Pixels(Part.of(found.root, found.train, found.classes, found.source), Pictures(size=8, crop=8), CPU, 1)
    assert sorted(groups_read) == [one for one in whole if one[0] == "train.parquet"]
    assert torch.equal(kept.kept, Pixels(Part.of(plain.root, plain.train, plain.classes), Pictures(size=8, crop=8), CPU, 1).kept)

    groups_read.clear()
    out, fill, killed = tmp_path / "store", packing._Work.fill, iter([False] * 2 + [True])
    monkeypatch.setattr(packing._Work, "fill", lambda *args: 1 / 0 if next(killed, False) else fill(*args))
    with pytest.raises(ZeroDivisionError):
        packing.write_store(found, out, Form(size=8, fit="warp"), 1, False, uncounted)
    assert sorted(groups_read) == whole and len([*out.glob(f"{packing.ASIDE}*")]) == 1
    made = packing.write_store(found, out, Form(size=8, fit="warp"), 1, False, uncounted)
    assert sorted(groups_read) == whole, "what was written down is taken"
    assert not [*out.glob(f"{packing.ASIDE}*")]
    assert np.array_equal(made.stored(0), kept.kept[0])


def test_what_a_failed_pack_wrote_down_of_other_files_is_not_taken(groups_read: object, tmp_path: Path) -> None:
    """The same sizes, in another order: the first pack fails at a picture that nothing can decode."""
    names = [f"{i}.bmp" for i in range(4)]
    encoded = [solid(40 * i) for i in range(4)]
    broken = b"x" * len(encoded[3])
    file = parquet_of(tmp_path / "set/train.parquet", [*zip(names, "aabb", [*encoded[:3], broken], strict=True)])
    out = tmp_path / "store"
    with pytest.raises(TransferError) as refused:
        packing.write_store(scan(tmp_path / "set", halved=False), out, Form(size=8, fit="warp"), 1, False, uncounted)
    assert str(refused.value).startswith(f"cannot decode row 0 of row group 1 in {file} (")
    parquet_of(file, [*zip(names, "aabb", encoded[::-1], strict=True)])
    made = packing.write_store(scan(tmp_path / "set", halved=False), out, Form(size=8, fit="warp"), 1, False, uncounted)
    assert [int(made.stored(row)[0, 0, 0]) for row in range(4)] == [120, 80, 40, 0]
    assert not [*out.glob(f"{packing.ASIDE}*")]


def solid(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (grey, grey, grey)).save(file, "BMP")
    return file.getvalue()


def test_what_a_pack_wrote_down_makes_room_or_is_there_already(
    groups_read: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = parquet_of(tmp_path / "set/train.parquet", [(f"{i}.bmp", "ab"[i % 2], solid(i)) for i in range(4)])
    found, out, asked = scan(tmp_path / "set", halved=False), tmp_path / "store", []
    monkeypatch.setattr(packing, "_refuse_small_disk", lambda out, about, aside: asked.append((aside, len([*out.glob(".enc*")]))))
    monkeypatch.setattr(packing, "_make", lambda *args: 1 / 0)
    for change in (False, False, True):
        if change:
            parquet_of(file, [(f"{i}.bmp", "ab"[i % 2], solid(i + 1)) for i in range(4)])
            os.utime(file, ns=(0, 0))
            found = scan(tmp_path / "set", halved=False)
        with pytest.raises(ZeroDivisionError):
            packing.write_store(found, out, Form(size=8, fit="warp"), 1, False, uncounted)
    size = 4 * len(solid(0))
    assert asked == [(size, 0), (0, 1), (size, 0)]


def test_threads_read_each_row_group_once(
    groups_read: list[tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_module, "KEPT", 2**20)
    parquet_of(tmp_path / "train.parquet", [(f"{i:04}.jpg", i // 800, b"%04d" % i) for i in range(1600)], group=16)
    found = scan(tmp_path, halved=False)
    with ThreadPoolExecutor(8) as threads:
        read = [*threads.map(lambda path: found.source.joinpath(path).read_bytes(), found.train["0"] + found.train["1"])]
    assert read == [b"%04d" % i for i in range(1600)]
    assert sorted(groups_read) == [("train.parquet", group) for group in range(100)]


def test_a_row_group_that_cannot_be_read_fails_every_time(tmp_path: Path) -> None:
    """And no thread waits for it for ever."""
    file = parquet_of(tmp_path / "train.parquet", [(f"{i}.jpg", i % 2, b"x") for i in range(6)])
    found = scan(tmp_path, halved=False)
    whole = file.read_bytes()
    file.write_bytes(b"x" * len(whole))
    for _ in range(2):
        with pytest.raises(OSError, match="damaged parquet"):
            found.source.joinpath("0/0.jpg").read_bytes()
    file.write_bytes(whole)
    assert found.source.joinpath("0/0.jpg").read_bytes() == b"x"


def test_parquet_that_has_changed_since_it_was_listed(groups_read: list[tuple[str, int]], imagenet: Path, tmp_path: Path) -> None:
    data = next(imagenet.rglob("*.JPEG")).read_bytes()
    file = parquet_of(tmp_path / "train.parquet", [(f"{i}.jpg", i % 4, data) for i in range(8)])
    found = scan(tmp_path)
    parquet_of(file, [(f"{i}.jpg", i % 4, data + b"x") for i in range(8)])
    with pytest.raises(TransferError) as refused:
        packing.write_store(found, tmp_path / "store", Form(size=8, fit="warp"), 1, False, uncounted)
    assert str(refused.value) == f"{file} has changed since it was listed. The same command lists it anew"


def test_one_name_for_several_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their paths, and so the digest, do not depend on where the folder lies or how it was named."""
    parquet_of(tmp_path / "set/train-0.parquet", [("same.jpg", i // 4, b"%d" % i) for i in range(8)])
    monkeypatch.chdir(tmp_path)
    for root in (tmp_path / "set", Path("set")):
        assert scan(root, halved=False).train["0"] == ("0/train-0/0/0", "0/train-0/0/1", "0/train-0/0/2", "0/train-0/1/0")


@pytest.mark.parametrize(("column", "what"), [("image", "encoded pictures"), ("label", "labels")])
def test_a_file_without_the_columns_of_the_others(tmp_path: Path, column: str, what: str) -> None:
    rows = [(f"{i}.jpg", i % 2, b"x") for i in range(4)]
    parquet_of(tmp_path / "train-0.parquet", rows)
    file = parquet_of(tmp_path / "test-0.parquet", rows)
    parquet.write_table(parquet.read_table(file).drop_columns(column), file)
    said = f"{file} has no {what} in a column {column}, as others there do. Give it them, or remove the file"
    assert refusal(tmp_path) == said


def test_a_part_that_is_not_read_may_be_without_labels(tmp_path: Path) -> None:
    rows = [(f"{i}.jpg", i % 2, b"x") for i in range(4)]
    files = {part: parquet_of(tmp_path / f"{part}-0.parquet", rows) for part in ("test", "train", "validation")}
    parquet.write_table(parquet.read_table(files["test"]).drop_columns("label"), files["test"])
    assert scan(tmp_path, halved=False).counts("01") == (4, 4)


@pytest.mark.parametrize("damaged", ["path", "label"])
def test_texts_that_are_not_utf8(tmp_path: Path, damaged: str) -> None:
    file = parquet_of(tmp_path / "train.parquet", [("1.jpg", "cat", b"x"), ("naught.jpg", "mouse", b"x")], group=1)
    text = {"path": b"naught", "label": b"mouse"}[damaged]
    file.write_bytes(file.read_bytes().replace(text, b"\xff" * len(text)))
    said = "row 0 of row group 1 has a path or a label that is not UTF-8. Write it anew"
    assert refusal(tmp_path) == f"{file}: {said}"


def test_whole_labels_as_floats(tmp_path: Path) -> None:
    """As pandas writes a column of which some are missing elsewhere."""
    image = [{"bytes": b"x", "path": f"{i}.jpg"} for i in range(4)]
    parquet.write_table(pyarrow.table({"image": image, "label": [0.0, 1.0, 1.0, 0.0]}), tmp_path / "train.parquet")
    assert scan(tmp_path, halved=False).classes == ("0", "1")


def test_a_row_group_too_large_for_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = parquet_of(tmp_path / "train.parquet", [(f"{i}.jpg", i % 2, b"x" * (5 + i)) for i in range(4)], group=2)
    monkeypatch.setattr(parquet_module, "LARGEST", 15)
    assert len(scan(tmp_path, halved=False).train["0"]) == 2
    monkeypatch.setattr(parquet_module, "LARGEST", 14)
    os.utime(file, ns=(0, 0))  # or what was listed is taken
    said = "row group 1 has more than 2 GB of pictures. Write smaller ones, as with row_group_size=100"
    assert refusal(tmp_path) == f"{file}: {said}"


def test_endings_in_capitals(tmp_path: Path) -> None:
    parquet_of(tmp_path / "data/TRAIN-0.PARQUET", [(f"{i}.jpg", i % 2, b"x") for i in range(4)])
    assert scan(tmp_path, halved=False).counts("01") == (4, 0)


def test_names_from_beside_the_files(tmp_path: Path) -> None:
    parquet_of(tmp_path / "data/train-0.parquet", [(f"{i}.jpg", i % 4, b"x") for i in range(8)])
    told = {"default": {"features": {"label": {"_type": "ClassLabel", "names": ["ant", "bee", "cat/tom", "dog"]}}}}
    (tmp_path / "dataset_infos.json").write_text(json.dumps(told))
    assert scan(tmp_path).classes == ("ant", "bee", "cat-tom", "dog")
    other = {"features": {"label": {"_type": "ClassLabel", "names": ["x", "y", "z", "u"]}}}
    (tmp_path / "dataset_infos.json").write_text(json.dumps({"other": other, tmp_path.name: told["default"]}))
    assert scan(tmp_path).classes == ("ant", "bee", "cat-tom", "dog"), "those called as the folder"
    (tmp_path / "dataset_infos.json").write_text(json.dumps({"other": other} | told))
    assert scan(tmp_path).classes == ("0", "1", "2", "3"), "nobody says which"
    (tmp_path / "dataset_infos.json").write_text("{")
    assert scan(tmp_path).classes == ("0", "1", "2", "3")


def test_names_of_shards_labels(tmp_path: Path) -> None:
    members = {f"{i:03}{end}": text for i in range(8) for end, text in ((".jpg", b"x"), (".cls", b"%d" % (i % 4)))}
    for shard in range(2):  # whose keys begin anew
        tar_of(tmp_path / f"{shard}.tar", members)
    (tmp_path / "classnames.txt").write_text("ant\nbee\ncat\ndog\n", encoding="utf-8-sig")
    assert scan(tmp_path).train["bee"] == ("bee/0/001.jpg", "bee/0/005.jpg", "bee/1/001.jpg", "bee/1/005.jpg")
    tar_of(tmp_path / "2.tar", {"1.jpg": b"x"})
    assert refusal(tmp_path) == f"{tmp_path / '2.tar'}: 1.jpg has no label. Put 1.cls beside it, or it in its class's folder"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"path,kind\n1.jpg,cat\n", " begins with 'path,kind', without class. Make it path,class or path,class,part"),
        (b"path,class\n1.jpg\n", ", line 2: expected path,class. Mend that line"),
        (b"path,class\n1.jpg,cat,dog\n", ", line 2: expected path,class. Mend that line"),
        (b"path,class\n\n,cat\n", ", line 3: expected path,class. Mend that line"),
        (
            b"path,class\n1.txt,cat\n",
            ", line 2: 1.txt has no picture's ending (.jpg .jpeg .png .bmp .webp .gif .tif .tiff .ppm .pgm). Mend that line",
        ),
        (b"path,class,part\n1.jpg,cat,dev\n", ", line 2: 'dev' is no part. Write train, or one of val, validation, valid, test"),
        (b"path,class\n1.jpg,caf\xe9\n", " is not UTF-8 text. Save it as UTF-8"),
        (b'path,class\n1.jpg,"cat\n', " is not CSV, line 2: unexpected end of data. Mend that line"),
        (b"path,class\n", " lists no pictures. Give each a line: path,class"),
        (b"", " begins with '', without path and class. Make it path,class or path,class,part"),
        (b"path,class\n1\0.jpg,cat\n", ", line 2: expected path,class. Mend that line"),
        (b'"' + b"x" * 200_000, " is not CSV, line 1: field larger than field limit (131072). Mend that line"),
        (b"path,class\n1.jpg,cat\n1.jpg,cat\n", ""),
        (b"path,class\n1.jpg,..\n", ""),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: bytes, said: str) -> None:
    file = tmp_path / "pictures.csv"
    file.write_bytes(text)
    there = refusal(file)
    assert there == f"{file}{said}" if said else there.startswith(f"{tmp_path}: ")


def test_a_table_of_pictures_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "pictures.csv").write_text("path,class\n" + "".join(f"{i}.jpg,{'abcd'[i % 4]}\n" for i in range(8)))
    with pytest.raises(TransferError) as caught:
        scan(tmp_path).digest("abcd")
    assert str(caught.value) == f"cannot read {tmp_path}/0.jpg: No such file or directory. Check the folder and its disk"


def test_two_tables(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text("path,class\n" if name < "c" else "other\n")
    assert refusal(tmp_path) == f"2 tables of pictures in {tmp_path}: a.csv, b.csv. Name one of them"


# -- the command


def test_a_study_of_parquet_is_the_study_of_the_folders(transfer: Callable[..., Said], tmp_path: Path, imagenet: Path) -> None:
    with_names(imagenet, tmp_path / "hub")
    flags = ("--set", "pictures.size=12", "--set", "pictures.crop=12", "--recipe", "tiny-imagenet-cpu")
    said = transfer("split", "hub", *flags)
    assert (said.code, said.err) == (0, "")
    assert "Pictures: parquet, 2 files of train and 2 files of validation" in said.out.splitlines()
    digest = json.loads((tmp_path / "results/study/random-0/split.json").read_text())["digest"]
    assert transfer("split", imagenet, *flags, "--study", "other").code == 0
    assert json.loads((tmp_path / "other/random-0/split.json").read_text())["digest"] == digest
