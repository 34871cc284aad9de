"""Several networks in one study: each with its own bases and sweep, as if it were alone, and compared with the others."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import CLASSES, SIZE, TRAIN, VAL, Said

from transfercli.analysis.comparison import compare
from transfercli.analysis.conclusions import brief, conclude
from transfercli.analysis.contrasts import contrasts
from transfercli.analysis.differences import bounded, differences, paired_values, unpaired
from transfercli.analysis.displayed import accuracies, drops
from transfercli.analysis.networks import between, by_layer, side_by_side
from transfercli.analysis.pairs import kinds_of_split
from transfercli.cli import main
from transfercli.plan.networks import Network, columns, named, varied
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.report.figures import NothingToDraw, accuracy_vs_layer, drop_vs_layer
from transfercli.report.figures.networks import networks
from transfercli.report.page import charts
from transfercli.study.folder import Study
from transfercli.study.settling import cut, refuse_changes
from transfercli.study.table import load
from transfercli.system.errors import TransferError

SMALL = {"name": "small", "widths": [4, 4, 6, 6, 4, 8, 8]}
WIDER = {**SMALL, "width": 2}
RESNET = {"name": "torchvision/resnet18", "label": "deep"}
BUILTIN = {"size": SIZE, "crop": 12, "mean": "image", "divide": 64, "builtin": {"classes": CLASSES, "train": TRAIN, "val": VAL}}
SCHEDULE = {"name": "constant", "rate": 0.02}


def values(*networks: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A recipe of these networks; of one as `network`."""
    which = {"network": networks[0]} if len(networks) == 1 else {"networks": list(networks)}
    training = {"steps": 3, "batch": 9, "schedule": SCHEDULE, "precision": "float32"}
    return {
        **{"name": "several", "layers": {"spread": 2}, "treatments": ["BnB", "AnB"], "targets": ["A", "B"], "judged": False},
        **{"pictures": BUILTIN, "training": training, "evaluation": {"every": 2, "batch": 11}},
        **which,
        **changes,
    }


def recipe(*networks: Mapping[str, Any], **changes: Any) -> Recipe:
    return recipes.validate(values(*networks, **changes), "several.yaml")


# the recipe


def test_a_recipe_of_several_is_that_of_each() -> None:
    both, alone = recipe(SMALL, WIDER), recipe(SMALL)
    assert list(both.each()) == ["small", "small-x2"] and list(alone.each()) == [""]
    assert both.of("small").digest() == alone.digest() == alone.of("").digest()
    assert both.of("small-x2").digest() == recipe(WIDER).digest() != alone.digest()
    assert recipes.load(recipes.dump(both), "again") == both and "networks" not in yaml.safe_load(recipes.dump(alone))
    with pytest.raises(TransferError, match="has no network wide; it has small, small-x2"):
        both.of("wide")
    with pytest.raises(AttributeError):
        both.digest()  # of which of them?


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"networks": [SMALL, SMALL]}, "networks: two networks are called small; give one a label"),
        ({"networks": [SMALL, {**SMALL, "label": "SMALL"}]}, "networks: two networks are called small; give one a label"),
        ({"networks": [SMALL], "network": SMALL}, "network: give either network or networks"),
        ({"networks": []}, "networks: tuple should have at least 1 item"),
        ({}, "network: missing"),
        ({"networks": [SMALL, {**SMALL, "label": "b", "widht": 2}]}, r"networks.1.widht: unknown key \(did you mean"),
        ({"networks": [SMALL, {"name": "caffenet"}]}, "networks.1: caffenet needs widths"),
        ({"networks": [{"name": "python/_mine:net"}]}, "no folder is called '_mine-net'"),
        ({"networks": [SMALL, {**RESNET, "layers": 6}], "layers": [1, 6]}, "layers: layer 6 cannot be transferred"),
        (
            {"networks": [SMALL, {"name": "caffenet", "widths": SMALL["widths"], "normalisation": "lrn"}]},
            "pictures.crop 12 is too small for caffenet",
        ),
    ],
)
def test_what_is_wrong_with_networks(changed: dict[str, Any], said: str) -> None:
    without = {key: value for key, value in values(SMALL).items() if key != "network"}
    with pytest.raises(TransferError, match=said):
        recipes.validate({**without, **changed}, "several.yaml")


