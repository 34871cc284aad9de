"""`transfer advise`: ways to train are compared on the pictures in a folder, and one is advised."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from transfercli.advice import kept as keeping
from transfercli.advice.answer import Advice, answer
from transfercli.advice.extending import gone_through
from transfercli.advice.fitting import Work, fit, usual_steps
from transfercli.advice.kept import Asked, Kept, Plan
from transfercli.advice.predicting import FILE as PREDICTIONS_FILE
from transfercli.advice.predicting import predictions
from transfercli.networks.pretrained import Pretrained, find
from transfercli.networks.start import blueprint
from transfercli.pictures.folder import scan
from transfercli.pictures.stream import Pixels
from transfercli.plan.splits import UNDIVIDED
from transfercli.plan.tasks import WHOLE
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.study.checkpoint_files import FILES, FOLDER
from transfercli.study.choosing import holds, pictures_of
from transfercli.study.folder import Study
from transfercli.study.hints import command
from transfercli.study.splits import Halves
from transfercli.study.splitting import split
from transfercli.system.device_names import Remote
from transfercli.system.devices import free_memory, pick_device, pick_precision, reproducible
from transfercli.system.errors import TransferError
from transfercli.system.progress import Counting, Told, ignored, uncounted
from transfercli.training import cost, measuring
from transfercli.training.reporter import SILENT, Reporter
from transfercli.training.train import train

ADAMWS_RATE, ADAMWS_DECAY = 1e-4, 0.05  # of fine-tuning: Kumar et al. (2022), Steiner et al. (2022)
FOLDS = 5  # unless there are more repeats


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
    remote: Remote | None = None,
    told: Told = ignored,
    counting: Counting = uncounted,
    reporting: "Reporting | None" = None,
) -> Advice | None:
    """Compare ways to train a pretrained network on the pictures in a folder, and advise one of them.

    source: as `networks.pretrained.find` takes it; network: of which network a file's weights are. minutes: the time for all;
    None: as long as it takes. repeats: holdout folds (3). within: the accuracy that may be given away for a cheaper way, a
    fraction (0.01). fresh: also ways in which all that is not frozen is drawn anew. overrides: of the recipe `advise`.
    plan_only: make the study and its plan, train nothing, and return None. quick: tell what can be told before training, and
    return None. remote: on several devices; the time is reckoned as if on `device` alone.

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
    if before is not None and (other := _other(study, before, now, folder)):
        if study.row_files() or any(study.root.rglob(f"{FOLDER}/{FILES}")):
            raise TransferError(
                f"the study {study.root} is of another question ({other}); "
                "ask as before and it goes on, or start a new one: --study DIR"
            )
        before = None  # nothing was trained, so it begins anew
    if before is None:
        if source is None:
            raise TransferError("say which pretrained network: --from torchvision/resnet50 (docs/sources.md has every way to)")
        before = _begin(study, folder, keeping.asked(now), where, bank_size, skip_unreadable, told, counting)
    elif within is not None:
        before = before.model_copy(update={"asked": before.asked.model_copy(update={"within": within})})
    told("plan", before)
    if plan_only:
        return None
    told("predictions", predictions(study, before, where, counting))
    if quick:
        return None
    how: dict[str, Any] = {"device": where, "bank_size": bank_size, "accept_change": accept_change, "remote": remote}
    _train(study, before, reporting or silent, how)
    return answer(study, before)


def advice_of(study: Study) -> Advice | None:
    """The answer of an advice study that is trained to the end; None of any other study. Raises TransferError."""
    kept = keeping.read(study)
    if kept is None:
        return None
    study.check_plain()
    if lacking := [network for network in gone_through(study, kept)[1] if study.row(network) is None]:
        raise TransferError(
            f"{study.root} has no answer yet: {len(lacking)} of its networks are to be trained; go on: "
            f"{command('advise', study=study)}"
        )
    return answer(study, kept)


# -- a study is begun


def _other(study: Study, before: Kept, now: dict[str, Any], folder: str | Path | None) -> str:
    """In words, what is asked otherwise than before, or of other pictures; empty where nothing is."""
    if other := keeping.differing(before.asked, now):
        return other
    halves = study.halves(UNDIVIDED)
    if halves.digest != before.split:
        return "its split was made of other pictures"
    same = folder is None or holds(scan(Path(folder), halved=False), halves, study.recipe().pictures)
    return "" if same else f"the pictures in {folder} are others"


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
    overrides = [*composed(found), f"pictures.folds={max(FOLDS, asked.repeats)}", *asked.overrides]
    began = monotonic()
    made = split(
        study, folder, recipe="advise", overrides=overrides, skip_unreadable=skip_unreadable, told=told, counting=counting
    )
    reading = monotonic() - began  # as every picture is decoded
    told("split", made)
    halves, usual = study.halves(UNDIVIDED), recipes.find("advise")
    _refuse_few(study, halves, asked.repeats)
    recipe = _with_optimiser(study.recipe(), usual, len(halves.split.every))
    if (recipe.training.steps, recipe.training.epochs) == (usual.training.steps, usual.training.epochs):
        recipe = _replaced(recipe, "training", steps=usual_steps(halves.counts[WHOLE]["train"], recipe.training.batch))
    recipe, plan = _fitted(recipe, halves, asked, device, bank_size, reading, counting)
    recipe = _replaced(recipe, "training", steps=plan.steps, epochs=None)
    recipe = recipe.model_copy(update={"seeds": tuple(range(plan.repeats))})
    kept = Kept(asked=asked, plan=plan, split=halves.digest, licence=found.licence)
    with study.held([]):  # so that of two that begin at once one is told of the other
        study.write_recipe(recipes.load(recipes.dump(recipe), "the recipe of this advice"))  # and so is checked again
        keeping.write(study, kept)
        (study.root / PREDICTIONS_FILE).unlink(missing_ok=True)  # of what was asked before
    return kept


