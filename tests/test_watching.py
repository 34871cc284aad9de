"""Watching a command, or not: --quiet, --tensorboard, and the shell's completion."""

import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from conftest import CPU, SPLIT, SWEPT, Said, with_slow
from test_house import COMMANDS, modules_after

from transfercli.cli import cli, progress
from transfercli.plan.networks import bases
from transfercli.recipe import shipped as library
from transfercli.study.folder import Study
from transfercli.training.train import train

Transfer = Callable[..., Said]
BOTH = bases([SPLIT], [0])


# -- quiet


@pytest.mark.parametrize("command", with_slow(["train-base", "sweep", "run", "demo"], ["run", "demo"]))
def test_quiet_says_nothing(command: str, transfer: Transfer, split_study: Study, study: Study) -> None:
    words = {
        "train-base": ("train-base", "--study", split_study.root),
        "sweep": ("sweep", "--study", study.root, "--layers", "7", "--treatments", "RnB"),
        "run": ("run", "demo", "--study", "run", "--smoke"),
        "demo": ("demo", "--study", "demo", "--smoke"),
    }[command]
    said = transfer(*words, "--device", "cpu", "--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert transfer("recipes").out  # it was not for good


def test_quiet_still_says_what_is_wrong(transfer: Transfer, split_study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    said = transfer("sweep", "--study", "nowhere", "--quiet")
    assert (said.code, said.out) == (1, "") and said.err.startswith("Error: no study in nowhere; ")
    monkeypatch.setattr("transfercli.training.finish.status", lambda *args: "did not learn")
    said = transfer("train-base", "--study", split_study.root, "--device", "cpu", "--quiet")
    assert (said.code, said.out) == (3, "")
    assert said.err == "2 of 2 networks failed: random-0 baseA (did not learn), random-0 baseB (did not learn)\n"


def test_all_commands_that_train_can_be_quiet_and_write_curves() -> None:
    having = {path[1] for path, command in COMMANDS.items() if {"quiet", "tensorboard"} <= {p.name for p in command.params}}
    assert having == {path[1] for path, command in COMMANDS.items() if "accept_change" in {p.name for p in command.params}}
    assert having == {"train-base", "sweep", "run", "demo", "advise"}


# -- TensorBoard


def curves(study: Study) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """What TensorBoard shows: by network, by scalar, step and value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for folder in sorted((study.root / "tensorboard").glob("*/*")):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        found[folder.name] = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    return found


def logged(study: Study) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """The same, of the networks' logs."""
    tags = {"train_loss": "loss/training", "loss": "loss/validation", "top1": "top-1", "learning_rate": "learning rate"}
    return {
        name.partition("/")[2]: {
            tag: [(int(step), value) for step, value in zip(log["step"], log[key], strict=True) if math.isfinite(value)]
            for key, tag in tags.items()
        }
        for name, log in study.logs().items()
    }


def test_tensorboard_shows_what_the_logs_say(transfer: Transfer, split_study: Study) -> None:
    pytest.importorskip("tensorboard")
    said = transfer("train-base", "--study", split_study.root, "--device", "cpu", "--tensorboard")
    assert said.code == 0, said.err
    shown = curves(split_study)
    assert [step for step, _ in shown["baseB"]["top-1"]] == [0, 2, 4, 5]
    assert [step for step, _ in shown["baseB"]["loss/training"]] == [2, 4, 5]
    assert_same(shown, logged(split_study))
    assert transfer("status", "--study", split_study.root).code == 0  # a folder more is none of its business
    assert transfer("verify", "--study", split_study.root, "--device", "cpu").code == 0


def assert_same(shown: dict, logs: dict) -> None:
    assert shown.keys() == logs.keys()
    for name, tags in logs.items():
        assert shown[name].keys() == tags.keys()
        for tag, points in tags.items():
            assert [step for step, _ in shown[name][tag]] == [step for step, _ in points]
            assert [value for _, value in shown[name][tag]] == pytest.approx([value for _, value in points], rel=1e-6)


def test_a_run_that_goes_on_shows_each_step_once(split_study: Study) -> None:
    """Killed after step 4's evaluation, with a checkpoint of step 3: step 4 is measured twice and shown once."""
    pytest.importorskip("tensorboard")
    recipe = split_study.recipe()
    training = recipe.training.model_copy(update={"checkpoint_steps": 3})
    split_study.write_recipe(recipe.model_copy(update={"training": training}))

    class Killed(Exception):
        pass

    def run(kill_at: int | None) -> None:
        with progress.asked(quiet=True, live_curves=True), progress.reporting("bases") as reporter:
            steps = 0

            def advance(count: int) -> None:
                nonlocal steps
                steps += 1
                if steps == kill_at:
                    raise Killed

            train(split_study, BOTH, CPU, None, dataclasses.replace(reporter, advance=advance))

    with pytest.raises(Killed):
        run(5)
    assert [step for step, _ in curves(split_study)["baseA"]["top-1"]] == [0, 2, 4]
    run(None)
    assert_same(curves(split_study), logged(split_study))


def test_without_the_library_one_line_says_how_to_install_it(
    transfer: Transfer, split_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfercli.cli.curves.find_spec", lambda name: None)
    said = transfer("train-base", "--study", split_study.root, "--tensorboard")
    assert said == (1, "", "Error: --tensorboard needs TensorBoard; install it: pip install 'transfer-study[tensorboard]'\n")


# -- completion


def completed(*typed: str) -> list[str]:
    found = BashComplete(cli, {}, "transfer", "_TRANSFER_COMPLETE").get_completions(list(typed[:-1]), typed[-1])
    return [item.value for item in found if item.type == "plain"]


def test_recipes_treatments_targets_and_devices_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["run"], ["plan"], ["layers"], ["recipes", "show"], ["recipes", "copy"], ["split", "--recipe"]):
        assert completed(*words, "") == library.names()
        assert completed(*words, "yo") == ["yosinski2014"]
    assert completed("train-base", "--recipe", "de") == completed("pack", "--recipe", "de") == ["demo"]
    assert completed("sweep", "--treatments", "") == [*SWEPT]
    others = [f"BnB,{name}" for name in SWEPT if name.startswith("AnB")]
    assert completed("sweep", "--treatments", "BnB,A") == others and others[:2] == ["BnB,AnB", "BnB,AnB+"]
    assert completed("sweep", "--treatments", "AnB,RnB,AnB+,AnB.g") == ["AnB,RnB,AnB+,AnB.gradual"]
    assert completed("sweep", "--treatments", "AnB,RnB,AnB+") == ["AnB,RnB,AnB+"]
    assert completed("sweep", "--targets", "A,") == ["A,B"]
    assert completed("verify", "--device", "c") == ["cpu", "cuda", "cuda:1"]
    files = BashComplete(cli, {}, "transfer", "_TRANSFER_COMPLETE").get_completions(["run"], "mine.y")
    assert [(item.value, item.type) for item in files] == [("mine.y", "file")]


def test_a_shell_gets_its_completion_quickly() -> None:
    asks = {"_TRANSFER_COMPLETE": "bash_complete", "COMP_WORDS": "transfer run tiny", "COMP_CWORD": "2"}
    code = f"import os; os.environ.update({asks}); from transfercli.cli import main\ntry: main([])\nexcept SystemExit: pass"
    assert not modules_after(code) & {"torch", "pandas", "pydantic", "numpy", "yaml", "rich"}
    words = [sys.executable, "-m", "transfercli"]
    done = subprocess.run(words, env={**os.environ, **asks}, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == [f"plain,{name}" for name in library.names() if name.startswith("tiny")]
