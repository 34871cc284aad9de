"""What must hold on a device, tried in one call: the same numbers twice, and after kills; and what another device says of them.

    python tests/on_device.py --device cuda --out what-held.json

The built-in study is run twice, and once more while it is killed (SIGKILL) in the middle of its banks and begun anew. It is told
how many rows are the same, but for what they say of the bank that made them, how many networks have the same weights to the
bit, and by how much the furthest differ. Then `transfer verify` measures every network again, there and on the CPU. Ends with 1
where a network is missing, where the device does not repeat itself, where kills change anything (on a CPU: elsewhere a bank of
other networks may use other kernels), or where `verify` finds fault. Works from a checkout, and fetches nothing.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from kill_many import own as of_itself
from safetensors.torch import load_file

from transfercli.study import checkpoint_files
from transfercli.study.folder import Study

ROOT = Path(__file__).resolve().parents[1]


def begun(words: Sequence[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    how: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "env": environment}
    return subprocess.Popen([sys.executable, "-m", "transfercli", *words], **how)


def ended(words: Sequence[str]) -> float:
    """Seconds of a command. Raises ClickException where it fails; 3 says that a network did not learn, which is a result."""
    began, command = time.monotonic(), begun(words)
    said, _ = command.communicate()
    if command.returncode not in (0, 3):
        raise click.ClickException(f"{' '.join(words)} ended with {command.returncode}:\n{said[-3000:]}")
    return round(time.monotonic() - began, 1)


def killed(words: Sequence[str], study: Path, moments: Sequence[float]) -> int:
    """Begin a command again and again, killed so many seconds after its first checkpoint, then once to its end.

    Returns how many were killed there.
    """
    count = 0
    for moment in moments:
        before, command = checkpoints_of(study), begun(words)
        while command.poll() is None and not checkpoints_of(study) - before:
            time.sleep(0.05)
        time.sleep(moment)
        count += command.poll() is None
        command.kill()
        command.communicate()
    ended(words)
    return count


def checkpoints_of(study: Path) -> set[Path]:
    return {*study.rglob(f"{checkpoint_files.FOLDER}/{checkpoint_files.FILES}")}


def differences(one: Study, other: Study) -> dict[str, Any]:
    """How many networks have the same row and the same weights, and by how much the furthest differ."""
    rows, others = ({row["network"]: row for row in study.rows()} for study in (one, other))
    planned, alike, weights = len(one.recipe().planned(one.need_splits())), 0, 0
    top1 = furthest = 0.0
    for name in rows.keys() & others.keys():
        row, there = rows[name], others[name]
        alike += of_itself(row) == of_itself(there)
        top1 = max(top1, abs(row["top1"] - there["top1"]))
        own, its = (load_file(study.root / row["split"] / name / "weights.safetensors") for study in (one, other))
        weights += all(torch.equal(tensor, its[key]) for key, tensor in own.items())
        furthest = max([furthest, *((tensor.double() - its[key].double()).abs().max().item() for key, tensor in own.items())])
    found = {"networks": planned, "in both": len(rows.keys() & others.keys()), "rows alike": alike, "weights alike": weights}
    return {**found, "largest difference of top1": top1, "of a weight": furthest}


@click.command(help=__doc__)
@click.option("--device", default="cuda", show_default=True)
@click.option("--epochs", default=5, show_default=True, help="Of every network.")
@click.option("--kills", default=4, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of their moments.")
@click.option("--out", type=click.Path(path_type=Path), help="A JSON file for what is found.")
def main(device: str, epochs: int, kills: int, seed: int, out: Path | None) -> None:
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="on-device-") as place:
        studies = [Study(Path(place) / name) for name in ("once", "again", "killed")]
        words = [
            ("run", "demo", f"--set=training.epochs={epochs}", "--device", device, "--study", str(one.root)) for one in studies
        ]
        words[2] += ("--set=training.checkpoint_steps=10",)
        seconds = [ended(line) for line in words[:2]]
        count = killed(words[2], studies[2].root, [draw.uniform(0, 3) for _ in range(kills)])
        own = studies[0].rows()[0]
        found = {key: own[key] for key in ("device", "precision", "torch")} | {"seconds": seconds, "kills": count}
        results: dict[str, dict[str, Any]] = {
            "twice": differences(studies[0], studies[1]),
            "after kills": differences(studies[0], studies[2]),
        }
        for where in dict.fromkeys((device, "cpu")):
            command = begun(["verify", "--study", str(studies[0].root), "--device", where])
            said, _ = command.communicate()
            results[f"verify on {where}"] = {"exit": command.returncode, "said": said.splitlines()[-6:]}
    text = json.dumps({**found, **results}, indent=1)
    click.echo(text)
    if out is not None:
        out.write_text(text + "\n")
    both = results["twice"], results["after kills"]
    held = [count > 0, *(one["in both"] == one["networks"] for one in both)]
    held += [one["rows alike"] == one["weights alike"] == one["networks"] for one in both[: 2 if device == "cpu" else 1]]
    sys.exit(not all([*held, *(one["exit"] == 0 for one in results.values() if "exit" in one)]))


if __name__ == "__main__":
    main()
