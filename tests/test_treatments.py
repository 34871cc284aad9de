"""What is copied is the source's, bit for bit; what is fresh is drawn anew, and alike for all that are compared."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transfercli.networks.layers import layers_of
from transfercli.networks.start import Source, build, copy_layers, digest, names_of, start
from transfercli.plan.networks import Network, base, transfers
from transfercli.plan.resolve import resolve
from transfercli.plan.treatments import TREATMENTS, sweepable
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.system.errors import TransferError

CLASSES = 6
LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


def recipe(normalisation: str = "batch", init: str = "he") -> Recipe:
    network = {"name": "small", "widths": [4, 4, 6, 6, 4, 8, 8], "normalisation": normalisation, "init": init}
    return recipes.validate(
        {
            "name": "test",
            "pictures": {"size": 16, "crop": 16},
            "network": network,
            "training": {"steps": 1, "batch": 2, "schedule": {"name": "constant", "rate": 0.1}},
            "evaluation": {"times": 1},
        },
        "test",
    )


RECIPE = recipe()


def trained(half: str) -> dict[str, Tensor]:
    """Weights of a base as if trained: like none that a draw gives, its running statistics and counters too."""
    state = build(RECIPE, CLASSES).state_dict()
    random = torch.Generator().manual_seed(ord(half))
    return {
        name: torch.rand(value.shape, generator=random) if value.is_floating_point() else torch.full_like(value, ord(half))
        for name, value in state.items()
    }


SOURCES = {"A": trained("A"), "B": trained("B")}
PRETRAINED = Source.of(trained("P"))


def state_of(network: Network, of: Recipe = RECIPE, classes: int = CLASSES) -> dict[str, Tensor]:
    sources = {"P": PRETRAINED, **{f"base{half}": Source.of(state) for half, state in SOURCES.items()}}
    return start(of, resolve(network, 8), classes, sources).state_dict()


def same(a: dict[str, Tensor], b: dict[str, Tensor], names: list[str]) -> list[str]:
    """The names whose tensors are bitwise the same."""
    return [name for name in names if digest(a, [name]) == digest(b, [name])]


def weights(number: int) -> str:
    return f"{LAYERS[number - 1]}.weight"


# start


@pytest.mark.parametrize("treatment", ["BnB", "BnB+", "AnB", "AnB+"])
@pytest.mark.parametrize("target", ["A", "B"])
def test_copied_layers_are_the_sources_and_the_others_fresh(treatment: str, target: str) -> None:
    fresh = {n: state_of(base("random-0", 0, target))[weights(n)] for n in range(1, 9)}  # as the base began
    for network in transfers(["random-0"], [0], [target], range(1, 8), [treatment]):
        source, state = SOURCES[network.source], state_of(network)
        copied = names_of(build(RECIPE, CLASSES), range(1, network.layer + 1))
        assert {f"{name}.weight" for name in LAYERS[: network.layer]} <= set(copied)
        assert same(state, source, list(state)) == copied
        for n in range(network.layer + 1, 9):
            assert not torch.equal(state[weights(n)], fresh[n])


@pytest.mark.parametrize("target", ["A", "B"])
def test_all_treatments_share_the_fresh_draw_of_a_layer(target: str) -> None:
    swept = [treatment for treatment in sweepable() if TREATMENTS[treatment].copied == "first n"]
    networks = transfers(["random-0"], [0], [target], [1, 4, 7], swept)
    states = [state_of(network) for network in networks]
    for n in range(2, 9):
        fresh = [s for s, network in zip(states, networks, strict=True) if network.layer < n]
        assert len(fresh) >= len(swept)
        for state in fresh:
            assert same(state, fresh[0], [weights(n)])


def test_the_fresh_draw_belongs_to_split_seed_and_target() -> None:
    draws = [
        state_of(network)
        for network in (
            Network("random-0", 0, "AnB", 1, "B"),
            Network("random-1", 0, "AnB", 1, "B"),
            Network("random-0", 1, "AnB", 1, "B"),
            Network("random-0", 0, "AnB", 1, "A"),
            base("random-0", 0, "A"),
            base("random-0", 0, "B"),
        )
    ]
    for n in range(2, 9):
        assert len({digest(draw, [weights(n)]) for draw in draws}) == len(draws)


def test_random_features_are_one_draw_of_their_own() -> None:
    networks = transfers(["random-0"], [0], ["A", "B"], range(1, 8), ["RnB"])
    states = {network: state_of(network) for network in networks}
    features = states[networks[6]]
    for network, state in states.items():
        frozen = names_of(build(RECIPE, CLASSES), range(1, network.layer + 1))
        assert same(state, features, frozen) == frozen  # the same features whatever n and the target
    others = [base("random-0", 0, "A"), base("random-0", 0, "B"), Network("random-0", 0, "AnB", 1, "B")]
    begun = [state_of(other) for other in others]
    for n in range(2, 8):
        assert not any(same(features, state, [weights(n)]) for state in begun)
    assert not same(features, state_of(Network("random-0", 1, "RnB", 7, "B")), [weights(n) for n in range(1, 8)])


@pytest.mark.parametrize(
    "network", [base("random-0", 0, "A"), Network("random-0", 0, "AnB", 3, "B"), Network("random-0", 0, "RnB", 3, "B")]
)
def test_a_start_can_be_taken_again(network: Network) -> None:
    torch.manual_seed(1)
    one = state_of(network)
    torch.manual_seed(2)
    two = state_of(network)
    assert digest(one, list(one)) == digest(two, list(two))


def test_the_source_is_copied_not_shared() -> None:
    state = state_of(Network("random-0", 0, "AnB+", 7, "B"))
    before = digest(SOURCES["A"], list(SOURCES["A"]))
    for tensor in state.values():
        tensor.zero_()
    assert digest(SOURCES["A"], list(SOURCES["A"])) == before


def test_the_papers_draw_of_fresh_layers() -> None:
    state = state_of(Network("random-0", 0, "RnB", 7, "B"), recipe(init="caffe"))
    assert [float(state[f"{name}.bias"].mean()) for name in LAYERS] == [0, 1, 0, 1, 1, 1, 1, 0]
    assert float(state["conv3.weight"].std()) == pytest.approx(0.01, rel=0.2)


def test_halves_of_different_sizes() -> None:
    """The last layer is always fresh, so the source's may have another number of classes."""
    state = state_of(Network("random-0", 0, "AnB", 7, "B"), classes=CLASSES + 1)
    assert state["fc8.weight"].shape == (CLASSES + 1, 8)
    assert torch.equal(state["fc7.weight"], SOURCES["A"]["fc7.weight"])


