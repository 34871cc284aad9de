"""Learning rates against closed forms, against Caffe's figures, and positive at every step."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfercli.recipe.schedules import (
    SCHEDULES,
    constant,
    cosine,
    exponential,
    inverse,
    one_cycle,
    slanted_triangular,
    square_root,
    staircase,
)
from transfercli.recipe.schema import Schedule
from transfercli.system.errors import TransferError

STEPS = st.integers(1, 1_000_000)
RATES = st.floats(1e-6, 10)


def bound(**figures) -> Callable[[int, int], float]:
    """A schedule, as a recipe would write it, as a function of the step and the number of steps."""
    schedule = Schedule.model_validate(figures)
    return lambda step, steps: schedule.bind(steps)(step)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.01), (99_999, 0.01),
        (100_000, 0.001), (199_999, 0.001),
        (200_000, 1e-4), (300_000, 1e-5), (399_999, 1e-5),
        (400_000, 1e-6), (449_999, 1e-6),
    ],
)  # fmt: skip
def test_the_papers_schedule(step: int, rate: float) -> None:
    paper = bound(name="step", rate=0.01, gamma=0.1, every=100_000)
    assert paper(step, 450_000) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("schedule", "step", "rate"),
    [  # `inverse` as Caffe's LeNet example logs it; the rest by hand from Caffe's formulas
        (lambda t: constant(t, 10_000, 0.02), 9_999, 0.02),
        (lambda t: inverse(t, 10_000, 0.01, 1e-4, 0.75), 0, 0.01),
        (lambda t: inverse(t, 10_000, 0.01, 1e-4, 0.75), 100, 0.00992565),
        (lambda t: inverse(t, 10_000, 0.01, 1e-4, 0.75), 5_000, 0.00737788),
        (lambda t: inverse(t, 10_000, 0.01, 1e-4, 0.75), 9_900, 0.00596843),
        (lambda t: exponential(t, 10_000, 0.1, 0.999), 0, 0.1),
        (lambda t: exponential(t, 10_000, 0.1, 0.999), 1_000, 0.03676954),
        (lambda t: square_root(t, 10_000, 0.01), 0, 0.01),
        (lambda t: square_root(t, 10_000, 0.01), 7_500, 0.005),
        (lambda t: square_root(t, 10_000, 0.01), 9_999, 0.0001),
        (lambda t: staircase(t, 10_000, 0.5, 0.5, 3), 2, 0.5),
        (lambda t: staircase(t, 10_000, 0.5, 0.5, 3), 3, 0.25),
        (lambda t: staircase(t, 10_000, 0.5, 0.5, 3), 6, 0.125),
    ],
)
def test_caffes_figures(schedule: Callable[[int], float], step: int, rate: float) -> None:
    assert schedule(step) == pytest.approx(rate, rel=1e-6)  # as many digits as Caffe prints


@given(STEPS, RATES)
def test_cosine_without_warmup(steps: int, rate: float) -> None:
    assert cosine(0, steps, rate) == rate
    if steps % 2 == 0:
        assert cosine(steps // 2, steps, rate) == pytest.approx(rate / 2)
    last = cosine(steps - 1, steps, rate)
    assert last == pytest.approx(rate * math.sin(math.pi / (2 * steps)) ** 2, rel=1e-3)


def test_cosine_with_warmup() -> None:
    rates = [cosine(t, 100, 0.8, warmup=3) for t in range(100)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[3] == max(rates)
    assert all(a > b for a, b in pairwise(rates[3:]))
    assert cosine(0, 4, 1.0, warmup=9) == pytest.approx(0.1)  # a run shorter than its warm-up only rises


@pytest.mark.parametrize("an_epoch", [5005, 2503])  # of ImageNet's 1000 classes, and of a half, in batches of 256
def test_a_schedule_of_epochs_whatever_an_epoch_is(an_epoch: int) -> None:
    """torchvision's resnet50 (90 epochs, a tenth every 30) and vit_b_16 (300 epochs, of which 30 are a linear rise)."""
    resnet, vit = bound(name="step", rate=0.1, gamma=0.1, falls=2), bound(name="cosine", rate=0.003, peak=0.1)
    every = bound(name="step", rate=0.1, gamma=0.1, every=30 * an_epoch)
    for epoch in (0, 29, 30, 59, 60, 89):
        for step in (epoch * an_epoch, (epoch + 1) * an_epoch - 1):
            assert resnet(step, 90 * an_epoch) == every(step, 90 * an_epoch) == pytest.approx(0.1 * 0.1 ** (epoch // 30))
    warmed = bound(name="cosine", rate=0.003, warmup=30 * an_epoch)
    for step in (0, an_epoch, 30 * an_epoch - 1, 30 * an_epoch, 200 * an_epoch, 300 * an_epoch - 1):
        assert vit(step, 300 * an_epoch) == warmed(step, 300 * an_epoch)
    assert vit(30 * an_epoch, 300 * an_epoch) == 0.003


@given(STEPS, st.integers(1, 20))
def test_falls_are_evenly_spread(steps: int, falls: int) -> None:
    """Every stretch is as long as the others or a step longer, whether or not the steps divide."""
    rates = [staircase(step, min(steps, 500), 1.0, 0.5, falls=falls) for step in range(min(steps, 500))]
    lengths = [rates.count(0.5**fall) for fall in range(falls + 1)]
    assert sum(lengths) == len(rates) and max(lengths) - min(lengths) <= 1
    assert rates == sorted(rates, reverse=True)


@given(st.integers(2, 100_000), RATES, st.floats(0.01, 0.99), st.floats(0.001, 1))
def test_one_cycle_rises_to_its_rate_and_falls_towards_0(steps: int, rate: float, peak: float, start: float) -> None:
    assert one_cycle(0, steps, rate, peak, start) == pytest.approx(rate * start)
    last = one_cycle(steps - 1, steps, rate, peak, start)
    if steps - 1 >= peak * steps:
        assert last == pytest.approx(rate / (steps * (1 - peak)), rel=1e-6)
    top = math.floor(peak * steps)  # the rates around the peak lie under the two lines
    for t in (top, min(top + 1, steps - 1)):
        rise, fall = start + (1 - start) * t / (peak * steps), (steps - t) / (steps - peak * steps)
        assert one_cycle(t, steps, rate, peak, start) == pytest.approx(rate * min(rise, fall), rel=1e-6)


def test_one_cycle_by_hand() -> None:
    assert [one_cycle(t, 10, 1.0, peak=0.5, start=0.5) for t in range(10)] == pytest.approx(
        [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.8, 0.6, 0.4, 0.2]
    )
    assert one_cycle(0, 10, 1.0) == pytest.approx(0.04)
    assert one_cycle(3, 10, 1.0) == pytest.approx(1.0)


def test_slanted_triangular_is_howard_and_ruders() -> None:
    """Their formula, where the cut falls on a whole step: cut = T f, p = t / cut or 1 - (t - cut) / (cut (1 / f - 1))."""

    def theirs(t: int, steps: int, most: float, fraction: float, ratio: float) -> float:
        cut = math.floor(steps * fraction)
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / fraction - 1))
        return most * (1 + p * (ratio - 1)) / ratio

    for steps, fraction, ratio in ((1000, 0.1, 32), (40, 0.25, 10)):
        for t in range(steps):
            assert slanted_triangular(t, steps, 0.01, fraction, ratio) == pytest.approx(theirs(t, steps, 0.01, fraction, ratio))
    assert bound(name="slanted-triangular", rate=0.01)(100, 1000) == 0.01
    assert bound(name="slanted-triangular", rate=0.01)(0, 1000) == pytest.approx(0.01 / 32)
    assert bound(name="slanted-triangular", rate=0.01, ratio=4)(0, 7) == pytest.approx(0.0025)


