"""How well the rule of `transfer advise` does where the truth is known: simulated studies, as docs/advise-rule.md says.

    python tests/advice_many.py                  # the tables of docs/advise-rule.md
    python tests/advice_many.py --studies 50     # a look

A picture is right where a latent value is above zero: the arm's level, the picture's difficulty, what the picture is to arms of
this depth, chance, and the noise of this training, of the arm's own and of all arms of the repeat.
"""

from dataclasses import dataclass, fields
from statistics import NormalDist

import click
import numpy as np
from numpy.typing import NDArray

from transfercli.analysis.advice import Arm, Network, Verdict, choose_rates, judge, rightness
from transfercli.analysis.advised import Shown, shown

Floats = NDArray[np.float64]
LAYERS, RATES, REPEATS = 10, 3, 3
WITHIN, DRAWS = 0.01, 2000
FOLDS = (100, 200, 300, 500, 1000)
SHAPES = ("flat", "plateau", "slope", "spike", "hard")
ARMS = (
    *(Arm(f"P{n}T.keep", "keep", n, 1 + 2 * (1 - n / (LAYERS - 1)), 0.1, 1000) for n in range(LAYERS)),
    Arm("baseT", "scratch", 0, 3.0, 0.1, 1000),
    Arm(f"R{LAYERS - 1}T", "random", LAYERS - 1, 1.0 + 1e-6, 0.1, 1000),
)
DIFFICULTY, DEPTH, CHANCE = 0.7, 0.15, 0.15  # shares of the latent variance; 12 to 16 of 100 pictures tell one arm from the next
ALIKE = 0.9  # how like what a picture is to one depth is to the next


@dataclass(frozen=True)
class Design:
    """What a study is like."""

    shape: str
    pictures: int = 300  # of a fold
    val: int = 1000
    own: float = 0.005  # how training again moves an arm, as a standard deviation of its accuracy
    common: float = 0.003  # and all arms of a repeat together
    noisier: float = 1.0  # how much more of it scratch and random have
    classes: int = 20
    arms: tuple[int, ...] = tuple(range(len(ARMS)))  # those that were trained


@dataclass(frozen=True)
class Known:
    """A simulated study and its truth."""

    truth: Floats  # (arms, rates): the accuracy on new pictures, trained again
    arms: list[Arm]
    networks: list[Network]


def accuracies(shape: str, random: np.random.RandomState, classes: int) -> Floats:
    """(arms,) at their best rates."""
    n, deepest = np.arange(LAYERS), LAYERS - 1
    if shape == "chance":
        return np.full(len(ARMS), 1 / classes)
    wiggle = random.uniform(-0.003, 0.003, LAYERS)
    if shape == "flat":
        gain = wiggle
    elif shape == "plateau":
        gain = wiggle - random.uniform(0.01, 0.04) * np.maximum(0, n - random.randint(2, deepest))
    elif shape == "slope":
        gain = wiggle - random.uniform(0.003, 0.01) * n
    elif shape == "spike":
        gain = wiggle + random.uniform(0.02, 0.05) * (n == random.randint(LAYERS))
    else:  # hard: the best in a narrow place, and the cheapest but little worse
        gain = wiggle - random.uniform(0.01, 0.03) * np.minimum(3, np.abs(n - random.randint(1, deepest - 1)))
        gain[deepest] = gain.max() - random.uniform(0.01, 0.03)
    best = random.uniform(0.6, 0.9)
    return np.append(best + gain, [best - random.uniform(0.05, 0.25), best - random.uniform(0.15, 0.4)])


