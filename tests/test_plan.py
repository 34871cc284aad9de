"""The plan: each network once, named as the paper names it, with what it needs; and the words for layers."""

from collections import Counter

import pytest
from conftest import SWEPT
from hypothesis import given
from hypothesis import strategies as st

from transfercli.plan.jobs import jobs
from transfercli.plan.networks import Network, base, bases, transfers
from transfercli.plan.resolve import resolve
from transfercli.plan.tasks import HALVES
from transfercli.plan.treatments import TREATMENTS, USUAL, failed, sweepable
from transfercli.plan.words import check_layers, parse_choices, parse_layers
from transfercli.system.errors import TransferError

LAYERS = st.sets(st.integers(1, 9999), min_size=1, max_size=60)
SWEEPS = st.fixed_dictionaries(
    {
        "splits": st.lists(st.sampled_from(["random-0", "random-1", "man-made-natural"]), min_size=1, unique=True),
        "seeds": st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=3, unique=True),
        "targets": st.lists(st.sampled_from("AB"), min_size=1, unique=True),
        "layers": st.lists(st.integers(1, 7), min_size=1, unique=True),
        "treatments": st.lists(st.sampled_from(USUAL), min_size=1, unique=True),
    }
)


def message(call, *args) -> str:
    with pytest.raises(TransferError) as error:
        call(*args)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


# networks


@pytest.mark.parametrize(
    ("network", "name", "treatment", "frozen", "donor"),
    [
        (base("s", 5, "A"), "baseA", "base", 0, None),
        (base("s", 5, "B"), "baseB", "base", 0, None),
        (Network("s", 5, "BnB", 3, "B"), "B3B", "BnB", 3, base("s", 5, "B")),
        (Network("s", 5, "BnB+", 3, "B"), "B3B+", "BnB+", 0, base("s", 5, "B")),
        (Network("s", 5, "AnB", 3, "B"), "A3B", "AnB", 3, base("s", 5, "A")),
        (Network("s", 5, "AnB+", 3, "B"), "A3B+", "AnB+", 0, base("s", 5, "A")),
        (Network("s", 5, "RnB", 7, "B"), "R7B", "RnB", 7, None),
        (Network("s", 5, "BnB", 1, "A"), "A1A", "BnB", 1, base("s", 5, "A")),
        (Network("s", 5, "BnB+", 1, "A"), "A1A+", "BnB+", 0, base("s", 5, "A")),
        (Network("s", 5, "AnB", 1, "A"), "B1A", "AnB", 1, base("s", 5, "B")),
        (Network("s", 5, "AnB+", 1, "A"), "B1A+", "AnB+", 0, base("s", 5, "B")),
        (Network("s", 5, "RnB", 2, "A"), "R2A", "RnB", 2, None),
    ],
)
def test_a_network_is_named_as_in_the_paper(
    network: Network, name: str, treatment: str, frozen: int, donor: Network | None
) -> None:
    assert (network.name, network.treatment, resolve(network, 8).prefix, network.donor) == (name, treatment, frozen, donor)
    assert network.is_base == (treatment == "base")


def test_bases() -> None:
    assert bases(["x", "y"], [0, 1]) == [base(split, seed, half) for split in "xy" for seed in (0, 1) for half in "AB"]
    assert bases(["x"], [4], "B") == [Network("x", 4, "base", 0, "B")]


def test_the_papers_sweep() -> None:
    networks = transfers(["random-0"], [0], ["B"], range(1, 8), USUAL)
    assert [n.name for n in networks] == [
        *(f"B{n}B" for n in range(1, 8)),
        *(f"B{n}B+" for n in range(1, 8)),
        *(f"A{n}B" for n in range(1, 8)),
        *(f"A{n}B+" for n in range(1, 8)),
        *(f"R{n}B" for n in range(1, 8)),
    ]


@given(SWEEPS)
def test_each_row_once_with_its_treatment_and_after_what_it_needs(sweep: dict) -> None:
    networks = transfers(**sweep)
    before = bases(sweep["splits"], sweep["seeds"])
    rows = [(n.split, n.seed, n.target, n.treatment, n.layer) for n in networks]
    assert Counter(rows) == Counter(
        (split, seed, target, treatment, layer)
        for split in sweep["splits"]
        for seed in sweep["seeds"]
        for target in sweep["targets"]
        for treatment in sweep["treatments"]
        for layer in sweep["layers"]
    )
    assert len({(n.split, n.seed, n.name) for n in before + networks}) == len(before) + len(networks)
    assert {n.donor for n in networks} - {None} <= set(before)
    for n in networks:
        assert n.source == {"A": {"A": "B", "B": "A"}[n.target], "B": n.target, "R": "R"}[n.treatment[0]]
        assert n.name.endswith("+") == n.treatment.endswith("+")
        assert n.donor is None or (n.donor.split, n.donor.seed, n.donor.target) == (n.split, n.seed, n.source)


def test_a_plan_takes_what_can_be_read_once_only() -> None:
    one_by_one = transfers(iter(["x", "y"]), iter([0, 1]), ["A", "B"], [1], ["BnB"])
    assert one_by_one == transfers(["x", "y"], [0, 1], ["A", "B"], [1], ["BnB"])
    assert bases(iter("xy"), iter([0, 1]), iter("AB")) == bases(["x", "y"], [0, 1])