FIGURES = st.one_of(
    st.fixed_dictionaries(
        {"name": st.just("slanted-triangular"), "rate": RATES},
        optional={"cut": st.floats(0.001, 0.999), "ratio": st.floats(1, 1e6)},
    ),
    st.fixed_dictionaries({"name": st.sampled_from(["constant", "square-root"]), "rate": RATES}),
    st.fixed_dictionaries(
        {"name": st.just("step"), "rate": RATES, "gamma": st.floats(0.05, 1), "every": st.integers(10_000, 1_000_000)}
    ),
    st.fixed_dictionaries({"name": st.just("exponential"), "rate": RATES, "gamma": st.floats(0.9999, 1)}),
    st.fixed_dictionaries({"name": st.just("inverse"), "rate": RATES, "gamma": st.floats(1e-6, 10), "power": st.floats(0.1, 3)}),
    st.fixed_dictionaries({"name": st.just("step"), "rate": RATES, "gamma": st.floats(0.05, 1), "falls": st.integers(1, 100)}),
    st.fixed_dictionaries({"name": st.just("cosine"), "rate": RATES}, optional={"warmup": st.integers(0, 1_000_000)}),
    st.fixed_dictionaries(
        {"name": st.just("cosine"), "rate": RATES, "peak": st.floats(0, 1, exclude_min=True, exclude_max=True)}
    ),
    st.fixed_dictionaries(
        {"name": st.just("one-cycle"), "rate": RATES},
        optional={"peak": st.floats(0, 1, exclude_min=True, exclude_max=True), "start": st.floats(1e-9, 1)},
    ),
)


@settings(max_examples=300)
@given(FIGURES, STEPS, st.data())
def test_every_step_has_a_positive_rate_no_greater_than_the_recipes(figures: dict, steps: int, data: st.DataObject) -> None:
    step = data.draw(st.sampled_from([0, steps - 1]) | st.integers(0, steps - 1))
    rate = bound(**figures)(step, steps)
    assert 0 < rate <= figures["rate"] * (1 + 1e-9)


def test_every_schedule_can_be_asked_for_in_a_recipe() -> None:
    assert set(SCHEDULES) == set(Schedule.model_fields["name"].annotation.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        (
            {"name": "exponential", "rate": 0.1, "gamma": 0.5},
            "schedule exponential comes to a learning rate of 0.0 at step 9999; choose a gamma nearer to 1 or fewer steps",
        ),
        (
            {"name": "step", "rate": 0.1, "gamma": 10, "every": 1},
            "schedule step comes to a learning rate of inf at step 9999; choose a gamma nearer to 1 or fewer steps",
        ),
    ],
)
def test_a_rate_that_leaves_the_numbers_is_refused(figures: dict, message: str) -> None:
    schedule = Schedule.model_validate(figures)
    with pytest.raises(TransferError) as error:
        schedule.bind(10_000)
    assert str(error.value) == message
    assert schedule.bind(100)(99) > 0  # the same figures, for a shorter run
