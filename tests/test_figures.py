"""The figures, by what they hold: panels, lines, crosses, bars, legends, files. Not by their pixels."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import product

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from transfercli.analysis.differences import differences
from transfercli.analysis.published import TABLE_COLUMNS, published_table
from transfercli.plan.treatments import ALL, TREATMENTS, Treatment
from transfercli.report.appearance import CROSSES, TWO_PAIRS, cross, look, side_by_side
from transfercli.report.figures import (
    NothingToDraw,
    accuracy_vs_layer,
    benefits,
    drop_vs_layer,
    figures_of,
    first_layer_kernels,
    learning_curves,
    write_figures,
)
from transfercli.report.page.charts import MARKERS

EMPTY = pd.DataFrame(columns=list(TABLE_COLUMNS))
MEANS = {"BnB": 0.90, "BnB+": 0.91, "AnB": 0.80, "AnB+": 0.92, "RnB": 0.50}


def study(splits=("random-0",), targets="AB", treatments=tuple(MEANS), layers=range(1, 8), seeds=(0,)):
    """A study whose networks have the treatments' means, targets 0.02 apart, bases at 0.87 and 0.89."""
    rows = []
    for split in splits:
        for seed in seeds:
            for target in targets:
                aside = -0.01 if target == "A" else 0.01
                place = {"split": split, "seed": seed, "target": target, "source": ""}
                numbers = {
                    "top5": 1.0,
                    "loss": 0.5,
                    "top1_best10": 0.9,
                    "step": 100,
                    "status": "done",
                    "classes": 10,
                }
                base = {"treatment": "base", "network": f"base{target}", "layer": 0, "top1": 0.88 + aside}
                rows.append(place | numbers | base)
                for treatment, layer in product(treatments, layers):
                    source = {"A": "AB"[target == "A"], "B": target, "R": "R"}[treatment[0]]
                    name = f"{source}{layer}{target}{treatment[3:]}"
                    network = {"treatment": treatment, "network": name, "layer": layer, "top1": MEANS[treatment] + aside}
                    rows.append(place | numbers | network)
    return pd.DataFrame(rows)


def logs(*names):
    steps = np.arange(100, 600, 100)
    return {name: pd.DataFrame({"step": steps, "top1": steps / 1000}) for name in names}


def log_to(top1):
    steps = np.arange(0, 600, 100)
    return pd.DataFrame({"step": steps, "top1": top1 * steps / 500})


def panels(figure):
    return {ax.get_title(loc="left"): ax for ax in figure.axes}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines(ax, treatment, style="-"):
    """(x, y) of the panel's lines of a treatment, without the level lines across it."""
    return [
        (line.get_xdata(), line.get_ydata())
        for line in ax.lines
        if line.get_color() == look(treatment).color and line.get_linestyle() == style and len(line.get_xdata()) > 2
    ]


