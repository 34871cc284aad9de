"""Words for what there are several of."""

from collections.abc import Collection, Sequence


def plural(names: Collection[str]) -> str:
    return "class" if len(names) == 1 else "classes"


def classes_have(names: Collection[str]) -> str:
    return f"{len(names)} {plural(names)} {'has' if len(names) == 1 else 'have'}"


def some(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
