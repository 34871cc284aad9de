"""From a trained network to its row: what was measured, whether it learned, and what made it."""

import math
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from transfercli.networks.description import metadata
from transfercli.networks.start import digest, names_of
from transfercli.plan.networks import RANDOM, Network, columns
from transfercli.plan.treatments import LEARNED_NOTHING
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.study.splits import Halves
from transfercli.study.versions import here
from transfercli.system.devices import device_name
from transfercli.system.files import replacing
from transfercli.training.amounts import classes_of
from transfercli.training.bank import Bank
from transfercli.training.cost import Layers, share_copied, work_of
from transfercli.training.evaluation import Counted
from transfercli.training.member import Member
from transfercli.training.snapshots import kept
from transfercli.training.stopping import best, ends

BEST = 10  # the paper reports the mean of the ten best evaluations
PREDICTIONS = "predictions.safetensors"  # see `predictions`
SIGMAS = 3  # standard errors above chance within which an accuracy may be a guess's


def write_member(
    study: Study,
    halves: Halves,
    bank: Bank,
    member: Member,
    fixed_loss: float | None,
    counts: Mapping[str, Counted],
    made_by: dict[str, Any],
) -> dict[str, Any]:
    """Write one network's weights, log and, last, its row, which is returned.

    `counts`: at the last step, of `val` and `holdout`, where there are folds; what it says of each picture is then kept.
    """
    network, state = member.network, member.module.state_dict()
    names = classes_of(halves.split, network)
    classes = len(names)
    train, val = (source[network.pictures].labels.bincount().tolist() for source in (bank.train, bank.val))
    snapshots = kept(study, network, bank.recipe.training.snapshots if network.is_base else ())
    patience, taken = bank.recipe.training.patience if member.diverged is None else None, int(member.log[-1]["step"])
    last, told = best(member.log) if patience else member.log[-1], predictions(bank, member, counts)
    measured = {key: last[key] for key in ("top1", "top5", "loss", "train_loss", "balanced_top1")} | {"fixed_loss": fixed_loss}
    row = {
        **columns(network, halves.split),
        **{key: value if value is not None and math.isfinite(value) else None for key, value in measured.items()},
        "top1_best10": best10(member.log),
        "step": last["step"],
        **({"stopped_at": member.log[-1]["step"]} if patience else {}),
        **({"phase_ends": " ".join(map(str, ends(member.log, patience)))} if patience and network.rule.patient else {}),
        "status": status(last, member.diverged, gives(network), train, val, bank.recipe.judged),
        "classes": classes,
        "train_pictures": sum(train),
        "chance": guess(val),
        "val_pictures": sum(val),
        **held_out(counts.get("holdout")),
        "frozen_digest_before": member.frozen_before,
        "frozen_digest_after": digest(state, names_of(member.module, member.resolved.frozen)),
        "source_digest": member.copied,
        **({"initialiser": bank.recipe.network.random} if network.source == RANDOM and bank.recipe.network.library else {}),
        "layers": len(member.layers),
        "share_copied": round(share_copied(bank.recipe, classes, network.first, network.layer), 6),
        "multiply_adds": work_of([member.resolved], Layers.of(bank.recipe, classes), taken or bank.steps, bank.steps),
        "layer_steps": member.resolved.layer_steps(taken, bank.steps),
        "network_digest": member.resolved.digest(bank.recipe.digest(), halves.digest),
        "weights_digest": digest(state, sorted(state)),
        **({"snapshots": snapshots} if snapshots else {}),
        **({"predictions_digest": digest(told, sorted(told))} if told else {}),
        **made_by,
    }
    if told:
        with replacing(study.folder(network) / PREDICTIONS) as aside:
            save_file(told, aside)
    if network.pictures in bank.holdout and not bank.recipe.training.keep_weights:
        study.write_network(network, row, member.log)
        return row
    mean = bank.setting.means[member.resolved.input]
    about = metadata(bank.recipe, network, member.module, names, mean)
    with replacing(study.folder(network) / "weights.safetensors") as aside:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, aside, about)
    study.write_network(network, row, member.log)
    return row


