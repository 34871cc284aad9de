"""All classes of a folder as one task: layers from elsewhere, folds of training pictures, what is kept of each picture."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import transfercli
from tests.conftest import CLASSES, TINY, TRAIN, VAL, Tiny
from transfercli.networks.start import digest, draw
from transfercli.plan.networks import Network, base, named
from transfercli.plan.resolve import resolve
from transfercli.plan.treatments import TREATMENTS
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training.bench import Bench
from transfercli.training.reporter import SILENT
from transfercli.training.train import train

CPU = torch.device("cpu")
FOLDS = 3
NETWORKS = ["baseT", "P3T", "P3T+", "P0T.keep", "P3T.keep", "P7T.keep", "R3T"]


def whole(weights: Path, **changes: object) -> Recipe:
    """The tiny recipe of all classes, with layers from a file."""
    values = {
        **TINY,
        "splits": ["all"],
        "targets": ["T"],
        "layers": [3],
        "treatments": ["PnB", "PnB+", "PnB.keep", "RnB"],
        "source": {"weights": str(weights)},
        "pictures": {**TINY["pictures"], "mean": "channel", "folds": FOLDS},
        **changes,
    }
    return recipes.validate(values, "whole")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of the tiny recipe's kind for other classes, as a file."""
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    drawn = draw(recipes.validate(TINY, "tiny"), 5, 7, "elsewhere", "baseA")
    save_file(drawn.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def study(tiny: Tiny, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of the whole folder with one network of each kind, of two seeds and of one beyond the folds."""
    study = Study(tmp_path_factory.mktemp("whole") / "study")
    recipe = tmp_path_factory.mktemp("recipe") / "whole.yaml"
    recipe.write_text(recipes.dump(whole(weights)))
    transfercli.split(study, tiny.study.root / "pictures", recipe=str(recipe))
    train(study, [named("all", seed, name) for seed in (0, 1, FOLDS) for name in NETWORKS], CPU, None, SILENT)
    return study


def test_all_classes_are_one_task(study: Study) -> None:
    halves = study.halves("all")
    assert [task.name for task in halves.split.tasks] == ["T"]
    assert len(halves.split.classes("T")) == CLASSES == len(halves.split.every)
    assert halves.counts == {"T": {"train": CLASSES * TRAIN, "val": CLASSES * VAL}}
    assert {row["target"] for row in study.rows()} == {"T"}
    assert {row["classes"] for row in study.rows()} == {CLASSES}


def test_pretrained_layers_are_the_files_and_stay(study: Study, weights: Path) -> None:
    given = load_file(weights)
    convolutions = [f"conv{n}.{kind}" for n in (1, 2, 3) for kind in ("weight", "bias")]
    for name, frozen in (("P3T", convolutions), ("P3T.keep", convolutions), ("P0T.keep", [])):
        trained = load_file(study.folder(named("all", 0, name)) / "weights.safetensors")
        row = study.row(named("all", 0, name))
        assert row and row["source"] == "pretrained" and row["source_digest"] == digest(given, sorted(given))
        assert all(torch.equal(trained[key], given[key]) for key in frozen)
        assert row["frozen_digest_before"] == row["frozen_digest_after"] == (digest(given, frozen) if frozen else "")
        assert not torch.equal(trained["fc7.weight"], given["fc7.weight"])
    last = load_file(study.folder(named("all", 0, "P7T.keep")) / "weights.safetensors")
    assert all(torch.equal(last[key], given[key]) for key in given if not key.startswith("fc8"))


def test_folds_are_disjoint_and_stratified(study: Study) -> None:
    bench = Bench(study, study.recipe(), study.halves("all"), CPU, torch.float32)
    folds = [bench.fold("T", seed) for seed in range(FOLDS)]
    assert all(fold is not None for fold in folds) and bench.fold("T", FOLDS) is None
    together = torch.stack([fold for fold in folds if fold is not None])
    assert together.sum(0).eq(1).all()
    labels = bench.pixels("T", "train").labels
    per_class = torch.stack([labels[fold].bincount(minlength=CLASSES) for fold in together])
    assert int(per_class.max() - per_class.min()) <= 1
    assert int(together.sum(1).max() - together.sum(1).min()) <= 1
    for seed in range(FOLDS):
        seen, held = bench.seen("T", seed), bench.holdout("T", seed)
        assert held is not None and len(seen) + len(held) == CLASSES * TRAIN
        assert seen.fetch(torch.arange(len(seen)))[1].tolist() == (~together[seed]).nonzero()[:, 0].tolist()


def test_rows_tell_of_the_holdout_and_of_each_picture(study: Study) -> None:
    for seed, held in ((0, 1), (1, 1), (FOLDS, 0)):
        for name in NETWORKS:
            network = named("all", seed, name)
            row, path = study.row(network), study.folder(network) / "predictions.safetensors"
            assert row and ("holdout_top1" in row) == bool(held) == path.exists()
            if held:
                told = load_file(path)
                labels = Bench(study, study.recipe(), study.halves("all"), CPU, torch.float32)
                for part, top1 in (("val", row["top1"]), ("holdout", row["holdout_top1"])):
                    pixels = labels.pixels("T", "val") if part == "val" else labels.holdout("T", seed)
                    assert pixels is not None
                    assert float((told[part] == pixels.labels).double().mean()) == pytest.approx(top1, abs=1e-12)
                assert row["holdout_pictures"] == len(told["holdout"])


def test_a_network_is_the_same_alone(study: Study, weights: Path, tiny: Tiny, tmp_path: Path) -> None:
    recipe = tmp_path / "whole.yaml"
    recipe.write_text(recipes.dump(whole(weights)))
    alone = Study(tmp_path / "study")
    transfercli.split(alone, tiny.study.root / "pictures", recipe=str(recipe))
    for name in ("P3T.keep", "baseT"):
        network = named("all", 1, name)
        train(alone, [network], CPU, 1, SILENT)
        mine, theirs = alone.row(network), study.row(network)
        assert mine and theirs and mine["weights_digest"] == theirs["weights_digest"]
        assert mine["holdout_loss"] == theirs["holdout_loss"]


def test_other_weights_than_the_study_began_with_are_refused(tiny: Tiny, weights: Path, tmp_path: Path) -> None:
    given = tmp_path / "given.safetensors"
    given.write_bytes(weights.read_bytes())
    recipe = tmp_path / "whole.yaml"
    recipe.write_text(recipes.dump(whole(given)))
    study = Study(tmp_path / "study")
    transfercli.split(study, tiny.study.root / "pictures", recipe=str(recipe))
    save_file({name: tensor + 1 for name, tensor in load_file(given).items()}, given)
    with pytest.raises(TransferError) as raised:
        train(study, [named("all", 0, "P3T")], CPU, None, SILENT)
    assert str(raised.value) == (
        f"the weights of {given} are not those that this study was begun with; put those back, or start a new study: --study DIR"
    )


def test_weights_need_not_be_kept(tiny: Tiny, weights: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "whole.yaml"
    recipe.write_text(recipes.dump(whole(weights, training={**TINY["training"], "keep_weights": False})))
    study = Study(tmp_path / "study")
    transfercli.split(study, tiny.study.root / "pictures", recipe=str(recipe))
    kept = study.recipe().training.model_copy(update={"keep_weights": True})
    assert study.recipe().digest() == study.recipe().model_copy(update={"training": kept}).digest()
    network = named("all", 0, "P3T")
    train(study, [network], CPU, None, SILENT)
    assert study.row(network) and not (study.folder(network) / "weights.safetensors").exists()


def test_verify_reads_pretrained_layers_and_what_was_said_of_pictures(tiny: Tiny, weights: Path, tmp_path: Path) -> None:
    given = tmp_path / "given.safetensors"
    given.write_bytes(weights.read_bytes())
    recipe = tmp_path / "whole.yaml"
    recipe.write_text(recipes.dump(whole(given, training={**TINY["training"], "keep_weights": False})))
    study = Study(tmp_path / "study")
    transfercli.split(study, tiny.study.root / "pictures", recipe=str(recipe))
    # Of the seed beyond the folds weights are kept, of the other not.
    train(study, [named("all", seed, name) for seed in (0, FOLDS) for name in ("P3T.keep", "R3T")], CPU, None, SILENT)
    report = transfercli.verify(study, CPU)
    assert (report.problems, report.unchecked) == ([], [])
    assert report.counts["weights that were not to be kept"] == 2
    assert report.counts["predictions"] == 2 * 4  # of two networks: their digest, both accuracies, that all could be read
    assert report.counts["frozen layers"] == report.counts["weights"] == 2

    given.rename(tmp_path / "gone.safetensors")
    report = transfercli.verify(study, CPU)
    assert report.problems == [] and report.counts["frozen layers"] == 1
    assert report.unchecked[0].startswith("whether frozen layers are the pretrained ones: no file, folder or library's weights")

    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, given)
    assert transfercli.verify(study, CPU).problems == [f"{given} holds other weights now"]

    (tmp_path / "gone.safetensors").replace(given)
    path = study.folder(named("all", 0, "R3T")) / "predictions.safetensors"
    told = load_file(path)
    save_file({**told, "holdout": (told["holdout"] + 1) % CLASSES}, path)
    other, accuracy = transfercli.verify(study, CPU).problems
    assert other == "all R3T: its predictions are not those of its row"
    assert accuracy.startswith("all R3T: its row has holdout_top1 ")
    moved = {key: (value + 1) % CLASSES for key, value in told.items()}  # which are right as often
    save_file(moved, path)
    assert transfercli.verify(study, CPU).problems == [other]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"targets": ["B"]}, "splits: all and targets: T go together, and alone: all classes have no halves"),
        ({"splits": ["all", "random-0"]}, "splits: all and targets: T go together, and alone: all classes have no halves"),
        ({"treatments": ["AnB"]}, "AnB copies from the other half; of all classes there is none"),
        ({"source": None}, "PnB copies pretrained layers; say where they are: source.weights"),
        (
            {"treatments": ["BnB"], "training": {**TINY["training"], "keep_weights": False}},
            "BnB copies from a network of the study; leave training.keep_weights at true",
        ),
    ],
)
def test_what_does_not_fit_together_is_told(weights: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(TransferError) as raised:
        whole(weights, **changes)
    assert said in str(raised.value)


def test_the_last_layer_is_never_copied() -> None:
    for depth in (2, 8, 20):
        for n in range(depth):
            one = resolve(Network("all", 0, "PnB.keep", n, "T"), depth)
            assert one.origins == ("P",) * (depth - 1) + ("",)
            assert one.learns == {*range(n + 1, depth + 1)} and one.input == "T"
    assert TREATMENTS["PnB.keep"].least == 0
    assert base("all", 0, "T").name == "baseT" and named("all", 2, "P0T.keep@rate=3.0").control.name == "baseT"
