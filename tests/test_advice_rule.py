"""The rule of `transfer advise` by hand, and a part of advice_many.py's simulated studies; the same studies in each run."""

import math
import random as shuffling
import re
from dataclasses import replace

import numpy as np
import pytest
from advice_many import ARMS, FOLDS, LAYERS, REPEATS, SHAPES, WITHIN, Design, Floats, judged, study, together

from transfercli.analysis.advice import Arm, Network, Rate, Verdict, choose_rates, judge, rightness, with_the_best
from transfercli.analysis.advised import Shown, compared, does, sentences, shown
from transfercli.analysis.spread import Component, of_folds, of_same_pictures

TUNED = Arm("P0T.keep", "keep", 0, 3.0, 0.3, 1000)
HALF = Arm("P5T.keep", "keep", 5, 1.5, 0.2, 500)
LINEAR = Arm("P9T.keep", "keep", 9, 1.0, 0.1, 10)
SCRATCH = Arm("baseT", "scratch", 0, 3.0, 0.3, 1000)
FOUR = (TUNED, HALF, LINEAR, SCRATCH)
SURE = Rate(0.01, 1.0, "", (0.003, 0.01, 0.03), ())


def first(share: float, pictures: int) -> np.ndarray:
    """The first pictures are right: of two arms one is right of all that the other is right of."""
    return np.arange(pictures) < round(share * pictures)


def nested(shares: dict[Arm, float], pictures: int, repeats: int = 3) -> dict[str, list[np.ndarray]]:
    return {arm.name: [first(share, pictures)] * repeats for arm, share in shares.items()}


def said(verdict: Verdict, measured: Shown, rate: Rate = SURE, chance: float = 0.05) -> list[str]:
    found = sentences(verdict, measured, {arm.name: rate for arm in verdict.arms}, "resnet18", LAYERS, chance)
    assert len(found) == 3 and all(one.endswith(".") and not re.search(r"[.!?] [A-Z]", one) for one in found)
    return found


# -- rates


def trained(losses: dict[float, list[float]], arm: str = "P0T.keep") -> list[Network]:
    return [Network(arm, rate, repeat, loss) for rate, each in losses.items() for repeat, loss in enumerate(each)]


def test_a_rate_is_chosen_by_its_mean_loss_over_repeats() -> None:
    found = choose_rates(trained({0.1: [1.0, 1.0], 0.3: [0.2, 1.4], 1.0: [0.9, 0.9]}))
    assert found == {"P0T.keep": Rate(0.3, pytest.approx(0.8), "", (0.1, 0.3, 1.0), ())}
    assert choose_rates(trained({0.3: [1.0], 0.1: [1.0]}))["P0T.keep"].rate == 0.1  # of two alike


@pytest.mark.parametrize(
    ("losses", "rate", "edge", "diverged"),
    [
        ({0.1: [1.0], 0.3: [2.0], 1.0: [3.0]}, 0.1, "low", ()),
        ({0.1: [3.0], 0.3: [2.0], 1.0: [1.0]}, 1.0, "high", ()),
        ({0.1: [3.0], 0.3: [2.0], 1.0: [math.nan]}, 0.3, "", (1.0,)),  # what lies beyond was tried, and is worse
        ({0.1: [1.0]}, 0.1, "only", ()),
        ({0.1: [math.inf], 0.3: [2.0], 1.0: [3.0]}, 0.3, "", (0.1,)),
    ],
)
def test_the_edge_of_the_grid(losses: dict[float, list[float]], rate: float, edge: str, diverged: tuple[float, ...]) -> None:
    found = choose_rates(trained(losses))["P0T.keep"]
    assert (found.rate, found.edge, found.diverged) == (rate, edge, diverged)


def test_a_rate_of_which_a_repeat_diverged_or_is_missing_is_out() -> None:
    found = choose_rates(trained({0.1: [9.0, 9.0], 0.3: [0.1, math.nan], 1.0: [0.1]}))
    assert found["P0T.keep"].rate == 0.1 and found["P0T.keep"].diverged == (0.3, 1.0)
    both = trained({0.1: [1.0, 1.0]}) + trained({0.1: [1.0, math.nan]}, "P5T.keep")
    assert list(choose_rates(both)) == ["P0T.keep"]


