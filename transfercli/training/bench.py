"""What the banks of one split work with: pictures, means, weights of bases."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from transfercli.networks.start import digest, start
from transfercli.pictures.stream import Part, Source
from transfercli.plan.jobs import banks
from transfercli.plan.networks import Network
from transfercli.recipe.schema import Recipe
from transfercli.study.choosing import pictures_of
from transfercli.study.folder import Study, replacing
from transfercli.study.hints import command
from transfercli.study.splits import Halves
from transfercli.system.devices import device_name
from transfercli.system.errors import TransferError
from transfercli.system.interrupts import Stopped, Wish, deferred
from transfercli.system.threads import processors
from transfercli.training import checkpoints
from transfercli.training.bank import Bank
from transfercli.training.cost import bank_size as fitting
from transfercli.training.reporter import Reporter
from transfercli.training.rows import provenance, write_member

TELL_SECONDS = 5.0  # between two words to others of how far a bank is


class Bench:
    """What all banks of one split work with: its pictures, loaded when a bank first needs them, and their means."""

    def __init__(
        self, study: Study, recipe: Recipe, halves: Halves, device: torch.device, precision: torch.dtype, accepted: str = ""
    ):
        self.accepted = accepted
        self.study, self.recipe, self.halves, self.device, self.precision = study, recipe, halves, device, precision
        self.folder = pictures_of(study, halves, recipe.pictures)
        self.steps = halves.steps(recipe)
        self.sources: dict[tuple[str, str], Source] = {}

    def train(self, networks: Sequence[Network], bank_size: int | None, reporter: Reporter) -> None:
        """Train networks of one seed, in as many banks as needed, each from its checkpoint where there is one."""
        if not networks:
            return
        kept = self.study.folder(networks[0]).parent / "checkpoints"
        same = {"recipe": self.recipe.digest(), "split": self.halves.digest, "precision": str(self.precision)}
        for half in dict.fromkeys(network.target for network in networks):
            for part in ("train", "val"):
                self.source(half, part)  # before the size: banks take a share of what they leave free
        size = bank_size or fitting(self.recipe, max(len(self.halves.split.A), len(self.halves.split.B)), self.device)
        for names, tensors, about in checkpoints.latest(kept, [n.name for n in networks], same, reporter.say):
            waiting = banks([n for n in networks if n.name in names], size)
            while waiting:
                members = waiting.pop(0)
                try:
                    self.train_bank(members, tensors, about, kept, same, reporter)
                    continue
                except torch.OutOfMemoryError:
                    pass  # the error holds the bank: its memory is free when the error is gone
                waiting[:0] = self.halved(members, reporter)

    def train_bank(
        self,
        members: list[Network],
        tensors: Mapping[str, Tensor] | None,
        about: dict[str, Any] | None,
        kept: Path,
        same: dict[str, Any],
        reporter: Reporter,
    ) -> None:
        """Train one bank, from the checkpoint that the tensors are of where there is one."""
        bank = self.bank(members)
        if tensors is not None and about is not None:
            try:
                bank.restore(tensors, about)
            except ValueError as error:
                bank.close()
                raise TransferError(
                    f"{self.halves.name}: {error} than is there now; remove {kept} to begin its networks anew"
                ) from None
            reporter.say(f"{self.halves.name}: {len(members)} networks go on at step {bank.step_number} of {self.steps}")
        try:
            self.run(bank, kept, same, reporter)
        except torch.OutOfMemoryError:
            reporter.held(-len(members) * bank.step_number)  # some networks have taken the step and some not: all begin anew
            raise
        finally:
            bank.close()

    def halved(self, members: list[Network], reporter: Reporter) -> list[list[Network]]:
        """A bank that does not fit in the device's memory as two. Raises TransferError for a single network."""
        if len(members) == 1:
            raise TransferError(
                f"{members[0].name} alone does not fit in the memory of {device_name(self.device)}; "
                "use a device with more (--device), or a smaller training.batch in a new study (--study DIR)"
            )
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        size = -(-len(members) // 2)
        reporter.say(f"{self.halves.name}: {len(members)} networks do not fit in memory; going on with {size} (see --bank-size)")
        return banks(members, size)

    def run(self, bank: Bank, kept: Path, same: dict[str, Any], reporter: Reporter) -> None:
        """Train a bank to its last step, measuring and saving on the way, and write its networks' rows."""
        first, began = bank.step_number, time.monotonic()
        reporter.held(len(bank.members) * first)
        with deferred() as wish:
            self.go(bank, kept, same, reporter, wish)
            seconds, steps = time.monotonic() - began, bank.step_number - first
            made_by = provenance(bank, self.recipe, self.halves, seconds, steps, self.accepted)
            fixed = bank.fixed_losses()
            rows = [write_member(self.study, self.halves, bank, m, fixed.get(m.network.name), made_by) for m in bank.members]
            if failed := [f"{row['network']} {row['status']}" for row in rows if row["status"] != "done"]:
                reporter.say(f"{self.halves.name}: {', '.join(failed)}")
            self.study.write_table()
        if wish.number is not None:
            raise Stopped(wish.number, "the rows of all networks that were in training are written")

    def go(self, bank: Bank, kept: Path, same: dict[str, Any], reporter: Reporter, wish: Wish) -> None:
        """The steps of a bank, with measurements and checkpoints; after the step where a signal asked to stop, Stopped."""
        training, measured_at = self.recipe.training, self.recipe.evaluation.at(bank.steps)
        began, first = time.monotonic(), bank.step_number
        saved = told = now = began

        def save() -> None:
            tensors, about = bank.state()
            checkpoints.save(kept, tensors, {**about, **same})

        def tell() -> None:
            of = bank.members[0].network
            rate = (bank.step_number - first) / max(now - began, 1e-9)
            names = [member.network.name for member in bank.members]
            at = {"step": bank.step_number, "steps": bank.steps, "steps_per_second": round(rate, 3)}
            reporter.tell({"split": of.split, "seed": of.seed, "networks": names, **at})

        tell()
        while True:
            try:
                if bank.step_number in measured_at and bank.measured_at != bank.step_number:
                    bank.evaluate()
                    for member in bank.members:
                        reporter.measured(self.study, member.network, member.log)
                if bank.step_number == bank.steps or not bank.live:
                    return
                bank.step()
            except TransferError:  # of a picture: batches come before any network's step, so the last step is whole
                save()
                raise
            reporter.advance(len(bank.members))
            if wish.number is not None:
                save()
                raise Stopped(wish.number, f"step {bank.step_number} of {bank.steps} is done and a checkpoint saved")
            now = time.monotonic()
            if now - told > TELL_SECONDS:
                tell()
                told = now
            late = now - saved > 60 * training.checkpoint_minutes
            if late or (training.checkpoint_steps and bank.step_number % training.checkpoint_steps == 0):
                save()
                saved = time.monotonic()

    def bank(self, networks: Sequence[Network]) -> Bank:
        """A bank at its first step."""
        targets = sorted({network.target for network in networks})
        means = sorted({network.mean_from for network in networks})
        weights = {need: load_weights(self.study, need) for need in {n.needs for n in networks} if need}
        digests = {need: digest(state, sorted(state)) for need, state in weights.items()}
        for need, found in digests.items():
            self.check_source(need, found)
        return Bank(
            self.recipe,
            {network: self.start(network, weights[network.needs] if network.needs else None) for network in networks},
            {half: self.source(half, "train") for half in targets},
            {half: self.source(half, "val") for half in targets},
            {half: self.mean(half) for half in means},
            self.steps,
            self.device,
            self.precision,
            processors(),
            digests,
        )

    def check_source(self, base: Network, found: str) -> None:
        """Raise TransferError where the weights of a base are not those that its row was measured with."""
        if (row := self.study.row(base)) and row.get("weights_digest", found) != found:
            folder = self.study.folder(base)
            again = how_to_train(self.study, base, self.study.recipe())
            raise TransferError(f"the weights in {folder} are not those of its row; remove it and train it again: {again}")

    def start(self, network: Network, source: dict[str, Tensor] | None) -> nn.Sequential:
        try:
            return start(self.recipe, network, len(self.halves.split.classes(network.target)), source)
        except ValueError as error:  # weights that load but are of another network
            base = network.needs or network
            again = how_to_train(self.study, base, self.study.recipe())
            raise TransferError(f"{self.study.folder(base)}: {error}; remove it and train it again: {again}") from None

    def source(self, half: str, part: str) -> Source:
        if (half, part) not in self.sources:
            files = self.folder.train if part == "train" else self.folder.val
            pictures = Part.of(self.folder.root, files, self.halves.split.classes(half), self.folder.store)
            spare = int(self.device.type != "cpu")  # a processor for the thread that feeds the device
            self.sources[half, part] = Source(pictures, self.recipe.pictures, self.device, max(1, processors() - spare))
        return self.sources[half, part]

    def mean(self, half: str) -> Tensor | None:
        """What is subtracted for a source half: (size, size, 3), (3,) or None. The mean image is kept in the split's folder."""
        pictures = self.recipe.pictures
        if pictures.mean == "none":
            return None
        mean = self.kept_mean(half)
        if mean is None:
            mean = self.source(half, "train").mean_image()
            self.keep_mean(half, mean)
        return mean if pictures.mean == "image" else mean.mean((0, 1))

    def kept_mean(self, half: str) -> Tensor | None:
        """The mean image that is kept for a half, where it is of these pictures and whole."""
        try:
            return load_file(self._mean_file(half))[self._mean_key]
        except (SafetensorError, OSError, KeyError):
            return None

    def keep_mean(self, half: str, mean: Tensor) -> None:
        with replacing(self._mean_file(half)) as aside:
            save_file({self._mean_key: mean}, aside)

    def _mean_file(self, half: str) -> Path:
        return self.study.root / self.halves.name / f"mean-{half}.safetensors"

    @property
    def _mean_key(self) -> str:
        pictures = self.recipe.pictures
        turned = "-exif" * (pictures.orientation == "exif")  # of means from before there was a choice the name is as it was
        return f"{self.halves.digest[:16]}-{pictures.size}-{pictures.fit}{turned}"


def load_weights(study: Study, network: Network) -> dict[str, Tensor]:
    """A finished network's weights. Raises TransferError."""
    path = study.folder(network) / "weights.safetensors"
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise TransferError(
            f"cannot read the weights of {network.split} {network.name} ({error}); "
            f"remove {path.parent} and train it again: {how_to_train(study, network, study.recipe())}"
        ) from None


def how_to_train(study: Study, network: Network, recipe: Recipe) -> str:
    """The command that trains this network, also where the study's recipe does not plan it."""
    words = ["sweep", "--layers", str(network.layer), "--treatments", network.treatment, "--targets", network.target]
    if network.is_base:
        words = ["train-base"] if network in recipe.networks([network.split]) else ["train-base", "--halves", network.target]
    if recipe.seeds != study.recipe().seeds:
        words += ["--set", f"seeds={','.join(map(str, recipe.seeds))}"]
    return command(*words, study=study.root)
