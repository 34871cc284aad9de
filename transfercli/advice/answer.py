"""What the networks of an advice study say: from their rows, and from what each said of each picture, to the answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from transfercli.advice.arms import FAMILIES, Way
from transfercli.advice.extending import gone_through
from transfercli.advice.kept import Kept
from transfercli.advice.measured import arm_of, measured_networks, predictions_of
from transfercli.analysis import advice as rule
from transfercli.analysis.advised import Shown, sentences, shown
from transfercli.networks.costs import describe
from transfercli.networks.start import blueprint
from transfercli.plan.networks import Network
from transfercli.plan.splits import UNDIVIDED
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training.cost import step_bytes

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Advice:
    """The answer, and what it was made of."""

    study: Study
    kept: Kept
    recipe: Recipe
    classes: tuple[str, ...]
    rates: dict[str, rule.Rate]  # by arm
    verdict: rule.Verdict
    shown: Shown
    sentences: list[str]
    layers: tuple[str, ...]  # names, the classifier's last
    rows: list[dict[str, Any]]  # of the chosen networks, one a repeat

    @property
    def arms(self) -> tuple[rule.Arm, ...]:
        return self.verdict.arms

    def networks(self, arm: rule.Arm) -> list[Network]:
        """The arm's networks at its rate, one a repeat."""
        way = Way(arm.family, arm.n)
        return [way.network(seed, self.rates[arm.name].rate) for seed in range(self.kept.plan.repeats)]

    def learning_rate(self, arm: rule.Arm) -> float:
        """The highest of its schedule."""
        return self.rates[arm.name].rate * self.recipe.training.schedule.rate

    @cached_property
    def logs(self) -> "dict[str, pandas.DataFrame]":
        """Each network's log, by its place in the study."""
        return self.study.logs()

    @cached_property
    def table(self) -> "pandas.DataFrame":
        """One row an arm, in the order of families and n: what it is, costs and gives. Accuracies are fractions in [0, 1]."""
        import pandas

        order = {family: place for place, family in enumerate(FAMILIES)}
        cheapest = min(arm.cost for arm in self.arms)
        return pandas.DataFrame(
            [
                {
                    "arm": arm.name,
                    "family": arm.family,
                    "frozen": arm.n,
                    "up_to": self.layers[arm.n - 1] if arm.n else "",
                    "advised": arm == self.verdict.advised,
                    "rate": self.rates[arm.name].rate,
                    "learning_rate": self.learning_rate(arm),
                    "edge": self.rates[arm.name].edge,
                    **self._accuracies(arm),
                    "cost": arm.cost / cheapest,
                    "multiply_adds": arm.cost,
                    "seconds": arm.seconds,
                    "trained": arm.trained,
                    "memory": step_bytes(self.networks(arm)[0], self.recipe, len(self.classes)),
                }
                for arm in sorted(self.arms, key=lambda arm: (order[arm.family], arm.n))
            ]
        )

    def _accuracies(self, arm: rule.Arm) -> dict[str, float]:
        measured, place = self.shown.accuracies[arm.name], self.verdict.index(arm)
        of_arm = [row for row in self.rows if row["network"].partition("@")[0] == arm.name]
        return {
            "top1": measured.mean,
            "low": measured.low,
            "high": measured.high,
            "balanced_top1": _mean(of_arm, "balanced_top1"),
            "top5": _mean(of_arm, "top5"),
            "loss": _mean(of_arm, "loss"),
            "holdout_top1": _mean(of_arm, "holdout_top1"),
            "holdout_loss": _mean(of_arm, "holdout_loss"),
            "expected_loss": float(self.verdict.expected[place]),
            "at_most": float(self.verdict.upper[place]),
        }

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Of the advised arm, all repeats: (classes, classes), validation pictures of a class by what they are taken for."""
        found = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        for network in self.networks(self.verdict.advised):
            told = predictions_of(self.study, network)
            known = told["val"] < len(self.classes)  # a network may have more outputs than there are classes
            np.add.at(found, (told["val_labels"][known], told["val"][known]), 1)
        return found

    def document(self) -> dict[str, Any]:
        """All of it for a script: see docs/json.md."""
        matrix = self.confusion
        return {
            "advice": self.sentences,
            "advised": {
                "arm": self.verdict.advised.name,
                "frozen": self.verdict.advised.n,
                "rate": self.rates[self.verdict.advised.name].rate,
                "learning_rate": self.learning_rate(self.verdict.advised),
                "steps": self.kept.plan.steps,
            },
            "as_good_as_the_best": self.verdict.as_good,
            "at_most_worse": self.verdict.bound,
            "within": self.kept.asked.within,
            "source": self.kept.asked.source,
            "source_digest": self.recipe.source.digest if self.recipe.source else None,
            "licence": self.kept.licence,
            "network": self.recipe.network.name,
            "left_out": list(self.kept.plan.left_out),
            "pictures": {"validation": self.shown.pictures, "held_out": list(self.verdict.pictures)},
            "gains": {name: vars(gain) for name, gain in self.shown.gains.items()},
            "arms": self.table.to_dict("records"),
            "classes": list(self.classes),
            "confusion": [[int(a), int(b), int(matrix[a, b])] for a, b in np.argwhere(matrix)],
        }


def answer(study: Study, kept: Kept) -> Advice:
    """The advice of a study that is trained. Raises TransferError where there is none."""
    recipe, halves = study.recipe(), study.halves(UNDIVIDED)
    known = measured_networks(study, kept, gone_through(study, kept)[0])
    ways, measured = {way for way, _ in known}, [one for _, one in known]
    rates = rule.choose_rates(measured)
    arms = [arm_of(way, recipe, kept, len(halves.split.every)) for way in ways]
    chosen = {(name, rate.rate) for name, rate in rates.items()}
    told = {
        (one.arm, one.repeat): predictions_of(study, network)
        for one, network in ((one, way.network(one.repeat, one.rate)) for way, one in known)
        if (one.arm, one.rate) in chosen
    }
    measured = [
        replace(one, right=_right(told[key], "holdout"), right_val=_right(told[key], "val"))
        for one in measured
        if (one.arm, one.rate) in chosen and (key := (one.arm, one.repeat))
    ]
    try:
        verdict = rule.judge(arms, rule.rightness(measured, rates), kept.asked.within)
        of_val = shown(verdict, rule.rightness(measured, rates, "right_val"), recipe.network.depth)
    except ValueError as error:
        raise TransferError(f"there is nothing to advise: {error}; look at {study.root / 'results.csv'}") from None
    seeds = range(kept.plan.repeats)
    networks = [Way(arm.family, arm.n).network(seed, rates[arm.name].rate) for arm in verdict.arms for seed in seeds]
    rows = [row for network in networks if (row := study.row(network)) is not None]
    base = recipe.training.schedule.rate
    learning = {name: replace(rate, rate=rate.rate * base) for name, rate in rates.items()}
    chance = max(row.get("chance", 0.0) for row in rows)
    said = sentences(verdict, of_val, learning, source_in_words(kept.asked.source), recipe.network.depth, chance)
    if kept.plan.left_out:
        said[-1] += f" Left out for the time, and what a longer run would add: {', '.join(kept.plan.left_out)}."
    described = describe(blueprint(recipe, len(halves.split.every)), recipe.pictures.crop)
    names = tuple(row["name"] for row in described)
    return Advice(study, kept, recipe, halves.split.every, rates, verdict, of_val, said, names, rows)


def _right(told: dict[str, NDArray[np.int64]], part: str) -> NDArray[np.bool_]:
    return told[part] == told[f"{part}_labels"]


def source_in_words(source: str) -> str:
    """A library's weights by their name, a file or folder by its last."""
    return source if source.startswith(("torchvision/", "timm/", "hf-hub:")) else PurePath(source).name


def _mean(rows: Sequence[dict[str, Any]], key: str) -> float:
    values = [row[key] for row in rows if row.get(key) is not None]
    return math.fsum(values) / len(values) if values else math.nan
