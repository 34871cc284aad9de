"""A study's table, read from where it is kept."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from transfercli.analysis.differences import differences
from transfercli.study.folder import Study
from transfercli.study.table import load, whole
from transfercli.system.errors import TransferError

REFERENCES = sorted((Path(__file__).parents[1] / "results/reference").glob("*/results.csv"))


def test_the_folder_the_file_and_a_folder_with_the_file_alone_say_the_same(swept: Study, tmp_path: Path) -> None:
    file = shutil.copy(swept.write_table(), tmp_path / "results.csv")
    table = swept.table()
    for kept in (load(swept.root), load(Path(file)), load(tmp_path)):
        pd.testing.assert_frame_equal(kept[table.columns], table, check_dtype=False)
        pd.testing.assert_frame_equal(differences(kept), differences(table))


def test_the_rows_of_a_folder_go_before_its_table(study: Study) -> None:
    (study.root / "results.csv").write_text("an old one\n")
    assert len(load(study.root)) == 2


def test_a_folder_without_networks_has_an_empty_table(split_study: Study) -> None:
    assert load(split_study.root).empty


@pytest.mark.parametrize("file", REFERENCES, ids=lambda file: file.parent.name)
def test_the_reference_studies_can_be_read_again(file: Path) -> None:
    assert len(load(file.parent)) and len(differences(whole(Study(file.parent))))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "No columns to parse from file"),
        (
            "a,b\n1,2\n",
            "lacks split, seed, network, treatment, source, target, layer, top1, top5, loss, top1_best10, step, status",
        ),
        ("{text},top1\n{row},2\n", "top1: Input should be less than or equal to 1"),
        ("{text},top1\n{row},0.5\n{row},0.5\n", "baseB stands in it twice"),
        ("{text},top1\n{row},high\n", "could not convert string to float: 'high'"),
    ],
)
def test_what_is_no_table(text: str, reason: str, tmp_path: Path) -> None:
    columns = "split,seed,network,treatment,source,target,layer,top5,loss,top1_best10,step,status,classes"
    file = tmp_path / "results.csv"
    file.write_text(text.format(text=columns, row="random-0,0,baseB,base,,B,0,0.9,1.0,0.5,10,done,4"))
    with pytest.raises(TransferError) as refused:
        load(file)
    assert str(refused.value).startswith(f"{file} is no table of a study ({reason}")
    assert str(refused.value).endswith("; name a study's folder or a results.csv that transfer wrote")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"none\.csv does not exist; name a study's folder or a results\.csv"):
        load(tmp_path / "none.csv")
