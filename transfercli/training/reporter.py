"""How training tells what it does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transfercli.plan.networks import Network
from transfercli.study.folder import Study
from transfercli.system.progress import ignored


@dataclass(frozen=True)
class Reporter:
    """How training tells what it does: network-steps done (of a total), lines of text, logs, and to others how far a bank is.

    What is not given is told to nobody.
    """

    total: Callable[[int], None] = ignored
    advance: Callable[[int], None] = ignored
    say: Callable[[str], None] = ignored
    held: Callable[[int], None] = ignored  # network-steps that a checkpoint holds; below 0, that are to be taken again
    measured: Callable[[Study, Network, list[dict[str, float]]], None] = ignored  # after each evaluation
    tell: Callable[[Mapping[str, Any]], None] = ignored
    working: Callable[[int, int], None] = ignored  # how many of the workers that there are


SILENT = Reporter()
