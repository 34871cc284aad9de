"""The packed store: the folder's pixels bit for bit, whole after any kill, and refused where it is not what it says."""

import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow
import pytest
import torch
from conftest import CLASSES, CPU, SIZE, TRAIN, VAL, Said, tiny_recipe
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from transfercli.pictures import formula, packing, store, stream
from transfercli.pictures.decode import decode
from transfercli.pictures.folder import PictureFolder, scan
from transfercli.pictures.packing import write_store
from transfercli.pictures.store import ABOUT, INDEX, About, Form, Piece, Store, shard_name
from transfercli.pictures.stream import Part, Pixels, Stream, centre, centre_crop
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Pictures
from transfercli.study.choosing import halve, halves_of, pictures_of, take
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError

NAMES = ("ant", "bee", "cat", "dog")
RAW, JPEG = Form(size=12, fit="warp"), Form(size=12, fit="warp", encoding="jpeg", quality=95)
PICTURES = Pictures(size=12, crop=9)
PER_SHARD = 6  # 28 pictures: five shards, the last of four


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SHARD_BYTES", PER_SHARD * RAW.raw_bytes + 5)
    monkeypatch.setattr(store, "JPEG_ROWS", 1)
    monkeypatch.setattr(packing, "CHUNK", 4)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of five training and two validation pictures: smooth, of many shapes, JPEG and PNG."""
    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name in NAMES:
        for number in range(7):
            folder = root / ("train" if number < 5 else "val") / name
            folder.mkdir(parents=True, exist_ok=True)
            coarse = Image.fromarray(random.integers(0, 256, (3, 3, 3), dtype=np.uint8))
            width, height = (int(side) for side in random.integers(12, 40, 2))
            coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{number}.{('png', 'jpg')[number % 2]}")
    return root


@pytest.fixture
def folder(pictures: Path, tmp_path: Path) -> PictureFolder:
    """A copy of the pictures, to change."""
    return scan(shutil.copytree(pictures, tmp_path / "folder"))


@contextmanager
def silent(label: str, total: int) -> Iterator[Callable[[int], None]]:
    yield lambda count: None


def packed(folder: PictureFolder, out: Path, form: Form = RAW, threads: int = 2, skip: bool = False) -> PictureFolder:
    assert write_store(folder, out, form, threads, skip, silent).root == out
    return scan(out)


def refusal(call: Callable[..., object], *values: object) -> str:
    with pytest.raises(TransferError) as caught:
        call(*values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def opened(folder: PictureFolder) -> Store:
    assert isinstance(folder.source, Store)
    return folder.source


def source(folder: PictureFolder, part: str = "train", pictures: Pictures = PICTURES) -> Pixels:
    files = folder.train if part == "train" else folder.val
    return Pixels(Part.of(folder.root, files, ("ant", "dog"), folder.source), pictures, CPU, 2)


def state(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != ".lock"}


def change(out: Path, **values: object) -> None:
    about = json.loads((out / ABOUT).read_text())
    (out / ABOUT).write_text(json.dumps({**about, **values}))


# -- rows and shards


@given(rows=st.integers(1, 400), per_shard=st.integers(1, 90))
def test_every_row_lies_in_one_shard_at_one_place(rows: int, per_shard: int) -> None:
    about = About(
        form=RAW, source="", made_with="", listing="0" * 64, rows=rows, per_shard=per_shard,
        index=Piece(bytes=0, sha256="0" * 64), shards=(None,) * -(-rows // per_shard),
    )  # fmt: skip
    assert [row for shard in about.missing for row in about.rows_of(shard)] == list(range(rows))
    assert {len(about.rows_of(shard)) for shard in about.missing[:-1]} <= {per_shard}
    for row in range(rows):
        shard, place = divmod(row, per_shard)
        assert about.rows_of(shard)[place] == row


@given(size=st.integers(1, 16384))
def test_a_shard_holds_as_many_rows_as_fit_and_at_least_one(size: int) -> None:
    rows, picture = Form(size=size, fit="warp").rows_per_shard, 3 * size**2
    assert rows == 1 or rows * picture <= store.SHARD_BYTES
    assert (rows + 1) * picture > store.SHARD_BYTES


# -- what training sees


@pytest.mark.parametrize("share", [0.4, 0], ids=["kept in memory", "read batch by batch"])
@pytest.mark.parametrize("fit", ["warp", "crop"])
def test_raw_pixels_are_the_folders(
    folder: PictureFolder, tmp_path: Path, share: float, fit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MEMORY_SHARE", share)
    pictures = PICTURES.model_copy(update={"fit": fit})
    out = packed(folder, tmp_path / "store", RAW.model_copy(update={"fit": fit}))
    assert (out.classes, out.train, out.val) == (folder.classes, folder.train, folder.val)

    def seen(of: PictureFolder, part: str) -> list[torch.Tensor]:
        """All that training takes from a source."""
        made = source(of, part, pictures)
        assert (made.kept is None) == (share == 0)
        batches = [Stream(made, 7, (0, "B")).make(t) for t in range(5)] + [centre_crop(made, i) for i in centre(made, 3)]
        return [made.mean_image(), *(tensor for batch in batches for tensor in batch)]

    theirs = [seen(folder, part) for part in ("train", "val")]
    shutil.rmtree(folder.root)  # the store stands alone
    for part, expected in zip(("train", "val"), theirs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(seen(out, part), expected, strict=True))


def test_raw_pixels_are_not_copied_until_they_are_asked_for(folder: PictureFolder, tmp_path: Path) -> None:
    held = pyarrow.total_allocated_bytes()
    ours = opened(packed(folder, tmp_path / "store"))
    pixels = ours.stored(11)
    assert pyarrow.total_allocated_bytes() == held  # mapped
    assert not pixels.flags.owndata and not pixels.flags.writeable
    _, _, path, _ = list(folder.listing())[11]
    np.testing.assert_array_equal(pixels, decode(folder.root / path, 12, "warp").permute(1, 2, 0).numpy())


def test_jpegs_are_near_the_folders_pixels_and_never_pass_for_them(folder: PictureFolder, tmp_path: Path) -> None:
    out = packed(folder, tmp_path / "store", JPEG)
    ours, theirs = source(out), source(folder)
    index = torch.arange(len(ours))
    (a, _), (b, _) = ours.fetch(index), theirs.fetch(index)
    assert not torch.equal(a, b)
    assert (a.int() - b.int()).abs().float().mean() < 2
    assert out.digest(NAMES) != folder.digest(NAMES)
    worse = packed(folder, tmp_path / "worse", JPEG.model_copy(update={"quality": 90}))
    assert len({out.digest(NAMES), worse.digest(NAMES), folder.digest(NAMES)}) == 3
    with Image.open(io.BytesIO(opened(out).stored(0).tobytes())) as jpeg:
        assert isinstance(jpeg, JpegImageFile)
        assert jpeg.size == (12, 12)
        assert {layer[1:3] for layer in jpeg.layer} == {(1, 1)}  # colours at full resolution


def test_a_raw_store_has_its_folders_digest(folder: PictureFolder, tmp_path: Path) -> None:
    out = packed(folder, tmp_path / "store")
    for classes in (NAMES, ("bee",), ("dog", "ant")):
        assert out.digest(classes) == folder.digest(classes)
    assert out.without(["train/ant/1.jpg"]).digest(NAMES) == folder.without(["train/ant/1.jpg"]).digest(NAMES)


def test_names_that_are_not_utf8(folder: PictureFolder, tmp_path: Path) -> None:
    odd = os.fsdecode(b"train/ant/caf\xe9 \xff.png")
    os.rename(folder.root / "train/ant/0.png", folder.root / odd)
    folder = scan(folder.root)
    out = packed(folder, tmp_path / "store")
    assert odd in out.train["ant"] and out.train == folder.train
    assert out.digest(NAMES) == folder.digest(NAMES)
    assert len(opened(out).rows([odd])) == 1


# -- killed, damaged, changed


@pytest.mark.parametrize("form", [RAW, JPEG], ids=["raw", "jpeg"])
def test_after_a_kill_the_same_call_goes_on(
    folder: PictureFolder, tmp_path: Path, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "store"
    packed(folder, whole, form, threads=1)
    decoded: Counter[str] = Counter()

    def stopped(path: str, *values: object) -> torch.Tensor:
        if sum(decoded.values()) == 20:
            raise KeyboardInterrupt
        decoded[path] += 1
        return decode(path, *values)  # type: ignore[arg-type]

    monkeypatch.setattr(packing, "decode", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_store(folder, out, form, 1, False, silent)
    # What a kill without a warning leaves besides: files set aside, a shard that store.json does not know.
    (out / ".shard-00004.arrow.x8w1.arrow").write_bytes(b"half")
    (out / ".store.json.x8w1.json").write_bytes(b"{")
    (out / shard_name(4)).write_bytes(b"half")
    kept = {path: path.stat().st_ino for path in out.glob("shard-*") if path.name != shard_name(4)}
    assert 2 <= len(kept) < 5
    again = f"go on: transfer pack {folder.root} --out {out}"
    assert refusal(scan, out) == f"the store {out} is not finished ({len(kept)} of 5 shards); {again}"

    decoded.clear()
    monkeypatch.setattr(packing, "decode", lambda path, *values: (decoded.update([path]), decode(path, *values))[1])
    packed(folder, out, form, threads=3)
    assert {path: path.stat().st_ino for path in kept} == kept
    assert sum(decoded.values()) == 28 - PER_SHARD * len(kept)
    assert state(out) == state(whole)


@pytest.mark.parametrize("form", [RAW, JPEG], ids=["raw", "jpeg"])
def test_a_flipped_bit_is_noticed_and_mended(folder: PictureFolder, tmp_path: Path, form: Form) -> None:
    out = tmp_path / "store"
    ours, before = opened(packed(folder, out, form)), state(out)
    said: list[int] = []
    ours.verify(said.append)
    assert sum(said) == 5
    inodes = {path: path.stat().st_ino for path in out.glob("shard-*")}
    damaged = bytearray(before[shard_name(3)])
    damaged[len(damaged) // 2] ^= 1
    (out / shard_name(3)).write_bytes(damaged)
    again = f"mend the store: transfer pack {folder.root} --out {out}"
    assert refusal(Store.open(out).verify) == f"{out / shard_name(3)} is damaged (its digest does not fit); {again}"
    packed(folder, out, form)
    assert state(out) == before
    assert [path.name for path in inodes if path.stat().st_ino != inodes[path]] == [shard_name(3)]
    (out / INDEX).write_bytes(before[INDEX][:-1])
    assert refusal(scan, out) == f"{out / INDEX} is damaged (its digest does not fit); {again}"
    packed(folder, out, form)
    assert state(out) == before


def _truncated(out: Path) -> str:
    whole = (out / shard_name(1)).read_bytes()
    (out / shard_name(1)).write_bytes(whole[:-100])
    return f"{shard_name(1)} is damaged ({len(whole) - 100:,} bytes, not {len(whole):,})"


def _gone(out: Path) -> str:
    (out / shard_name(4)).unlink()
    return f"{shard_name(4)} is damaged (it is missing)"


def _swapped(out: Path) -> str:
    other = (out / shard_name(0)).read_bytes()
    (out / shard_name(0)).write_bytes((out / shard_name(2)).read_bytes())
    (out / shard_name(2)).write_bytes(other)
    return f"{shard_name(0)} is damaged (it is a shard of another store, or another shard)"


def _scrambled(out: Path) -> str:
    (out / shard_name(2)).write_bytes(b"\0" * (out / shard_name(2)).stat().st_size)
    return f"{shard_name(2)} is damaged (Not an Arrow file)"


def _led_outside(out: Path) -> str:
    """A shard elsewhere, the very same bytes."""
    (out / shard_name(0)).rename(out.parent / "elsewhere")
    (out / shard_name(0)).symlink_to(out.parent / "elsewhere")
    return f"{shard_name(0)} is damaged ({shard_name(0)} is not a plain file)"


def _index_led_outside(out: Path) -> str:
    (out / INDEX).rename(out.parent / "elsewhere")
    (out / INDEX).symlink_to(out.parent / "elsewhere")
    return f"{INDEX} is damaged (its digest does not fit)"


@pytest.mark.parametrize("harm", [_truncated, _gone, _swapped, _scrambled, _led_outside, _index_led_outside])
def test_opening_refuses_a_damaged_file(folder: PictureFolder, tmp_path: Path, harm: Callable[[Path], str]) -> None:
    out = tmp_path / "store"
    packed(folder, out)
    before, expected = state(out), harm(out)
    assert refusal(scan, out) == f"{out}/{expected}; mend the store: transfer pack {folder.root} --out {out}"
    packed(folder, out)
    assert state(out) == before
    assert not any(path.is_symlink() for path in out.iterdir())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"name": "../other.arrow"}, "name: Extra inputs are not permitted"),
        ({"rows": 31}, "5 shards of 6 rows cannot hold 31 rows"),
        ({"unreadable": {"28": "?"}}, "there is no row 28"),
        ({"format": "transfer-store-2"}, "format: Input should be 'transfer-store-1'"),
        ({"form": {"size": 12, "fit": "warp", "quality": 5}}, "form: JPEG has a quality, raw pixels have none"),
    ],
)
def test_a_store_json_that_does_not_add_up_is_refused(
    folder: PictureFolder, tmp_path: Path, values: dict[str, object], reason: str
) -> None:
    out = tmp_path / "store"
    packed(folder, out)
    change(out, **values)
    again = f"remove {out} and pack again: transfer pack DIR --out {out}"
    assert refusal(scan, out) == f"{out / ABOUT} is damaged ({reason}); {again}"


def test_offsets_that_lead_out_of_a_shard_are_refused(folder: PictureFolder, tmp_path: Path) -> None:
    """By somebody who made the digests fit: reading such a row would read foreign memory."""
    out = tmp_path / "store"
    about = opened(packed(folder, out, JPEG)).about
    path, schema = out / shard_name(0), store.shard_schema(about, 0)
    offsets = np.array([0, 1, 2_000_000_000, 3, 4, 5, 6], np.int32)
    column = pyarrow.Array.from_buffers(pyarrow.binary(), 6, [None, pyarrow.py_buffer(offsets), pyarrow.py_buffer(b"123456")])
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_file(file, schema) as made:
        made.write_batch(pyarrow.record_batch([column], schema=schema))
    shards = [piece.model_dump() if piece else None for piece in about.shards]
    change(out, shards=[store.piece(path).model_dump(), *shards[1:]])
    assert refusal(scan, out).startswith(f"{path} is damaged (")


def test_a_jpeg_that_is_none_is_named(folder: PictureFolder, tmp_path: Path) -> None:
    out = tmp_path / "store"
    packed(folder, out, JPEG)
    path = out / shard_name(0)
    path.write_bytes(path.read_bytes().replace(b"\xff\xd8\xff", b"GIF"))
    message = refusal(source, scan(out))
    assert message == f"row 0 of the store {out} is damaged; mend the store: transfer pack DIR --out {out}"


def test_other_pictures_are_refused(folder: PictureFolder, tmp_path: Path) -> None:
    """By pack, and by a study that was split before."""
    out, study = tmp_path / "store", Study(tmp_path / "study")
    (folder.root / "train/ant/0.png").write_bytes((folder.root / "train/ant/2.png").read_bytes() + b"\0")
    other = packed(scan(folder.root), out)
    split = halve(other.classes, "random-0")
    halves = halves_of(study, take(other, split, PICTURES), split)
    assert pictures_of(study, halves, PICTURES).train == folder.train

    (folder.root / "train/ant/0.png").write_bytes((folder.root / "train/ant/2.png").read_bytes())
    assert refusal(write_store, scan(folder.root), out, RAW, 1, False, silent) == (
        f"{out} was made of other pictures than those in {folder.root} now (some were added, removed or changed); "
        "remove it, or choose another folder: --out STORE"
    )
    shutil.rmtree(out)
    packed(scan(folder.root), out)
    assert refusal(pictures_of, study, halves, PICTURES) == (
        f"the pictures in {out} are not those that split random-0 was made of; "
        f"put them back, or start a new study: transfer split {out} --study NEW"
    )


def test_another_form_is_refused(folder: PictureFolder, tmp_path: Path) -> None:
    out = tmp_path / "store"
    made = packed(folder, out)
    assert refusal(write_store, folder, out, JPEG, 1, False, silent) == (
        f"the pictures in {out} are 12×12 (warp), raw, not 12×12 (warp), jpeg of quality 95; "
        "remove it, or choose another folder: --out STORE"
    )
    wanted = PICTURES.model_copy(update={"size": 10, "fit": "crop"})
    expected = (
        f"the pictures in {out} are 12×12 (warp), but the recipe wants 10×10 (crop); pack them again: "
        f"transfer pack {folder.root} --out NEW --size 10 --fit crop, "
        "or change the recipe: --set pictures.size=12 --set pictures.fit=warp"
    )
    assert refusal(take, made, halve(made.classes, "random-0"), wanted) == expected
    assert refusal(Pixels, Part.of(out, made.train, NAMES, made.source), wanted, CPU, 1) == expected


def test_a_store_holds_photographs_as_the_recipe_takes_them(folder: PictureFolder, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph = folder.root / folder.train["ant"][1]
    with Image.open(photograph) as image:
        image.save(photograph, exif=exif, quality=95)
    folder = scan(folder.root)
    upright = PICTURES.model_copy(update={"orientation": "exif"})
    as_stored, turned = (
        packed(folder, tmp_path / "a"),
        packed(folder, tmp_path / "b", RAW.model_copy(update={"orientation": "exif"})),
    )
    rows = torch.arange(10)
    seen = {}
    for made, taken in ((as_stored, PICTURES), (turned, upright)):
        seen[taken.orientation] = source(made, pictures=taken).fetch(rows)[0]
        assert torch.equal(seen[taken.orientation], source(folder, pictures=taken).fetch(rows)[0])
    assert (seen["exif"] != seen["ignore"]).flatten(1).any(1).tolist() == [i == 1 for i in range(10)]
    assert refusal(take, as_stored, halve(as_stored.classes, "random-0"), upright) == (
        f"the pictures in {tmp_path / 'a'} are 12×12 (warp), but the recipe wants 12×12 (warp, turned as EXIF tells); "
        f"pack them again: transfer pack {folder.root} --out NEW --size 12 --fit warp --set pictures.orientation=exif, "
        "or change the recipe: --set pictures.orientation=ignore"
    )
    about = json.loads((tmp_path / "a" / ABOUT).read_text())
    assert about["form"].pop("orientation") == "ignore"
    (tmp_path / "a" / ABOUT).write_text(json.dumps(about))  # as stores were, before there was a choice
    assert opened(scan(tmp_path / "a")).about.form == RAW


def test_a_store_holds_pictures_resized_as_the_recipe_says(folder: PictureFolder, tmp_path: Path) -> None:
    bicubic = PICTURES.model_copy(update={"interpolation": "bicubic"})
    bilinear, other = (
        packed(folder, tmp_path / "a"),
        packed(folder, tmp_path / "b", RAW.model_copy(update={"interpolation": "bicubic"})),
    )
    rows, seen = torch.arange(10), {}
    for made, taken in ((bilinear, PICTURES), (other, bicubic)):
        seen[taken.interpolation] = source(made, pictures=taken).fetch(rows)[0]
        assert torch.equal(seen[taken.interpolation], source(folder, pictures=taken).fetch(rows)[0])
    assert not torch.equal(seen["bilinear"], seen["bicubic"])
    halved = halve(bilinear.classes, "random-0")
    assert refusal(take, bilinear, halved, bicubic) == (
        f"the pictures in {tmp_path / 'a'} are 12×12 (warp), but the recipe wants 12×12 (warp, bicubic); "
        f"pack them again: transfer pack {folder.root} --out NEW --size 12 --fit warp --set pictures.interpolation=bicubic, "
        "or change the recipe: --set pictures.interpolation=bilinear"
    )
    assert refusal(take, other, halved, PICTURES) == (
        f"the pictures in {tmp_path / 'b'} are 12×12 (warp, bicubic), but the recipe wants 12×12 (warp); "
        f"pack them again: transfer pack {folder.root} --out NEW --size 12 --fit warp, "
        "or change the recipe: --set pictures.interpolation=bicubic"
    )
    large = bicubic.model_copy(update={"size": 20000})  # no store may be so large
    assert "--size 20000 --fit warp --set pictures.interpolation=bicubic, or" in refusal(take, other, halved, large)
    about = json.loads((tmp_path / "a" / ABOUT).read_text())
    assert about["form"].pop("interpolation") == "bilinear"
    (tmp_path / "a" / ABOUT).write_text(json.dumps(about))  # as stores were, before there was a choice
    assert opened(scan(tmp_path / "a")).about.form == RAW


def test_shards_of_other_versions_are_not_mixed(folder: PictureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "store"
    packed(folder, out)
    here = packing.made_with()
    monkeypatch.setattr(packing, "made_with", lambda: "torchvision 9, Pillow 99")
    packed(folder, out)  # nothing is to be made
    _gone(out)
    assert refusal(write_store, folder, out, RAW, 1, False, silent) == (
        f"{out} was begun with {here}, and here is torchvision 9, Pillow 99, which may give other pixels; "
        "go on with those, or choose another folder: --out STORE"
    )


# -- unreadable pictures


def test_an_unreadable_picture_stops_it_or_is_left_out(folder: PictureFolder, tmp_path: Path) -> None:
    """Classes and pictures are then chosen as from the folder, so that the same split comes of either."""
    broken = ["train/bee/2.png", "val/dog/5.jpg"]
    for path in broken:
        (folder.root / path).write_bytes(b"no picture")
    out, study = tmp_path / "store", Study(tmp_path / "study")
    reason = "not a picture, or of an unknown format"
    assert refusal(write_store, folder, out, RAW, 2, False, silent) == (
        f"cannot decode {folder.root / broken[0]} ({reason}); replace it, or leave it out: --skip-unreadable"
    )
    made = packed(folder, out, skip=True)
    assert (made.train, made.val) == (folder.train, folder.val)
    assert opened(made).unreadable == dict.fromkeys(broken, reason)
    split = halve(folder.classes, "random-0")
    ours, theirs = (halves_of(study, each.without(broken), split, broken) for each in (made, folder))
    assert (ours.split, ours.counts, ours.digest, ours.left_out) == (theirs.split, theirs.counts, theirs.digest, theirs.left_out)
    opened(made).verify()
    (out / shard_name(1)).unlink()
    assert opened(packed(folder, out, skip=True)).about == opened(made).about
    assert refusal(opened(made).rows, ["train/ant/0.png", broken[0]]) == (
        f"{broken[0]} could not be decoded ({reason}) when it went into the store {out}; "
        f"make the split again: transfer split {out}"
    )
    assert refusal(opened(made).rows, ["train/ant/9.png"]) == (
        f"train/ant/9.png is not in the store {out}; make the split again: transfer split {out}"
    )


# -- where it may not be made


def test_where_no_store_can_be_made(folder: PictureFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = "choose another folder: --out STORE"
    inside = folder.root / "train" / "store"
    assert refusal(write_store, folder, inside, RAW, 1, False, silent) == (
        f"{inside} is among the pictures, and would be taken for one of their classes; {other}"
    )
    assert refusal(write_store, folder, folder.root, RAW, 1, False, silent) == (
        f"{folder.root} has other files in it and no store; {other}"
    )
    out = tmp_path / "store"
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: SimpleNamespace(free=12_000))
    assert refusal(write_store, folder, out, RAW, 1, False, silent) == (
        f"{out} needs 12.1 kB more and its disk has 12.0 kB free; "
        "make room, or choose another disk: --out STORE, or a fifth of the size: --encoding jpeg"
    )
    monkeypatch.undo()
    shutil.rmtree(out)
    out.mkdir()
    with FileLock(out / ".lock"):
        assert refusal(write_store, folder, out, RAW, 1, False, silent) == (
            f"another process is packing into {out}; wait for it, or {other}"
        )
    made = packed(folder, out)
    assert refusal(write_store, made, tmp_path / "second", RAW, 1, False, silent) == (
        f"{out} is a store already; pack the folder that it was made of: transfer pack DIR --out STORE"
    )


# -- the command


@pytest.fixture
def tiny_pictures(tmp_path: Path) -> Path:
    """The tiny study's pictures and its recipe, of five networks and three steps, in the test's own folder."""
    formula.write(tmp_path / "pictures", CLASSES, TRAIN, VAL, SIZE + 3, seed=0)
    made = tiny_recipe({"training": {"steps": 3}})
    made = made.model_copy(update={"layers": (1,), "treatments": ("AnB", "BnB+"), "targets": ("B",)})
    (tmp_path / "tiny.yaml").write_text(recipes.dump(made))
    return tmp_path / "pictures"


def weights(study: Path) -> dict[str, bytes]:
    return {str(path.relative_to(study)): path.read_bytes() for path in sorted(study.rglob("weights.safetensors"))}


@pytest.mark.slow
def test_a_study_of_the_store_is_the_study_of_the_folder(
    transfer: Callable[..., Said], tiny_pictures: Path, tmp_path: Path
) -> None:
    """Begun on the folder and ended on the store, it is the study that saw the store alone, to the bit."""
    said = transfer("pack", "pictures", "--out", "store", "--recipe", "tiny.yaml")
    count = CLASSES * (TRAIN + VAL)
    assert (said.code, said.err) == (0, "")
    made, following = said.out.splitlines()
    disk = sum(path.stat().st_size for path in (tmp_path / "store").glob("*.arrow"))
    assert made == f"Store: store ({count} pictures, {SIZE}×{SIZE} (warp), raw, {disk / 1000:.1f} kB)"
    assert following == "Next: transfer split store --recipe tiny.yaml"
    assert transfer("run", "tiny.yaml", "store", "--device", "cpu", "--study", "whole").code == 0

    mixed = ("--device", "cpu", "--study", "mixed")
    assert transfer("split", "pictures", "--recipe", "tiny.yaml", "--study", "mixed").code == 0
    assert transfer("train-base", *mixed).code == 0
    shutil.rmtree(tmp_path / "pictures")
    assert transfer("split", "store", "--study", "mixed").code == 0
    assert transfer("sweep", *mixed).code == 0
    assert len(weights(tmp_path / "whole")) == 4
    assert weights(tmp_path / "mixed") == weights(tmp_path / "whole")


def test_a_study_of_the_folder_does_not_go_on_with_jpegs(
    transfer: Callable[..., Said], tiny_pictures: Path, tmp_path: Path
) -> None:
    first = min(tiny_pictures.rglob("train/*/*.png"))
    first.write_bytes(b"")
    stored = ("--set", "pictures.orientation=ignore")
    said = transfer("pack", "pictures", "--out", "store", "--size", SIZE, "--quality", "90", *stored)
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        f"Error: cannot decode pictures/{first.relative_to(tiny_pictures)} (the file is empty); "
        "replace it, or leave it out: --skip-unreadable\n"
    )
    said = transfer("pack", "pictures", "--out", "store", "--skip-unreadable")  # as it was begun
    disk = sum(path.stat().st_size for path in (tmp_path / "store").glob("*.arrow"))
    assert said.out.splitlines() == [
        f"Store: store ({CLASSES * (TRAIN + VAL) - 1} pictures, {SIZE}×{SIZE} (warp), jpeg of quality 90, {disk / 1000:.1f} kB; "
        "store.json names the 1 unreadable picture left out)",
        "Its pixels are not quite the folder's: a study is of the store or of the folder, from the split on.",
        f"Next: transfer split store --set pictures.size={SIZE} --set pictures.orientation=ignore",
    ]
    study = ("--recipe", "tiny.yaml", "--study", "study")
    assert transfer("split", "pictures", *study, "--skip-unreadable").code == 0
    assert transfer("train-base", "--study", "study", "--device", "cpu").code == 0
    said = transfer("split", "store", *study)
    assert said.err == (
        "Error: the networks in study were trained on another split random-0 (other classes or pictures); "
        "start a new study: --study DIR\n"
    )
    said = transfer("split", "store", "--recipe", "tiny.yaml", "--study", "new")
    assert "Split: new/random-0/split.json (names the 1 unreadable picture left out)" in said.out.splitlines()
    assert json.loads((tmp_path / "new/random-0/split.json").read_text())["left_out"] == [str(first.relative_to(tiny_pictures))]


def test_a_quality_is_for_jpegs(transfer: Callable[..., Said], tiny_pictures: Path) -> None:
    said = transfer("pack", "pictures", "--out", "store", "--encoding", "raw", "--quality", "90")
    assert (said.code, said.out) == (2, "")
    assert said.err == "Error: --quality is for JPEGs; leave it out with --encoding raw (see: transfer pack --help)\n"
