"""Yesterday's numbers: the networks of a small study end where they ended when `versions.NUMERICS` was last raised.

On the kind of machine that golden.json was written on, to the bit; on others within what their arithmetic differs. Where this
fails, a change has given the same recipe other numbers: undo it, or raise NUMERICS and write the file anew, on purpose:

    TRANSFER_GOLDEN=write python -m pytest tests/test_golden.py
"""

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from conftest import ADAMW, CPU, SPLIT, Tiny, numbers, run, sweep, tiny_recipe

from transfercli.plan.networks import bases
from transfercli.study import versions
from transfercli.system.devices import device_name

FILE = Path(__file__).parent / "golden.json"
TOLERANCE = 2e-5  # of a loss; without AVX512, or without AVX2 too, none here differed by more than 5e-6
NETWORKS = [*bases([SPLIT], [0]), *(network for network in sweep("AB") if network.layer in (1, 4, 7))]
RECIPES = {
    "plain": {},
    "batch": {"network": {"normalisation": "batch"}, "training": {"velocity": "pytorch", "nesterov": True}},
    "lrn": {"network": {"normalisation": "lrn", "init": "caffe"}, "pictures": {"channels": "bgr"}},
    "fresh and clipped": {"training": {"stream": "fresh", "adaptive_clip": 0.05}},
    "adamw": {"training": ADAMW},
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_same_recipe_gives_the_same_numbers(tiny: Tiny, name: str) -> None:
    here = f"torch {torch.__version__}, {device_name(CPU).rpartition(', ')[0]}, {torch.backends.cpu.get_cpu_capability()}"
    bank = run(tiny.bank(NETWORKS, tiny_recipe(RECIPES[name])))
    losses = {member.network.name: member.log[-1]["loss"] for member in bank.members}
    bits = hashlib.sha256(json.dumps(numbers(bank), sort_keys=True).encode()).hexdigest()
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("TRANSFER_GOLDEN") == "write":
        kept |= {"numerics": versions.NUMERICS, "machine": here}
        kept[name] = {"bits": bits, "losses": losses}
        FILE.write_text(json.dumps(kept, indent=1) + "\n")
    assert kept["numerics"] == versions.NUMERICS
    assert losses == pytest.approx(kept[name]["losses"], rel=TOLERANCE)
    if kept["machine"] == here:
        assert bits == kept[name]["bits"]


def test_other_numbers_are_told(tiny: Tiny) -> None:
    """Else the tolerance above would be too wide to hold anything: another order of pictures, another rate, another draw."""
    kept = json.loads(FILE.read_text())["plain"]["losses"]
    some = [network for network in NETWORKS if network.name in ("baseB", "A4B", "B7B+", "R1A")]
    for change in ({"training": {"stream": "fresh"}}, {"training": {"bias_rate": 1.99}}, {"network": {"dropout": 0.49}}):
        bank = run(tiny.bank(some, tiny_recipe(change)))
        assert any(
            member.log[-1]["loss"] != pytest.approx(kept[member.network.name], rel=TOLERANCE) for member in bank.members
        ), change
