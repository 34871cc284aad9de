"""Two studies of the same splits network by network: what a change of the recipe does, in points of top-1, with 95% intervals.

    python benchmarks/paired_studies.py STUDY OTHER

Networks of the same split, seed and id are subtracted, STUDY minus OTHER; a pair of split and target is the unit, its seeds
averaged, as in `transfer analyze`. The last line of a treatment is the mean of its layers' means, its interval over pairs.
"""

from pathlib import Path

import click

from transfercli.analysis.intervals import mean_interval
from transfercli.study.table import load

SAME = ["split", "seed", "network", "treatment", "target", "layer"]


def said(name: str, interval: tuple[float, float, float], pairs: int) -> str:
    mean, low, high = (100 * number for number in interval)
    return f"{name:12} {mean:+6.2f} points ({low:+.2f} to {high:+.2f}), {pairs} pairs"


@click.command(help=__doc__)
@click.argument("study", type=click.Path(exists=True, path_type=Path))
@click.argument("other", type=click.Path(exists=True, path_type=Path))
def main(study: Path, other: Path) -> None:
    both = load(study).merge(load(other), on=SAME, suffixes=("", "_other"))
    both = both[(both["status"] == "done") & (both["status_other"] == "done")]
    alike = (both["weights_digest"] == both["weights_digest_other"])[both["treatment"] == "base"]
    click.echo(f"{len(both)} networks are in both; of {len(alike)} bases {alike.sum()} have the same weights to the bit")
    both = both.assign(value=both["top1"] - both["top1_other"])
    units = both.groupby(["treatment", "layer", "split", "target"], sort=False, as_index=False).agg(value=("value", "mean"))
    for treatment, group in units[units["treatment"] != "base"].groupby("treatment", sort=False):
        for layer, pairs in group.groupby("layer"):
            click.echo(said(f"{treatment} n={layer}", mean_interval(pairs["value"]), len(pairs)))
        draws = group.groupby(["split", "target"]).ngroup()
        click.echo(said(f"{treatment} all", mean_interval(group["value"], group["layer"], draws), draws.nunique()))


if __name__ == "__main__":
    main()
