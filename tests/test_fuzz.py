"""Some of the damage of fuzz_many.py; the same cases in each run, so that a failure can be looked at."""

from pathlib import Path

import pytest
from fuzz_many import CASES, fuzz, prepare


@pytest.mark.slow
def test_bad_input_gives_neither_a_traceback_nor_a_wrong_row(tmp_path: Path) -> None:
    prepare(tmp_path)
    made = fuzz(tmp_path, 240, seed=0)
    assert made.total() == 240 and len(made) == len(CASES)
