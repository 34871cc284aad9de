"""Ctrl-C and SIGTERM: the step is finished, a checkpoint saved, the exit code says it, and the same command goes on."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import CPU, SPLIT, silent, tiny_recipe
from test_training import FOUR, check_same, left_over

from transfercli.recipe import reading as recipes
from transfercli.study.folder import Study
from transfercli.system.interrupts import SIGNALS, Stopped, at_once, deferred
from transfercli.training.train import train


def sends(number: signal.Signals, call: int, times: int = 1):
    """A reporter's `advance` that sends this process the signal at its `call`-th call."""
    calls = iter(range(1, 10**6))

    def advance(_: int) -> None:
        if next(calls) == call:
            for _ in range(times):
                signal.raise_signal(number)

    return advance


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("call", [2, 4])
def test_a_signal_finishes_the_step_and_saves(study: Study, swept: Study, number: signal.Signals, call: int) -> None:
    """The first call is before the first step. No checkpoint is due by time, and yet no step is lost."""
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped:
        train(study, FOUR, CPU, None, silent(sends(number, call)))
    assert (stopped.value.number, str(stopped.value)) == (number, f"step {call - 1} of 5 is done and a checkpoint saved")
    assert signal.getsignal(number) is before
    said: list[str] = []
    train(study, FOUR, CPU, None, silent(said=said))
    assert f"{SPLIT}: 4 networks go on at step {call - 1} of 5" in said
    check_same(study, swept, FOUR)
    assert left_over(study) == []


def test_a_signal_while_rows_are_written_waits_for_them(study: Study, swept: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Study.write_network

    def signalled(*words) -> None:
        signal.raise_signal(signal.SIGTERM)
        write(*words)

    monkeypatch.setattr(Study, "write_network", signalled)
    with pytest.raises(Stopped):  # the second network's is the second signal, which does not wait
        train(study, FOUR, CPU, None, silent())
    assert [n.name for n in FOUR if study.row(n)] == [FOUR[0].name]
    with pytest.raises(Stopped) as stopped:
        train(study, FOUR[1:2], CPU, None, silent())
    assert str(stopped.value) == "the rows of all networks that were in training are written"
    monkeypatch.undo()
    train(study, FOUR, CPU, None, silent())
    check_same(study, swept, FOUR)


def test_a_second_signal_does_not_wait(study: Study) -> None:
    with pytest.raises(Stopped) as stopped:
        train(study, FOUR, CPU, None, silent(sends(signal.SIGINT, 2, times=2)))
    assert (stopped.value.number, str(stopped.value)) == (signal.SIGINT, "")


def test_other_threads_leave_signals_alone() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    seen: list[object] = []

    def work() -> None:
        with at_once(), deferred() as wish:
            seen.extend([*(signal.getsignal(number) for number in SIGNALS), wish.number])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [*before, None]


# -- whole processes


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "transfercli", *map(str, words)]


@pytest.mark.parametrize(
    ("number", "name", "code"),
    [(signal.SIGINT, "SIGINT", 130), pytest.param(signal.SIGTERM, "SIGTERM", 143, marks=pytest.mark.slow)],
)
def test_a_process_says_how_to_go_on(split_study: Study, number: int, name: str, code: int) -> None:
    """A long training, stopped as soon as it has begun; the same command goes on at the step that it names."""
    schedule = {"name": "constant", "rate": 1e-3}
    long = tiny_recipe(
        {"training": {"steps": 10**6, "checkpoint_steps": 5, "schedule": schedule}, "evaluation": {"every": 10**6}}
    )
    split_study.write_recipe(long)
    words = ("train-base", "--study", split_study.root, "--device", "cpu")
    process = subprocess.Popen(command(*words), stderr=subprocess.PIPE, text=True)
    while not list(split_study.root.glob(f"{SPLIT}/checkpoints/*.safetensors")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    last = err.splitlines()[-1]
    start, _, rest = last.partition(" of 1000000 is done and a checkpoint saved; ")
    assert start.startswith(f"Stopped by {name}: step ")
    assert rest == f"go on with: transfer train-base --study {split_study.root} --device cpu"
    step = int(start.split()[-1])
    kept = sorted(split_study.root.glob(f"{SPLIT}/checkpoints/*.safetensors"))
    assert kept[-1].stem.endswith(f"-{step:08d}")
    assert split_study.rows() == [] and split_study.holder() is None
    assert [path.name for path in split_study.root.rglob(".*")] == [".lock"]


def test_split_stops_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    """Checking pictures is begun anew; the threads that check do not go through those that wait."""
    made_ = recipes.dump(tiny_recipe({"pictures": {"builtin": {"classes": 8, "train": 1000, "val": 1000}, "size": 64}}))
    (tmp_path / "tiny.yaml").write_text(made_)
    process = subprocess.Popen(command("split", "--recipe", "tiny.yaml"), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("results/study/.pictures.unfinished-*/pictures/train/*")):
        assert process.poll() is None
        time.sleep(0.05)
    began = time.monotonic()
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 20
    assert process.returncode == 143
    said = "Stopped by SIGTERM: what is done stays done; go on with: transfer split --recipe tiny.yaml"
    assert err.splitlines()[-1] == said
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "tiny.yaml"]
