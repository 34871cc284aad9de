"""What the banks of one split work with: pictures, means, weights of bases."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from transfercli.networks.pretrained import find
from transfercli.networks.start import Source, random_features, start
from transfercli.pictures.stream import Part, Pixels, centre_crop, normalise
from transfercli.plan import purposes
from transfercli.plan.networks import PRETRAINED, RANDOM, Network
from transfercli.plan.resolve import Resolved, resolve
from transfercli.recipe.schema import Recipe
from transfercli.study.choosing import pictures_of
from transfercli.study.folder import Study
from transfercli.study.hints import command
from transfercli.study.rows import given_digest
from transfercli.study.splits import Halves
from transfercli.system.errors import TransferError
from transfercli.system.files import replacing
from transfercli.system.randomness import generator
from transfercli.system.threads import processors
from transfercli.training.amounts import classes_of, learned, of_classes
from transfercli.training.bank import Bank
from transfercli.training.cost import bank_size
from transfercli.training.snapshots import path_of

MEASURED_ON = 256  # training pictures from which frozen random BatchNorm takes its statistics


class Bench:
    """What all banks of one split and one of the recipe's networks work with.

    Its pictures are `loaded` when a bank first needs them; other networks of the study see the same.
    """

    def __init__(
        self,
        study: Study,
        recipe: Recipe,
        halves: Halves,
        device: torch.device,
        precision: torch.dtype,
        accepted: str = "",
        loaded: dict[tuple[str, str], Pixels] | None = None,
        made: Study | None = None,
    ):
        self.accepted = accepted
        self.made = made or study  # where networks and checkpoints are written
        self.study, self.recipe, self.halves, self.device, self.precision = study, recipe, halves, device, precision
        self.folder = pictures_of(study, halves, recipe.pictures)
        self.loaded = {} if loaded is None else loaded  # whole parts, which networks of all seeds and kinds share
        self.randoms: dict[tuple[str, int], Source] = {}

    @property
    def same(self) -> dict[str, str]:
        """What a checkpoint must hold for its networks to go on from it."""
        return {"recipe": self.recipe.digest(), "split": self.halves.digest, "precision": str(self.precision)}

    def fits(self, targets: Iterable[str], parts: Sequence[str] = ("train", "val")) -> int:
        """How many networks train side by side, when these targets' pictures are in memory: banks take of what is left."""
        for target in targets:
            for part in parts:
                self.pixels(target, part)
        return bank_size(self.recipe, max(len(task.classes) for task in self.halves.split.tasks), self.device)

    def bank(self, networks: Sequence[Network]) -> Bank:
        """A bank of networks of the same length, at its first step."""
        resolved = [resolve(network, self.recipe.network.depth) for network in networks]
        parts = {network.pictures: network for network in networks}
        means = sorted({one.input for one in resolved})
        needed = {source: one for one in resolved for source in one.sources}
        sources = {origin: self.source(origin, one) for origin, one in needed.items()}
        held = {one.target: self.holdout(one.target, one.seed) for one in networks}
        return Bank(
            self.recipe,
            {one.network: self.start(one, sources) for one in resolved},
            {part: self.learned(one) for part, one in parts.items()},
            {part: of_classes(self.pixels(one.target, "val"), self.halves.split, one) for part, one in parts.items()},
            {half: self.mean(half) for half in means},
            self.halves.steps_of(networks[0], self.recipe),
            self.device,
            self.precision,
            processors(),
            {origin: source.digest for origin, source in sources.items()},
            {
                part: of_classes(fold, self.halves.split, one)
                for part, one in parts.items()
                if (fold := held[one.target]) is not None
            },
        )

    def source(self, origin: str, of: Resolved) -> Source:
        """The weights of that origin of a network: its donor's, or pretrained. Raises TransferError where they have changed."""
        if origin == PRETRAINED:
            return self.pretrained
        donor = of.network.donor
        if donor is None:
            raise TransferError(f"{of.network.name} copies layers from {origin}, which this study does not have")
        source = Source.of(load_weights(self.study, donor, dict(of.network.axes).get("at")))
        if (row := self.study.row(donor)) and (given_digest(row, of.network) or source.digest) != source.digest:
            folder = self.study.folder(donor)
            again = how_to_train(self.study, donor, self.study.recipe())
            raise TransferError(f"the weights in {folder} are not those of its row; remove it and train it again: {again}")
        return source

    @cached_property
    def pretrained(self) -> Source:
        """The weights of the recipe's source. Raises TransferError where they are not those that the study was begun with."""
        wanted = self.recipe.pretrained
        assert wanted is not None and wanted.weights, "the recipe is checked"
        found = find(wanted.weights, self.recipe.network, self.recipe.pictures.crop)
        if wanted.digest not in (None, found.digest):
            raise TransferError(
                f"the weights of {wanted.weights} are not those that this study was begun with; "
                "put those back, or start a new study: --study DIR"
            )
        return Source(found.state, found.digest)

    def random(self, network: Network) -> Source:
        """Random features for the network's target: with BatchNorm's statistics, where there is BatchNorm, of its pictures."""
        key = (network.pictures, network.seed)
        if key not in self.randoms:
            self.randoms = {key: self._random(network)}  # of the others no more is needed soon
        return self.randoms[key]

    def _random(self, network: Network) -> Source:
        classes = len(classes_of(self.halves.split, network))

        def pictures() -> Tensor:
            parts = self.learned(network)
            index = torch.arange(n := min(MEASURED_ON, len(parts))) * len(parts) // n
            mean = self.mean(network.target)
            batch = centre_crop(parts, index)
            return normalise(batch, mean if mean is None else mean.to(self.device), self.recipe.pictures).cpu()

        return Source(random_features(self.recipe, classes, network.seed, network.split, pictures), "")

    def start(self, resolved: Resolved, sources: Mapping[str, Source]) -> nn.Module:
        """The network as its training begins."""
        network = resolved.network
        if RANDOM in resolved.origins:
            sources = {**sources, RANDOM: self.random(network)}
        try:
            return start(self.recipe, resolved, len(classes_of(self.halves.split, network)), sources)
        except ValueError as error:  # weights that load but are of another network
            donor = network.donor or network
            again = how_to_train(self.study, donor, self.study.recipe())
            raise TransferError(f"{self.study.folder(donor)}: {error}; remove it and train it again: {again}") from None

    def pixels(self, half: str, part: str) -> Pixels:
        if (half, part) not in self.loaded:
            files = self.folder.train if part == "train" else self.folder.val
            pictures = Part.of(self.folder.root, files, self.halves.split.classes(half), self.folder.source)
            spare = int(self.device.type != "cpu")  # a processor for the thread that feeds the device
            self.loaded[half, part] = Pixels(pictures, self.recipe.pictures, self.device, max(1, processors() - spare))
        return self.loaded[half, part]

    def seen(self, half: str, seed: int) -> Pixels:
        """The training pictures of networks of that seed: all, or without the fold that is theirs to be measured on."""
        pixels, fold = self.pixels(half, "train"), self.fold(half, seed)
        return pixels if fold is None else pixels.only((~fold).nonzero()[:, 0])

    def learned(self, network: Network) -> Pixels:
        """Of what it sees, the pictures that a network learns from."""
        return learned(self.seen(network.target, network.seed), self.halves.split, network)

    def holdout(self, half: str, seed: int) -> Pixels | None:
        """The fold of the training pictures that networks of that seed do not see; None where there is none."""
        fold = self.fold(half, seed)
        return None if fold is None else self.pixels(half, "train").only(fold.nonzero()[:, 0])

    def fold(self, half: str, seed: int) -> Tensor | None:
        """Which of the training pictures are in the fold of that seed, bool (pictures,): of each class its share."""
        count = self.recipe.pictures.folds
        if count is None or seed >= count:
            return None
        labels = self.pixels(half, "train").labels
        chosen = torch.zeros(len(labels), dtype=torch.bool)
        dealt = 0  # so far: the next class goes on where the last ended, so that folds are of one size
        for label, name in enumerate(self.halves.split.classes(half)):
            of_class = (labels == label).nonzero()[:, 0]
            of_class = of_class[torch.randperm(len(of_class), generator=generator(*purposes.folds(self.halves.name, name)))]
            chosen[of_class[(seed - dealt) % count :: count]] = True
            dealt += len(of_class)
        return chosen

    def mean(self, half: str) -> Tensor | None:
        """What is subtracted for a source half: (size, size, 3), (3,) or None; of pixels 0-255, where there is a `std` 0-1.

        The mean image is kept in the split's folder.
        """
        pictures = self.recipe.pictures
        white = 255 if pictures.std is None else 1
        if pictures.mean == "none":
            return None
        if isinstance(pictures.mean, tuple):
            return white * torch.tensor(pictures.mean)
        mean = self.kept_mean(half)
        if mean is None:
            mean = self.pixels(half, "train").mean_image()
            self.keep_mean(half, mean)
        return (mean if pictures.mean == "image" else mean.mean((0, 1))) * (white / 255)

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
        resized = f"-{pictures.interpolation}" * (pictures.interpolation != "bilinear")
        return f"{self.halves.digest[:16]}-{pictures.size}-{pictures.fit}{turned}{resized}"


def load_weights(study: Study, network: Network, at: float | None = None) -> dict[str, Tensor]:
    """A finished network's weights, or a base's after a share of its steps. Raises TransferError."""
    path = study.folder(network) / "weights.safetensors" if at is None else path_of(study, network, at)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise TransferError(
            f"cannot read the weights of {network.split} {network.name} ({error}); "
            f"remove {path.parent} and train it again: {how_to_train(study, network, study.recipe())}"
        ) from None


def how_to_train(study: Study, network: Network, recipe: Recipe) -> str:
    """The command that trains this network, also where the study's recipe does not plan it."""
    layers = ["--layers", str(network.layer)] if network.rule.swept else []
    words = ["sweep", *layers, "--treatments", network.treatment, "--targets", network.target]
    if network.is_base:
        words = ["train-base"] if network in recipe.planned([network.split]) else ["train-base", "--halves", network.target]
    if recipe.seeds != study.recipe().seeds:
        words += ["--set", f"seeds={','.join(map(str, recipe.seeds))}"]
    return command(*words, study=study, recipe=recipe)
