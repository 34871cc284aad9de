"""What a sweep is of: treatments, and for which n."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from transfercli.plan.treatments import sweepable
from transfercli.plan.words import ALL, BLOCKS, parse_segment
from transfercli.recipe.fields import Distinct, Positive, as_value_error, layer_numbers
from transfercli.recipe.section import Section


def _swept(value: str, info: ValidationInfo) -> str:
    own = info.data.get("own_treatments")  # None where they are wrong, which is said already
    names = dict.fromkeys((*sweepable(), *(one.name for one in own or ())))
    if value not in names and (own is not None or value in sweepable()):
        known = [repr(name) for name in names]
        raise ValueError(f"input should be {', '.join(known[:-1])} or {known[-1]}")
    return value


SweptTreatment = Annotated[str, AfterValidator(_swept), WithJsonSchema({"enum": sweepable()})]


class Spread(Section):
    """So many layers, evenly spread over a network of any depth."""

    spread: Positive


def _layer_words(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    if value == ALL:
        return value
    if isinstance(value, Spread):
        return value
    if isinstance(value, dict):
        count = value.get("spread")
        if set(value) != {"spread"} or isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError("so many layers, evenly spread, are written {spread: 8}")
        return Spread(spread=count)
    return handler(value)


def _as_written(value: Any) -> Any:
    return value.model_dump() if isinstance(value, Spread) else list(value) if isinstance(value, tuple) else value


Layers = Annotated[
    tuple[Positive, ...],
    BeforeValidator(layer_numbers),
    Distinct,
    WrapValidator(_layer_words),
    PlainSerializer(_as_written, return_type=Any),
]


def _segments(value: Any) -> Any:
    """`3-5, 2` or a list of such as texts, each once; `all` and `blocks` stay words."""
    if value in (ALL, BLOCKS):
        return value
    listed = [word.strip() for word in value.split(",")] if isinstance(value, str) else value
    found = []
    for word in listed if isinstance(listed, (list, tuple)) else [listed]:
        first, last = as_value_error(parse_segment, str(word))
        found.append(f"{first}-{last}" if first < last else str(first))
    if twice := [one for place, one in enumerate(found) if one in found[:place]]:
        raise ValueError(f"{twice[0]} stands twice")
    return tuple(found)


Segments = Annotated[
    tuple[str, ...] | Literal["all", "blocks"],
    BeforeValidator(_segments),
    WithJsonSchema({"anyOf": [{"const": ALL}, {"const": BLOCKS}, {"type": "array", "items": {"type": "string"}}]}),
]
