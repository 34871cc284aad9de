"""Halves: always two, disjoint, covering, in label order; every fault is one line with its remedy."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfercli.plan.splits import Split, kind_of, make_split, method_and_seed, random_halves, split_name
from transfercli.system.errors import TransferError

LETTERS = list("abcdefg")
RANDOM_SEEDS = st.integers(0, 2**32 - 1)
# Names as folders may have them: commas, quotes, spaces, line breaks, any script; no surrogates, no NUL.
FOLDERS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1), min_size=4, unique=True)


@pytest.fixture
def halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | bytes], Path]:
    """Write halves.csv in an empty current folder."""
    monkeypatch.chdir(tmp_path)

    def write(content: str | bytes) -> Path:
        path = Path("halves.csv")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def error(call: Callable[[], object]) -> str:
    with pytest.raises(TransferError) as caught:
        call()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def assert_halves(split: Split, names: list[str]) -> None:
    assert sorted(split.A + split.B) == sorted(names)
    assert not set(split.A) & set(split.B)
    assert list(split.A) == sorted(split.A)
    assert list(split.B) == sorted(split.B)
    assert min(len(split.A), len(split.B)) >= 2


# random


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1100), RANDOM_SEEDS)
def test_random_halves_are_disjoint_ascending_and_cover(count: int, seed: int) -> None:
    A, B = random_halves(count, seed)
    assert len(A) == count // 2
    assert sorted(A + B) == list(range(count))
    assert all(half == sorted(half) for half in (A, B))


@settings(deadline=None, max_examples=50)
@given(FOLDERS, RANDOM_SEEDS, st.randoms(use_true_random=False))
def test_a_random_split_depends_on_the_set_of_classes_and_the_seed_only(
    names: list[str], seed: int, shuffler: random.Random
) -> None:
    split = make_split("random", names, seed)
    assert_halves(split, names)
    assert len(split.B) - len(split.A) == len(names) % 2
    assert (split.name, split.method, split.seed) == (f"random-{seed}", "random", seed)
    shuffled = list(names)
    shuffler.shuffle(shuffled)
    assert make_split("random", shuffled, seed) == split


def test_seeds_give_different_halves_and_the_default_is_seed_0() -> None:
    splits = [make_split("random", [str(name) for name in range(100)], seed) for seed in range(4)]
    assert len({split.A for split in splits}) == 4
    assert make_split("random", [str(name) for name in range(100)]) == splits[0]


def test_a_random_split_needs_four_classes() -> None:
    assert error(lambda: make_split("random", ["a", "b", "c"])) == (
        "split random-0: half A would have 1 of 3 classes; use pictures of at least 4 classes"
    )
    assert error(lambda: make_split("random", [])) == (
        "split random-0: half A would have 0 of 0 classes; use pictures of at least 4 classes"
    )


@pytest.mark.parametrize("seed", [-1, 2**32, None])
def test_a_random_split_refuses_seeds_that_its_generator_cannot_take(seed: int | None) -> None:
    assert error(lambda: make_split("random", LETTERS, seed)) == (
        f"a random split cannot have seed {seed}; give one from 0 to 4294967295"
    )


def test_classes_of_a_half() -> None:
    split = Split("halves", "halves.csv", None, ("a", "b"), ("c", "d"))
    assert split.classes("A") == ("a", "b")
    assert split.classes("B") == ("c", "d")
    with pytest.raises(KeyError):
        split.classes("C")


# man-made-natural


def test_natural_is_half_A_and_man_made_half_B_by_wordnet_id_or_prefix() -> None:
    wordnet = ["n04553703", "n01440764", "n02422699", "n02692877"]  # washbasin, tench, impala, airship
    built_in = ["natural-leaf", "man-made-brick"]
    split = make_split("man-made-natural", wordnet + built_in, 7)
    assert split == Split(
        "man-made-natural",
        "man-made-natural",
        None,
        ("n01440764", "n02422699", "natural-leaf"),
        ("man-made-brick", "n02692877", "n04553703"),
        ("natural", "man-made"),
    )


@pytest.mark.parametrize("name", ["n00000001", "n01440764x", "natural", "leaf", "naturally", ""])
def test_a_name_that_does_not_tell_has_no_kind(name: str) -> None:
    assert kind_of(name) is None


def test_man_made_natural_refuses_classes_of_unknown_kind() -> None:
    names = [*"gfedcba", "natural-leaf", "n01440764"]
    assert error(lambda: make_split("man-made-natural", names)) == (
        "split man-made-natural: cannot tell the kind of 'a', 'b', 'c', 'd', 'e' and 2 more; "
        "name class folders by their ILSVRC2012 WordNet ids or natural-... and man-made-..., "
        "or list the halves in a CSV file"
    )


def test_man_made_natural_refuses_pictures_of_one_kind() -> None:
    remedy = "use pictures of at least 2 classes of each kind, or a random split"
    assert error(lambda: make_split("man-made-natural", [f"natural-{one}" for one in "abc"])) == (
        f"split man-made-natural: half B (man-made) would have 0 of 3 classes; {remedy}"
    )
    assert error(lambda: make_split("man-made-natural", ["man-made-a", "man-made-b", "natural-c"])) == (
        f"split man-made-natural: half A (natural) would have 1 of 3 classes; {remedy}"
    )


# a CSV file


@settings(deadline=None, max_examples=50)
@given(FOLDERS, st.randoms(use_true_random=False))
def test_a_file_in_any_order_gives_the_halves_that_it_lists(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], shuffler: random.Random
) -> None:
    shuffler.shuffle(names)
    wanted = {name: "AB"[place % 2] for place, name in enumerate(names)}
    lines = ['"' + name.replace('"', '""') + f'",{half}\n' for name, half in wanted.items()]
    path = tmp_path_factory.getbasetemp() / "any-order.csv"
    path.write_bytes(("class,half\n" + "".join(lines)).encode())
    shuffler.shuffle(names)
    split = make_split(str(path), names)
    assert_halves(split, names)
    assert {name: half for half in "AB" for name in split.classes(half)} == wanted


def test_classes_that_a_file_does_not_list_are_in_neither_half(halves: Callable[[str | bytes], Path]) -> None:
    path = halves("class,half\nd,A\nb,B\na,B\nf,A\n")
    assert make_split(str(path), list("abcdefg")) == Split("halves", "halves.csv", None, ("d", "f"), ("a", "b"))


def test_a_file_may_have_further_columns_in_any_order(halves: Callable[[str | bytes], Path]) -> None:
    path = halves("note,half,number,class\n,A,1,d\nB,B,2,b\nx,B,,a\ny,A,4,c\n")
    assert make_split(str(path), list("abcd")) == Split("halves", "halves.csv", None, ("c", "d"), ("a", "b"))


def test_a_file_names_its_split_and_takes_what_spreadsheets_write(
    halves: Callable[[str | bytes], Path],
) -> None:
    path = halves('\ufeffclass,half\r\nd,A\r\nb,B\r\n\r\n"a",B\r\nc,A\r\n')
    wanted = Split("halves", "halves.csv", None, ("c", "d"), ("a", "b"))
    assert make_split(str(path), list("abcd"), 3) == wanted
    assert make_split(str(path.resolve()), list("abcd")) == wanted


@pytest.mark.parametrize(
    "lines", ["c,vehicles\na,vehicles\nb,animals\nd,animals\n", "b,animals\nd,animals\nc,vehicles\na,vehicles\n"]
)
def test_halves_may_have_any_names_of_which_the_first_by_the_alphabet_is_A(
    halves: Callable[[str | bytes], Path], lines: str
) -> None:
    path = halves("class,half\n" + lines)
    wanted = Split("halves", "halves.csv", None, ("b", "d"), ("a", "c"), ("animals", "vehicles"))
    assert make_split(str(path), list("abcd")) == wanted
    assert wanted.half_names == {("halves", "A"): "animals", ("halves", "B"): "vehicles"}


HEADER = "make its first line class,half (further columns may follow)"
REMEDY = "give each class that is to take part one line, with its folder's name and its half"
A_NAME = "a half's name is 1 to 30 printable characters with no space around them"


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("a,A\nb,A\nc,B\nd,B\nelk,B\n", "not among the pictures' classes: 'elk'"),
        ("a,A\nb,A\nc,B\nd,B\na,A\n", "listed more than once: 'a'"),
        ("a,A\nb,A\nc,B\nd,B\na,B\na,A\n", "listed more than once: 'a'"),
        ("a,A\nb,a\nc,B\nd, B\n", "4 halves instead of 2: ' B', 'A', 'B', 'a'"),
        ("a,A\nb,\nc,B\nd,B\n", "3 halves instead of 2: '', 'A', 'B'"),
        ("a,A\nb,A\nc,A\nd,A\n", "1 half instead of 2: 'A'"),
        ("a,A\nb,A\nc,a\nd,a\n", "A and B are for both halves or for none: 'A', 'a'"),
        ("a,B\nb,B\nc,C\nd,C\n", "A and B are for both halves or for none: 'B', 'C'"),
        ("a,x\nb,x\nc,\nd,\n", f"{A_NAME}: ''"),
        ("a,x\nb,x\nc, x\nd, x\n", f"{A_NAME}: ' x'"),
        ("a,x\nb,x\nc,\u202ey\nd,\u202ey\n", f"{A_NAME}: '\\u202ey'"),
        (f"a,x\nb,x\nc,{'y' * 31}\nd,{'y' * 31}\n", f"{A_NAME}: '{'y' * 31}'"),
        ("", "no class is listed"),
        ("1,A\n2,A\n3,A\n4,B\n5,B\n6,B\n7,B\na,A\nb,B\nc,A\nd,B\n",
         "not among the pictures' classes: '1', '2', '3', '4', '5' and 2 more"),
        ("a,A\na,C\nc,B\nd,B\n\"e\nf\",B\n",
         "3 halves instead of 2: 'A', 'B', 'C'; listed more than once: 'a'; "
         "not among the pictures' classes: 'e\\nf'"),
    ],
)  # fmt: skip
def test_a_file_must_list_each_class_once_in_one_of_two_halves(
    halves: Callable[[str | bytes], Path], lines: str, fault: str
) -> None:
    path = halves("class,half\n" + lines)
    assert error(lambda: make_split(str(path), list("abcd"))) == f"split file halves.csv: {fault}; {REMEDY}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("class;half\na;A\n",
         f"split file halves.csv begins with 'class;half'; {HEADER}"),
        ("a,A\nb,B\n", f"split file halves.csv begins with 'a,A'; {HEADER}"),
        ("class,half,class\na,A,b\n",
         f"split file halves.csv begins with 'class,half,class'; {HEADER}"),
        ("", f"split file halves.csv begins with ''; {HEADER}"),
        ("class,half\n\na,A\nb\n",
         "split file halves.csv, line 4 has 1 fields, not 2: class,half; mend that line"),
        ("class,half\na,A,B\n",
         "split file halves.csv, line 2 has 3 fields, not 2: class,half; mend that line"),
        ("class,half\n\"a,A\nb,B\n",
         "split file halves.csv is not CSV, line 3: unexpected end of data; mend that line"),
        ("class,half\né,A\n".encode("latin-1"), "split file halves.csv is not UTF-8 text; save it as UTF-8"),
        ("class,half\n".encode("utf-16"), "split file halves.csv is not UTF-8 text; save it as UTF-8"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_such_table_is_refused(
    halves: Callable[[str | bytes], Path], content: str | bytes, message: str
) -> None:
    path = halves(content)
    assert error(lambda: make_split(str(path), list("abcd"))) == message


def test_a_file_that_is_not_there_or_is_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert error(lambda: make_split("no/halves.csv", LETTERS)) == (
        "split file no/halves.csv does not exist; give a CSV file with the header class,half"
    )
    Path("folder.csv").mkdir()
    assert error(lambda: make_split("folder.csv", LETTERS)) == (
        "split file folder.csv cannot be read (Is a directory); give a CSV file with the header class,half"
    )


@pytest.mark.parametrize(("names", "what"), [("AB", "half B"), ("xy", "half B (y)")])
def test_a_file_must_give_each_half_two_classes(halves: Callable[[str | bytes], Path], names: str, what: str) -> None:
    path = halves("class,half\na,{0}\nb,{0}\nc,{0}\nd,{1}\n".format(*names))
    assert error(lambda: make_split(str(path), list("abcd"))) == (
        f"split halves: {what} would have 1 of 4 classes; give each half at least 2 classes in halves.csv"
    )


# names


@given(RANDOM_SEEDS)
def test_a_random_name_is_read_back(seed: int) -> None:
    assert method_and_seed(split_name("random", seed)) == ("random", seed)


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("man-made-natural", "man-made-natural"),
        ("halves.csv", "halves"),
        ("/some where/else/Dogs_1.2-cats.CSV", "Dogs_1.2-cats"),
        ("random-dogs.csv", "random-dogs"),
    ],
)
def test_other_words_stand_for_themselves_and_have_no_seed(word: str, name: str) -> None:
    assert method_and_seed(word) == (word, None)
    assert split_name(word) == name


@pytest.mark.parametrize(
    "word",
    [
        "random",
        "random-",
        "random-x",
        "random--1",
        "random-01",
        "random-1 ",
        "random-\u0661",
        "",
        ".csv",
        "a.txt",
    ],
)
def test_unknown_words_for_a_split_are_refused(word: str) -> None:
    assert error(lambda: method_and_seed(word)) == (
        f"split {word!r} is not known; write random-<seed> (as random-0), man-made-natural, "
        "the path of a .csv file with the header class,half, or all"
    )


def test_a_random_name_with_too_large_a_seed_is_refused() -> None:
    assert error(lambda: method_and_seed("random-4294967296")) == (
        "a random split cannot have seed 4294967296; give one from 0 to 4294967295"
    )


@pytest.mark.parametrize("method", ["random-0", "natural", ""])
def test_unknown_methods_are_refused(method: str) -> None:
    assert error(lambda: make_split(method, LETTERS)) == (
        f"split method {method!r} is not known; give random, man-made-natural, "
        "the path of a .csv file with the header class,half, or all"
    )


@pytest.mark.parametrize("stem", [".hidden", "..", "-x", "my halves", "a\nb", "hälften", "a:b", "x\n"])
def test_a_file_whose_stem_is_no_safe_folder_name_is_refused(stem: str) -> None:
    word = f"folder/{stem}.csv"
    message = (
        f"split file {word!r} cannot name a split; rename it with letters, digits, '.', '_' and '-', a letter, digit or '_' first"
    )
    assert error(lambda: method_and_seed(word)) == message
    assert error(lambda: make_split(word, LETTERS)) == message


@pytest.mark.parametrize(
    "stem",
    [*("figures", "Figures", "results", "results.csv", "recipe", "recipe.yaml"),
     *("man-made-natural", "random-0", "Random-01")],
)  # fmt: skip
def test_a_file_whose_stem_is_taken_in_a_study_is_refused(stem: str) -> None:
    word = f"{stem}.csv"
    message = (
        f"split file {word!r} cannot name a split, because {stem!r} already means something else in a study; rename the file"
    )
    assert error(lambda: method_and_seed(word)) == message
    assert error(lambda: make_split(word, LETTERS)) == message
