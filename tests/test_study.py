"""The study folder: files that are whole or not there, rows, the lock, the table; and from pictures to halves and back."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
from conftest import CLASSES, SPLIT, Tiny, tiny_recipe, unreadable
from hypothesis import given, settings
from hypothesis import strategies as st

from transfercli.pictures.folder import scan
from transfercli.plan.networks import Network, base, bases, columns, transfers
from transfercli.plan.splits import Split
from transfercli.plan.treatments import USUAL
from transfercli.recipe import reading as recipes
from transfercli.study.choosing import halve, halves_of, pictures_of, take
from transfercli.study.folder import Study
from transfercli.study.rows import COLUMNS
from transfercli.study.splits import Halves
from transfercli.system.errors import TransferError
from transfercli.system.files import replacing, write_text

A3B = Network(SPLIT, 0, "AnB", 3, "B")


def row_of(network: Network, **values: Any) -> dict[str, Any]:
    measured = {"top1": 0.5, "top5": 1.0, "loss": 1.25, "top1_best10": 0.625, "step": 9, "status": "done", "classes": 4}
    return columns(network) | measured | values


def write(study: Study, network: Network, **values: Any) -> Path:
    line = {"step": 9, "train_loss": float("nan"), "loss": 1.25, "top1": 0.5, "top5": 1.0, "learning_rate": 0.1}
    study.write_network(network, row_of(network, **values), [line])
    return study.folder(network)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


# -- files that are whole or not there


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def watch(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[tuple[str, tuple[Any, ...]]]:
    """Fills with the calls of functions of `os`, which do what they always do."""
    calls: list[tuple[str, tuple[Any, ...]]] = []

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            calls.append((name, args))
            return function(*args)

        return call

    for name in names:
        monkeypatch.setattr(os, name, watched(name, getattr(os, name)))
    return calls


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.json"
    write_text(path, "first")
    with replacing(path) as aside:
        assert aside.parent == path.parent
        assert aside.suffix == path.suffix
        aside.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert os.listdir(path.parent) == ["file.json"]
    assert path.stat().st_mode & 0o777 == 0o644  # mkstemp's own mode would keep everybody else out


def test_what_was_there_stays_when_the_writer_fails(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_text(path, "first")
    with pytest.raises(KeyboardInterrupt), replacing(path) as aside:
        aside.write_text("sec")
        raise KeyboardInterrupt
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["file.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    write_text(path, "first")
    monkeypatch.setattr(os, call, full)
    with pytest.raises(TransferError) as error:
        write_text(path, "second")
    assert str(error.value) == f"cannot write {path}: No space left on device; make room or choose another folder: --study DIR"
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["file.json"]


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut may leave an empty file under the right name."""
    done = watch(monkeypatch, "fsync", "replace")
    write_text(tmp_path / "file", "text")
    assert [name for name, _ in done] == ["fsync", "replace"]


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(TransferError) as error:
        write_text(tmp_path / "file" / "row.json", "text")
    assert str(error.value).startswith(f"cannot write {tmp_path / 'file' / 'row.json'}: ")
    assert (tmp_path / "file").read_text() == "mine"


@given(text=st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])))
@settings(max_examples=30, deadline=None)
def test_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("text") / "file"
    write_text(path, text)
    assert path.read_text(encoding="utf-8") == text


# -- recipe and splits


def test_the_recipe_comes_back_as_it_was(tmp_path: Path) -> None:
    study, recipe = Study(tmp_path / "new"), tiny_recipe()
    study.write_recipe(recipe)
    assert study.recipe() == recipe
    assert study.recipe().digest() == recipe.digest()


def test_a_folder_without_a_study_says_how_to_start_one(tmp_path: Path) -> None:
    study = Study(tmp_path)
    for ask in (study.recipe, lambda: study.need_splits(), lambda: study.halves("random-0")):
        with pytest.raises(TransferError) as error:
            ask()
        what = {"recipe": "no study in", "<lambda>": "no split"}[ask.__name__]
        assert str(error.value).startswith(what)
        assert str(error.value).endswith(f"transfer split DIR --study {tmp_path}")
    assert (study.rows(), study.split_names(), study.logs(), study.holder()) == ([], [], {}, None)
    assert tuple(study.table().columns) == (*COLUMNS, "classes")
    assert os.listdir(tmp_path) == []  # asking writes nothing


