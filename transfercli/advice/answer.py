"""What the networks of an advice study say: from their rows, and from what each said of each picture, to the answer."""

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from transfercli.advice.arms import FAMILIES, Way
from transfercli.advice.kept import Kept
from transfercli.analysis import advice as rule
from transfercli.analysis.advised import Shown, sentences, shown
from transfercli.networks.costs import describe
from transfercli.networks.start import blueprint
from transfercli.plan.networks import Network, of_row
from transfercli.plan.resolve import resolve
from transfercli.plan.splits import UNDIVIDED
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training.cost import Layers, multiply_adds, step_bytes
from transfercli.training.finish import PREDICTIONS
from transfercli.training.measuring import Pace

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
            told = load_file(self.study.folder(network) / PREDICTIONS)
            known = told["val"] < len(self.classes)
            np.add.at(found, (told["val_labels"][known], told["val"][known]), 1)
        return found

    def document(self) -> dict[str, Any]:
        """All of it for a script: see docs/json.md."""
        return {
            "advice": self.sentences,
            "advised": {
                "arm": self.verdict.advised.name,
                "frozen": self.verdict.advised.n,
                "rate": self.rates[self.verdict.advised.name].rate,
                "steps": self.kept.plan.steps,
            },
            "as_good_as_the_best": self.verdict.as_good,
            "at_most_worse": self.verdict.bound,
            "within": self.kept.asked.within,
            "source": self.kept.asked.source,
            "network": self.recipe.network.name,
            "left_out": list(self.kept.plan.left_out),
            "pictures": {"validation": self.shown.pictures, "held_out": list(self.verdict.pictures)},
            "gains": {name: vars(gain) for name, gain in self.shown.gains.items()},
            "arms": self.table.to_dict("records"),
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
        }


def answer(study: Study, kept: Kept) -> Advice:
    """The advice of a study that is trained. Raises TransferError where there is none yet."""
    recipe, halves = study.recipe(), study.halves(UNDIVIDED)
    ways, measured = zip(*measured_networks(study, kept), strict=True)
    rates = rule.choose_rates(measured)
    arms = [arm_of(way, recipe, kept, len(halves.split.every)) for way in {*ways}]
    try:
        verdict = rule.judge(arms, rule.rightness(measured, rates), kept.asked.within)
    except ValueError as error:
        raise TransferError(f"there is nothing to advise: {error}; look at {study.root / 'results.csv'}") from None
    of_val = shown(verdict, rule.rightness(measured, rates, "right_val"), recipe.network.depth)
    chosen = [
        Way(arm.family, arm.n).network(seed, rates[arm.name].rate) for arm in verdict.arms for seed in range(kept.plan.repeats)
    ]
    rows = [row for network in chosen if (row := study.row(network)) is not None]
    said = sentences(verdict, of_val, rates, _source_in_words(kept), recipe.network.depth, max(row["chance"] for row in rows))
    described = describe(blueprint(recipe, len(halves.split.every)), recipe.pictures.crop)
    names = tuple(row["name"] for row in described)
    return Advice(study, kept, recipe, halves.split.every, rates, verdict, of_val, said, names, rows)


def measured_networks(study: Study, kept: Kept, tried: Container[str] | None = None) -> list[tuple[Way, rule.Network]]:
    """What every network of the study's ways says, as the rule takes it; `tried`: of networks of these ids alone."""
    found = []
    for row in study.rows():
        network, way = of_row(row), way_of(of_row(row))
        if way is None or network.seed >= kept.plan.repeats or (tried is not None and network.name not in tried):
            continue
        loss, path = row.get("holdout_loss"), study.folder(network) / PREDICTIONS
        told = load_file(path) if path.exists() else {}
        right = {part: told[part] == told[f"{part}_labels"] if told else None for part in ("holdout", "val")}
        rate = float(dict(network.axes).get("rate", 1.0))
        one = rule.Network(way.name, rate, network.seed, math.nan if loss is None else loss, right["holdout"], right["val"])
        found.append((way, one))
    return found


def rates_so_far(study: Study, kept: Kept, tried: Container[str]) -> dict[Way, rule.Rate]:
    """The rate of each way, of the networks of these ids, by its holdouts; those of the smallest loss first."""
    measured = measured_networks(study, kept, tried)
    by_name, found = {way.name: way for way, _ in measured}, rule.choose_rates(one for _, one in measured)
    return {by_name[name]: found[name] for name in sorted(found, key=lambda name: (found[name].loss, name))}


def arm_of(way: Way, recipe: Recipe, kept: Kept, classes: int) -> rule.Arm:
    """The way with what it costs: of a training step of one network alone."""
    network, layers, plan = way.network(0, 1.0), Layers.of(recipe, classes), kept.plan
    learns = resolve(network, recipe.network.depth).learns
    return rule.Arm(
        way.name,
        way.family,
        way.n,
        float(recipe.training.batch * multiply_adds([network], layers)),
        Pace(plan.network_seconds, plan.multiply_add_seconds).seconds([network], recipe, classes, 1),
        sum(layers.parameters[layer - 1] for layer in learns),
    )


def way_of(network: Network) -> Way | None:
    """Which way to train a network is; None where it is none of them."""
    families = {treatment: family for family, (treatment, _) in FAMILIES.items()}
    family = families.get(network.treatment)
    return None if family is None else Way(family, network.layer)


def _source_in_words(kept: Kept) -> str:
    path = Path(kept.asked.source)
    return path.name if path.exists() else kept.asked.source


def _mean(rows: Sequence[dict[str, Any]], key: str) -> float:
    values = [row[key] for row in rows if row.get(key) is not None]
    return math.fsum(values) / len(values) if values else math.nan
