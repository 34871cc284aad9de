"""The commands that answer: analyze, compare and report, typed as a person types them."""

import csv
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import Said, tiny_recipe

from transfercli.analysis.comparison import compare
from transfercli.analysis.conclusions import brief, conclude
from transfercli.analysis.contrasts import contrasts
from transfercli.analysis.differences import differences
from transfercli.analysis.published import published_table
from transfercli.analysis.studies import analyze
from transfercli.analysis.verdicts import OTHER_HALVES
from transfercli.recipe.reading import dump, validate
from transfercli.study.folder import Study
from transfercli.study.rows import COLUMNS, table_text
from transfercli.study.table import load
from transfercli.system.errors import TransferError

Transfer = Callable[..., Said]
TOP1 = {"base": 0.5, "BnB": 0.49, "BnB+": 0.52, "AnB": 0.45, "AnB+": 0.53, "RnB": 0.2}


def kept(folder: Path, splits: int = 2, gain: float = 0.0) -> Path:
    """A folder with the results.csv of a study of layers 1 to 3, one target, accuracies as in TOP1 and by split 0.01 apart."""
    rows = []
    for split in range(splits):
        for treatment, top1 in TOP1.items():
            for layer in (0,) if treatment == "base" else (1, 2, 3):
                row = dict.fromkeys(COLUMNS, 0) | {"split": f"random-{split}", "treatment": treatment, "layer": layer}
                source = {"base": "", "RnB": "random"}.get(treatment, treatment[0])
                name = "baseB" if treatment == "base" else f"{treatment[0]}{layer}B{treatment[3:]}"
                row |= {"network": name, "source": source, "target": "B", "loss": 1.0, "top5": 0.9}
                value = round(top1 + split * layer / 100 + (gain if layer else 0), 3)
                rows.append(
                    row | {"top1": value, "top1_best10": value - 0.1, "status": "done", "classes": 4, "val_pictures": 400}
                )
    folder.mkdir()
    (folder / "results.csv").write_text(table_text(rows))
    return folder


def lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


# -- analyze


