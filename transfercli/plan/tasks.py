"""What a network may learn: one half of a split's classes."""

import re

HALVES = ("A", "B")
ALTERNATE = "alternate"  # in the place of targets: the splits take turns


def alternating(split: str) -> str:
    """The target half of a split whose splits take turns: A for random splits with an odd number, B for all others."""
    number = re.fullmatch(r"random-(\d+)", split)
    return "A" if number and int(number[1]) % 2 else "B"
