"""The recipe: one YAML file that says everything about a study but where its pictures are.

Unknown keys are errors, and all errors come at once. Recipes ship with the package; `find` takes a name or a file.
"""

import hashlib
import inspect
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from transfercli.plan.amounts import EPOCHS
from transfercli.plan.networks import Network, needed_bases, transfers, varied
from transfercli.plan.resolve import resolve
from transfercli.plan.splits import UNDIVIDED
from transfercli.plan.tasks import WHOLE
from transfercli.plan.treatments import TREATMENTS, USUAL, define
from transfercli.plan.words import ALL, check_layers, evenly, parse_segment, segments_of
from transfercli.recipe import schedules
from transfercli.recipe.fields import (
    Distinct,
    Fraction,
    Inside,
    Lengths,
    NotNegative,
    Number,
    OneOrMore,
    Positive,
    PositiveFloat,
    Ranges,
    Seed,
    SplitWord,
    alone,
    as_value_error,
    known_splits,
    one_line,
)
from transfercli.recipe.network import DEPTH as DEPTH
from transfercli.recipe.network import LEAST_CROP as LEAST_CROP
from transfercli.recipe.network import NetworkRecipe as NetworkRecipe
from transfercli.recipe.own import OwnTreatment
from transfercli.recipe.pictures import BuiltIn as BuiltIn
from transfercli.recipe.pictures import Pictures as Pictures
from transfercli.recipe.section import NOT_DECISIVE, Since
from transfercli.recipe.section import Section as Section
from transfercli.recipe.source import SourceRecipe, TargetRecipe
from transfercli.recipe.swept import Layers, Segments, Spread, SweptTreatment
from transfercli.system.errors import TransferError


class Schedule(Section):
    """A learning-rate schedule and its figures (`transfercli/recipe/schedules.py`)."""

    name: Literal["constant", "step", "exponential", "inverse", "square-root", "cosine", "one-cycle", "slanted-triangular"]
    """How the learning rate changes with the step; the table below has each one's figures."""
    rate: PositiveFloat
    """The learning rate, of which the schedule makes a step's."""
    gamma: PositiveFloat | None = None
    """The factor of each fall."""
    every: Positive | None = None
    """Steps between two falls; either this or `falls`."""
    falls: Annotated[Positive | None, Since(None)] = None
    """How many falls there are, evenly spread: 2 where the rate falls every 30 of 90 epochs; either this or `every`."""
    power: PositiveFloat | None = None
    """How steep the fall is."""
    warmup: Annotated[int, Number, Field(ge=0)] | None = None
    """Steps of linear rise at the beginning; not set: 0, or as `peak` says."""
    peak: Annotated[float, Number, Field(gt=0, lt=1)] | None = None
    """The share of the steps at which the rate is highest; not set: 0.3 of one-cycle, 0 of cosine."""
    start: Annotated[float, Number, Field(gt=0, le=1)] | None = None
    """The first step's share of `rate`; not set: 0.04."""
    cut: Annotated[Annotated[float, Number, Field(gt=0, lt=1)] | None, Since(None)] = None
    """The share of the steps at which the rate is highest; not set: 0.1."""
    ratio: Annotated[Annotated[float, Number, Field(ge=1, allow_inf_nan=False)] | None, Since(None)] = None
    """How many times the lowest rate goes into the highest; not set: 32."""

    @model_validator(mode="before")
    @classmethod
    def _has_figures(cls, value: Any) -> Any:
        if not isinstance(value, (dict, cls)):
            raise ValueError(f"a schedule has figures, as {schedules.example(value)}")
        return value

    @model_validator(mode="after")
    def _figures_fit(self) -> "Schedule":
        takes = dict(inspect.signature(schedules.SCHEDULES[self.name]).parameters)
        del takes["step"], takes["steps"]
        given = self._figures()
        problems = [f"needs {key}" for key, figure in takes.items() if figure.default is figure.empty and key not in given]
        problems += ["needs every or falls"] if self.name == "step" and not (self.every or self.falls) else []
        problems += [f"has no {key}" for key in given if key not in takes]
        problems += [f"takes either {a} or {b}" for a, b in schedules.EITHER if a in given and b in given]
        if problems:
            raise ValueError(f"schedule {self.name} {', '.join(problems)}")
        return self

    def _figures(self) -> dict[str, Any]:
        return {key: value for key, value in self.model_dump(exclude={"name"}).items() if value is not None}

    def bind(self, steps: int) -> Callable[[int], float]:
        """The learning rate as a function of the step alone. Raises TransferError where a step's would be 0 or infinite."""
        rate = partial(schedules.SCHEDULES[self.name], steps=steps, **self._figures())
        for step in (0, steps - 1):  # every schedule is lowest at one of its ends; only growth goes beyond `rate`
            try:
                value = rate(step)
            except OverflowError:
                value = math.inf
            if not 0 < value < math.inf:
                raise TransferError(
                    f"schedule {self.name} comes to a learning rate of {value} at step {step}; "
                    "choose a gamma nearer to 1 or fewer steps"
                )
        return rate


