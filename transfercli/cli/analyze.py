"""transfer analyze"""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import json_option, metric_option, study_argument, study_at, study_options

if TYPE_CHECKING:
    import pandas

    from transfercli.analysis.studies import Analysis

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
    in advance, dip and boost, are among the quantities. Of several networks a first column, net, says which.

    \b
        transfer analyze
        transfer analyze --csv differences.csv
        transfer analyze --paper
        transfer analyze --json
    """
    from transfercli.analysis import lecture
    from transfercli.analysis.pairs import half_names, kinds_of_split, unequal
    from transfercli.analysis.words import half_name, half_title, kind_title, of_kind

    study, metric = study_at(folder, smoke), metric or ("best10" if paper else "last")
    found = transfercli.analyze(transfercli.published_table() if paper else study, metric)
    table, differences = found.table, found.differences
    points = differences[COLUMNS]
    if "net" in table:  # in a column of its own, where there are several
        parts = [of_kind(kind) for kind in points["splits"]]
        points = points.assign(splits=[kind for _, kind in parts])
        points.insert(0, "net", [net for net, _ in parts])
    if file:
        show.csv(points, file)
    if file == show.STDOUT:
        return
    names = half_names(table)
    if as_json:
        about = {"metric": found.metric, "answer": found.answer, "conclusions": found.conclusions}
        about |= {"amounts": found.amounts, "segments": found.segments}
        lists = {"differences": points, "networks": found.networks, "ways": found.ways, "lecture": found.lecture}
        show.document({**about, **{key: of.to_dict("records") for key, of in lists.items()}})
        return
    for sentence in found.answer:
        show.paragraph(sentence)
        click.echo()
    for kind in kinds_of_split(table):
        if (of_kind(kind)[1], "A") in names:
            show.echo(f"{kind_title(kind)}: half A is {half_name(kind, 'A', names)}, half B is {half_name(kind, 'B', names)}.")
        _print(kind, found)
        _print_ways(kind, found)
        for name, sentences in found.conclusions.items():
            of, _, target = name.partition(", target ")  # in other than random splits there is one for each target
            if of == kind:
                of_target = f", target {half_title(kind, target, names)}" if target else ""
                show.echo(f"{kind_title(kind)}{of_target}:")
                for sentence in sentences:
                    show.paragraph(sentence, "- ")
        click.echo()
    if found.amounts:
        show.echo("How much data:")
    for sentence in found.amounts:
        show.paragraph(sentence, "- ")
    if found.segments:
        show.echo("Where transferability sits:")
    for sentence in found.segments:
        show.paragraph(sentence, "- ")
    if len(found.lecture):
        show.echo("The lecture's rule of thumb:")
        for sentence in lecture.sentences(found.lecture):
            show.paragraph(sentence, "- ")
        show.paragraph(lecture.RULE)
    if networks:
        _print_networks(found.networks)
    said = {kind: found.intervals(kind) for kind in dict.fromkeys(differences["splits"])}
    alike = {of_kind(kind)[1]: text for kind, text in said.items()}  # of all of a study's networks
    if any(alike[of_kind(kind)[1]] != text for kind, text in said.items()):
        alike = {kind_title(kind): text for kind, text in said.items()}
    intervals = " ".join(f"{title}: {text}." for title, text in alike.items())
    for note in (*NOTES, *[BOUNDED] * bool(differences["low"].notna().any())) if len(differences) else ():
        show.paragraph(note.format(metric=SAID[metric], about=intervals))
    if metric != "balanced" and unequal(table):
        show.echo("Classes are unequal; with each class alike: --metric balanced")
    if file:
        show.echo(f"Differences: {file}")
    if not found.judged:
        click.echo(show.SMOKE)
    if not paper and study.recipe_file.exists() and study.row_files():
        swept = (table["treatment"] != "base").any()
        show.next_step(*(["report"] if swept else show.next_of(study)), study=study)


def _print(kind: str, analysis: "Analysis") -> None:
    """The differences of a kind of split: by layer, and the means over layers with, beside them, the unpaired ones."""
    from transfercli.analysis.contrasts import FORMULAS
    from transfercli.analysis.differences import layer_labels
    from transfercli.analysis.pairs import kinds, records
    from transfercli.analysis.words import kind_title

    table, found = analysis.table, analysis.differences[analysis.differences["splits"] == kind]
    fixed = found[found["quantity"].isin(list(FORMULAS))]
    found = found.drop(fixed.index)
    by_key = {(row["quantity"], row["layer"]): row for row in records(found)}
    quantities = list(dict.fromkeys(found["quantity"]))
    if not quantities:
        trained = {*kinds(table[table["treatment"] != "base"])}
        why = "no transfer network is done that copied a base that is" if kind in trained else "no transfer network is done yet"
        show.echo(f"{kind_title(kind)}: {why}, so there is nothing to compare.")
        return
    layers = [label for label in layer_labels(found) if label.isdigit()]
    ranges = [label for label in layer_labels(found) if not label.isdigit()]

    def cell(quantity: str, layer: str, between: str = " ") -> str:
        return show.gain(by_key[quantity, layer], between=between) if (quantity, layer) in by_key else ""

    def pairs(quantity: str) -> str:
        counts = sorted({row["n"] for (of, layer), row in by_key.items() if of == quantity and layer in layers})
        return f"{counts[0]}-{counts[-1]}" if len(counts) > 1 else f"{counts[0]}"

    show.rich_table(
        f"{kind_title(kind)}: paired differences by layer n (points)",
        ("", *(f"n={layer}" for layer in layers), "pairs"),
        [(quantity, *(cell(quantity, layer, "\n") for layer in layers), pairs(quantity)) for quantity in quantities],
    )
    if len(fixed):
        show.rich_table(
            f"{kind_title(kind)}: two contrasts fixed in advance (points)",
            ("", "", "pairs", ""),
            [(row["quantity"], show.gain(row), str(row["n"]), FORMULAS[row["quantity"]]) for row in records(fixed)],
        )
    if not ranges:
        return
    beside = {quantity: analysis.unpaired(kind, quantity) for quantity in quantities}
    show.rich_table(
        f"{kind_title(kind)}: mean over layers, as in the paper's Table 1 (points)",
        ("", *ranges, "unpaired"),
        [
            (quantity, *(cell(quantity, layer) for layer in ranges), "" if math.isnan(value) else show.points(value))
            for quantity, value in beside.items()
        ],
    )


def _print_ways(kind: str, analysis: "Analysis") -> None:
    """The ways to fine-tune the same copied layers, and what can be told of them."""
    from transfercli.analysis.pairs import records
    from transfercli.analysis.ways import named, sentences
    from transfercli.analysis.words import kind_title

    found = analysis.ways[analysis.ways["splits"] == kind]
    if found.empty:
        return
    show.rich_table(
        f"{kind_title(kind)}: ways to fine-tune, beside fine-tuning all that was copied (points)",
        ("n", "", "top-1", "gain", "multiply-adds", "layers × steps", "rate", "length", "pairs"),
        [
            (
                *(str(row["layer"]), named(row), show.accuracy(row["accuracy"])),
                show.gain({**row, "mean": row["gain"]}),
                *("" if math.isnan(row[key]) else f"{row[key]:.2f}" for key in ("cost", "steps")),
                *(row[of] + f" ({row[edge]})" * bool(row[edge]) for of, edge in (("rates", "edge"), ("lengths", "length_edge"))),
                str(row["n"]),
            )
            for row in records(found)
        ],
        keys=2,
    )
    for sentence in sentences(found).get(kind, []):
        show.paragraph(sentence, "- ")


def _print_networks(networks: "pandas.DataFrame") -> None:
    rows = []
    for row in networks.to_dict("records"):
        interval = "" if math.isnan(row["low"]) else f"{row['low']:.3f}-{row['high']:.3f}"
        gain, remark = "", "" if row["status"] == "done" else row["status"]
        if not math.isnan(row["gain"]):
            gain = f"{show.points(row['gain'])} ±{100 * row['noise']:.2f}"
            remark = remark or "noise" * (abs(row["gain"]) <= row["noise"])
        rows.append((row["split"], str(row["seed"]), row["network"], show.accuracy(row["accuracy"]), interval, gain, remark))
    show.rich_table(
        "Networks: top-1, its binomial 95% interval; gain over the base ± what the validation pictures can do (noise: less)",
        ("split", "seed", "network", "top-1", "interval", "gain (points)", ""),
        rows,
        keys=3,
    )