def test_which_pictures_were_right_at_the_chosen_rate_in_the_order_of_repeats() -> None:
    networks = [
        Network("P0T.keep", rate, repeat, rate, np.array([repeat == 1, rate == 2.0])) for repeat in (1, 0) for rate in (1.0, 2.0)
    ]
    found = rightness(networks, choose_rates(networks))
    assert [one.tolist() for one in found["P0T.keep"]] == [[False, False], [True, False]]
    with pytest.raises(ValueError, match=r"P0T.keep, repeat 0: it is not said which pictures were right"):
        rightness(networks, choose_rates(networks), "right_val")


# -- the spread


def test_pictures_are_paired() -> None:
    """Of ten pictures a is right of six and b of four of those: they differ on two, and the common rest does not count."""
    folds = [np.stack([first(0.6, 10), first(0.4, 10)])] * 2
    found = of_folds(folds)
    assert found.mean.tolist() == pytest.approx([0.6, 0.4])
    apart = 10 * (0.2 - 0.2**2) / 9 / 10 / 2  # of a fold over two folds
    assert found.apart[0, 1] ** 2 == pytest.approx(apart + 1 / 20**2)
    assert found.own.found == 0 and found.own.variance == 0  # folds agree more than pictures explain


def test_arms_that_never_disagree_may_on_the_next_picture() -> None:
    found = of_folds([np.stack([first(0.6, 10), first(0.6, 10)])] * 2)
    assert found.apart[0, 1] == pytest.approx(1 / 20)
    assert with_the_best(found, found.drawn(np.random.RandomState(0), 4000)[0])[0] == pytest.approx(1.645 / 20, rel=0.05)


def test_a_variance_of_repeats_with_few_degrees_of_freedom_is_drawn_as_student_has_it() -> None:
    """With no pictures in it, an error is t-distributed: on 4 degrees of freedom 95 % lie within 2.776."""
    part = Component(found=0.0004, known=0.0, freedom=4)
    random = np.random.RandomState(0)
    errors = np.sqrt(part.drawn(random, 200_000)) * random.standard_normal(200_000)
    assert np.quantile(np.abs(errors), 0.95) == pytest.approx(2.776 * 0.02, rel=0.02)
    assert (Component(0.0001, 0.1, 4).drawn(random, 100) == 0).all()  # pictures explain it many times over
    assert (Component().drawn(random, 3) == 0).all()


@pytest.mark.parametrize("same", [True, False], ids=["the same pictures", "folds"])
def test_errors_are_as_large_as_they_are_said_to_be(same: bool) -> None:
    """The spread of the means of many simulated measurements, against what each of them says of itself."""
    random = np.random.RandomState(0)
    k, repeats, pictures, own, common = 4, 3, 200, 0.02, 0.01
    means, alone, apart = [], [], []
    for _ in range(800):
        difficulty = random.uniform(0.3, 0.9, pictures)
        levels = own * random.standard_normal((repeats, k, 1)) + common * random.standard_normal((repeats, 1, 1))
        each = [difficulty if same else random.uniform(0.3, 0.9, pictures) for _ in range(repeats)]
        # What a picture is to an arm is the same after each training only in part.
        right = [random.uniform(0, 1, (k, pictures)) < one + level for one, level in zip(each, levels, strict=True)]
        found = (of_same_pictures if same else of_folds)(right)
        means.append(found.mean)
        alone.append((found.alone**2).mean())
        apart.append(found.apart[0, 1] ** 2)
    every = np.array(means)
    # A variance is never below 0, so what repeats are found to add is a little too much on average.
    assert 1 <= np.mean(alone) / every.var(axis=0).mean() <= 1.3
    assert 1 <= np.mean(apart) / (every[:, 0] - every[:, 1]).var() <= 1.3


def test_a_fold_of_one_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than two"):
        of_folds([np.ones((2, 1), dtype=bool)])
    with pytest.raises(ValueError, match="fewer than two"):
        of_same_pictures([np.ones((2, 1), dtype=bool)])


# -- the rule