class Training(Section):
    """For how long, how fast, and how exactly: SGD with momentum, or AdamW."""

    steps: Positive | None = None
    """How many steps each network trains; either this or `epochs`."""
    epochs: PositiveFloat | None = None
    """How often the training pictures of the larger half are gone through; either this or `steps`."""
    batch: Positive
    """Pictures in a step."""
    schedule: Schedule
    optimizer: Annotated[Literal["sgd", "adamw"], Since("sgd")] = "sgd"
    """`sgd` with momentum, or `adamw` (Loshchilov and Hutter, 2019), which transformers and ConvNeXt want; with `sgd` a gain from
    freezing their first layer may be the optimiser's (Kumar et al., 2022, arXiv 2211.09359).
    """
    momentum: Fraction = 0.9
    """Of `sgd`: the share of the velocity that is kept at each step."""
    velocity: Literal["caffe", "pytorch"] = "pytorch"
    """Of `sgd`: `caffe` keeps the learning rate inside the velocity (v ← μv + lr·g), `pytorch` outside."""
    nesterov: bool = False
    """Of `sgd`: whether momentum is Nesterov's; goes with `velocity: pytorch`."""
    betas: Annotated[tuple[Fraction, Fraction], Since([0.9, 0.999])] = (0.9, 0.999)
    """Of `adamw`: the shares that are kept, at each step, of the mean gradient and of the mean squared gradient."""
    adaptive_clip: Annotated[PositiveFloat | None, Since(None)] = None
    """Each unit's gradient is scaled down to this share of its weights' norm (Brock et al., 2021); not set: never."""
    weight_decay: NotNegative = 5e-4
    """How strongly weights are drawn towards 0 at each step, times the learning rate: by `sgd` as a part of the gradient, by
    `adamw` apart from it.
    """
    bias_rate: PositiveFloat = 1.0
    """The learning rate of biases, in multiples of the weights'; the paper's is 2."""
    bias_decay: bool = False
    """Whether biases and normalisation's parameters decay too; class tokens, position tables and layer scale never do."""
    stream: Annotated[Literal["shared", "fresh"], Since("shared")] = "shared"
    """`fresh` gives transfer networks batches, crops and masks that no base has seen; with `shared` B3B meets its donor's again.
    """
    patience: Annotated[Positive | None, Since(None)] = None
    """A network's training ends after so many measurements without a lower loss on its fold of the training pictures
    (`pictures.folds`), and whenever it ends it has the weights of the lowest; not set: it trains all steps and keeps the last.
    """
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`bfloat16`, `float32`, or `auto`: the former where the device multiplies it faster."""
    channels_last: bool = True
    """Whether channels lie together in memory; decides speed, and the last bits of the numbers."""
    checkpoint_minutes: Annotated[PositiveFloat, NOT_DECISIVE] = 5.0
    """Minutes between two checkpoints; decides no numbers."""
    checkpoint_steps: Annotated[Positive | None, NOT_DECISIVE] = None
    """Steps between two checkpoints, besides; decides no numbers."""
    snapshots: Annotated[tuple[Inside, ...], OneOrMore, NOT_DECISIVE] = ()
    """Shares of its steps, as `[0.1, 0.25, 0.5]`, after which a base's weights are kept, too, to be a source: `source.at`."""
    keep_weights: Annotated[bool, NOT_DECISIVE] = True
    """Whether weights are kept of networks that a fold is left out for (`pictures.folds`), so that they can be measured again."""

    @model_validator(mode="after")
    def _length(self) -> "Training":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs, and set the other to null")
        others = {"sgd": ("betas",), "adamw": ("momentum", "velocity", "nesterov")}[self.optimizer]
        if odd := [key for key in others if getattr(self, key) != type(self).model_fields[key].default]:
            raise ValueError(f"optimizer {self.optimizer} has no {', no '.join(odd)}: leave what is not its own at its default")
        if self.velocity == "caffe" and self.nesterov:
            raise ValueError("nesterov momentum goes with velocity: pytorch")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov momentum needs a momentum above 0")
        if self.steps is not None:
            as_value_error(self.schedule.bind, self.steps)
        return self

    def length(self, pictures: int) -> int:
        """The number of steps, given the training pictures of the larger half."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, math.ceil(round(self.epochs * pictures / self.batch, 6)))  # 1.1 epochs of 1000 are 1100, not a bit more


class Evaluation(Section):
    """When networks are measured on the whole validation part: every so many steps, or so many times. Always at the end."""

    every: Positive | None = None
    """Steps between two measurements on the whole validation part; either this or `times`."""
    times: Positive | None = None
    """How many measurements there are, evenly spread; either this or `every`."""
    batch: Positive = 250
    """Pictures at once in a measurement."""

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


FOLDER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}"


class Recipe(Section):
    name: Annotated[str, Field(pattern=f"^{FOLDER}$")]
    """What the recipe is called: letters, digits, '.', '_' and '-'."""
    about: Annotated[str, AfterValidator(one_line)] = ""
    """What it is, in a line."""
    networks: Annotated[tuple[NetworkRecipe, ...] | None, Field(min_length=1)] = None
    """Several networks, each with its own bases and sweep, as a list of what `network` holds; either this or `network`."""
    network: NetworkRecipe = Field(None, validate_default=True)  # None beside `networks`: see `each`
    source: SourceRecipe | None = None
    """Where pretrained layers come from, and how much sources learned from."""
    target: TargetRecipe | None = None
    """How much data networks learn from."""
    splits: Annotated[tuple[SplitWord, ...], Ranges, Distinct, AfterValidator(known_splits)] = ("random-0",)
    """How classes are halved: `random-0` or 0 and so on (the paper's are 0-3), `man-made-natural`, or a CSV file with
    class,half; `all`: not at all.
    """
    targets: Annotated[tuple[Literal["A", "B", "alternate", "T"], ...], OneOrMore, Distinct, AfterValidator(alone)] = ("B",)
    """On which halves the transfer networks are trained and measured; `alternate`: one for each split, by turns; `T`: on all
    classes, with `splits: all`.
    """
    layers: Layers = ALL  # type: ignore[assignment]
    """For which n the first n layers are copied: `1-7`, a list, `all`, or so many of them, evenly spread: `{spread: 8}`."""
    own_treatments: tuple[OwnTreatment, ...] = ()
    """Ways to fine-tune that are not built in."""
    segments: Segments = ()
    """Further layers that are copied, from the first to the last: a list such as `[3-5, 4]`, `blocks` (each layer alone) or
    `all` (every segment): where transferability sits.
    """
    treatments: Annotated[tuple[SweptTreatment, ...], OneOrMore, Distinct] = USUAL
    """What is done with the copied layers (docs/treatments.md); also `own_treatments`."""
    seeds: Annotated[tuple[Seed, ...], Ranges, Distinct] = (0,)
    """Repeats: each seed draws weights, order, crops and dropout anew."""
    rates: Annotated[tuple[PositiveFloat, ...], OneOrMore, Distinct] = (1.0,)
    """Learning rates at which every way to train is tried, in multiples of the schedule's, 1 among them; of several that one
    counts which is best on the training pictures that are held out (`pictures.folds`). Sources are trained at 1.
    """
    lengths: Lengths = (1.0,)
    """Lengths of training at which every way is tried, in multiples of all steps, each with its whole schedule; `epochs` goes
    through the pictures of an amount (`target.per_class`) as often as 1 goes through all. Of several that one counts which is
    best on held-out pictures, as of `rates`. Sources are trained at 1, whether or not it is among them.
    """
    judged: bool = True
    """Whether a network that learned nothing is said to have failed, and anything is concluded; neither of a smoke run."""
    pictures: Pictures
    training: Training
    evaluation: Evaluation

    @field_validator("networks", mode="after")
    @classmethod
    def _told_apart(cls, value: tuple[NetworkRecipe, ...] | None) -> tuple[NetworkRecipe, ...] | None:
        for called, count in Counter(network.called.lower() for network in value or ()).items():  # some file systems fold cases
            if count > 1:
                raise ValueError(f"two networks are called {called}; give one a label")
        if odd := [network for network in value or () if not re.fullmatch(FOLDER, network.called)]:
            raise ValueError(f"no folder is called {odd[0].called!r} on every file system; give {odd[0].name} a label")
        return value

    @field_validator("network", mode="wrap")
    @classmethod
    def _one_or_several(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        several = info.data.get("networks", ())  # () where it is wrong, which is said already
        if value is None and several is None:
            raise PydanticCustomError("missing", "Field required")
        if value is not None and several:
            raise ValueError("give either network or networks")
        return None if value is None else handler(value)

    @model_serializer(mode="wrap")
    def _without_the_other(self, handler: Any) -> dict[str, Any]:
        optional = ("network", "networks", "source", "target", "own_treatments", "rates", "lengths")
        unsaid = [key for key in optional if getattr(self, key) == type(self).model_fields[key].default]
        return {key: value for key, value in handler(self).items() if key not in unsaid}

    @model_validator(mode="after")
    def _networks_fit_the_pictures(self) -> "Recipe":
        for network in self.networks or (self.network,):
            if self.pictures.crop < (least := LEAST_CROP.get(network.name, 1)):
                raise ValueError(f"pictures.crop {self.pictures.crop} is too small for {network.name}, which needs {least}")
        return self

    @field_validator("own_treatments", mode="after")
    @classmethod
    def _defined(cls, value: tuple[OwnTreatment, ...]) -> tuple[OwnTreatment, ...]:
        for called, count in Counter(one.name for one in value).items():
            if count > 1:
                raise ValueError(f"{called} stands twice")
        define(one.rule for one in value)
        for one in value:
            if unknown := [name for name in one.against if name not in TREATMENTS]:
                raise ValueError(f"{one.name} is against {unknown[0]!r}, which is no treatment")
        return value

    @model_validator(mode="after")
    def _patience_has_a_holdout(self) -> "Recipe":
        if self.training.patience and not self.holds_out:
            raise ValueError("training.patience looks at a fold of the training pictures: set pictures.folds above every seed")
        if not self.training.patience and (own := [one.name for one in self.own_treatments if one.rule.patient]):
            raise ValueError(f"the phases of {own[0]} last until patience is over: set training.patience, in measurements")
        if self.training.patience and self.training.snapshots:
            raise ValueError("training.snapshots are at shares of all steps, which with training.patience a base may not take")
        return self

    @model_validator(mode="after")
    def _phases_fit(self) -> "Recipe":
        for one in self.each().values():
            if one.network.known_depth:
                as_value_error(one.check_phases, one.training.steps)
        return self

    @model_validator(mode="after")
    def _best_can_be_chosen(self) -> "Recipe":
        if len(self.rates) > 1 and 1.0 not in self.rates:
            raise ValueError("rates are multiples of the schedule's, at which sources are trained: have 1 among them")
        for key in ("rates", "lengths"):
            if len(getattr(self, key)) > 1 and not self.holds_out:
                raise ValueError(f"of several {key} held-out pictures choose the best: set pictures.folds to more than any seed")
        if len(self.lengths) > 1 and self.training.patience:
            raise ValueError("how long a network trains is chosen by lengths or by training.patience, not by both")
        return self

    @model_validator(mode="after")
    def _tasks_and_sources_are_there(self) -> "Recipe":
        if (UNDIVIDED in self.splits) != (WHOLE in self.targets) or (UNDIVIDED in self.splits and len(self.splits) > 1):
            raise ValueError(f"splits: {UNDIVIDED} and targets: {WHOLE} go together, and alone: all classes have no halves")
        origins = {TREATMENTS[treatment].origin: treatment for treatment in reversed(self.treatments)}
        if WHOLE in self.targets and "other" in origins:
            raise ValueError(f"{origins['other']} copies from the other half; of all classes there is none")
        if self.pretrained is None and "pretrained" in origins:
            raise ValueError(f"{origins['pretrained']} copies pretrained layers; say where they are: source.weights")
        kept = {"all", *self.training.snapshots}
        if missing := [share for share in (self.source.at if self.source else ()) if share not in kept]:
            raise ValueError(f"no base keeps its weights at {missing[0]} of its steps: put it into training.snapshots")
        if not self.training.keep_weights and (copies := origins.keys() & {"self", "other"}):
            raise ValueError(f"{origins[min(copies)]} copies from a network of the study; leave training.keep_weights at true")
        if self.pretrained is not None and self.networks is not None:
            raise ValueError("the weights of a source are of one network: set network, not networks")
        return self

    @field_validator("layers", mode="after")
    @classmethod
    def _transferable(cls, value: Any, info: ValidationInfo) -> Any:
        for network in info.data.get("networks") or (info.data.get("network"),):
            if isinstance(value, tuple) and network is not None and network.known_depth:
                as_value_error(check_layers, value, network.known_depth)
        return value

    @field_validator("segments", mode="after")
    @classmethod
    def _segments_are_there(cls, value: Any, info: ValidationInfo) -> Any:
        deepest = [parse_segment(one)[1] for one in value] if isinstance(value, tuple) else []
        cls._transferable(tuple(deepest), info)
        return value

    def each(self) -> dict[str, "Recipe"]:
        """The recipe of each network alone, as if there were no others, by `Network.net`; of one network itself, by ""."""
        if self.networks is None:
            return {"": self}
        return {one.called: self.model_copy(update={"network": one, "networks": None}) for one in self.networks}

    def of(self, net: str) -> "Recipe":
        """The recipe of the network that is called so, alone. Raises TransferError."""
        if net not in (each := self.each()):
            raise TransferError(f"the recipe {self.name} has no network {net or 'without a label'}; it has {', '.join(each)}")
        return each[net]

    @property
    def swept(self) -> tuple[int, ...]:
        """For which n the first n layers are copied, as numbers. Of one network."""
        if isinstance(self.layers, tuple):
            return self.layers
        return evenly(self.network.depth, self.layers.spread if isinstance(self.layers, Spread) else None)

    def define_treatments(self) -> None:
        """Let the names of its own treatments, which other recipes may have too, mean what they mean here."""
        define(one.rule for one in self.own_treatments)

    def check_phases(self, steps: int | None) -> None:
        """Raise TransferError where its own treatments make no sense of its network, or in so many steps. Of one network."""
        own = [one.name for one in self.own_treatments if one.name in self.treatments]
        self.define_treatments()
        for network in transfers([""], [0], self.targets[:1], self.swept, own):
            try:
                resolved = resolve(network, self.network.depth)
                if steps:
                    resolved.check(steps)
            except ValueError as error:
                raise TransferError(f"own_treatments: {error}") from None

    @property
    def middle(self) -> tuple[tuple[int, int], ...]:
        """The first and the last layer of each segment that is copied. Of one network."""
        if isinstance(self.segments, str):
            return segments_of(self.network.depth, self.segments)
        return tuple(map(parse_segment, self.segments))

    def planned(self, splits: Sequence[str] = ()) -> list[Network]:
        """All that the recipe plans for these splits, by default its own: the bases that are needed, and then what needs them."""
        self.define_treatments()
        plans = {
            net: transfers(splits or one.splits, one.seeds, one.targets, one.swept, one.treatments, one.middle)
            for net, one in self.each().items()
        }
        planned = [varied(network, net=net) for net, networks in plans.items() for network in self.of_amounts(networks)]
        needed = needed_bases(planned)
        scratch = [one for one in self.tried(dict.fromkeys(network.control for network in planned)) if one not in needed]
        return needed + scratch + self.tried(planned)

    def tried(self, networks: Iterable[Network]) -> list[Network]:
        """Each of these networks at each of the learning rates and lengths that are tried; of all data EPOCHS are all steps."""
        whole = tuple(dict.fromkeys(1.0 if length == EPOCHS else length for length in self.lengths))
        return [
            varied(network, rate=rate, length=length)
            for network in networks
            for rate in self.rates
            for length in (self.lengths if network.of_axes("data") else whole)
        ]

    def of_amounts(self, networks: Iterable[Network]) -> list[Network]:
        """Each of these networks, of every amount of the target's data and, where its layers are a base's, of the source's."""
        targets = self.target.axes if self.target else ({},)
        sources = self.source.axes if self.source else ({},)
        found = [
            varied(network, **of_target, **of_source)
            for network in networks
            for of_target in targets
            for of_source in (sources if network.donor else ({},))
        ]
        return list(dict.fromkeys(found))

    @property
    def holds_out(self) -> bool:
        """Whether every seed has a fold of the training pictures that its networks do not see."""
        return all(self.share_seen(seed) < 1 for seed in self.seeds)

    def share_seen(self, seed: int) -> float:
        """The share of the training pictures that networks of a seed see: not its fold, where it has one."""
        return 1 - 1 / folds if (folds := self.pictures.folds) and seed < folds else 1.0

    @property
    def pretrained(self) -> SourceRecipe | None:
        """The source, where it is layers that were trained elsewhere."""
        return self.source if self.source and self.source.weights else None

    def decisive(self) -> dict[str, Any]:
        """What decides the numbers of a recipe's one network: neither the name, nor what is planned, nor how often it is kept."""
        sections = ("pictures", "network", *["source"] * (self.pretrained is not None), "training", "evaluation")
        return {name: _decisive(getattr(self, name)) for name in sections}

    def digest(self) -> str:
        """sha256 of what decides the numbers of a recipe's one network; so it is the same beside others (`of`) and alone."""
        return hashlib.sha256(json.dumps(self.decisive(), sort_keys=True).encode()).hexdigest()


def _decisive(section: Section) -> dict[str, Any]:
    """A section's keys that decide numbers, as plain values; without those that say what was done before there was the key."""
    values = section.model_dump(mode="json")
    for key, about in type(section).model_fields.items():
        since = next((mark for mark in about.metadata if isinstance(mark, Since)), None)
        if NOT_DECISIVE in about.metadata or (since and values[key] == since.before):
            del values[key]
        elif isinstance(inner := getattr(section, key), Section):
            values[key] = _decisive(inner)
    return values
