"""From a trained network to its row: what was measured, whether it learned, and what made it."""

import math
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import transfercli
from transfercli.bank import Bank, Member
from transfercli.devices import device_name
from transfercli.recipe import Recipe
from transfercli.study import Halves, Study, as_dict, replacing
from transfercli.treatments import digest, frozen_names

BEST = 10  # the paper reports the mean of the ten best evaluations


def write_member(study: Study, halves: Halves, bank: Bank, member: Member, made_by: dict[str, Any]) -> dict[str, Any]:
    """Write one network's weights, log and, last, its row, which is returned."""
    network, state = member.network, member.module.state_dict()
    classes = len(halves.split.classes(network.target))
    pictures = len(bank.val[network.target])
    last = member.log[-1]
    best = sorted((line["top1"] for line in member.log if line["step"] > 0), reverse=True)[:BEST]
    row = {
        **as_dict(network),
        **{key: last[key] if math.isfinite(last[key]) else None for key in ("top1", "top5", "loss", "train_loss")},
        "top1_best10": sum(best) / len(best) if best else last["top1"],
        "step": last["step"],
        "status": status(member, classes, pictures),
        "classes": classes,
        "val_pictures": pictures,
        "frozen_digest_before": member.frozen_before,
        "frozen_digest_after": digest(state, frozen_names(member.module, network.frozen)),
        **made_by,
    }
    with replacing(study.folder(network) / "weights.safetensors") as aside:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, aside)
    study.write_network(network, row, member.log)
    return row


def status(member: Member, classes: int, pictures: int) -> str:
    """`done`, or why the row says nothing about transfer: the loss was not finite, or stayed at that of a guess."""
    if member.diverged is not None:
        return f"diverged at step {member.diverged}"
    chance, last = 1 / classes, member.log[-1]
    noise = math.sqrt(chance * (1 - chance) / pictures)
    if last["train_loss"] >= 0.99 * math.log(classes) and last["top1"] <= chance + 3 * noise:
        return "did not learn"
    return "done"


def provenance(bank: Bank, recipe: Recipe, halves: Halves, seconds: float, steps: int) -> dict[str, Any]:
    """What made the rows of a bank, which took so many steps in so many seconds."""
    return {
        "recipe": recipe.name,
        "recipe_digest": recipe.digest(),
        "split_digest": halves.digest,
        "version": transfercli.__version__,
        "commit": commit(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if bank.device.type == "cuda" else "",
        "device": device_name(bank.device),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "precision": str(bank.precision)[6:],
        "bank": " ".join(member.network.name for member in bank.members),
        "bank_seconds": round(seconds, 2),
        "pictures_per_second": round(steps * recipe.training.batch * len(bank.streams) / seconds, 1),
    }


def commit() -> str:
    """The commit of the checkout that runs, with `+` where it was changed since; empty for an installed package."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=10)
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno", "."], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if tracked.returncode or head.returncode:
        return ""
    return head.stdout.strip() + "+" * bool(dirty.stdout.strip())
