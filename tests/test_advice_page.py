"""What an advice study shows: its figures, by what they hold; its page, as a reader has it; what other commands say of it."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Said
from test_advise import CLASSES, NAME, SETTINGS, VAL
from test_browser import SCREENS
from test_report import Page
from torchvision import models

import transfercli
from transfercli.advice.advising import advice_of
from transfercli.advice.answer import Advice
from transfercli.pictures import formula
from transfercli.report.figures import advice as figures
from transfercli.report.figures.style import WIDTH
from transfercli.report.page.advice import advice_html, loading
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError

pytestmark = pytest.mark.slow  # an advice study is trained first


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A small study that was advised, and its network handed over."""
    root = tmp_path_factory.mktemp("page")
    formula.write(root / "pictures", CLASSES, 10, VAL, 40, 3, lambda count: None)
    names = sorted({path.name for path in (root / "pictures").glob("*/*")})
    for part in ("train", "val"):
        (root / "pictures" / part / names[0]).rename(root / "pictures" / part / f"<b>{'a long name & ' * 3}")
    torch.manual_seed(5)
    torch.save(models.get_model(NAME, weights=None, num_classes=3).state_dict(), root / "mine.pth")
    made = Study(root / "study")
    overrides = [f"{key}={value}" for key, value in SETTINGS.items()]
    asked = {"network": f"torchvision/{NAME}", "repeats": 2, "fresh": True, "overrides": overrides}
    found = transfercli.advise(made, root / "pictures", str(root / "mine.pth"), device="cpu", **asked)
    assert found is not None
    transfercli.export(found, root / "out.safetensors", device="cpu")
    return made


@pytest.fixture(scope="module")
def advice(study: Study) -> Advice:
    found = advice_of(study)
    assert found is not None
    return found


def with_classes(advice: Advice, confusion: np.ndarray) -> Advice:
    """The same with so many classes, of which this was mistaken for that."""

    class Confused(Advice):
        @property
        def confusion(self) -> np.ndarray:
            return confusion

    values = {field.name: getattr(advice, field.name) for field in dataclasses.fields(advice)}
    return Confused(**{**values, "classes": tuple(f"class {number}" for number in range(len(confusion)))})


def test_accuracy_is_drawn_for_each_way_and_the_advised_is_marked(advice: Advice) -> None:
    for width in (WIDTH, 4.2):
        ax = figures.accuracy_vs_frozen(advice, width).axes[0]
        table = advice.table.set_index("arm")
        lines = [line.get_ydata() for line in ax.lines]
        ways = table.loc[["P0T.keep", "P1T.keep", "P2T.keep"], "top1"]
        assert any(len(line) == 3 and np.allclose(line, ways) for line in lines)
        for arm in ("baseT", "R2T"):  # a line and its band
            assert any(np.allclose(line, table.loc[arm, "top1"]) and len(line) == 2 for line in lines)
            assert any(math.isclose(band.get_y(), table.loc[arm, "low"]) for band in ax.patches)
        rings = [line for line in ax.lines if line.get_markersize() == 15]
        assert [line.get_ydata()[0] for line in rings] == [table["top1"][table["advised"]].item()]
        assert [text.get_text() for text in ax.texts] == ["advised"]
        assert next(tick.get_text() for tick in ax.get_xticklabels()).startswith("0")
    names = [tick.get_text() for tick in figures.accuracy_vs_frozen(advice).axes[0].get_xticklabels()]
    assert names == ["0\nnone", "1\nstage3.0.branch1.0", "2\nconv5.0"]


def test_cost_has_a_panel_for_multiply_adds_and_one_for_seconds(advice: Advice) -> None:
    left, right = figures.accuracy_vs_cost(advice).axes
    for ax, column in ((left, "multiply_adds"), (right, "seconds")):
        assert len(ax.containers) == len(advice.table)  # a point with its interval
        row = advice.table[advice.table["arm"] == "P1T.keep"].iloc[0]
        assert any(np.allclose(line.get_xydata(), [[row[column], row["top1"]]]) for line in ax.lines)


def test_learning_curves_are_means_of_repeats_and_name_the_three_benefits(advice: Advice) -> None:
    ax = figures.advised_curves(advice).axes[0]
    name = advice.verdict.advised.name
    line = next(line for line in ax.lines if line.get_label() == f"advised: {name}")
    logs = [advice.logs[network.place].set_index("step")["top1"] for network in advice.networks(advice.verdict.advised)]
    assert len(logs) == 2
    assert np.allclose(line.get_ydata(), (logs[0] + logs[1]) / 2)
    assert "asymptote" in ax.get_xlabel()


