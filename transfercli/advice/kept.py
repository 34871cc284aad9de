"""advice.json: what was asked of an advice study, and the plan fitted to it, with which the same command goes on."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.system.files import read_text, write_text

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Asked(Section):
    """What the command line asked."""

    source: str  # as the user named it
    network: str = ""  # likewise; empty: what the source says
    minutes: Annotated[Positive, Field(le=1e6)] | None = None
    repeats: Annotated[int, Field(ge=1, le=100)] = 3
    within: Annotated[float, Field(gt=0, lt=1)] = 0.01  # a fraction
    fresh: bool = False
    overrides: tuple[str, ...] = ()


class Plan(Section):
    """What fits: which n, how many rates, repeats and steps. `seconds`: of all training, as reckoned on the device."""

    layers: Annotated[int | None, Field(ge=2)]  # how many n of a family; None: all
    rates: Annotated[int, Field(ge=1, le=9)]
    repeats: Annotated[int, Field(ge=1, le=100)]
    steps: Count
    seconds: Positive
    at_work: Count = 1  # networks at the same moment
    network_seconds: Annotated[float, Field(ge=0)]  # of a step on this device, for each network and for each multiply-add
    multiply_add_seconds: Annotated[float, Field(ge=0)]
    left_out: tuple[str, ...] = ()  # what a longer run would add


class Kept(Section):
    asked: Asked
    plan: Plan
    split: str  # the digest of the pictures that it was asked of
    licence: str = ""  # of the source's weights; empty where it is not known


def read(study: Study) -> Kept | None:
    """What the study was asked and plans; None where it is no advice study. Raises TransferError."""
    path = study.advice_file
    if not path.exists():
        return None
    try:
        return Kept.model_validate(json.loads(read_text(path)))
    except (ValidationError, ValueError, RecursionError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise TransferError(f"{path} is damaged ({reason}); remove the study and advise again") from None


def write(study: Study, kept: Kept) -> None:
    write_text(study.advice_file, json.dumps(kept.model_dump(mode="json"), indent=1) + "\n")


def asked(values: dict[str, Any]) -> Asked:
    """What is asked, of what is not None. Raises TransferError for what nobody can be asked."""
    try:
        return Asked.model_validate({key: value for key, value in values.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        flag = ".".join(map(str, first["loc"]))
        raise TransferError(f"{FLAGS.get(flag, flag)} cannot be {first['input']}: {first['msg'].lower()}") from None


FLAGS = {"source": "--from", "overrides": "--set", **{key: f"--{key}" for key in ("network", "minutes", "repeats", "fresh")}}


def differing(before: Asked, now: dict[str, Any]) -> str:
    """In words, what is asked otherwise now than before; what is not said now is as it was, and `within` needs no training."""
    wrong = [key for key, value in now.items() if value is not None and key in FLAGS and getattr(before, key) != value]
    return f"{FLAGS[wrong[0]]} was {getattr(before, wrong[0])}, not {now[wrong[0]]}" if wrong else ""
