"""The treatments: what a network copies, and what then happens to it."""

from typing import Literal, get_args

Treatment = Literal["BnB", "BnB+", "AnB", "AnB+", "RnB"]


TREATMENTS: tuple[Treatment, ...] = get_args(Treatment)


LEARNED_NOTHING = "did not learn"  # the status of a network whose loss stayed at a guess's


def failed(treatment: str, status: str) -> bool:
    """Whether a network says nothing about transfer. That random features let nothing be learned is a result."""
    return status != "done" and (treatment, status) != ("RnB", LEARNED_NOTHING)