def test_networks_in_place_of_one_on_the_command_line() -> None:
    changed = recipes.load(yaml.safe_dump(values(SMALL)), "mine", ["networks=[{name: torchvision/resnet18}, {name: timm/x}]"])
    assert list(changed.each()) == ["resnet18", "x"]
    both = yaml.safe_dump(values(SMALL, RESNET))
    assert list(recipes.load(both, "mine", ["network.name=torchvision/vgg11"]).each()) == [""]
    assert list(recipes.load(both, "mine", ["network.name=torchvision/resnet18"]).each()) == [
        "small",
        "deep",
    ]  # one that is listed


def test_each_network_has_its_own_depth_and_bases() -> None:
    both = cut(recipe(SMALL, RESNET))
    planned = both.planned()
    assert both.of("deep").network.layers == 10
    names = {network.name for network in planned if network.net == "deep" and network.target == "B"}
    assert names == {f"{name}@net=deep" for name in ("baseB", "B5B", "A5B", "B9B", "A9B")}
    assert {network.layer for network in planned if network.net == "small"} == {0, 4, 7}
    one = next(network for network in planned if network.name == "A9B@net=deep")
    assert one.donor in planned and one.donor.name == "baseA@net=deep" and one.control.name == "baseB@net=deep"
    assert named("random-0", 0, one.name) == one and varied(one, net="") == named("random-0", 0, "A9B")
    smoke = recipes.smoke(both)
    assert list(smoke.each()) == ["small", "deep"] and smoke.training.steps == 4


def test_what_changed_is_said_of_networks_that_both_recipes_have() -> None:
    both, more = recipe(SMALL, WIDER), recipe(WIDER, SMALL, RESNET)
    assert recipes.differences(both, more) == []
    other = recipe(SMALL, {**WIDER, "normalisation": "batch"}, pictures={**BUILTIN, "divide": 32})
    assert recipes.differences(both, other) == [
        "pictures.divide: 64.0 → 32.0",
        "small-x2: network.normalisation: none → batch",
    ]
    assert recipes.differences(both, recipe(RESNET, pictures={**BUILTIN, "divide": 32})) == ["pictures.divide: 64.0 → 32.0"]


