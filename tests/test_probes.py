"""Ridge probe, H-score, LogME and gradient ratio: as they are defined, reckoned another way, and on features of known worth."""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.conftest import tiny_recipe
from transfercli.networks.layers import layers_of, run
from transfercli.networks.probes import (
    PENALTIES,
    Head,
    gradient_ratio,
    gradients,
    h_score,
    ledoit_wolf,
    log_me,
    pooled,
    ridge,
    spectrum,
    weights_of,
)
from transfercli.networks.start import draw
from transfercli.system.randomness import generator

SHAPES = [(60, 7, 3), (40, 90, 4), (33, 33, 2)]  # pictures, features, classes: tall, wide, square


def drawn(n: int, d: int, classes: int, apart: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features of unlike scales around each class's own mean, and labels of which each class has some."""
    random = generator("probes", n, d, seed)
    labels = torch.arange(n) % classes
    scales = torch.logspace(-1, 1, d, dtype=torch.float64)
    means = apart * torch.randn(classes, d, generator=random, dtype=torch.float64)
    return (means[labels] + torch.randn(n, d, generator=random, dtype=torch.float64)) * scales + 3, labels


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small matrices are soon done; on a busy machine threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@given(st.integers(2, 30), st.integers(1, 30), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_spectrum_is_that_of_the_matrix(n: int, d: int, seed: int) -> None:
    matrix = torch.randn(n, d, generator=generator("matrix", seed), dtype=torch.float64)
    left, squares = spectrum(matrix)
    assert torch.allclose(squares.flip(0).sqrt(), torch.linalg.svdvals(matrix)[: len(squares)], rtol=1e-6)
    assert torch.allclose(left.T @ left, torch.eye(len(squares), dtype=torch.float64), atol=1e-6)
    assert torch.allclose(left @ (left.T @ matrix), matrix, atol=1e-6)


# -- ridge


def fitted(x: Tensor, y: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Ridge regression by its normal equations with a column of ones: weight and bias."""
    ones = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    size = torch.eye(ones.shape[1], dtype=x.dtype)
    size[-1, -1] = 0
    both = torch.linalg.solve(ones.T @ ones + penalty * size, ones.T @ y)
    return both[:-1], both[-1]


@pytest.mark.parametrize("shape", SHAPES)
def test_ridge_is_that_of_the_normal_equations_with_the_penalty_of_leaving_one_out(shape: tuple[int, int, int]) -> None:
    x, labels = drawn(*shape, apart=0.5)
    n, y = len(x), F.one_hot(labels, shape[2]).double()
    squares = torch.linalg.svdvals(x - x.mean(0)).square()
    scale = float(squares[squares > 1e-9 * squares.max()].mean())

    def left_out(penalty: float) -> Tensor:
        outputs = torch.empty_like(y)
        for i in range(n):
            others = torch.arange(n) != i
            weight, bias = fitted(x[others], y[others], penalty)
            outputs[i] = x[i] @ weight + bias
        return outputs

    errors = {one: float((left_out(scale * one) - y).square().sum()) for one in PENALTIES}
    penalty = scale * min(errors, key=lambda one: errors[one])
    weight, bias = fitted(x, y, penalty)
    head = ridge(x, labels, shape[2])
    sharp = float((head.weight * weight).sum() / weight.square().sum())
    assert torch.allclose(head.weight, sharp * weight, atol=1e-7 * sharp)
    assert torch.allclose(head.bias, sharp * bias, atol=1e-7 * sharp)
    assert 1 <= sharp <= 100

    def loss(times: float) -> float:
        return float(F.cross_entropy(times * left_out(penalty), labels))

    if 1.01 < sharp < 99:
        assert loss(sharp) < min(loss(sharp * 0.98), loss(sharp * 1.02))


def test_ridge_finds_a_penalty_for_noise_and_for_signal() -> None:
    """Of noise alone the weights are pressed down; of a signal they are not, and all held-out pictures are right."""
    x, labels = drawn(300, 20, 3, apart=4)
    noise = torch.randn(300, 20, generator=generator("noise"), dtype=torch.float64)
    assert bool(ridge(x[:200], labels[:200], 3).right(x[200:], labels[200:]).all())
    pressed = ridge(noise, labels, 3)
    free, _ = fitted(noise, F.one_hot(labels, 3).double(), 0.0)
    assert float(pressed.weight.norm()) < 0.5 * float(free.norm())


def test_a_class_without_pictures_is_never_named() -> None:
    x, labels = drawn(60, 7, 3)
    head = ridge(x, labels, 5)
    assert set(head.logits(x).argmax(1).tolist()) <= {0, 1, 2}


# -- H-score


@pytest.mark.parametrize("shape", SHAPES)
def test_h_score_is_bao_s_definition(shape: tuple[int, int, int]) -> None:
    x, labels = drawn(*shape)
    means = torch.stack([x[labels == label].mean(0) for label in labels])
    expected = torch.trace(torch.linalg.pinv(torch.cov(x.T), rtol=1e-12) @ torch.cov(means.T))
    assert h_score(x, labels, 0.0) == pytest.approx(float(expected), rel=1e-6)
    assert 0 <= h_score(x, labels, 0.0) <= shape[2] - 1 + 1e-9


@pytest.mark.parametrize("shape", SHAPES)
def test_regularised_h_score_is_ibrahim_s_definition(shape: tuple[int, int, int]) -> None:
    """Ledoit and Wolf's shrinkage picture by picture, with the matrices that they write."""
    x, labels = drawn(*shape)
    n, d = x.shape
    centred = x - x.mean(0)
    covariance = centred.T @ centred / n
    target = torch.eye(d, dtype=x.dtype) * torch.trace(covariance) / d
    apart = float((covariance - target).square().sum())
    noise = sum(float((torch.outer(one, one) - covariance).square().sum()) for one in centred) / n**2
    shrinkage = min(noise, apart) / apart
    assert 0 < shrinkage < 1
    assert ledoit_wolf(centred, spectrum(centred).squares / n) == pytest.approx(shrinkage, rel=1e-9)
    means = torch.stack([centred[labels == label].mean(0) for label in labels])
    shrunk = (1 - shrinkage) * covariance + shrinkage * target
    expected = torch.trace(torch.linalg.solve(shrunk, (1 - shrinkage) * means.T @ means / n))
    assert h_score(x, labels) == pytest.approx(float(expected), rel=1e-9)


# -- LogME


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("apart", [0.2, 2.0])
def test_log_me_is_the_largest_evidence(shape: tuple[int, int, int], apart: float) -> None:
    """The density of each class's 0 and 1 under N(0, I / β + f f' / α), made as large as a search can."""
    x, labels = drawn(*shape, apart=apart)
    n = len(x)
    kernel, found = x @ x.T, []

    def evidence(y: Tensor, point: Tensor) -> float:
        alpha, beta = point.exp().tolist()
        covariance = torch.eye(n, dtype=x.dtype) / beta + kernel / alpha
        return float(-(y @ torch.linalg.solve(covariance, y) + torch.logdet(covariance) + n * math.log(2 * math.pi)) / 2)

    for label in range(shape[2]):
        y, reach = (labels == label).double(), 1.0
        coarse = torch.cartesian_prod(torch.arange(-6.0, 14), torch.arange(-3.0, 10)).double()  # there is more than one peak
        best, point = max(((evidence(y, one), one) for one in coarse), key=lambda found: found[0])
        while reach > 1e-4:
            around = [point + reach * torch.tensor(step, dtype=torch.float64) for step in STEPS]
            values = [evidence(y, one) for one in around]
            if max(values) > best:
                best, point = max(values), around[values.index(max(values))]
            else:
                reach /= 2
        # the logarithm of α and β to a ten-thousandth, so the evidence to far less
        found.append(best / n)
    assert log_me(x, labels) == pytest.approx(sum(found) / len(found), abs=1e-6)


STEPS = [(a, b) for a in (-1.0, 0.0, 1.0) for b in (-1.0, 0.0, 1.0) if (a, b) != (0.0, 0.0)]


def test_log_me_of_features_that_say_nothing_is_that_of_none() -> None:
    labels = torch.arange(40) % 2
    nothing = -(math.log(2 * math.pi * 0.5) + 1) / 2  # half of the pictures are 1: y'y / n
    assert log_me(torch.zeros(40, 5), labels) == pytest.approx(nothing)
    assert h_score(torch.zeros(40, 5), labels) == 0
    assert ridge(torch.zeros(40, 5), labels, 2).right(torch.zeros(40, 5), labels).sum() == 20


# -- all of them

MEASURES: dict[str, Callable[[Tensor, Tensor], float]] = {"hscore": h_score, "logme": log_me}


def accuracy(x: Tensor, labels: Tensor) -> float:
    """Of the ridge probe, fitted on two thirds and measured on one."""
    held = torch.arange(len(x)) % 3 == 0
    return float(ridge(x[~held], labels[~held], int(labels.max()) + 1).right(x[held], labels[held]).double().mean())


MEASURES["ridge"] = accuracy


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize("d", [10, 400], ids=["narrow", "wide"])
def test_the_layer_that_separates_the_classes_is_first(measure: Callable[[Tensor, Tensor], float], d: int) -> None:
    labels = torch.arange(240) * 7 % 4
    random = generator("layers", d)
    noise = [torch.randn(240, d, generator=random, dtype=torch.float64) for _ in range(3)]
    means = torch.randn(4, d, generator=random, dtype=torch.float64)
    hidden = noise[1].clone()
    hidden[:, :10] += 3 * F.one_hot(labels, 10).double()  # the classes as a few of many directions
    scores = [measure(one, labels) for one in (noise[0], hidden, noise[2], noise[1] + 6 * means[labels])]
    assert max(scores[0], scores[2]) < min(scores[1], scores[3])


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize("shape", [(120, 12, 4), (90, 200, 3)])
def test_scale_and_rotation_do_not_count(measure: Callable[[Tensor, Tensor], float], shape: tuple[int, int, int]) -> None:
    x, labels = drawn(*shape, apart=0.3)
    turn, _ = torch.linalg.qr(torch.randn(shape[1], shape[1], generator=generator("turn"), dtype=torch.float64))
    for same in (x * 1e-4, x * 1e4, x @ turn):
        assert measure(same, labels) == pytest.approx(measure(x, labels), rel=1e-5)


@pytest.mark.parametrize("measure", [h_score, accuracy], ids=["hscore", "ridge"])
def test_what_all_pictures_have_in_common_does_not_count(measure: Callable[[Tensor, Tensor], float]) -> None:
    x, labels = drawn(120, 12, 4, apart=0.3)
    assert measure(x + 50, labels) == pytest.approx(measure(x, labels), rel=1e-6)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_the_order_of_pictures_and_the_names_of_classes_do_not_count(measure: Callable[[Tensor, Tensor], float]) -> None:
    x, labels = drawn(120, 12, 4, apart=0.3)
    order = torch.arange(120).view(40, 3).flip(0).flatten()  # the same pictures are held out
    assert measure(x[order], labels[order]) == pytest.approx(measure(x, labels), rel=1e-9)
    assert measure(x, (labels + 1) % 4) == pytest.approx(measure(x, labels), rel=1e-9)


def test_permuted_labels_give_chance() -> None:
    """Over many draws the probe's accuracy is 1 / classes; the others have no level of chance, but true labels are above all."""
    x, labels = drawn(240, 30, 4, apart=2)
    orders = [torch.randperm(240, generator=generator("permuted", draw)) for draw in range(40)]
    found = torch.tensor([accuracy(x, labels[order]) for order in orders])
    assert accuracy(x, labels) > 0.9
    assert float(found.mean()) == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 80 / 40))
    for measure in (h_score, log_me):
        assert measure(x, labels) > max(measure(x, labels[order]) for order in orders)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize("shape", [(400, 150, 5), (150, 400, 5)], ids=["tall", "wide"])
def test_the_number_of_threads_does_not_count(measure: Callable[[Tensor, Tensor], float], shape: tuple[int, int, int]) -> None:
    x, labels = drawn(*shape, apart=0.2)
    alone = measure(x, labels)
    torch.set_num_threads(3)
    assert measure(x, labels) == pytest.approx(alone, rel=1e-10)


# -- of a network


def test_features_are_means_over_places() -> None:
    places = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    assert torch.equal(pooled(places), places.mean((2, 3)))
    assert torch.equal(pooled(places.permute(0, 2, 3, 1)), places.mean((2, 3)))
    tokens = torch.arange(2 * 5 * 3.0).view(2, 5, 3)
    assert torch.equal(pooled((tokens, 7)), tokens.mean(1)) and torch.equal(pooled(tokens[:, 0]), tokens[:, 0])
    assert pooled(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == torch.float32


def test_the_gradient_ratio_is_that_of_the_whole_network() -> None:
    """In batches, beside one backward pass through the network with the head in place of its classifier."""
    network = draw(tiny_recipe(), 4, 0, "probes", "baseA").eval()
    layers = layers_of(network)[:-1]
    pictures = torch.randn(10, 3, 12, 12, generator=generator("pictures"))
    labels = torch.arange(10) % 4
    with torch.no_grad():
        features = pooled(run(layers, pictures))
    head = ridge(features, labels, 4)
    parts = [gradients(layers, head, pictures[at], labels[at]) for at in torch.arange(10).split(4)]
    found = gradient_ratio(layers, [sum(of) for of in zip(*parts, strict=True)], 10)
    own = nn.Linear(features.shape[1], 4)
    own.weight.data, own.bias.data = head.weight.T.float(), head.bias.float()
    network.fc8 = own
    F.cross_entropy(network(pictures), labels).backward()
    weights = [network.get_submodule(layer.name).weight for layer in layers]
    assert [len(of) for of in weights_of(layers)] == [1] * 7
    assert found == pytest.approx([float(weight.grad.norm() / weight.detach().norm()) for weight in weights], rel=1e-4)
    assert all(ratio > 0 for ratio in found)


def test_a_head_that_is_sure_and_right_leaves_no_gradient() -> None:
    network = draw(tiny_recipe(), 4, 0, "probes", "baseA").eval()
    layers = layers_of(network)[:-1]
    pictures, labels = torch.randn(4, 3, 12, 12, generator=generator("pictures")), torch.zeros(4, dtype=torch.int64)
    head = Head(torch.zeros(8, 4, dtype=torch.float64), torch.tensor([99.0, 0, 0, 0], dtype=torch.float64))
    assert gradient_ratio(layers, gradients(layers, head, pictures, labels), 4) == [0] * 7
