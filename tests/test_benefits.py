"""The three benefits of transfer, against numbers worked out by hand and against what must hold for any logs."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfercli.analysis.benefits import BENEFITS, benefits, curve, each_benefit, log_names
from transfercli.analysis.displayed import drops
from transfercli.analysis.pairs import pairs
from transfercli.analysis.published import published_table

BASE = {0: 0.1, 100: 0.4, 200: 0.6, 300: 0.8, 400: 0.8}  # 90% of its end is 0.72, which it reaches at step 260


def row(network, top1, *, split="random-0", seed=0, target="B", status="done"):
    layer = 0 if network.startswith("base") else int(network[1])
    kind = "base" if not layer else ("BnB" if network[0] == target else f"{'R' if network[0] == 'R' else 'A'}nB") + network[3:]
    source = network[0] if layer else target
    place = {"split": split, "seed": seed, "network": network, "treatment": kind, "source": source, "target": target}
    return place | {"layer": layer, "top1": top1, "status": status}


def log(points):
    return pd.DataFrame({"step": list(points), "top1": list(points.values())})


def study(own, base=BASE, **more):
    """A base and one network, A3B, with these curves; their ends are in the table."""
    table = pd.DataFrame([row("baseB", [*base.values()][-1]), row("A3B", [*own.values()][-1])])
    return table.assign(**more), {"random-0/baseB": log(base), "random-0/A3B": log(own)}


def one(own, base=BASE):
    """The network's numbers: (start, slope, asymptote, reached)."""
    [found] = each_benefit(*study(own, base)).itertuples()
    return found.start, found.slope, found.asymptote, found.reached


def test_by_hand():
    # 0.72 lies a fifth of the way from 0.7 to 0.8: 120 steps, against 260.
    start, slope, asymptote, reached = one({0: 0.1, 100: 0.7, 200: 0.8, 300: 0.85, 400: 0.9})
    assert start == pytest.approx(0.3)
    assert slope == pytest.approx(1 - 120 / 260)
    assert asymptote == pytest.approx(0.1)
    assert reached


def test_a_network_that_never_gets_there_counts_with_its_whole_training():
    start, slope, asymptote, reached = one({0: 0.1, 100: 0.5, 200: 0.6, 300: 0.65, 400: 0.7})
    assert (start, slope, asymptote) == pytest.approx((0.1, 1 - 400 / 260, -0.1))
    assert not reached


def test_the_first_crossing_counts():
    _, slope, _, _ = one({0: 0.1, 100: 0.72, 200: 0.3, 300: 0.5, 400: 0.8})
    assert slope == pytest.approx(1 - 100 / 260)


def test_a_base_that_is_there_at_its_first_evaluation_is_interpolated_from_step_0():
    base = {0: 0.0, 100: 0.8, 200: 0.8}  # 0.72 at step 90
    _, slope, _, _ = one({0: 0.0, 100: 0.36, 200: 0.72}, base)
    assert slope == pytest.approx(1 - 200 / 90)


def test_without_step_0_a_curve_counts_with_its_first_evaluation():
    _, slope, _, _ = one({100: 0.8, 200: 0.8}, {100: 0.75, 200: 0.8})
    assert slope == 0


def test_a_base_that_needs_no_step_or_is_never_there_has_no_slope():
    start, slope, asymptote, _ = one({0: 0.1, 100: 0.5, 200: 0.6}, {0: 0.75, 100: 0.7, 200: 0.8})
    assert (start, asymptote) == pytest.approx((-0.2, -0.2)) and math.isnan(slope)
    table, logs = study({0: 0.1, 100: 0.5, 200: 0.9})
    [found] = each_benefit(table.assign(top1=[0.95, 0.9]), logs).itertuples()  # the base's log ends below its row
    assert math.isnan(found.slope) and found.asymptote == pytest.approx(-0.05)


