"""The core on paper: networks as the next studies will want them, there and back, and what training needs of each."""

import pickle
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfercli.plan.jobs import Job, jobs
from transfercli.plan.networks import AXES, Axis, Network, base, columns, named, needed_bases, of_row, placed, transfers, varied
from transfercli.plan.resolve import FRESH, resolve
from transfercli.plan.treatments import ALL, TREATMENTS, Phase, Treatment

DEPTH = 10
NEW = (
    Treatment("PnB", "pretrained", "first n", (Phase("new"),), "pretrained, frozen"),
    Treatment("PnB+", "pretrained", "first n", ALL, "pretrained, fine-tuned"),
    Treatment("AnB.keep", "other", "all but the last", (Phase("above n"),), "all but the classifier copied, n frozen"),
    Treatment("PnB.thaw", "pretrained", "all but the last", (Phase("last", 0.2), Phase("each", 0.8), Phase("all")), "chain-thaw"),
    Treatment("AnB+.slower", "other", "first n", ALL, "rates divided by 2.6 a layer", slower=2.6),
    Treatment("base.twice", "self", "all", ALL, "a base trained twice"),
    Treatment(
        "PnB.lp-ft", "pretrained", "all but the last", (Phase("last", 0.5), Phase("all", rate=0.1)), "probe, then all", least=0
    ),
    Treatment("PnB.surgical", "pretrained", "all but the last", (Phase("first n"),), "one segment learns"),
)
LATER = {
    "architecture": Axis(lambda text: text, "", "network", "which architecture"),
    "snapshot": Axis(float, 1.0, "source", "the share of the source's steps after which it is copied"),
    "pictures": Axis(int, 0, "data", "training pictures a class; 0: all"),
    "draw": Axis(int, 0, "data", "which of them"),
    "from": Axis(int, 0, "source", "the source's training pictures a class", becomes="pictures"),
}
# id, and by id what else follows: origins of the layers 1..10, the first stage's layers, the donor
EXPECTED: dict[str, tuple[str, str, str]] = {
    "baseB": ("..........", "1-10", ""),
    "B3B": ("BBB.......", "4-10", "baseB"),
    "A3B": ("AAA.......", "4-10", "baseA"),
    "A3B+": ("AAA.......", "1-10", "baseA"),
    "R3B": ("RRR.......", "4-10", ""),
    "baseB.twice": ("BBBBBBBBBB", "1-10", "baseB"),
    "A3B.keep": ("AAAAAAAAA.", "4-10", "baseA"),
    "A2-4B": (".AAA......", "1,5-10", "baseA"),
    "baseT": ("..........", "1-10", ""),
    "P3T": ("PPP.......", "4-10", ""),
    "P3T+": ("PPP.......", "1-10", ""),
    "T3T": ("TTT.......", "4-10", "baseT"),
    "R3T": ("RRR.......", "4-10", ""),
    "P9T.thaw": ("PPPPPPPPP.", "10", ""),
    "A3B+.slower": ("AAA.......", "1-10", "baseA"),
    "P0T.lp-ft": ("PPPPPPPPP.", "10", ""),
    "P3-5T.surgical": ("PPPPPPPPP.", "3-5", ""),
    "B3B@pictures=25": ("BBB.......", "4-10", "baseB@pictures=25"),
    "A3B@pictures=25": ("AAA.......", "4-10", "baseA"),
    "A3B@from=10": ("AAA.......", "4-10", "baseA@pictures=10"),
    "P3T@pictures=25,draw=1": ("PPP.......", "4-10", ""),
    "A3B@snapshot=0.25": ("AAA.......", "4-10", "baseA"),
    "A3B@rate=0.3": ("AAA.......", "4-10", "baseA"),
    "A3B@rate=3.0": ("AAA.......", "4-10", "baseA"),
    "baseB@architecture=resnet18": ("..........", "1-10", ""),
    "A3B@architecture=resnet18": ("AAA.......", "4-10", "baseA@architecture=resnet18"),
}