# Any name that a folder may have; bytes that are no UTF-8 come as lone surrogates.
characters = st.characters(exclude_categories=["Cs"], exclude_characters="/\0") | st.characters(
    min_codepoint=0xDC80, max_codepoint=0xDCFF
)
name = st.text(characters, min_size=1).filter(lambda text: text not in (".", ".."))
names = st.lists(name, min_size=4, max_size=12, unique=True)
parts = st.fixed_dictionaries({part: st.integers(1, 10**9) for part in ("train", "val")})
counts = st.fixed_dictionaries({half: parts for half in "AB"})


@given(
    classes=names,
    seed=st.none() | st.integers(0, 2**32 - 1),
    counted=counts,
    left_out=names,
    called=st.sampled_from([("A", "B"), ("animals", "vehicles"), ("動物", "<b>")]),
)
@settings(max_examples=30, deadline=None)
def test_halves_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory,
    classes: list[str],
    seed: int | None,
    counted: dict[str, dict[str, int]],
    left_out: list[str],
    called: tuple[str, str],
) -> None:
    """Whatever the classes, the pictures and the halves are called."""
    a, b = tuple(sorted(classes[::2])), tuple(sorted(classes[1::2]))
    study = Study(tmp_path_factory.mktemp("halves"))
    halves = Halves(Split("mine", "random", seed, a, b, called), "pictures", counted, "0123", tuple(left_out))
    study.write_halves(halves)
    assert study.halves("mine") == halves
    assert study.split_names() == ["mine"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda text: text[: len(text) // 2], "JSONDecodeError: "),
        (lambda text: text.replace('"B"', '"C"'), "KeyError: 'B'"),
        (lambda text: "[]", "TypeError: "),
        (lambda text: "", "JSONDecodeError: "),
    ],
)
def test_a_damaged_split_is_one_line_with_the_remedy(split_study: Study, spoil: Callable[[str], str], reason: str) -> None:
    path = split_study.root / SPLIT / "split.json"
    path.write_text(spoil(path.read_text()))
    with pytest.raises(TransferError) as error:
        split_study.halves(SPLIT)
    text = str(error.value)
    assert text.startswith(f"{path} is damaged ({reason}")
    assert text.endswith("); remove it and make the split again: transfer split DIR")
    assert "\n" not in text


# -- rows and the table


def test_a_row_is_there_when_its_file_is(tmp_path: Path) -> None:
    study = Study(tmp_path)
    assert (study.row(A3B), study.state(A3B, study.holder())) == (None, "to do")
    folder = write(study, A3B)
    assert folder == tmp_path / SPLIT / "A3B"
    assert study.row(A3B) == row_of(A3B)
    assert study.state(A3B, study.holder()) == "done"
    write(study, replace(A3B, treatment="AnB+"), status="diverged at step 7")
    assert study.state(replace(A3B, treatment="AnB+"), study.holder()) == "diverged at step 7"
    assert [row["network"] for row in study.rows()] == ["A3B", "A3B+"]
    (folder / "row.json").unlink()  # log and weights alone are no row
    assert study.row(A3B) is None
    assert [row["network"] for row in study.rows()] == ["A3B+"]


