"""The learning curves and what they are measured for, by what the figures hold."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from test_figures import bars, legend, logs, markers, panels, study, texts

from transfercli.analysis.benefits import BENEFITS, log_names
from transfercli.analysis.benefits import benefits as mean_benefits
from transfercli.analysis.curves import mean_curve
from transfercli.report.appearance import TWO_PAIRS, look
from transfercli.report.figures import benefits, learning_curves

AnB = look("AnB").color


def rising(*ends, steps=(0, 100, 200, 400)):
    """Logs that rise evenly from 0 to these top-1."""
    steps = np.array(steps)
    return [pd.DataFrame({"step": steps, "top1": end * steps / steps[-1]}) for end in ends]


def drawn(ax, style="-"):
    """The panel's lines as [(colour, last step, last top-1)], black first."""
    found = [(line.get_color(), *line.get_xydata()[-1]) for line in ax.lines if line.get_linestyle() == style]
    return sorted(found, key=lambda line: line[0] != "black")


def test_learning_curves_have_a_panel_per_treatment_with_their_base():
    figure = learning_curves(logs("random-0/baseA", "random-0/baseB", "random-0/A3B", "random-0/A5B", "random-0/R2A"))
    assert list(panels(figure)) == [look("AnB").label, look("RnB").label]
    first = panels(figure)[look("AnB").label]
    colors = [line.get_color() for line in first.lines]
    assert colors[0] == "black" and len(colors) == 3  # the base of target B alone
    light, dark = (sum(to_rgb(color)) for color in colors[1:])
    assert dark < light  # the deeper cut is the darker
    assert texts(first) == ["3, 5"]
    assert texts(panels(figure)[look("RnB").label]) == ["2"]
    assert first.get_ylabel() == "validation top-1"
    assert legend(figure) == [look("base").label]


def test_repeats_are_one_line_the_mean_beside_the_mean_of_their_bases():
    names = ("random-0/baseB", "random-0/baseA", "random-1/seed-2/baseB", "random-0/A3B", "random-0/B3A", "random-1/seed-2/A3B")
    figure = learning_curves(dict(zip(names, rising(0.5, 0.6, 0.7, 0.1, 0.2, 0.6), strict=True)))
    [ax] = figure.axes
    assert [line[1:] for line in drawn(ax)] == [(400, pytest.approx(0.6)), (400, pytest.approx(0.3))]
    assert ax.get_ylabel() == "validation top-1, mean of 3"
    assert texts(ax) == ["3"]


def test_a_mean_takes_in_as_many_networks_as_there_are_and_says_so():
    figure = learning_curves(logs("random-0/A3B", "random-0/A4B", "random-1/A3B"))
    assert figure.axes[0].get_ylabel() == "validation top-1, mean of 1 to 2"


def test_curves_measured_at_other_steps_are_averaged_where_both_go():
    one, other = pd.Series({0: 0.0, 100: 1.0, 200: 1.0}), pd.Series({50: 0.2, 150: 0.4, 300: 1.0})
    mean = mean_curve([one, other])
    assert mean.index.tolist() == [50, 100, 150, 200]
    assert mean.tolist() == pytest.approx([(0.5 + 0.2) / 2, (1 + 0.3) / 2, (1 + 0.4) / 2, (1 + 0.6) / 2])


def test_each_kind_of_split_has_a_row():
    of_each = [f"{split}/{name}" for split in ("man-made-natural", "random-0") for name in ("baseB", "A1B", "A2B+")]
    figure = learning_curves(logs(*of_each, "random-0/R1B"))
    labels = ["random halves\nvalidation top-1", "man-made / natural halves\nvalidation top-1"]
    assert [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()] == labels
    titles = ["AnB\ntransfer, frozen", "AnB+\ntransfer, fine-tuned", "RnB\nrandom, frozen"]
    assert [ax.get_title(loc="left") for ax in figure.axes] == [*titles, "", ""]
    assert all(drawn(ax)[0][0] == "black" for ax in figure.axes)


def test_panels_share_a_scale_that_holds_all_their_curves():
    """The first panel's curves are lower than the second's."""
    names = ("random-0/baseB", "random-0/B3B", "random-0/A3B+")
    figure = learning_curves(dict(zip(names, rising(0.4, 0.3, 0.9), strict=True)))
    for ax in figure.axes:
        low, high = ax.get_ylim()
        assert low == 0 and 0.9 < high < 1


def test_a_copy_of_a_base_that_failed_is_dotted_and_random_features_that_learned_nothing_are_in_the_mean():
    table = study(treatments=("AnB", "RnB"), layers=[3])
    table["source"] = table["network"].str[0]
    table.loc[table["network"] == "baseA", "status"] = "did not learn"
    table.loc[table["network"] == "R3B", "status"] = "did not learn"
    figure = learning_curves(dict(zip(log_names(table), rising(*table["top1"]), strict=True)), table)
    by_treatment = {treatment: panels(figure)[look(treatment).label] for treatment in ("AnB", "RnB")}
    assert len(drawn(by_treatment["AnB"], ":")) == 2 and len(drawn(by_treatment["AnB"])) == 2  # baseA, A3B; baseB, B3A
    assert [line[0] for line in drawn(by_treatment["RnB"], ":")] == ["black"]
    assert len(drawn(by_treatment["RnB"])) == 2 and by_treatment["RnB"].get_ylabel() == ""