# the study


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of three networks by `transfer run`, to its report; and, beside it, one of the second alone."""
    folder = tmp_path_factory.mktemp("several")
    for name, which in {"three": (SMALL, WIDER, RESNET), "wider": (WIDER,)}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(values(*which)), encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            main(["run", f"{name}.yaml", "--study", name, "--device", "cpu"])
    return folder


@pytest.mark.slow
def test_beside_others_a_network_is_what_it_is_alone(made: Path) -> None:
    """Also where another set of networks trained before it: the same weights, log and accuracy."""
    beside = {row["network"].partition("@")[0]: row for row in Study(made / "three").rows() if row["net"] == "small-x2"}
    alone = {row["network"]: row for row in Study(made / "wider").rows()}
    assert beside.keys() == alone.keys() == {"baseA", "baseB", *(f"{s}{n}{t}" for s in "AB" for n in (4, 7) for t in "AB")}
    for name, row in alone.items():
        same = ("weights_digest", "recipe_digest", "split_digest", "top1", "loss", "layers", "share_copied")
        assert {key: row[key] for key in same} == {key: beside[name][key] for key in same}
        assert "net" not in row


@pytest.mark.slow
def test_rows_say_which_share_of_the_work_is_copied(made: Path) -> None:
    rows = {row["network"]: row for row in Study(made / "three").rows()}
    assert rows["baseA@net=deep"]["share_copied"] == 0 < rows["A5B@net=deep"]["share_copied"]
    assert rows["A5B@net=deep"]["share_copied"] < rows["A9B@net=deep"]["share_copied"] < 1
    assert rows["A4B@net=small"]["share_copied"] == pytest.approx(0.95, abs=0.05)


@pytest.mark.slow
def test_the_same_command_has_nothing_to_do_and_verify_finds_it_sound(
    made: Path, transfer: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    assert "0 of 24 networks to train" in transfer("sweep", "--study", "three", "--device", "cpu").err
    said = transfer("verify", "--study", "three", "--device", "cpu")
    assert said.code == 0 and "three is sound" in said.out
    status = transfer("status", "--study", "three").out
    assert "random-0     0  small-x2  A       base" in status and "30 of 30 networks are done" in status
    found = json.loads(transfer("status", "--study", "three", "--json").out)
    assert {network["net"] for network in found["networks"]} == {"small", "small-x2", "deep"}


@pytest.mark.slow
def test_a_network_may_come_and_none_that_was_trained_may_go(made: Path) -> None:
    study = Study(made / "three")
    refuse_changes(study, cut(recipe(SMALL, WIDER, RESNET, {**SMALL, "label": "more"})))
    with pytest.raises(TransferError, match="holds networks called small-x2, which the recipe several has not; put it back"):
        refuse_changes(study, recipe(SMALL, RESNET))
    with pytest.raises(TransferError, match=r"trained by another recipe .*small-x2: network.normalisation: none → batch"):
        refuse_changes(study, recipe(SMALL, RESNET, {**WIDER, "normalisation": "batch"}))
    with pytest.raises(TransferError, match="holds networks without a name beside others"):
        refuse_changes(Study(made / "wider"), recipe(SMALL, WIDER))


@pytest.mark.slow
def test_layers_of_the_command_line_are_those_that_a_network_has(
    made: Path, transfer: Callable[..., Said], tmp_path: Path
) -> None:
    (tmp_path / "three.yaml").write_text((made / "three.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert transfer("split", "--recipe", "three.yaml").code == 0
    assert transfer("train-base", "--device", "cpu", "--halves", "B").code == 0
    assert transfer("sweep", "--device", "cpu", "--layers", "7,8", "--treatments", "BnB", "--targets", "B").code == 0
    rows = Study(tmp_path / "results/study").rows()
    assert {row["network"] for row in rows if row["treatment"] == "BnB"} == {
        *("B7B@net=small", "B7B@net=small-x2", "B7B@net=deep", "B8B@net=deep")
    }
    refused = transfer("sweep", "--device", "cpu", "--layers", "10")
    assert refused.code == 1 and "layer 10 cannot be transferred in a network of 10 layers" in refused.err


@pytest.mark.slow
def test_a_base_that_failed_stops_only_what_needs_it(transfer: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(values(SMALL, WIDER)), encoding="utf-8")
    cpu = ("--device", "cpu")
    transfer("split", "--recipe", "two.yaml")
    assert transfer("train-base", *cpu).out.endswith("Next: transfer sweep --device cpu\n")
    study, rows = Study(tmp_path / "results/study"), []

    def fail(name: str) -> None:
        path = study.root / "random-0" / name / "row.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "status": "did not learn"}))

    fail("baseA@net=small-x2")
    left_out = (
        "Error: random-0 baseA@net=small-x2 has nothing to transfer (did not learn), and 6 networks that need it are left out; "
        "start a new study (--study NEW) with another learning rate: --set training.schedule.rate=0.01; "
        "or go on without that split: remove results/study/random-0\n"
    )
    said = transfer("train-base", *cpu)
    assert (said.code, said.out.splitlines()[-1]) == (3, "Next: transfer sweep --device cpu")
    for _ in range(2):
        said = transfer("sweep", *cpu)
        assert (said.code, said.out.splitlines()[-1]) == (1, "Next: transfer plot")
        assert said.err.endswith(left_out) and said.err.count("Error") == 1
        rows = [row for row in study.rows() if row["treatment"] != "base"]
        assert [row["net"] for row in rows].count("small") == 8
        assert {row["network"] for row in rows if row["net"] != "small"} == {f"B{n}B@net=small-x2" for n in (4, 7)}
    assert transfer("status").out.splitlines()[-1] == "Next: transfer plot"
    said = transfer("run", "two.yaml", *cpu)
    assert said.code == 1 and said.err.endswith(left_out) and "1 of 14 networks failed: random-0 baseA@net" in said.err
    assert (study.root / "report.html").exists()

    for name in ("baseB@net=small-x2", "baseA@net=small", "baseB@net=small"):
        fail(name)
    said = transfer("sweep", *cpu)
    assert said.code == 1 and said.err.startswith("Error: random-0 baseA@net=small has nothing to transfer (did not learn), ")
    said = transfer("run", "two.yaml", *cpu)
    assert said.code == 3 and "Report:" not in said.out
    assert not transfer("status").out.splitlines()[-1].startswith("Next:")


@pytest.mark.slow
def test_a_plan_is_that_of_all_networks(made: Path, transfer: Callable[..., Said]) -> None:
    found = json.loads(transfer("plan", made / "three.yaml", "--device", "cpu", "--workers", "1", "--json").out)
    each = found["each"].values()
    assert list(found["each"]) == ["small", "small-x2", "deep"] and found["networks"] == 30
    for key in ("networks", "banks", "multiply_adds", "disk_bytes", "seconds"):
        assert found[key] == pytest.approx(sum(one[key] for one in each)), key
    assert found["memory_bytes"] == max(one["memory_bytes"] for one in each)
    assert found["workers"]["seconds"] == pytest.approx(found["seconds"], rel=0.01)  # each at its own speed


# what it says


def made_up(
    nets: Mapping[str, Mapping[int, float]], splits: tuple[str, ...] = ("random-0", "random-1", "random-2")
) -> pd.DataFrame:
    """A table of networks with a base of 0.8, BnB as good, and AnB at each layer so much lower, a point more or less."""
    rows = []
    for net, losses in nets.items():
        depth = max(losses) + 1
        for place, split in enumerate(splits):
            for treatment, layer, top1 in [("base", 0, 0.8)] + [
                (of, n, 0.8 - (loss + 0.01 * (place - 1)) * (of == "AnB")) for of in ("BnB", "AnB") for n, loss in losses.items()
            ]:
                network = varied(Network(split, 0, treatment, layer, "B"), net=net)
                about = {"top1": top1, "top5": 1.0, "loss": 1.0, "top1_best10": top1, "step": 9, "status": "done"}
                more = {"classes": 10, "val_pictures": 500, "layers": depth, "share_copied": round(layer / depth, 6)}
                rows.append({**columns(network), **about, **more})
    return pd.DataFrame(rows)


SLIM, WIDE = {n: 0.02 * n for n in range(1, 8)}, {n: 0.01 * n for n in range(1, 8)}
DEEP = {n: 0.01 * n for n in range(1, 10)}


def test_each_network_is_analysed_as_if_alone() -> None:
    """None is averaged with another: not in means, ranges, contrasts, conclusions, nor in what stands beside another study."""
    table, alone = made_up({"slim": SLIM, "deep": DEEP}), made_up({"": DEEP})
    for analyse in (differences, contrasts, paired_values, accuracies, drops):
        found = analyse(table)
        of_deep = found[found["splits"] == "deep: random"].assign(splits="random").reset_index(drop=True)
        pd.testing.assert_frame_equal(of_deep, analyse(alone).reset_index(drop=True), check_dtype=False)
    assert {"1-9", "3-9", "5-9"} <= {*differences(table).query("splits == 'deep: random'")["layer"]}
    assert kinds_of_split(table) == ["deep: random", "slim: random"]
    assert conclude(table)["deep: random"] == conclude(alone)["random"] and brief(table)[0] == f"deep: {brief(alone)[0]}"
    assert unpaired(table, "AnB")["deep: random"] == unpaired(alone, "AnB")["random"]
    beside, plain = compare(table, alone), compare(alone, alone)
    assert len(beside[beside["splits"] == "deep: random"]) == len(plain) and plain["inside"].all()
    assert differences(table[:0]).empty and compare(table[:0], alone).empty and compare(table, made_up({"other": SLIM})).empty
    same = compare(table, table)
    assert {*same["splits"]} == {"deep: random", "slim: random"} and (same["difference"] == 0).all()
    page = charts.charts(table, alone, bounded(table))
    for chart in page:
        net = chart["title"].partition(":")[0]
        assert chart["title"].endswith(": random halves") and chart["published"]
        assert {table["net"].iloc[place] for place, _, _ in chart["points"]} == {net}
        assert chart["layers"][1] == {"slim": 7, "deep": 9}[net]


def test_networks_are_compared_by_layer_in_pairs_where_they_have_as_many() -> None:
    table = made_up({"slim": SLIM, "wide": WIDE})
    found = side_by_side(table)
    at_7 = found[(found["layer"] == 7) & (found["quantity"] == "AnB-BnB")].set_index("net")
    assert by_layer(table) and at_7["mean"].to_dict() == pytest.approx({"slim": -0.14, "wide": -0.07})
    assert at_7["share"].tolist() == [0.875, 0.875]
    apart = between(table, order=["slim", "wide"]).query("layer == 7 and quantity == 'AnB-BnB'").iloc[0]
    assert (apart["net"], apart["first"], apart["splits"], apart["n"]) == ("wide", "slim", "random", 3)
    assert apart["mean"] == pytest.approx(0.07)  # what differs between splits is in both, and cancels
    assert networks(table).axes[0].get_xlim()[1] > 7


def test_networks_of_other_depths_stand_side_by_side_by_share(tmp_path: Path) -> None:
    table = made_up({"slim": SLIM, "deep": DEEP})
    assert not by_layer(table) and between(table).empty
    figure = networks(table)
    assert "multiply-adds" in figure.get_supxlabel()
    assert [line.get_xdata()[-1] for line in figure.axes[0].lines if len(line.get_xdata()) > 2] == pytest.approx(
        [90, 87.5], abs=0.4
    )
    assert [ax.get_title(loc="left") for ax in accuracy_vs_layer(table).axes] == ["deep: random halves", "slim: random halves"]
    for draw in (accuracy_vs_layer, drop_vs_layer):  # on one scale, to be compared by eye
        slim, deep = (draw(made_up({"": losses})).axes[0].get_ylim() for losses in (SLIM, DEEP))
        assert slim != deep
        assert {ax.get_ylim() for ax in draw(table).axes} == {(min(slim[0], deep[0]), max(slim[1], deep[1]))}
    table.to_csv(tmp_path / "results.csv", index=False)
    kept = load(tmp_path)
    assert {*kept["net"]} == {"slim", "deep"} and differences(kept).shape == differences(table).shape
    with pytest.raises(NothingToDraw, match="single network"):
        networks(made_up({"": SLIM}))


@pytest.mark.slow
def test_compare_says_what_differs_between_networks(made: Path, transfer: Callable[..., Said], monkeypatch: Any) -> None:
    monkeypatch.chdir(made)
    said = transfer("compare", "three").out
    assert said.startswith("The networks differ in name, widths, width, dropout, init, statistics and layers.\n")
    assert re.search(r"^layers +8 +8 +10$", said, re.MULTILINE) and "AnB-BnB (specificity)" in said
    assert "9  " in said and "minus" not in said  # of other depths there are no pairs
    found = json.loads(transfer("compare", "three", "--json").out)
    assert found["differing"]["width"] == {"small": "1", "small-x2": "2", "deep": "1"}
    assert {(point["net"], point["layer"]) for point in found["points"]} == {
        *((net, n) for net, layers in {"small": (4, 7), "small-x2": (4, 7), "deep": (5, 9)}.items() for n in layers)
    }
    said = transfer("analyze", "three").out
    assert "small-x2, random: paired differences by layer n (points)" in said
    assert said.count("A pair is of a split and a target half") == said.count("random: no interval, as all pairs agree.") <= 1
    text = transfer("analyze", "three", "--csv", "-").out
    assert text.startswith("net,quantity,layer,mean,low,high,n,splits\n") and "small-x2,AnB-BnB,7," in text


@pytest.mark.slow
def test_compare_says_what_differs_between_two_studies(made: Path, transfer: Callable[..., Said], monkeypatch: Any) -> None:
    monkeypatch.chdir(made)
    (made / "small.yaml").write_text(yaml.safe_dump(values(SMALL)), encoding="utf-8")
    assert transfer("run", "small.yaml", "--study", "small", "--device", "cpu").code == 0
    said = transfer("compare", "wider", "small").out
    assert said.startswith("The networks differ in width.\n") and "wider against small" in said
    assert "networks differ" not in transfer("compare", "wider", "wider").out
    assert "small-x2, random: wider against three" in transfer("compare", "wider", "three").out


@pytest.mark.slow
def test_the_report_has_every_network(made: Path) -> None:
    page = (made / "three/report.html").read_text(encoding="utf-8")
    assert "30 networks of deep, small and small-x2" in page and "Networks side by side" in page
    for net in ("deep", "small", "small-x2"):
        assert f"{net}: random halves: paired differences by layer n" in page
    assert (made / "three/figures/networks.png").exists() and not (made / "wider/figures/networks.png").exists()


@pytest.mark.slow
def test_the_layers_of_each_network_are_printed(made: Path, transfer: Callable[..., Said]) -> None:
    said = transfer("layers", made / "three.yaml").out
    assert [line.split(",")[0] for line in said.splitlines() if "classes in a half" in line] == [
        *("small: small", "small-x2: small", "deep: torchvision/resnet18")
    ]
    rows = json.loads(transfer("layers", made / "three.yaml", "--json").out)
    assert [row["net"] for row in rows] == ["small"] * 8 + ["small-x2"] * 8 + ["deep"] * 10
