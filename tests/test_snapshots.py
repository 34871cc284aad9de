"""Bases keep their weights as they were after a share of their steps, and each can be a source that stopped early."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import CPU, SPLIT, TINY, Tiny, silent
from safetensors.torch import load_file, save_file

import transfercli
from transfercli.networks.start import Source
from transfercli.plan.networks import Network, bases, named
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.study.table import load
from transfercli.system.errors import TransferError
from transfercli.training.snapshots import path_of, step_of
from transfercli.training.train import check_bases, train

SHARES = [0.2, 0.6]  # of five steps: the first, the third
EARLY = ["A3B", "A3B@at=0.6", "A3B+@at=0.2", "B3B@at=0.2", "baseB+@at=0.6"]


def of(name: str) -> Network:
    return named(SPLIT, 0, name)


def recipe_of(**training: object) -> Recipe:
    return recipes.validate({**TINY, "training": {**TINY["training"], "snapshots": SHARES, **training}}, "early")


@pytest.fixture(scope="module")
def early(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = Study(tmp_path_factory.mktemp("early") / "study")
    shutil.copytree(tiny.study.root, study.root)
    study.write_recipe(recipe_of())
    train(study, bases([SPLIT], [0]), CPU, None, silent())
    train(study, [of(name) for name in EARLY], CPU, None, silent())
    return study


def test_a_snapshot_is_the_base_at_that_step_and_changes_no_number(early: Study, trained: Study, tiny: Tiny) -> None:
    for half in "AB":
        mine, plain = early.row(of(f"base{half}")), trained.row(of(f"base{half}"))
        assert mine and plain and mine["weights_digest"] == plain["weights_digest"]
        assert mine["recipe_digest"] == plain["recipe_digest"] and "snapshots" not in plain
    bank = tiny.bank(bases([SPLIT], [0]), recipe_of())
    for step in range(1, 4):
        bank.step()
        for share in SHARES:
            if step_of(share, 5) == step:
                states = {member.network: Source.of(member.module.state_dict()).digest for member in bank.members}
                assert states == {one: Source.of(load_file(path_of(early, one, share))).digest for one in states}
    bank.close()


def test_layers_are_those_of_the_snapshot(early: Study) -> None:
    base, kept = early.row(of("baseA")), load_file(path_of(early, of("baseA"), 0.6))
    row = early.row(of("A3B@at=0.6"))
    assert base and row and row["at"] == 0.6
    digests = dict(pair.split("=") for pair in base["snapshots"].split())
    assert [*digests] == ["0.2", "0.6"] and row["source_digest"] == digests["0.6"] == Source.of(kept).digest
    frozen = [name for name in kept if name.startswith(("conv1", "conv2", "conv3"))]
    weights = load_file(early.folder(of("A3B@at=0.6")) / "weights.safetensors")
    assert frozen and all(weights[name].equal(kept[name]) for name in frozen)
    plain = load_file(early.folder(of("A3B")) / "weights.safetensors")
    assert not any(weights[name].equal(plain[name]) for name in frozen if name.endswith("weight"))


def test_killed_and_resumed_it_has_the_same_snapshots(early: Study, split_study: Study) -> None:
    taken: list[int] = []

    def killed(count: int) -> None:
        taken.append(count)
        if sum(taken) > 6:  # after three steps and the first snapshot, before the second is written
            raise KeyboardInterrupt

    split_study.write_recipe(recipe_of(checkpoint_steps=1))
    with pytest.raises(KeyboardInterrupt):
        train(split_study, bases([SPLIT], [0]), CPU, None, silent(killed))
    train(split_study, bases([SPLIT], [0]), CPU, None, silent())
    for base in bases([SPLIT], [0]):
        mine, whole = split_study.row(base), early.row(base)
        assert mine and whole and mine["snapshots"] == whole["snapshots"] and mine["weights_digest"] == whole["weights_digest"]


def test_verify_compares_snapshots_with_their_row(early: Study, tmp_path: Path) -> None:
    study = Study(shutil.copytree(early.root, tmp_path / "study"))
    report = transfercli.verify(study, CPU)
    assert report.problems == [] and report.counts["snapshots"] == 4  # two counted for each base: read, and compared
    path = path_of(study, of("baseA"), 0.6)
    save_file({name: tensor + 1 for name, tensor in load_file(path).items()}, path)
    problems = transfercli.verify(study, CPU).problems
    assert "random-0 baseA: its snapshots are not those of its row" in problems
    assert any(problem.startswith("random-0 A3B@at=0.6: its frozen layers are not baseA's") for problem in problems)
    assert len(problems) == 2
    with pytest.raises(TransferError, match="are not those of its row; remove it and train it again"):
        train(study, [of("A4B@at=0.6")], CPU, None, silent())
    path.write_bytes(path.read_bytes()[:100])
    assert any("a snapshot in" in problem and "is damaged" in problem for problem in transfercli.verify(study, CPU).problems)


def test_a_base_without_the_snapshot_is_told_with_the_remedy(early: Study, study: Study) -> None:
    networks = [of("A3B@at=0.6")]
    assert check_bases(early, networks, early.recipe()) == {}
    study.write_recipe(recipe_of())
    with pytest.raises(TransferError, match=r"without the snapshot that A3B@at=0\.6 copies; remove .*baseA and train"):
        check_bases(study, networks, study.recipe())


def test_the_table_of_such_a_study_can_be_read_alone(early: Study, tmp_path: Path) -> None:
    table = load(Path(shutil.copy(early.root / "results.csv", tmp_path))).set_index("network")["snapshots"]
    assert table["baseA"].startswith("0.2=") and table["A3B"] == ""


def test_the_row_of_a_base_may_say_nothing_else_of_snapshots(early: Study, tmp_path: Path) -> None:
    study = Study(shutil.copytree(early.root, tmp_path / "study"))
    path = study.folder(of("baseA")) / "row.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "snapshots": "0.2=1"}))
    with pytest.raises(TransferError, match="snapshots: String should match pattern"):
        study.rows()


def test_a_recipe_plans_early_sources_of_snapshots_that_are_kept() -> None:
    values = {**TINY, "training": {**TINY["training"], "snapshots": SHARES}, "layers": [3], "treatments": ["AnB"]}
    planned = recipes.validate({**values, "targets": ["B"], "source": {"at": [0.6, "all"]}}, "early").planned()
    assert [one.name for one in planned] == ["baseA", "baseB", "A3B@at=0.6", "A3B"]
    with pytest.raises(TransferError, match=r"no base keeps its weights at 0\.5 of its steps: put it into training\.snapshots"):
        recipes.validate({**values, "source": {"at": [0.5]}}, "early")
    with pytest.raises(TransferError, match=r"training\.snapshots\.0: input should be less than 1"):
        recipes.validate({**TINY, "training": {**TINY["training"], "snapshots": [1]}}, "early")