def test_other_steps_than_the_bases_are_compared_by_interpolation():
    start, slope, _, _ = one({0: 0.1, 50: 0.45, 250: 0.8, 500: 0.8})
    assert start == pytest.approx(0.45 - 0.25)
    assert slope == pytest.approx(1 - (50 + 200 * (0.72 - 0.45) / 0.35) / 260)
    start, slope, _, reached = one({0: 0.1, 50: 0.45, 150: 0.8}, {100: 0.4, 200: 0.8})  # the base was not measured by step 50
    assert math.isnan(start) and slope == pytest.approx(1 - (50 + 100 * 0.27 / 0.35) / 180) and reached


def test_a_log_of_step_0_and_the_end_gives_an_asymptote_alone():
    for own, base in (({0: 0.1, 400: 0.9}, BASE), ({**BASE, 400: 0.9}, {0: 0.1, 400: 0.8}), ({400: 0.9}, {400: 0.8})):
        start, slope, asymptote, _ = one(own, base)
        assert math.isnan(start) and math.isnan(slope) and asymptote == pytest.approx(0.1)
        assert benefits(*study(own, base))[["benefit", "n"]].to_numpy().tolist() == [["asymptote", 1]]


@pytest.mark.parametrize(
    "left_out",
    [
        {"random-0/A3B": None},
        {"random-0/baseB": None},
        {"random-0/A3B": pd.DataFrame()},
        {"random-0/A3B": log({0: 0.1})},
        {"random-0/baseB": pd.DataFrame({"step": [0, 1], "loss": [1.0, 2.0]})},
        {"random-0/baseB": log({0: 0.1, 100: math.nan})},
    ],
    ids=["no log", "no log of the base", "empty", "step 0 alone", "no top-1", "no number"],
)
def test_without_a_log_that_says_something_a_network_is_left_out(left_out):
    table, logs = study({**BASE, 400: 0.9})
    assert len(benefits(table, logs)) == 3
    logs = {name: log for name, log in (logs | left_out).items() if log is not None}
    assert benefits(table, logs).empty


@pytest.mark.parametrize("status", [["done", "did not learn"], ["no better than chance", "done"]])
def test_only_networks_and_bases_that_are_done_count(status):
    assert benefits(*study({**BASE, 400: 0.9}, status=status)).empty


def test_a_network_without_a_top1_is_left_out():
    table, logs = study({**BASE, 400: 0.9})
    assert benefits(table.assign(top1=[0.8, None]), logs).empty


def test_a_table_without_rows_has_no_benefits():
    columns = ["splits", "treatment", "layer", "benefit", "mean", "low", "high", "n", "reached"]
    for table in (pd.DataFrame(), published_table()):
        found = benefits(table, {})
        assert found.empty and list(found.columns) == columns


def test_evaluations_that_are_no_numbers_are_passed_over():
    raw = pd.DataFrame({"step": [200, 0, 100, "x", 300, 200, -5], "top1": [0.1, 0.2, math.nan, 0.4, math.inf, "0.6", 0.3]})
    assert curve(raw).to_dict() == {0: 0.2, 200: 0.6}


def test_means_and_intervals_are_over_the_pairs_of_one_kind_of_split():
    rows, logs = [], {}
    gains = {("random-0", 0, "A"): 0.02, ("random-0", 1, "B"): 0.04, ("random-3", 0, "B"): 0.06, ("animals", 0, "B"): -0.1}
    for (split, seed, target), gain in gains.items():
        place = {"split": split, "seed": seed, "target": target}
        network = f"{'AB'[target == 'A']}2{target}+"
        own = {step: top1 + gain * (step > 0) for step, top1 in BASE.items()}
        rows += [row(f"base{target}", 0.8, **place), row(network, 0.8 + gain, **place)]
        folder = split if not seed else f"{split}/seed-{seed}"
        logs |= {f"{folder}/base{target}": log(BASE), f"{folder}/{network}": log(own)}
    found = benefits(pd.DataFrame(rows), logs).set_index(["splits", "benefit"])
    assert found.index.tolist() == [(kind, benefit) for kind in ("random", "animals") for benefit in BENEFITS]
    assert set(found["treatment"]) == {"AnB+"} and found["layer"].tolist() == [2] * 6 and found["layer"].dtype == int
    reach = 4.3026527 * 0.02 / math.sqrt(3)  # t for three pairs
    for benefit in ("start", "asymptote"):
        assert tuple(found.loc[("random", benefit), ["mean", "low", "high"]]) == pytest.approx((0.04, 0.04 - reach, 0.04 + reach))
    slopes = [1 - (200 + 100 * (0.12 - gain) / 0.2) / 260 for gain in (0.02, 0.04, 0.06)]
    assert found.loc[("random", "slope"), "mean"] == pytest.approx(np.mean(slopes))
    assert found.loc["random", ["n", "reached"]].to_numpy().tolist() == [[3, 3]] * 3
    assert found.loc["animals", ["n", "reached"]].to_numpy().tolist() == [[1, 1], [1, 0], [1, 1]]
    assert found.loc["animals", ["low", "high"]].isna().all(axis=None)