# Written down on the day when there were first such digests: another is another study.
TODAY = {
    **{"baseB": "7a2ef133b1f7", "B3B": "664d3ef877b8", "B3B+": "246d57838088"},
    **{"A3B": "07a4a8e0b61d", "A3B+": "84daf5849460", "R3B": "aca103a113cd"},
}


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The treatments and axes that the next studies will have."""
    for treatment in NEW:
        monkeypatch.setitem(TREATMENTS, treatment.name, treatment)
    now = dict(AXES)
    AXES.clear()
    AXES.update({"architecture": LATER["architecture"], **now, **LATER})  # their order is that of ids
    yield
    AXES.clear()
    AXES.update(now)


def layers(text: str) -> frozenset[int]:
    spans = [part.split("-") for part in text.split(",")]
    return frozenset(layer for span in spans for layer in range(int(span[0]), int(span[-1]) + 1))


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("seed", [0, 3])
def test_a_network_goes_there_and_back(name: str, seed: int) -> None:
    network = named("mine", seed, name)
    assert network.name == name
    assert network.place == f"mine/{f'seed-{seed}/' if seed else ''}{name}" and placed(network.place) == network
    row = columns(network)
    assert of_row(row) == network and of_row({**row, "top1": 0.5, "first_layer": row.get("first_layer")}) == network
    assert re.fullmatch(r"[\w.+@=,-]+", name), "its folder's name is good on any file system"


@pytest.mark.parametrize("name", EXPECTED)
def test_what_training_needs_of_it(name: str) -> None:
    origins, first, donor = EXPECTED[name]
    resolved = resolve(named("mine", 0, name), DEPTH)
    letters = "".join("." if of == FRESH else of.removeprefix("base")[0] for of in resolved.origins)
    assert letters == origins
    assert resolved.stages[0].layers == layers(first)
    assert (resolved.network.donor.name if resolved.network.donor else "") == donor
    assert resolved.network.donor is None or resolved.network.donor.is_base
    assert resolved.sources == tuple(dict.fromkeys(of for of in resolved.origins if of not in (FRESH, "R")))


def test_each_has_a_digest_of_its_own() -> None:
    digests = {
        resolve(named(split, seed, name), DEPTH).digest("r", "s") for name in EXPECTED for split in "xy" for seed in (0, 1)
    }
    assert len(digests) == 4 * len(EXPECTED)
    one = resolve(named("x", 0, "A3B"), DEPTH)
    assert len({one.digest("r", "s"), one.digest("q", "s"), one.digest("r", "t")}) == 3


def test_what_is_as_usual_shows_nowhere() -> None:
    """So ids, folders, columns and digests of today stay when there is a further axis."""
    plain = named("x", 0, "A3B")
    assert varied(plain, **{key: axis.usual for key, axis in AXES.items()}) == plain
    assert list(columns(plain)) == ["split", "seed", "network", "treatment", "source", "target", "layer"]
    assert resolve(plain, DEPTH).rates == (1.0,) * DEPTH
    assert {name: resolve(named("x", 0, name), 8).digest("r", "s")[:12] for name in TODAY} == TODAY


NO_NETWORKS = (
    *("", "base", "baseC", "A0B", "A3", "A03B", "A1-3B", "A4-2B", "A3B++", "A3B.nothing", "A3B.-x", "A3T", "T3A", "A٣B"),
    *("A3B@", "A3B@rate", "A3B@rate=1.0", "A3B@rate=0", "A3B@rate=x", "A3B@rate=0.50", "baseB@rate=inf"),
    *("A3B@colour=red", "A3B@draw=1,pictures=25", "A3B@architecture=torchvision/resnet18", "A3B@architecture=.."),
)


@pytest.mark.parametrize("name", NO_NETWORKS)
def test_what_is_no_network_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no network is called"):
        named("x", 0, name)


@pytest.mark.parametrize(
    "place", ["x/seed-0/A3B", "x/seed-01/A3B", "x/seed-٣/A3B", "", "x/y/A3B", "x/seed-/A3B", "x/seed-1/y/A3B", "seed-1/x/A3B/B"]
)
def test_what_is_no_networks_folder_is_refused(place: str) -> None:
    with pytest.raises(ValueError, match="no network"):
        placed(place)


@pytest.mark.parametrize("n", [8, 9])
def test_the_last_layer_is_never_copied(n: int) -> None:
    with pytest.raises(ValueError, match="of 8 layers 1 to 7 can be copied"):
        resolve(Network("x", 0, "AnB", n, "B"), 8)


def test_chain_thaw_is_told_by_its_stages() -> None:
    resolved = resolve(named("x", 0, "P9T.thaw"), DEPTH)
    assert [sorted(stage.layers) for stage in resolved.stages] == [[10], *([n] for n in range(1, 11)), list(range(1, 11))]
    assert [resolved.stage_at(step, 100) for step in (0, 19, 20, 25, 26, 79, 80, 99)] == [0, 0, 1, 1, 2, 10, 11, 11]
    assert resolved.frozen == () and resolved.prefix == 0


def test_values_of_axes_have_one_way_to_be_written() -> None:
    assert varied(named("x", 0, "A3B"), rate=3).name == "A3B@rate=3.0" == varied(named("x", 0, "A3B"), rate="3").name
    with pytest.raises(ValueError, match="no part of a folder's name"):
        varied(named("x", 0, "A3B"), architecture="a/b")
    with pytest.raises(ValueError, match="networks have no colour"):
        varied(named("x", 0, "A3B"), colour="red")


def test_the_control_is_on_the_same_data() -> None:
    one = named("x", 0, "A3B@architecture=small,rate=0.3,pictures=25,draw=1,from=10")
    assert one.control.name == "baseB@architecture=small,pictures=25,draw=1"
    assert one.donor is not None and one.donor.name == "baseA@architecture=small,pictures=10"
    assert needed_bases([one]) == [one.donor, one.control]


def test_a_phase_has_a_rate() -> None:
    assert [stage.rate for stage in resolve(named("x", 0, "P0T.lp-ft"), DEPTH).stages] == [1.0, 0.1]


def test_a_treatment_without_n_has_one_network() -> None:
    planned = transfers(["x"], [0], ["B"], [1, 4], ["AnB", "base.twice"])
    assert [network.name for network in planned] == ["A1B", "A4B", "baseB.twice"]
    assert [network.name for network in needed_bases(planned)] == ["baseA", "baseB"]


def test_rates_fall_downwards() -> None:
    rates = resolve(named("x", 0, "A3B+.slower"), 4).rates
    assert rates == pytest.approx((1 / 2.6**3, 1 / 2.6**2, 1 / 2.6, 1.0))
    assert resolve(named("x", 0, "A3B@rate=0.3"), 4).rates == (0.3,) * 4


def test_the_snapshot_is_of_the_source_alone_and_the_architecture_of_both() -> None:
    assert resolve(named("x", 0, "A3B@snapshot=0.25"), DEPTH).origins[0] == "baseA@snapshot=0.25"
    one = named("x", 0, "A3B@architecture=resnet18,snapshot=0.25")
    assert one.donor == varied(base("x", 0, "A"), architecture="resnet18")
    assert one.control == varied(base("x", 0, "B"), architecture="resnet18")
    assert [n.name for n in needed_bases([one])] == ["baseA@architecture=resnet18", "baseB@architecture=resnet18"]


@given(st.lists(st.sampled_from(sorted(EXPECTED)), unique=True), st.integers(1, 9), st.randoms(use_true_random=False))
def test_jobs_hold_each_network_once_and_what_is_needed_first(names: list[str], fits: int, random) -> None:
    networks = [named(split, seed, name) for name in names for split, seed in (("x", 0), ("y", 0), ("x", 1))]
    random.shuffle(networks)
    made = jobs(networks, fits)
    assert sorted(n.place for job in made for n in job.networks) == sorted(n.place for n in networks)
    done: set[Network] = set()
    for job in made:
        assert len(job.networks) <= fits and len({(n.split, n.seed) for n in job.networks}) == 1
        assert {*job.needs} & {*networks} <= done
        done |= {*job.networks}
    for job in made:
        parts = job.parted()
        assert [n for part in parts for n in part.networks] == list(job.networks) and len(parts) == min(2, len(job.networks))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "BnB.x"},  # its letter is not its origin's
        {"name": "AnB.Keep"},
        {"copied": "alll"},
        {"phases": (Phase("al"),)},
        {"phases": (Phase("last", 0.5),)},  # which end before the training does
        {"phases": (Phase("last", 0.5), Phase("all", 0.5), Phase("all"))},
        {"phases": ()},
    ],
)
def test_a_treatment_that_says_nonsense_is_refused(wrong: dict) -> None:
    good = {"name": "AnB.x", "origin": "other", "copied": "first n", "phases": ALL, "about": "x"}
    Treatment(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="treatment"):
        Treatment(**(good | wrong))  # type: ignore[arg-type]


def test_a_phase_in_which_nothing_learns_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TREATMENTS, "AnB.all", Treatment("AnB.all", "other", "all", (Phase("new"),), "nothing learns"))
    with pytest.raises(ValueError, match="no layer learns"):
        resolve(named("x", 0, "A3B.all"), 8)


def test_a_job_is_plain_data() -> None:
    job = Job((named("x", 0, "A3B"), named("x", 0, "B3B")))
    assert job.needs == (base("x", 0, "A"), base("x", 0, "B"))
    assert pickle.loads(pickle.dumps(job)) == job
