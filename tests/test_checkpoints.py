"""Checkpoints: whole or not there, noticed when damaged, and found again by the networks that they hold."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transfercli.system.errors import TransferError
from transfercli.training import checkpoints

FITS = {"recipe": "abc", "steps": 9}


def tensors(step: int = 0) -> dict[str, Tensor]:
    """What a bank has: weights in both orders of memory, counts, a reduced precision, nothing but one number."""
    numbers = torch.arange(24, dtype=torch.float32) + step
    return {
        "A3B/conv1.weight": numbers.view(2, 3, 2, 2).to(memory_format=torch.channels_last),
        "A3B/norm1.num_batches_tracked": torch.tensor(step),
        "A3B/loss_sum": torch.tensor(float("nan")),
        "A3B/velocity/fc8.bias": numbers.bfloat16(),
        "baseB/conv1.weight": torch.zeros(0, 4),
    }


def about(step: int, networks: tuple[str, ...] = ("A3B", "baseB")) -> dict[str, Any]:
    log = [{"step": 0, "train_loss": float("nan"), "top1": 0.1 + 0.2}]
    return {"step": step, "networks": {name: {"log": log, "diverged": None} for name in networks}, **FITS}


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    """Equal to the bit; NaN too."""
    return found.keys() == expected.keys() and all(
        found[name].dtype == tensor.dtype and torch.equal(found[name].nan_to_num(7), tensor.nan_to_num(7))
        for name, tensor in expected.items()
    )


def latest(folder: Path, wanted: list[str], fits: dict[str, Any] = FITS) -> tuple[list[tuple[list[str], int | None]], list[str]]:
    """The groups of `checkpoints.latest` as (names, step), and what it warned of."""
    said: list[str] = []
    groups = checkpoints.latest(folder, wanted, fits, said.append)
    for _, saved in groups:
        if saved is not None:
            assert same(saved.tensors, tensors(saved.about["step"]))
    return [(names, None if saved is None else saved.about["step"]) for names, saved in groups], said


def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path) -> None:
    path = checkpoints.save(tmp_path / "new" / "folder", tensors(3), about(3))
    found, kept = checkpoints.load(path)
    assert same(found, tensors(3))
    assert repr(kept) == repr(about(3))


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_that_was_cut_short_or_altered_is_noticed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Wherever it is cut and whichever bit is turned: an error that names the file, or exactly what was saved."""
    folder = tmp_path_factory.mktemp("damaged")
    path = checkpoints.save(folder, tensors(3), about(3))
    whole = path.read_bytes()
    if data.draw(st.booleans(), "cut"):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1), "length")])
    else:
        altered = bytearray(whole)
        altered[data.draw(st.integers(0, len(whole) - 1), "place")] ^= 1 << data.draw(st.integers(0, 7), "bit")
        path.write_bytes(altered)
    try:
        found, kept = checkpoints.load(path)
    except ValueError as error:
        assert str(error).startswith(f"the checkpoint {path} is damaged: ")
    else:  # such as a space among the header's last, which mean nothing
        assert same(found, tensors(3))
        assert repr(kept) == repr(about(3))


def test_a_turned_bit_of_a_weight_is_noticed(tmp_path: Path) -> None:
    path = checkpoints.save(tmp_path, tensors(3), about(3))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError) as error:
        checkpoints.load(path)
    assert str(error.value) == f"the checkpoint {path} is damaged: its digest does not fit"


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 9, 10):
        checkpoints.save(tmp_path, tensors(step), about(step))
    other = checkpoints.save(tmp_path, tensors(5), about(5, ("B1B",)))  # of another bank
    assert sorted(int(p.stem.rpartition("-")[2]) for p in tmp_path.iterdir()) == [5, 9, 10]
    assert other.exists()


