"""What workers elsewhere make, until whoever holds the study takes it: nothing of a lost worker stands in the study."""

import json
import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from conftest import SPLIT, Tiny

from transfercli.plan.networks import named
from transfercli.study import attempts, lock
from transfercli.study.attempts import Attempt
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.system.files import write_text
from transfercli.training import checkpoints

A3B = named(SPLIT, 0, "A3B")


@pytest.fixture
def study(tiny: Tiny, tmp_path: Path) -> Study:
    study = Study(tmp_path / "study")
    study.write_halves(tiny.halves)
    return study


def made(attempt: Attempt, text: str = "row", seed: int = 0) -> Path:
    """What a worker leaves of a network."""
    folder = attempt.made.folder(named(SPLIT, seed, "A3B"))
    for name in ("weights.safetensors", "log.csv", "row.json"):
        write_text(folder / name, text)
    return folder


@pytest.mark.parametrize("seed", [0, 3])
def test_what_is_finished_takes_its_place(study: Study, seed: int) -> None:
    attempt, network = attempts.begin(study), named(SPLIT, seed, "A3B")
    made(attempt, seed=seed)
    assert attempt.take(seconds=0) == [], "it has not said so"
    attempt.finish()
    write_text(study.folder(network) / "weights.safetensors", "of one that was killed before its row")
    assert attempt.take(seconds=0) == [network]
    assert {path.name: path.read_text() for path in study.folder(network).iterdir()} == dict.fromkeys(
        ("weights.safetensors", "log.csv", "row.json"), "row"
    )


def test_a_take_that_was_killed_halfway_goes_on(study: Study) -> None:
    attempt, other = attempts.begin(study), named(SPLIT, 3, "A3B")
    made(attempt)
    made(attempt, seed=3)
    attempt.finish()
    study.folder(A3B).parent.mkdir(parents=True, exist_ok=True)
    attempt.made.folder(A3B).rename(study.folder(A3B))
    attempts.settle(study)
    assert (study.folder(A3B) / "row.json").exists() and (study.folder(other) / "row.json").exists()


def test_a_network_without_a_row_is_not_finished(study: Study) -> None:
    attempt = attempts.begin(study)
    (made(attempt) / "row.json").unlink()
    attempt.finish()
    assert attempt.take(seconds=0) == [] and not study.folder(A3B).exists()


def test_a_file_that_is_seen_late_is_waited_for(study: Study) -> None:
    attempt = attempts.begin(study)
    path = made(attempt) / "weights.safetensors"
    attempt.finish()
    path.write_text("ro")  # as another machine may still see it
    threading.Timer(0.5, path.write_text, ["row"]).start()
    assert attempt.take(seconds=20) == [A3B]
    assert (study.folder(A3B) / "weights.safetensors").read_text() == "row"


def test_the_list_of_files_itself_may_be_seen_late(study: Study) -> None:
    attempt = attempts.begin(study)
    made(attempt)
    attempt.finish()
    late = attempt.made.root / "done.json"
    late.rename(late.with_suffix(".late"))
    threading.Timer(0.5, late.with_suffix(".late").rename, [late]).start()
    assert attempt.take(seconds=0) == []
    assert attempt.take(seconds=20, finished=True) == [A3B]


@pytest.mark.parametrize("harm", [lambda path: path.write_text("ro"), Path.unlink])
def test_a_file_that_never_comes_is_named_and_nothing_is_taken(study: Study, harm: object) -> None:
    attempt = attempts.begin(study)
    path = made(attempt) / "weights.safetensors"
    attempt.finish()
    harm(path)  # type: ignore[operator]
    with pytest.raises(TransferError, match=f"{path} is not as it was written; its networks are trained again"):
        attempt.take(seconds=0.3)
    assert not study.folder(A3B).exists()


