"""The report's page, by its text: what a reader finds, that nothing is loaded, that names from strangers stay text."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_recipe
from safetensors.numpy import save_file

from transfercli.analysis import comparison, differences, displayed, lecture
from transfercli.analysis.conclusions import brief, conclude
from transfercli.analysis.contrasts import contrasts
from transfercli.analysis.published import published_table
from transfercli.plan.networks import Network, bases, columns, transfers
from transfercli.plan.splits import Split
from transfercli.plan.tasks import HALVES
from transfercli.plan.treatments import TREATMENTS, USUAL, Phase, Treatment
from transfercli.recipe.reading import dump, find, smoke, validate
from transfercli.recipe.schema import Recipe
from transfercli.report.page import as_json, cells, charts, html, published_beside, words
from transfercli.study.folder import Study
from transfercli.study.splits import Halves
from transfercli.system.errors import TransferError

HOSTILE = "</script><script>alert(1)</script><img src=http://e.example/x onerror=alert(2)>\"' \u202e&amp;"
STEPS = (0, 100, 200, 300, 400)
GAINS = {"base": 0.0, "BnB": -0.01, "BnB+": 0.01, "AnB": -0.012, "AnB+": 0.015, "RnB": -0.06}  # the last three times n


def written(
    root: Path,
    splits: Iterable[str] = ("random-0",),
    targets: Iterable[str] = ("B",),
    treatments: Iterable[str] = USUAL,
    seeds: Iterable[int] = (0,),
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    recipe: Recipe | None = None,
    classes: tuple[str, ...] = ("a", "b", "c", "d"),
    names: Mapping[str, tuple[str, str]] | None = None,
) -> Study:
    """A study of made-up rows and logs, with no network's weights; `changes` of single rows by network, `names` of halves."""
    study = Study(root)
    study.write_recipe(recipe or tiny_recipe())
    splits, seeds, middle = list(splits), list(seeds), len(classes) // 2
    halves = {
        name: Split(name, "random", 0, classes[:middle], classes[middle:], (names or {}).get(name, HALVES)) for name in splits
    }
    for name, split in halves.items():
        counts = {half: {"train": 16, "val": 1000} for half in "AB"}
        study.write_halves(Halves(split, "pictures", counts, f"digest of {name}"))
    networks = [*bases(splits, seeds), *transfers(splits, seeds, list(targets), range(1, 8), list(treatments))]
    for network in networks:
        row = {**row_of(network), **columns(network, halves[network.split]), **(changes or {}).get(network.name, {})}
        share = 0.1 if row["top1"] is None else row["top1"]
        log = [
            {
                **dict.fromkeys(("train_loss", "loss", "top5", "learning_rate"), 0.5),
                "step": step,
                "top1": 0.1 + (share - 0.1) * step / STEPS[-1],
            }
            for step in STEPS
        ]
        study.write_network(network, row, log)
    return study


def row_of(network: Network) -> dict[str, Any]:
    aside = 0.02 * (network.target == "A") + 0.001 * (sum(map(ord, network.split)) % 9) + 0.002 * network.seed
    wave = 0.004 * math.sin(7 * network.layer + 3 * ord(network.target) + sum(map(ord, network.split + network.treatment)))
    times = network.layer if network.treatment in ("AnB", "AnB+", "RnB") else 1
    top1 = round(0.6 + aside + wave + GAINS[network.treatment] * times, 4)
    return {
        **columns(network),
        "top1": top1,
        "top5": min(1.0, top1 + 0.2),
        "loss": 1.25,
        "top1_best10": top1,
        "step": STEPS[-1],
        "status": "done",
        "classes": 10,
        "val_pictures": 1000,
        "recipe": "tiny",
        "recipe_digest": "digest of the recipe",
        "version": "0.1.0",
        "commit": "0123456789ab",
        "torch": "2.11",
        "cuda": "",
        "precision": "float32",
        "device": "cpu, of a test",
        "finished": "2026-01-02T03:04:05+00:00",
        "bank": "all of them",
        "bank_seconds": 12.5,
    }


