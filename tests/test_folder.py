"""The two layouts are read alike, and what cannot be used is refused in one line that says what to do."""

import os
import shutil
from pathlib import Path

import pytest

from transfercli.pictures.folder import PictureFolder, scan
from transfercli.system.errors import TransferError

NAMES = ("ant", "bee", "cat", "dog")


def touch(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """ImageFolder layout: four classes with three training and two validation pictures each."""
    root = tmp_path / "pictures"
    for name in NAMES:
        for i in range(3):
            touch(root / "train" / name / f"{i}.jpg")
        for i in range(2):
            touch(root / "val" / name / f"{i}.jpg")
    return root


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Tiny-ImageNet-200's layout: four classes with two training pictures and one validation picture each."""
    root = tmp_path / "tiny"
    lines = []
    for i, name in enumerate(NAMES):
        touch(root / "train" / name / "images" / f"{name}_0.JPEG")
        touch(root / "train" / name / "images" / f"{name}_1.JPEG")
        touch(root / "train" / name / f"{name}_boxes.txt")
        touch(root / "val" / "images" / f"val_{i}.JPEG")
        lines.append(f"val_{i}.JPEG\t{name}\t0\t0\t63\t63\n")
    touch(root / "val" / "val_annotations.txt", "".join(lines))
    touch(root / "wnids.txt")
    return root


def refusal(root: Path) -> str:
    with pytest.raises(TransferError) as caught:
        scan(root)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_image_folder(root: Path) -> None:
    folder = scan(root)
    assert folder.root == root
    assert folder.classes == NAMES
    assert folder.train["bee"] == ("train/bee/0.jpg", "train/bee/1.jpg", "train/bee/2.jpg")
    assert folder.val["dog"] == ("val/dog/0.jpg", "val/dog/1.jpg")
    assert list(folder.val) == list(folder.train)


def test_what_counts_as_a_picture(root: Path) -> None:
    shutil.rmtree(root / "train" / "ant")
    names = ["A.JPEG", "b.jpg", "c.png", "d.bmp", "e.webp", "f.GIF", "g.tif", "h.tiff", "i.ppm", "j.pgm"]
    for name in [*names, ".hidden.jpg", "._A.JPEG", "notes.txt", "jpg", "x.jpg.part", ".cache/k.jpg"]:
        touch(root / "train" / "ant" / name)
    touch(root / "train" / "ant" / "deep" / "er" / "k.jpg")
    touch(root / "train" / "loose.jpg")
    touch(root / "train" / ".hidden" / "k.jpg")
    expected = sorted([*names, "deep/er/k.jpg"])
    assert scan(root).train["ant"] == tuple(f"train/ant/{name}" for name in expected)
    assert scan(root).classes == NAMES


def test_links_are_followed(root: Path, tmp_path: Path) -> None:
    (root / "train" / "ant").rename(tmp_path / "elsewhere")
    (root / "train" / "ant").symlink_to(tmp_path / "elsewhere")
    (root / "val" / "bee" / "1.jpg").rename(tmp_path / "one.jpg")
    (root / "val" / "bee" / "1.jpg").symlink_to(tmp_path / "one.jpg")
    folder = scan(root)
    assert folder.train["ant"] == ("train/ant/0.jpg", "train/ant/1.jpg", "train/ant/2.jpg")
    assert folder.val["bee"] == ("val/bee/0.jpg", "val/bee/1.jpg")


@pytest.mark.parametrize("target", [".", ".."])
def test_a_link_back_is_refused(root: Path, target: str) -> None:
    (root / "train" / "ant" / "deep").mkdir()
    link = root / "train" / "ant" / "deep" / "again"
    link.symlink_to(target)
    assert refusal(root) == f"{link} leads back to a folder that holds it. Remove that link"


def test_links_in_a_circle_are_refused(root: Path) -> None:
    (root / "train" / "ant" / "x").symlink_to(root / "train" / "bee")
    (root / "train" / "bee" / "y").symlink_to(root / "train" / "ant")
    link = root / "train" / "ant" / "x" / "y"
    assert refusal(root) == f"{link} leads back to a folder that holds it. Remove that link"


def test_a_link_to_nothing_is_refused(root: Path) -> None:
    link = root / "val" / "ant" / "0.jpg"
    link.unlink()
    link.symlink_to("gone.jpg")
    assert refusal(root) == f"{link} is a link to nothing. Mend or remove it"


def test_no_such_folder(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert refusal(gone) == f"no such folder: {gone}. Give the folder that holds train/ and val/"
    touch(gone)
    assert refusal(gone) == f"not a folder: {gone}. Give the folder that holds train/ and val/"


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_part_is_missing(root: Path, part: str) -> None:
    shutil.rmtree(root / part)
    remedy = "Give the folder that holds train/ and val/, each with a folder per class"
    if part == "train":
        assert refusal(root) == f"no train/ in {root}. {remedy}"
    else:
        assert refusal(root) == (
            f"no val/ in {root}, nor validation/, valid/ or test/. {remedy}; "
            f"or {root / 'train'}, and a share of each class is held out"
        )


@pytest.mark.parametrize("name", ["validation", "valid", "test"])
def test_other_names_for_the_validation_pictures(root: Path, name: str) -> None:
    expected = scan(root)
    (root / "val").rename(root / name)
    folder = scan(root)
    assert folder.validation == name
    assert folder.val["bee"] == (f"{name}/bee/0.jpg", f"{name}/bee/1.jpg")
    assert (folder.train, folder.counts(NAMES)) == (expected.train, (12, 8))
    (root / name / "cat" / "0.jpg").unlink()
    (root / name / "cat" / "1.jpg").unlink()
    assert refusal(root) == (
        f"{root}: 1 class has no picture in {name}/: cat. Give each class pictures in both, or remove it from train/ and {name}/"
    )


def test_of_several_the_first_is_taken(root: Path) -> None:
    assert (scan(root).validation, scan(root).passed_over) == ("val", ())
    (root / "val").rename(root / "valid")
    touch(root / "test" / "loose.jpg")  # without labels, as ImageNet's and Tiny-ImageNet's
    assert (scan(root).validation, scan(root).passed_over) == ("valid", ("test",))
    shutil.copytree(root / "valid", root / "validation")
    assert (scan(root).validation, scan(root).passed_over) == ("validation", ("valid", "test"))


def test_a_folder_above_the_one_that_is_wanted(root: Path) -> None:
    (root.parent / "other").mkdir()
    assert refusal(root.parent) == f"no train/ in {root.parent}, but there is one in {root}. Give that folder"


# -- class folders alone


@pytest.fixture
def alone(tmp_path: Path) -> PictureFolder:
    """Class folders with 2, 3, 10 and 100 pictures."""
    for name, count in zip(NAMES, (2, 3, 10, 100), strict=True):
        for i in range(count):
            touch(tmp_path / "alone" / name / f"{'deep/' * (i % 2)}{i:02d}.jpg")
    return scan(tmp_path / "alone")


def test_class_folders_alone_have_a_share_held_out(alone: PictureFolder) -> None:
    assert (alone.validation, alone.passed_over, alone.classes) == (None, (), NAMES)
    assert alone.counts(NAMES) == (115, 0)
    parted = alone.held_out(0.2, 0)
    assert {name: len(parted.val[name]) for name in NAMES} == {"ant": 1, "bee": 1, "cat": 2, "dog": 20}
    for name in NAMES:
        assert sorted(parted.train[name] + parted.val[name]) == list(alone.train[name])
        assert list(parted.val[name]) == sorted(parted.val[name])
    assert {name: len(files) for name, files in alone.held_out(0.99, 0).train.items()} == {name: 1 for name in NAMES}
    assert parted.digest(NAMES) != alone.held_out(0.3, 0).digest(NAMES) != alone.held_out(0.3, 1).digest(NAMES)


def test_what_is_held_out_follows_from_seed_and_names_alone(alone: PictureFolder, tmp_path: Path) -> None:
    parted = alone.held_out(0.2, 0)
    assert parted.val["cat"] == ("cat/08.jpg", "cat/deep/07.jpg")  # on any machine
    assert alone.held_out(0.2, 1).val != parted.val
    moved = scan(shutil.copytree(alone.root, tmp_path / "moved"))
    assert moved.held_out(0.2, 0).val == parted.val
    touch(alone.root / "dog" / "one more.jpg")
    before, after = {*parted.val["dog"]}, {*scan(alone.root).held_out(0.2, 0).val["dog"]}
    assert len(before - after) <= 1  # it may take the place of one


def test_a_folder_with_validation_pictures_holds_nothing_out(root: Path) -> None:
    assert scan(root).held_out(0.5, 0) == scan(root)


def test_class_folders_alone_that_cannot_be_parted(alone: PictureFolder, tmp_path: Path) -> None:
    (alone.root / "ant" / "00.jpg").unlink()
    remedy = "Give each class one to train on and one to hold out, or remove it"
    assert refusal(alone.root) == f"{alone.root}: 1 class has fewer than two pictures: ant. {remedy}"
    (alone.root / "notes").mkdir()
    assert refusal(alone.root) == f"{alone.root}: 2 classes have fewer than two pictures: ant, notes. {remedy}"
    for name in ("ant", "notes"):
        shutil.rmtree(alone.root / name)
    assert refusal(alone.root) == f"3 classes in {alone.root}, but two halves need at least 4. Add classes"
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    assert refusal(tmp_path / "empty") == (
        f"no train/ in {tmp_path / 'empty'}, and no pictures in {tmp_path / 'empty'}/<class>/. Give the folder that holds "
        "train/ and val/, or one with a folder per class that holds its pictures "
        "(.jpg .jpeg .png .bmp .webp .gif .tif .tiff .ppm .pgm)"
    )


def test_held_out_pictures_that_are_left_out(alone: PictureFolder) -> None:
    parted = alone.held_out(0.2, 0)
    with pytest.raises(TransferError) as caught:
        parted.without(parted.val["ant"])
    assert str(caught.value) == (
        f"{alone.root}: with the unusable pictures left out, 1 class has no picture held out: ant. "
        f"Replace those pictures, or remove the class from {alone.root}"
    )


@pytest.mark.parametrize("part", ["train", "val"])
def test_no_pictures(root: Path, part: str) -> None:
    shutil.rmtree(root / part)
    touch(root / part / "loose.jpg")
    assert refusal(root) == (
        f"no pictures in {root / part}/<class>/. Put each class's pictures "
        "(.jpg .jpeg .png .bmp .webp .gif .tif .tiff .ppm .pgm) there"
    )


def test_a_class_in_one_part_only(root: Path) -> None:
    shutil.rmtree(root / "val" / "bee")
    remedy = "Give each class pictures in both, or remove it"
    assert refusal(root) == f"{root}: 1 class in train/ but not in val/: bee. {remedy}"
    touch(root / "val" / "bee" / "0.jpg")
    for i in range(7):
        touch(root / "val" / f"new{i}" / "0.jpg")
    listed = "new0, new1, new2, new3, new4 and 2 more"
    assert refusal(root) == f"{root}: 7 classes in val/ but not in train/: {listed}. {remedy}"


@pytest.mark.parametrize("part", ["train", "val"])
def test_an_empty_class(root: Path, part: str) -> None:
    remedy = "Give each class pictures in both, or remove it from train/ and val/"
    for path in (root / part / "cat").iterdir():
        path.unlink()
    touch(root / part / "cat" / "notes.txt")
    assert refusal(root) == f"{root}: 1 class has no picture in {part}/: cat. {remedy}"
    for path in (root / part / "dog").iterdir():
        path.unlink()
    assert refusal(root) == f"{root}: 2 classes have no picture in {part}/: cat, dog. {remedy}"


def test_too_few_classes(root: Path) -> None:
    for part in ("train", "val"):
        shutil.rmtree(root / part / "dog")
    assert refusal(root) == f"3 classes in {root}, but two halves need at least 4. Add classes"


def test_permission_denied(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not by chmod, which does not stop root.
    real = os.scandir
    closed = os.path.join(root, "train/cat")

    def scandir(path: str | Path) -> object:
        if os.fspath(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert refusal(root) == f"permission denied: {closed}. Make it readable for this user"


def test_a_link_to_itself(root: Path) -> None:
    link = root / "train" / "ant" / "again"
    link.symlink_to("again")
    remedy = "Check the folder and its disk"
    assert refusal(root) == f"cannot read {link}: Too many levels of symbolic links. {remedy}"


def test_tiny_imagenet(tiny: Path) -> None:
    folder = scan(tiny)
    assert folder.classes == NAMES
    assert folder.train["bee"] == ("train/bee/images/bee_0.JPEG", "train/bee/images/bee_1.JPEG")
    assert folder.val == {name: (f"val/images/val_{i}.JPEG",) for i, name in enumerate(NAMES)}


def test_tiny_imagenet_sorted_into_class_folders(tiny: Path) -> None:
    # Many people do that, and leave the annotations where they are.
    for i, name in enumerate(NAMES):
        (tiny / "val" / name).mkdir()
        (tiny / "val" / "images" / f"val_{i}.JPEG").rename(tiny / "val" / name / f"val_{i}.JPEG")
    (tiny / "val" / "images").rmdir()
    assert scan(tiny).val == {name: (f"val/{name}/val_{i}.JPEG",) for i, name in enumerate(NAMES)}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("val_9.JPEG\tant\t0\t0", "no picture 'val_9.JPEG' in val/images. Restore it or remove the line"),
        ("val_0.JPEG\tant\t0\t0", "'val_0.JPEG' has a line already. Remove one of the two"),
        ("extra.JPEG\temu\t0\t0", "class 'emu' is not in train/. Correct the line or add the class"),
        ("extra.JPEG ant 0 0", "expected file, class and a box, tab separated. Restore the file"),
        ("extra.JPEG\t\t0\t0", "expected file, class and a box, tab separated. Restore the file"),
        ("\tant\t0\t0", "expected file, class and a box, tab separated. Restore the file"),
        ("../x.JPEG\tant\t0", "'../x.JPEG' is not a plain file name. Name a file of val/images"),
        ("..\\x.JPEG\tant\t0", "'..\\\\x.JPEG' is not a plain file name. Name a file of val/images"),
        ("/x.JPEG\tant\t0\t0", "'/x.JPEG' is not a plain file name. Name a file of val/images"),
    ],
)
def test_bad_annotations(tiny: Path, line: str, complaint: str) -> None:
    annotations = tiny / "val" / "val_annotations.txt"
    touch(tiny / "val" / "x.JPEG")
    touch(tiny / "val" / "images" / "extra.JPEG")
    with annotations.open("a") as file:
        file.write("\n" + line + "\n")  # a blank line before it is passed over, and counted
    assert refusal(tiny) == f"{annotations}, line 6: {complaint}"


def test_a_picture_without_annotation(tiny: Path) -> None:
    touch(tiny / "val" / "images" / "extra.JPEG")
    touch(tiny / "val" / "images" / ".extra.JPEG")
    assert refusal(tiny) == (
        f"{tiny / 'val' / 'val_annotations.txt'}: no line for extra.JPEG of val/images. Add the lines or remove the pictures"
    )


def test_without(root: Path) -> None:
    folder = scan(root)
    rest = folder.without(["train/ant/1.jpg", "val/dog/0.jpg", "train/never/there.jpg"])
    assert rest.train == folder.train | {"ant": ("train/ant/0.jpg", "train/ant/2.jpg")}
    assert rest.val == folder.val | {"dog": ("val/dog/1.jpg",)}
    assert folder.without([]) == folder


@pytest.mark.parametrize("part", ["train", "val"])
def test_without_any_of_a_class(root: Path, part: str) -> None:
    folder = scan(root)
    with pytest.raises(TransferError) as caught:
        folder.without(getattr(folder, part)["bee"])
    assert str(caught.value) == (
        f"{root}: with the unusable pictures left out, 1 class has no picture in {part}/: bee. "
        "Replace those pictures, or remove the class from train/ and val/"
    )


def test_only_is_evenly_spaced(root: Path) -> None:
    for i in range(10):
        touch(root / "train" / "ant" / f"{i}.jpg")
    folder = scan(root)
    some = folder.only(["dog", "ant"], 5, 1)
    assert some.classes == ("ant", "dog")
    assert some.train["ant"] == tuple(f"train/ant/{i}.jpg" for i in (0, 2, 4, 6, 8))
    assert some.train["dog"] == folder.train["dog"]  # it has three, fewer than five
    assert some.val == {"ant": ("val/ant/0.jpg",), "dog": ("val/dog/0.jpg",)}
    assert folder.only(["ant"], 3, 1).train["ant"] == tuple(f"train/ant/{i}.jpg" for i in (0, 3, 6))
    assert folder.only(folder.classes, None, None) == folder
    with pytest.raises(ValueError, match=r"^at least one picture per class is needed, not 0$"):
        folder.only(["ant"], 0, None)


def test_unknown_classes(root: Path) -> None:
    folder = scan(root)
    for ask in (folder.counts, folder.digest, lambda names: folder.only(names, None, None)):
        with pytest.raises(TransferError) as caught:
            ask(["emu", "ant", "fox"])
        remedy = "Name folders that are in train/ and val/"
        assert str(caught.value) == f"{root}: 2 unknown classes: emu, fox. {remedy}"


def test_counts(root: Path) -> None:
    assert scan(root).counts(NAMES) == (12, 8)
    assert scan(root).counts(["dog", "bee"]) == (6, 4)
    assert scan(root).counts([]) == (0, 0)


def test_digest_is_of_the_pictures_not_of_the_place(root: Path, tmp_path: Path) -> None:
    digest = scan(root).digest(NAMES)
    shutil.copytree(root, tmp_path / "copy")
    assert scan(tmp_path / "copy").digest(reversed(NAMES)) == digest
    # Written down, so that another version of the program cannot give another digest unnoticed.
    assert digest == "defb1ab919ce4ec4a3c6bd146448a5f48aa38efc45f84d05c196ea0c283e2eba"


def test_digest_sees_each_change(root: Path) -> None:
    folder = scan(root)
    digests = [
        folder.digest(NAMES),
        folder.digest(NAMES[:3]),
        folder.without(["val/ant/0.jpg"]).digest(NAMES),
    ]
    (root / "train" / "ant" / "0.jpg").write_text("longer")
    digests.append(scan(root).digest(NAMES))
    (root / "val" / "ant" / "0.jpg").rename(root / "val" / "ant" / "9.jpg")
    digests.append(scan(root).digest(NAMES))
    swapped = PictureFolder(root, folder.train | {"ant": folder.train["bee"]}, folder.train)
    digests.append(swapped.digest(NAMES))
    assert len(set(digests)) == len(digests)


def test_digest_of_a_picture_that_has_gone(root: Path) -> None:
    folder = scan(root)
    gone = root / "train" / "ant" / "0.jpg"
    gone.unlink()
    with pytest.raises(TransferError) as caught:
        folder.digest(NAMES)
    remedy = "Check the folder and its disk"
    assert str(caught.value) == f"cannot read {gone}: No such file or directory. {remedy}"


def test_names_that_are_not_utf8(root: Path) -> None:
    touch(root / "train" / "ant" / os.fsdecode(b"caf\xe9.jpg"))
    folder = scan(root)
    assert folder.counts(["ant"]) == (4, 2)
    assert len(folder.digest(["ant"])) == 64


def test_annotated_names_that_are_not_utf8(tiny: Path) -> None:
    name = b"caf\xe9.JPEG"
    touch(tiny / "val" / "images" / os.fsdecode(name))
    with (tiny / "val" / "val_annotations.txt").open("ab") as file:
        file.write(name + b"\tant\t0\t0\t63\t63\n")
    assert scan(tiny).counts(["ant"]) == (2, 2)
