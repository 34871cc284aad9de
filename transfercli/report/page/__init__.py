"""The report: a study as one HTML page that loads nothing. The same study gives the same bytes."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import resources
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from transfercli import __version__
from transfercli.analysis import differences, lecture, networks, ways
from transfercli.analysis.amounts import conclude_amounts, gains, lengths
from transfercli.analysis.benefits import benefits
from transfercli.analysis.conclusions import brief, conclude
from transfercli.analysis.contrasts import contrasts
from transfercli.analysis.pairs import by_network, half_names, kind_of_split, kinds_of_split, learned_nothing, records, result
from transfercli.analysis.published import published_table
from transfercli.analysis.reduced import conclude_reduced
from transfercli.analysis.segments import conclude_segments
from transfercli.analysis.words import EXPLAINED, Names, counted, half_title, listed, of_kind, panel_title
from transfercli.paper import called
from transfercli.plan.treatments import TREATMENTS
from transfercli.recipe.reading import dump, find
from transfercli.recipe.schema import Recipe
from transfercli.report.appearance import CROSSES, PAPER, look
from transfercli.report.first_layer import first_layers
from transfercli.report.page import cells, charts
from transfercli.report.page.words import conclusion_title, heading
from transfercli.study import table as tables
from transfercli.study.folder import Study
from transfercli.study.splits import Halves
from transfercli.system.errors import TransferError, plain

PAPERS_RECIPE = "yosinski2014"
PROVENANCE = {
    "device": "machine",
    "precision": "precision",
    "version": "version of transfer",
    "commit": "commit",
    "torch": "torch",
    "cuda": "CUDA",
    "recipe": "recipe",
    "recipe_digest": "digest of the recipe",
    "accepted": "changes of version on the way",
}


def html(study: Study) -> str:
    """The report of a study. Raises TransferError where no network is done, or where something in the study is damaged."""
    table = tables.whole(study)
    if table.empty:
        raise TransferError(f"no network in {study.root} is done; train some: transfer train-base")
    recipe, logs = study.recipe(), study.logs()
    published, of_ways = published_beside(table), ways.ways(table)
    style, script = (text_of(name) for name in ("style.css", "script.js"))
    found, names = differences.bounded(table), half_names(table)
    treatments = [treatment for treatment in TREATMENTS if treatment in set(table["treatment"])]
    thumb = lecture.lecture(table if recipe.judged else table[:0])
    drawn = charts.everything(table, logs, published, found)
    return (
        environment(names, [plain(net) for net in by_network(table)])
        .get_template("page.html")
        .render(
            recipe=recipe,
            recipe_text=dump(recipe),
            facts=facts(table),
            scale=scale(recipe, table),
            judged=recipe.judged,  # of a smoke run nothing is concluded
            answer=brief(table) if recipe.judged else [],
            conclusions=conclude(table) if recipe.judged else {},
            drawn=pictures(table),
            charts=list(enumerate(drawn["charts"])),
            learning=list(enumerate(drawn["learning"])),
            treatments=treatments,
            failures=failures(table),
            nothing=[t for t in treatments if t in set(table.loc[learned_nothing(table), "treatment"])],
            looks={treatment: look(treatment) for treatment in treatments},
            about={t: TREATMENTS[t].about for t in treatments if t not in EXPLAINED},
            markers=charts.MARKERS,
            crosses=CROSSES,
            has_published=bool(len(published)),
            benefits=cells.benefits(benefits(table, logs)),
            differences=cells.differences(found),
            amounts=[*conclude_amounts(table), *conclude_reduced(table)] if recipe.judged else [],
            segments=conclude_segments(table) if recipe.judged else [],
            by_amount=cells.amounts(gains(table)),
            lengths=cells.lengths(lengths(table)),
            lecture=cells.lecture(thumb),
            of_lecture=lecture.sentences(thumb),
            lectures_rule=lecture.RULE,
            networks=cells.networks(networks.side_by_side(table)) if "net" in table else {},
            differing=cells.differing(differ) if (differ := differing_of(recipe)) else None,
            contrasts=cells.contrasts(contrasts(table, bound=True)),
            ways=cells.ways(of_ways),
            of_ways=ways.sentences(of_ways),
            accuracies=cells.accuracies(table),
            published=cells.published(table, published),
            kernels={plain(name): picture(pixels) for name, pixels in first_layers(study).items()},
            halves=halves([study.halves(name) for name in study.split_names()], names),
            provenance=provenance(table),
            paper=PAPER,
            study_name=plain(study.root.resolve().name),
            version=__version__,
            style=Markup(style),
            script=Markup(script),
            script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            data=Markup(as_json(drawn)),
        )
    )


def pictures(table: pd.DataFrame) -> dict[str, str]:
    """The figures that the page's script does not draw, those that the study has."""
    from transfercli.report import figures  # which takes matplotlib

    makers: dict[str, Callable[[pd.DataFrame], Any]] = {
        "amounts": figures.amounts,
        "segments": figures.segments,
        "ways-vs-cost": figures.ways_vs_cost,
    }
    drawn = {}
    for name, make in makers.items():
        with suppress(figures.NothingToDraw):
            drawn[name] = uri(make(table))
    return drawn


def uri(figure: Any) -> str:
    """A figure as a part of the page."""
    from transfercli.report.figures.writing import rendered  # which takes matplotlib

    return "data:image/svg+xml;base64," + base64.b64encode(rendered(figure, "svg", transparent=True)).decode()


