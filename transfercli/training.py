"""A plan carried out: banks are trained, their networks measured, their rows written."""

import math
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import transfercli
from transfercli import checkpoints
from transfercli.bank import Bank, Member
from transfercli.errors import TransferError
from transfercli.indexing import pictures_of
from transfercli.networks import describe
from transfercli.pictures.stream import Part, Source
from transfercli.plan import Network, banks
from transfercli.recipe import Recipe
from transfercli.study import Halves, Study, as_dict, replacing
from transfercli.threads import processors
from transfercli.treatments import build, digest, frozen_names, start

BEST = 10  # the paper reports the mean of the ten best evaluations


@dataclass(frozen=True)
class Reporter:
    """How training tells what it does: network-steps done (of a total), and lines of text."""

    total: Callable[[int], None]
    advance: Callable[[int], None]
    say: Callable[[str], None]


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda`, `cuda:1` or `mps` as a device that is there. Raises TransferError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = name.partition(":")
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if int(number or 0) >= there[kind]:
        raise TransferError(f"there is no device {name} on this machine; use --device auto or --device cpu")
    return torch.device(name)


def pick_precision(wanted: str, device: torch.device) -> torch.dtype:
    """The recipe's precision; `auto` is bfloat16 where the device multiplies it faster than float32, else float32."""
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[wanted]
    if device.type == "cuda":
        fast = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        # Private, but torch has no public way to ask (2.11 to 2.15); torch.backends.cpu tells only the vector width.
        fast = device.type == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())
    return torch.bfloat16 if fast else torch.float32


def train(
    study: Study, networks: Sequence[Network], device: torch.device, bank_size: int | None, reporter: Reporter
) -> list[dict[str, Any]]:
    """Train and measure the networks that have no row yet; return the rows of all. Raises TransferError."""
    recipe = study.recipe()
    precision = pick_precision(recipe.training.precision, device)
    todo = [network for network in networks if study.row(network) is None]
    reporter.say(f"{len(todo)} of {len(networks)} networks to train, on {device_name(device)} in {str(precision)[6:]}")
    with study.held(todo), reproducible(device):
        jobs = []
        for split in dict.fromkeys(network.split for network in todo):
            halves = study.halves(split)
            jobs.append((halves, [network for network in todo if network.split == split]))
        reporter.total(sum(len(group) * steps_of(recipe, halves) for halves, group in jobs))
        for halves, group in jobs:
            _train_split(study, recipe, halves, group, device, precision, bank_size, reporter)
    study.write_table()
    return [row for network in networks if (row := study.row(network)) is not None]


def steps_of(recipe: Recipe, halves: Halves) -> int:
    """The number of steps of every network of a split: epochs count the pictures of the larger half."""
    return recipe.training.length(max(halves.counts[half]["train"] for half in "AB"))


def _train_split(
    study: Study,
    recipe: Recipe,
    halves: Halves,
    networks: Sequence[Network],
    device: torch.device,
    precision: torch.dtype,
    bank_size: int | None,
    reporter: Reporter,
) -> None:
    folder = pictures_of(study, halves, recipe.pictures)
    threads = processors()
    sources: dict[tuple[str, str], Source] = {}

    def source(half: str, part: str) -> Source:
        if (half, part) not in sources:
            files = folder.train if part == "train" else folder.val
            pictures = Part.of(folder.root, files, halves.split.classes(half))
            sources[half, part] = Source(pictures, recipe.pictures, device, threads)
        return sources[half, part]

    def mean(half: str) -> Tensor | None:
        return mean_of(study, recipe, halves, half, lambda: source(half, "train"))

    steps = steps_of(recipe, halves)
    fits = {"recipe": recipe.digest(), "split": halves.digest, "steps": steps, "precision": str(precision)}
    by_seed: dict[int, list[Network]] = {}
    for network in networks:
        by_seed.setdefault(network.seed, []).append(network)
    for group in by_seed.values():
        kept = study.folder(group[0]).parent / "checkpoints"
        for names, tensors, about in checkpoints.latest(kept, [n.name for n in group], fits, reporter.say):
            members = [network for network in group if network.name in names]
            size = bank_size or fitting(recipe, halves, device)
            for bank_networks in banks(members, size):
                targets = sorted({n.target for n in bank_networks})
                started = {n: _start(study, recipe, halves, n) for n in bank_networks}
                wanted = {n.source if n.source in "AB" else n.target for n in bank_networks}
                bank = Bank(
                    recipe,
                    started,
                    {t: source(t, "train") for t in targets},
                    {t: source(t, "val") for t in targets},
                    {half: mean(half) for half in sorted(wanted)},
                    steps,
                    device,
                    precision,
                    threads,
                )
                if tensors is not None and about is not None:
                    bank.restore(tensors, about)
                    reporter.say(f"{halves.name}: {len(bank_networks)} networks go on at step {bank.step_number} of {steps}")
                run_bank(study, recipe, halves, bank, kept, fits, reporter)
        checkpoints.clear(kept)


def run_bank(
    study: Study, recipe: Recipe, halves: Halves, bank: Bank, kept: Path, fits: dict[str, Any], reporter: Reporter
) -> None:
    """Train a bank to its last step, measuring and saving on the way, and write its networks' rows."""
    measured_at = recipe.evaluation.at(bank.steps)
    began, first = time.monotonic(), bank.step_number
    saved = began
    reporter.advance(len(bank.members) * first)
    while True:
        done = bank.step_number
        if done in measured_at and not (bank.members[0].log and bank.members[0].log[-1]["step"] == done):
            bank.evaluate()
        if done == bank.steps or not bank.live:
            break
        bank.step()
        reporter.advance(len(bank.members))
        if time.monotonic() - saved > 60 * recipe.training.checkpoint_minutes:
            tensors, about = bank.state()
            checkpoints.save(kept, tensors, {**about, **fits})
            saved = time.monotonic()
    seconds = time.monotonic() - began
    made_by = provenance(bank, recipe, halves, seconds, (bank.step_number - first) * recipe.training.batch / seconds)
    for member in bank.members:
        write_member(study, halves, bank, member, made_by)
        row = study.row(member.network)
        if row and row["status"] != "done":
            reporter.say(f"{halves.name} {member.network.name}: {row['status']}")
    study.write_table()


def write_member(study: Study, halves: Halves, bank: Bank, member: Member, made_by: dict[str, Any]) -> None:
    """One network's weights, log and, last, row."""
    network, state = member.network, member.module.state_dict()
    classes = len(halves.split.classes(network.target))
    last = member.log[-1]
    best = sorted((line["top1"] for line in member.log if line["step"] > 0), reverse=True)[:BEST]
    row = {
        **as_dict(network),
        **{key: last[key] if math.isfinite(last[key]) else None for key in ("top1", "top5", "loss", "train_loss")},
        "top1_best10": sum(best) / len(best) if best else last["top1"],
        "step": last["step"],
        "status": status(member, classes, len(bank.val[network.target])),
        "classes": classes,
        "val_pictures": len(bank.val[network.target]),
        "frozen_digest_before": member.frozen_before,
        "frozen_digest_after": digest(state, frozen_names(member.module, network.frozen)),
        **made_by,
    }
    with replacing(study.folder(network) / "weights.safetensors") as aside:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, aside)
    study.write_network(network, row, member.log)


def status(member: Member, classes: int, pictures: int) -> str:
    """`done`, or why the row says nothing about transfer: the loss was not finite, or stayed at that of a guess."""
    if member.diverged is not None:
        return f"diverged at step {member.diverged}"
    chance, last = 1 / classes, member.log[-1]
    noise = math.sqrt(chance * (1 - chance) / pictures)
    if last["train_loss"] >= 0.99 * math.log(classes) and last["top1"] <= chance + 3 * noise:
        return "did not learn"
    return "done"


def provenance(bank: Bank, recipe: Recipe, halves: Halves, seconds: float, rate: float) -> dict[str, Any]:
    """What made the rows of a bank."""
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
        "pictures_per_second": round(rate, 1),
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


def device_name(device: torch.device) -> str:
    """The device as a row records it: the GPU's name, or the processor's and how many of them."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"mps, {platform.machine()}"
    model = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"cpu, {model}, {processors()} processors"


def load_weights(study: Study, network: Network) -> dict[str, Tensor]:
    """A finished network's weights. Raises TransferError."""
    path = study.folder(network) / "weights.safetensors"
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise TransferError(
            f"cannot read the weights of {network.split} {network.name} ({error}); "
            f"remove {path.parent} and train it again: transfer train-base"
        ) from None


def check_bases(study: Study, networks: Iterable[Network], recipe: Recipe) -> None:
    """Raise TransferError unless every base that the networks need is there, from this recipe and split."""
    needed = {network.needs for network in networks} | {
        Network(n.split, n.seed, n.target, 0, n.target) for n in networks
    }
    for base in sorted((b for b in needed if b is not None), key=lambda b: (b.split, b.seed, b.name)):
        row = study.row(base)
        if row is None:
            raise TransferError(f"{base.split} has no {base.name} yet; train it: transfer train-base --study {study.root}")
        for what, wanted in (("recipe", recipe.digest()), ("split", study.halves(base.split).digest)):
            if row.get(f"{what}_digest") != wanted:
                raise TransferError(
                    f"{base.split} {base.name} was trained with another {what}; "
                    f"start a new study (--study NEW), or remove {study.folder(base)} and train it again: transfer train-base"
                )


def _start(study: Study, recipe: Recipe, halves: Halves, network: Network) -> nn.Sequential:
    classes = len(halves.split.classes(network.target))
    source = load_weights(study, network.needs) if network.needs else None
    return start(recipe, network, classes, source)


def mean_of(study: Study, recipe: Recipe, halves: Halves, half: str, source: Callable[[], Source]) -> Tensor | None:
    """The mean that is subtracted from pictures for a source half: (size, size, 3), (3,) or None; kept in the split's folder."""
    pictures = recipe.pictures
    if pictures.mean == "none":
        return None
    path = study.root / halves.name / f"mean-{half}.safetensors"
    key = f"{halves.digest[:16]}-{pictures.size}-{pictures.fit}"
    try:
        mean = load_file(path)[key]
    except (SafetensorError, OSError, KeyError):
        mean = source().mean_image()
        with replacing(path) as aside:
            save_file({key: mean}, aside)
    return mean if pictures.mean == "image" else mean.mean((0, 1))


def fitting(recipe: Recipe, halves: Halves, device: torch.device) -> int:
    """How many networks train side by side within 0.7 of the free memory."""
    with torch.device("meta"):
        network = build(recipe, max(len(halves.split.A), len(halves.split.B)))
    layers = describe(network, recipe.pictures.crop)
    weights = 4 * sum(layer["parameters"] for layer in layers)
    outputs = 4 * recipe.training.batch * sum(math.prod(layer["shape"]) for layer in layers)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    # Weights, gradients, velocities; and what backward needs, of the networks that are at work at the same moment.
    at_work = 1 if device.type != "cpu" else processors()
    return max(1, int((0.7 * free - 8 * outputs * at_work) / (3 * weights)))


class reproducible:
    """One thread per network's step on a CPU, deterministic kernels on CUDA; the settings before come back at the end."""

    def __init__(self, device: torch.device):
        self.device = device

    def __enter__(self) -> None:
        self.threads = torch.get_num_threads()
        if self.device.type == "cpu":
            torch.set_num_threads(1)
        self.cudnn = (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        torch.backends.cudnn.allow_tf32 = False

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.threads)
        cudnn = torch.backends.cudnn
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = self.cudnn
