"""Every key of a recipe, explained: what it may be, what it is where nothing is said, and what it does; all from the schema."""

import inspect
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args

from pydantic.fields import FieldInfo

from transfercli.recipe.schedules import SCHEDULES
from transfercli.recipe.schema import Recipe, Schedule, Section
from transfercli.system.errors import TransferError

PAGE = """# Every key of a recipe

Made from the schema: `transfer recipes keys --markdown > docs/recipe-keys.md`. `transfer recipes keys training` prints a part of
it, `transfer recipes show NAME` a recipe that uses them, and `--set training.epochs=5` changes one for a command. A key that is
not here is an error.
"""
NAMES = {"object": "mapping", "integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}


class Key(NamedTuple):
    """One key: its path, as `training.batch`; what it may be; its default, None where it must be given; what it does."""

    path: str
    values: str
    default: str | None
    meaning: str

    @property
    def otherwise(self) -> str:
        """What holds where the recipe does not have the key."""
        return "must be given" if self.default is None else self.default


def all_keys() -> list[Key]:
    """All keys, in the order of the schema."""
    return list(_keys(Recipe, ""))


def keys_of(part: str = "") -> list[Key]:
    """The keys of a part of the recipe, as `training`, or a single one; none given: all. Raises TransferError."""
    chosen = [key for key in all_keys() if f"{key.path}.".startswith(f"{part}." if part else "")]
    if not chosen:
        near = get_close_matches(part, [key.path for key in all_keys()], n=1, cutoff=0.8)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise TransferError(f"no recipe has a key {part!r}{meant}; see all: transfer recipes keys")
    return chosen


def markdown() -> str:
    """The page of all keys: docs/recipe-keys.md."""
    text = PAGE
    sections: dict[str, list[Key]] = {}
    for key in all_keys():
        sections.setdefault(key.path.rpartition(".")[0], []).append(key)
    for section, of in sections.items():
        text += f"\n## {f'`{section}`' if section else 'The recipe'}\n\n"
        text += "| key | values | default | what it does |\n|---|---|---|---|\n"
        for key in of:
            cells = (f"`{key.path}`", key.values, f"`{key.default}`" if key.default else key.otherwise, key.meaning)
            text += f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
    text += "\n## Schedules\n\n| `training.schedule.name` | its figures | learning rate |\n|---|---|---|\n"
    for name, function in SCHEDULES.items():
        figures = ", ".join(f"`{figure}`" for figure in _figures(name))
        text += f"| `{name}` | {figures} | {' '.join((function.__doc__ or '').split())} |\n"
    return text


def _keys(section: type[Section], before: str) -> Iterator[Key]:
    schema = section.model_json_schema()
    for name, field in section.model_fields.items():
        path = f"{before}{name}"
        inner = _section(field.annotation)
        if inner is not None:
            yield from _keys(inner, f"{path}.")
            continue
        meaning = " ".join((field.description or "").split())
        if section is Schedule and (of := [one for one in SCHEDULES if name in _figures(one)]) != list(SCHEDULES) and of:
            meaning = f"Of {', '.join(of)}: {meaning[:1].lower()}{meaning[1:]}"
        default = None if field.is_required() else _text(field.get_default())
        bounds = dict.fromkeys(_bounds(field.annotation, field.metadata))  # once, of a pair
        yield Key(path, " ".join([_values(schema["properties"][name]), *bounds]), default, meaning)


def _bounds(annotation: Any, marks: Iterable[Any] = ()) -> Iterator[str]:
    """What a number must be, in words; also that of a list, or where it may be left out. (JSON's schema loses it.)"""
    words = {"gt": "above", "ge": "at least", "lt": "and below", "le": "and at most"}
    for mark in (*marks, *get_args(annotation)):
        if isinstance(mark, FieldInfo):
            yield from _bounds(None, mark.metadata)
        elif get_args(mark):
            yield from _bounds(mark)
        yield from (f"{word} {getattr(mark, bound)}" for bound, word in words.items() if hasattr(mark, bound))


def _section(annotation: Any) -> type[Section] | None:
    """The section that a key holds, also where it may be left out."""
    for one in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(one, type) and issubclass(one, Section):
            return one
    return None


def _figures(schedule: str) -> list[str]:
    return [name for name in inspect.signature(SCHEDULES[schedule]).parameters if name not in ("step", "steps")]


def _values(schema: dict[str, Any]) -> str:
    """What a key may be, in words."""
    if "anyOf" in schema:
        return " or ".join(_values(one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "$ref" in schema:
        return "what `network` holds"
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        inner = _values(schema["items"] if "items" in schema else schema["prefixItems"][0])
        least, most = schema.get("minItems"), schema.get("maxItems")
        return f"{least} of: {inner}" if least and least == most else f"list of: {inner}"
    return NAMES[schema["type"]]


def _text(value: Any) -> str:
    """A default as a recipe would say it; "not set" for None."""
    if isinstance(value, tuple):
        return f"[{', '.join(map(_text, value))}]"
    return (
        "not set" if value is None else str(value).lower() if isinstance(value, bool) else str(value) if value != "" else "empty"
    )
