"""What can be told before training, kept in the study, and set beside what training gave."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field, ValidationError

from transfercli.advice.kept import Kept, Section
from transfercli.analysis import predictors
from transfercli.plan.splits import UNDIVIDED
from transfercli.plan.tasks import WHOLE
from transfercli.study.folder import Study
from transfercli.system.devices import pick_precision, reproducible
from transfercli.system.errors import TransferError
from transfercli.system.files import read_text, write_text
from transfercli.system.progress import Counting
from transfercli.training.bench import Bench
from transfercli.training.cost import Layers
from transfercli.training.probing import MOST, probe

if TYPE_CHECKING:
    import pandas

FILE = "predictors.json"
SHARE = 0.05  # of the time for all, where there is a limit
LEAST = 200  # pictures; fewer tell nothing
Number = Annotated[float, Field(allow_inf_nan=False)]


class Row(Section):
    layer: Annotated[int, Field(ge=1)]
    name: str
    width: Annotated[int, Field(ge=1)]
    ridge: Annotated[float, Field(ge=0, le=1)]
    hscore: Number
    logme: Number
    gradient_ratio: Number


class Predictions(Section):
    """As `training.probing.Probed`."""

    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    fitted: int
    measured: Annotated[int, Field(ge=1)]
    differentiated: int
    held_out: bool
    classes: int
    chance: float

    @property
    def table(self) -> "pandas.DataFrame":
        """One row a layer: what was reckoned of it, and the interval of the probe's accuracy."""
        return predictors.predicted([row.model_dump() for row in self.rows], self.measured)

    @property
    def sentences(self) -> list[str]:
        return predictors.quick_sentences(self.table, self.measured, self.fitted, self.chance)


def predictions(study: Study, kept: Kept, device: torch.device, counting: Counting) -> Predictions:
    """What is told of an advice study's layers before they are trained: read where it is kept, else found, and kept."""
    if (found := read(study)) is not None:
        return found
    recipe, halves = study.recipe(), study.halves(UNDIVIDED)
    most = MOST
    if kept.asked.minutes is not None:
        a_picture = max(1e-9, sum(Layers.of(recipe, len(halves.split.every)).work) * kept.plan.multiply_add_seconds)
        most = max(LEAST, min(MOST, int(SHARE * 60 * kept.asked.minutes / a_picture / 3)))
    with reproducible(device), counting("looking at the layers", 1) as progress:
        bench = Bench(study, recipe, halves, device, pick_precision(recipe.training.precision, device))
        found = Predictions.model_validate(asdict(probe(bench, WHOLE, most=most)))
        progress(1)
    write_text(study.root / FILE, json.dumps(found.model_dump(mode="json"), indent=1) + "\n")
    return found


def read(study: Study) -> Predictions | None:
    """What is kept of the study's predictions; None where there are none. Raises TransferError."""
    path = study.root / FILE
    if not path.exists():
        return None
    try:
        return Predictions.model_validate(json.loads(read_text(path)))
    except (ValidationError, ValueError, RecursionError):
        raise TransferError(f"{path} is damaged; remove it, and it is made anew") from None


def target_of(study: Study) -> predictors.Target:
    """What was told and what was measured of an advice study. Raises TransferError where one of them is not there."""
    study.check_plain()
    told = read(study)
    if told is None or not study.row_files():
        what = "no predictors.json" if told is None else "no network that is trained"
        raise TransferError(f"{study.root} holds {what}; finish it first: transfer advise --study {study.quoted}")
    return predictors.Target(told.table, predictors.measured(study.table()))


def compared(study: Study) -> list[str]:
    """Sentences: how well each predictor orders what was measured on this target."""
    target = target_of(study)
    return predictors.sentences(predictors.correlations(target), WHOLE)


def over_targets(studies: Sequence[Study]) -> "tuple[dict[str, Any], list[str]]":
    """Over several advice studies: tables `correlations` and `rules`, and what they say. Raises TransferError."""
    targets: Mapping[str, predictors.Target] = {str(study.root): target_of(study) for study in studies}
    try:
        rules = predictors.compare_rules(targets)
    except ValueError as error:
        raise TransferError(f"these studies cannot be compared: {error}") from None
    found = {"correlations": predictors.mean_correlations(targets), "rules": rules}
    return found, predictors.rule_sentences(rules)
