"""Which share of their time several workers train (`transfer run --ray`), and how long one process takes alone. On a CPU.

python -m benchmarks.workers                # the built-in pictures, two workers, some six minutes and as many alone

What counts as work is the time of banks: steps, evaluations and checkpoints. Ray's start, that of each worker's process, looking
through the pictures, waiting for a base, figures and report are not, and all of the command's time is what is divided by.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import pandas as pd

from benchmarks.measure import Flags, Row, options, record, show
from transfercli.study.folder import Study
from transfercli.system.devices import pick_device
from transfercli.system.threads import processors

ROOT = Path(__file__).parents[1]


def timed(words: Sequence[str], study: Path, flags: Flags) -> tuple[float, pd.DataFrame]:
    """Seconds of a whole study, the command's start included, and its banks. Raises ClickException where it fails."""
    changes = [f"--set={override}" for override in flags.overrides]
    line = ["-m", "transfercli", "run", flags.recipe, "--study", str(study), "--device", "cpu", "--quiet", *changes, *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}
    began = time.monotonic()
    ended = subprocess.run([sys.executable, *line], capture_output=True, text=True, env=environment)
    seconds = time.monotonic() - began
    if ended.returncode:
        raise click.ClickException(f"{' '.join(line)} failed:\n{ended.stderr[-2000:]}")
    return seconds, Study(study).table().drop_duplicates(["split", "seed", "bank"])


@click.command(help=__doc__)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1))
@click.option("--only", is_flag=True, help="Leave out the process that trains alone.")
@options("demo")
def main(workers: int, only: bool, flags: Flags) -> None:
    each, rows = max(1, processors() // workers), []
    name = flags.label or f"cpu, {flags.recipe}, {workers} workers"
    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as place:
        seconds, banks = timed(["--workers", str(workers), "--cpus-per-bank", str(each), "--ray"], Path(place) / "several", flags)
        share = banks["bank_seconds"].sum() / workers / seconds
        note = f"{len(banks)} banks; of the whole command; {each} processors each; {' '.join(flags.overrides)}"
        rows.append(Row(f"{name}: time", seconds, "s", "", note))
        rows.append(Row(f"{name}: share of their time at work", share, "", "0.9", note))
        if not only:
            alone, _ = timed([], Path(place) / "alone", flags)
            rows.append(
                Row(f"{name}: one process / workers", alone / seconds, "×", "", f"{alone:.0f} s alone, on all processors")
            )
    show(name, ("measure", "value", "unit", "target"), [(row.measure, row.value, row.unit, row.target) for row in rows])
    record(rows, pick_device("cpu"), flags.dry)


if __name__ == "__main__":
    main()
