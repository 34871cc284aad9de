"""Reduced precision is the recipe's choice: how far bfloat16 ends from float32 on the demo."""

import statistics
from pathlib import Path

import pytest
import torch

from transfercli import split
from transfercli.plan.networks import bases
from transfercli.plan.tasks import HALVES
from transfercli.study.folder import Study
from transfercli.training.reporter import Reporter
from transfercli.training.train import train

SEEDS = (0, 1, 2)
QUIET = Reporter(total=lambda count: None, advance=lambda count: None, say=lambda text: None, held=lambda count: None)


@pytest.mark.slow
def test_bfloat16_ends_where_float32_ends_within_the_spread_over_seeds(tmp_path: Path) -> None:
    """The demo's bases, half as long: the mean accuracies differ by less than single runs of one precision do."""
    ended: dict[str, list[float]] = {}
    for precision in ("float32", "bfloat16"):
        study = Study(tmp_path / precision)
        overrides = (f"training.precision={precision}", "training.epochs=10", f"seeds={list(SEEDS)}", "evaluation.times=1")
        split(study, recipe="demo", overrides=overrides)
        rows = train(study, bases(["random-0"], SEEDS), torch.device("cpu"), None, QUIET)
        assert [row["precision"] for row in rows] == [precision] * len(HALVES) * len(SEEDS)
        ended[precision] = [row["top1"] for row in rows]
    for place, half in enumerate(HALVES):
        full, reduced = (ended[precision][place :: len(HALVES)] for precision in ("float32", "bfloat16"))
        spread = max(max(full) - min(full), 0.02)
        assert abs(statistics.mean(full) - statistics.mean(reduced)) <= spread, (half, full, reduced)
        assert min(full + reduced) > 0.5, "ten epochs are enough to learn"