def test_the_row_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row says that the network is whole, so nothing of it may be missing then."""
    done = watch(monkeypatch, "replace")
    write(Study(tmp_path), A3B)
    assert [Path(target).name for _, (_, target) in done] == ["log.csv", "row.json"]


@pytest.mark.parametrize("file", ["log.csv", "row.json"])
def test_a_row_that_cannot_be_written_whole_is_not_there(tmp_path: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(tmp_path)
    replace_ = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: full() if Path(b).name == file else replace_(a, b))
    with pytest.raises(TransferError, match="No space left on device; make room or choose another folder: --study DIR"):
        write(study, A3B)
    assert study.row(A3B) is None
    assert hidden(tmp_path) == []


DAMAGE = {
    "": "Expecting value: line 1 column 1 (char 0)",
    "[1, 2": "Expecting ',' delimiter: line 1 column 6 (char 5)",
    "{}": f"lacks {', '.join((*COLUMNS, 'classes'))}",
    "[]": f"lacks {', '.join((*COLUMNS, 'classes'))}",
    json.dumps({key: value for key, value in row_of(A3B).items() if key not in ("loss", "classes")}): "lacks loss, classes",
    json.dumps(row_of(A3B, treatment="CnB")): "treatment: Input should be ",
}


@pytest.mark.parametrize("text", [*DAMAGE, "3", "null", "[" * 100_000])
def test_a_damaged_row_is_one_line_with_the_remedy(tmp_path: Path, text: str) -> None:
    """Neither taken for a row nor passed over: a lost row must be told."""
    study = Study(tmp_path)
    write(study, replace(A3B, layer=4))
    path = write(study, A3B) / "row.json"
    path.write_text(text)
    for ask in (study.rows, study.table, study.write_table, lambda: study.row(A3B), lambda: study.state(A3B, study.holder())):
        with pytest.raises(TransferError) as error:
            ask()
        said = str(error.value)
        assert said.startswith(f"{path} is damaged ({DAMAGE.get(text, '')}")
        assert said.endswith("); remove its folder and train the network again")
        assert "\n" not in said


def test_a_row_that_is_not_text_is_told(tmp_path: Path) -> None:
    study = Study(tmp_path)
    path = write(study, A3B) / "row.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TransferError) as error:
        study.rows()
    assert str(error.value) == f"{path} is damaged: it is not text; remove it and run the command again"


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("")])
def test_a_log_that_is_gone_or_empty_is_one_line_with_the_remedy(tmp_path: Path, spoil: Callable[[Path], Any]) -> None:
    study = Study(tmp_path)
    path = write(study, A3B) / "log.csv"
    assert list(study.logs()) == [f"{SPLIT}/A3B"]
    spoil(path)
    with pytest.raises(TransferError) as error:
        study.logs()
    assert str(error.value).startswith(f"{path} is damaged (")
    assert str(error.value).endswith("); remove its folder and train the network again")
    assert "\n" not in str(error.value)


def test_the_table_is_in_order_and_can_be_read_back(tmp_path: Path) -> None:
    """By split, seed, target, treatment and layer, whatever the folder's order; numbers as they were measured."""
    study = Study(tmp_path)
    plan = [
        network
        for split in ("man-made-natural", SPLIT)
        for seed in (0, 2)
        for target in "AB"
        for network in [base(split, seed, target), *transfers([split], [seed], [target], [1, 2, 7], USUAL)]
    ]
    for network in reversed(plan):
        write(study, network, top1=0.1 + 0.2, loss=None, note="a, b" if network.name.endswith("+") else "")
    assert [(row["split"], row["seed"], row["network"]) for row in study.rows()] == [(n.split, n.seed, n.name) for n in plan]
    path = study.write_table()
    assert path == tmp_path / "results.csv"
    read = pandas.read_csv(path)
    assert tuple(read.columns) == (*COLUMNS, "classes", "note")
    assert list(read["network"]) == [network.name for network in plan]
    assert (read["top1"] == 0.1 + 0.2).all()
    assert read["loss"].isna().all()
    assert set(read["note"].dropna()) == {"a, b"}
    table = study.table()
    assert tuple(table.columns[: len(COLUMNS)]) == COLUMNS
    assert list(table["source"].unique()) == ["", "A", "B", "random"]
    assert len(study.logs()) == len(plan)
    assert f"{SPLIT}/seed-2/R7B" in study.logs()


def test_columns_of_the_table_that_say_which_network_it_is() -> None:
    assert columns(base("random-1", 2, "A")) == {
        "split": "random-1", "seed": 2, "network": "baseA", "treatment": "base", "source": "", "target": "A", "layer": 0,
    }  # fmt: skip
    assert columns(Network("mine", 0, "RnB", 4, "B")) == {
        "split": "mine", "seed": 0, "network": "R4B", "treatment": "RnB", "source": "random", "target": "B", "layer": 4,
    }  # fmt: skip


# -- one command at a time

HOLD = """
import sys, time
from pathlib import Path
from transfercli.plan.networks import Network
from transfercli.study.folder import Study
with Study(Path(sys.argv[1])).held([Network("random-0", 0, "AnB", 3, "B")]):
    print("held", flush=True)
    time.sleep(60)
"""


