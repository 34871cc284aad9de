"""`transfer analyze` and `transfer compare`: what a study says, and what it says beside another."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from transfercli.analysis import comparison, differences, networks, ways
from transfercli.analysis.amounts import conclude_amounts
from transfercli.analysis.conclusions import brief, conclude
from transfercli.analysis.contrasts import contrasts
from transfercli.analysis.intervals import binomial_interval, binomial_reach
from transfercli.analysis.lecture import lecture
from transfercli.analysis.metrics import metric_column
from transfercli.analysis.pairs import against_base, is_random, kinds, kinds_of_split, records, result, sound
from transfercli.analysis.published import published_table
from transfercli.analysis.reduced import conclude_reduced
from transfercli.analysis.segments import conclude_segments
from transfercli.analysis.verdicts import of_what, splits_of
from transfercli.recipe.schema import NetworkRecipe
from transfercli.study import table as tables
from transfercli.study.best import at_best
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError


@dataclass(frozen=True)
class Analysis:
    """What a table says of each layer."""

    table: pd.DataFrame
    metric: str  # the column of the accuracy that was analysed
    differences: pd.DataFrame  # as `differences.differences` has them, and the two contrasts
    answer: list[str]  # in three sentences; none of a smoke run, of which nothing is concluded
    conclusions: dict[str, list[str]]  # by kind of split and, but for random ones, target
    judged: bool  # False of a smoke run
    ways: pd.DataFrame  # as `ways.ways` has them: none where there are not three to choose between
    lecture: pd.DataFrame  # as `lecture.lecture` has it: none of a single amount and kind of split, nor of a smoke run
    amounts: list[str]  # up to how much data transfer pays, of several amounts, and the released curve; none of a smoke run
    segments: list[str]  # what single layers give, of a study that copies some alone; none of a smoke run

    @property
    def networks(self) -> pd.DataFrame:
        """Each network: its accuracy with the binomial 95% interval, its gain over the base, how far the pictures' noise reaches.

        Interval, gain and noise are NaN where they say nothing.
        """
        keys = ["split", "seed", "network"]
        base = against_base(self.table, self.metric).set_index(keys)["base"].to_dict()
        counted = set(self.table.loc[result(self.table), keys].itertuples(index=False, name=None))
        found = []
        for row in records(self.table):
            name, top1, pictures = tuple(row[key] for key in keys), row[self.metric], row.get("val_pictures")
            about = {key: row[key] for key in (*keys, "treatment", "source", "target", "layer")} | {"accuracy": top1}
            about |= dict.fromkeys(("low", "high", "gain", "noise"), math.nan) | {"status": row["status"]}
            if name in counted and pictures:
                about["low"], about["high"] = binomial_interval(top1, pictures)
                if name in base:
                    about["gain"], about["noise"] = top1 - base[name], binomial_reach(top1, base[name], pictures)
            found.append(about)
        return pd.DataFrame(found)

    def unpaired(self, kind: str, quantity: str) -> float:
        """Beside a mean over layers, what `differences.unpaired` says of the same treatment; NaN where it says nothing."""
        return differences.unpaired(self.table, quantity.removesuffix("-base"), self.metric).get(kind, math.nan)

    def intervals(self, kind: str) -> str:
        """What the intervals of a kind of split are about, or why there is none."""
        found = self.differences[self.differences["splits"] == kind]
        if found["low"].notna().any():
            good = sound(self.table)
            return f"intervals are {of_what(splits_of(good[[of == kind for of in kinds(good)]]))}"
        if found.loc[found["layer"].str.isdigit(), "n"].max() == 1:
            return "one pair a point, so no interval"
        return "no interval, as all pairs agree" if is_random(kind) else "no interval, as its two targets are different tasks"


def analyze(study: Study | pd.DataFrame, metric: str = "last") -> Analysis:
    """Say how transferable each layer is, of a study or of a table such as `published_table()`.

    The study may be a folder that holds a results.csv alone. metric: `last`, `best10` or `balanced` (METRICS).
    Raises TransferError.
    """
    judged = True
    if isinstance(study, Study):
        table = tables.finished(study, "analyse", "look at the published study: transfer analyze --paper")
        judged = not study.recipe_file.exists() or study.recipe().judged
    else:
        table = study
    column = metric_column(metric, table)
    found = pd.concat([differences.differences(table, column), contrasts(table, column)], ignore_index=True)
    answer, conclusions = (brief(table, column), conclude(table, column)) if judged else ([], {})
    of_ways = ways.ways(table, column)
    of_amounts = [*conclude_amounts(table, column), *conclude_reduced(table, column)]
    further = [of_amounts, conclude_segments(table, column)] if judged else [[], []]
    thumb = lecture(table if judged else table[:0], column)
    return Analysis(table, column, found, answer, conclusions, judged, of_ways, thumb, *further)


@dataclass(frozen=True)
class Networks:
    """What differs between networks, and what that does."""

    differing: dict[str, dict[str, str]]  # by key of a recipe's network, what it is of each
    points: pd.DataFrame  # `networks.side_by_side`
    between: pd.DataFrame  # `networks.between`: none where the networks have other numbers of layers, or are of two studies


@dataclass(frozen=True)
class Comparison:
    """A study against another, point by point; or its networks against each other."""

    points: pd.DataFrame  # as `comparison.compare` has them, and `in_spread`: inside without the help of this study's interval
    metric: str  # the column of the accuracy that was compared
    name: str  # of the other study
    networks: Networks | None = None  # where there are several, in the study or between the two


def compare(study: Study, other: str | Path | None = None, metric: str = "last") -> Comparison:
    """Compare a study with the published one, or with the other: a study's folder or a results.csv. Raises TransferError.

    A study of several networks, where no other is named, is compared in itself: network with network.
    """
    table = tables.finished(study, "compare")
    if other is None and "net" in table:
        column = metric_column(metric, table)
        return Comparison(pd.DataFrame(), column, "", _networks(table, column, _specs(study)))
    theirs = published_table() if other is None else at_best(tables.load(Path(other)))
    if theirs.empty:
        raise TransferError(f"no network in {other} is done, so there is nothing to compare with; name another study")
    name = "the published study" if other is None else str(other)
    if other is not None:
        _refuse_other_treatments(study, Path(other))
    column = metric_column(metric, table, theirs)
    found = comparison.compare(table, theirs, column)
    if found.empty:
        here, there = kinds_of_split(table), kinds_of_split(theirs)
        if {*here} & {*there}:
            raise TransferError(f"no network in {study.root} can be compared with {name}: none trained; see: transfer status")
        kinds = f"{', '.join(here)} here, {', '.join(there)} there"
        raise TransferError(
            f"{study.root} and {name} have no point in common ({kinds}); choose studies with the same kind of split"
        )
    return Comparison(
        found.assign(in_spread=comparison.in_spread(found)), column, name, _of_two(study, table, other, theirs, column)
    )


def _networks(table: pd.DataFrame, column: str, specs: dict[str, NetworkRecipe], paired: bool = True) -> Networks:
    order = [net for net in specs if net in {*table["net"]}]
    found = networks.side_by_side(table, column)
    return Networks(networks.differing(specs), found, networks.between(table if paired else table[:0], column, order))


def _of_two(study: Study, table: pd.DataFrame, other: str | Path | None, theirs: pd.DataFrame, column: str) -> Networks | None:
    """What differs between the networks of two studies, each of one, where their recipes are there and say so."""
    if other is None or "net" in table or "net" in theirs:
        return None
    both = (_specs(study), _specs(Study(other)))
    if not all(both) or not networks.differing(specs := {str(study.root): both[0][""], str(other): both[1][""]}):
        return None
    together = pd.concat([table.assign(net=str(study.root)), theirs.assign(net=str(other))], ignore_index=True)
    return _networks(together, column, specs, paired=False)


def _refuse_other_treatments(study: Study, other: Path) -> None:
    """Raise TransferError where two studies have treatments of their own that differ and are called the same."""
    ours, theirs = study.own_treatments(), Study(other if other.is_dir() else other.parent).own_treatments()
    if differing := sorted(name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]):
        raise TransferError(f"{differing[0]} is one treatment in {study.root} and another in {other}: they cannot be compared")


def _specs(study: Study) -> dict[str, NetworkRecipe]:
    """The networks of its recipe, by `Network.net`; none where it is a table alone."""
    if not study.recipe_file.exists():
        return {}
    return {net: one.network for net, one in study.recipe().each().items()}
