"""Numbers and networks in words, as the page writes them."""

import math
from collections.abc import Mapping
from typing import Any

from transfercli.analysis import kind_of_split
from transfercli.errors import plain
from transfercli.figures import PANEL_TITLES, TARGET_NAMES

NONE = "–"  # where there is no number


def missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(share: Any, digits: int = 1) -> str:
    """A fraction as 91.5%."""
    return NONE if missing(share) else f"{100 * share:.{digits}f}%"


def points(share: Any, digits: int = 2) -> str:
    """A difference of fractions in points, with its sign; the minus is a real one."""
    return NONE if missing(share) else f"{100 * share:+.{digits}f}".replace("-", "−")


def between(low: Any, high: Any, digits: int = 2) -> str:
    """An interval of a difference in points, empty where there is none."""
    return "" if missing(low) else f"{points(low, digits)} to {points(high, digits)}"


def counted(number: int, one: str, many: str = "") -> str:
    """1 network, 3 networks, 450,000 steps."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """A, B and C."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1] if words else "") if part)


def panel_title(kind: str) -> str:
    """The title of a kind of split: "random halves"."""
    return PANEL_TITLES.get(kind, f"halves of {plain(kind)}")


def sentence(text: str) -> str:
    """The text with a capital at its start, and else as it is."""
    return text[:1].upper() + text[1:]


def half_name(split: str, half: str) -> str:
    """What a half is called: natural and man-made where the split is made by them, else A and B."""
    return TARGET_NAMES.get(half, half) if kind_of_split(split) == "man-made-natural" else plain(half)


def made_of(row: Mapping[str, Any]) -> str:
    """Where a network's layers come from and what they are trained on."""
    target, layer = plain(row["target"]), int(row["layer"])
    if row["treatment"] == "base":
        return f"All layers trained on {target} from random weights."
    first = "First layer" if layer == 1 else f"First {layer} layers"
    source = "random" if row["treatment"] == "RnB" else f"from base{plain(row['source'])}"
    if row["treatment"].endswith("+"):
        return f"{first} {source}, the rest fresh; all of them trained on {target}."
    return f"{first} {source}{' and' if source == 'random' else ','} frozen; the rest fresh, trained on {target}."