def test_a_network_that_did_not_train_is_dotted_and_in_no_mean():
    table = study(("random-0", "random-1"), targets="B", treatments=("AnB",), layers=[3])
    table.loc[(table["split"] == "random-1") & (table["layer"] == 3), "status"] = "did not learn"
    names = ("random-0/baseB", "random-1/baseB", "random-0/A3B", "random-1/A3B")
    figure = learning_curves(dict(zip(names, rising(0.5, 0.7, 0.4, 0.1), strict=True)), table)
    [ax] = figure.axes
    assert [line[2] for line in drawn(ax)] == pytest.approx([0.6, 0.4])
    assert drawn(ax, ":") == [(AnB, 400, pytest.approx(0.1))]
    assert legend(figure) == [look("base").label, "did not train"]


def test_curves_that_end_apart_have_their_own_numbers():
    curves = logs("A1B", "A2B", "A3B", "A7B")
    curves["A7B"]["top1"] /= 5
    assert texts(learning_curves(curves).axes[0]) == ["7", "1-3"]


def test_a_label_above_the_panel_is_still_drawn():
    [ax] = learning_curves(logs("A1B", "A2B")).axes
    [label] = ax.texts
    label.xy = (label.xy[0], 1.01 * ax.get_ylim()[1])
    ax.figure.draw_without_rendering()
    assert label.get_tightbbox().height > 0


def test_learning_curves_of_bases_alone_of_one_line_and_of_none():
    assert list(panels(learning_curves(logs("baseB")))) == [look("base").label]
    [ax] = learning_curves({"B4B+": logs("B4B+")["B4B+"].head(1)}).axes
    assert [line.get_marker() for line in ax.lines] == ["o"]
    diverged = logs("A1B")["A1B"].assign(top1=np.nan)
    assert len(learning_curves(logs("A2B") | {"A1B": diverged, "A3B": pd.DataFrame()}).axes[0].lines) == 1


def test_a_log_of_no_network_is_an_error():
    with pytest.raises(ValueError, match="C3B") as error:
        learning_curves(logs("random-0/C3B"))
    assert str(error.value) == "no network is called 'C3B'"


def test_the_benefits_have_a_panel_each_with_means_points_and_intervals():
    table = study(("random-0", "random-1", "animals"), treatments=("AnB", "AnB+"), layers=[2, 5])
    tops = 0.85 + 0.02 * np.sin(np.arange(len(table)) ** 2)
    table = table.assign(top1=tops)
    curves = dict(zip(log_names(table), rising(*tops), strict=True))
    for place, name in enumerate(curves):
        curves[name].loc[1, "top1"] += 0.01 * place % 0.07
    figure = benefits(table, curves)
    means = mean_benefits(table, curves).set_index(["splits", "benefit", "treatment", "layer"]).sort_index()
    assert [ax.get_title(loc="left") for ax in figure.axes] == 2 * ["higher start", "higher slope", "higher asymptote"]
    rows = [(kind, benefit) for kind in ("random", "animals") for benefit in BENEFITS]
    for ax, (kind, benefit), treatment in (
        (ax, row, name) for ax, row in zip(figure.axes, rows, strict=True) for name in ("AnB", "AnB+")
    ):
        there = means.loc[(kind, benefit, treatment)]
        [line] = [line for line in ax.lines if line.get_color() == look(treatment).color and line.get_linestyle() == "-"]
        assert line.get_ydata() == pytest.approx(100 * there["mean"].to_numpy())
        assert len(markers(ax, look(treatment).marker)) == there["n"].sum() == (8 if kind == "random" else 4)
        found = bars(ax, treatment)
        assert set(found) == ({2, 5} if kind == "random" else set())  # of two pairs there is none
        for layer in found:
            assert found[layer] == pytest.approx(100 * there.loc[layer, ["low", "high"]].to_numpy(float))
    assert figure.axes[0].get_ylabel() == "random halves\ntop-1 at the first evaluation\nminus its base's (points)"
    assert figure.get_supxlabel() == "layer n at which the network is chopped and retrained"
    assert legend(figure) == [look("AnB").label, look("AnB+").label, "95% interval of the mean", TWO_PAIRS]


def test_a_network_that_never_gets_near_its_base_is_open_in_the_panel_of_slopes():
    table = study(targets="B", treatments=("AnB",), layers=[1, 2])
    tops = table["top1"].where(table["layer"] != 2, 0.5)
    figure = benefits(table.assign(top1=tops), dict(zip(log_names(table), rising(*tops), strict=True)))
    for ax, faces in zip(figure.axes, ([AnB, AnB], ["white", AnB], [AnB, AnB]), strict=True):
        assert sorted((line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "D"), reverse=True) == faces
    assert legend(figure) == [look("AnB").label, "never reached 90%: at most this"]


def test_logs_without_a_way_leave_their_panels_empty():
    table = study(targets="B", treatments=("AnB",), layers=[1])
    figure = benefits(table, dict(zip(log_names(table), rising(*table["top1"], steps=(0, 400)), strict=True)))
    assert [texts(ax) for ax in figure.axes] == [["not measured"], ["not measured"], []]
