"""transfer analyze"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from transfercli.cli import show
from transfercli.cli.options import json_option, metric_column, metric_option, study_argument, study_at, study_options

if TYPE_CHECKING:
    import pandas

NOTES = (
    "Every network is compared with the base of its own split, seed and target half; points of top-1 accuracy, {metric}.",
    "A pair is of a split and a target half, seeds averaged. {about}",
)
BOUNDED = (
    "± is the mean's 95% interval (Student's t; none for one pair); * where it leaves out zero, as 1 in 20 do by chance. "
    "A mean over layers has its interval over bases: all pairs with one base are one draw; none where a layer has one base."
)
COLUMNS = ["quantity", "layer", "mean", "low", "high", "n", "splits"]  # of --csv
SAID = {
    "last": "that of the last evaluation",
    "best10": "the mean of the ten best evaluations",
    "balanced": "that of the last evaluation, balanced: the mean over classes of each class's share",
}


@click.command(short_help="What the table says: paired differences with their intervals.")
@click.option("--paper", is_flag=True, help="Analyse the published study of 2014 instead.")
@click.option("--networks", is_flag=True, help="List every network too, with the binomial interval of its accuracy.")
@click.option(
    "--csv",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the differences there; - is standard output.",
)
@metric_option
@json_option
@study_options
@study_argument
def analyze(paper: bool, networks: bool, file: Path | None, metric: str | None, as_json: bool, folder: Path, smoke: bool) -> None:
    """Say how transferable each layer is: co-adaptation, specificity and what fine-tuning gains, each with its uncertainty.

    The study may also be a folder that holds a results.csv alone, as the reference studies do. --csv has the columns
    quantity, layer, mean, low, high, n and splits (the kind of split); mean, low and high are fractions. Two contrasts fixed
    in advance, dip and boost, are among the quantities.

    \b
        transfer analyze
        transfer analyze --csv differences.csv
        transfer analyze --paper
        transfer analyze --json
    """
    import pandas as pd

    from transfercli.analysis.conclusions import brief, conclude
    from transfercli.analysis.contrasts import contrasts
    from transfercli.analysis.differences import differences
    from transfercli.analysis.pairs import half_names, kinds_of_split, records, unequal
    from transfercli.analysis.published import published_table
    from transfercli.analysis.words import half_name, half_title

    study = study_at(folder, smoke)
    instead = "look at the published study: transfer analyze --paper"
    table = published_table() if paper else show.finished_table(study, "analyse", instead)
    metric = metric or ("best10" if paper else "last")
    column = metric_column(metric, table)
    found = pd.concat([differences(table, column), contrasts(table, column)], ignore_index=True)
    if file:
        show.csv(found[COLUMNS], file)
    if file == show.STDOUT:
        return
    judged = paper or not study.recipe_file.exists() or study.recipe().judged  # of a smoke run nothing is concluded
    conclusions, answer = (conclude(table, column), brief(table, column)) if judged else ({}, [])
    names = half_names(table)
    if as_json:
        about = {"metric": column, "answer": answer, "conclusions": conclusions}
        show.document({**about, "differences": records(found[COLUMNS]), "networks": _networks(table, column)})
        return
    for sentence in answer:
        show.paragraph(sentence)
        click.echo()
    for kind in kinds_of_split(table):
        if (kind, "A") in names:
            show.echo(f"{kind}: half A is {half_name(kind, 'A', names)}, half B is {half_name(kind, 'B', names)}.")
        _print(kind, found[found["splits"] == kind], table, column)
        for name, sentences in conclusions.items():
            of, _, target = name.partition(", target ")  # in other than random splits there is one for each target
            if of == kind:
                show.echo(f"{kind}, target {half_title(kind, target, names)}:" if target else f"{kind}:")
                for sentence in sentences:
                    show.paragraph(sentence, "- ")
        click.echo()
    if networks:
        _print_networks(_networks(table, column))
    intervals = " ".join(f"{kind}: {_about(of_kind, table)}." for kind, of_kind in found.groupby("splits", sort=False))
    for note in (*NOTES, *[BOUNDED] * bool(found["low"].notna().any())) if len(found) else ():
        show.paragraph(note.format(metric=SAID[metric], about=intervals))
    if metric != "balanced" and unequal(table):
        show.echo("Classes are unequal; with each class alike: --metric balanced")
    if file:
        show.echo(f"Differences: {file}")
    if not judged:
        click.echo(show.SMOKE)
    if not paper and study.recipe_file.exists() and study.row_files():
        swept = (table["treatment"] != "base").any()
        show.next_step(*(["report"] if swept else show.following(study)), study=study)


def _about(found: "pandas.DataFrame", table: "pandas.DataFrame") -> str:
    """What the intervals of a kind of split are about, or why there is none: found are its differences."""
    from transfercli.analysis.pairs import kind_of_split, sound
    from transfercli.analysis.verdicts import of_what, splits_of

    [kind] = set(found["splits"])
    if found["low"].notna().any():
        good = sound(table)
        return f"intervals are {of_what(splits_of(good[[kind_of_split(split) == kind for split in good['split']]]))}"
    if found.loc[found["layer"].str.isdigit(), "n"].max() == 1:
        return "one pair a point, so no interval"
    return "no interval, as all pairs agree" if kind == "random" else "no interval, as its two targets are different tasks"


def _print(kind: str, found: "pandas.DataFrame", table: "pandas.DataFrame", metric: str) -> None:
    """The differences of a kind of split: by layer, and the means over layers with, beside them, the unpaired ones."""
    from transfercli.analysis.contrasts import FORMULAS
    from transfercli.analysis.differences import layer_labels, unpaired
    from transfercli.analysis.pairs import kind_of_split, records

    fixed = found[found["quantity"].isin(list(FORMULAS))]
    found = found.drop(fixed.index)
    by_key = {(row["quantity"], row["layer"]): row for row in records(found)}
    quantities = list(dict.fromkeys(found["quantity"]))
    if not quantities:
        trained = {kind_of_split(split) for split in table.loc[table["treatment"] != "base", "split"]}
        why = "no transfer network is done that copied a base that is" if kind in trained else "no transfer network is done yet"
        show.echo(f"{kind}: {why}, so there is nothing to compare.")
        return
    layers = [label for label in layer_labels(found) if label.isdigit()]
    ranges = [label for label in layer_labels(found) if not label.isdigit()]

    def cell(quantity: str, layer: str, between: str = " ") -> str:
        return show.gain(by_key[quantity, layer], between=between) if (quantity, layer) in by_key else ""

    def pairs(quantity: str) -> str:
        counts = sorted({row["n"] for (of, layer), row in by_key.items() if of == quantity and layer in layers})
        return f"{counts[0]}-{counts[-1]}" if len(counts) > 1 else f"{counts[0]}"

    show.rich_table(
        f"{kind}: paired differences by layer n (points)",
        ("", *(f"n={layer}" for layer in layers), "pairs"),
        [(quantity, *(cell(quantity, layer, "\n") for layer in layers), pairs(quantity)) for quantity in quantities],
    )
    if len(fixed):
        show.rich_table(
            f"{kind}: two contrasts fixed in advance (points)",
            ("", "", "pairs", ""),
            [(row["quantity"], show.gain(row), str(row["n"]), FORMULAS[row["quantity"]]) for row in records(fixed)],
        )
    if not ranges:
        return
    beside = {quantity: unpaired(table, quantity.removesuffix("-base"), metric).get(kind) for quantity in quantities}
    show.rich_table(
        f"{kind}: mean over layers, as in the paper's Table 1 (points)",
        ("", *ranges, "unpaired"),
        [
            (quantity, *(cell(quantity, layer) for layer in ranges), "" if value is None else show.points(value))
            for quantity, value in beside.items()
        ],
    )


def _networks(table: "pandas.DataFrame", metric: str) -> list[dict[str, Any]]:
    """Each network: its accuracy with the binomial 95% interval, its gain over the base and how far the pictures' noise reaches.

    Interval, gain and noise are None where they say nothing.
    """
    from transfercli.analysis.intervals import binomial_interval, binomial_reach
    from transfercli.analysis.pairs import against_base, records, result

    keys = ["split", "seed", "network"]
    base = against_base(table, metric).set_index(keys)["base"].to_dict()
    counted = set(table.loc[result(table), keys].itertuples(index=False, name=None))
    found = []
    for row in records(table):
        name, top1, pictures = tuple(row[key] for key in keys), row[metric], row.get("val_pictures")
        about = {key: row[key] for key in (*keys, "treatment", "source", "target", "layer")} | {"accuracy": top1}
        about |= dict.fromkeys(("low", "high", "gain", "noise")) | {"status": row["status"]}
        if name in counted and pictures:
            about["low"], about["high"] = binomial_interval(top1, pictures)
            if name in base:
                about["gain"], about["noise"] = top1 - base[name], binomial_reach(top1, base[name], pictures)
        found.append(about)
    return found


def _print_networks(networks: list[dict[str, Any]]) -> None:
    rows = []
    for row in networks:
        interval = "" if row["low"] is None else f"{row['low']:.3f}-{row['high']:.3f}"
        gain, remark = "", "" if row["status"] == "done" else row["status"]
        if row["gain"] is not None:
            gain = f"{show.points(row['gain'])} ±{100 * row['noise']:.2f}"
            remark = remark or "noise" * (abs(row["gain"]) <= row["noise"])
        rows.append((row["split"], str(row["seed"]), row["network"], show.accuracy(row["accuracy"]), interval, gain, remark))
    show.rich_table(
        "Networks: top-1, its binomial 95% interval; gain over the base ± what the validation pictures can do (noise: less)",
        ("split", "seed", "network", "top-1", "interval", "gain (points)", ""),
        rows,
        keys=3,
    )