def test_the_cheapest_within_the_margin_is_advised() -> None:
    shares = {TUNED: 0.81, HALF: 0.80, LINEAR: 0.79, SCRATCH: 0.5}
    verdict = judge(FOUR, nested(shares, 10_000))
    assert (verdict.advised, verdict.best) == (HALF, TUNED)  # 0.81 - 0.80 is 0.01 and a little more in binary
    assert judge(FOUR, nested(shares, 10_000), within=0.02).advised == LINEAR
    assert judge(FOUR, nested(shares, 10_000), within=0).advised == TUNED
    assert not verdict.as_good and 0.01 < verdict.bound < 0.013
    assert verdict.upper[verdict.index(SCRATCH)] == pytest.approx(0.31, abs=0.01)
    assert [arm.name for arm, out in zip(verdict.arms, verdict.excluded, strict=True) if out] == [
        HALF.name,
        LINEAR.name,
        SCRATCH.name,
    ]


def test_the_expected_loss_less_the_smallest_is_the_distance_of_the_means() -> None:
    """So the covariance tells nothing of which arms are expected to give away at most so much; the risk does."""
    known = study(Design("spike", 100, val=10), np.random.RandomState(1))
    verdict = judge(ARMS, rightness(known.networks, choose_rates(known.networks)), draws=20_000)
    gaps = verdict.spread.mean.max() - verdict.spread.mean
    assert verdict.expected - verdict.expected.min() == pytest.approx(gaps, abs=1e-3)
    assert verdict.expected.min() > 0.01  # nobody knows which is the best


def test_a_cheap_arm_that_may_well_be_far_below_is_not_advised() -> None:
    """Its mean is alike, but on 60 pictures the two disagree on every third."""
    random = np.random.RandomState(0)
    folds = {TUNED.name: [first(0.8, 60)] * 3, LINEAR.name: [random.permutation(first(0.8, 60)) for _ in range(3)]}
    folds[TUNED.name] = [first(0.81, 60)] * 3
    verdict = judge(FOUR, folds)
    assert verdict.spread.mean.max() - verdict.spread.mean.min() < 0.02
    assert judge(FOUR, folds, within=0.02).advised == TUNED
    assert verdict.risk[verdict.index(LINEAR)] > 0.05 and verdict.risk[verdict.index(TUNED)] == 0
    assert judge(FOUR, folds, within=0.1).advised == LINEAR


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ValueError, match="no arm has a learning rate at which all its repeats were trained to the end"):
        judge(FOUR, {})
    with pytest.raises(ValueError, match="different folds"):
        judge(FOUR, {TUNED.name: [first(0.5, 10)] * 3, HALF.name: [first(0.5, 12)] * 3})


def test_the_order_of_arms_and_networks_changes_nothing_and_the_words_come_again() -> None:
    known = study(Design("hard", 100, val=200), np.random.RandomState(3))
    answers = []
    for seed in range(4):
        arms, networks = list(ARMS), list(known.networks)
        if seed:
            shuffling.Random(seed).shuffle(arms)
            shuffling.Random(seed).shuffle(networks)
        rates = choose_rates(networks)
        verdict = judge(arms, rightness(networks, rates))
        measured = shown(verdict, rightness(networks, rates, "right_val"), LAYERS)
        words = sentences(verdict, measured, rates, "resnet18", LAYERS, 0.05)
        arrays = (verdict.spread.mean, verdict.spread.pictures, verdict.expected, verdict.risk, verdict.upper)
        answers.append((rates, verdict.advised, verdict.best, [array.tobytes() for array in arrays], measured, words))
    assert all(answer == answers[0] for answer in answers)


# -- the three sentences


def test_as_good_as_the_best() -> None:
    shares = {TUNED: 0.905, HALF: 0.905, LINEAR: 0.8, SCRATCH: 0.5}
    verdict = judge(FOUR, nested(shares, 1000))
    measured = shown(verdict, nested(shares, 1000), LAYERS)
    do, gives, costs = said(verdict, measured)
    assert do == (
        "Copy all layers but the classifier from resnet18, freeze the first 5 layers of 10 and train the rest, "
        "at learning rate 0.01 (P5T.keep)."
    )
    assert re.fullmatch(
        r"On 1,000 validation pictures, which chose nothing, it is right of 90.5% \(8\d.\d to 9\d.\d\); by the 3,000 held-out "
        r"pictures it is as good as the best of 4, within 1 point; 95% intervals, about new pictures like these, and training "
        r"again on this set.",
        gives,
    )
    assert re.fullmatch(
        r"A step takes 0.50 times the multiply-adds \(0.67 times the seconds\) of fine-tuning all layers for \+0.0 points "
        r"\(−0.\d to \+0.\d\), 1.50 \(2.00\) of the linear classifier for \+10.5 points \(\+\d.\d to \+1\d.\d\), "
        r"0.50 \(0.67\) of training from scratch for \+40.5 points \(.*\), and trains 500 parameters.",
        costs,
    )


