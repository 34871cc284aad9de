"""The networks: Caffe's layers with the paper's shapes and Gaussians, cut where the paper cuts them."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from transfercli.networks.costs import describe
from transfercli.networks.eight import CAFFENET_WIDTHS, Eight, caffenet, chatfield, small
from transfercli.networks.initialise import initialise
from transfercli.networks.layers import Masks, layers_of, run
from transfercli.networks.modules import LRN, Dropout
from transfercli.recipe.network import CHATFIELD_WIDTHS
from transfercli.system.randomness import generator

SLIM = (4, 8, 8, 8, 8, 16, 16)
SHAPES = {  # of Krizhevsky's weights: outputs, inputs of one group, kernel
    "conv1": (96, 3, 11, 11),
    "conv2": (256, 48, 5, 5),
    "conv3": (384, 256, 3, 3),
    "conv4": (384, 192, 3, 3),
    "conv5": (256, 192, 3, 3),
    "fc6": (4096, 9216),
    "fc7": (4096, 4096),
    "fc8": (1000, 4096),
}
GAUSSIANS = {  # standard deviation and bias in the study's train_val.prototxt
    "conv1": (0.01, 0),
    "conv2": (0.01, 1),
    "conv3": (0.01, 0),
    "conv4": (0.01, 1),
    "conv5": (0.01, 1),
    "fc6": (0.005, 1),
    "fc7": (0.005, 1),
    "fc8": (0.01, 0),
}


@pytest.fixture(scope="module")
def full() -> nn.Sequential:
    """The paper's network at full width, with the paper's draw."""
    network = caffenet()
    initialise(network, "caffe", lambda name: generator("test", name))
    return network


def meta(build, *args, **kwargs) -> nn.Sequential:
    """A network without its weights: quick at any width."""
    with torch.device("meta"):
        return build(*args, **kwargs)


def drawn(network: nn.Sequential, scheme: str = "he", seed: int = 0) -> nn.Sequential:
    initialise(network, scheme, lambda name: generator(seed, name))
    return network


def assert_close(ours: Tensor, theirs: Tensor, relative: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= relative * theirs.abs().max()


# local response normalisation


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7, 96])
@pytest.mark.parametrize(
    ("size", "alpha", "beta"),
    [
        (5, 1e-4, 0.75),
        (1, 1e-2, 0.75),
        (3, 1.0, 0.75),
        (9, 0.5, 0.75),
        (5, 1e-4, 0.5),
        (5, 0.1, 1.0),
        (2, 0.3, 0.75),
        (4, 0.3, 2.0),
    ],
)
def test_lrn_is_torchs(channels: int, size: int, alpha: float, beta: float) -> None:
    random = generator("lrn", channels, size)
    x = torch.randn(2, channels, 5, 4, generator=random) * 30
    weight = torch.randn(x.shape, generator=random)
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours, theirs = LRN(channels, size, alpha, beta)(a), nn.LocalResponseNorm(size, alpha, beta, k=1)(b)
    assert_close(ours, theirs)
    (ours * weight).sum().backward()
    (theirs * weight).sum().backward()
    assert a.grad is not None and b.grad is not None
    assert_close(a.grad, b.grad)


def test_lrn_has_the_papers_figures_and_nothing_to_save() -> None:
    x = torch.tensor([10.0, -200.0, 30.0, 400.0, 0.0, -60.0, 7.0])
    squares = [sum(v * v for v in x[max(0, i - 2) : i + 3].tolist()) for i in range(7)]
    by_hand = [v / (1 + 1e-4 / 5 * s) ** 0.75 for v, s in zip(x.tolist(), squares, strict=True)]
    norm = LRN(7)
    assert_close(norm(x[None, :, None, None]).flatten(), torch.tensor(by_hand), 1e-6)
    assert norm.state_dict() == {} and list(norm.parameters()) == []


# shapes, names, parameters


def test_caffenet_has_the_papers_parameters() -> None:
    network = meta(caffenet)
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters()}
    expected: dict[str, tuple[int, ...]] = {}
    for name, shape in SHAPES.items():
        expected |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    assert shapes == expected
    assert list(shapes) == list(expected)  # in the order of the layers
    assert list(network.state_dict()) == list(expected)  # no buffer beside them
    assert sum(p.numel() for p in network.parameters()) == 60_965_224
    assert {name: m.groups for name, m in network.named_children() if isinstance(m, nn.Conv2d)} == {
        "conv1": 1, "conv2": 2, "conv3": 1, "conv4": 2, "conv5": 2,
    }  # fmt: skip


def test_caffenet_in_a_slim_version() -> None:
    network = drawn(caffenet(10, SLIM, crop=67, dropout=0.25))
    names = list(meta(caffenet).state_dict())
    assert list(network.state_dict()) == names
    assert [network.get_parameter(name).shape[0] for name in names[::2]] == [*SLIM, 10]
    assert {m.rate for m in network if isinstance(m, Dropout)} == {0.25}
    assert network(torch.randn(3, 3, 67, 67, generator=generator(1))).shape == (3, 10)


@pytest.mark.parametrize(("crop", "side"), [(227, 6), (224, 6), (231, 7), (39, 1)])
def test_caffenets_pooling_rounds_up(crop: int, side: int) -> None:
    network = meta(caffenet, 10, SLIM, crop=crop)
    assert network.get_parameter("fc6.weight").shape[1] == SLIM[4] * side**2
    assert network(torch.empty(2, 3, crop, crop, device="meta")).shape == (2, 10)


@pytest.mark.parametrize("normalisation", ["none", "lrn", "batch"])
def test_small_network(normalisation: str) -> None:
    network = drawn(small(10, SLIM, crop=28, normalisation=normalisation))
    kernels = [m.weight.shape[2:] for m in network if isinstance(m, nn.Conv2d)]
    assert kernels == [(5, 5), (3, 3), (3, 3), (3, 3), (3, 3)]
    assert network.get_parameter("fc6.weight").shape == (16, SLIM[4] * 3 * 3)  # 28 → 14 → 7 → 3
    assert network(torch.randn(2, 3, 28, 28, generator=generator(2))).shape == (2, 10)


# layers


def test_caffenet_is_cut_before_each_convolution_and_fully_connected_layer() -> None:
    assert [[name for name, _ in layer.modules] for layer in layers_of(meta(caffenet))] == [
        ["conv1", "pool1", "relu1", "norm1"],
        ["conv2", "pool2", "relu2", "norm2"],
        ["conv3", "relu3"],
        ["conv4", "relu4"],
        ["conv5", "pool5", "relu5", "flatten"],
        ["fc6", "relu6", "drop6"],
        ["fc7", "relu7", "drop7"],
        ["fc8"],
    ]


@pytest.mark.parametrize(
    ("normalisation", "convolutions"),
    [
        ("none", ["conv1 pool1 relu1", "conv2 pool2 relu2", "conv3 relu3", "conv4 relu4", "conv5 pool5 relu5 flatten"]),
        (
            "lrn",
            ["conv1 pool1 relu1 norm1", "conv2 pool2 relu2 norm2", "conv3 relu3", "conv4 relu4", "conv5 pool5 relu5 flatten"],
        ),
        (
            "batch",
            [
                "conv1 norm1 pool1 relu1",
                "conv2 norm2 pool2 relu2",
                "conv3 norm3 relu3",
                "conv4 norm4 relu4",
                "conv5 norm5 pool5 relu5 flatten",
            ],
        ),
    ],
)
def test_small_is_cut_into_the_same_eight_layers(normalisation: str, convolutions: list[str]) -> None:
    layers = layers_of(meta(small, 10, SLIM, crop=28, normalisation=normalisation))
    names = [" ".join(name for name, _ in layer.modules) for layer in layers]
    assert names == [*convolutions, "fc6 relu6 drop6", "fc7 relu7 drop7", "fc8"]


def chain(modules: Sequence[tuple[str, nn.Module]], x: Tensor, masks: Masks | None = None) -> Tensor:
    return run(layers_of(Eight(OrderedDict(modules))), x, masks)


def test_layer_by_layer_is_the_network() -> None:
    network = drawn(caffenet(10, SLIM, crop=67))
    x = torch.randn(2, 3, 67, 67, generator=generator(3))
    whole, y = network(x), x
    for layer in layers_of(network):
        y = layer.run(y)
    assert torch.equal(y, whole)


def test_masks_act_where_dropout_stands_and_only_in_training() -> None:
    network = drawn(small(10, SLIM, crop=28))
    x = torch.randn(2, 3, 28, 28, generator=generator(4))
    masks = {name: torch.full((2, 16), float(i)) for i, name in enumerate(("drop6", "drop7"), start=2)}
    children = list(network.named_children())
    position = [name for name, _ in children].index
    hidden = chain(children[: position("drop6")], x) * 2
    hidden = chain(children[position("fc7") : position("drop7")], hidden) * 3
    assert torch.equal(chain(children, x, masks), network.get_submodule("fc8")(hidden))
    assert torch.equal(chain(children, x), network(x))


@pytest.mark.parametrize("name", ["caffenet", "small"])
def test_pooling_before_relu_is_relu_before_pooling(name: str) -> None:
    network = drawn(caffenet(10, SLIM, crop=67) if name == "caffenet" else small(10, SLIM, crop=28, normalisation="lrn"))
    children = list(network.named_children())
    swapped = list(children)
    for i, ((_, first), (_, second)) in enumerate(pairwise(children)):
        if isinstance(first, nn.MaxPool2d) and isinstance(second, nn.ReLU):
            swapped[i : i + 2] = [children[i + 1], children[i]]
    assert sum(a is not b for a, b in zip(children, swapped, strict=True)) == 6  # three pools change places
    size = 67 if name == "caffenet" else 28
    x = torch.randn(4, 3, size, size, generator=generator(5))
    results = []
    for order in (children, swapped):
        network.zero_grad()
        logits = chain(order, x)
        logits.square().sum().backward()
        results.append([logits.detach(), *(p.grad.clone() for p in network.parameters() if p.grad is not None)])
    assert len(results[0]) == 1 + 16
    assert any(bool(gradient.abs().sum() > 0) for gradient in results[0][1:3])  # conv1 learns, so the test says something
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


# weights


@pytest.mark.parametrize("name", SHAPES)
def test_the_papers_gaussians(full: nn.Sequential, name: str) -> None:
    std, bias = GAUSSIANS[name]
    weight = full.get_parameter(f"{name}.weight").detach()
    few = 5 / math.sqrt(weight.numel())  # five standard errors of a unit Gaussian's mean
    assert abs(weight.mean() / std) < few
    assert abs(weight.std() / std - 1) < few / math.sqrt(2)
    within = (weight.abs() < std).count_nonzero() / weight.numel()
    assert abs(within - math.erf(math.sqrt(0.5))) < few / 2  # a Gaussian, not another law of this width
    assert torch.equal(full.get_parameter(f"{name}.bias"), torch.full((weight.shape[0],), float(bias)))


def test_he_weights() -> None:
    network = drawn(caffenet(10, (32, 64, 64, 64, 64, 256, 256), crop=67), "he")
    for number, layer in enumerate(layers_of(network), start=1):
        module = layer.modules[0][1]
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        std = 0.01 if number == 8 else math.sqrt(2 / module.weight[0].numel())
        assert float(module.weight.detach().std()) == pytest.approx(std, rel=5 / math.sqrt(2 * module.weight.numel()))
        assert module.bias is not None and not module.bias.any()


@pytest.mark.parametrize("scheme", ["caffe", "he"])
def test_a_layers_draw_does_not_depend_on_the_others(scheme: str) -> None:
    one = drawn(small(10, SLIM, crop=28), scheme).state_dict()
    other = drawn(small(7, (6, *SLIM[1:]), crop=28), scheme).state_dict()  # other conv1, hence conv2; other fc8
    same = {name for name in one if one[name].shape == other[name].shape and torch.equal(one[name], other[name])}
    assert {name for name in one if name.endswith("weight")} - same == {"conv1.weight", "conv2.weight", "fc8.weight"}
    again = drawn(small(10, SLIM, crop=28), scheme).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    seeded = drawn(small(10, SLIM, crop=28), scheme, seed=1).state_dict()
    assert not any(torch.equal(one[name], seeded[name]) for name in one if name.endswith("weight"))


def test_no_two_layers_draw_the_same_numbers() -> None:
    network = drawn(small(16, (16,) * 7, crop=28))
    first = [layer.modules[0][1].get_parameter("weight").detach().flatten()[:16] for layer in layers_of(network)]
    unit = torch.stack([numbers / numbers.norm() for numbers in first])  # whatever the layer's standard deviation
    assert float((unit @ unit.T - torch.eye(8)).abs().max()) < 0.9


def test_the_draw_leaves_torchs_own_generator_alone() -> None:
    network = small(10, SLIM, crop=28)
    before = torch.get_rng_state()
    drawn(network)
    assert torch.equal(torch.get_rng_state(), before)


# describe


def test_describe_caffenet() -> None:
    rows = describe(meta(caffenet), 227)
    assert [row["layer"] for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [row["name"] for row in rows] == list(SHAPES)
    assert [row["shape"] for row in rows] == [
        (96, 27, 27), (256, 13, 13), (384, 13, 13), (384, 13, 13), (256 * 6 * 6,), (4096,), (4096,), (1000,),
    ]  # fmt: skip
    assert rows[0]["modules"] == ["conv1", "pool1", "relu1", "norm1"]
    assert [row["multiply_adds"] for row in rows] == [
        55 * 55 * 96 * 3 * 11 * 11,  # 105,415,200
        27 * 27 * 256 * (96 // 2) * 5 * 5,  # two groups
        13 * 13 * 384 * 256 * 3 * 3,
        13 * 13 * 384 * (384 // 2) * 3 * 3,
        13 * 13 * 256 * (384 // 2) * 3 * 3,
        256 * 6 * 6 * 4096,
        4096 * 4096,
        4096 * 1000,
    ]
    assert sum(row["multiply_adds"] for row in rows) == 724_406_816
    assert [row["parameters"] for row in rows] == [math.prod(shape) + shape[0] for shape in SHAPES.values()]
    assert rows[0]["outputs"] == 96 * (55 * 55 + 3 * 27 * 27)  # of conv1, pool1, relu1 and norm1


def test_describe_small() -> None:
    rows = describe(small(10, (16, 32, 48, 48, 48, 128, 64), crop=28, normalisation="batch"), 28)
    assert [row["shape"] for row in rows] == [(16, 14, 14), (32, 7, 7), (48, 7, 7), (48, 7, 7), (432,), (128,), (64,), (10,)]
    assert [row["multiply_adds"] for row in rows] == [
        28 * 28 * 16 * 3 * 25,
        14 * 14 * 32 * 16 * 9,
        7 * 7 * 48 * 32 * 9,
        7 * 7 * 48 * 48 * 9,
        7 * 7 * 48 * 48 * 9,
        432 * 128,
        128 * 64,
        64 * 10,
    ]
    assert rows[0]["parameters"] == 16 * 3 * 25 + 16 + 2 * 16  # with the normalisation's scale and shift


def test_describe_changes_nothing() -> None:
    network = drawn(small(10, SLIM, crop=28, normalisation="batch")).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    describe(network, 28)
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_widths_are_the_papers() -> None:
    assert tuple(shape[0] for shape in SHAPES.values()) == (*CAFFENET_WIDTHS, 1000)


@pytest.mark.parametrize(
    ("name", "shapes", "parameters"),
    [
        ("cnn-f", [(64, 27, 27), (256, 13, 13), (256, 13, 13), (256, 13, 13), (9216,)], 60_834_536),
        ("cnn-m", [(96, 54, 54), (256, 13, 13), (512, 13, 13), (512, 13, 13), (18432,)], 102_908_520),
        ("cnn-s", [(96, 37, 37), (256, 18, 18), (512, 18, 18), (512, 18, 18), (18432,)], 102_908_520),
    ],
)
def test_chatfields_networks_are_those_of_their_table(name: str, shapes: list[tuple[int, ...]], parameters: int) -> None:
    """Each feeds 6×6 maps to fc6; the numbers of weights are those of the authors' released models."""
    rows = describe(meta(chatfield, name, 1000, CHATFIELD_WIDTHS[name]), 224)
    assert [row["shape"] for row in rows] == [*shapes, (4096,), (4096,), (1000,)]
    assert sum(row["parameters"] for row in rows) == parameters
    norms = [module for module in meta(chatfield, name, 10, CHATFIELD_WIDTHS[name]).modules() if isinstance(module, LRN)]
    assert [(norm.size, norm.alpha, norm.beta, norm.k) for norm in norms] == [(5, 5e-4, 0.75, 2.0)] * (
        1 if name == "cnn-s" else 2
    )


def test_skips_take_no_weights_and_add_what_came_in() -> None:
    plain, skipping = (small(10, SLIM, 28, normalisation="batch", skips=skips) for skips in (False, True))
    assert {n: p.shape for n, p in plain.named_parameters()} == {n: p.shape for n, p in skipping.named_parameters()}
    network = drawn(small(10, (4, 6, 6, 3, 6, 8, 8), 28, skips=True))
    x = torch.randn(2, 4, 14, 14, generator=generator(7))
    inner = nn.functional.relu(network.get_submodule("conv2")(x))
    wider = nn.functional.pad(x, (0, 0, 0, 0, 0, 2))
    second, third, fourth = layers_of(network)[1:4]
    assert torch.equal(second.run(x), nn.functional.max_pool2d(inner + wider, 2))
    x = torch.randn(2, 6, 7, 7, generator=generator(8))
    assert torch.equal(third.run(x), nn.functional.relu(network.get_submodule("conv3")(x)) + x)
    assert torch.equal(fourth.run(x), nn.functional.relu(network.get_submodule("conv4")(x)) + x[:, :3])