def test_a_transfer_needs_its_base() -> None:
    with pytest.raises(KeyError, match="baseA"):
        start(RECIPE, resolve(Network("random-0", 0, "AnB", 3, "B"), 8), CLASSES, {"baseB": Source.of(SOURCES["B"])})


# build


def test_build_takes_what_the_recipe_says() -> None:
    values = RECIPE.model_dump(mode="json")
    values["network"] |= {"outputs": 10, "dropout": 0.25, "normalisation": "lrn"}
    network = build(recipes.validate(values, "test"), CLASSES)
    assert network.get_submodule("fc8").out_features == 10  # as in the study, where a half of 500 had 1000
    assert network.get_submodule("drop6").rate == 0.25
    assert type(network.get_submodule("norm1")).__name__ == "LRN"
    assert build(RECIPE, CLASSES).get_submodule("fc8").out_features == CLASSES
    values["network"] |= {"name": "caffenet"}
    values["pictures"] |= {"size": 70, "crop": 67}
    assert build(recipes.validate(values, "test"), CLASSES).get_submodule("conv1").kernel_size == (11, 11)


def test_too_few_outputs() -> None:
    values = RECIPE.model_dump(mode="json")
    values["network"]["outputs"] = 5
    with pytest.raises(TransferError) as error:
        build(recipes.validate(values, "test"), 6)
    assert str(error.value) == "the recipe test has 5 network.outputs for 6 classes; leave network.outputs out or raise it"


# copy_layers