def test_at_most_so_much_worse() -> None:
    shares = {TUNED: 0.9, HALF: 0.9, LINEAR: 0.8, SCRATCH: 0.5}
    verdict = judge(FOUR, nested(shares, 50))
    worse = re.search(
        r"it is at most (\d+\.\d) points worse than the best of 4 \(these pictures cannot tell more\)",
        said(verdict, shown(verdict, nested(shares, 50), LAYERS))[1],
    )
    assert worse and verdict.bound <= float(worse[1]) / 100 <= verdict.bound + 0.001  # rounded upwards


def test_too_few_pictures_for_any_conclusion() -> None:
    random = np.random.RandomState(0)
    folds = {arm.name: [random.uniform(0, 1, 8) < 0.8 for _ in range(3)] for arm in FOUR}
    verdict = judge(FOUR, folds)
    assert not verdict.tells
    do, gives, _ = said(verdict, shown(verdict, nested(dict.fromkeys(FOUR, 0.8), 20), LAYERS))
    assert do.startswith(
        "24 held-out pictures are too few for any conclusion, as each of the 4 ways to train may be the best; until"
    )
    assert re.search(r"it is right of 80.0% \(\d\d.\d to \d\d.\d\), which is too wide for any conclusion;", gives)


@pytest.mark.parametrize(
    ("edge", "words"),
    [
        ("low", "; its rate is the lowest that was tried, and a lower one may be better."),
        ("high", "; its rate is the highest that was tried, and a higher one may be better."),
        ("only", "; no other rate was tried."),
    ],
)
def test_a_rate_at_the_edge_is_said(edge: str, words: str) -> None:
    shares = {TUNED: 0.9, HALF: 0.8}
    verdict = judge(FOUR, nested(shares, 500))
    rate = replace(SURE, edge=edge)
    assert said(verdict, shown(verdict, nested(shares, 500), LAYERS), rate)[0].endswith(f"(P0T.keep){words}")


def test_one_repeat_one_arm_and_one_left_out() -> None:
    shares = {HALF: 0.9}
    verdict = judge(FOUR[:2], nested(shares, 100, repeats=1))
    measured = shown(verdict, nested(shares, 100, repeats=1), LAYERS)
    _, gives, costs = said(verdict, measured)
    assert "nothing was trained to the end that it could be compared with" in gives
    assert gives.endswith("about new pictures like these alone, as one repeat does not tell what training again would change.")
    assert costs.endswith("; left out, as no rate trained all repeats to the end: P0T.keep.")
    assert verdict.bound == 0 and verdict.spread.own.freedom == 0


def test_few_comparisons() -> None:
    shares = {TUNED: 0.8, HALF: 0.9, LINEAR: 0.7, SCRATCH: 0.5}
    by_role = compared(judge(FOUR, nested(shares, 1000)), LAYERS)
    assert by_role == {"fine-tuning all layers": TUNED, "the linear classifier": LINEAR, "training from scratch": SCRATCH}
    best = Arm("P3T.keep", "keep", 3, 2.0, 0.2, 700)
    verdict = judge((*FOUR, best), nested({**shares, best: 0.905}, 10_000))
    assert verdict.advised == HALF and compared(verdict, LAYERS)["the most accurate on the folds"] == best
    costs = said(verdict, shown(verdict, nested({**shares, best: 0.905}, 10_000), LAYERS))[2]
    assert " of the most accurate on the folds, P3T.keep, for −0.5 points (" in costs


@pytest.mark.parametrize(
    ("family", "n", "words"),
    [
        ("keep", 0, "copy all layers but the classifier from W and train them all"),
        ("keep", 1, "copy all layers but the classifier from W, freeze the first layer of 10 and train the rest"),
        ("keep", 9, "copy all layers but the classifier from W, freeze them and train the classifier alone"),
        ("fresh", 3, "copy the first 3 layers of 10 from W, freeze them and train the rest, drawn anew"),
        ("fresh", 9, "copy all layers but the classifier from W, freeze them and train the classifier alone"),
        ("scratch", 0, "train from scratch and copy nothing"),
        ("random", 2, "copy nothing, leave the first 2 layers of 10 at random values and train the rest"),
    ],
)
def test_what_to_do(family: str, n: int, words: str) -> None:
    assert does(replace(TUNED, family=family, n=n), "W", LAYERS) == words


