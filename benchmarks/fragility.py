"""What makes co-adaptation fragile? One skeleton, skip connections without and with × BatchNorm without and with; four studies.

    python benchmarks/fragility.py run PICTURES STUDIES      trains them, about 20 networks a split and study; resumable
    python benchmarks/fragility.py tell STUDIES              what they show, in points of top-1 with 95% intervals
    python benchmarks/fragility.py keep STUDIES FOLDER       tables, recipes, splits, figure and text, for a reference

The network is `small` on 40 classes of Tiny-ImageNet-200 at 32×32, not at the paper's scale: five random splits, the target half
by turns, 10 epochs. Skips take no weights, so all four have the same draw of the same weights, and see the same batches.

Asked before any network was trained: AnB - BnB (how specific features are) by layer and in the mean of all layers, and the dip of
BnB in the middle (`analysis/contrasts.py`). A split is the unit, and differences between networks are taken within splits.
"""

import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import click
import pandas as pd

import transfercli
from transfercli.analysis.contrasts import CONTRASTS
from transfercli.analysis.intervals import mean_interval
from transfercli.study.folder import Study
from transfercli.study.table import load

LAYERS = range(1, 8)
SPLITS = range(5)
# By name, skips and normalisation.
NETWORKS = {f"skips-{skips}-norm-{norm}": (skips, norm) for skips, norm in product(("false", "true"), ("none", "batch"))}
SAID = {
    "skips-false-norm-none": "plain",
    "skips-false-norm-batch": "BatchNorm",
    "skips-true-norm-none": "skips",
    "skips-true-norm-batch": "skips and BatchNorm",
}
# What a network's four values are weighed by: the mean effect of either, and whether they act together.
EFFECTS = {
    "skips": (-1 / 2, -1 / 2, 1 / 2, 1 / 2),
    "BatchNorm": (-1 / 2, 1 / 2, -1 / 2, 1 / 2),
    "skips × BatchNorm": (1 / 2, -1 / 2, -1 / 2, 1 / 2),
}


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.argument("pictures", type=click.Path(exists=True, path_type=Path))
@click.argument("studies", type=click.Path(path_type=Path))
def run(pictures: Path, studies: Path) -> None:
    """Train all that is missing: each split of all four before the next."""
    for last, (name, (skips, norm)) in product(SPLITS, NETWORKS.items()):
        study = Study(studies / name)
        how = [f"name={name}", f"splits={','.join(map(str, range(last + 1)))}", "targets=alternate", "layers=1-7"]
        how += ["training.epochs=10", "evaluation.times=5", f"network.skips={skips}", f"network.normalisation={norm}"]
        transfercli.run(study, "tiny-imagenet-cpu", pictures, overrides=[*how, "treatments=BnB,AnB"], device="cpu")
        transfercli.sweep(study, [7], ["base+", "BnB+", "AnB+"], overrides=how, device="cpu")
        click.echo(f"{name}: {last + 1} splits")


@main.command()
@click.argument("studies", type=click.Path(exists=True, path_type=Path))
def tell(studies: Path) -> None:
    """Print what the four studies show."""
    click.echo(shown({name: load(studies / name) for name in NETWORKS}))


@main.command()
@click.argument("studies", type=click.Path(exists=True, path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
def keep(studies: Path, folder: Path) -> None:
    """Write what a reference needs into a folder."""
    tables = {name: load(studies / name) for name in NETWORKS}
    for name in NETWORKS:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file in ("recipe.yaml", "results.csv"):
            shutil.copy(studies / name / file, folder / name)
    for split in Study(studies / next(iter(NETWORKS))).split_names():  # the same for all four
        values = json.loads((studies / next(iter(NETWORKS)) / split / "split.json").read_text(encoding="utf-8"))
        text = json.dumps({**values, "folder": "."}, indent=1, ensure_ascii=False)
        (folder / f"{split}.json").write_text(text + "\n", encoding="utf-8")
    drawn(tables, folder / "fragility.png")
    (folder / "shown.txt").write_text(shown(tables) + "\n", encoding="utf-8")


def shown(tables: dict[str, pd.DataFrame]) -> str:
    """The questions, by network and as effects, a line each."""
    wide = {name: accuracies(table) for name, table in tables.items()}
    lines = []
    for question, of in questions().items():
        by = {name: of(one).dropna() for name, one in wide.items()}
        together = pd.concat(by, axis=1).dropna()
        if together.empty:
            continue
        lines += ["", question] + [said(SAID[name], values) for name, values in by.items()]
        lines += [said(f"  effect of {effect}", together @ weights) for effect, weights in EFFECTS.items()]
    return "\n".join(lines[1:])


def questions() -> dict[str, Callable[[pd.DataFrame], pd.Series]]:
    """By name, from a table of accuracies (a row a split, a column a treatment and layer) a number for each split."""
    specific = {f"AnB - BnB, n = {n}": (lambda t, n=n: t["AnB", n] - t["BnB", n]) for n in LAYERS}
    alone = {f"BnB - base, n = {n}": (lambda t, n=n: t["BnB", n] - t["base", 0]) for n in LAYERS}
    return {
        "AnB - BnB, mean of all layers": lambda t: sum(t["AnB", n] - t["BnB", n] for n in LAYERS) / len(LAYERS),  # type: ignore
        "the dip of BnB (negative: it falls in the middle)": lambda t: sum(w * t[key] for key, w in CONTRASTS["dip"].items()),
        **specific,
        **alone,
        "the base": lambda t: t["base", 0],
        "base+ - base: trained a second time": lambda t: t["base+", 0] - t["base", 0],
        "BnB+ - base+, n = 7": lambda t: t["BnB+", 7] - t["base+", 0],
        "AnB+ - BnB+, n = 7": lambda t: t["AnB+", 7] - t["BnB+", 7],
    }


def accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """Top-1 by split, and by treatment and layer, of the half that the transfer networks are trained on."""
    target = table[table["treatment"] == "AnB"].groupby("split")["target"].first()
    own = table[(table["status"] == "done") & (table["target"] == table["split"].map(target))]
    return own.pivot(index="split", columns=["treatment", "layer"], values="top1")


def said(name: str, values: pd.Series) -> str:
    mean, low, high = (100 * number for number in mean_interval(values))
    return f"  {name:32} {mean:+6.2f} ({low:+.2f} to {high:+.2f}), {len(values)} splits"


def drawn(tables: dict[str, pd.DataFrame], path: Path) -> None:
    """AnB - BnB and BnB - base by layer, a line a network, with intervals of the mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, (title, of) in zip(
        figure.subplots(1, 2, sharey=True),
        {
            "AnB − BnB: how specific": lambda t, n: t["AnB", n] - t["BnB", n],
            "BnB − base: co-adaptation": lambda t, n: t["BnB", n] - t["base", 0],
        }.items(),
        strict=True,
    ):
        for place, (name, table) in enumerate(tables.items()):
            wide = accuracies(table)
            found = [[100 * number for number in mean_interval(of(wide, n).dropna())] for n in LAYERS]
            middle = [mean for mean, _, _ in found]
            reach = [[mean - low for mean, low, _ in found], [high - mean for mean, _, high in found]]
            across = [n + 0.07 * (place - 1.5) for n in LAYERS]
            axes.errorbar(across, middle, reach, marker="os^D"[place], capsize=2, linewidth=1.5, label=SAID[name])
        axes.axhline(0, color="grey", linewidth=0.8)
        axes.set_title(title, loc="left")
        axes.set_xlabel("layer n")
    figure.axes[0].set_ylabel("points of top-1 accuracy, mean and 95% interval")
    figure.axes[0].legend(frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