class Page(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and the text of those that are asked for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[int, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.texts[len(self.elements)] = self.texts.get(len(self.elements), "") + data

    def inside(self, tag: str, **attributes: str) -> list[str]:
        """The texts straight after the start of each such element."""
        places = [
            place for place, (name, has) in enumerate(self.elements, 1) if name == tag and attributes.items() <= has.items()
        ]
        return [self.texts.get(place, "") for place in places]

    @property
    def text(self) -> str:
        kept = [text for place, text in self.texts.items() if self.elements[place - 1][0] not in ("script", "style")]
        return " ".join(" ".join(kept).split())

    @property
    def data(self) -> Any:
        return json.loads(self.inside("script", id="data")[0])


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two random splits and man-made/natural, both targets."""
    return written(tmp_path_factory.mktemp("report") / "several", ("random-0", "random-1", "man-made-natural"), "AB")


@pytest.fixture(scope="module")
def several_page(several: Study) -> str:
    return html(several)


# -- content


def test_a_study_without_a_network_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(TransferError) as raised:
        html(Study(tmp_path))
    assert str(raised.value) == f"no network in {tmp_path} is done; train some: transfer train-base"


def test_the_page_opens_with_what_the_study_is(several_page: str) -> None:
    text = Page(several_page).text
    assert "216 networks · 2 random splits and man-made / natural halves · targets A and B · seed 0 · finished 2026-01-02" in text
    assert "Not at the paper's scale: a small network, halves of 10 classes, 400 steps of 9 pictures." in text


def test_only_the_papers_own_recipe_is_at_the_papers_scale(tmp_path: Path) -> None:
    own = find("yosinski2014")
    for recipe, is_own in ((own, True), (smoke(own), False)):
        text = Page(html(written(tmp_path / str(is_own), recipe=recipe))).text
        assert ("Not at the paper's scale" not in text) == is_own
        assert ("its numbers mean nothing" in text) == (not is_own)


@pytest.mark.slow
def test_of_a_smoke_run_nothing_is_concluded(tmp_path: Path) -> None:
    study = written(tmp_path, recipe=smoke(find("demo")))
    text = Page(html(study)).text
    assert "Nothing is concluded of a smoke run." in text and "No answer yet" not in text
    concluded = [*brief(study.table()), *conclude(study.table())["random"]]
    assert len(concluded) > 3 and not any(" ".join(sentence.split()) in text for sentence in concluded)
    both = written(tmp_path / "both", ("random-0", "man-made-natural"), recipe=smoke(find("demo")))
    assert len(lecture.lecture(both.table())) and "agrees" not in Page(html(both)).text


def test_the_page_opens_with_the_answer_and_its_figure_and_every_conclusion_follows(several: Study, several_page: str) -> None:
    text = Page(several_page).text
    answer = brief(several.table())
    assert len(answer) == 3
    for sentence in answer:
        assert text.index(sentence) < text.index("Figure 1.")
    said = conclude(several.table())
    assert set(said) == {"random", "man-made-natural, target A", "man-made-natural, target B"}
    assert "Man-made / natural halves, to natural" in text and "Man-made / natural halves, to man-made" in text
    for sentence in (sentence for sentences in said.values() for sentence in sentences):
        assert text.index("Figure 1.") < text.index("What this study shows") < text.index(" ".join(sentence.split()))


def test_the_figures_data_are_the_table(several: Study, several_page: str) -> None:
    data, table = Page(several_page).data, several.table()
    assert [network["name"] for network in data["networks"]] == table["network"].tolist()
    accuracy = [chart for chart in data["charts"] if chart["quantity"] == "accuracy"]
    assert [chart["title"] for chart in accuracy] == ["random halves", "man-made / natural halves"]
    drawn = {place: y for chart in accuracy for place, _, y in chart["points"]}
    assert drawn == pytest.approx(dict(enumerate(100 * table["top1"])))
    for place, network in enumerate(data["networks"]):
        row = table.iloc[place]
        steps = data["steps"][network["steps"]]
        assert (steps, network["curve"][-1]) == (list(STEPS), pytest.approx(100 * row["top1"]))
        if row["treatment"] != "base":
            base = table.iloc[network["base"]]
            assert (base["network"], base["split"]) == (f"base{row['target']}", row["split"])


def test_gains_are_drawn_with_the_interval_of_their_mean(several: Study) -> None:
    table = several.table()
    chart = next(c for c in charts.charts(table, published_beside(table), differences.bounded(table)) if c["quantity"] == "gain")
    found = differences.differences(table).set_index(["splits", "quantity", "layer"])
    for treatment in USUAL:
        line = next(line for line in chart["lines"] if line["treatment"] == treatment)
        for layer, (bar, (x, mean)) in enumerate(zip(chart["bars"][treatment], line["points"], strict=True), 1):
            expected = 100 * found.loc[("random", f"{treatment}-base", str(layer)), ["mean", "low", "high"]]
            assert [mean, *bar[1:3]] == pytest.approx(expected.tolist(), abs=1e-3)
            assert (bar[0], bar[3]) == (x, 4)


def test_two_pairs_have_no_bar_and_the_caption_says_why(several: Study, several_page: str) -> None:
    """Man-made/natural halves have one pair for each target."""
    table = several.table()
    drawn = charts.charts(table, published_beside(table), differences.bounded(table))
    bars = {chart["title"]: chart["bars"] for chart in drawn if chart["quantity"] == "gain"}
    assert set(bars["random halves"]) == set(USUAL) and bars["man-made / natural halves"] == {}
    assert "two pairs have none, as it would hide the rest" in Page(several_page).text


def test_lines_are_means_of_pairs_whose_seeds_are_averaged(tmp_path: Path) -> None:
    written(tmp_path, seeds=(0, 1, 2))
    table = written(tmp_path, ("random-1",)).table()
    drawn = charts.charts(table, published_beside(table), differences.bounded(table))
    [line] = [line for line in drawn[0]["lines"] if line["treatment"] == "AnB"]
    third = table[(table["treatment"] == "AnB") & (table["layer"] == 3)]
    assert line["points"][2][1] == pytest.approx(100 * third.groupby("split")["top1"].mean().mean(), abs=1e-3)


def test_learning_curves_are_means_by_layer_beside_their_bases(several: Study) -> None:
    table = several.table()
    drawn = charts.learning(table, several.logs())
    assert [(chart["kind"], chart["treatment"]) for chart in drawn] == [
        (kind, treatment) for kind in ("random", "man-made-natural") for treatment in USUAL
    ]
    means = table[table["split"].str.startswith("random")].groupby(["treatment", "layer"])["top1"].mean()
    for chart in drawn[:5]:
        ends = {line["layer"]: line["points"][-1] for line in chart["lines"]}
        assert list(ends) == list(range(8))
        for layer, end in ends.items():
            assert end == [STEPS[-1], pytest.approx(100 * means[chart["treatment"] if layer else "base", layer], abs=0.01)]


def test_learning_curves_leave_out_networks_that_failed(tmp_path: Path) -> None:
    failed = {"status": "did not learn", "top1": 0.1}
    diverged = {f"B{n}B": failed | {"status": "diverged at step 7"} for n in range(1, 8)}
    study = written(tmp_path, treatments=("BnB", "AnB", "RnB"), changes={"A3B": failed, "R3B": failed} | diverged)
    drawn = {chart["treatment"]: chart["lines"] for chart in charts.learning(study.table(), study.logs())}
    assert {treatment: [line["layer"] for line in lines] for treatment, lines in drawn.items()} == {
        "AnB": [0, 1, 2, 4, 5, 6, 7],
        "RnB": [0, 1, 2, 3, 4, 5, 6, 7],  # that random features learn nothing is a result
    }


def test_random_features_that_learned_nothing_are_a_marked_result(tmp_path: Path) -> None:
    page = Page(html(written(tmp_path, changes={"R6B": {"status": "did not learn", "top1": 0.1}})))
    networks = {network["name"]: network for network in page.data["networks"]}
    assert (networks["R6B"]["cross"], networks["R6B"]["failed"]) == ("x", False)
    assert ["status", "random features that learned nothing"] in networks["R6B"]["facts"]
    assert "random features that learned nothing: a result, in the mean." in page.text
    assert "Crosses are networks that failed" not in page.text and "Networks that failed None." in page.text
    [line] = [line for line in page.data["charts"][0]["lines"] if line["treatment"] == "RnB"]
    assert line["points"][5][1] == 10.0


def test_a_copy_of_a_base_that_failed_is_marked_on_the_page(tmp_path: Path) -> None:
    failed = {"status": "did not learn", "top1": 0.1}
    networks = {n["name"]: n for n in Page(html(written(tmp_path, changes={"baseA": failed}))).data["networks"]}
    assert networks["A3B"]["failed"] and networks["A3B"]["cross"] and not networks["B3B"]["failed"]
    assert ["status", displayed.OF_FAILED_BASE] in networks["A3B"]["facts"]


def test_of_one_pair_the_interval_is_that_of_the_pictures(tmp_path: Path) -> None:
    table = written(tmp_path).table()
    found = differences.bounded(table)
    layers = found[found["layer"].str.isdigit()]
    reach = differences.paired_values(table)["reach"]
    assert sorted((layers["high"] - layers["low"]) / 2) == pytest.approx(sorted(reach))
    page = html(Study(tmp_path))
    assert re.search(r"<small>[−+]\d+\.\d\d to [−+]\d+\.\d\d†</small>", page)


def test_the_paired_table_says_what_the_analysis_finds(several: Study) -> None:
    made = cells.differences(differences.bounded(several.table()))
    found = differences.differences(several.table()).set_index(["splits", "quantity", "layer"])
    assert list(made) == ["random", "man-made-natural"]
    table = made["random"]
    assert table.head == ["", *"1234567", "1-7", "3-7", "5-7", "pairs"]
    row = next(row for row in table.rows if row.head == "AnB − base")
    number = found.loc[("random", "AnB-base", "7")]
    assert row.cells[6].text == words.points(number["mean"])
    assert row.cells[6].beneath == f"{words.points(number['low'])} to {words.points(number['high'])}"
    assert row.cells[6].clear == "below"
    assert row.cells[-1].text == "4"


def test_the_contrasts_fixed_in_advance_are_a_table(several: Study, several_page: str) -> None:
    table = several.table()
    made = cells.contrasts(contrasts(table, bound=True))
    assert list(made) == ["random", "man-made-natural"]
    found = contrasts(table).set_index(["splits", "quantity"])
    assert [row.head for row in made["random"].rows] == ["dip", "boost"]
    for row in made["random"].rows:
        number = found.loc[("random", row.head)]
        assert row.cells[0].text == words.points(number["mean"]) and row.cells[1].text == str(number["n"])
        assert row.cells[0].beneath == f"{words.points(number['low'])} to {words.points(number['high'])}"
    assert "Random halves: two contrasts fixed in advance, points" in Page(several_page).text


def test_the_lectures_rule_of_thumb_is_a_section_with_its_rule_beneath(several: Study, several_page: str) -> None:
    text, found = Page(several_page).text, lecture.lecture(several.table())
    said = [" ".join(part.split()) for part in (*lecture.sentences(found), lecture.RULE)]
    assert len(said) == 4 and all(part in text for part in said)
    assert [text.index(part) for part in said] == sorted(text.index(part) for part in said)


def test_beside_the_published_study_stands_what_compare_finds(several: Study) -> None:
    table, published = several.table(), published_table()
    made = cells.published(table, published)["random"]
    found = comparison.compare(table, published).set_index(["splits", "quantity", "layer"])
    rows = {row.head: row.cells for row in made.rows}
    number = found.loc[("random", "AnB-base", 3)]
    reach = f"{100 * (number['high'] - number['value']):.2f}"
    assert rows["AnB − base"][2][:2] == (f"{words.points(number['value'])} ±{reach}", words.points(number["other"]))
    number = found.loc[("random", "AnB", 3)]
    reach = f"{100 * (number['high'] - number['value']):.1f}"
    assert rows["AnB"][2][:2] == (f"{words.percent(number['value'])} ±{reach}", words.percent(number["other"]))
    within = found["value"].between(found["other_low"], found["other_high"])
    assert all((cell.clear == "inside") == within[("random", "AnB", n)] for n, cell in enumerate(rows["AnB"][:7], 1))
    assert made.rows[0].head.startswith("Top-1, percent; base 6")
    assert "RnB" not in rows  # the published random filters learned all 1000 classes
    assert rows["AnB+ − base"][-1].text == f"{sum(within[('random', 'AnB+-base', n)] for n in range(1, 8))} of 7"
    assert 0 < sum(cell.clear == "inside" for row in made.rows for cell in row.cells) < 49  # some are shaded and some are not


def test_an_unknown_interval_is_not_shown_and_kinds_of_split_have_their_order(several: Study) -> None:
    table, published = several.table(), published_table()
    one = table[(table["split"] == "random-0") & (table["target"] == "B")].drop(columns="val_pictures")
    assert not any("±" in cell.text for row in cells.published(one, published)["random"].rows for cell in row.cells)
    assert list(cells.published(table, published)) == ["random", "man-made-natural"]


def test_the_columns_keep_their_order_where_a_network_failed(tmp_path: Path) -> None:
    table = written(tmp_path, changes={"B1B": {"status": "did not learn"}}).table()
    [made] = cells.differences(differences.bounded(table)).values()
    assert made.head == ["", *"1234567", "1-7", "3-7", "5-7", "pairs"]


@pytest.mark.parametrize(
    ("share", "text"), [(-0.00001, "0.00"), (0.0, "0.00"), (0.00001, "0.00"), (-0.0001, "−0.01"), (0.012, "+1.20"), (None, "–")]
)
def test_points_have_a_sign_where_they_are_not_0(share: float | None, text: str) -> None:
    assert words.points(share) == text


def test_accuracies_are_means_over_seeds(tmp_path: Path) -> None:
    table = written(tmp_path, seeds=(0, 1)).table()
    base, made = cells.accuracies(table)["random-0, target B"]
    own = table[(table["target"] == "B") & (table["treatment"] == "base")]
    assert base == f"{100 * own['top1'].mean():.1f} 2 seeds"
    assert [row.head for row in made.rows] == list(USUAL)
    assert made.rows[0].cells[0].beneath == "2 seeds"


def test_the_page_says_where_the_study_comes_from(several_page: str) -> None:
    text = Page(several_page).text
    for fact in ("cpu, of a test", "float32", "0123456789ab", "2.11", "digest of the recipe", "digest of man-made-natural"):
        assert fact in text
    assert "38 seconds in 3 banks of networks" in text
    assert "Half A (natural): 2 classes, 16 train pictures, 1,000 val pictures" in text
    assert "Yosinski, J. Clune, Y. Bengio" in text
    assert dump(tiny_recipe()).strip() in Page(several_page).inside("pre")[0]
    assert "transfer report --study several" in text


def test_kernels_are_pictures_in_the_page(tmp_path: Path) -> None:
    study = written(tmp_path, treatments=())
    kernels = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype("float32")
    save_file({"conv1.weight": kernels}, tmp_path / "random-0/baseA/weights.safetensors")
    images = [has for tag, has in Page(html(study)).elements if tag == "img"]
    assert [image["alt"] for image in images] == ["First-layer kernels of random-0/baseA"]
    assert str(images[0]["src"]).startswith("data:image/png;base64,")


def test_what_treatments_are_is_said_before_the_conclusion_speaks_of_them(several_page: str) -> None:
    text = Page(several_page).text
    said = [text.index(words) for words in ("AnB: the first n", "BnB: copied", "RnB: random", "+: fine-tuned")]
    first = " ".join(Page(several_page).inside("li")[0].split())
    assert text.index("What this study shows") < said[0] and max(said) < text.index(first)


def test_the_network_pointed_at_is_read_out_but_not_its_curve(several_page: str) -> None:
    live = [(tag, has["aria-live"]) for tag, has in Page(several_page).elements if "aria-live" in has]
    assert live == [("aside", "polite"), ("div", "off")]


def test_the_page_needs_no_matplotlib() -> None:
    code = "import sys, transfercli.report.page; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


# -- what is missing


def test_networks_that_failed_are_named_crossed_and_in_no_mean(tmp_path: Path) -> None:
    diverged = {"status": "diverged at step 7", "top1": None, "top5": None, "loss": None}
    study = written(tmp_path, changes={"A3B": diverged, "A7B": {"status": "did not learn", "top1": 0.1}})
    page = Page(html(study))
    assert "random-0 A3B: diverged at step 7" in page.text and "random-0 A7B: did not learn" in page.text
    networks = {network["name"]: network for network in page.data["networks"]}
    assert (networks["A3B"]["cross"], networks["A7B"]["cross"], networks["A1B"]["cross"]) == ("+", "x", "")
    assert ["top-1", words.NONE] in networks["A3B"]["facts"]
    chart = page.data["charts"][0]
    line = next(line for line in chart["lines"] if line["treatment"] == "AnB")
    assert [round(x) for x, _ in line["points"]] == [1, 2, 4, 5, 6]
    assert [y for place, _, y in chart["points"] if page.data["networks"][place]["cross"]] == [10.0] * 2


def test_none_failed(several_page: str) -> None:
    text = Page(several_page).text
    assert "Networks that failed None." in text and "Crosses are networks" not in text


def test_bases_alone_make_a_page_that_draws_no_conclusion(tmp_path: Path) -> None:
    page = Page(html(written(tmp_path, treatments=())))
    assert "Nothing yet: there is no transfer network" in page.text and "No answer yet" in page.text
    assert {chart["quantity"] for chart in page.data["charts"]} == {"accuracy"}
    assert "Paired differences" not in page.text and "What transfer brings" not in page.text


def test_nothing_but_failures_is_still_a_page(tmp_path: Path) -> None:
    failed = {"status": "diverged at step 7", "top1": None, "top5": None, "loss": None}
    page = Page(html(written(tmp_path, treatments=(), changes={"baseA": failed, "baseB": failed})))
    assert "random-0 baseB: diverged at step 7" in page.text


def test_rows_of_other_versions_may_lack_what_is_no_column_of_the_table(tmp_path: Path) -> None:
    study = written(tmp_path)
    for path in study.row_files():
        row = json.loads(path.read_text())
        for column in ("val_pictures", "device", "finished", "bank", "bank_seconds", "recipe_digest", "commit"):
            del row[column]
        path.write_text(json.dumps(row))
    page = Page(html(study))
    assert "finished" not in page.text
    assert not any(fact == "95% interval" for network in page.data["networks"] for fact, _ in network["facts"])


# -- strangers


def test_names_from_strangers_stay_text(tmp_path: Path) -> None:
    recipe = validate({**tiny_recipe().model_dump(mode="json"), "about": HOSTILE.replace("\u202e", "")}, "hostile")
    study = written(
        tmp_path,
        splits=("x.y",),
        recipe=recipe,
        changes={"A3B": {"device": HOSTILE, "commit": HOSTILE, "torch": HOSTILE, "finished": HOSTILE, "bank": HOSTILE}},
        classes=tuple(sorted(name.replace("/", "") for name in (HOSTILE, "<b>", "'\"", "{{ 7 * 7 }}"))),
    )
    text = html(study)
    page = Page(text)
    assert [has.get("id", "") for tag, has in page.elements if tag == "script"] == ["data", ""]
    assert not any(tag == "img" for tag, _ in page.elements)
    assert not any(name.startswith("on") for _, has in page.elements for name in has)
    assert "\u202e" not in text and "\\u202e" in text
    assert "{{ 7 * 7 }}" in page.text
    assert page.text.count("alert(1)") >= 4  # the about line, and three rows of what made it


def test_json_cannot_end_its_element() -> None:
    values = {"name": HOSTILE, "lines": "\u2028\ud800"}
    text = as_json(values)
    assert "<" not in text and text.isascii()
    assert json.loads(text) == values


# -- one file


def test_nothing_is_loaded(several_page: str) -> None:
    page = Page(several_page)
    for tag, has in page.elements:
        for name in ("src", "href", "srcset", "data", "poster", "action", "xlink:href"):
            if has.get(name) and tag != "a":
                assert str(has[name]).startswith("data:"), (tag, has)
    style = page.inside("style")[0]
    assert "url(" not in style and "@import" not in style
    (policy,) = (has["content"] for tag, has in page.elements if tag == "meta" and "http-equiv" in has)
    assert policy is not None and policy.startswith("default-src 'none'; ") and "http" not in policy


def test_the_same_study_is_the_same_page_and_a_small_one(several: Study, several_page: str) -> None:
    assert html(several) == several_page
    assert len(several_page.encode()) < 1_500_000


def test_long_curves_are_thinned_to_what_the_eye_sees() -> None:
    import pandas as pd

    curve = pd.Series(np.linspace(0, 1, 5000), index=np.arange(5000) * 10)
    thinned = charts._thinned(curve)
    assert (len(thinned), thinned.index[0], thinned.index[-1]) == (charts.MOST_EVALUATIONS, 0, 49990)
    assert charts._thinned(curve[:7]).equals(curve[:7])


@pytest.mark.parametrize(
    ("network", "treatment", "said"),
    [
        ("A1B", "", "First layer from baseA, frozen; the rest fresh, trained on B."),
        ("A2-3B", "", "Layers 2-3 from baseA, frozen; the rest fresh, trained on B."),
        ("R3B", "", "First 3 layers random and frozen; the rest fresh, trained on B."),
        ("B3B+", "", "First 3 layers from baseB, the rest fresh; all of them trained on B."),
        ("baseB", "", "All layers trained on B from random weights."),
        ("A7B.thaw", "all but the last", "First 7 layers from baseA, the rest fresh; all of them trained on B (by turns)."),
        ("baseB.thaw", "all", "All layers from baseB; all of them trained on B (by turns)."),
    ],
)
def test_where_layers_come_from_in_words(network: str, treatment: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, origin in (("AnB.thaw", "other"), ("base.thaw", "self")):
        phases = (Phase("last", 0.5), Phase("all"))
        monkeypatch.setitem(TREATMENTS, name, Treatment(name, origin, treatment or "all", phases, "by turns"))  # type: ignore[arg-type]
    source = {"b": "B", "R": "random"}.get(network[0], network[0])
    row = {"split": "random-0", "seed": 0, "network": network, "source": source, "target": "B"}
    assert words.made_of(row, {}, 8) == said
