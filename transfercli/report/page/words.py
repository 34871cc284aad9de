"""Numbers and networks in words, as the page writes them."""

import math
from collections.abc import Mapping
from typing import Any

from transfercli.analysis.words import Names, half_name, half_title, panel_title, signed

NONE = "–"  # where there is no number


def missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(share: Any, digits: int = 1) -> str:
    """A fraction as 91.5%."""
    return NONE if missing(share) else f"{100 * share:.{digits}f}%"


def points(share: Any, digits: int = 2) -> str:
    """A difference of fractions in points, with its sign, which 0 has none of."""
    if missing(share):
        return NONE
    text = signed(100 * share, digits)
    return text if text.strip("+−0.") else text.lstrip("+")


def between(low: Any, high: Any, digits: int = 2) -> str:
    """An interval of a difference in points, empty where there is none."""
    return "" if missing(low) else f"{points(low, digits)} to {points(high, digits)}"


def counted(number: int, one: str, many: str = "") -> str:
    """1 network, 3 networks, 450,000 steps."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(words: list[str]) -> str:
    """A, B and C."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1] if words else "") if part)


def sentence(text: str) -> str:
    """The text with a capital at its start, and else as it is."""
    return text[:1].upper() + text[1:]


def made_of(row: Mapping[str, Any], names: Names) -> str:
    """Where a network's layers come from and what they are trained on."""
    target, layer = half_title(row["split"], row["target"], names), int(row["layer"])
    if row["treatment"] == "base":
        return f"All layers trained on {target} from random weights."
    first = "First layer" if layer == 1 else f"First {layer} layers"
    source = "random" if row["treatment"] == "RnB" else f"from base{half_title(row['split'], row['source'], names)}"
    if row["treatment"].endswith("+"):
        return f"{first} {source}, the rest fresh; all of them trained on {target}."
    return f"{first} {source}{' and' if source == 'random' else ','} frozen; the rest fresh, trained on {target}."


def conclusion_title(name: str, names: Names) -> str:
    """The title of what `conclusions.conclude` names "random", or "man-made-natural, target A"."""
    kind, _, target = name.partition(", target ")
    return panel_title(kind, names) + (f", to {half_name(kind, target, names)}" if target else "")
