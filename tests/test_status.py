"""Where a study stands: while it trains, after Ctrl-C, with networks that nobody planned, and as a kept table."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CPU, SPLIT, Said, silent

from transfercli.plan.networks import bases, transfers
from transfercli.study.folder import Study
from transfercli.study.standing import status
from transfercli.system.interrupts import Stopped
from transfercli.training import engine
from transfercli.training.train import train

Transfer = Callable[..., Said]
FOUR = transfers([SPLIT], [0], ["B"], [2, 6], ["BnB", "AnB"])


def planning(study: Study, **changes: object) -> Study:
    """The study with a recipe that plans something else; with layers 2 alone if nothing is said."""
    planned = {"targets": ("B",), "layers": (2,), "treatments": ("BnB", "AnB"), **changes}
    study.write_recipe(study.recipe().model_copy(update=planned))
    return study


def said_of(transfer: Transfer, *words: str) -> dict:
    """`transfer status --json`: one document, and nothing else."""
    said = transfer("status", *words, "--json")
    assert (said.code, said.err) == (0, "")
    return json.loads(said.out)


def test_networks_beyond_the_plan_are_shown_and_counted(transfer: Transfer, study: Study) -> None:
    train(planning(study), FOUR, CPU, None, silent())
    train(study, transfers([SPLIT], [0], ["A"], [1], ["RnB"]), CPU, None, silent())
    row = study.root / SPLIT / "A6B/row.json"
    row.write_text(json.dumps({**json.loads(row.read_text()), "status": "diverged at step 2"}))
    text = transfer("status", "study").out.splitlines()
    assert [line.split() for line in text[:7]] == [
        ["split", "seed", "target", "treatment", "n=0", "n=1", "n=2", "n=6"],
        [SPLIT, "0", "A", "base", "done"],
        [SPLIT, "0", "B", "base", "done"],
        [SPLIT, "0", "A", "RnB", "done"],
        [SPLIT, "0", "B", "BnB", "done", "done"],
        [SPLIT, "0", "B", "AnB", "done", "failed"],
        [],
    ]
    assert text[7] == (
        "7 of 7 networks are done (1 failed: they learned nothing, or diverged), 0 running (now), 0 to do (-); "
        "3 of the 7 are beyond the recipe's plan"
    )
    found = said_of(transfer, "study")
    assert found["counts"] == {"planned": 4, "done": 6, "failed": 1, "running": 0, "to do": 0}
    assert [n["network"] for n in found["networks"] if not n["planned"]] == ["R1A", "B6B", "A6B"]
    one = next(n for n in found["networks"] if n["network"] == "A6B")
    assert (one["state"], one["status"], one["step"], one["steps"]) == ("failed", "diverged at step 2", 5, 5)
    assert (found["process"], found["checkpoints"], found["weights"], found["next"]) == (
        *(None, [], True),
        "transfer plot --study study",
    )


def test_of_networks_in_training_it_says_step_rate_time_left_and_checkpoint(
    transfer: Transfer, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at from within the training itself, after each step."""
    monkeypatch.setattr(engine, "TELL_SECONDS", 0)
    study.write_recipe(planning(study, layers=(2, 6)).recipe().model_copy(update={"training": every_step(study)}))
    seen = []

    def look(count: int) -> None:
        seen.append((status(study), transfer("status", "study").out.splitlines()))

    train(study, FOUR, CPU, 3, silent(look))
    found, text = seen[4]  # after the fourth step of the first bank, before word and checkpoint of it
    assert found["counts"] == {"planned": 6, "done": 2, "failed": 0, "running": 4, "to do": 0}
    process = found["process"]
    assert {key: process["bank"][key] for key in ("split", "seed", "networks", "step", "steps")} == {
        **{"split": SPLIT, "seed": 0, "step": 3, "steps": 5},
        "networks": [network.name for network in FOUR[:3]],
    }
    rate = process["bank"]["steps_per_second"]
    assert process["seconds_left"] == pytest.approx((3 * 2 + 5) / 3 / rate, abs=0.06)
    assert [(kept["networks"], kept["step"]) for kept in found["checkpoints"]] == [(["B2B", "B6B", "A2B"], 3)]
    assert re.fullmatch(
        rf"{SPLIT}: 3 networks at step 3 of 5, [\d.e+]+ steps/s, \d+ seconds left for all that are running", text[-2]
    )
    assert re.fullmatch(r"Last checkpoint: step 3, of [-0-9]+ [:0-9]+[-+:0-9]*", text[-1])
    assert "now" in text[3] and not any("Next:" in line for line in text)
    assert "Last checkpoint: none yet" in seen[1][1]
    assert not (study.root / ".holder.json").exists() and status(study)["process"] is None


def every_step(study: Study) -> object:
    return study.recipe().training.model_copy(update={"checkpoint_steps": 1})


