"""One's own network: `--network package.module:function`. Code runs where the command line names it, and nowhere else."""

import hashlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CLASSES, TINY, TRAIN, VAL, Said
from test_hints import hint

from transfercli.networks import catalogue
from transfercli.recipe import reading as recipes
from transfercli.study.folder import Study

Transfer = Callable[..., Said]
CODE = """
from pathlib import Path

from torch import nn

Path("imported").touch()


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)

    def forward(self, x):
        return x + self.norm(self.conv(x)).relu()


def network(num_classes, width=4, dropout=0.1):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 2), Block(width), Block(width), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout),
        nn.Linear(width, num_classes),
    )


answer = 42
"""
NAME = "mine:network"
ALLOW = ("--network", NAME)
CPU = ("--device", "cpu")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with mine.py, and a recipe of built-in pictures with the small network."""
    (tmp_path / "mine.py").write_text(CODE)
    builtin = {"classes": CLASSES, "train": TRAIN, "val": VAL}
    values = {
        **TINY,
        "targets": ["B"],
        "treatments": ["AnB"],
        "layers": "all",
        "pictures": {**TINY["pictures"], "builtin": builtin},
    }
    values["training"] = {**TINY["training"], "steps": 2}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values))
    own = {**values, "name": "own", "network": {"name": f"python/{NAME}"}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    anew(monkeypatch)
    yield tmp_path
    sys.modules.pop("mine", None)
    catalogue._chained.cache_clear()


def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in another process, which has imported nothing."""
    monkeypatch.setattr(catalogue, "ALLOWED", {})
    sys.modules.pop("mine", None)
    catalogue._chained.cache_clear()


