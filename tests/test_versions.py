"""A study goes on with the versions that it was begun with, or someone accepts others and the rows say so."""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import torch
from conftest import CPU, SPLIT, Said, silent, tiny_recipe
from test_training import FOUR, check_same, own

from transfercli.plan.networks import base
from transfercli.recipe import reading as recipes
from transfercli.study import versions
from transfercli.study.folder import Study
from transfercli.study.settling import cut
from transfercli.system.errors import TransferError
from transfercli.training.train import train

NOW = versions.here(torch.float32)


def begun_with(study: Study, **values: object) -> Path:
    path = study.root / "versions.json"
    path.write_text(json.dumps({**NOW, "accepted": [], **values}))
    return path


def test_a_study_remembers_what_it_was_begun_with(study: Study) -> None:
    assert json.loads((study.root / "versions.json").read_text()) == {**NOW, "accepted": []}
    row = study.row(base(SPLIT, 0, "A"))
    assert row is not None
    assert {key: row[key] for key in NOW} == NOW and row["accepted"] == ""
    train(study, FOUR[:1], CPU, None, silent())


@pytest.mark.parametrize(
    ("key", "old"), [("numerics", "0"), ("torch", "2.0.0"), ("torchvision", "0.1"), ("pillow", "1.0"), ("precision", "bfloat16")]
)
def test_other_versions_are_refused_until_accepted(study: Study, swept: Study, key: str, old: str) -> None:
    path = begun_with(study, **{key: old})
    with pytest.raises(TransferError) as error:
        train(study, FOUR, CPU, None, silent())
    assert str(error.value) == (
        f"the study {study.root} was begun with other versions ({key}: {old} → {NOW[key]}), which may give other numbers; "
        "start a new study: --study DIR, or if it is harmless go on, and let the rows say so: --accept-change"
    )
    assert len(study.rows()) == 2
    train(study, FOUR[:2], CPU, None, silent(), accept_change=True)
    train(study, FOUR, CPU, None, silent())  # once is enough
    for network in FOUR:
        row = study.row(network)
        assert row is not None and row["accepted"] == f"{key}: {old} → {NOW[key]}"
        (study.folder(network) / "row.json").write_text(json.dumps({**row, "accepted": ""}))
    check_same(study, swept, FOUR)
    assert json.loads(path.read_text())["accepted"] == [f"{key}: {old} → {NOW[key]}"]


def test_what_decides_no_number_is_no_change(study: Study, swept: Study) -> None:
    """Another version of this package, the digest of its files that studies of old recorded, and what they did not record."""
    path = study.root / "versions.json"
    old = {key: NOW[key] for key in ("torch", "precision")} | {"version": "0.0.9", "code": "0123456789ab", "accepted": []}
    path.write_text(json.dumps(old))
    train(study, FOUR, CPU, None, silent())
    check_same(study, swept, FOUR)
    assert json.loads(path.read_text()) == {**NOW, "accepted": []}  # from now on it is known which they are


def test_a_study_without_the_file_has_its_rows(study: Study) -> None:
    (study.root / "versions.json").unlink()
    one = base(SPLIT, 0, "A")
    row = study.row(one)
    assert row is not None
    old = {key: value for key, value in row.items() if key != "numerics"}  # rows of old had none
    (study.folder(one) / "row.json").write_text(json.dumps(old))
    train(study, FOUR[:1], CPU, None, silent())
    (study.root / "versions.json").unlink()
    (study.folder(one) / "row.json").write_text(json.dumps({**row, "torch": "1.0"}))
    with pytest.raises(TransferError, match=r"torch: 1\.0 → "):
        train(study, FOUR, CPU, None, silent())


