"""`transfer advise`: ways to train are compared on the pictures in a folder, and one is advised."""

import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from transfercli.advice import kept as keeping
from transfercli.advice.answer import Advice, answer, arm_of, rates_so_far
from transfercli.advice.arms import beyond, rates, ways
from transfercli.advice.fitting import Work, fit, usual_steps
from transfercli.advice.kept import Asked, Kept, Plan
from transfercli.advice.predicting import predictions
from transfercli.networks.pretrained import Pretrained, find
from transfercli.networks.start import blueprint
from transfercli.pictures.stream import Pixels
from transfercli.plan.networks import Network
from transfercli.plan.splits import UNDIVIDED
from transfercli.plan.tasks import WHOLE
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.study.hints import command
from transfercli.study.splits import Halves
from transfercli.study.splitting import split
from transfercli.system.devices import free_memory, pick_device, pick_precision, reproducible
from transfercli.system.errors import TransferError
from transfercli.system.progress import Counting, Told, ignored, uncounted
from transfercli.training import cost, measuring
from transfercli.training.reporter import SILENT, Reporter
from transfercli.training.train import train

RESERVE = 0.15  # of the time, for rates beyond the grid
EXTENSIONS = 2  # times that the grid of learning rates is carried on where an optimum lies at its edge


def advise(
    study: Study,
    folder: str | Path | None = None,
    source: str | None = None,
    *,
    network: str | None = None,
    minutes: float | None = None,
    repeats: int | None = None,
    within: float | None = None,
    fresh: bool | None = None,
    overrides: Sequence[str] = (),
    plan_only: bool = False,
    quick: bool = False,
    skip_unreadable: bool = False,
    device: str = "auto",
    bank_size: int | None = None,
    accept_change: bool = False,
    told: Told = ignored,
    counting: Counting = uncounted,
    reporting: "Reporting | None" = None,
) -> Advice | None:
    """Compare ways to train a pretrained network on the pictures in a folder, and advise one of them.

    source: as `networks.pretrained.find` takes it; network: of which network a file's weights are. minutes: the time for all;
    None: as long as it takes. repeats: holdout folds (3). within: the accuracy that may be given away for a cheaper way, a
    fraction (0.01). fresh: also ways in which all that is not frozen is drawn anew. overrides: of the recipe `advise`.
    plan_only: make the study and its plan, train nothing, and return None. quick: tell what can be told before training, and
    return None.

    `told` is given `source` (a Pretrained), `split` (what `split` made), `plan`, and `predictions` (docs/predictors.md). Killed,
    the same call goes on where it was.
    Raises TransferError.
    """
    study.check_plain()
    where = pick_device(device)
    now: dict[str, Any] = {
        "source": source,
        "network": network,
        "minutes": minutes,
        "repeats": repeats,
        "within": within,
        "fresh": fresh,
    }
    now["overrides"] = tuple(overrides) or None
    before = keeping.read(study)
    if before is None:
        if source is None:
            raise TransferError("say which pretrained network: --from torchvision/resnet50 (docs/sources.md has every way to)")
        asked = Asked.model_validate({key: value for key, value in now.items() if value is not None})
        before = _begin(study, folder, asked, where, bank_size, skip_unreadable, told, counting)
    else:
        keeping.refuse_other(study, before.asked, now)
        if folder is not None:
            split(study, folder, skip_unreadable=skip_unreadable, counting=counting)
    told("plan", before)
    if plan_only:
        return None
    told("predictions", predictions(study, before, where, counting))
    if quick:
        return None
    how: dict[str, Any] = {"device": where, "bank_size": bank_size, "accept_change": accept_change}
    _train(study, before, reporting or silent, how)
    return answer(study, before)


def advice_of(study: Study) -> Advice | None:
    """The answer of an advice study that is trained to the end; None of any other study. Raises TransferError."""
    kept = keeping.read(study)
    if kept is None:
        return None
    study.check_plain()
    if lacking := [network for network in planned(study.recipe(), kept) if study.row(network) is None]:
        raise TransferError(
            f"{study.root} has no answer yet: {len(lacking)} of its networks are to be trained; go on: "
            f"{command('advise', study=study)}"
        )
    return answer(study, kept)


# -- a study is begun


def _begin(
    study: Study,
    folder: str | Path | None,
    asked: Asked,
    device: torch.device,
    bank_size: int | None,
    skip_unreadable: bool,
    told: Told,
    counting: Counting,
) -> Kept:
    if study.recipe_file.exists() and study.row_files():
        raise TransferError(f"{study.root} is a study of another kind; choose another folder: --study DIR")
    if folder is None:
        raise TransferError("name the folder DIR of your pictures: transfer advise DIR --from SOURCE")
    found = find(asked.source, asked.network or None)
    told("source", found)
    overrides = [*composed(found), *asked.overrides]
    made = split(
        study, folder, recipe="advise", overrides=overrides, skip_unreadable=skip_unreadable, told=told, counting=counting
    )
    told("split", made)
    halves = study.halves(UNDIVIDED)
    _refuse_few(halves, study.recipe())
    recipe = _with_optimiser(study.recipe(), asked, len(halves.split.every))
    if not any(change.startswith(("training.steps", "training.epochs")) for change in asked.overrides):
        usual = usual_steps(halves.counts[WHOLE]["train"], recipe.training.batch)
        recipe = _replaced(recipe, "training", steps=usual, epochs=None)
    plan = _fitted(recipe, halves, asked, device, bank_size, counting)
    recipe = _replaced(recipe, "training", steps=plan.steps, epochs=None)
    study.write_recipe(recipe.model_copy(update={"seeds": tuple(range(plan.repeats))}))
    kept = Kept(asked=asked, plan=plan, licence=found.licence or "")
    keeping.write(study, kept)
    return kept