# -- labels at random


def test_with_permuted_labels_all_are_at_chance_and_nothing_is_claimed() -> None:
    """Networks that agree on most pictures, of labels that were permuted: 20 classes."""
    classes, held, chance = 20, 400, 1 / 20
    wrong = 0
    for seed in range(25):
        random = np.random.RandomState(seed)

        def pictures(count: int, random: np.random.RandomState = random) -> tuple[np.ndarray, np.ndarray]:
            """What most networks take them for, and labels."""
            return random.randint(classes, size=count), random.permutation(np.arange(count) % classes)

        def right(likely: np.ndarray, labels: np.ndarray, random: np.random.RandomState = random) -> dict[str, np.ndarray]:
            agree = {arm.name: random.uniform(size=len(labels)) < 0.7 for arm in ARMS}
            return {
                name: np.where(one, likely, random.randint(classes, size=len(labels))) == labels for name, one in agree.items()
            }

        folds = [right(*pictures(held)) for _ in range(REPEATS)]
        of_val = pictures(1000)
        val = [right(*of_val) for _ in range(REPEATS)]
        verdict = judge(ARMS, {arm.name: [fold[arm.name] for fold in folds] for arm in ARMS}, draws=2000)
        measured = shown(verdict, {arm.name: [one[arm.name] for one in val] for arm in ARMS}, LAYERS, draws=2000)
        sound = all(one.low <= chance <= one.high for one in measured.accuracies.values())
        sound &= all(one.low <= 0 <= one.high for one in measured.gains.values())
        wrong += not sound
        if sound:
            do, gives, _ = said(verdict, measured, chance=chance)
            assert do.startswith(
                "Nothing here is worth doing yet, as none of the 12 ways to train is clearly better than guessing"
            )
            assert ", not clearly more than by guessing (5.0%)" in gives
    assert wrong <= 2


# -- known truth


def held_and_given(found: dict[str, Floats]) -> tuple[float, float, float, float]:
    return found["bounds"].mean(), found["intervals"].mean(), found["given"].mean(), float(np.quantile(found["given"], 0.95))


def test_bounds_hold_and_little_is_given_away() -> None:
    found = together([judged(Design(shape, 300), 50, seed) for seed, shape in enumerate(SHAPES)])
    bounds, intervals, mean, far = held_and_given(found)
    assert bounds >= 0.93 and intervals >= 0.93 and found["false"].mean() <= 0.05
    assert far <= 2 * WITHIN and mean <= 0.005 and found["given_naive"].mean() >= 4 * mean
    assert found["cost"].mean() <= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("size", FOLDS)
def test_all_shapes_at_all_sizes_of_folds(size: int) -> None:
    parts = {shape: judged(Design(shape, size), 100, seed) for seed, shape in enumerate(SHAPES)}
    for found in parts.values():
        assert found["bounds"].mean() >= 0.93 and found["intervals"].mean() >= 0.91 and found["false"].mean() <= 0.05
    bounds, intervals, mean, far = held_and_given(together(list(parts.values())))
    assert bounds >= 0.95 and intervals >= 0.93
    # Of 100 pictures a fold the arm of the highest mean itself is too often too low: no rule can know better.
    best = np.quantile(together(list(parts.values()))["given_highest"], 0.95)
    assert far <= max(2 * WITHIN, 1.02 * best)
    assert mean <= 0.008


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [{"own": 0.0, "common": 0.0}, {"own": 0.01, "common": 0.01}, {"noisier": 3.0}, {"pictures": 30}, {"val": 200}],
    ids=["no noise", "much noise", "unequal noise", "small folds", "few validation pictures"],
)
def test_bounds_hold_where_something_is_otherwise(changed: dict) -> None:
    found = together([judged(Design(shape, **changed), 60, 10 + seed) for seed, shape in enumerate(SHAPES)])
    assert found["bounds"].mean() >= 0.93 and found["intervals"].mean() >= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("size", [100, 1000])
def test_bounds_hold_at_chance(size: int) -> None:
    found = judged(Design("chance", size), 200, 20)
    assert found["bounds"].mean() >= 0.93 and found["intervals"].mean() >= 0.93 and not found["false"].any()
