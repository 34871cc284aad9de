"""The released facts are whole, and the published lists of pictures follow from them."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from transfercli import paper
from transfercli.plan.splits import make_split, random_halves

PACKAGE = Path(paper.__file__).parent


def md5(half: list[int]) -> str:
    return hashlib.md5(paper.validation_list(half).encode()).hexdigest()


def test_classes_are_the_1000_in_the_order_of_their_wordnet_ids() -> None:
    classes = paper.classes()
    assert [one.index for one in classes] == list(range(1000))
    wnids = [one.wnid for one in classes]
    assert wnids == sorted(set(wnids))
    assert classes[0] == (0, "n01440764", "tench, Tinca tinca", "natural")
    assert classes[999].kind == "man-made"


def test_classes_are_called_by_a_word_and_their_id() -> None:
    assert paper.called("n01440764") == "tench (n01440764)"
    assert paper.called("n00000001") == "n00000001"
    assert len({paper.called(one.wnid) for one in paper.classes()}) == 1000  # there are two cranes


def test_natural_classes_are_the_449_that_the_authors_chose() -> None:
    natural = [one.index for one in paper.classes() if one.kind == "natural"]
    assert natural == [*range(398), *range(936, 959), 970, *range(972, 999)]
    assert {one.kind for one in paper.classes()} == {"natural", "man-made"}


def test_validation_labels_are_50_pictures_of_each_class() -> None:
    labels = paper.validation_labels()
    assert labels[:3] == (65, 970, 230)
    assert sorted(labels) == [index for index in range(1000) for _ in range(50)]


def test_a_validation_list_keeps_the_order_of_pictures_and_labels_by_place_in_the_half() -> None:
    lines = paper.validation_list([970, 65]).splitlines()
    assert lines[:2] == ["ILSVRC2012_val_00000001.JPEG 1", "ILSVRC2012_val_00000002.JPEG 0"]
    assert len(lines) == 100
    assert lines == sorted(lines)


@pytest.mark.parametrize("seed", range(4))
def test_random_halves_give_the_published_lists(seed: int) -> None:
    A, B = random_halves(1000, seed)
    published = paper.split_md5()
    assert md5(A) == published[f"half{seed}A_valid/files.txt"]
    assert md5(B) == published[f"half{seed}B_valid/files.txt"]


@pytest.mark.parametrize(
    ("method", "seed", "list_name"),
    [*(("random", seed, f"half{seed}") for seed in range(4)), ("man-made-natural", None, "halfnatman")],
)
def test_splits_of_imagenet_folders_give_the_published_lists(method: str, seed: int | None, list_name: str) -> None:
    index = {one.wnid: one.index for one in paper.classes()}
    split = make_split(method, list(index), seed)
    published = paper.split_md5()
    for half in "AB":
        indices = [index[wnid] for wnid in split.classes(half)]
        assert md5(indices) == published[f"{list_name}{half}_valid/files.txt"]


def test_all_classes_give_the_published_whole_list() -> None:
    assert md5(list(range(1000))) == paper.split_md5()["whole_valid/files.txt"]


def test_the_digests_cover_all_validation_lists() -> None:
    names = [f"half{half}" for half in ("0A", "0B", "1A", "1B", "2A", "2B", "3A", "3B", "natmanA", "natmanB")]
    assert [name for name in paper.split_md5() if name.endswith("_valid/files.txt")] == [
        f"{name}_valid/files.txt" for name in [*names, "whole"]
    ]


def test_published_has_each_released_network_once_with_typed_columns() -> None:
    table = paper.published()
    header = (PACKAGE / "published.csv").read_text(encoding="utf-8").splitlines()[0]
    assert list(table.columns) == header.split(",")
    assert table.network.is_unique
    assert not table.drop(columns="seed").isna().any(axis=None)
    assert sorted(table.seed.dropna().unique()) == [0, 1, 2, 3]
    assert set(table[table.treatment == "base"].source) == {""}
    assert table.top1_final.between(0, 1).all()
    counts = table[table.split == "random"].treatment.value_counts()
    assert counts.to_dict() == {"AnB": 56, "BnB": 28, "AnB+": 10, "BnB+": 10, "base": 8}
    base = table[table.network == "half0B"].iloc[0]
    assert (base.seed, base.target, base.layer, base.top1_final) == (0, "B", 0, 0.633239)


def test_the_facts_are_read_from_an_archive_too_and_without_pandas(tmp_path: Path) -> None:
    """A package in a zip has no files on disk: only the import system can reach its data."""
    archive = tmp_path / "package.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("transfercli/__init__.py", "")
        for name in (
            "__init__.py",
            *(path.name for path in [*PACKAGE.glob("*.csv"), *PACKAGE.glob("*.txt")]),
        ):
            file.write(PACKAGE / name, f"transfercli/paper/{name}")
    program = (
        f"import sys; sys.path.insert(0, {str(archive)!r}); from transfercli import paper; "
        "print(paper.__file__, len(paper.classes()), len(paper.validation_labels()), len(paper.split_md5()), "
        "'pandas' in sys.modules, len(paper.published()))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    rows = len(paper.published())
    digests = len(paper.split_md5())
    inside = archive / "transfercli" / "paper" / "__init__.py"
    assert done.stdout == f"{inside} 1000 50000 {digests} False {rows}\n"