@pytest.mark.parametrize("place", ["strange/A3B", "../A3B", "../../baseB", f"{SPLIT}/seed-x/A3B", "A3B"])
def test_no_network_leaves_the_study(study: Study, place: str) -> None:
    attempt = attempts.begin(study)
    path = attempt.made.root / place / "row.json"
    write_text(path, "row")
    write_text(attempt.made.root / "done.json", json.dumps({f"{place}/row.json": attempts._sum(path)}))
    with suppress(TransferError):
        assert attempt.take(seconds=0) == []
    assert path.read_text() == "row"
    attempts.settle(study)
    assert not (study.root / "strange").exists() and not study.folder(A3B).exists()


@pytest.mark.parametrize("text", ["[]", "7", "{", '{"x/row.json": 7}'])
def test_a_damaged_list_of_files_is_none(study: Study, text: str) -> None:
    attempt = attempts.begin(study)
    write_text(attempt.made.root / "done.json", text)
    with suppress(TransferError):
        assert attempt.take(seconds=0) == []
    attempts.settle(study)
    assert not (study.root / attempts.FOLDER).exists()


def test_checkpoints_are_salvaged_and_the_furthest_is_told(study: Study) -> None:
    attempt = attempts.begin(study)
    folder = attempt.made.folder(A3B).parent / "checkpoints"
    other = named(SPLIT, 0, "B3B")
    one, two = (
        checkpoints.save(folder, {"a": torch.zeros(1)}, {"step": step, "networks": [network.name]})
        for step, network in ((10, other), (200, A3B))
    )
    write_text(folder / ".0123456789ab-00000300.safetensors.abcdefgh.safetensors", "aside")
    write_text(folder / "0123456789ab-00000300.safetensors", "damaged")
    assert attempt.salvage() == {other: 10, A3B: 200} and attempts.begin(study).salvage() == {}
    kept = {path.name for path in (study.root / SPLIT / "checkpoints").iterdir()}
    assert kept == {one.name, two.name, "0123456789ab-00000300.safetensors"}


def test_of_many_attempts_two_checkpoints_of_a_bank_stay(study: Study) -> None:
    for step in (10, 20, 30, 40):
        attempt = attempts.begin(study)
        folder = attempt.made.folder(A3B).parent / "checkpoints"
        checkpoints.save(folder, {"a": torch.zeros(1)}, {"step": step, "networks": ["A3B"]})
        assert attempt.salvage() == {A3B: step}
    assert [path.stem[-2:] for path in sorted((study.root / SPLIT / "checkpoints").iterdir())] == ["30", "40"]


def test_a_worker_needs_its_own_checkpoints_and_what_it_copies(study: Study) -> None:
    """Others may be removed before it has begun, and would be waited for."""
    folder, other = study.root / SPLIT / "checkpoints", named(SPLIT, 0, "B3B")
    own = checkpoints.save(folder, {"a": torch.zeros(1)}, {"step": 10, "networks": ["A3B", "A2B"]})
    checkpoints.save(folder, {"a": torch.zeros(1)}, {"step": 10, "networks": [other.name]})
    weights = study.folder(named(SPLIT, 0, "baseA")) / "weights.safetensors"
    write_text(weights, "weights")
    found = {study.root / path: size for path, size in attempts.needed(study, [A3B]).items()}
    assert found == {path: path.stat().st_size for path in (own, weights)}


def test_snapshots_go_from_one_attempt_to_the_next(study: Study) -> None:
    """The next one begins after the step of which they are."""
    base = named(SPLIT, 0, "baseB")
    first, second = attempts.begin(study), attempts.begin(study)
    write_text(first.made.folder(base) / "at-0.1.safetensors", "weights")
    first.salvage()
    second.go_on([base, A3B])
    assert (second.made.folder(base) / "at-0.1.safetensors").read_text() == "weights"
    for name in ("weights.safetensors", "log.csv", "row.json"):
        write_text(second.made.folder(base) / name, "row")
    second.finish()
    assert second.take(seconds=0) == [base]
    assert (study.folder(base) / "at-0.1.safetensors").read_text() == "weights"