def refusal(study: Study) -> str:
    with pytest.raises(TransferError) as error, study.held([]):
        pass
    return str(error.value)


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    """Killed with no chance to tidy up: the lock dies with its process, whatever it left behind."""
    study = Study(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as first:
        try:
            assert first.stdout is not None
            assert first.stdout.readline() == b"held\n"
            holder = study.holder()
            assert holder is not None
            assert holder["pid"] == first.pid
            assert holder["networks"] == [[SPLIT, 0, "A3B"]]
            assert refusal(study) == (
                f"process {first.pid} has been at work in {tmp_path} since {holder['since']}; "
                "wait for it, or use another study: --study DIR"
            )
            assert study.state(A3B, study.holder()) == "running"
            assert study.state(replace(A3B, layer=4), study.holder()) == "to do"
            assert study.state(replace(A3B, seed=1), study.holder()) == "to do"
        finally:
            first.send_signal(signal.SIGKILL)
    assert (tmp_path / ".holder.json").exists()
    assert study.holder() is None
    assert study.state(A3B, study.holder()) == "to do"
    with study.held([A3B]):
        assert study.holder() is not None
    assert study.holder() is None


def test_a_lock_is_given_back_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(tmp_path)
    with pytest.raises(KeyboardInterrupt), study.held([A3B]):
        assert f"process {os.getpid()} has been at work in {tmp_path}" in refusal(study)
        raise KeyboardInterrupt
    with monkeypatch.context() as patch, pytest.raises(TransferError, match="No space left on device"):
        patch.setattr(os, "replace", full)
        with study.held([A3B]):
            pytest.fail("held without saying so")
    with study.held([A3B]):
        pass
    assert os.listdir(tmp_path) == [".lock"]


def test_what_a_killed_writer_set_aside_is_removed_by_the_next(split_study: Study) -> None:
    """And nothing else: neither the user's own files, nor what lies among the pictures."""
    folder = split_study.root / "random-0/A3B"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt), replacing(folder / "row.json") as aside:
        left = [folder / ".tmpVtnP01", folder.parent / aside.name, split_study.root / "..holder.json.abcd_123.json"]
        raise KeyboardInterrupt
    kept = [folder / ".notes", folder.parent / ".keep.json", split_study.root / "pictures/.row.json.abcdefgh.json"]
    for path in (*left, *kept):
        path.write_text("{")
    with split_study.held([]):
        assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)


def test_asking_who_holds_a_study_never_makes_its_holder_fail(tmp_path: Path) -> None:
    """`transfer status`, again and again in another window, has the lock itself for a moment each time."""
    study, stop = Study(tmp_path), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            study.holder()

    with study.held([]):
        pass
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(20):
            with study.held([]):
                pass
    finally:
        stop.set()
        asking.join()


def test_a_holder_whose_file_cannot_be_read_still_holds(tmp_path: Path) -> None:
    study = Study(tmp_path)
    with study.held([A3B]):
        (tmp_path / ".holder.json").write_text("{")
        assert refusal(study) == (
            f"process ? has been at work in {tmp_path} since now; wait for it, or use another study: --study DIR"
        )


