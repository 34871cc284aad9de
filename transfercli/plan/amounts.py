"""How much data: words for amounts, and how many of so many they are. Pure.

An amount of pictures is a whole number of each class, or a share below 1 of each; an amount of classes is a share. As values of
axes, ALL of the pictures is 0, of the classes 1.0; which ones are taken is for `training/amounts.py` to draw.
"""

import re

ALL = "all"


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


def steps_in_words(share: float) -> str:
    return f"source at {100 * share:g}% of its steps"
