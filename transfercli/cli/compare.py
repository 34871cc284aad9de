"""transfer compare"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import json_option, metric_option, study_at, study_options

if TYPE_CHECKING:
    import pandas

    from transfercli.analysis.studies import Networks


@click.command(short_help="This study against the published one, or another, point by point.")
@click.argument("places", metavar="[STUDY] [OTHER]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--accuracy", is_flag=True, help="Compare the accuracies too, not only the gains over the base.")
@click.option(
    "--csv",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all points there; - is standard output.",
)
@metric_option
@json_option
@study_options
def compare(
    places: tuple[Path, ...],
    accuracy: bool,
    file: Path | None,
    metric: str | None,
    as_json: bool,
    folder: Path,
    smoke: bool,
) -> None:
    """Compare the study with the published one of 2014, or with the one in OTHER (a study's folder or a results.csv).

    Where --study names the study, a single argument is OTHER.

    A point is inside when its value lies between the least and the largest of the other study's networks or pairs ("yes"),
    or would if these were widened on each side by this study's 95% interval over three pairs or more ("within ±").
    Accuracies are only comparable between studies of the same pictures and network; gains over the base less strictly so.
    A study of several networks, where no OTHER is named, is compared in itself: what differs between its networks, and how
    much co-adaptation (BnB-base) and specificity (AnB-BnB) they show, by layer, or by the share of the work that is copied.
    The published random features ran on all 1000 classes: no study's do.

    \b
        transfer compare
        transfer compare results/mine
        transfer compare results/mine results/reference/demo
    """
    folder, other = _both(places, folder)
    study = study_at(folder, smoke)
    found = transfercli.compare(study, other, metric or "last")
    points = found.points if found.name or found.networks is None else found.networks.points
    if file:
        show.csv(points.drop(columns="in_spread", errors="ignore"), file)
    if file == show.STDOUT:
        return
    if as_json:
        about = {"study": str(study.root), "other": None if other is None else str(other), "metric": found.metric}
        document: dict[str, Any] = {**about, "points": points.to_dict("records")}
        if found.networks:
            document["differing"] = found.networks.differing
            document["between"] = found.networks.between.to_dict("records")
        show.document(document)
        return
    if found.networks:
        _print_networks(found.networks)
    if not found.name:
        if file:
            show.echo(f"Points: {file}")
        return
    from transfercli.analysis.words import kind_title

    are_gains = points["quantity"].str.endswith("-base")
    for kind, of_kind in (points if accuracy else points[are_gains]).groupby("splits", sort=False):
        _print(f"{kind_title(str(kind))}: {folder if folder in places else 'this study'} against {found.name}", of_kind)
    for label, of in (("accuracies", ~are_gains), ("gains over the base", are_gains)):
        strictly, within = (points["in_spread"] & of).sum(), (points["inside"] & ~points["in_spread"] & of).sum()
        if of.any():
            show.paragraph(
                f"Of {of.sum()} {label} {strictly} lie in the other study's spread, {within} more within this study's interval."
            )
    if file:
        show.echo(f"Points: {file}")


def _both(places: tuple[Path, ...], folder: Path) -> tuple[Path, Path | None]:
    """The study and the other one, of one or two arguments; None for the published."""
    named = click.get_current_context().get_parameter_source("folder") is click.core.ParameterSource.COMMANDLINE
    here, *others = places if places and not named else (folder, *places)
    if len(others) > 1:
        raise click.UsageError(f"two studies are compared, not {len(others) + 1}; name STUDY and OTHER")
    return here, others[0] if others else None


def _print_networks(found: "Networks") -> None:
    """What differs between networks, in words and as a table; then what that does to their features."""
    from transfercli.analysis.networks import QUANTITIES
    from transfercli.analysis.pairs import kinds_of_split, records

    nets = list(dict.fromkeys(found.points["net"]))
    keys = list(found.differing)
    if keys:
        show.paragraph(f"The networks differ in {', '.join(keys[:-1])}{' and ' * (len(keys) > 1)}{keys[-1]}.")
        nets = list(found.differing[keys[0]])
        show.table(("", *nets), [(key, *of.values()) for key, of in found.differing.items()], "l")
        click.echo()
    for kind in kinds_of_split(found.points):
        of_kind = found.points[found.points["splits"] == kind]
        body = []
        for net in nets:
            for (layer, share), group in of_kind[of_kind["net"] == net].groupby(["layer", "share"], dropna=False):
                of = {row["quantity"]: show.gain(row) for row in records(group)}
                copied = "" if math.isnan(share) else f"{share:.0%}"
                body.append((net, str(layer), copied, *(of.get(quantity, "") for quantity in QUANTITIES)))
        head = ("", "n", "copied", *(f"{quantity} ({meaning})" for quantity, meaning in QUANTITIES.items()))
        show.rich_table(f"{kind}: by network and layer (points); copied: the share of a picture's multiply-adds", head, body, 3)
        pairs = found.between[found.between["splits"] == kind]
        for (net, first), group in pairs.groupby(["net", "first"], sort=False):
            rows = []
            for layer, of_layer in group.groupby("layer"):
                of = {row["quantity"]: show.gain(row) for row in records(of_layer)}
                rows.append((str(layer), *(of.get(quantity, "") for quantity in QUANTITIES), str(of_layer["n"].max())))
            show.rich_table(
                f"{kind}: {net} minus {first}, in pairs of split and target (points)", ("n", *QUANTITIES, "pairs"), rows
            )


def _print(title: str, points: "pandas.DataFrame") -> None:
    """A line for each point: accuracies as fractions, gains and differences in points."""
    from transfercli.analysis.pairs import records

    rows = []
    for point in records(points):
        form = show.points if "-" in point["quantity"] else show.accuracy
        low, high = form(point["other_low"]), form(point["other_high"])
        rows.append(
            (
                point["quantity"],
                str(point["layer"]),
                show.gain({**point, "mean": point["value"]}, form),
                form(point["other"]),
                low if low == high else f"{low} to {high}",
                show.points(point["difference"]),
                "yes" if point["in_spread"] else "within ±" if point["inside"] else "no",
            )
        )
    show.rich_table(title, ("", "n", "value", "other", "its spread", "difference", "inside"), rows, keys=2)
