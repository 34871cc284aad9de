"""A recipe's own treatments: ways to fine-tune that are not built in."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from transfercli.plan.treatments import LETTERS, OWN, PATIENCE, TREATMENTS, Phase, Treatment
from transfercli.recipe.fields import Distinct, OneOrMore, PositiveFloat, one_line
from transfercli.recipe.section import Section

ORIGINS = {letter: origin for origin, letter in LETTERS.items()}


def _called(value: str) -> str:
    if not re.fullmatch(OWN, value):
        raise ValueError(f"{value!r} is no name of a treatment of one's own, as AnB.mine (A: another's layers, B: its own, P, R)")
    if value in TREATMENTS and not TREATMENTS[value].own:
        raise ValueError(f"{value} is built in; choose another word after the dot")
    return value


def _layers(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _end(value: Any) -> Any:
    if value == PATIENCE or (type(value) is int and value > 1):
        return value
    if type(value) not in (int, float) or not 0 < value <= 1:
        raise ValueError("a phase ends at a share of the steps, up to 1.0, after a whole number of them above 1, or by patience")
    return float(value)


End = Annotated[Any, BeforeValidator(_end), WithJsonSchema({"anyOf": [{"type": "number"}, {"const": PATIENCE}]})]


class OwnPhase(Section):
    train: Annotated[str, BeforeValidator(_layers)]
    """Which layers learn: `new` (all that are not copied), `last`, `all`, a layer's number, `top-3` (the last three), `n`,
    `first n`, `above n`; by turns of equal length `each`, `each copied`, `from the top` (one more of the copied at each); or
    several, as `n and new`.
    """
    until: End = 1.0
    """Where the phase ends: a share of all steps, or a whole number of steps; the last phase has what is left. Or `patience`, of
    all phases: each, and each of its turns, ends where `training.patience` is over in it, and the next goes on from its best.
    """
    rate: PositiveFloat = 1.0
    """The learning rate, in multiples of the schedule's."""


class OwnTreatment(Section):
    name: Annotated[str, AfterValidator(_called)]
    """Its name: `AnB.` (the other half's layers), `BnB.` (its own base's), `PnB.` (pretrained) or `RnB.` (random), and a word."""
    copied: Literal["first n", "all but the last"] = "first n"
    """Which layers are copied."""
    phases: Annotated[tuple[OwnPhase, ...], Field(min_length=1)]
    """What learns, one phase after another."""
    slower: PositiveFloat = 1.0
    """By so much the learning rate of a layer is lower than that of the layer above it."""
    against: Annotated[tuple[str, ...], OneOrMore, Distinct] = ("base",)
    """The treatments that it is compared with, layer by layer."""
    about: Annotated[str, AfterValidator(one_line)] = ""
    """What it is, for legends."""

    @property
    def rule(self) -> Treatment:
        """The treatment. Raises ValueError where it makes no sense."""
        phases = tuple(Phase(phase.train, phase.until, phase.rate) for phase in self.phases)
        about = self.about or "of the recipe's own"
        how = {"about": about, "against": self.against, "slower": self.slower, "own": True}
        return Treatment(self.name, ORIGINS[self.name[0]], self.copied, phases, **how)  # type: ignore[arg-type]

    @model_validator(mode="after")
    def _makes_sense(self) -> "OwnTreatment":
        assert self.rule  # which says what does not
        return self
