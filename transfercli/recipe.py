"""The recipe: one YAML file that says everything about a study but where its pictures are.

Unknown keys are errors, and all errors come at once. Recipes ship with the package; `find` takes a name or a file.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from transfercli import schedules
from transfercli.errors import TransferError
from transfercli.plan import HALVES, TREATMENTS, check_layers, parse_layers

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
LAYER_COUNT = 8  # learnable layers of both networks


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BuiltIn(Section):
    """The pictures made by formula, for a study that needs no download."""

    classes: Annotated[int, Field(ge=4)]
    train: Positive
    val: Positive
    seed: int = 0


class Pictures(Section):
    """How a picture becomes the network's input, and how much of the folder a study takes."""

    size: Positive
    crop: Positive
    fit: Literal["warp", "crop"] = "warp"
    mirror: bool = True
    channels: Literal["rgb", "bgr"] = "rgb"
    mean: Literal["image", "channel", "none"] = "channel"
    divide: PositiveFloat = 1.0
    classes: Annotated[int, Field(ge=4)] | None = None
    train_per_class: Positive | None = None
    val_per_class: Positive | None = None
    builtin: BuiltIn | None = None

    @model_validator(mode="after")
    def _crop_fits(self) -> "Pictures":
        if self.crop > self.size:
            raise ValueError(f"crop {self.crop} is larger than size {self.size}")
        return self


class NetworkRecipe(Section):
    """Which network, how wide (conv1 … conv5, fc6, fc7), and how its weights are drawn."""

    name: Literal["caffenet", "small"]
    widths: Annotated[tuple[Positive, ...], Field(min_length=7, max_length=7)]
    outputs: Positive | None = None
    dropout: Fraction = 0.5
    normalisation: Literal["none", "lrn", "batch"] = "none"
    init: Literal["caffe", "he"] = "he"

    @model_validator(mode="after")
    def _fits_the_network(self) -> "NetworkRecipe":
        if self.name == "caffenet":
            if self.normalisation != "lrn":
                raise ValueError("caffenet has local response normalisation: set normalisation: lrn")
            if odd := [w for w in (self.widths[0], self.widths[1], self.widths[2], self.widths[3], self.widths[4]) if w % 2]:
                raise ValueError(f"caffenet's convolutions have two groups: width {odd[0]} must be even")
        return self


class Schedule(Section):
    """A learning-rate schedule and its figures (`transfercli/schedules.py`)."""

    name: Literal["constant", "step", "exponential", "inverse", "square-root", "cosine", "one-cycle"]
    rate: PositiveFloat
    gamma: PositiveFloat | None = None
    every: Positive | None = None
    power: PositiveFloat | None = None
    warmup: Annotated[int, Field(ge=0)] | None = None
    peak: Annotated[float, Field(gt=0, lt=1)] | None = None
    start: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _figures_fit(self) -> "Schedule":
        try:
            self.bind(1)(0)
        except TypeError as error:
            problem = str(error).split("() ")[-1]
            raise ValueError(f"schedule {self.name} {problem}") from None
        return self

    def bind(self, steps: int) -> Callable[[int], float]:
        """The learning rate as a function of the step alone."""
        figures = {k: v for k, v in self.model_dump(exclude={"name"}).items() if v is not None}
        return partial(schedules.SCHEDULES[self.name], steps=steps, **figures)