def markers(ax, marker):
    """(x, y) of every point drawn with this marker."""
    drawn = [line for line in ax.lines if line.get_marker() == marker]
    return [(x, y) for line in drawn for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def bars(ax, treatment):
    """{layer: (low, high)} of the treatment's intervals."""
    drawn = [bar for bar in ax.patches if to_hex(bar.get_facecolor()) == look(treatment).color.lower()]
    return {
        round(bar.get_x() + bar.get_width() / 2 - look(treatment).dodge): (bar.get_y(), bar.get_y() + bar.get_height())
        for bar in drawn
    }


def spread(table):
    """The table with top-1 that differ between networks, none by the same amount."""
    return table.assign(top1=table["top1"] + 0.03 * np.sin(np.arange(len(table)) ** 2))


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_study_has_a_point_per_network_and_a_line_per_treatment():
    figure = accuracy_vs_layer(study())
    ax = panels(figure)["random halves"]
    for treatment, mean in MEANS.items():
        [(x, y)] = lines(ax, treatment)
        assert np.rint(x).tolist() == list(range(1, 8))
        assert list(y) == pytest.approx([mean] * 7)
        assert len(markers(ax, look(treatment).marker)) == 14
    bases = markers(ax, look("base").marker)
    assert sorted(y for _, y in bases) == pytest.approx([0.87, 0.89])
    assert all(abs(x) < 0.1 for x, _ in bases)
    assert ax.get_xticks().tolist() == list(range(8))
    assert figure.get_supxlabel() == "layer n at which the network is chopped and retrained"
    assert ax.get_ylabel() == "top-1 accuracy"
    assert legend(figure) == [*(look(treatment).label for treatment in ("base", *MEANS)), TWO_PAIRS]
    assert "AnB+  transfer, fine-tuned" in legend(figure)


def test_chance_is_dotted_where_networks_come_near_it_and_else_a_word():
    table = study()
    [ax] = accuracy_vs_layer(table.assign(top1=table["top1"].where(table["treatment"] != "RnB", 0.2))).axes
    [chance] = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert list(chance.get_ydata()) == [0.1, 0.1]
    assert ax.get_ylim()[0] < 0.1
    assert texts(ax) == ["chance 1/10"]
    [ax] = accuracy_vs_layer(study(treatments=("AnB", "AnB+"))).axes
    assert ax.get_ylim()[0] > 0.1
    assert texts(ax) == ["↓ chance 1/10"]


@pytest.mark.parametrize("treatment", ["RnB", "AnB"])
def test_random_features_that_learned_nothing_are_a_cross_in_the_mean_as_no_other_network_is(treatment):
    table = study()
    failed = (table["treatment"] == treatment) & (table["layer"] == 6) & (table["target"] == "A")
    table.loc[failed, ["top1", "status"]] = [0.11, "did not learn"]
    figure = accuracy_vs_layer(table)
    [(x, y)] = markers(figure.axes[0], "x")
    [(_, means)] = lines(figure.axes[0], treatment)
    other = table.loc[~failed & (table["treatment"] == treatment) & (table["layer"] == 6), "top1"].item()
    assert round(x) == 6
    if treatment == "RnB":
        assert y == 0.11 and means[5] == pytest.approx((0.11 + other) / 2)
        assert legend(figure)[-2:] == ["random features that learned nothing", TWO_PAIRS]
        [(_, y)] = markers(drop_vs_layer(table).axes[0], "x")
        assert y == pytest.approx(100 * (0.11 - 0.87))
        return
    assert y == figure.axes[0].get_ylim()[0] and means[5] == pytest.approx(other)
    assert legend(figure)[-2:] == ["did not learn", TWO_PAIRS]
    [(x, y)] = markers(drop_vs_layer(table).axes[0], "x")
    assert round(x) == 6 and -50 < y < -38  # at the panel's edge, not 76 points down


@pytest.mark.parametrize("make", [accuracy_vs_layer, drop_vs_layer])
def test_a_network_that_failed_does_not_flatten_the_others(make):
    table = study(treatments=("AnB", "AnB+"))
    whole = make(table).axes[0].get_ylim()
    first, second = ((table["network"] == name) for name in ("A3B", "A5B+"))
    table.loc[first, ["top1", "status"]] = [0.1, "did not learn"]
    table.loc[second, ["top1", "status"]] = [1.0, "no better than chance"]
    [ax] = make(table).axes
    assert ax.get_ylim() == pytest.approx(whole, rel=0.01)
    for marker, edge in (("x", ax.get_ylim()[0]), ("1", ax.get_ylim()[1])):
        [line] = [line for line in ax.lines if line.get_marker() == marker]
        assert list(line.get_ydata()) == [edge] and not line.get_clip_on()


def test_a_cross_within_the_panel_stays_where_it_is():
    table = study(treatments=("AnB", "RnB"))
    failed = (table["network"] == "A3B").to_numpy()
    table.loc[failed, ["top1", "status"]] = [0.6, "did not learn"]
    assert [y for _, y in markers(accuracy_vs_layer(table).axes[0], "x")] == [0.6]
    assert [y for _, y in markers(drop_vs_layer(table).axes[0], "x")] == pytest.approx([60 - 89])


def test_networks_stand_side_by_side_around_their_mean():
    assert side_by_side(1) == [0.0]
    four = side_by_side(4)
    assert four == sorted(four) and sum(four) == pytest.approx(0) and four[-1] == pytest.approx(0.035)


def test_each_status_has_its_cross():
    assert [cross(status) for status in ("did not learn", "no better than chance", "diverged at step 7")] == ["x", "1", "+"]


def test_a_network_that_diverged_without_a_number_is_shown_at_chance():
    table = study()
    failed = (table["treatment"] == "AnB+") & (table["layer"] == 2) & (table["target"] == "B")
    table.loc[failed, ["top1", "status"]] = [np.nan, "diverged"]
    figure = accuracy_vs_layer(table)
    [(x, y)] = markers(figure.axes[0], "+")
    assert (round(x), y) == (2, pytest.approx(max(0.1, figure.axes[0].get_ylim()[0])))
    assert "diverged" in legend(figure)


def test_kinds_of_split_have_their_own_panels_and_dissimilar_halves_a_line_per_target():
    figure = accuracy_vs_layer(study(("random-0", "random-1", "man-made-natural", "animals")))
    assert list(panels(figure)) == ["random halves", "man-made / natural halves", "halves of animals"]
    assert len(lines(panels(figure)["random halves"], "AnB")) == 1
    assert len(markers(panels(figure)["random halves"], look("AnB").marker)) == 28
    dissimilar = panels(figure)["man-made / natural halves"]
    assert sorted(y[0] for _, y in lines(dissimilar, "AnB")) == pytest.approx([0.79, 0.81])
    assert {"to natural", "to man-made"} <= set(texts(dissimilar))
    assert {"to A", "to B"} <= set(texts(panels(figure)["halves of animals"]))


def test_drops_are_points_below_the_base_of_the_same_target():
    figure = drop_vs_layer(study(("random-0", "random-1"), treatments=("AnB", "BnB")))
    [ax] = figure.axes
    [(_, y)] = lines(ax, "AnB")
    assert list(y) == pytest.approx([-8.0] * 7)
    assert [y for _, y in markers(ax, look("AnB").marker)] == pytest.approx([-8.0] * 28)
    assert ax.get_ylabel() == "top-1 minus its base (points)"
    assert legend(figure) == [look("BnB").label, look("AnB").label]  # no interval: all drops are the same


def test_the_intervals_of_drops_are_those_of_the_paired_differences():
    table = spread(study(("random-0", "random-1", "animals")))
    paired = differences(table).set_index(["splits", "quantity", "layer"])[["low", "high"]]
    drawn = panels(drop_vs_layer(table))
    for treatment in MEANS:
        found = bars(drawn["random halves"], treatment)
        assert list(found) == list(range(1, 8))
        for layer, interval in found.items():
            assert interval == pytest.approx(100 * paired.loc[("random", f"{treatment}-base", str(layer))].to_numpy())


def test_the_intervals_of_accuracies_are_students_and_cut_off_by_the_points():
    table = spread(study(("random-0", "random-1", "random-2"), "B", ("AnB",), layers=[1, 2]))
    [ax] = accuracy_vs_layer(table).axes
    three = table.loc[(table["layer"] == 2) & (table["treatment"] == "AnB"), "top1"]
    reach = 4.302653 * three.std() / np.sqrt(3)  # t for three networks; the standard error of their mean
    assert bars(ax, "AnB")[2] == pytest.approx((three.mean() - reach, three.mean() + reach))
    low, high = ax.get_ylim()
    height = table["top1"].max() - table["top1"].min()
    assert 2 * reach > height
    margin = max(0.08 * height, 0.01)
    assert (low, high) == pytest.approx((table["top1"].min() - margin, table["top1"].max() + margin))
    assert all(bar.get_clip_on() for bar in ax.patches)
    assert set(bars(ax, "base")) == {0}


@pytest.mark.parametrize("make", [accuracy_vs_layer, drop_vs_layer])
def test_one_network_and_two_have_no_interval_and_the_legend_says_why_two_have_none(make):
    one, two, three = (make(spread(study([f"random-{seed}" for seed in range(pairs)], "B"))) for pairs in (1, 2, 3))
    assert [bool(figure.axes[0].patches) for figure in (one, two, three)] == [False, False, True]
    said = [[text for text in legend(figure) if "interval" in text] for figure in (one, two, three)]
    assert said == [[], [TWO_PAIRS], ["95% interval of the mean"]]


def test_of_two_pairs_no_benefit_has_an_interval():
    made = {}
    for pairs in (1, 2, 3):
        table = spread(study([f"random-{seed}" for seed in range(pairs)], "B"))
        made[pairs] = benefits(table, {f"{row.split}/{row.network}": log_to(row.top1) for row in table.itertuples()})
    assert [any(ax.patches for ax in figure.axes) for figure in made.values()] == [False, False, True]
    assert [TWO_PAIRS in legend(figure) for figure in made.values()] == [False, True, False]


def test_a_target_of_dissimilar_halves_has_no_interval_however_many_its_seeds():
    """There is one such split, so one pair, and seeds say nothing of other halves."""
    table = spread(study(("animals",), treatments=("AnB",), layers=[3], seeds=(0, 1, 2)))
    [ax] = accuracy_vs_layer(table).axes
    assert len(ax.patches) == 0 and len(markers(ax, look("AnB").marker)) == 6


def test_the_published_study_alone():
    figure = accuracy_vs_layer(EMPTY, published_table())
    assert list(panels(figure)) == ["random halves", "man-made / natural halves", "all 1000 classes"]
    assert figure.legends[0].get_title().get_text() == "Yosinski et al. 2014: the released training logs"
    assert len(markers(panels(figure)["random halves"], look("base").marker)) == 8
    assert len(lines(panels(figure)["man-made / natural halves"], "AnB")) == 2
    all_classes = panels(figure)["all 1000 classes"]
    assert [round(x) for x, _ in markers(all_classes, "x")] == [3]
    [(x, _)] = lines(all_classes, "RnB")
    assert np.rint(x).tolist() == [1, 2, 3, 4, 5, 6, 7]  # the third learned nothing, which is what its features are worth
    drops = panels(drop_vs_layer(EMPTY, published_table()))
    [(_, y)] = lines(drops["random halves"], "AnB")
    assert len(y) == 7
    assert y[6] == pytest.approx(-8.25, abs=0.05)


def test_published_values_beside_a_study_are_dashed_and_open():
    figure = accuracy_vs_layer(study(treatments=("AnB",)), published_table())
    assert list(panels(figure)) == ["random halves"]  # the study has no other kind of split, and no RnB
    assert legend(figure)[-1] == "Yosinski et al. 2014"
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--" and len(line.get_xdata()) == 7]
    assert {line.get_marker() for line in dashed} == {look(treatment).marker for treatment in MEANS if treatment != "RnB"}
    assert all(line.get_markerfacecolor() == "white" for line in dashed)
    assert {to_hex(line.get_color()) for line in dashed}.isdisjoint(
        look(treatment).color.lower() for treatment in ("base", *MEANS)
    )
    assert len(lines(figure.axes[0], "AnB")) == 1


def test_the_published_rnb_has_a_panel_beside_a_study_with_rnb():
    for figure in (accuracy_vs_layer(study(), published_table()), drop_vs_layer(study(), published_table())):
        assert list(panels(figure)) == ["random halves", "all 1000 classes"]
        assert [round(x) for x, _ in markers(panels(figure)["all 1000 classes"], "x")] == [3]


def test_a_study_with_a_kind_of_split_that_the_paper_has_not_is_drawn_alone():
    figure = accuracy_vs_layer(study(("animals",), treatments=("AnB",)), published_table())
    assert list(panels(figure)) == ["halves of animals"]
    assert "Yosinski et al. 2014" not in legend(figure)


def test_nothing_to_draw_is_an_error_that_says_what_to_do():
    for make in (lambda: accuracy_vs_layer(EMPTY), lambda: drop_vs_layer(study(treatments=()))):
        with pytest.raises(NothingToDraw) as error:
            make()
        remedy = "train some first: transfer train-base"
        assert str(error.value) == f"no network is done that the figure could show; {remedy}"
    with pytest.raises(NothingToDraw) as error:
        learning_curves({"A1B": pd.DataFrame()})
    assert str(error.value) == "no network has a log to draw; train some first: transfer train-base"
    with pytest.raises(NothingToDraw) as error:
        benefits(study(), {})
    assert str(error.value) == "no network and its base have a log to compare; train some first: transfer sweep"
    with pytest.raises(NothingToDraw) as error:
        first_layer_kernels({})
    assert str(error.value) == "no base has weights to show; train some first: transfer train-base"


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (pd.DataFrame(), []),
        (study(treatments=()), ["accuracy-vs-layer"]),
        (study(targets="B", treatments=("AnB",), layers=[4]), ["accuracy-vs-layer", "drop-vs-layer"]),
        (study(treatments=("RnB",)).query("treatment == 'RnB'"), ["accuracy-vs-layer"]),
        (study().assign(status="did not learn"), ["accuracy-vs-layer"]),
    ],
    ids=["nothing", "bases", "one network", "no base", "none learned"],
)
def test_what_there_is_gets_drawn(tmp_path, table, names):
    written = write_figures(figures_of(table, {}), tmp_path / "figures")
    assert written == [tmp_path / "figures" / f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    assert all(path.stat().st_size > 5000 for path in written)


@pytest.mark.slow
def test_files_are_whole_alike_and_alone_in_their_folder(tmp_path):
    table = spread(study(("random-0", "random-1"), treatments=("AnB",), layers=[1, 2]))
    curves = logs(*(f"{split}/{name}" for split in ("random-0", "random-1") for name in ("baseA", "baseB", "B1A", "A1B", "A2B")))
    kernels = {"random-0/baseA": np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)}
    first = write_figures(figures_of(table, curves, published_table(), kernels), tmp_path / "first")
    shuffled = table.sample(frac=1, random_state=0), dict(reversed(curves.items()))
    second = write_figures(figures_of(*shuffled, published_table(), kernels), tmp_path / "second")
    names = ("accuracy-vs-layer", "drop-vs-layer", "learning-curves", "benefits", "filters")
    assert [path.name for path in first] == [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert sorted((tmp_path / "first").iterdir()) == sorted(first)
    assert first[0].read_bytes().startswith(b"\x89PNG")
    words = "".join(ElementTree.parse(first[1]).getroot().itertext())
    assert "AnB  transfer, frozen" in words  # text is text in the SVG
    assert "date" not in words.lower()


def test_further_treatments_have_looks_of_their_own(monkeypatch):
    """As many as anyone will draw at once; the page has an outline for each marker."""
    for place in range(12):
        name = f"AnB.{chr(97 + place)}"
        monkeypatch.setitem(TREATMENTS, name, Treatment(name, "other", "first n", ALL, "another"))
    looks = [look(treatment) for treatment in TREATMENTS]
    assert len({(drawn.color, drawn.marker) for drawn in looks}) == len(looks) == 39
    assert len({drawn.dodge for drawn in looks[1:13]}) == 12 and all(abs(drawn.dodge) < 0.5 for drawn in looks)
    assert {drawn.marker for drawn in looks} | {*CROSSES.values()} == {*MARKERS}
    assert looks[-1].label == "AnB.l  another"


def test_the_first_layers_have_a_panel_per_base():
    pictures = {
        f"{name}/base{half}": np.full((40, 50, 3), 9, np.uint8) for name in ("random-0", "random-1/seed-1") for half in "AB"
    }
    figure = first_layer_kernels(pictures)
    titles = ["random-0 baseA", "random-0 baseB", "random-1 seed-1 baseA", "random-1 seed-1 baseB"]
    assert list(panels(figure)) == titles
    assert all(not ax.axison and (ax.get_images()[0].get_array() == 9).all() for ax in figure.axes)
    three = first_layer_kernels(dict(list(pictures.items())[:3]))
    assert list(panels(three)) == [*titles[:3], ""] and not any(ax.axison for ax in three.axes)


def test_drawing_leaves_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams)
    learning_curves(logs("baseB", "A1B"))
    assert dict(matplotlib.rcParams) == before
    code = "import sys, transfercli.report.figures; print({'torch', 'matplotlib.pyplot'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_lines_and_intervals_are_of_pairs_whose_seeds_are_averaged():
    """Four seeds of one split weigh as much as one of another; three pairs of one target make the interval."""
    table = pd.concat([study(("random-0",), "B", ("AnB",), seeds=range(4)), study(("random-1", "random-2"), "B", ("AnB",))])
    table["top1"] += 0.04 * (table["split"] == "random-1") + 0.02 * (table["split"] == "random-2")
    [ax] = accuracy_vs_layer(table).axes
    [(_, means)] = lines(ax, "AnB")
    assert list(means) == pytest.approx([0.81 + 0.02] * 7)
    low, high = bars(ax, "AnB")[1]
    assert high - low == pytest.approx(2 * 4.302653 * 0.02 / np.sqrt(3))
    assert len(markers(ax, look("AnB").marker)) == 6 * 7