def test_timms_version_counts_where_a_network_is_of_it(split_study: Study) -> None:
    pytest.importorskip("timm")
    arguments = {"img_size": 12, "patch_size": 4, "embed_dim": 24, "num_heads": 3, "depth": 1}
    network = {"name": "timm/vit_tiny_patch16_224", "arguments": arguments}
    values = {**tiny_recipe({"training": {"steps": 1}}).model_dump(mode="json"), "network": network}
    split_study.write_recipe(cut(recipes.validate(values, "tiny")))
    begun_with(split_study)  # by networks of ours, or before timm's version was recorded
    (row,) = train(split_study, [base(SPLIT, 0, "A")], CPU, None, silent())
    now = {**NOW, "timm": metadata.version("timm")}
    assert {key: row[key] for key in now} == now
    assert json.loads((split_study.root / "versions.json").read_text()) == {**now, "accepted": []}
    begun_with(split_study, timm="0.9")
    with pytest.raises(TransferError, match=r"timm: 0\.9 → "):
        train(split_study, [base(SPLIT, 0, "B")], CPU, None, silent())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"accepted": 3}', '{"torch": 2, "accepted": []}', '{"accepted": [1]}'])
def test_damage_is_one_line(study: Study, text: str) -> None:
    path = study.root / "versions.json"
    path.write_text(text)
    with pytest.raises(TransferError) as error:
        train(study, FOUR, CPU, None, silent())
    assert str(error.value).startswith(f"{path} is damaged (")
    assert str(error.value).endswith("); remove it, and the rows will tell the versions")


def test_nothing_to_do_is_nothing_to_refuse(study: Study) -> None:
    begun_with(study, torch="1.0")
    assert [own(row) for row in train(study, [base(SPLIT, 0, "A")], CPU, None, silent())] == [own(study.row(base(SPLIT, 0, "A")))]


def test_the_flag_goes_all_the_way(transfer: Callable[..., Said], study: Study) -> None:
    begun_with(study, torch="1.0")
    words = ("sweep", "--study", study.root, "--device", "cpu", "--layers", "7", "--treatments", "RnB", "--targets", "A")
    said = transfer(*words)
    assert said.code == 1 and said.err.endswith("let the rows say so: --accept-change\n")
    assert transfer(*words, "--accept-change").code == 0


# -- what failed is said at the end


def test_a_base_that_guesses_is_told_and_the_command_fails(
    transfer: Callable[..., Said], split_study: Study, bases_must_learn: None
) -> None:
    words = ("--study", split_study.root, "--device", "cpu")
    said = transfer("train-base", *words)
    assert said.code == 3 and "Next:" not in said.out  # there is nothing to sweep
    assert (
        "A base that did not train has nothing to transfer: try another learning rate in a new study (--study DIR)." in said.out
    )
    statuses = [row["status"] for row in split_study.rows()]
    assert set(statuses) <= {"no better than chance", "did not learn"}
    assert said.err.splitlines()[-1] == (f"2 of 2 networks failed: {SPLIT} baseA ({statuses[0]}), {SPLIT} baseB ({statuses[1]})")
    again = transfer("train-base", *words)
    assert again.code == 3 and again.err.splitlines()[-1] == said.err.splitlines()[-1]
    assert transfer("train-base", *words, "--smoke").code == 1  # a smoke study is another folder, and there is none


@pytest.mark.parametrize(
    ("network", "status", "code"),
    [
        *(("R3B", "did not learn", 0), ("R3B", "diverged at step 4", 3), ("A3B", "did not learn", 3)),
        *(("B3B", "diverged at step 4", 3), ("R3B", "done", 0)),
    ],
)
def test_random_features_that_let_nothing_be_learned_are_no_failure(
    transfer: Callable[..., Said], study: Study, network: str, status: str, code: int
) -> None:
    words = ("sweep", "--study", study.root, "--device", "cpu", "--layers", "3", "--treatments", "AnB,BnB,RnB", "--targets", "B")
    assert transfer(*words).code == 0
    path = study.root / SPLIT / network / "row.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": status}))
    said = transfer(*words)  # all are done: the table and the end are those of the rows
    assert said.code == code
    assert ("1 of 3 networks failed" in said.err) == (code == 3)
    if status == "did not learn":
        assert f"* {SPLIT}, did not learn: {network}" in said.out