def test_a_confusion_matrix_is_readable_for_few_classes_and_the_worst_are_named_of_many(advice: Advice) -> None:
    ax = figures.confusion(advice).axes[0]
    shares = advice.confusion / advice.confusion.sum(axis=1, keepdims=True)
    assert np.allclose(ax.images[0].get_array(), shares)
    assert max(len(tick.get_text()) for tick in ax.get_yticklabels()) <= figures.LONGEST
    many = np.diag(np.full(200, 9))
    many[7, 3], many[5, 6] = 3, 1
    confused = with_classes(advice, many)
    ax = figures.confusion(confused).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["class 7 for class 3", "class 5 for class 6"]
    assert figures.worst_confusions(confused) == [("class 7", "class 3", 0.25), ("class 5", "class 6", 0.1)]


def test_the_page_opens_with_the_answer_and_loads_nothing(study: Study, advice: Advice) -> None:
    text = advice_html(advice)
    page = Page(text)
    assert [text.strip() for text in page.inside("p")[1:4]] == advice.sentences  # after the kicker
    first = next(place for place, (tag, _) in enumerate(page.elements) if tag == "img")
    assert page.elements[first - 1][0] == "source"  # the narrow one, for phones
    tables = [place for place, (tag, _) in enumerate(page.elements) if tag == "table"]
    assert first < min(tables)
    assert "script" not in [tag for tag, _ in page.elements]
    sources = [has.get("src") or has.get("srcset") for _, has in page.elements if "src" in has or "srcset" in has]
    assert sources and all(source and source.startswith("data:image/svg+xml;base64,") for source in sources)
    for arm in advice.arms:
        assert arm.name in page.text
    assert "<b>a long name" in page.text and "<b>a long" not in text
    assert (study.recipe().source or pytest.fail("no source")).digest in page.text
    assert advice_html(advice_of(study) or pytest.fail("no advice")) == text


@pytest.mark.parametrize("screen", SCREENS)
def test_the_first_screen_is_the_answer_and_its_figure(
    browser: Any,
    advice: Advice,
    screen: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "report.html"
    path.write_text(advice_html(advice), encoding="utf-8")
    context = browser.new_context(**SCREENS[screen])
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    width, inner = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width <= inner
    box = page.locator(".picture img").first.bounding_box()
    assert box and box["height"] > 200 and box["y"] + box["height"] <= SCREENS[screen]["viewport"]["height"]
    natural = page.evaluate("document.querySelector('.picture img').naturalWidth")
    assert (natural < 500) == (screen == "phone")  # a phone has the narrow one, whose letters are not shrunk
    context.close()
    assert said == []


def test_the_page_of_many_classes_has_a_table_of_the_worst(advice: Advice) -> None:
    many = np.diag(np.full(200, 9))
    many[7, 3] = 3
    page = Page(advice_html(with_classes(advice, many)))
    assert "The worst confusions" in page.text and "25.0%" in page.text
    assert not [has for tag, has in page.elements if has.get("id") == "confusion"]


def test_the_lines_on_the_page_load_the_network(study: Study, advice: Advice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study.root)
    space: dict[str, torch.nn.Module] = {}
    exec(loading(advice), space)
    assert space["network"](torch.zeros(1, 3, 32, 32)).shape == (1, CLASSES)
    assert "torchvision.models.get_model" in Page(advice_html(advice)).text


def test_commands_know_an_advice_study(study: Study, transfer: Callable[..., Said], tmp_path: Path) -> None:
    said = transfer("plot", study.root)
    assert said.code == 0, said
    names = ["accuracy-vs-frozen", "accuracy-vs-cost", "learning-curves", "confusion"]
    assert sorted(path.stem for path in (study.root / "figures").glob("*.png")) == sorted(names)
    assert sorted(path.stem for path in (study.root / "figures").glob("*.svg")) == sorted(names)
    assert f"Next: transfer report --study {study.root}" in said.out
    assert transfer("report", study.root).out == f"Report: {study.root / 'report.html'}\n"
    for words in (["analyze", study.root], ["compare", study.root], ["plot", study.root, "--paper"]):
        said = transfer(*words)
        assert said.code == 1
        assert said.err == (
            f"Error: {study.root} is an advice study, which has an answer of its own; "
            f"see it: transfer advise --study {study.root}, or transfer report --study {study.root}\n"
        )
    said = transfer("status", study.root)
    assert said.code == 0 and said.out.endswith(f"Next: transfer advise --study {study.root}\n")
    said = transfer("advise", "--study", study.root)
    assert f"Report: {study.root / 'report.html'}\n" in said.out and "accuracy-vs-frozen.png (and .svg)\n" in said.out


def test_a_study_that_is_not_trained_has_no_page_yet(study: Study, advice: Advice, tmp_path: Path) -> None:
    half = Study(tmp_path / "half")
    for path in study.root.rglob("*"):
        if path.is_file() and "P1T.keep" not in str(path):
            copy = half.root / path.relative_to(study.root)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    with pytest.raises(TransferError, match="has no answer yet: 6 of its networks are to be trained; go on: transfer advise"):
        transfercli.write_report(half)