def test_the_asymptotes_are_the_drops_of_the_figure():
    table, logs = study({**BASE, 400: 0.83})
    assert (100 * each_benefit(table, logs)["asymptote"]).tolist() == pytest.approx(
        drops(table.assign(classes=4))["value"].tolist()
    )


def test_the_names_of_logs_are_those_of_the_folders():
    table = pd.DataFrame([row("A3B", 0.5), row("R1B", 0.5, split="animals", seed=2)])
    assert log_names(table) == ["random-0/A3B", "animals/seed-2/R1B"]
    assert log_names(pairs(pd.DataFrame())) == []


steps = st.lists(st.integers(1, 1000), min_size=2, max_size=8, unique=True).map(lambda found: [0, *sorted(found)])
top1s = st.lists(st.floats(0, 1), min_size=9, max_size=9)


@settings(max_examples=40)
@given(steps, top1s, top1s)
def test_whatever_the_curves_the_numbers_keep_their_ranges(steps, own, base):
    own, base = (dict(zip(steps, values, strict=False)) for values in (own, base))
    start, slope, asymptote, reached = one(own, base)
    first, last = steps[1], steps[-1]
    assert start == own[first] - base[first]
    assert asymptote == own[last] - base[last]
    goal = 0.9 * base[last] - 1e-9
    assert reached == (max(own.values()) >= goal)
    assert math.isnan(slope) == (base[0] >= goal)
    assert not slope > 1
    same = one(base, base)
    assert (same[0], same[2], same[3]) == (0, 0, True) and (same[1] == 0 or math.isnan(same[1]))


@settings(max_examples=40)
@given(steps, top1s, st.integers(2, 50))
def test_more_steps_between_evaluations_change_no_benefit(steps, values, times):
    """A schedule `times` as long saves the same share of its steps."""
    base = {step: (place + 1) / 10 for place, step in enumerate(steps)}
    own = dict(zip(steps, values, strict=False))
    longer = one({times * step: top1 for step, top1 in own.items()}, {times * step: top1 for step, top1 in base.items()})
    assert longer == pytest.approx(one(own, base), nan_ok=True)


def test_benefits_load_neither_torch_nor_matplotlib():
    code = "import sys, transfercli.analysis.benefits; print({'torch', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_seeds_are_averaged_within_a_split_and_target():
    """A pair got there if all its seeds did."""
    table, all_logs = [], {}
    for split, seed, end in [("random-0", 0, 0.9), ("random-0", 1, 0.7), ("random-1", 0, 1.0)]:
        own = {0: 0.1, 100: end - 0.2, 400: end}
        table += [row("baseB", 0.8, split=split, seed=seed), row("A3B", end, split=split, seed=seed)]
        folder = f"{split}/seed-{seed}" if seed else split
        all_logs |= {f"{folder}/baseB": log(BASE), f"{folder}/A3B": log(own)}
    found = benefits(pd.DataFrame(table), all_logs).set_index("benefit")
    assert found.loc["asymptote", "mean"] == pytest.approx((0.0 + 0.2) / 2)  # not (0.1 - 0.1 + 0.2) / 3
    assert set(found["n"]) == {2}
    assert found["reached"].to_dict() == {"start": 2, "slope": 1, "asymptote": 2}
