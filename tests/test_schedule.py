"""The schedule of several devices: each network once, after its base; and the devices have work to the end."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfercli.plan.jobs import Job
from transfercli.plan.networks import Network, base, bases, named, transfers, varied
from transfercli.plan.schedule import Timeline, next_job, simulate
from transfercli.plan.treatments import USUAL
from transfercli.recipe import reading as recipes
from transfercli.training import cost

SWEEPS = st.fixed_dictionaries(
    {
        "splits": st.lists(st.sampled_from(["random-0", "random-1", "man-made-natural"]), min_size=1, max_size=2, unique=True),
        "seeds": st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True),
        "targets": st.lists(st.sampled_from("AB"), min_size=1, unique=True),
        "layers": st.lists(st.integers(1, 7), min_size=1, max_size=3, unique=True),
        "treatments": st.lists(st.sampled_from(USUAL), min_size=1, unique=True),
    }
)
DEVICES = st.integers(1, 40)
SHARED = 0.3  # of a network's time, once for all of a bank that are of its treatment


def network(text: str) -> Network:
    return named("random-0", 0, text)


def takes(bank: Sequence[Network]) -> float:
    """Stands in for `cost.multiply_adds`: what is frozen higher up is shorter, and a treatment shares something."""
    return SHARED * len({one.treatment for one in bank}) + sum(
        1 - one.layer / 10 * (not one.rule.name.endswith("+")) for one in bank
    )


def alike(bank: Sequence[Network]) -> float:
    return float(len(bank))


def planned(sweep: dict, axes: dict | None = None) -> list[Network]:
    networks = transfers(**sweep)
    return [*bases(sweep["splits"], sweep["seeds"]), *networks, *(varied(one, **axes) for one in networks if axes)]


def begun_and_ended(line: Timeline) -> tuple[dict[Network, float], dict[Network, float]]:
    by_network = [(one, run) for run in line.runs for one in run.job.networks]
    return {one: run.start for one, run in by_network}, {one: run.end for one, run in by_network}


@settings(deadline=None, max_examples=60)
@given(SWEEPS, DEVICES, st.integers(1, 9), st.sampled_from([None, {"length": 0.5}, {"rate": 0.1}, {"per": 5}]))
def test_every_network_once_after_its_base_and_no_device_does_two_things(
    sweep: dict, devices: int, fits: int, axes: dict
) -> None:
    networks = planned(sweep, axes)
    networks += sorted({one.donor for one in networks if one.donor} - {*networks}, key=str)
    line = simulate(networks, devices, lambda one: fits, takes)
    assert Counter(one for run in line.runs for one in run.job.networks) == Counter(networks)
    begun, ended = begun_and_ended(line)
    assert all(begun[one] >= ended[one.donor] for one in networks if one.donor)
    by_device: dict[int, float] = {}
    for run in line.runs:
        assert run.start >= by_device.get(run.device, 0.0) and run.end - run.start == pytest.approx(takes(run.job.networks))
        by_device[run.device] = run.end
        assert len(run.job.networks) <= fits
        assert len({(n.split, n.seed, n.pictures, dict(n.axes).get("length")) for n in run.job.networks}) == 1
    assert {*by_device} <= {*range(devices)}
    assert line.end >= line.floor - 1e-9
    assert line.end >= sum(takes(run.job.networks) for run in line.runs) / devices - 1e-9
    assert 0 < line.busy <= 1 + 1e-9
    assert line.end <= sum(map(takes, ((one,) for one in networks))) + 1e-9  # never slower than one by one


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 20), st.integers(1, 15), st.integers(1, 30))
def test_networks_that_are_alike_and_need_nothing_keep_all_devices_busy(devices: int, layers: int, fits: int) -> None:
    networks = transfers(["random-0"], [0], ["A", "B"], range(1, layers + 1), ["RnB"])
    line = simulate(networks, devices, lambda one: fits, alike)
    assert line.end == -(-len(networks) // devices)


@settings(deadline=None, max_examples=40)
@given(SWEEPS, DEVICES, st.integers(1, 9))
def test_no_device_rests_while_a_network_could_begin(sweep: dict, devices: int, fits: int) -> None:
    networks = planned(sweep)
    line = simulate(networks, devices, lambda one: fits, takes)
    begun, ended = begun_and_ended(line)
    for run in line.runs:
        at_work = sum(other.start <= run.start < other.end for other in line.runs)
        waiting = [one for one in networks if begun[one] > run.start and (not one.donor or ended[one.donor] <= run.start)]
        assert at_work == devices or not waiting


def test_bases_come_first_and_random_features_wait_for_nobody() -> None:
    networks = [*transfers(["random-0"], [0], ["B"], [1, 2], ["AnB", "RnB"]), base("random-0", 0, "A")]
    line = simulate(networks, 2, lambda one: 9, takes)
    first, second = line.runs[:2]
    assert (first.job, first.start) == (Job((base("random-0", 0, "A"),)), 0)
    assert ({one.name for one in second.job.networks} <= {"R1B", "R2B"}, second.start) == (True, 0)


def test_what_waits_for_a_base_waits_for_its_own_alone() -> None:
    waiting = [network("A1B"), network("A1A")]
    none, only, all_of = [], [base("random-0", 0, "A")], bases(["random-0"], [0])
    assert next_job(waiting, none, 1, lambda one: 9, takes) is None
    assert next_job([network("A1B"), network("B1A")], only, 1, lambda one: 9, takes) == Job((network("A1B"),))
    assert next_job([], all_of, 1, lambda one: 9, takes) is None


def test_the_longest_come_first_and_a_treatment_stays_together() -> None:
    waiting = [network(name) for name in ("A7B", "B7B+", "A1B", "A3B", "B1B", "B1B+")]
    done = bases(["random-0"], [0])

    def bank(devices: int, fits: int) -> list[str]:
        job = next_job(waiting, done, devices, lambda one: fits, takes)
        return [one.name for one in job.networks] if job else []

    assert bank(1, 9) == ["B7B+", "B1B+", "A1B", "A3B", "A7B", "B1B"]
    assert bank(1, 4) == ["B7B+", "B1B+", "A1B", "A3B"]
    assert bank(2, 9) == ["B7B+", "B1B+"]  # 2.3, where a share is 3.3; with A1B 3.5
    assert bank(100, 9) == ["B7B+"]


@pytest.mark.parametrize(("devices", "size"), [(1, 40), (2, 14), (4, 8), (8, 5)])
def test_a_bank_of_many_leaves_something_to_even_out_the_end(devices: int, size: int) -> None:
    waiting = transfers(["random-0"], [0], ["B"], range(1, 41), ["RnB"])
    job = next_job(waiting, [], devices, lambda one: 99, alike)
    assert job is not None and len(job.networks) == size


def test_what_is_read_at_once_is_the_most_at_any_moment() -> None:
    line = simulate(transfers(["random-0"], [0], ["B"], [1, 2, 3], ["RnB"]), 2, lambda one: 1, alike)
    assert [(run.device, run.start, run.end) for run in line.runs] == [(0, 0, 1), (1, 0, 1), (0, 1, 2)]
    assert line.most(lambda run: 10.0) == 20  # a run that ends as another begins is not beside it
    assert simulate([], 3, lambda one: 1, alike).end == 0


@pytest.fixture(scope="module")
def papers() -> tuple[list[Network], cost.Layers]:
    recipe = recipes.find("yosinski2014")
    return recipe.planned(), cost.Layers.of(recipe, 500)


@pytest.mark.parametrize(("devices", "least"), [(1, 1.0), (2, 0.99), (8, 0.96), (16, 0.94), (32, 0.87), (100, 0.64)])
def test_the_papers_study_keeps_its_devices_busy(devices: int, least: float, papers: tuple[list[Network], cost.Layers]) -> None:
    """Against one device that cuts as little as can be: what finer cuts compute twice counts as lost."""
    networks, layers = papers
    alone, several = (
        simulate(networks, count, lambda one: 100, lambda bank: cost.multiply_adds(bank, layers)) for count in (1, devices)
    )
    assert alone.end / devices / several.end >= least