def test_a_study_that_may_only_be_read_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished study on a disk that takes no writing: tables and states come, training is refused in one line."""
    study = Study(tmp_path)
    write(study, A3B)
    with study.held([]):
        pass
    plain = os.open

    def read_only(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if str(path).endswith(".lock"):
            raise OSError(errno.EROFS, "Read-only file system", path)
        return plain(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", read_only)
    assert study.state(A3B, study.holder()) == "done"
    assert study.state(replace(A3B, layer=4), study.holder()) == "to do"
    assert refusal(study) == (
        f"cannot write {tmp_path / '.lock'}: Read-only file system; make room or choose another folder: --study DIR"
    )


# -- from pictures to halves, and back


def test_halves_say_where_the_pictures_are(tiny: Tiny, tmp_path: Path) -> None:
    """Inside the study by a relative path, so that both may be moved together; elsewhere by the whole path."""
    assert tiny.halves.folder == "pictures"
    assert tiny.study.pictures(tiny.halves) == tiny.study.root / "pictures"
    outside = halves_of(Study(tmp_path), tiny.folder, tiny.halves.split, ["z", "y"])
    assert outside.folder == str(tiny.study.root / "pictures")
    assert Study(tmp_path).pictures(outside) == tiny.study.root / "pictures"
    assert (outside.digest, outside.split, outside.counts) == (tiny.halves.digest, tiny.halves.split, tiny.halves.counts)
    assert outside.left_out == ("y", "z")
    assert tiny.halves.counts == {half: {"train": 32, "val": 20} for half in "AB"}
    assert os.listdir(tmp_path) == []


def test_a_study_that_was_moved_finds_its_pictures(split_study: Study, tiny: Tiny, tmp_path: Path) -> None:
    moved = Study(tmp_path / "elsewhere")
    shutil.move(split_study.root, moved.root)
    found = pictures_of(moved, moved.halves(SPLIT), moved.recipe().pictures)
    assert found == replace(tiny.folder, root=moved.root / "pictures")


def change(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


@pytest.mark.parametrize("spoil", [Path.unlink, change, lambda path: shutil.copy(path, path.with_name("more.png"))])
def test_other_pictures_than_those_of_the_split_are_refused(split_study: Study, spoil: Callable[[Path], Any]) -> None:
    halves, pictures = split_study.halves(SPLIT), split_study.recipe().pictures
    root = split_study.root / "pictures"
    spoil(root / "val" / "natural-01" / "0002.png")
    with pytest.raises(TransferError) as error:
        pictures_of(split_study, halves, pictures)
    assert str(error.value) == (
        f"the pictures in {root} are not those that split {SPLIT} was made of; "
        f"put them back, or start a new study: transfer split {root} --study NEW"
    )


def test_a_class_that_is_gone_is_named(split_study: Study) -> None:
    root = split_study.root / "pictures"
    for part in ("train", "val"):
        shutil.rmtree(root / part / "natural-01")
    with pytest.raises(TransferError) as error:
        pictures_of(split_study, split_study.halves(SPLIT), split_study.recipe().pictures)
    assert str(error.value) == f"class natural-01 is missing in {root}; put it back, or start a new study"


def test_halves_of_another_seed_or_of_other_pictures_have_another_digest(tiny: Tiny) -> None:
    fewer = take(tiny.folder, tiny.halves.split, tiny_recipe({"pictures": {"train_per_class": 7}}).pictures)
    made = [
        tiny.halves,
        halves_of(tiny.study, tiny.folder, halve(tiny.folder.classes, "random-1")),
        halves_of(tiny.study, tiny.folder, halve(tiny.folder.classes, "man-made-natural")),
        halves_of(tiny.study, fewer, tiny.halves.split),
    ]
    assert len({halves.digest for halves in made}) == 4
    assert [halves.name for halves in made] == [SPLIT, "random-1", "man-made-natural", SPLIT]
    assert {len(halves.split.A) + len(halves.split.B) for halves in made} == {CLASSES}


def test_a_recipe_takes_evenly_spaced_classes_and_pictures(tiny: Tiny) -> None:
    pictures = tiny_recipe({"pictures": {"classes": 4, "train_per_class": 2, "val_per_class": 1}}).pictures
    chosen = take(tiny.folder, halve(tiny.folder.classes, SPLIT, pictures.classes), pictures)
    assert chosen.classes == tiny.folder.classes[::2]
    for name in chosen.classes:
        assert chosen.train[name] == tiny.folder.train[name][::4]
        assert chosen.val[name] == tiny.folder.val[name][:1]
    assert len(chosen.paths) == 4 * 3
    assert take(tiny.folder, tiny.halves.split, tiny_recipe().pictures) == tiny.folder


def test_pictures_left_out_are_not_replaced_by_unchecked_ones(split_study: Study) -> None:
    """A recipe that takes every fourth picture: where one is broken, no other that nobody has decoded steps in."""
    pictures = tiny_recipe({"pictures": {"train_per_class": 2}}).pictures
    root = split_study.root / "pictures"
    for number in (0, 1, 5, 6):
        (root / "train" / "natural-02" / f"000{number}.png").write_bytes(b"broken")
    whole = scan(root)
    split = halve(whole.classes, SPLIT)
    broken = unreadable(whole.root, take(whole, split, pictures).paths, 1, lambda count: None)
    assert list(broken) == ["train/natural-02/0000.png"]
    chosen = take(whole, split, pictures, broken)
    assert chosen.train["natural-02"] == ("train/natural-02/0004.png",)
    assert unreadable(whole.root, chosen.paths, 1, lambda count: None) == {}
    halves = halves_of(split_study, chosen, split, broken)
    split_study.write_halves(halves)
    assert split_study.halves(SPLIT).left_out == ("train/natural-02/0000.png",)
    assert pictures_of(split_study, split_study.halves(SPLIT), pictures) == chosen


def test_the_modules_of_the_folder_need_no_torch() -> None:
    """So that `transfer status` answers at once."""
    code = "import sys, transfercli.study.folder, transfercli.study.choosing as _; print({'torch', 'pandas'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_every_seed_and_split_has_rows_of_its_own(tmp_path: Path) -> None:
    study = Study(tmp_path)
    networks = bases(["random-0", "random-1"], [0, 1])
    for network in networks:
        write(study, network, step=networks.index(network))
    assert [study.row(network) for network in networks] == [row_of(n, step=i) for i, n in enumerate(networks)]
    assert len({study.folder(network) for network in networks}) == 8


def test_a_recipe_file_is_yaml_that_says_everything(tmp_path: Path) -> None:
    study = Study(tmp_path)
    study.write_recipe(tiny_recipe())
    text = study.recipe_file.read_text()
    assert recipes.load(text, "it") == tiny_recipe()
    assert "bias_decay: false" in text  # defaults too: later ones must not change an old study