def test_analyze_the_published_study(transfer: Transfer, tmp_path: Path) -> None:
    said = transfer("analyze", "--paper", "--csv", "paper.csv")
    assert (said.code, said.err) == (0, "")
    text = lines(said.out)
    assert "AnB-base +0.31* −0.12 −0.62* −2.53* −4.71* −4.45* −8.26* 8" in text
    assert text[text.index("AnB-base +0.31* −0.12 −0.62* −2.53* −4.71* −4.45* −8.26* 8") + 1].startswith(
        "±0.25 ±0.29 ±0.29 ±0.31"
    )
    assert "BnB+-base +0.94 +1.13 +1.03 +0.11" in text
    assert "AnB+-base +0.97 +1.16 +1.16 +1.67" in text  # some layers have one base, so no interval
    for sentences in conclude(published_table(), "top1_best10").values():
        assert all(f"- {sentence}" in text for sentence in sentences)
    with (tmp_path / "paper.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["quantity", "layer", "mean", "low", "high", "n", "splits"]
    found = pd.concat([differences(published_table(), "top1_best10"), contrasts(published_table(), "top1_best10")])
    assert [row["quantity"] for row in rows].count("dip") == 1 and len(rows) == len(found)
    assert "dip −2.51* ±0.33 4 ½(BnB4 + BnB5) − ½(½(BnB1 + BnB2) + BnB7)" in text
    for row, expected in zip(rows, found.to_dict("records"), strict=True):
        assert (row["quantity"], row["layer"], row["splits"]) == (expected["quantity"], expected["layer"], expected["splits"])
        assert int(row["n"]) == expected["n"] and float(row["mean"]) == pytest.approx(expected["mean"], abs=6e-7)
        assert (row["low"] == row["high"] == "") == math.isnan(expected["low"])


def test_analyze_by_the_last_evaluation_or_by_the_ten_best(transfer: Transfer, tmp_path: Path) -> None:
    assert "AnB-base +0.30* −0.12 −0.63* −2.52* −4.68* −4.42* −8.26* 8" in lines(
        transfer("analyze", "--paper", "--metric", "last").out
    )
    kept(tmp_path / "kept")
    last, best = (transfer("analyze", "--study", "kept", "--metric", metric, "--networks").out for metric in ("last", "best10"))
    assert transfer("analyze", "--study", "kept", "--networks").out == last
    assert "random-0 0 baseB 0.500 0.451-0.549" in lines(last)
    assert "random-0 0 baseB 0.400 0.353-0.449" in lines(best)


def test_balanced_accuracy_is_offered_where_classes_are_unequal(transfer: Transfer, tmp_path: Path) -> None:
    file = kept(tmp_path / "kept") / "results.csv"
    offer = "Classes are unequal; with each class alike: --metric balanced"
    assert offer not in transfer("analyze", "--study", "kept").out
    refused = transfer("analyze", "--study", "kept", "--metric", "balanced")
    assert (refused.code, refused.err) == (1, "Error: there is no balanced accuracy in this table; leave --metric out\n")
    table = pd.read_csv(file, keep_default_na=False)
    table.assign(balanced_top1=table["top1"]).to_csv(file, index=False)
    assert offer not in transfer("analyze", "--study", "kept").out
    table.assign(balanced_top1=table["top1"] - 0.1 * (table["treatment"] == "AnB")).to_csv(file, index=False)
    assert offer in transfer("analyze", "--study", "kept").out
    said = transfer("analyze", "--study", "kept", "--metric", "balanced").out
    assert "AnB-base −14.50* −14.00* −13.50 2" in lines(said) and offer not in said
    assert "lie in the other study's spread" in transfer("compare", "kept", "--study", "kept", "--metric", "balanced").out


def test_an_accuracy_that_a_row_of_old_lacks_is_left_out(tmp_path: Path) -> None:
    table = load(kept(tmp_path / "kept") / "results.csv")
    of_old = (table["network"] == "B1B") & (table["split"] == "random-0")
    lacking = table.assign(balanced_top1=table["top1"].mask(of_old))
    found = compare(lacking, lacking, "balanced_top1").set_index(["quantity", "layer"])
    own = table.loc[(table["network"] == "B1B") & ~of_old, "top1"]
    assert found.loc[("BnB", 1), ["value", "n"]].tolist() == [own.mean(), len(own)] and len(own) == 1


def test_a_table_in_percent_is_refused(tmp_path: Path) -> None:
    table = load(kept(tmp_path / "kept") / "results.csv")
    with pytest.raises(TransferError, match="top1 holds what is no accuracy: they are fractions, from 0 to 1"):
        analyze(table.assign(top1=100 * table["top1"]))


def test_analyze_a_study_kept_as_a_table(transfer: Transfer, tmp_path: Path) -> None:
    kept(tmp_path / "kept")
    said = transfer("analyze", "--study", "kept", "--networks")
    text = lines(said.out)
    assert text[:6:2] == brief(load(tmp_path / "kept"))
    assert text[6] == "random: paired differences by layer n (points)"
    # Pairs 1, 2 and 3 points apart: with two of them, Student's t is 12.7 and the interval 6.35 times that on each side.
    assert text[text.index("BnB-base −0.50 +0.00 +0.50 2") + 1] == "±6.35 ±12.71 ±19.06"
    assert "random-0 0 B1B+ 0.520 0.471-0.569 +2.00 ±6.93 noise" in text
    assert "random-0 0 R1B 0.200 0.164-0.242 −30.00 ±6.27" in text
    assert "Next: " not in said.out  # a table alone has no logs to report


@pytest.mark.parametrize(
    ("splits", "targets", "about"),
    [
        ({}, "B", f"random: intervals are about {OTHER_HALVES}."),
        ({"random-1": "random-0"}, "AB", "random: intervals are over the two targets, and say nothing of other halves."),
        ({"random-0": "pets", "random-1": "pets"}, "AB", "pets: no interval, as its two targets are different tasks."),
        ({"random-0": "cats", "random-1": "pets"}, "B", "cats: one pair a point, so no interval. pets: one pair a point, so no"),
    ],
)
def test_analyze_says_what_intervals_are_about(
    transfer: Transfer, tmp_path: Path, splits: dict[str, str], targets: str, about: str
) -> None:
    """The two splits of the study become the two targets of one."""
    file = kept(tmp_path / "kept") / "results.csv"
    table = pd.read_csv(file, keep_default_na=False)
    if targets == "AB":
        of_a = table["split"] == "random-0"
        for column in ("network", "source", "target"):
            table.loc[of_a, column] = table.loc[of_a, column].str.translate(str.maketrans("AB", "BA"))
    table.replace({"split": splits}).to_csv(file, index=False)
    said = transfer("analyze", "--study", "kept").out
    assert f"A pair is of a split and a target half, seeds averaged. {about}" in said
    tables = [line for line in said.splitlines() if "RnB-base" in line]
    bounded = "intervals are" in about
    assert tables and all(("*" in line) == bounded for line in tables)
    assert ("± is the mean's 95% interval" in said) == bounded and ("about other halvings" in said) == (
        targets == "B" and bounded
    )


def test_analyze_says_what_comes_next(transfer: Transfer, swept: Study) -> None:
    said = transfer("analyze", "--study", swept.root)
    assert said.out.splitlines()[-1] == f"Next: transfer report --study {swept.root}"


def test_analyze_networks_that_failed(transfer: Transfer, tmp_path: Path) -> None:
    file = kept(tmp_path / "kept") / "results.csv"
    table = pd.read_csv(file, keep_default_na=False)
    failed = (table["split"] == "random-0") & (table["network"] == "A1B")
    table.loc[failed, ["status", "top1"]] = ["diverged at step 7", None]
    table.to_csv(file, index=False)
    text = lines(transfer("analyze", "--study", "kept", "--networks").out)
    assert "random-0 0 A1B – diverged at step 7" in text
    assert "- Networks that failed and are in no mean, 1 of 32: random-0 A1B (diverged at step 7)." in text


def test_analyze_bases_alone(transfer: Transfer, study: Study) -> None:
    said = transfer("analyze", "--study", "study")
    assert said.code == 0
    assert said.out.splitlines()[0] == "random: no transfer network is done yet, so there is nothing to compare."


@pytest.mark.parametrize(
    ("command", "what", "instead"),
    [
        ("analyze", "analyse", ", or look at the published study: transfer analyze --paper"),
        ("compare", "compare", ""),
        ("report", "report", ""),
    ],
)
def test_nothing_to_say(transfer: Transfer, command: str, what: str, instead: str, split_study: Study) -> None:
    for words in ((), ("--study", split_study.root)):
        said = transfer(command, *words)
        where, flag = (words[1], f" --study {words[1]}") if words else ("results/study", "")
        assert (said.code, said.out) == (1, "")
        remedy = f"train some: transfer train-base{flag}{instead}"
        assert said.err == f"Error: no network in {where} is done, so there is nothing to {what}; {remedy}\n"


def test_a_table_alone_has_no_report(transfer: Transfer, tmp_path: Path) -> None:
    kept(tmp_path / "kept")
    assert transfer("report", "--study", "kept").err == (
        "Error: kept holds a results.csv alone, without logs; look at it with: transfer analyze --study kept\n"
    )


def test_a_table_alone_can_be_drawn(transfer: Transfer, tmp_path: Path) -> None:
    kept(tmp_path / "kept")
    assert transfer("plot", "--study", "kept").out.splitlines() == [
        "Figure: kept/figures/accuracy-vs-layer.png (and .svg)",
        "Figure: kept/figures/drop-vs-layer.png (and .svg)",
        "Next: transfer analyze --study kept",
    ]


def test_numbers_are_whole_on_a_terminal_of_80_columns(
    transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rich cuts what does not fit, numbers too."""
    file = kept(tmp_path / "kept", splits=3, gain=-0.05) / "results.csv"
    table = pd.read_csv(file, keep_default_na=False)
    table.loc[table["network"] == "A1B", ["status", "top1"]] = ["diverged at step 449999", None]
    table.replace({"split": {"random-2": "man-made-natural"}}).to_csv(file, index=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    words = (("analyze", "--study", "kept", "--networks"), ("analyze", "--paper"), ("compare", "--study", "kept"))
    said = [line for command in words for line in re.sub(r"\x1b\[[0-9;]*m", "", transfer(*command).out).splitlines()]
    assert len(said) > 100 and not any("…" in line for line in said)
    assert max(len(line) for line in said) <= 80


# -- compare


def test_compare_with_the_published_study(transfer: Transfer, tmp_path: Path) -> None:
    kept(tmp_path / "kept", splits=1)
    said = transfer("compare", "--study", "kept", "--csv", "points.csv")
    text = lines(said.out)
    assert text[0] == "random: this study against the published study"
    assert "AnB-base 1 −5.00 ±6.91 +0.30 −0.10 to +0.69 −5.30 no" in text
    assert not any(line.startswith("AnB 1") for line in text)
    expected = compare(pd.read_csv(tmp_path / "kept/results.csv", keep_default_na=False), published_table())
    assert "Of 12 gains over the base 0 lie in the other study's spread, 0 more within this study's interval." in text
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "points.csv"), expected, check_dtype=False, atol=1e-6)
    assert "base 0 0.500 ±0.049 0.625 0.615 to 0.633 −12.45 no" in lines(transfer("compare", "--study", "kept", "--accuracy").out)


def test_compare_with_another_study(transfer: Transfer, tmp_path: Path) -> None:
    kept(tmp_path / "mine")
    kept(tmp_path / "theirs", gain=0.2)
    same = transfer("compare", "mine", "--study", "mine").out
    assert "Of 16 accuracies 16 lie in" in same and "Of 15 gains over the base 15 lie in" in same
    other = lines(transfer("compare", "theirs/results.csv", "--study", "mine").out)
    assert other[0] == "random: this study against theirs/results.csv"
    assert "RnB-base 1 −29.50* ±6.35 −9.50 −10.00 to −9.00 −20.00 no" in other
    kept(tmp_path / "near", gain=0.02)
    kept(tmp_path / "three", splits=3)
    assert "AnB-base 1 −4.50 ±6.35 −2.50 −3.00 to −2.00 −2.00 no" in lines(transfer("compare", "mine", "near").out)
    assert "AnB-base 1 −4.00* ±2.48 −2.50 −3.00 to −2.00 −1.50 within ±" in lines(transfer("compare", "three", "near").out)


def test_compare_what_has_nothing_in_common(transfer: Transfer, tmp_path: Path) -> None:
    mine = kept(tmp_path / "mine") / "results.csv"
    mine.write_text(mine.read_text().replace("random-0", "animals").replace("random-1", "plants"))
    said = transfer("compare", "--study", "mine")
    assert said.err == (
        "Error: mine and the published study have no point in common (animals, plants here, "
        "random, man-made-natural, all-1000 there); choose studies with the same kind of split\n"
    )
    said = transfer("compare", "nowhere", "--study", "mine")
    assert said.err == "Error: nowhere does not exist; name a study's folder or a results.csv\n"


# -- repeats


@pytest.mark.slow
def test_splits_targets_and_seeds_are_one_study(transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two splits, two targets, two seeds: one command trains them all; seeds are averaged, so each gain has four pairs."""
    monkeypatch.setattr("transfercli.training.finish.status", lambda *args: "done")  # two steps teach nobody anything
    repeats = {"splits": ("0", "1"), "targets": ("A", "B"), "seeds": (0, 1), "layers": (5, 6, 7), "treatments": ("BnB", "AnB")}
    recipe = tiny_recipe({"pictures": {"builtin": {"classes": 8, "train": 8, "val": 5}}, "training": {"steps": 2}})
    (tmp_path / "repeats.yaml").write_text(dump(validate({**recipe.model_dump(mode="json"), **repeats}, "repeats")))
    said = transfer("run", "repeats.yaml", "--study", "all", "--device", "cpu")
    assert said.code == 0, said.err
    table = Study(Path("all")).table()
    assert len(table) == 2 * 2 * (2 + 2 * 2 * 3)
    assert table.groupby(["split", "seed"]).size().to_dict() == {(f"random-{n}", seed): 14 for n in (0, 1) for seed in (0, 1)}
    found = differences(table).set_index(["quantity", "layer"])
    assert set(found["n"].xs("5", level="layer")) == {4} and set(found["n"].xs("5-7", level="layer")) == {12}
    assert found["low"].notna().all()
    assert "AnB-base" in transfer("analyze", "--study", "all").out
