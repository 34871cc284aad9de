"""How training tells what it does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from transfercli.plan.networks import Network
from transfercli.study.folder import Study


@dataclass(frozen=True)
class Reporter:
    """How training tells what it does: network-steps done (of a total), lines of text, logs, and to others how far a bank is."""

    total: Callable[[int], None]
    advance: Callable[[int], None]
    say: Callable[[str], None]
    held: Callable[[int], None]  # network-steps that a checkpoint holds; below 0, that are to be taken again
    measured: Callable[[Study, Network, list[dict[str, float]]], None] = lambda study, network, log: None  # after each evaluation
    tell: Callable[[Mapping[str, Any]], None] = lambda bank: None
