"""Outputs that hold less than the figures want: encodings without a minus, terminals without the columns."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest
from conftest import Said
from test_answers import kept

from transfercli.cli import COMMANDS, show
from transfercli.cli.columns import fold
from transfercli.study.folder import Study

Transfer = Callable[..., Said]

# Commands whose words hold a minus, ±, × or …; --help of all.
SAID = (
    ["analyze", "--paper"],
    ["analyze", "--study", "kept", "--networks"],
    ["compare", "--study", "kept", "--accuracy"],
    ["layers", "yosinski2014"],
    ["recipes"],
    ["recipes", "show", "yosinski2014"],
    ["--help"],
    *([command, "--help"] for command in COMMANDS),
)
TYPED = """
import sys
from transfercli.cli import main
for words in {words}:
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, words
"""


def piped(folder: Path, words: object, **environment: str) -> tuple[bytes, bytes]:
    """What commands write into pipes, in a process with this environment. They must all succeed."""
    code = TYPED.format(words=words)
    inherited = {key: value for key, value in os.environ.items() if key not in ("PYTHONIOENCODING", "TRANSFER_STUDY")}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=inherited | environment, capture_output=True, timeout=200)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout, done.stderr


# -- encodings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "environment"),
    [
        ("ascii", {"PYTHONIOENCODING": "ascii"}),
        ("ascii", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        ("cp1252", {"PYTHONIOENCODING": "cp1252"}),
        ("cp437", {"PYTHONIOENCODING": "cp437"}),
    ],
)
def test_an_output_without_a_minus_gets_ascii_signs(tmp_path: Path, encoding: str, environment: dict[str, str]) -> None:
    kept(tmp_path / "kept")
    out, err = piped(tmp_path, SAID, **environment)
    text = out.decode(encoding)
    assert err == b""
    assert re.search(r"\|AnB-base *\| *\+0\.31\*\| *-0\.12\| *-0\.62\*\|", text)
    assert ("+/-0.25" if encoding == "ascii" else "±0.25") in text
    assert text.count("?") == 1  # the question of the program's own help has no other sign for it
    assert re.search(r"^2 +conv2 .* 256[x×]13[x×]13", text, re.MULTILINE)


@pytest.mark.slow
def test_columns_stay_where_they_are_when_a_sign_becomes_three(tmp_path: Path) -> None:
    kept(tmp_path / "kept")
    words = [["analyze", "--study", "kept", "--networks"], ["layers", "demo"]]
    lines = piped(tmp_path, words, PYTHONIOENCODING="ascii")[0].decode("ascii").splitlines()
    tables = [list(block) for framed, block in groupby(lines, lambda line: line.startswith("|")) if framed]
    assert len(tables) == 2 and all("+/-" in "".join(table) for table in tables)
    for table in tables:
        places = {tuple(at for at, sign in enumerate(line) if sign == "|") for line in table if "-+-" not in line}
        assert len(places) == 1
    layers = lines[-9:]
    assert {line.rindex(",") for line in layers[2:]} == {layers[2].rindex(",")} and "x" in layers[0]


def test_an_error_names_what_it_cannot_write(tmp_path: Path) -> None:
    code = "from transfercli.cli import main; main(['compare', '−±中', '--study', 'kept'])"
    kept(tmp_path / "kept")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"Error: -+/-? does not exist; name a study's folder or a results.csv\n"


# -- narrow terminals


NUMBER = r"[+−±]?\d[\d.,]*\d|\d"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Standard output as a terminal of so many columns."""

    def wide(columns: int) -> None:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    return wide


def text_of(said: Said) -> str:
    assert said.code == 0, said.err
    return re.sub(r"\x1b\[[0-9;]*m", "", said.out)


def wide_study(folder: Path) -> None:
    """A table that wants room: long names, failures with long words, three splits."""
    file = kept(folder, splits=3, gain=-0.05) / "results.csv"
    table = pd.read_csv(file, keep_default_na=False)
    table.loc[table["network"] == "A1B", ["status", "top1"]] = ["diverged at step 449999", None]
    table.replace({"split": {"random-2": "man-made-natural"}}).to_csv(file, index=False)


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize(
    "words",
    [
        ("analyze", "--paper"),
        ("analyze", "--study", "kept", "--networks"),
        ("compare", "--study", "kept", "--accuracy"),
        ("layers", "yosinski2014"),
        ("recipes",),
    ],
    ids=" ".join,
)
def test_a_narrow_terminal_gets_every_figure(
    transfer: Transfer, tmp_path: Path, terminal: Callable[[int], None], words: tuple[str, ...], columns: int
) -> None:
    """Every number that a pipe gets, whole, in lines that are no longer than the terminal."""
    wide_study(tmp_path / "kept")
    whole = text_of(transfer(*words))
    terminal(columns)
    said = text_of(transfer(*words))
    assert "…" not in said and max(map(len, said.splitlines())) <= columns
    numbers, wanted = re.findall(NUMBER, said), re.findall(NUMBER, whole)
    assert {*wanted} <= {*numbers}
    assert len(numbers) >= len(wanted)
    assert {*re.findall(r"[a-z]{3,}", whole)} <= {*re.findall(r"[a-z]{3,}", said)}


@pytest.mark.slow
@pytest.mark.parametrize("columns", [60, 80])
def test_results_bases_and_plans_fit_a_narrow_terminal(
    transfer: Transfer,
    swept: Study,
    terminal: Callable[[int], None],
    capsys: pytest.CaptureFixture[str],
    columns: int,
) -> None:
    rows = [dict(row, split="man-made-natural", status="diverged at step 449999") for row in swept.rows() if row["layer"] < 2]
    terminal(columns)
    show.results(swept.table())
    show.networks(rows)
    said = capsys.readouterr().out + transfer("plan", "demo", "--device", "cpu", "--bank-size", "2").out
    said += transfer("status", "--study", swept.root).out.partition("\n\n")[0]
    assert max(map(len, said.splitlines())) <= columns
    for row in swept.rows():
        assert f" {row['top1']:.3f}" in said
    assert said.count("449999") == len(rows) and all(f" {row['loss']:.3f}" in said for row in rows)


def test_folding_a_table() -> None:
    lines = [["", "n=1", "n=2", "words"], ["base", "+0.31 ±0.25", "0.5", "one two three"], ["AnB", "1", "2", ""]]
    (whole,) = fold(lines, None)
    assert whole.lines == lines and whole.gap == 2 and whole.widths == [4, 11, 3, 13]
    assert fold(lines, 37) == [whole]
    (near,) = fold(lines, 20)
    assert (near.gap, near.widths) == (1, [4, 5, 3, 5])
    assert near.lines[1] == ["base", "+0.31\n±0.25", "0.5", "one\ntwo\nthree"]
    first, second = fold(lines, 19)
    assert (first.columns, second.columns) == ([0, 1, 2], [0, 3])
    assert second.lines == [["", "words"], ["base", "one two three"]]  # a line that says nothing there is left out
    assert [block.lines for block in fold([["", ""], ["x", ""]], 9)] == [[["", ""], ["x", ""]]]  # a remark that no line has
    assert [block.columns for block in fold(lines, 1)] == [[0, 1], [0, 2], [0, 3]]  # never a cut number, however narrow