def test_after_an_interrupt_it_says_where_the_study_stands(transfer: Transfer, study: Study) -> None:
    calls = iter(range(99))

    def interrupt(count: int) -> None:
        if next(calls) == 2:  # of these calls the first says what a checkpoint held
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped):
        train(planning(study, layers=(2, 6, 7)), FOUR, CPU, None, silent(interrupt))
    text = transfer("status", "study").out.splitlines()
    assert [line.split()[4:] for line in text[1:5]] == [["done"], ["done"], ["40%", "40%", "-"], ["40%", "40%", "-"]]
    assert text[6] == "2 of 8 networks are done, 0 running (now), 6 to do (-)"
    assert re.fullmatch(rf"{SPLIT}: 4 networks at step 2 of 5, in the checkpoint of [-0-9]+ [:0-9]+[-+:0-9]*", text[7])
    assert text[8] == "Next: transfer sweep --study study"
    steps = {n["network"]: n["step"] for n in said_of(transfer, "study")["networks"]}
    assert steps == {"baseA": 5, "baseB": 5, **{network.name: 2 for network in FOUR}, "B7B": 0, "A7B": 0}

    study.write_recipe(study.recipe().model_copy(update={"network": study.recipe().network.model_copy(update={"dropout": 0.1})}))
    assert said_of(transfer, "study")["checkpoints"] == []  # of another recipe: nothing goes on from there


def test_a_checkpoint_that_is_damaged_or_strange_is_no_error(transfer: Transfer, study: Study) -> None:
    folder = study.root / SPLIT / "checkpoints"
    folder.mkdir()
    (folder / "0-00000003.safetensors").write_bytes(b"no checkpoint")
    (study.root / SPLIT / "seed-x/checkpoints").mkdir(parents=True)
    shutil.copy(folder / "0-00000003.safetensors", study.root / SPLIT / "seed-x/checkpoints")
    assert said_of(transfer, "study")["checkpoints"] == []


@pytest.mark.slow
def test_another_process_is_seen_at_work(transfer: Transfer, split_study: Study) -> None:
    """A command that runs in a process of its own, interrupted as a person does it."""
    recipe = split_study.recipe()
    constant = recipe.training.schedule.model_copy(update={"name": "constant", "gamma": None, "every": None})
    long = recipe.training.model_copy(update={"steps": 100_000, "schedule": constant})
    split_study.write_recipe(recipe.model_copy(update={"training": long}))
    words = [sys.executable, "-m", "transfercli", "train-base", str(split_study.root), "--device", "cpu"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        until = time.monotonic() + 60
        while not (found := status(split_study))["process"] or "bank" not in found["process"]:
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.1)
        assert found["process"]["pid"] == process.pid
        assert [n["state"] for n in found["networks"] if n["treatment"] == "base"] == ["running", "running"]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    (kept,) = status(split_study)["checkpoints"]
    assert kept["networks"] == ["baseA", "baseB"] and kept["step"] > 0


def test_a_kept_table_is_said_to_be_one(transfer: Transfer, study: Study, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / SPLIT).mkdir(parents=True)
    for name in ("recipe.yaml", "results.csv", f"{SPLIT}/split.json"):
        shutil.copy(planning(study).root / name, kept / name)
    said = transfer("status", "kept").out.splitlines()
    assert said[-3:] == [
        "2 of 4 networks are done, 0 running (now), 2 to do (-)",
        "These results were kept without the networks' weights and logs: the table alone.",
        "Next: transfer analyze --study kept",
    ]
    found = said_of(transfer, "kept")
    assert (found["weights"], found["counts"]["done"]) == (False, 2)
    (kept / "recipe.yaml").unlink()
    alone = said_of(transfer, "kept")
    assert (alone["recipe"], alone["counts"]["planned"], len(alone["networks"])) == (None, 0, 2)
    assert "beyond" not in transfer("status", "kept").out

    shutil.copy(study.root / "recipe.yaml", kept)
    refused = transfer("verify", "kept")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "Error: kept holds a table without its networks, so there are no weights to measure; "
        "look at it with: transfer analyze --study kept\n"
    )


def test_the_reference_studies_are_kept_tables(transfer: Transfer) -> None:
    for path in sorted((Path(__file__).parents[1] / "results/reference").iterdir()):
        found = said_of(transfer, str(path))
        assert (found["weights"], found["counts"]["to do"]) == (False, 0)
        assert found["counts"]["done"] + found["counts"]["failed"] == found["counts"]["planned"] == len(found["networks"])


def test_looking_changes_nothing(study: Study) -> None:
    before = {path: path.stat().st_mtime_ns for path in study.root.rglob("*") if path.name != ".lock"}
    assert [n["network"] for n in status(study)["networks"] if n["state"] == "done"] == [b.name for b in bases([SPLIT], [0])]
    assert before == {path: path.stat().st_mtime_ns for path in study.root.rglob("*") if path.name != ".lock"}


def test_a_smoke_runs_networks_are_not_judged(transfer: Transfer, bases_must_learn: None) -> None:
    """Four steps teach them nothing: neither table, status nor conclusion say so, and the exit code is 0."""
    for words in (("split", "--set", "layers=7"), ("train-base",), ("sweep",), ("analyze",), ("status",)):
        said = transfer(*words, "--smoke")
        assert said.code == 0, said.err
        assert not any(
            word in said.out + said.err for word in ("failed", "did not learn", "no better than chance", "cannot tell")
        )
    assert transfer("status", "--smoke").out.splitlines()[-2].startswith("7 of 7 networks are done, ")