def study(design: Design, random: np.random.RandomState) -> Known:
    """Draw one: three rates an arm, of which one is best and others are up to 3 points worse."""
    k = len(ARMS)
    of_rates = random.uniform(0.002, 0.03, (k, RATES))
    of_rates[np.arange(k), random.randint(RATES, size=k)] = 0
    if design.shape == "chance":
        of_rates[:] = 0
    truth = accuracies(design.shape, random, design.classes)[:, None] - of_rates
    normal = NormalDist()
    level = np.vectorize(normal.inv_cdf)(truth)
    steep = np.vectorize(normal.pdf)(level)  # points of accuracy for a step of the latent value
    own = design.own * np.array([design.noisier if arm.family in ("scratch", "random") else 1.0 for arm in ARMS])[:, None]
    spread = np.hypot(own, design.common) / steep
    drawn = own * random.standard_normal((REPEATS, k, RATES)) + design.common * random.standard_normal((REPEATS, 1, 1))
    levels = level * np.sqrt(1 + spread**2) + drawn / steep  # so that the mean over trainings is the truth
    val = _pictures(random, design.val)
    networks = []
    for repeat in range(REPEATS):
        held = levels[repeat, :, :, None] + _seen(random, _pictures(random, design.pictures))
        new = levels[repeat, :, :, None] + _seen(random, val)
        loss = np.logaddexp(0, -2 * held).mean(axis=-1)
        networks += [
            Network(arm.name, 10.0 ** (rate - 2), repeat, loss[a, rate], held[a, rate] > 0, new[a, rate] > 0)
            for a, arm in enumerate(ARMS)
            if a in design.arms
            for rate in range(RATES)
        ]
    return Known(truth[list(design.arms)], [ARMS[a] for a in design.arms], networks)


def _pictures(random: np.random.RandomState, count: int) -> Floats:
    """(arms, count): what pictures are to the arms, the same however often they are trained."""
    depth = random.standard_normal((len(ARMS), count))
    for n in range(1, LAYERS):
        depth[n] = ALIKE * depth[n - 1] + np.sqrt(1 - ALIKE**2) * depth[n]
    return np.sqrt(DIFFICULTY) * random.standard_normal(count) + np.sqrt(DEPTH) * depth


def _seen(random: np.random.RandomState, pictures: Floats) -> Floats:
    """(arms, rates, pictures): with the chance of one training."""
    return pictures[:, None] + np.sqrt(CHANCE) * random.standard_normal((len(ARMS), RATES, pictures.shape[1]))


def naive(verdict: Verdict, folds: dict[str, list[NDArray[np.bool_]]]) -> Arm:
    """The cheapest arm that the best cannot be told from: a paired t test over the folds, at 5 %."""
    means = {arm: np.array([fold.mean() for fold in folds[arm.name]]) for arm in verdict.arms}
    told = []
    for arm in verdict.arms:
        behind = means[verdict.best] - means[arm]
        error = behind.std(ddof=1) / np.sqrt(len(behind))
        if behind.mean() <= 4.303 * error:  # Student's t on two degrees of freedom
            told.append(arm)
    return min(told, key=lambda arm: arm.cost)


@dataclass(frozen=True)
class Judged:
    """What became of one simulated study; fractions."""

    bounds: bool  # whether every arm is as near to the best as its bound says, and none is excluded that beats all others
    intervals: bool  # whether every interval that is shown holds the truth
    false: bool  # whether an arm is called as good as the best that is not
    called: bool  # whether it is called so
    given: float  # how far the advised network lies below the best there was, of any arm and rate
    cost: float  # of its step, in steps of fine-tuning all
    given_highest: float  # the same of the arm of the highest mean
    cost_highest: float
    given_within: float  # of the cheapest arm whose mean lies within WITHIN of the highest, whatever the risk
    cost_within: float
    given_naive: float
    cost_naive: float
    bound: float


def judged(design: Design, studies: int, seed: int = 0) -> dict[str, Floats]:
    """By the fields of `Judged`, a number for each of so many studies."""
    random = np.random.RandomState(seed)
    every = [_judged(study(design, random), number) for number in range(studies)]
    return {field.name: np.array([getattr(one, field.name) for one in every], dtype=float) for field in fields(Judged)}


def _judged(known: Known, seed: int) -> Judged:
    rates = choose_rates(known.networks)
    folds = rightness(known.networks, rates)
    verdict = judge(known.arms, folds, WITHIN, DRAWS, seed)
    measured = shown(verdict, rightness(known.networks, rates, "right_val"), LAYERS, draws=DRAWS, seed=seed)
    column = {10.0 ** (rate - 2): rate for rate in range(RATES)}
    truth = np.array([known.truth[known.arms.index(arm), column[rates[arm.name].rate]] for arm in verdict.arms])
    behind = truth.max() - truth
    alone = (behind == 0) & ((behind == 0).sum() == 1)  # the best, if it has no equal
    advised = verdict.index(verdict.advised)
    mean = verdict.spread.mean
    near = min((arm for arm in verdict.arms if mean[verdict.index(arm)] >= mean.max() - WITHIN), key=lambda arm: arm.cost)
    picked = (verdict.advised, verdict.best, near, naive(verdict, folds))
    given = [known.truth.max() - truth[verdict.index(arm)] for arm in picked]
    cost = [arm.cost / ARMS[0].cost for arm in picked]
    return Judged(
        bounds=bool((behind <= verdict.upper + 1e-12).all() and not (verdict.excluded & alone).any()),
        intervals=_hold(measured, {arm.name: one for arm, one in zip(verdict.arms, truth, strict=True)}, verdict.advised.name),
        false=verdict.as_good and behind[advised] > WITHIN + 1e-12,
        called=verdict.as_good,
        given=given[0],
        cost=cost[0],
        given_highest=given[1],
        cost_highest=cost[1],
        given_within=given[2],
        cost_within=cost[2],
        given_naive=given[3],
        cost_naive=cost[3],
        bound=verdict.bound,
    )


