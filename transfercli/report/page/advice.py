"""The page of an advice study: the answer and the figure that shows it, and beneath what they were made of."""

import json
from typing import Any

from markupsafe import Markup

from transfercli import __version__
from transfercli.advice.answer import Advice
from transfercli.advice.exporting import BUILD, building, whole_network
from transfercli.advice.predicting import FILE, compared
from transfercli.analysis.words import counted, listed
from transfercli.paper import called
from transfercli.plan.splits import UNDIVIDED
from transfercli.plan.tasks import WHOLE
from transfercli.recipe.reading import dump
from transfercli.report.figures import advice as figures
from transfercli.report.page import environment, provenance, text_of, uri
from transfercli.report.page.cells import Cell, Row, Table
from transfercli.report.page.words import between, percent, points
from transfercli.system.errors import plain
from transfercli.system.files import metadata

NARROW = (4.2, 3.7)  # inches, of the first figure on a phone
EDGES = {"low": "lowest tried", "high": "highest tried", "only": "no other tried"}
LOAD = """from safetensors.torch import load_file
{build}

network = build({name!r}, {arguments!r})
{crowned}network.load_state_dict(load_file({path!r}))
network.eval()
"""


def advice_html(advice: Advice) -> str:
    """The report of an advice study; the same study gives the same bytes."""
    drawn = figures.figures_of_advice(advice)
    many = len(advice.classes) > figures.MOST_CLASSES
    counts = advice.study.halves(UNDIVIDED).counts[WHOLE]
    return (
        environment({})
        .get_template("advice.html")
        .render(
            title=f"{advice.recipe.network.name} on {counted(len(advice.classes), 'class', 'classes')}",
            sentences=advice.sentences,
            first=uri(drawn.pop("accuracy-vs-frozen")),
            narrow=uri(figures.accuracy_vs_frozen(advice, *NARROW)),
            drawn={name: uri(figure) for name, figure in drawn.items() if not (many and name == "confusion")},
            ways=ways(advice),
            gains=gains(advice),
            confusions=confusions(advice) if many else None,
            asked=asked(advice),
            left_out=list(advice.kept.plan.left_out),
            predicted=compared(advice.study) if (advice.study.root / FILE).exists() else [],
            loading=loading(advice),
            classes=[plain(called(name)) for name in advice.classes],
            counts=counts,
            provenance=provenance(advice.study.table()),
            recipe_text=dump(advice.recipe),
            study_name=plain(advice.study.root.resolve().name),
            version=__version__,
            style=Markup(text_of("style.css")),
        )
    )


def ways(advice: Advice) -> Table:
    """All ways to train: a row each, the advised one shaded."""
    head = ["", "frozen", "rate", "top-1", "balanced", "cost", "seconds a step", "memory", "trained parameters", "may give away"]
    rows = []
    for row in advice.table.to_dict("records"):
        clear = "inside" if row["advised"] else ""
        cells = [
            (str(row["frozen"]), f"to {row['up_to']}" if row["up_to"] else ""),
            (f"{row['rate']:.3g}", EDGES.get(row["edge"], "")),
            (percent(row["top1"]), f"{percent(row['low'])} to {percent(row['high'])}"),
            (percent(row["balanced_top1"]), ""),
            (f"{row['cost']:.2f}", f"{row['multiply_adds']:.3g}"),
            (f"{row['seconds']:.2g}", ""),
            (f"{row['memory'] / 2**20:,.0f} MiB", ""),
            (f"{row['trained']:,}", ""),
            (f"{100 * row['at_most']:.1f}", f"expected {100 * row['expected_loss']:.1f}"),
        ]
        name = row["arm"] + " (advised)" * row["advised"]
        rows.append(Row(plain(name), [Cell(plain(text), plain(beneath), clear) for text, beneath in cells]))
    return Table(head, rows)


def gains(advice: Advice) -> Table:
    """The advised way less each that it is compared with, in points."""
    found = advice.shown.gains.items()
    return Table(["", "points"], [Row(name, [Cell(points(one.mean), between(one.low, one.high))]) for name, one in found])


def confusions(advice: Advice) -> Table:
    """The worst confusions of many classes."""
    found = figures.worst_confusions(advice)
    rows = [Row(plain(called(of)), [Cell(plain(called(taken))), Cell(percent(share))]) for of, taken, share in found]
    return Table(["class", "taken for", "of its pictures"], rows)


def asked(advice: Advice) -> list[tuple[str, str]]:
    """(what, its value): what was asked, and the plan that was fitted to it."""
    kept, recipe = advice.kept, advice.recipe
    given, plan, source = recipe.pictures, kept.plan, recipe.source
    found = {
        "source": kept.asked.source,
        "its digest": source.digest if source else "",
        "its licence": kept.licence or "not known",
        "network": recipe.network.name,
        "layers": ", ".join(f"{n} {name}" for n, name in enumerate(advice.layers, 1)),
        "input": f"{given.crop} of {given.size} pixels",
        "time": "as long as it takes" if kept.asked.minutes is None else f"{kept.asked.minutes:g} minutes",
        "may give away": f"{100 * kept.asked.within:g} points" if kept.asked.within != 0.01 else "1 point",
        "plan": f"{len(advice.arms)} ways to train, {counted(plan.rates, 'learning rate')} and {counted(plan.repeats, 'repeat')} "
        f"each, {counted(plan.steps, 'step')} of {recipe.training.batch} pictures",
        "reckoned": f"about {plan.seconds / 60:.0f} minutes",
        "set": " ".join(kept.asked.overrides),
        "measured on": f"{advice.shown.pictures:,} validation pictures; chosen by "
        f"{listed([f'{count:,}' for count in advice.verdict.pictures])} held-out pictures",
    }
    return [(what, plain(value)) for what, value in found.items() if value]


def loading(advice: Advice) -> str:
    """The lines that load the advised network, trained on all training pictures, without this package; none if it is not there.

    They run in the study's folder.
    """
    path = advice.study.folder(whole_network(advice)) / "weights.safetensors"
    if not path.exists() or (library := advice.recipe.network.library) not in BUILD:
        return ""
    builder: dict[str, Any] = json.loads(metadata(path)["about"])["builder"]
    name, within = builder["name"].partition("/")[2], path.relative_to(advice.study.root).as_posix()
    head = builder.get("head")
    crowned = f"put_head(network, **{head!r})\n" if head else ""
    build = building(library, bool(head)).strip()
    return LOAD.format(build=build, name=name, arguments=builder["arguments"], crowned=crowned, path=within)