def test_copying_is_strict() -> None:
    network = build(RECIPE, CLASSES)
    source = dict(SOURCES["A"])
    del source["conv1.bias"]
    del source["norm2.running_mean"]
    source["conv9.weight"] = source["conv1.weight"]
    source["conv2.weight"] = torch.zeros(4, 4, 5, 5)
    before = digest(network.state_dict(), list(network.state_dict()))
    expected = (
        "cannot copy 2 layers: conv1.bias: missing from the source; conv2.weight: shape (4, 4, 5, 5), not (4, 4, 3, 3); "
        "conv9.weight: not in the network; norm2.running_mean: missing from the source"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        copy_layers(network, source, (1, 2))
    assert digest(network.state_dict(), list(network.state_dict())) == before  # nothing was copied


def test_what_is_not_copied_need_not_fit() -> None:
    network = build(RECIPE, CLASSES)
    source = {name: SOURCES["A"][name] for name in names_of(network, (1, 2))}
    copy_layers(network, source, (1, 2))
    assert same(dict(network.state_dict()), source, list(source)) == list(source)
    with pytest.raises(ValueError, match=r"^cannot copy 3 layers: conv3\.bias: missing from the source; conv3\.weight: missing"):
        copy_layers(network, source, (1, 2, 3))


# names_of


def test_names_of_hold_parameters_and_buffers() -> None:
    network = build(RECIPE, CLASSES)
    layer = [
        *("conv{}.weight", "conv{}.bias", "norm{}.weight", "norm{}.bias"),
        *("norm{}.running_mean", "norm{}.running_var", "norm{}.num_batches_tracked"),
    ]
    assert names_of(network, []) == []
    assert names_of(network, (1, 2)) == [name.format(n) for n in (1, 2) for name in layer]
    assert names_of(network, range(1, 9)) == list(network.state_dict())
    assert names_of(build(recipe("lrn"), CLASSES), [1]) == ["conv1.weight", "conv1.bias"]


def test_each_layer_freezes_more() -> None:
    network = build(RECIPE, CLASSES)
    counts = [len(names_of(network, range(1, n + 1))) for n in range(9)]
    assert counts == [0, 7, 14, 21, 28, 35, 37, 39, 41]
    assert len(layers_of(network)) == 8


# digest


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_digest_tells_one_bit(data: st.DataObject) -> None:
    names = list(SOURCES["A"])
    name = data.draw(st.sampled_from(names))
    state = {key: value.clone() for key, value in SOURCES["A"].items()}
    before = digest(state, names)
    assert before == digest(SOURCES["A"], names)
    octets = state[name].reshape(-1).view(torch.uint8)  # shares memory
    octets[data.draw(st.integers(0, len(octets) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert digest(state, names) != before
    others = [other for other in names if other != name]
    assert digest(state, others) == digest(SOURCES["A"], others)


def test_a_digest_does_not_depend_on_memory() -> None:
    network = build(RECIPE, CLASSES)
    names = list(network.state_dict())
    before = digest(network.state_dict(), names)
    moved = network.to(memory_format=torch.channels_last)
    assert not moved.get_parameter("conv1.weight").is_contiguous()
    assert digest(moved.state_dict(), names) == before
    part = {"x": torch.arange(20.0).reshape(4, 5)[:, 1:3]}
    assert digest(part, ["x"]) == digest({"x": part["x"].clone()}, ["x"])


@pytest.mark.parametrize(
    "other",
    [
        {"y": torch.zeros(2, 3)},
        {"x": torch.zeros(3, 2)},
        {"x": torch.zeros(2, 3, dtype=torch.int32)},
        {"x": -torch.zeros(2, 3)},
    ],
)
def test_a_digest_tells_names_shapes_types_and_signs(other: dict[str, Tensor]) -> None:
    assert digest(other, list(other)) != digest({"x": torch.zeros(2, 3)}, ["x"])


def test_the_digest_of_bfloat16_scalars_and_of_nothing() -> None:
    assert digest({}, []) == ""
    assert len(digest({"x": torch.tensor(1.5, dtype=torch.bfloat16)}, ["x"])) == 64
