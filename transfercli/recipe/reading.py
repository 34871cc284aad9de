"""Recipes from text, files and names; all mistakes at once."""

import inspect
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from transfercli.recipe import yamltext
from transfercli.recipe.network import CHATFIELD_WIDTHS
from transfercli.recipe.schema import Recipe, Section
from transfercli.recipe.shipped import names as names
from transfercli.recipe.shipped import text as text
from transfercli.system.errors import TransferError
from transfercli.system.files import write_text


def validate(values: Any, where: str) -> Recipe:
    """A recipe from plain values. Raises TransferError that names every wrong key at once."""
    if not isinstance(values, dict):
        raise TransferError(f"{where} is not a recipe: it must be a YAML mapping; see one: transfer recipes show demo")
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {_say(e)}" for e in error.errors()]
        listed = " ".join("; ".join(problems).split())  # one line, whatever stands in a key
        raise TransferError(
            f"{where} has {len(problems)} mistake{'s' * (len(problems) > 1)}: {listed}; compare with: transfer recipes show demo"
        ) from None


def load(text: str, where: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe from YAML text (safe loader) with `key.path=value` overrides. Raises TransferError."""
    try:
        values = yamltext.parse(text)
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise TransferError(f"{where} is not YAML: {reason}; mend it or start from: transfer recipes copy demo") from None
    changes = [change for change in map(_parse, overrides) if not _is_listed(change, values)]
    if changes and not isinstance(values, dict):
        values = {}
    for change in changes:  # first, so that the order of the overrides does not matter
        values = _without_other_network(values, change)
    for change in changes:
        values = yamltext.merge(values, change)
    return validate(values, where)


def _parse(override: str) -> dict[str, Any]:
    change = yamltext.parse_override(override)
    return {"network": {"name": change["network"]}} if isinstance(change.get("network"), str) else change


def _is_listed(change: dict, values: Any) -> bool:
    """Whether the change only names a network that the recipe lists: the command line says that its code may run."""
    listed = values.get("networks") if isinstance(values, dict) else None
    names = [one.get("name") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return any(change == {"network": {"name": name}} for name in names)


def _without_other_network(values: dict, change: dict) -> dict:
    """The values without those of the network and its layers, where the change names one of another kind.

    Also where the change is from one network to several, or back.
    """
    if "networks" in change or ("networks" in values and "name" in (change.get("network") or ())):
        return {key: value for key, value in values.items() if key not in ("network", "networks")}
    old, new = (one.get("network") for one in (values, change))
    names = [one.get("name") for one in (old, new) if isinstance(one, dict)]
    named = len(names) == 2 and isinstance(names[1], str) and names[0] != names[1]
    another = named and not {*map(str, names)} <= {"caffenet", "small"}
    if another:
        return {key: value for key, value in values.items() if key not in ("network", "layers")}
    if isinstance(old, dict) and isinstance(new, dict) and old.get("layers") and new.keys() - {"name"}:
        return {**values, "network": {**old, "layers": None}}  # which is found out anew: a cut or a width may change it
    return values


def find(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name or file, with overrides."""
    return load(text(name), f"recipe {name}", overrides)


def copy(name: str, file: str | Path | None = None) -> Path:
    """Write a recipe's text to a file (by default NAME.yaml) that is not there yet. Raises TransferError."""
    written = text(name)
    path = Path(file or f"{Path(name).stem if name.endswith(('.yaml', '.yml')) else name}.yaml")
    if path.suffix not in (".yaml", ".yml"):
        raise TransferError(f"{path} does not end as a recipe does; name it {path}.yaml")
    if path.exists():
        raise TransferError(f"{path} is there already; choose another name: transfer recipes copy {name} FILE")
    load(written, f"recipe {name}")  # a file may be none
    write_text(path, written, f"transfer recipes copy {name} FILE")
    return path


def dump(recipe: Recipe) -> str:
    """The resolved recipe as YAML: every key, defaults included."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=110)


def differences(old: Recipe, new: Recipe) -> list[str]:
    """What changed, as `key: old → new`, among what decides a network's numbers, and whether it is judged by them.

    Of networks that only one of the recipes has, nothing is said: they do not touch each other.
    """

    def flat(values: dict, prefix: str = "") -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in values.items():
            out |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
        return out

    found: dict[str, None] = {}
    both = [net for net in old.each() if net in new.each()]
    for net in both or [""]:
        pair = [recipe.of(net) if both else next(iter(recipe.each().values())) for recipe in (old, new)]
        a, b = (flat({"judged": recipe.judged, **recipe.decisive()}) for recipe in pair)
        changed = [key for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]
        a, b = (flat(recipe.model_dump(mode="json")) for recipe in pair)  # a new key at what was done before is in these
        for key in changed:
            own = key.startswith("network.")
            if both or not own:
                found[f"{net}: " * bool(net) * own + f"{key}: {a.get(key)} → {b.get(key)}"] = None
    return list(found)


def _keys(path: Sequence[str]) -> list[str]:
    """The keys of the section at that path of a recipe."""
    section: Any = Recipe
    for key in (key for key in path if not key.isdigit()):  # a number is a place in a list of sections
        section = _section(section.model_fields[key].annotation)
    return list(section.model_fields)


def _section(kind: Any) -> Any:
    """The section that a key holds, also where it may be left out or holds several."""
    if inspect.isclass(kind) and issubclass(kind, Section):
        return kind
    return next(filter(None, map(_section, get_args(kind))), None)


def _say(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        *above, key = map(str, error["loc"])
        near = get_close_matches(key, _keys(above), n=1, cutoff=0.8)
        return "unknown key" + (f" (did you mean {'.'.join([*above, *near])}?)" if near else "")
    if error["type"] == "missing":
        return "missing"
    own = error["type"] == "value_error"  # raised here; the rest is pydantic's
    return str(error["ctx"]["error"]) if own else error["msg"][:1].lower() + error["msg"][1:]


def smoke(recipe: Recipe) -> Recipe:
    """The same study so small that it ends in seconds: few classes and pictures, a slim network, a handful of steps.

    Its figures mean nothing; every step of the study is taken.
    """
    changes: dict[str, Any] = {
        "judged": False,
        "splits": recipe.splits[:1],
        "targets": recipe.targets[:1],
        "seeds": recipe.seeds[:1],
        "pictures": {"classes": 8, "train_per_class": 8, "val_per_class": 4},
        "training": {"steps": 4, "epochs": None, "batch": 16},
        "evaluation": {"every": 2, "times": None, "batch": 16},
    }
    for section, keys in (("source", {"per_class": [2], "classes": [0.5]}), ("target", {"per_class": [2, "all"]})):
        if given := getattr(recipe, section):
            changes[section] = {key: few for key, few in keys.items() if getattr(given, key)}
    slim = [one.network.model_dump(mode="json") for one in recipe.each().values()]
    for network in slim:
        if network["name"] == "caffenet" and network["widths"]:
            network["widths"] = [2 * max(2, width // 32) for width in network["widths"]]
        elif network["name"] in CHATFIELD_WIDTHS:
            network["widths"] = [max(2, width // 32) for width in network["widths"]]
    changes |= {"networks": slim} if recipe.networks else {"network": slim[0]}
    if recipe.own_treatments:  # a phase of so many steps, or until patience, would not end
        changes["own_treatments"] = [_in_shares(one.model_dump(mode="json")) for one in recipe.own_treatments]
    if recipe.pictures.builtin:
        changes["pictures"]["builtin"] = {**recipe.pictures.builtin.model_dump(), "classes": 8, "train": 8, "val": 4}
    return validate(yamltext.merge(recipe.model_dump(mode="json"), changes), f"the smoke variant of {recipe.name}")


def _in_shares(treatment: dict[str, Any]) -> dict[str, Any]:
    """The treatment with phases of equal length, where one is not told in shares."""
    phases = treatment["phases"]
    if any(type(phase["until"]) is not float for phase in phases):
        for place, phase in enumerate(phases, start=1):
            phase["until"] = place / len(phases)
    return treatment