def differing_of(recipe: Recipe) -> dict[str, dict[str, str]]:
    """What differs between the recipe's networks."""
    return networks.differing({net: one.network for net, one in recipe.each().items()})


def published_beside(table: pd.DataFrame) -> pd.DataFrame:
    """The published study, as far as it has the table's kinds of split."""
    kinds = {of_kind(kind)[1] for kind in kinds_of_split(table)}
    published = published_table()
    return published[[kind_of_split(split) in kinds for split in published["split"]]].reset_index(drop=True)


def facts(table: pd.DataFrame) -> str:
    """One line of what the study holds: networks, kinds of split, targets, seeds and the day of the last network."""
    splits, names = sorted(set(table["split"])), half_names(table)
    kinds = []
    for kind in dict.fromkeys(of_kind(kind)[1] for kind in kinds_of_split(table)):
        if kind == "random":
            kinds.append(counted(sum(kind_of_split(split) == kind for split in splits), "random split"))
        else:
            kinds.append(panel_title(kind, names))
    transfers = table[table["treatment"] != "base"]
    targets = sorted(set((transfers if len(transfers) else table)["target"]))
    seeds = sorted(set(table["seed"]))
    nets = f" of {listed(_values(table, 'net'))}" if "net" in table else ""
    parts = [counted(len(table), "network") + nets, listed(kinds)]
    parts.append(f"target{'s' * (len(targets) > 1)} {listed(targets)}")
    parts.append(f"seed {seeds[0]}" if len(seeds) == 1 else counted(len(seeds), "seed"))
    if finished := _values(table, "finished"):
        parts.append(f"finished {max(finished)[:10]}")
    return " · ".join(parts)


def scale(recipe: Recipe, table: pd.DataFrame) -> str:
    """How far the study is from the paper's scale; empty where its recipe is the paper's."""
    each = {one.network.name: None for one in recipe.each().values()}
    if {one.digest() for one in recipe.each().values()} == {find(PAPERS_RECIPE).digest()}:
        return ""
    classes = table.groupby(["split", "target"])["classes"].first().groupby("split").mean()
    return (
        f"Not at the paper's scale: a {listed(['Caffe reference' if name == 'caffenet' else name for name in each])} network, "
        f"halves of {listed([str(n) for n in sorted({round(n) for n in classes})])} classes, "
        f"{counted(int(table['step'].max()), 'step')} of {recipe.training.batch} pictures. "
        "The paper trained Caffe's reference network on halves of ImageNet's 1000 classes, 450,000 steps of 256."
    )


def failures(table: pd.DataFrame) -> list[tuple[str, str]]:
    """(network, status) of each that is not done, but for random features that learned nothing, which are a result."""
    failed = records(table[~result(table)])
    return [(_name(row), plain(row["status"])) for row in failed]


def halves(all_halves: Sequence[Halves], names: Names) -> list[dict[str, Any]]:
    """Each split: its name, its digest, and each half's name, counts and classes in the order of their labels."""
    return [
        {
            "name": plain(made.name),
            "digest": plain(made.digest),
            "left_out": len(made.left_out),
            "halves": [
                {
                    "half": half_title(made.name, task.name, names),
                    "counts": ", ".join(counted(made.counts[task.name][part], f"{part} picture") for part in ("train", "val")),
                    "classes": [plain(called(name)) for name in task.classes],
                }
                for task in made.split.tasks
            ],
        }
        for made in all_halves
    ]


def provenance(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """(what, its values): what made the rows, each value once, and the time that training took."""
    found = [(name, values) for column, name in PROVENANCE.items() if (values := _values(table, column))]
    if finished := _values(table, "finished"):
        found.append(("finished", [min(finished)] if min(finished) == max(finished) else [f"{min(finished)} to {max(finished)}"]))
    if "bank_seconds" in table and "bank" in table:
        banks = table.drop_duplicates(["split", "seed", "bank", "bank_seconds"])["bank_seconds"].dropna()
        if len(banks):
            found.append(("training", [f"{banks.sum():,.0f} seconds in {counted(len(banks), 'bank')} of networks"]))
    return found


def picture(pixels: np.ndarray) -> dict[str, Any]:
    """uint8 (height, width, 3) as a PNG in a data URI, with its size."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return {"uri": uri, "width": pixels.shape[1], "height": pixels.shape[0]}


def as_json(values: Any) -> str:
    """JSON that may stand in a <script> element: no `<` of a text ends it."""
    text = json.dumps(values, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _name(row: dict[str, Any]) -> str:
    seed = f" seed {row['seed']}" if row["seed"] else ""
    return plain(f"{row['split']}{seed} {row['network']}")


def _values(table: pd.DataFrame, column: str) -> list[str]:
    """A column's texts, each once, sorted; rows of other versions may lack it."""
    if column not in table:
        return []
    return sorted({plain(str(value)) for value in table[column].dropna() if value != ""})


def environment(names: Names, nets: Sequence[str] = ()) -> Environment:
    """What makes the pages of their templates. nets: what a study's networks are called, where it has several."""
    found = Environment(
        loader=FunctionLoader(text_of), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    titles = {"title_of": partial(panel_title, names=names), "conclusion_title": partial(conclusion_title, names=names)}
    found.filters.update(titles, heading=partial(heading, nets=nets), plain=plain)
    return found


def text_of(name: str) -> str:
    """A file that lies beside this module."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