class Training(Section):
    """SGD with momentum. `velocity: caffe` keeps the learning rate inside the velocity (v ← μv + lr·g), `pytorch` outside."""

    steps: Positive | None = None
    epochs: PositiveFloat | None = None
    batch: Positive
    schedule: Schedule
    momentum: Fraction = 0.9
    velocity: Literal["caffe", "pytorch"] = "pytorch"
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5e-4
    bias_rate: PositiveFloat = 1.0
    bias_decay: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True
    checkpoint_minutes: PositiveFloat = 5.0

    @model_validator(mode="after")
    def _length(self) -> "Training":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        if self.velocity == "caffe" and self.nesterov:
            raise ValueError("nesterov momentum goes with velocity: pytorch")
        return self

    def length(self, pictures: int) -> int:
        """The number of steps, given the training pictures of the larger half."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, math.ceil(self.epochs * pictures / self.batch))


class Evaluation(Section):
    """When networks are measured on the whole validation part: every so many steps, or so many times. Always at the end."""

    every: Positive | None = None
    times: Positive | None = None
    batch: Positive = 250

    @model_validator(mode="after")
    def _interval(self) -> "Evaluation":
        if (self.every is None) == (self.times is None):
            raise ValueError("give either every (steps) or times")
        return self

    def at(self, steps: int) -> set[int]:
        """The counts of finished steps after which networks are measured: 0 and the last among them."""
        if self.every is not None:
            return {*range(0, steps, self.every), steps}
        assert self.times is not None
        return {round(i * steps / self.times) for i in range(self.times + 1)}


def _layers(value: Any) -> Any:
    """`1-7` or a number as a list of layers; a list stays one."""
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        try:
            return parse_layers(str(value))
        except TransferError as error:
            raise ValueError(str(error)) from None
    return value


def _one_or_more(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else [value] if isinstance(value, int) else value


def _distinct(value: tuple) -> tuple:
    if len(set(value)) < len(value):
        raise ValueError("the same value stands twice")
    return value


class Recipe(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")]
    about: str = ""
    splits: Annotated[tuple[str, ...], BeforeValidator(_one_or_more), Field(min_length=1)] = ("random-0",)
    targets: Annotated[tuple[Literal["A", "B"], ...], BeforeValidator(_one_or_more), Field(min_length=1)] = ("B",)
    layers: Annotated[tuple[Positive, ...], BeforeValidator(_layers), Field(min_length=1)] = (1, 2, 3, 4, 5, 6, 7)
    treatments: Annotated[
        tuple[Literal["BnB", "BnB+", "AnB", "AnB+", "RnB"], ...], BeforeValidator(_one_or_more), Field(min_length=1)
    ] = TREATMENTS
    seeds: Annotated[tuple[int, ...], BeforeValidator(_one_or_more), Field(min_length=1)] = (0,)
    pictures: Pictures
    network: NetworkRecipe
    training: Training
    evaluation: Evaluation

    @model_validator(mode="after")
    def _plan(self) -> "Recipe":
        for values in (self.splits, self.targets, self.layers, self.treatments, self.seeds):
            _distinct(values)
        try:
            check_layers(self.layers, LAYER_COUNT)
        except TransferError as error:
            raise ValueError(str(error)) from None
        return self

    def digest(self) -> str:
        """sha256 of what decides a network's numbers: not of the name, nor of which networks are planned."""
        parts = self.model_dump(mode="json", include={"pictures", "network", "training", "evaluation"})
        del parts["training"]["checkpoint_minutes"]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def smoke(self) -> "Recipe":
        """The same study so small that it ends in seconds: few classes and pictures, a slim network, a handful of steps.

        Its figures mean nothing; every step of the study is taken.
        """
        changes: dict[str, Any] = {
            "splits": self.splits[:1],
            "targets": self.targets[:1],
            "seeds": self.seeds[:1],
            "pictures": {"classes": 8, "train_per_class": 8, "val_per_class": 4},
            "training": {"steps": 4, "epochs": None, "batch": 16},
            "evaluation": {"every": 2, "times": None, "batch": 16},
        }
        if self.network.name == "caffenet":
            changes["network"] = {"widths": [max(4, width // 16) for width in self.network.widths]}
        if self.pictures.builtin:
            changes["pictures"]["builtin"] = {**self.pictures.builtin.model_dump(), "classes": 8, "train": 8, "val": 4}
        return validate(_merge(self.model_dump(mode="json"), changes), f"the smoke variant of {self.name}")


def validate(values: Any, where: str) -> Recipe:
    """A recipe from plain values. Raises TransferError that names every wrong key at once."""
    if not isinstance(values, dict):
        raise TransferError(f"{where} is not a recipe: it must be a YAML mapping; see one: transfer recipes show demo")
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {_say(e)}" for e in error.errors()]
        raise TransferError(
            f"{where} has {len(problems)} mistake{'s' * (len(problems) > 1)}: {'; '.join(problems)}; "
            "compare with: transfer recipes show demo"
        ) from None


def load(text: str, where: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from YAML text (safe loader) with `key.path=value` overrides. Raises TransferError."""
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise TransferError(f"{where} is not YAML: {reason}; mend it or start from: transfer recipes copy demo") from None
    for override in overrides:
        values = _merge(values if isinstance(values, dict) else {}, _parse_override(override))
    return validate(values, where)


def names() -> list[str]:
    """The recipes that ship with the package."""
    return sorted(p.name.removesuffix(".yaml") for p in _folder().iterdir() if p.name.endswith(".yaml"))


def text(name: str) -> str:
    """The YAML text of a recipe that ships with the package, or of a file. Raises TransferError."""
    if name in names():
        return (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        raise TransferError(f"no recipe {name!r}; choose from {', '.join(names())}, or give a .yaml file")
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TransferError(f"no recipe file {name}; copy one: transfer recipes copy demo {name}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise TransferError(f"cannot read the recipe {name}: {error}; check the file") from None


def find(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name or file, with overrides."""
    return load(text(name), f"recipe {name}", overrides)


def dump(recipe: Recipe) -> str:
    """The resolved recipe as YAML: every key, defaults included."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def differences(old: Recipe, new: Recipe) -> list[str]:
    """What changed, as `key: old → new`, among what decides a network's numbers."""

    def flat(values: dict, prefix: str = "") -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in values.items():
            out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        return out

    parts = {"pictures", "network", "training", "evaluation"}
    a, b = (flat(r.model_dump(mode="json", include=parts)) for r in (old, new))
    return [f"{key}: {a.get(key)} → {b.get(key)}" for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]


def _folder() -> resources.abc.Traversable:
    """`recipes/` of the checkout, which a wheel carries as `transfercli/recipes`."""
    packaged = resources.files("transfercli") / "recipes"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "recipes"


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise TransferError(f"cannot read --set {text}; write key=value, such as --set training.epochs=5")
    try:
        values: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        values = value
    for part in reversed(key.strip().split(".")):
        values = {part: values}
    return values


def _merge(values: dict, changes: dict) -> dict:
    """`values` with `changes` laid over it, mapping by mapping."""
    merged = dict(values)
    for key, change in changes.items():
        below = merged.get(key)
        merged[key] = _merge(below, change) if isinstance(below, dict) and isinstance(change, dict) else change
    return merged


def _say(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key"
    if error["type"] == "missing":
        return "missing"
    message = error["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


__all__ = ["HALVES", "Recipe", "differences", "dump", "find", "load", "names", "text", "validate"]
