"""Several devices by Ray: the same table as alone, whatever dies on the way."""

from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Tiny

import transfercli
from transfercli.recipe import reading as recipes
from transfercli.study.folder import Study
from transfercli.system.device_names import Remote

ray = pytest.importorskip("ray")
# How a network came to be trained: these may differ between two ways to train the same.
CAME_ABOUT = {"bank", "bank_seconds", "pictures_per_second", "finished", "commit"}
SMALL: dict[str, Any] = {"judged": False, "layers": [2, 5], "treatments": ["BnB", "AnB", "AnB+", "RnB"], "targets": ["A", "B"]}
TWO = Remote(device="cpu", workers=2, cpus=1)


def table(study: Study) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in CAME_ABOUT | {"device"}} for row in study.rows()]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.yaml"
    path.write_text(recipes.dump(recipes.validate({**TINY, **SMALL}, "small")))
    return path


def begun(root: Path, tiny: Tiny, recipe: Path) -> Study:
    transfercli.split(Study(root), tiny.study.root / "pictures", recipe=str(recipe))
    return Study(root)


@pytest.fixture(scope="module")
def alone(tiny: Tiny, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = begun(tmp_path_factory.mktemp("alone") / "study", tiny, recipe)
    transfercli.train_base(study, device="cpu")
    transfercli.sweep(study, device="cpu")
    return study


def test_two_workers_make_the_table_of_one(alone: Study, tiny: Tiny, recipe: Path, tmp_path: Path) -> None:
    study = begun(tmp_path / "study", tiny, recipe)
    done = transfercli.run(study, str(recipe), tiny.study.root / "pictures", remote=TWO)
    assert table(study) == table(alone)
    assert done.networks is not None and not done.networks.failed
    assert not (study.root / ".attempts").exists() and not list(study.root.rglob("*checkpoints*"))
