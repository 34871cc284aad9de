"""How much data, and how long it is learned: words for amounts, and how many of so many they are. Pure.

An amount of pictures is a whole number of each class, or a share below 1 of each; an amount of classes is a share. As values of
axes, ALL of the pictures is 0, of the classes 1.0; which ones are taken is for `training/amounts.py` to draw.
"""

import re
from collections.abc import Mapping
from typing import Any

ALL = "all"
EPOCHS = "epochs"  # the length that goes through the pictures of an amount as often as the whole length through all


def per_class(text: str) -> int | float:
    """Pictures of each class: a whole number, or a share below 1; 0 is all. Raises ValueError."""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return int(text)
    if not 0 < (value := float(text)) < 1:
        raise ValueError(f"{text} is neither a whole number of pictures of each class nor a share of them below 1")
    return value


def share(text: str) -> float:
    """A share, above 0 and up to 1. Raises ValueError."""
    if not 0 < (value := float(text)) <= 1:
        raise ValueError(f"{text} is no share: above 0 and at most 1")
    return value


def length(text: str) -> float | str:
    """How long a network trains: in multiples of the recipe's steps, or EPOCHS. Raises ValueError."""
    if text == EPOCHS:
        return text
    try:
        if 0 < (value := float(text)) < float("inf"):
            return value
    except ValueError:
        pass
    raise ValueError(f"{text} is no length: a number above 0, in multiples of all steps, or {EPOCHS}")


def part(amount: int | float, count: int) -> int:
    """How many of `count` pictures of a class an amount takes: never none."""
    if amount == 0:
        return count
    return amount if isinstance(amount, int) else max(1, round(amount * count))


def in_words(amount: float) -> str:
    """An amount of pictures, for titles: "25 pictures a class", "10% of the pictures"."""
    return f"{amount:g} picture{'s' * (amount != 1)} a class" if amount >= 1 else f"{100 * amount:g}% of the pictures"


def classes_in_words(share: float) -> str:
    return f"{100 * share:g}% of the classes"


def length_in_words(length: float | str) -> str:
    return "as many epochs as all data" if length == EPOCHS else f"{length:g} × the steps"


def steps_of(axes: Mapping[str, Any], steps: int, classes: int, pictures: float) -> int:
    """How many of so many steps a network with these values of AXES trains.

    `pictures`: all that there are to learn from, of so many classes.
    """
    length = axes.get("length", 1.0)
    if length == EPOCHS:
        per, share = axes.get("per", 0), axes.get("share", 1.0)
        length = per * round(share * classes) / pictures if isinstance(per, int) and per else share * (per or 1.0)
    return max(1, round(length * steps))


def steps_in_words(share: float) -> str:
    return f"source at {100 * share:g}% of its steps"
