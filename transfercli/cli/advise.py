"""transfer advise"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import (
    accept_option,
    changes_option,
    device_options,
    download_option,
    json_option,
    ray_options,
    report_options,
    skip_option,
)
from transfercli.cli.progress import counting, reporting
from transfercli.system.device_names import Remote
from transfercli.system.progress import ignored

if TYPE_CHECKING:
    from transfercli.advice.answer import Advice
    from transfercli.advice.kept import Kept
    from transfercli.advice.predicting import Predictions
    from transfercli.networks.pretrained import Pretrained
    from transfercli.study.folder import Study
    from transfercli.training.reporter import Reporter

USUAL = "results/advice"


@click.command(short_help="Which layers of a pretrained network to copy, and freeze, for your pictures.")
@click.argument("places", metavar="[DIR]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    help="The pretrained network: torchvision/resnet50[@WEIGHTS], timm/NAME, hf-hub:OWNER/NAME, a file, or a network's folder.",
)
@click.option("--minutes", metavar="M", type=click.FloatRange(0, min_open=True), help="How long it may take, about.")
@click.option(
    "--repeats", metavar="N", type=click.IntRange(1), help="Holdout folds, each with fresh layers of its own; by default 3."
)
@click.option(
    "--within",
    metavar="POINTS",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    help="How many points of accuracy a cheaper way may give away; by default 1.",
)
@click.option("--fresh", is_flag=True, default=None, help="Also the ways of the study: all that is not frozen drawn anew.")
@click.option("--plan", "plan_only", is_flag=True, help="Print what would be trained, and how long that takes; train nothing.")
@click.option("--quick", is_flag=True, help="Say what can be told before training (docs/predictors.md); train nothing.")
@click.option(
    "--predictors",
    "over_studies",
    is_flag=True,
    help="In the place of DIR, advice studies that are done: whether what can be told before training beats fine-tuning all.",
)
@click.option(
    "--csv",
    "file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table of all ways there; - is standard output.",
)
@click.option(
    "--export",
    "out",
    metavar="FILE.safetensors",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Train the advised way on all training pictures and write that network there, with a script that loads it.",
)
@click.option("--keep-weights", is_flag=True, help="Keep the weights of all networks, not of the one that is handed over alone.")
@json_option
@click.option("--network", metavar="NAME", help="Of which network a file's weights are, as torchvision/resnet18.")
@changes_option
@download_option
@skip_option
@device_options
@ray_options
@accept_option
@report_options
@click.option(
    "--study",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(USUAL),
    show_default=True,
    help="Where networks, plan and answer are kept.",
)
def advise(
    places: tuple[Path, ...],
    source: str | None,
    network: str | None,
    within: float | None,
    plan_only: bool,
    quick: bool,
    over_studies: bool,
    file: Path | None,
    out: Path | None,
    keep_weights: bool,
    as_json: bool,
    overrides: tuple[str, ...],
    folder: Path,
    device: str,
    bank_size: int | None,
    accept_change: bool,
    remote: Remote | None,
    **asked: Any,
) -> None:
    """Say which layers of a pretrained network to copy, and which of them to freeze, for the pictures in DIR.

    Measured, not guessed: the network is trained on your pictures with its first n layers frozen, for each n, from scratch,
    and on random features, each at several learning rates and in several repeats, all side by side; and the cheapest way is
    advised that gives away no more than --within points. docs/advise-rule.md has the rule.

    Killed or interrupted, the same command goes on where it was. With --csv - or --json nothing else is printed to standard
    output.

    \b
        transfer advise DIR --from torchvision/resnet50
        transfer advise DIR --from mine.safetensors --network torchvision/resnet18 --minutes 10
        transfer advise --predictors results/one results/another results/third
    """
    from transfercli.study.folder import Study

    if over_studies and file:
        raise click.UsageError("--predictors writes no table of ways; its own is in --json")
    if over_studies:
        _over_targets([Study(one) for one in places or [folder]], as_json)
        return
    if len(places) > 1:
        raise click.UsageError(f"one folder of pictures is wanted, not {len(places)}")
    if network and ":" in network:
        transfercli.allow_network(network)
        network = f"python/{network}"
    if (plan_only or quick) and (file or out):
        raise click.UsageError("--plan and --quick train nothing: there is no table to write, and no network to export")
    if keep_weights:
        overrides = (*overrides, "training.keep_weights=true")
    study, within = Study(folder), None if within is None else within / 100
    if out is not None:
        from transfercli.advice.exporting import check_place

        check_place(out)
    how: dict[str, Any] = {"device": device, "bank_size": bank_size, "accept_change": accept_change, "reporting": _reporting}
    heard = Heard()
    alone = as_json or file == show.STDOUT  # nothing but the document, or the table
    found = transfercli.advise(
        study,
        next(iter(places), None),
        source,
        remote=remote,
        network=network,
        within=within,
        plan_only=plan_only,
        quick=quick,
        overrides=overrides,
        told=heard if alone else telling(study, quick),
        counting=counting,
        **asked,
        **how,
    )
    if found is None:
        if as_json:
            show.document(_before(heard))
        return
    from transfercli.advice.predicting import compared

    if file:
        show.csv(found.table, file)
    if as_json:
        show.document(found.document())
    if not alone:
        _answer(found)
        click.echo()
        for sentence in compared(study):
            show.paragraph(sentence)
    plotted, page = transfercli.plot(study), transfercli.write_report(study)
    if not alone:
        click.echo()
        show.plotted(study, plotted)
        show.reported(page)
    for path in [] if out is None else transfercli.export(found, out, **how):
        if not alone:
            show.echo(f"Network: {path}")
    if out is not None:
        transfercli.write_report(study)  # which says now how to load it


class Heard(dict[str, Any]):
    """What the library tells, where nothing is to be said meanwhile."""

    def __call__(self, what: str, found: Any) -> None:
        self[what] = found


def _before(heard: Heard) -> dict[str, Any]:
    """The plan, and what can be told before training where that was asked, as a document."""
    told = {"plan": heard["plan"].plan.model_dump(mode="json")}
    if "predictions" in heard:
        predictions = heard["predictions"]
        told["predictions"] = {"layers": predictions.table.to_dict("records"), "sentences": predictions.sentences}
    return told


def _reporting(label: str) -> AbstractContextManager["Reporter"]:
    return reporting(f"{label}, network-steps")


def telling(study: "Study", quick: bool) -> Callable[[str, Any], None]:
    """Says what the library tells while it works."""
    words: dict[str, Callable[[Any], None]] = {
        "source": _source,
        "plan": lambda kept: _plan(study, kept),
        "predictions": _predictions if quick else ignored,
    }
    usual = show.telling(study)
    return lambda what, found: words[what](found) if what in words else usual(what, found)


def _source(found: "Pretrained") -> None:
    show.echo(f"Source: {found.called}, sha256 {found.digest[:12]}, licence {found.licence or 'unknown'}")
    for note in found.notes:
        show.echo(f"Source: {note}")
    given = found.input
    assumed = f" (assumed, as the source does not say: {', '.join(found.assumed)})" if found.assumed else ""
    show.echo(f"Input: {given.size} pixels, of which {given.crop}; mean {given.mean}, std {given.std}{assumed}")


def _plan(study: "Study", kept: "Kept") -> None:
    from transfercli.advice.extending import planned

    plan, recipe = kept.plan, study.recipe()
    networks = planned(recipe, kept)
    left = sum(study.row(network) is None for network in networks)
    takes = f"about {plan.seconds * left / len(networks) / 60:.0f} minutes" if left else "all of them trained"
    show.echo(
        f"Plan: {len({network.name.partition('@')[0] for network in networks})} ways to train {recipe.network.name}, "
        f"{plan.rates} learning rate{'s' * (plan.rates > 1)} and {plan.repeats} repeat{'s' * (plan.repeats > 1)} each: "
        f"{len(networks)} networks of {plan.steps} steps, "
        f"{takes}{f' for the {left} that are left' if 0 < left < len(networks) else ''}"
    )
    if plan.left_out:
        show.echo(f"Left out for the time: {', '.join(plan.left_out)}")


def _predictions(found: "Predictions") -> None:
    click.echo()
    header = ["layer", "name", "width", "probe (95%)", "H-score", "LogME", "gradient ratio"]
    rows = [
        [
            str(row["layer"]),
            row["name"],
            str(row["width"]),
            f"{row['ridge']:.3f} ({row['ridge_low']:.3f}-{row['ridge_high']:.3f})",
            f"{row['hscore']:.3g}",
            f"{row['logme']:.3g}",
            f"{row['gradient_ratio']:.2g}",
        ]
        for row in found.table.to_dict("records")
    ]
    show.table(header, rows, "rlr", keys=2)
    click.echo()
    for sentence in found.sentences:
        show.paragraph(sentence)


def _over_targets(studies: "list[Study]", as_json: bool) -> None:
    from transfercli.advice.predicting import over_targets

    tables, sentences = over_targets(studies)
    if as_json:
        show.document({"sentences": sentences, **{name: table.to_dict("records") for name, table in tables.items()}})
        return
    for sentence in sentences:
        show.paragraph(sentence)


def _answer(found: "Advice") -> None:
    click.echo()
    for sentence in found.sentences:
        show.paragraph(sentence)
    click.echo()
    header = ["way", "frozen", "learning rate", "top-1 (95%)", "balanced", "cost", "s/step", "memory", "trained", ""]
    rows = [
        [
            row["arm"],
            f"{row['frozen']}" + f" (to {row['up_to']})" * bool(row["up_to"]),
            f"{row['learning_rate']:.3g}" + {"low": " or less", "high": " or more"}.get(row["edge"], ""),
            f"{row['top1']:.3f} ({row['low']:.3f}-{row['high']:.3f})",
            f"{row['balanced_top1']:.3f}",
            f"{row['cost']:.2f}",
            f"{row['seconds']:.2g}",
            f"{row['memory'] / 2**20:,.0f} MiB",
            f"{row['trained']:,}",
            "advised" * row["advised"],
        ]
        for row in found.table.to_dict("records")
    ]
    show.table(header, rows, "lrrrrrrrrl")
