"""What the keys of a recipe may hold: numbers within bounds, lists and ranges, words for splits and targets."""

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from transfercli.plan import amounts
from transfercli.plan.splits import LARGEST_SEED, method_and_seed, split_name
from transfercli.plan.words import ALL, check_targets, parse_layers, spread
from transfercli.system.errors import TransferError

OWN = ("caffenet", "cnn-f", "cnn-m", "cnn-s", "small")  # networks of our own


def _number(value: Any) -> Any:
    if isinstance(value, bool):  # which Python, and so pydantic, takes for 0 or 1
        raise ValueError("a number is wanted, not true or false")
    return value


Number = BeforeValidator(_number)
Positive = Annotated[int, Number, Field(gt=0)]
Inside = Annotated[float, Number, Field(gt=0, lt=1)]
Fraction = Annotated[float, Number, Field(ge=0, lt=1)]
PositiveFloat = Annotated[float, Number, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Number, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Number, Field(ge=0, le=LARGEST_SEED)]
ClassCount = Annotated[int, Number, Field(ge=4)]  # two for each half


def layer_numbers(value: Any) -> Any:
    """`1-7` or a number as a list of layers; a list stays one."""
    if value == ALL:
        return value
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return as_value_error(parse_layers, str(value))
    return value


def _one_or_more(value: Any) -> Any:
    """`a, b` or a number as a list; a list stays one."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",")]
    return [value] if isinstance(value, int) else value


def _ranges(value: Any) -> Any:
    """As `_one_or_more`, with the numbers of ranges, such as 0-3, one by one."""
    listed = _one_or_more(value)
    return as_value_error(spread, listed) if isinstance(listed, list) else listed


def _numbered(value: Any) -> Any:
    """A split's number, such as 3, as its name: random-3."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return f"random-{value}" if isinstance(value, str) and value.isdecimal() else value


def known_network(value: str) -> str:
    """One of our own, or a name in a library."""
    if not is_network(value):
        raise ValueError(f"no network {value!r}; choose {', '.join(OWN)}, torchvision/NAME or timm/NAME")
    return value


def is_network(value: str) -> bool:
    """Whether a network may be called so."""
    return value in OWN or re.fullmatch(r"(torchvision|timm|python)/[A-Za-z0-9_.:-]+", value) is not None


def _length(value: Any) -> Any:
    return amounts.length(str(_number(value)))


def _pairs(value: Any) -> Any:
    """A mapping as pairs, sorted: what can be told apart from another at once."""
    if not isinstance(value, dict):
        return value
    if not all(isinstance(key, str) and isinstance(one, (bool, int, float, str)) for key, one in value.items()):
        raise ValueError("arguments are names with plain values: numbers, words, true or false")
    return tuple(sorted(value.items()))


def one_line(value: str) -> str:
    return " ".join(value.split())


def _distinct(value: tuple) -> tuple:
    if not value:
        raise ValueError("name at least one")
    if twice := [one for i, one in enumerate(value) if one in value[:i]]:
        raise ValueError(f"{twice[0]} stands twice")
    return value


def _three(value: Any, wanted: str, least: float) -> Any:
    """Three numbers from 0 to 1; the usual mistake, numbers in units of 0 to 255, is told as such."""
    numbers = value if isinstance(value, (list, tuple)) else ()
    if len(numbers) != 3 or not all(type(number) in (int, float) and least <= number < math.inf for number in numbers):
        raise ValueError(f"input should be {wanted}")
    if max(numbers) > 1:
        scaled = ", ".join(f"{number / 255:.4g}" for number in numbers)
        raise ValueError(f"these are numbers of pixels from 0 to 1: write {list(value)} as [{scaled}]")
    return value


def _mean(value: Any) -> Any:
    wanted = "'image', 'channel', 'none' or three numbers, such as [0.485, 0.456, 0.406]"
    return value if value in ("image", "channel", "none") else _three(value, wanted, 0)


def _std(value: Any) -> Any:
    return value if value is None else _three(value, "three numbers above 0, such as [0.229, 0.224, 0.225]", math.ulp(0))


def _rising(value: tuple[float, ...]) -> tuple[float, ...]:
    if value[0] > value[1]:
        raise ValueError(f"the least stands first: {list(reversed(value))}")
    return value


def alone(value: tuple[str, ...]) -> tuple[str, ...]:
    as_value_error(check_targets, value)
    return value


def known_splits(value: tuple[str, ...]) -> tuple[str, ...]:
    """Words for splits, each of which gets a folder of its own; some file systems do not tell `a` from `A`."""
    names = [as_value_error(split_name, *as_value_error(method_and_seed, word)) for word in value]
    if twice := [name for i, name in enumerate(names) if name.lower() in (other.lower() for other in names[:i])]:
        raise ValueError(f"two splits are named {twice[0]}")
    return value


def as_value_error(call: Callable[..., Any], *values: Any) -> Any:
    """Call; a TransferError becomes the ValueError that pydantic gathers with the recipe's other mistakes."""
    try:
        return call(*values)
    except TransferError as error:
        raise ValueError(str(error)) from None


Unit = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Number, Field(gt=0, le=1)]
Mean = Annotated[Literal["image", "channel", "none"] | tuple[Unit, Unit, Unit], BeforeValidator(_mean)]
Std = Annotated[tuple[Share, Share, Share] | None, BeforeValidator(_std)]
Scale = Annotated[tuple[Share, Share], AfterValidator(_rising)]
Ratio = Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_rising)]
# A mapping of plain values, kept as pairs.
Arguments = Annotated[
    tuple[tuple[str, bool | int | float | str], ...],
    BeforeValidator(_pairs),
    PlainSerializer(dict, return_type=dict[str, Any]),
    WithJsonSchema({"type": "object"}),
]
Distinct = AfterValidator(_distinct)
OneOrMore = BeforeValidator(_one_or_more)
Lengths = Annotated[
    tuple[
        Annotated[Any, BeforeValidator(_length), WithJsonSchema({"anyOf": [{"type": "number"}, {"const": amounts.EPOCHS}]})], ...
    ],
    OneOrMore,
    Distinct,
]
Ranges = BeforeValidator(_ranges)
SplitWord = Annotated[str, BeforeValidator(_numbered)]
