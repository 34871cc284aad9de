"""One pass over a study's pictures: each layer's measures, of the right pictures, the same whatever the number of threads."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import transfercli
from tests.conftest import CLASSES, TINY, TRAIN, VAL, Tiny
from transfercli.networks.layers import layers_of
from transfercli.networks.probes import h_score, log_me, pooled, ridge
from transfercli.networks.start import draw
from transfercli.pictures.stream import centre_crop, normalise
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training.bench import Bench
from transfercli.training.probing import probe, spread

CPU = torch.device("cpu")
FOLDS = 3


def drawn() -> dict[str, Tensor]:
    return draw(recipes.validate(TINY, "tiny"), 5, 7, "elsewhere", "baseA").state_dict()


def study_of(tiny: Tiny, weights: Path, root: Path, **pictures: object) -> Study:
    """All classes of the tiny folder, split, with layers from a file."""
    values: dict[str, Any] = {
        **{**TINY, "splits": ["all"], "targets": ["T"], "layers": [3], "treatments": ["PnB.keep"]},
        **{"source": {"weights": str(weights)}, "pictures": {**TINY["pictures"], "mean": "channel", **pictures}},
    }
    recipe = root / "whole.yaml"
    recipe.write_text(recipes.dump(recipes.validate(values, "whole")))
    study = Study(root / "study")
    transfercli.split(study, tiny.study.root / "pictures", recipe=str(recipe))
    return study


def bench_of(study: Study, recipe: Recipe | None = None) -> Bench:
    return Bench(study, recipe or study.recipe(), study.halves("all"), CPU, torch.float32)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    save_file(drawn(), path := tmp_path_factory.mktemp("weights") / "mine.safetensors")
    return path


@pytest.fixture(scope="module")
def folded(tiny: Tiny, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_of(tiny, weights, tmp_path_factory.mktemp("folded"), folds=FOLDS)


def features(bench: Bench, weights: Path, pixels: Any) -> list[Tensor]:
    """Of each layer of the file's network, all pictures at once."""
    network = draw(recipes.validate(TINY, "tiny"), CLASSES, 0, "all", "transferT")
    given = load_file(weights)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not name.startswith("fc8"):
                parameter.copy_(given[name])
        x = normalise(centre_crop(pixels, torch.arange(len(pixels))), bench.mean("T"), bench.recipe.pictures)
        found = []
        for layer in layers_of(network.eval())[:-1]:
            found.append(pooled(x := layer.run(x)))
    return found


def test_rows_are_the_measures_of_each_layer_on_the_fold(folded: Study, weights: Path) -> None:
    bench = bench_of(folded)
    probed = probe(bench, "T", seed=1)
    seen, held = bench.seen("T", 1), bench.holdout("T", 1)
    assert held is not None and (probed.fitted, probed.measured) == (len(seen), len(held)) and probed.held_out
    assert probed.differentiated == len(seen) and probed.classes == CLASSES
    assert probed.chance == float(held.labels.bincount().max()) / len(held)
    assert [(row["layer"], row["name"]) for row in probed.rows] == list(
        enumerate(["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"], start=1)
    )
    both = zip(features(bench, weights, seen), features(bench, weights, held), strict=True)
    for row, (x, y) in zip(probed.rows, both, strict=True):
        assert row["width"] == x.shape[1]
        assert row["ridge"] == float(ridge(x, seen.labels, CLASSES).right(y, held.labels).double().mean())
        assert row["hscore"] == pytest.approx(h_score(x, seen.labels), rel=1e-3)  # of features that are float32, in chunks or not
        assert row["logme"] == pytest.approx(log_me(x, seen.labels), abs=1e-3)
        assert row["gradient_ratio"] > 0


def test_without_folds_val_is_measured(tiny: Tiny, weights: Path, tmp_path: Path) -> None:
    probed = probe(bench_of(study_of(tiny, weights, tmp_path)), "T")
    assert (probed.fitted, probed.measured, probed.held_out) == (CLASSES * TRAIN, CLASSES * VAL, False)


def test_the_number_of_threads_changes_no_bit(folded: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfercli.training.probing.CHUNK", 5)
    found = []
    for count in (1, 3):
        monkeypatch.setattr("transfercli.training.probing.processors", lambda count=count: count)
        found.append(probe(bench_of(folded), "T"))
    assert found[0] == found[1]


def test_chunks_are_added_up(folded: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where memory is so short that one backward pass runs at a time."""
    before = probe(bench_of(folded), "T")
    monkeypatch.setattr("transfercli.training.probing.STEP", 7)
    monkeypatch.setattr("transfercli.training.probing.free_memory", lambda device: 0)
    for one, other in zip(before.rows, probe(bench_of(folded), "T").rows, strict=True):
        assert one == {**other, "gradient_ratio": pytest.approx(other["gradient_ratio"], rel=1e-4)}


def test_of_many_pictures_each_class_gives_its_share(folded: Study) -> None:
    pixels = bench_of(folded).pixels("T", "train")
    few = spread(pixels, 3 * CLASSES)
    assert few.labels.bincount().tolist() == [3] * CLASSES and spread(pixels, len(pixels)) is pixels
    probed = probe(bench_of(folded), "T", most=CLASSES)
    assert (probed.fitted, probed.measured, probed.differentiated) == (CLASSES, CLASSES, CLASSES)


def test_nothing_is_trained_and_nothing_is_drawn(folded: Study) -> None:
    state = torch.random.get_rng_state()
    bench = bench_of(folded)
    before = {name: tensor.clone() for name, tensor in bench.pretrained.state.items()}
    probe(bench, "T")
    assert all(torch.equal(tensor, before[name]) for name, tensor in bench.pretrained.state.items())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_layers_that_are_not_finite_are_told(tiny: Tiny, tmp_path: Path) -> None:
    state = drawn()
    for name in ("conv3.weight", "conv4.weight"):
        state[name] *= 1e30  # each is finite
    save_file(state, path := tmp_path / "broken.safetensors")
    with pytest.raises(TransferError) as raised:
        probe(bench_of(study_of(tiny, path, tmp_path)), "T")
    assert str(raised.value) == (
        f"the layer conv4 of {path} returns numbers that are not finite on these pictures; "
        "choose other weights, or see that size, mean and std are theirs"
    )


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_finds_the_same(folded: Study) -> None:
    here = probe(bench_of(folded), "T")
    there = probe(Bench(folded, folded.recipe(), folded.halves("all"), torch.device("cuda"), torch.float32), "T")
    for one, other in zip(here.rows, there.rows, strict=True):
        near = {key: pytest.approx(other[key], rel=1e-2, abs=1e-3) for key in ("hscore", "logme", "gradient_ratio")}
        assert one == {**other, **near, "ridge": pytest.approx(other["ridge"], abs=2 / here.measured)}