def test_a_study_of_ones_own_network(transfer: Transfer, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the layers to the table; each command is told again that the code may run, and runs no other code than at first."""
    said = transfer("layers", "tiny.yaml", *ALLOW, "--json")
    assert [row["name"] for row in yaml.safe_load(said.out)] == ["0", "1", "2", "6"]
    assert transfer("split", "--recipe", "tiny.yaml", *ALLOW).code == 0
    assert transfer("train-base", *CPU, *ALLOW).code == 0
    study = Study(here / "results" / "study")
    network = study.recipe().network
    assert (network.name, network.depth) == (f"python/{NAME}", 4)
    assert network.source == hashlib.sha256(CODE.encode()).hexdigest()
    before = {row["network"]: row["weights_digest"] for row in study.rows()}

    anew(monkeypatch)
    (here / "imported").unlink()
    said = transfer("sweep", *CPU)
    again = f"the study's network is your own code, {NAME}; say that it may run: --network {NAME}"
    assert (said.code, said.out, said.err) == (1, "", f"Error: {again}\n")
    for words in (("train-base", *CPU), ("plan", "own.yaml")):
        said = transfer(*words)
        assert (said.code, said.err) == (1, f"Error: {again}\n"), words
    said = transfer("verify", *CPU)
    assert said.code == 1 and again in said.out
    assert transfer("status").code == 0  # which needs no network
    assert not (here / "imported").exists()

    said = transfer("sweep", *CPU, *ALLOW)
    assert (said.code, sorted(row["network"] for row in study.rows())) == (0, ["A1B", "A2B", "A3B", "baseA", "baseB"])
    assert (here / "imported").exists()
    assert {row["network"]: row["weights_digest"] for row in study.rows() if row["network"] in before} == before
    assert transfer("verify", *CPU, *ALLOW).code == 0

    anew(monkeypatch)
    (here / "mine.py").write_text(CODE.replace("x + self", "x - self"))
    changed = f"the code of python/{NAME} is not what it was when the study was begun; start a new study: --study DIR"
    for words in (("sweep", "--layers", "1-3", *CPU), ("train-base", *CPU)):
        said = transfer(*words, *ALLOW)
        assert (said.code, said.err) == (1, f"Error: {changed}\n"), words
    said = transfer("verify", *CPU, *ALLOW)
    assert said.code == 1 and changed in said.out


@pytest.mark.slow
def test_from_plan_to_report_by_hints_alone(transfer: Transfer, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is copied says itself that one's own code may run: of each network, where there are several."""
    (here / "others.py").write_text(CODE)
    several = yaml.safe_load((here / "own.yaml").read_text())
    networks = [several.pop("network"), {"name": "python/others:network", "label": "other"}]
    (here / "both.yaml").write_text(yaml.safe_dump({**several, "networks": networks, "layers": [1]}))
    flags = ["--network", NAME, "--network", "others:network"]
    planned = json.loads(transfer("plan", "both.yaml", *flags, *CPU, "--json").out)["next"]
    assert shlex.split(planned) == ["transfer", "run", "both.yaml", *flags, *CPU]
    assert transfer("recipes", "copy", "both.yaml", "copied.yaml").out.endswith(f"run copied.yaml {shlex.join(flags)}\n")
    said = transfer("plan", "tiny.yaml", *ALLOW, "--set", "seeds=1", *CPU)
    assert hint(said) == ["run", "tiny.yaml", *ALLOW, "--set", "seeds=1", *CPU]

    said, seen = transfer("split", "--recipe", "both.yaml"), []
    while said.out.splitlines()[-1].startswith("Next: "):
        seen.append(hint(said))
        anew(monkeypatch)
        said = transfer(*seen[-1])
        assert said.code == 0, said.err
    packed = ("pack", "results/study/pictures", "--out", "store", "--recipe")
    assert hint(transfer(*packed, "both.yaml")) == ["split", "store", "--recipe", "both.yaml", *flags]
    assert hint(transfer(*packed, "tiny.yaml", *ALLOW)) == ["split", "store", "--recipe", "tiny.yaml", *ALLOW]
    assert seen == [["train-base", *flags], ["sweep", *flags], ["plot"], ["analyze"], ["report"]]
    assert transfer("verify", *CPU, *flags).code == 0
    (here / "results/study/random-0/baseA@net=other/weights.safetensors").unlink()
    assert f"train it again: transfer train-base {shlex.join(flags)}" in transfer("verify", *CPU, *flags).out
    sys.modules.pop("others", None)


@pytest.mark.parametrize(
    "words",
    [
        ("layers", "own.yaml"),
        ("plan", "own.yaml", "--device", "cpu"),
        ("split", "--recipe", "own.yaml"),
        ("run", "own.yaml", *CPU),
        ("layers", "tiny.yaml", "--set", f"network.name=python/{NAME}"),
        ("layers", f"python/{NAME}"),
        ("recipes", "show", "own.yaml"),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_recipe_runs_no_code(transfer: Transfer, here: Path, words: tuple[str, ...]) -> None:
    """A stranger's recipe that lies beside a module of that name: nothing is imported, which the module would tell."""
    said = transfer(*words)
    assert not (here / "imported").exists() and "mine" not in sys.modules
    if words[0] not in ("split", "recipes"):  # which need no network
        assert said.code == 1
        assert said.err.splitlines()[-1] == (
            f"Error: the study's network is your own code, {NAME}; say that it may run: --network {NAME}"
        )


def test_another_flag_allows_no_other_code(transfer: Transfer, here: Path) -> None:
    """To name a network of a library, or another function, is not to allow the recipe's."""
    (here / "other.py").write_text(CODE.replace("imported", "other imported"))
    assert transfer("layers", "own.yaml", "--network", "torchvision/squeezenet1_1").code in (0, 1)
    assert transfer("layers", "own.yaml", "--network", "other:network").code == 0
    assert (here / "other imported").exists()
    assert not (here / "imported").exists()
    sys.modules.pop("other", None)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere:network", "cannot import nowhere:network (ModuleNotFoundError: No module named 'nowhere'); give it as"),
        ("mine:absent", "cannot import mine:absent (AttributeError: module 'mine' has no attribute 'absent'); give it as"),
        ("mine:", "cannot import mine: (AttributeError: module 'mine' has no attribute ''); give it as"),
        ("mine:answer", "mine:answer is no function; it takes num_classes and returns a torch.nn.Module"),
        ("broken:network", "cannot import broken:network (SyntaxError:"),
        (
            "mine:Block",
            "python/mine:Block cannot be built: Block.__init__() got an unexpected keyword argument 'num_classes'; see",
        ),
        ("words:network", "python/words:network returned a str, not a torch.nn.Module"),
    ],
)
def test_what_is_no_network(transfer: Transfer, here: Path, name: str, said: str) -> None:
    (here / "broken.py").write_text("def network(:\n")
    (here / "words.py").write_text("def network(num_classes):\n    return 'layers'\n")
    found = transfer("layers", "tiny.yaml", "--network", name)
    sys.modules.pop("words", None)
    assert (found.code, found.out, found.err.count("\n")) == (1, "", 1)
    assert found.err.startswith(f"Error: {said}")


def test_its_arguments_are_the_recipes(transfer: Transfer, here: Path) -> None:
    said = transfer("layers", "tiny.yaml", *ALLOW, "--set", "network.arguments={width: 6}", "--json")
    assert yaml.safe_load(said.out)[0]["parameters"] == 6 * 3 * 3 * 3 + 6
    said = transfer("layers", "tiny.yaml", *ALLOW, "--set", "network.arguments={breadth: 6}")
    assert said.code == 1 and said.err.count("\n") == 1
    assert "python/mine:network cannot be built: network() got an unexpected keyword argument 'breadth'" in said.err


def test_the_source_is_in_the_recipes_digest(here: Path) -> None:
    """Another text is another network; a network of a library has none, and its recipe's digest is as it was."""

    def digest(**network: Any) -> str:
        return recipes.validate({**TINY, "network": {"name": f"python/{NAME}", **network}}, "tiny").digest()

    assert len({digest(), digest(source="a" * 64), digest(source="b" * 64)}) == 3
    assert digest() == digest(source=None)
