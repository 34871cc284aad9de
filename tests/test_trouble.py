"""Pictures that go bad while a study trains, and banks that do not fit in the device's memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CPU, SPLIT, Said, silent
from test_training import FOUR, check_same, left_over

from transfercli.pictures import stream
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training.bank import Bank
from transfercli.training.reporter import Reporter
from transfercli.training.train import train


def spoiled(study: Study) -> tuple[Path, bytes]:
    """A training picture of half B that became zeros, as long as before: the split cannot tell. And what it was."""
    name = study.halves(SPLIT).split.B[0]
    picture = sorted((study.root / "pictures/train" / name).iterdir())[0]
    whole = picture.read_bytes()
    picture.write_bytes(bytes(len(whole)))
    return picture, whole


@pytest.mark.parametrize("kept", [True, False])
def test_a_picture_that_goes_bad_is_named_and_the_run_goes_on_when_it_is_back(
    study: Study, swept: Study, transfer: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    """Where pictures are read at the start, and where each is read when its batch comes: then no step is lost."""
    monkeypatch.setattr(stream, "MEMORY_SHARE", 0.4 if kept else 0)
    if not kept:  # every picture is read within 4 of 5 steps; which of them first, the order decides
        train(study, FOUR[:1], CPU, None, silent())  # and the mean of the pictures is kept from now on
    picture, whole = spoiled(study)
    words = ("sweep", "--study", study.root, "--device", "cpu", "--layers", "6", "--treatments", "AnB,BnB+", "--targets", "B")
    said = transfer(*words)
    assert said.code == 1
    last = said.err.splitlines()[-1]
    assert last.startswith(f"Error: cannot decode {picture}")
    if not kept:
        assert last.endswith("when the split was made; put it back as it was, and the same command goes on")
        assert len(list(study.root.glob(f"{SPLIT}/checkpoints/*.safetensors"))) == 1
    assert len(study.rows()) == 2 + (not kept)
    picture.write_bytes(whole)
    assert transfer(*words).code == 0
    check_same(study, swept, [network for network in FOUR if network.layer == 6])
    assert left_over(study) == []


class Memory:
    """Stands in for a device's: banks of more than so many networks do not fit, from the given step on."""

    def __init__(self, networks: int, step: int, patch: pytest.MonkeyPatch):
        self.sizes: list[int] = []
        step_of_bank = Bank.step

        def step_or_fail(bank: Bank) -> None:
            if bank.step_number == 0:
                self.sizes.append(len(bank.members))
            if len(bank.members) > networks and bank.step_number >= step:
                for member in bank.members[:1]:  # one network is changed already when memory ends
                    with torch.no_grad():
                        next(member.module.parameters()).add_(1)
                raise torch.OutOfMemoryError("CUDA out of memory.")
            step_of_bank(bank)

        patch.setattr(Bank, "step", step_or_fail)


@pytest.mark.parametrize("step", [0, 3])
def test_a_bank_that_does_not_fit_is_halved(study: Study, swept: Study, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    memory = Memory(1, step, monkeypatch)
    said: list[str] = []
    steps: list[int] = []
    train(study, FOUR[:3], CPU, None, Reporter(lambda total: None, steps.append, said.append, steps.append))
    assert memory.sizes == [3, 2, 1, 1, 1]
    assert said[1:] == [
        f"{SPLIT}: 3 networks do not fit in memory; going on with 2 (see --bank-size)",
        f"{SPLIT}: 2 networks do not fit in memory; going on with 1 (see --bank-size)",
    ]
    assert sum(steps) == 3 * 5  # the bar ends at its total
    check_same(study, swept, FOUR[:3])
    assert left_over(study) == []


def test_a_halved_bank_goes_on_from_its_checkpoint(study: Study, swept: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed as a whole at step 2, then with less memory: each half goes on there."""

    class Killed(BaseException):
        pass

    calls = iter(range(9))

    def advance(count: int) -> None:
        if next(calls) == 3:
            raise Killed

    study.write_recipe(study.recipe().model_copy(update={"training": with_checkpoints(study)}))
    with pytest.raises(Killed):
        train(study, FOUR, CPU, None, silent(advance))
    Memory(2, 0, monkeypatch)
    said: list[str] = []
    train(study, FOUR, CPU, None, silent(said=said))
    assert said[1:] == [
        f"{SPLIT}: 4 networks go on at step 2 of 5",
        f"{SPLIT}: 4 networks do not fit in memory; going on with 2 (see --bank-size)",
        f"{SPLIT}: 2 networks go on at step 2 of 5",
        f"{SPLIT}: 2 networks go on at step 2 of 5",
    ]
    check_same(study, swept, FOUR)


def with_checkpoints(study: Study) -> Any:
    return study.recipe().training.model_copy(update={"checkpoint_steps": 1})


def test_a_network_that_does_not_fit_alone_is_an_error(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    Memory(0, 0, monkeypatch)
    with pytest.raises(TransferError) as error:
        train(study, FOUR[:2], CPU, None, silent())
    assert str(error.value).startswith("A2B alone does not fit in the memory of cpu, ")
    assert str(error.value).endswith(
        "; use a device with more (--device), or a smaller training.batch in a new study (--study DIR)"
    )
    assert len(study.rows()) == 2