def _hold(measured: Shown, truth: dict[str, float], advised: str) -> bool:
    accuracies = all(one.low <= truth[arm] <= one.high for arm, one in measured.accuracies.items())
    return accuracies and all(one.low <= truth[advised] - truth[arm] <= one.high for arm, one in measured.gains.items())


HEADER = (
    "",
    "bounds",
    "intervals",
    "rule",
    "cost",
    "highest",
    "cost",
    "within alone",
    "cost",
    "naive",
    "cost",
    "U",
    "called",
    "wrongly",
)


def line(name: str, found: dict[str, Floats]) -> str:
    """A row of the table: shares of studies that hold; mean / 95th percentile of what is given away, in points; costs."""
    cells = [name, f"{found['bounds'].mean():.3f}", f"{found['intervals'].mean():.3f}"]
    for rule in ("", "_highest", "_within", "_naive"):
        given = 100 * found[f"given{rule}"]
        cells += [f"{given.mean():.2f} / {np.quantile(given, 0.95):.2f}", f"{found[f'cost{rule}'].mean():.2f}"]
    cells += [f"{100 * np.median(found['bound']):.1f}", f"{found['called'].mean():.2f}", f"{found['false'].mean():.3f}"]
    return f"| {' | '.join(cells)} |"


def table(title: str, rows: dict[str, dict[str, Floats]]) -> None:
    click.echo(f"\n{title}\n\n| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}")
    for name, found in rows.items():
        click.echo(line(name, found))


def together(parts: list[dict[str, Floats]]) -> dict[str, Floats]:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


@click.command(help=__doc__)
@click.option(
    "--studies",
    default=400,
    show_default=True,
    type=click.IntRange(1),
    help="Of each shape and size of fold; a fifth of it elsewhere.",
)
def advice_many(studies: int) -> None:
    found = {(size, shape): judged(Design(shape, size), studies, seed) for seed, (size, shape) in enumerate(CELLS)}
    table("By shape, over all sizes of folds", {shape: together([found[size, shape] for size in FOLDS]) for shape in SHAPES})
    table(
        "By pictures of a fold, over all shapes",
        {f"{size}": together([found[size, shape] for shape in SHAPES]) for size in FOLDS},
    )
    table("All", {"all": together(list(found.values()))})
    others = {
        "no noise of training": {"own": 0.0, "common": 0.0},
        "own noise of training 1 point": {"own": 0.01},
        "own 1, common 1 point": {"own": 0.01, "common": 0.01},
        "scratch and random 3 times as noisy": {"noisier": 3.0},
        "four arms": {"arms": (0, 5, 9, 10)},
        "four arms, own noise 2 points": {"arms": (0, 5, 9, 10), "own": 0.02},
        "two arms": {"arms": (0, 9)},
        "folds of 30 pictures": {"pictures": 30},
        "200 validation pictures": {"val": 200},
        "10,000 validation pictures": {"val": 10_000},
        "10,000 validation pictures, own noise 1 point": {"val": 10_000, "own": 0.01},
    }
    broken = {
        name: together([judged(Design(shape, **changed), max(1, studies // 5), 100 + seed) for seed, shape in enumerate(SHAPES)])
        for name, changed in others.items()
    }
    table("Where something is otherwise: folds of 300 pictures, over all shapes", broken)
    table("Labels at random", {f"{size}": judged(Design("chance", size), max(1, studies // 2), 200) for size in (100, 1000)})


CELLS = [(size, shape) for size in FOLDS for shape in SHAPES]

if __name__ == "__main__":
    advice_many()