@given(SWEEPS, st.integers(1, 12), st.randoms(use_true_random=False))
def test_banks_keep_order_and_size(sweep: dict, size: int, random) -> None:
    networks = transfers(**sweep)
    random.shuffle(networks)  # rows of several splits and seeds among each other
    cut = [job.networks for job in jobs(networks, size)]
    groups: dict[tuple[str, int], list[Network]] = {}
    for bank in cut:
        assert 0 < len(bank) <= size
        ((key),) = {(n.split, n.seed) for n in bank}
        groups.setdefault(key, []).extend(bank)
    assert list(groups) == list(dict.fromkeys((n.split, n.seed) for n in networks))
    for key, members in groups.items():
        assert members == [n for n in networks if (n.split, n.seed) == key]
        assert sum(bank[0].split == key[0] and bank[0].seed == key[1] for bank in cut) == -(-len(members) // size)


def test_no_networks_no_banks() -> None:
    assert jobs([], 4) == []


# the words for layers


@given(LAYERS, st.randoms(use_true_random=False))
def test_any_set_of_layers_can_be_written(layers: set[int], random) -> None:
    runs: list[list[int]] = []
    for n in sorted(layers):
        if runs and n == runs[-1][-1] + 1 and random.random() < 0.7:
            runs[-1].append(n)
        else:
            runs.append([n])
    random.shuffle(runs)
    words = [f"{run[0]}-{run[-1]}" if len(run) > 1 or random.random() < 0.3 else str(run[0]) for run in runs]
    words.append(random.choice(words))  # twice is no harm
    assert parse_layers(random.choice([",", ", ", " , "]).join(words)) == tuple(sorted(layers))


@pytest.mark.parametrize(
    ("text", "layers"),
    [("1-7", (1, 2, 3, 4, 5, 6, 7)), ("3", (3,)), ("1,3,5-7", (1, 3, 5, 6, 7)), (" 2 - 3 ,1", (1, 2, 3)), ("4-4", (4,))],
)
def test_layers_read(text: str, layers: tuple[int, ...]) -> None:
    assert parse_layers(text) == layers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-7", "the layers '0-7' hold 0, which is the base itself; layers start at 1"),
        ("0", "the layers '0' hold 0, which is the base itself; layers start at 1"),
        ("7-0", "the layers '7-0' hold 0, which is the base itself; layers start at 1"),
        ("3-1", "the layers '3-1' run backwards; write the lower number first: 1-3"),
        ("a", "cannot read the layers 'a'; write a range or a list, such as 1-7 or 1,3,5"),
        ("", "cannot read the layers ''; write a range or a list, such as 1-7 or 1,3,5"),
        ("1,,2", "cannot read the layers '1,,2'; write a range or a list, such as 1-7 or 1,3,5"),
        ("-1", "cannot read the layers '-1'; write a range or a list, such as 1-7 or 1,3,5"),
        ("1-2-3", "cannot read the layers '1-2-3'; write a range or a list, such as 1-7 or 1,3,5"),
        ("1.5", "cannot read the layers '1.5'; write a range or a list, such as 1-7 or 1,3,5"),
        ("99999", "cannot read the layers '99999'; write a range or a list, such as 1-7 or 1,3,5"),
        ("١", "cannot read the layers '١'; write a range or a list, such as 1-7 or 1,3,5"),
        ("1\n2", "cannot read the layers '1\\n2'; write a range or a list, such as 1-7 or 1,3,5"),
    ],
)
def test_layers_refused(text: str, expected: str) -> None:
    assert message(parse_layers, text) == expected


@given(st.text() | st.text("0123456789-, \n", max_size=12))
def test_garbage_is_layers_or_one_line(text: str) -> None:
    try:
        layers = parse_layers(text)
    except TransferError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert list(layers) == sorted(set(layers))
        assert layers[0] >= 1


def test_the_last_layer_cannot_be_transferred() -> None:
    check_layers(range(1, 8), 8)
    expected = "layer 8 cannot be transferred in a network of 8 layers, whose last is always fresh; choose layers within 1-7"
    assert message(check_layers, (8,), 8) == expected
    assert message(check_layers, range(1, 12), 8) == expected  # the first that is too deep


def test_choices() -> None:
    assert parse_choices("AnB+, BnB", sweepable(), "treatment") == ("BnB", "AnB+")
    assert parse_choices("B,B", HALVES, "target") == ("B",)
    assert message(parse_choices, "AnB,CnB", sweepable(), "treatment") == (
        f"unknown treatment 'CnB'; choose from {','.join(SWEPT)}"
    )
    assert message(parse_choices, "", HALVES, "target") == "unknown target ''; choose from A,B"


@pytest.mark.parametrize(
    ("split", "target"), [("random-0", "B"), ("random-1", "A"), ("random-12", "B"), ("random-7", "A"), ("man-made-natural", "B")]
)
def test_splits_take_turns(split: str, target: str) -> None:
    planned = transfers([split], [0], ["alternate"], [1, 2], ["BnB", "AnB"])
    assert planned == transfers([split], [0], [target], [1, 2], ["BnB", "AnB"])


@pytest.mark.parametrize("status", ["done", "did not learn", "no better than chance", "diverged at step 3"])
@pytest.mark.parametrize("treatment", TREATMENTS)
def test_random_features_that_let_nothing_be_learned_are_a_result(treatment: str, status: str) -> None:
    assert failed(treatment, status) == (status != "done" and not (treatment == "RnB" and status == "did not learn"))
