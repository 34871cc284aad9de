"""The intervals against printed tables, known formulas and simulation."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfercli.analysis.intervals import binomial_interval, binomial_reach, mean_interval, student_t


@pytest.mark.parametrize(
    ("freedom", "t"),
    [(1, 12.7062047), (2, 4.3026527), (3, 3.1824463), (7, 2.3646243), (30, 2.0422725), (121, 1.9797638)],
)
def test_student_t_agrees_with_the_tables(freedom, t):
    assert student_t(freedom) == pytest.approx(t, abs=5e-8)


def test_student_t_holds_other_shares():
    assert student_t(10, inside=0.9) == pytest.approx(1.8124611, abs=5e-8)


def test_mean_interval_is_students():
    mean, low, high = mean_interval(pd.Series([1.0, 2.0, 3.0, 4.0]))
    reach = 3.1824463 * math.sqrt(5 / 3) / 2  # the standard deviation of 1, 2, 3, 4 over the root of 4
    assert (mean, low, high) == (2.5, pytest.approx(2.5 - reach), pytest.approx(2.5 + reach))


def test_an_interval_over_draws_holds_the_truth_in_95_of_100_studies():
    """Gains that all layers of a base share, and some of their own; four bases, as a small study has."""
    random, inside = np.random.RandomState(0), 0
    layers, bases = pd.Series([5, 6, 7] * 4), pd.Series([0, 1, 2, 3]).repeat(3).reset_index(drop=True)
    for _ in range(1000):
        gains = random.normal(0, 0.02, (4, 1)) + random.normal(0, 0.02, (4, 3)) + [0.0, -0.1, -0.2]
        _, low, high = mean_interval(pd.Series(gains.ravel()), layers, bases)
        inside += low <= -0.1 <= high
    assert 0.93 < inside / 1000 < 0.97


def test_one_draw_and_values_that_agree_have_no_interval():
    values = pd.Series([0.1, 0.2, 0.3])
    assert all(map(math.isnan, mean_interval(values, draws=pd.Series([1, 1, 1]))[1:]))
    assert all(map(math.isnan, mean_interval(pd.Series([0.1, 0.1]))[1:]))


def test_that_layers_differ_is_no_disagreement_between_draws():
    """Two draws that agree at each layer, of which one lacks the third: nothing is known of the spread."""
    values, layers, draws = ([0.0, -0.1, -0.3, 0.0, -0.1], [1, 2, 3, 1, 2], [0, 0, 0, 1, 1])
    mean, low, high = mean_interval(*map(pd.Series, (values, layers, draws)))
    assert mean == pytest.approx(-0.4 / 3) and math.isnan(low) and math.isnan(high)
    mean, low, high = mean_interval(*map(pd.Series, ([*values, 0.1, 0.0, -0.2], [*layers, 1, 2, 3], [*draws, 2, 2, 2])))
    # The third draw lies 0.1 above the others, at layer 3 above the one there is.
    parts = pd.Series([-(0.2 / 27 + 0.05 / 6), -0.2 / 27, 0.4 / 27 + 0.05 / 6])
    reach = 4.302653 * math.sqrt(3 / 2 * (parts**2).sum())
    assert (high - low) / 2 == pytest.approx(reach)


@pytest.mark.parametrize(
    ("right", "pictures", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)],
)
def test_binomial_interval_agrees_with_newcombe_1998(right, pictures, low, high):
    """Newcombe, Statistics in Medicine 17, table I, method 3 (Wilson's score without correction)."""
    assert binomial_interval(right / pictures, pictures) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_binomial_interval_holds_its_accuracy_within_0_and_1(counts):
    right, pictures = counts
    low, high = binomial_interval(right / pictures, pictures)
    assert 0 <= low <= right / pictures + 1e-12 and right / pictures - 1e-12 <= high <= 1


def test_the_binomial_reach_holds_95_percent_of_differences_between_independent_measurements():
    random = np.random.RandomState(0)
    first, second = random.binomial(1000, 0.45, 20000) / 1000, random.binomial(1000, 0.40, 20000) / 1000
    inside = np.abs(first - second - 0.05) <= binomial_reach(0.45, 0.40, 1000)
    assert inside.mean() == pytest.approx(0.95, abs=0.005)


def test_the_binomial_reach_is_not_known_where_the_number_of_pictures_is_not():
    assert math.isnan(binomial_reach(0.5, 0.4, math.nan))