def test_what_an_earlier_command_left_is_settled(study: Study) -> None:
    done, begun = attempts.begin(study), attempts.begin(study)
    made(done)
    done.finish()
    write_text(begun.made.root / SPLIT / "checkpoints" / "0123456789ab-00000010.safetensors", "10")
    made(begun, "half", seed=1)
    attempts.settle(study)
    assert (study.folder(A3B) / "row.json").exists() and not study.folder(named(SPLIT, 1, "A3B")).exists()
    assert (study.root / SPLIT / "checkpoints" / "0123456789ab-00000010.safetensors").exists()
    assert not (study.root / attempts.FOLDER).exists()


def test_a_lost_worker_that_comes_back_changes_nothing(study: Study) -> None:
    late = attempts.begin(study)
    made(late, "late")
    late.salvage()
    late.sweep()
    own = attempts.begin(study)
    made(own, "own")
    own.finish()
    own.take(seconds=0)
    made(late, "late again")
    late.finish()
    assert (study.folder(A3B) / "row.json").read_text() == "own"
    attempts.settle(study)  # of the next command
    assert (study.folder(A3B) / "row.json").read_text() == "own", "whose layers others may have copied"
    study.check_plain()


def test_signs_of_life_and_the_wish_to_stop(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "BEAT_SECONDS", 0.1)
    attempt, asked = attempts.begin(study), threading.Event()
    assert attempt.beat() is None and attempts.working(study) == []
    with attempt.beating({"device": "cpu", "members": [[SPLIT, 0, "A3B"]]}, asked.set) as tell:
        first = attempt.beat()
        assert first is not None and first["pid"] == os.getpid()
        tell({"step": 7})
        until = time.monotonic() + 20
        while (now := attempt.beat()) is None or now["count"] == first["count"] or "step" not in now:
            assert time.monotonic() < until
            time.sleep(0.05)
        (seen,) = attempts.working(study)
        assert seen["step"] == 7 and not seen["lost"] and seen["age"] < 20
        attempt.stop()
        assert asked.wait(20)
    os.utime(attempt.made.root / "beat.json", (time.time() - 100,) * 2)
    assert attempts.working(study)[0]["lost"]


# -- the lock, where another machine's is not seen


def note(study: Study, host: str, age: float) -> None:
    write_text(study.root / lock.NOTE, json.dumps({"host": host, "pid": 7, "since": "noon", "networks": []}))
    os.utime(study.root / lock.NOTE, (time.time() - age,) * 2)


def test_another_machine_that_lives_has_the_study(study: Study) -> None:
    (study.root / lock.LOCK).touch()
    note(study, "elsewhere", age=1)
    found = study.holder()
    assert found is not None and found["host"] == "elsewhere"
    with (
        pytest.raises(TransferError, match=f"process 7 on elsewhere has been at work in {study.root} since noon"),
        study.held([]),
    ):
        pass
    assert (study.root / lock.NOTE).exists(), "it is the other's"


@pytest.mark.parametrize(("host", "age"), [("elsewhere", 1000), (socket.gethostname(), 1)])
def test_a_dead_holder_has_it_no_more(study: Study, host: str, age: float) -> None:
    (study.root / lock.LOCK).touch()
    note(study, host, age)
    assert study.holder() is None
    with study.held([]):
        found = study.holder()
        assert found is not None and (found["host"], found["pid"]) == (socket.gethostname(), os.getpid())


def test_a_holder_that_slept_too_long_stops_where_another_has_the_study(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "RENEWED", 0.1)
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    try:
        with study.held([]):
            time.sleep(0.3)
            assert not told.is_set()
            note(study, "elsewhere", age=0)
            assert told.wait(20)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_sign_of_life_is_given_while_it_is_held(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "RENEWED", 0.1)
    with study.held([]):
        os.utime(study.root / lock.NOTE, (0, 0))
        until = time.monotonic() + 20
        while (study.root / lock.NOTE).stat().st_mtime == 0:
            assert time.monotonic() < until
            time.sleep(0.05)
