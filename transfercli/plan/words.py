"""Words of commands and recipes: layers, targets, treatments, ranges of numbers."""

import re
from collections.abc import Sequence
from typing import Any

from transfercli.plan.tasks import ALTERNATE, HALVES, WHOLE
from transfercli.plan.treatments import OWN, sweepable
from transfercli.system.errors import TransferError

ALL = "all"  # layers
BLOCKS = "blocks"  # segments of one layer
LONGEST_RANGE = 1000  # numbers in a range of seeds or splits


def parse_layers(text: str) -> tuple[int, ...]:
    """Parse `1-7`, `3` or `1,3,5-7` into ascending layer numbers. Raises TransferError."""
    layers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,4})\s*(?:-\s*([0-9]{1,4})\s*)?", part)
        if not match:
            raise TransferError(f"cannot read the layers {text!r}; write a range or a list, such as 1-7 or 1,3,5")
        first, last = int(match[1]), int(match[2] or match[1])
        if 0 in (first, last):
            raise TransferError(f"the layers {text!r} hold 0, which is the base itself; layers start at 1")
        if first > last:
            raise TransferError(f"the layers {text!r} run backwards; write the lower number first: {last}-{first}")
        layers.update(range(first, last + 1))
    return tuple(sorted(layers))


def parse_segment(text: str) -> tuple[int, int]:
    """Parse `3-5` or `4`, the first and the last layer of a segment. Raises TransferError."""
    layers = parse_layers(text)
    if "," in text:
        raise TransferError(f"cannot read the segment {text!r}; write its first and its last layer, as 3-5, or one layer")
    return layers[0], layers[-1]


def segments_of(depth: int, word: str) -> tuple[tuple[int, int], ...]:
    """Of a network of `depth`: `blocks`, each layer that can be copied alone; `all`, every segment of them."""
    copied = range(1, depth)
    return tuple((first, last) for first in copied for last in copied if first == last or (word == ALL and first < last))


def evenly(depth: int, count: int | None) -> tuple[int, ...]:
    """So many of the layers that can be copied of a network of `depth`, evenly: the last of them among these; None: all."""
    most = depth - 1
    return (
        tuple(sorted({-(-most * (place + 1) // count) for place in range(count)}))
        if count and count < most
        else tuple(range(1, depth))
    )


def spread(words: Sequence[Any]) -> list[Any]:
    """The words, with a range of numbers such as `0-3` one by one; what is no range stays as it is. Raises TransferError."""
    found: list[Any] = []
    for word in words:
        match = re.fullmatch(r"([0-9]{1,10})\s*-\s*([0-9]{1,10})", word) if isinstance(word, str) else None
        first, last = map(int, match.groups()) if match else (0, 0)
        if not 0 <= last - first < LONGEST_RANGE:
            raise TransferError(f"the range {word} {'is too long' if first < last else 'runs backwards'}: write it as 0-3")
        found += map(str, range(first, last + 1)) if match else [word]
    return found


def check_layers(layers: Sequence[int], count: int) -> None:
    """Raise TransferError unless every layer can be copied in a network of `count` learnable layers."""
    if too_deep := [n for n in layers if n >= count]:
        raise TransferError(
            f"layer {too_deep[0]} cannot be transferred in a network of {count} layers, whose last is always fresh; "
            f"choose layers within 1-{count - 1}"
        )


def check_targets(targets: Sequence[str]) -> None:
    """Raise TransferError where ALTERNATE, or the task of all classes, stands beside another target."""
    if ALTERNATE in targets and len(targets) > 1:
        raise TransferError(f"{ALTERNATE} stands alone: it gives each split one target, by turns")
    if WHOLE in targets and len(targets) > 1:
        raise TransferError(f"{WHOLE} stands alone: of the split all, which has no halves")


def parse_targets(text: str) -> tuple[str, ...]:
    """Parse `A,B`, `B`, `alternate`, or `T`, all classes. Raises TransferError."""
    targets = parse_choices(text, (*HALVES, ALTERNATE, WHOLE), "target")
    check_targets(targets)
    return targets


def parse_treatments(text: str, own: Sequence[str] | None = None) -> tuple[str, ...]:
    """Parse `BnB,AnB.mine`, in the table's order. `own`: those of the recipe; None: any that might be. Raises TransferError."""
    may = [word.strip() for word in text.split(",") if re.fullmatch(OWN, word.strip())] if own is None else own
    return parse_choices(text, tuple(dict.fromkeys((*sweepable(), *may))), "treatment")


def parse_choices(text: str, allowed: Sequence[str], what: str) -> tuple[str, ...]:
    """Parse a comma-separated list of allowed words, in the order of `allowed`. Raises TransferError."""
    words = [word.strip() for word in text.split(",")]
    if unknown := [word for word in words if word not in allowed]:
        raise TransferError(f"unknown {what} {unknown[0]!r}; choose from {','.join(allowed)}")
    return tuple(word for word in allowed if word in words)
