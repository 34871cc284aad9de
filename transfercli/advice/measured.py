"""What the networks of an advice study say: their rows, and what each said of each picture, as the rule takes them."""

import math
from collections.abc import Container

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from transfercli.advice.arms import FAMILIES, Way
from transfercli.advice.kept import Kept
from transfercli.analysis import advice as rule
from transfercli.plan.networks import Network, of_row
from transfercli.plan.resolve import resolve
from transfercli.plan.splits import UNDIVIDED
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training.cost import Layers, multiply_adds
from transfercli.training.finish import PREDICTIONS
from transfercli.training.measuring import Pace


def measured_networks(study: Study, kept: Kept, tried: Container[str]) -> list[tuple[Way, rule.Network]]:
    """What every network of the study's ways says of its fold, of networks of these ids."""
    found = []
    for row in study.rows():
        network, way = of_row(row), way_of(of_row(row))
        if way is None or network.seed >= kept.plan.repeats or network.name not in tried:
            continue
        loss, rate = row.get("holdout_loss"), float(dict(network.axes).get("rate", 1.0))
        found.append((way, rule.Network(way.name, rate, network.seed, math.nan if loss is None else loss)))
    return found


def predictions_of(study: Study, network: Network) -> dict[str, NDArray[np.int64]]:
    """What a network said of each picture: `val`, `val_labels`, `holdout`, `holdout_labels`. Raises TransferError."""
    path = study.folder(network) / PREDICTIONS
    try:
        told = {key: np.asarray(value, np.int64) for key, value in load_file(path).items()}
        for part in ("val", "holdout"):
            guesses, labels = told[part], told[f"{part}_labels"]
            if guesses.ndim != 1 or guesses.shape != labels.shape or len(guesses) < 2 or min(labels.min(), guesses.min()) < 0:
                raise ValueError(f"{part} is no list of classes")
            if labels.max() >= len(study.halves(UNDIVIDED).split.every):
                raise ValueError(f"{part} has classes that there are not")
        return told
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise TransferError(f"{path} is damaged ({reason}); remove its folder, and the same command trains it again") from None


def rates_so_far(study: Study, kept: Kept, tried: Container[str]) -> dict[Way, rule.Rate]:
    """The rate of each way, of the networks of these ids, by its holdouts; those of the smallest loss first.

    A way of which every rate diverged stands last, as if its lowest were the best: a lower one may learn.
    """
    known = measured_networks(study, kept, tried)
    by_name, found = {way.name: way for way, _ in known}, rule.choose_rates(one for _, one in known)
    for name in by_name.keys() - found.keys():
        rates = sorted({one.rate for way, one in known if way.name == name})
        found[name] = rule.Rate(rates[0], math.inf, "low", tuple(rates), tuple(rates))
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