def test_the_furthest_is_used_and_a_damaged_one_gives_way_to_the_one_before(tmp_path: Path) -> None:
    first = checkpoints.save(tmp_path, tensors(9), about(9))
    second = checkpoints.save(tmp_path, tensors(10), about(10))
    assert latest(tmp_path, ["baseB", "A3B"]) == ([(["baseB", "A3B"], 10)], [])
    second.write_bytes(second.read_bytes()[:-1])
    groups, said = latest(tmp_path, ["A3B"])
    assert groups == [(["A3B"], 9)]
    assert len(said) == 1
    assert said[0].startswith(f"the checkpoint {second} is damaged: ")
    assert said[0].endswith("; an earlier one is used where there is one")
    first.write_bytes(b"")
    groups, said = latest(tmp_path, ["A3B"])
    assert groups == [(["A3B"], None)]
    assert len(said) == 2


def test_a_file_that_is_called_otherwise_is_named_and_passed_over(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, tensors(9), about(9))
    stray = tmp_path / "copy.safetensors"
    stray.write_bytes(b"")
    assert latest(tmp_path, ["baseB", "A3B"]) == ([(["baseB", "A3B"], 9)], [])
    groups, said = latest(tmp_path, ["B5B"])
    assert groups == [(["B5B"], None)] and [line for line in said if str(stray) in line]


def test_networks_go_on_in_groups_by_their_furthest_checkpoint(tmp_path: Path) -> None:
    """A sweep cut into banks, killed, and called again for some networks and for new ones."""
    checkpoints.save(tmp_path, tensors(4), about(4, ("A1B", "A2B")))
    checkpoints.save(tmp_path, tensors(6), about(6, ("A2B", "A3B", "A4B")))
    groups, said = latest(tmp_path, ["A5B", "A3B", "A2B", "A1B"])
    assert groups == [(["A3B", "A2B"], 6), (["A1B"], 4), (["A5B"], None)]
    assert said == []
    assert latest(tmp_path, []) == ([], [])
    assert latest(tmp_path / "missing", ["A1B"]) == ([(["A1B"], None)], [])


@pytest.mark.parametrize("change", [{"recipe": "abd"}, {"steps": 8}, {"precision": "torch.bfloat16"}])
def test_a_checkpoint_of_another_recipe_split_or_precision_is_left_alone(tmp_path: Path, change: dict[str, Any]) -> None:
    checkpoints.save(tmp_path, tensors(4), about(4))
    assert latest(tmp_path, ["A3B"], {**FITS, **change}) == ([(["A3B"], None)], [])


def test_a_killed_or_failed_save_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoints.save(tmp_path, tensors(4), about(4))
    # Killed: the file set aside stays where it was, half written or even whole.
    (tmp_path / f".{path.stem[:-1]}5.safetensors.x8w1.safetensors").write_bytes(path.read_bytes()[:100])
    assert latest(tmp_path, ["A3B"]) == ([(["A3B"], 4)], [])

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TransferError) as error:
        checkpoints.save(tmp_path, tensors(6), about(6))
    place = tmp_path / f"{path.stem[:-1]}6.safetensors"
    assert str(error.value) == (f"cannot write {place}: No space left on device; make room or choose another folder: --study DIR")
    assert latest(tmp_path, ["A3B"]) == ([(["A3B"], 4)], [])
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == [path.name]


def test_clear_removes_what_no_network_needs_and_nothing_else(tmp_path: Path) -> None:
    """A sweep of a few layers that ends must not take the checkpoint of a longer one that was killed before."""
    folder = tmp_path / "checkpoints"
    checkpoints.clear(folder, ())  # there is none: nothing to do
    path = checkpoints.save(folder, tensors(4), about(4, ("A3B", "baseB")))
    (folder / f".{path.name}.x8w1.safetensors").write_bytes(b"of a killed run")
    damaged = checkpoints.save(folder, tensors(5), about(5, ("A3B",)))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    checkpoints.clear(folder, {"A3B", "A4B"})
    assert [p.name for p in folder.iterdir()] == [path.name]
    checkpoints.clear(folder, {"A3B", "baseB"})
    assert not folder.exists()
    checkpoints.save(folder, tensors(4), about(4))
    (folder / "notes.txt").write_text("mine")
    checkpoints.clear(folder, {"A3B", "baseB"})
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]
