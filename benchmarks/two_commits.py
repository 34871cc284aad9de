"""The bank's step by this checkout against another commit's, in processor time, in alternating pairs on this machine.

    python benchmarks/two_commits.py COMMIT

COMMIT is taken into a temporary worktree. A bank of the 28 networks trains on one batch, on the recipe tiny-imagenet-cpu as both
know it; old and new take turns, so that what else the machine does falls on both. Printed: each pair's ratio, and their median.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
# Runs in either tree, by the names that both have.
ONE = """
import sys, time
root, overrides, warm, steps = sys.argv[1], sys.argv[2].split(), int(sys.argv[3]), int(sys.argv[4])
sys.path[:0] = [root + "/benchmarks", root]
import torch, samples, step
with step.reproducible(torch.device("cpu")):
    bank = step.make_bank(step.recipes.find("tiny-imagenet-cpu", overrides), samples.sweep_networks(), 20, torch.device("cpu"))
    for _ in range(warm):
        bank.step()
    began = time.process_time()
    for _ in range(steps):
        bank.step()
    print((time.process_time() - began) / steps)
"""


def measured(tree: Path, overrides: str, steps: int) -> float:
    """Processor seconds for one step of the bank."""
    words = [sys.executable, "-c", ONE, str(tree), overrides, "3", str(steps)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return float(subprocess.run(words, env=environment, check=True, capture_output=True, text=True).stdout)


@click.command(help=__doc__)
@click.argument("commit")
@click.option("--pairs", default=5, show_default=True, type=click.IntRange(1))
@click.option("--steps", default=25, show_default=True, type=click.IntRange(1), help="Of the bank, in each run.")
@click.option("--precision", default="float32", show_default=True)
def main(commit: str, pairs: int, steps: int, precision: str) -> None:
    ratios, git = [], ["git", "-C", str(ROOT)]
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old"
        subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(old), commit], check=True)
        try:
            for pair in range(pairs):
                order = (old, ROOT) if pair % 2 == 0 else (ROOT, old)
                taken = {tree: measured(tree, f"training.precision={precision}", steps) for tree in order}
                ratios.append(taken[ROOT] / taken[old])
                click.echo(f"pair {pair + 1}: {taken[old]:.4f} s by {commit}, {taken[ROOT]:.4f} s here, ratio {ratios[-1]:.3f}")
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(old)], check=True)
    click.echo(f"median {statistics.median(ratios):.3f} of {pairs} pairs ({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