def composed(found: Pretrained) -> list[str]:
    """What a source says of itself as changes of the recipe `advise`: its network, and the input that it was trained for."""
    spec = found.network.model_dump(mode="json", exclude_unset=True)
    pictures = {
        key: getattr(found.input, key) for key in ("size", "crop", "fit", "interpolation", "channels", "mean", "std", "divide")
    }
    path = Path(found.called).expanduser()
    where = str(path.resolve()) if path.exists() else found.called  # found again from any folder
    changes = {"source.weights": where, "source.digest": found.digest, "network": spec}
    changes |= {f"pictures.{key}": value for key, value in pictures.items()}
    return [f"{key}={json.dumps(value)}" for key, value in changes.items()]


def _with_optimiser(recipe: Recipe, usual: Recipe, classes: int) -> Recipe:
    """With AdamW for networks that are trained by it, where nobody said otherwise: those with LayerNorm and no BatchNorm."""
    chosen = ("optimizer", "momentum", "nesterov", "velocity", "weight_decay", "schedule")
    if any(getattr(recipe.training, key) != getattr(usual.training, key) for key in chosen):
        return recipe
    modules = list(blueprint(recipe, classes).modules())
    batch = any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in modules)
    if batch or not any("LayerNorm" in type(module).__name__ for module in modules):
        return recipe
    schedule = recipe.training.schedule.model_copy(update={"rate": ADAMWS_RATE})
    return _replaced(
        recipe, "training", optimizer="adamw", nesterov=False, momentum=0.9, weight_decay=ADAMWS_DECAY, schedule=schedule
    )


def _replaced(recipe: Recipe, section: str, **values: Any) -> Recipe:
    return recipe.model_copy(update={section: getattr(recipe, section).model_copy(update=values)})


def _refuse_few(study: Study, halves: Halves, repeats: int) -> None:
    """Raise TransferError where there are fewer folds than repeats, or a class has too few pictures for each fold to have one."""
    folds = study.recipe().pictures.folds or 0
    if folds < repeats:
        raise TransferError(
            f"{repeats} repeats need as many folds, and pictures.folds is {folds}; leave it out, or ask for --repeats {folds}"
        )
    taken = pictures_of(study, halves, study.recipe().pictures)
    name, count = min(((name, len(taken.train[name])) for name in halves.split.every), key=lambda one: one[1])
    if count < folds:
        raise TransferError(
            f"class {name} has {count} training pictures, too few to hold out one in {folds}; have at least {folds} of each class"
        )


def _fitted(
    recipe: Recipe,
    halves: Halves,
    asked: Asked,
    device: torch.device,
    bank_size: int | None,
    reading: float,
    counting: Counting,
) -> tuple[Recipe, Plan]:
    """The plan that fits, by some seconds of training on noise, and the recipe with as many measurements as there is time for.

    `reading`: seconds that it took to read all pictures.
    Raises TransferError where no network fits in memory, or no plan into the time.
    """
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
    held = counts["train"] // (recipe.pictures.folds or 1)
    if asked.minutes is None:
        measured = held + counts["val"] * len(recipe.evaluation.at(steps))
        return recipe, fit(Work(recipe, classes, pace, at_work, size, measured), asked, steps)
    recipe = _replaced(recipe, "evaluation", times=1, every=None)  # learning curves cost what training needs
    return recipe, fit(Work(recipe, classes, pace, at_work, size, held + 2 * counts["val"], reading), asked, steps)


# -- and trained

Reporting = Callable[[str], AbstractContextManager[Reporter]]  # a label to a context in which there is a Reporter


def silent(label: str) -> AbstractContextManager[Reporter]:
    return nullcontext(SILENT)


def _train(study: Study, kept: Kept, reporting: Reporting, how: dict[str, Any]) -> None:
    """Train what the plan has; then, where the best rate of a way is the first or last, that beyond, and perhaps another."""
    loaded: dict[tuple[str, str], Pixels] = {}
    label = "ways to train"
    while networks := gone_through(study, kept)[1]:
        with reporting(label) as reporter:
            train(study, networks, reporter=reporter, loaded=loaded, **how)
        label = "rates beyond"