def predictions(bank: Bank, member: Member, counts: Mapping[str, Counted]) -> dict[str, Tensor]:
    """For `val` and `holdout`, where they were counted: (pictures,) the class that each is taken for, and in `val_labels` and so
    on that it is of.
    """
    there = {"val": bank.val, "holdout": bank.holdout}
    guesses = {part: torch.cat(counted.guesses).cpu() for part, counted in counts.items()}
    return guesses | {
        f"{part}_labels": there[part][member.network.pictures].labels.to(told.dtype) for part, told in guesses.items()
    }


def held_out(counted: Counted | None) -> dict[str, Any]:
    """The columns of what was measured on the fold of the training pictures that the network has not seen."""
    if counted is None:
        return {}
    top1, _, loss = counted.shares()
    pictures = int(counted.there.sum())
    return {"holdout_top1": top1, "holdout_loss": loss if math.isfinite(loss) else None, "holdout_pictures": pictures}


def best10(log: list[dict[str, float]]) -> float:
    """The mean top-1 of the ten best evaluations after training began."""
    best = sorted((line["top1"] for line in log if line["step"] > 0), reverse=True)[:BEST]
    return sum(best) / len(best) if best else log[-1]["top1"]


def status(
    last: dict[str, float], diverged: int | None, gives: bool, train: Sequence[float], val: Sequence[float], judged: bool
) -> str:
    """`done`, or why the row says nothing about transfer; `last` is the log's last line.

    The loss was not finite, or stayed at that of a guess that knows how frequent each class is; `train` and `val` hold the
    number of pictures of each class. What `gives` its layers and may be guessing has nothing to transfer. What is not to be
    `judged` (a smoke run's networks) is done wherever its loss was finite.
    """
    if diverged is not None:
        return f"diverged at step {diverged}"
    chance = guess(val)
    guessed = last["top1"] <= chance + SIGMAS * math.sqrt(chance * (1 - chance) / sum(val))
    if not (judged and guessed):
        return "done"
    if last["train_loss"] >= 0.99 * entropy(train):
        return LEARNED_NOTHING
    return "no better than chance" if gives else "done"


def gives(network: Network) -> bool:
    """Whether it must have learned: the bases. That one of little data has not is what was to be found out."""
    return network.is_base and not network.of_axes("data")


def guess(pictures: Sequence[float]) -> float:
    """How often a guess is right that always names the largest class, of so many pictures a class."""
    return max(pictures) / sum(pictures)


def entropy(pictures: Sequence[float]) -> float:
    """The cross-entropy of a guess that gives each class its share: ln k where the k classes are equal."""
    return -sum(n / sum(pictures) * math.log(n / sum(pictures)) for n in pictures if n)


def provenance(bank: Bank, recipe: Recipe, halves: Halves, seconds: float, steps: int, accepted: str) -> dict[str, Any]:
    """What made the rows of a bank, which took so many steps in so many seconds; `accepted`: changes of version on the way."""
    return {
        "recipe": recipe.name,
        "recipe_digest": recipe.digest(),
        "split_digest": halves.digest,
        **here(bank.setting.precision, {recipe.network.library}),
        "accepted": accepted,
        "commit": commit(),
        "cuda": torch.version.cuda if bank.setting.device.type == "cuda" else "",
        "device": device_name(bank.setting.device),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "bank": " ".join(member.network.name for member in bank.members),
        "bank_seconds": round(seconds, 2),
        "pictures_per_second": round(steps * recipe.training.batch * len(bank.streams) / seconds, 1),
    }


def commit() -> str:
    """The commit of the checkout that runs, with `+` where it was changed since; empty for an installed package."""
    git = ["git", "-C", str(Path(__file__).parents[1])]
    try:
        tracked = subprocess.run([*git, "ls-files", "--error-unmatch", __file__], capture_output=True, timeout=10)
        head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, timeout=10)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno", "."], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if tracked.returncode or head.returncode:
        return ""
    return head.stdout.strip() + "+" * bool(dirty.stdout.strip())
