"""Plain values from YAML text, and `key.path=value` laid over them."""

from typing import Any

import yaml

from transfercli.system.errors import TransferError


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which PyYAML would take the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(text: str) -> Any:
    """Mappings, lists, text, numbers, dates, true, false or null; no other tags. Raises ValueError."""
    try:
        return yaml.load(text, _Loader)
    except Exception as error:  # of damaged text PyYAML also raises LookupError, AttributeError, RecursionError
        raise ValueError(f"{error}") from None


def parse_override(text: str) -> dict[str, Any]:
    """`training.epochs=5` as {"training": {"epochs": 5}}; a value that is no YAML is text. Raises TransferError."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise TransferError(f"cannot read --set {text}; write key=value, such as --set training.epochs=5")
    try:
        values = parse(value)
    except ValueError:
        values = value
    for part in reversed(key.strip().split(".")):
        values = {part: values}
    return values


def merge(values: dict, changes: dict) -> dict:
    """`values` with `changes` laid over it, mapping by mapping."""
    merged = dict(values)
    for key, change in changes.items():
        below = merged.get(key)
        merged[key] = merge(below, change) if isinstance(below, dict) and isinstance(change, dict) else change
    return merged
