"""Which networks an advice study comes to: those that it plans, and those at learning rates beyond the grid."""

import math

from transfercli.advice.arms import beyond, rates, ways
from transfercli.advice.fitting import RESERVE
from transfercli.advice.kept import Kept
from transfercli.advice.measured import arm_of, rates_so_far
from transfercli.plan.networks import Network
from transfercli.plan.splits import UNDIVIDED
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study

EXTENSIONS = 2  # times that the grid of learning rates is carried on where an optimum lies at its edge


def planned(recipe: Recipe, kept: Kept) -> list[Network]:
    """The networks that the plan begins with."""
    plan = kept.plan
    return [
        way.network(seed, rate)
        for seed in range(plan.repeats)
        for way in ways(recipe.network.depth, plan.layers, kept.asked.fresh)
        for rate in rates(way.family, plan.rates)
    ]


def gone_through(study: Study, kept: Kept) -> tuple[set[str], list[Network]]:
    """The ids of the networks that count so far, and those that are to be trained next; none at the end.

    Where a way has its best rate at the edge of those that were tried, the one beyond is tried, and perhaps another. All is gone
    through from the beginning, by what was reckoned when the plan was made and not by a clock, so that a study that
    was interrupted is the same study.
    """
    recipe, classes, plan = study.recipe(), len(study.halves(UNDIVIDED).split.every), kept.plan
    seconds = math.inf if kept.asked.minutes is None else RESERVE * 60 * kept.asked.minutes
    networks = planned(recipe, kept)
    tried = {network.name for network in networks}
    if any(study.row(network) is None for network in networks):
        return tried, networks
    for _ in range(EXTENSIONS if plan.rates > 1 else 0):
        further = list[Network]()
        for way, chosen in rates_so_far(study, kept, tried).items():
            if chosen.edge in ("low", "high"):
                more = [way.network(seed, beyond(chosen.rate, chosen.edge)) for seed in range(plan.repeats)]
                takes = len(more) * plan.steps * arm_of(way, recipe, kept, classes).seconds / min(plan.at_work, len(more))
                if takes <= seconds:
                    further += more
                    seconds -= takes
        if any(study.row(network) is None for network in further):
            return tried, further
        tried |= {network.name for network in further}
    return tried, []