def composed(found: Pretrained) -> list[str]:
    """What a source says of itself as changes of the recipe `advise`: its network, and the input that it was trained for."""
    spec = found.network.model_dump(mode="json", exclude_unset=True)
    pictures = {
        key: getattr(found.input, key) for key in ("size", "crop", "fit", "interpolation", "channels", "mean", "std", "divide")
    }
    where = str(found.file.resolve()) if Path(found.called).exists() else found.called  # found again from any folder
    changes = {"source.weights": where, "source.digest": found.digest, "network": spec}
    changes |= {f"pictures.{key}": value for key, value in pictures.items()}
    return [f"{key}={json.dumps(value)}" for key, value in changes.items()]


def _with_optimiser(recipe: Recipe, asked: Asked, classes: int) -> Recipe:
    """With AdamW for networks that are trained by it: those that have LayerNorm and no BatchNorm."""
    if any(change.startswith(("training.optimizer", "training.schedule")) for change in asked.overrides):
        return recipe
    modules = list(blueprint(recipe, classes).modules())
    batch = any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in modules)
    if batch or not any("LayerNorm" in type(module).__name__ for module in modules):
        return recipe
    schedule = recipe.training.schedule.model_copy(update={"rate": ADAMWS_RATE})
    return _replaced(recipe, "training", optimizer="adamw", nesterov=False, weight_decay=ADAMWS_DECAY, schedule=schedule)


ADAMWS_RATE, ADAMWS_DECAY = 1e-4, 0.05  # of fine-tuning: Kumar et al. (2022), Steiner et al. (2022)


def _replaced(recipe: Recipe, section: str, **values: Any) -> Recipe:
    return recipe.model_copy(update={section: getattr(recipe, section).model_copy(update=values)})


def _refuse_few(halves: Halves, recipe: Recipe) -> None:
    """Raise TransferError where a class has too few pictures for each fold to have one."""
    folds, trains = recipe.pictures.folds or 1, halves.counts[WHOLE]["train"]
    classes = len(halves.split.every)
    if trains < folds * classes:
        raise TransferError(
            f"{trains} training pictures of {classes} classes are too few to learn from and to hold out a fifth; "
            f"have at least {folds} of each class"
        )


def _fitted(
    recipe: Recipe, halves: Halves, asked: Asked, device: torch.device, bank_size: int | None, counting: Counting
) -> Plan:
    """The plan that fits, by some seconds of training on noise. Raises TransferError where no network fits in memory."""
    classes, counts = len(halves.split.every), halves.counts[WHOLE]
    layers, at_work = cost.Layers.of(recipe, classes), cost.at_once(device)
    if cost.bank_bytes(1, recipe, layers, 1) > free_memory(device):
        raise TransferError(
            f"a single {recipe.network.name} at {recipe.pictures.crop} pixels in batches of {recipe.training.batch} does not fit "
            "in memory; set a smaller training.batch or pictures.crop: --set training.batch=16"
        )
    precision = pick_precision(recipe.training.precision, device)
    with reproducible(device), counting("measuring", 1) as progress:
        pace = measuring.pace(recipe, classes, device, precision)
        progress(1)
    size = bank_size or cost.bank_size(recipe, classes, device)
    steps = recipe.training.length(counts["train"])
    measured = counts["val"] * len(recipe.evaluation.at(steps)) + counts["train"] // (recipe.pictures.folds or 1)
    return fit(Work(recipe, classes, pace, at_work, size, measured), asked, steps)


# -- and trained

Reporting = Callable[[str], AbstractContextManager[Reporter]]  # a label to a context in which there is a Reporter


def silent(label: str) -> AbstractContextManager[Reporter]:
    return nullcontext(SILENT)


def planned(recipe: Recipe, kept: Kept) -> list[Network]:
    """The networks that the plan begins with."""
    plan = kept.plan
    return [
        way.network(seed, rate)
        for seed in range(plan.repeats)
        for way in ways(recipe.network.depth, plan.layers, kept.asked.fresh)
        for rate in rates(way.family, plan.rates)
    ]


def _train(study: Study, kept: Kept, reporting: Reporting, how: dict[str, Any]) -> None:
    """Train what the plan has; then, where the best rate of a way is the first or last, that beyond, and perhaps another."""
    loaded: dict[tuple[str, str], Pixels] = {}
    label, networks = "ways to train", planned(study.recipe(), kept)
    while networks:
        with reporting(label) as reporter:
            train(study, networks, how["device"], how["bank_size"], reporter, how["accept_change"], loaded)
        label, networks = "rates beyond", _beyond(study, kept)


def _beyond(study: Study, kept: Kept) -> list[Network]:
    """The networks at rates beyond the edges at which ways have their best that are still to be trained; none at the end.

    All is gone through from the beginning, by what was reckoned when the plan was made and not by a clock, so that a study that
    was interrupted is the same study.
    """
    recipe, classes, plan = study.recipe(), len(study.halves(UNDIVIDED).split.every), kept.plan
    seconds = math.inf if kept.asked.minutes is None else RESERVE * 60 * kept.asked.minutes
    tried = {network.name for network in planned(recipe, kept)}
    for _ in range(EXTENSIONS if plan.rates > 1 else 0):
        further = list[Network]()
        for way, chosen in rates_so_far(study, kept, tried).items():
            if chosen.edge in ("low", "high"):
                networks = [way.network(seed, beyond(chosen.rate, chosen.edge)) for seed in range(plan.repeats)]
                takes = len(networks) * plan.steps * arm_of(way, recipe, kept, classes).seconds
                if takes <= seconds:
                    further += networks
                    seconds -= takes
        if any(study.row(network) is None for network in further):
            return further
        tried |= {network.name for network in further}
    return []
