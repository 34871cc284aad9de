"""How much data: networks of 5 or 25 pictures a class in one study, nested, each with its own base; the whole as it was."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import CLASSES, CPU, SIZE, SPLIT, TINY, TRAIN, VAL, Said, Tiny, silent, tiny_recipe
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

import transfercli
from transfercli.analysis.differences import differences
from transfercli.analysis.pairs import against_base, by_network, kinds_of_split, of_all_data
from transfercli.plan.amounts import part
from transfercli.plan.networks import AXES, Network, named, varied
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.study.table import load
from transfercli.system.errors import TransferError
from transfercli.training.amounts import classes_of, refuse_more_than_there_is
from transfercli.training.bench import Bench
from transfercli.training.train import train

HALF = CLASSES // 2
BASES = ["baseB@per=2", "baseB@per=0.5", "baseA@per=3", "baseA@share=0.5"]
SWEPT = [
    *("A3B", "B3B+", "A3B@per=2", "A3B+@per=2", "B3B@per=2", "R3B@per=2"),
    *("A3B@source_per=3", "A3B@per=2,source_share=0.5"),
]


def of(name: str, seed: int = 0) -> Network:
    return named(SPLIT, seed, name)


def recipe_of(**changes: Any) -> Recipe:
    return recipes.validate({**TINY, **changes}, "amounts")


# the plan


def test_each_network_has_a_base_and_a_source_of_its_amount() -> None:
    one = of("A3B@per=25,source_per=50,source_share=0.1")
    assert one.control.name == "baseB@per=25" and one.pictures == "B@per=25"
    assert one.donor and one.donor.name == "baseA@per=50,share=0.1"
    own = of("B3B@per=25")
    assert own.donor == own.control == of("baseB@per=25")
    assert of("A3B@per=25").donor == of("baseA")


def test_a_recipe_plans_amounts_and_the_whole_is_what_it_was() -> None:
    plain = recipe_of(targets=["B"], layers=[3], treatments=["AnB", "BnB", "RnB"])
    more = recipe_of(
        **{"targets": ["B"], "layers": [3], "treatments": ["AnB", "BnB", "RnB"]},
        **{"target": {"per_class": [2, "all"]}, "source": {"per_class": "all, 3", "classes": 0.5}},
    )
    assert plain.digest() == more.digest() and recipes.differences(plain, more) == []
    assert {*plain.planned()} < {*more.planned()} and len(more.planned()) == len({*more.planned()})
    assert [one.name for one in more.planned() if one.treatment == "AnB"] == [
        *("A3B@per=2", "A3B@per=2,source_per=3", "A3B@per=2,source_share=0.5"),
        *("A3B", "A3B@source_per=3", "A3B@source_share=0.5"),
    ]
    assert [one.name for one in more.planned() if one.treatment == "RnB"] == ["R3B@per=2", "R3B"]  # it has no source to vary
    bases = {one.name for one in more.planned() if one.is_base}
    assert bases == {
        *("baseA", "baseB", "baseB@per=2", "baseA@per=3", "baseA@share=0.5", "baseB@per=3", "baseB@share=0.5"),
        "baseB@per=2,share=0.5",
    }
    assert recipes.load(recipes.dump(more), "again") == more


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"target": {"per_class": [0]}}, "target.per_class: an amount is a number above 0, or all, not 0"),
        ({"target": {"per_class": [-5]}}, "target.per_class: -5 is neither a whole number"),
        (
            {"target": {"per_class": [2.5]}},
            "target.per_class: 2.5 is neither a whole number of pictures of each class nor a share",
        ),
        ({"target": {"per_class": [True]}}, "target.per_class: an amount is a number above 0, or all, not True"),
        ({"target": {"per_class": ["many"]}}, "target.per_class: could not convert string to float: 'many'"),
        ({"target": {"per_class": [5, 5]}}, "target.per_class: 5 stands twice"),
        ({"target": {"per_clas": [5]}}, "did you mean target.per_class"),
        ({"source": {"classes": [1.5]}}, "source.classes: 1.5 is no share: above 0 and at most 1"),
        ({"source": {"classes": [float("nan")]}}, "source.classes: nan is no share"),
        ({"source": {}}, "source: say where pretrained layers are"),
        ({"source": {"per_class": [5], "dropout": True}}, "source: digest and dropout are of pretrained layers"),
        (
            {"source": {"per_class": [5]}, "treatments": ["PnB"]},
            "PnB copies pretrained layers; say where they are: source.weights",
        ),
    ],
)
def test_what_is_no_amount_is_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(TransferError, match=said):
        recipe_of(**section)


@given(
    st.one_of(st.integers(1, 10**9 - 1), st.floats(0, 1, exclude_min=True, exclude_max=True)),
    st.sampled_from(["per", "source_per"]),
)
def test_amounts_go_there_and_back(amount: float, key: str) -> None:
    one = varied(of("A3B"), **{key: amount})
    assert one.axes == ((key, amount),) and named(SPLIT, 0, one.name) == one


@given(st.integers(1, 500), st.lists(st.one_of(st.integers(1, 500), st.floats(1e-6, 0.999)), min_size=2, max_size=2))
def test_more_is_never_fewer(count: int, two: list[float]) -> None:
    taken = [part(amount, count) for amount in two]
    assert min(taken) >= 1 and part(0, count) == count
    if isinstance(two[0], int) == isinstance(two[1], int):
        assert (taken[0] <= taken[1]) == (taken[0] == taken[1] or two[0] < two[1])


# which pictures


@pytest.fixture(scope="module")
def bench(tiny: Tiny) -> Bench:
    return Bench(tiny.study, tiny.study.recipe(), tiny.halves, CPU, torch.float32)


def places(bench: Bench, name: str, seed: int = 0) -> set[int]:
    pixels = bench.learned(of(name, seed))
    return {*pixels.fetch(torch.arange(len(pixels)))[1].tolist()}


def test_fewer_pictures_are_among_more(bench: Bench) -> None:
    for seed in (0, 1, 2):
        before: set[int] = set()
        for amount in (1, 2, 0.5, 5, 7):
            now = places(bench, f"baseB@per={amount}", seed)
            assert before < now
            before = now
        assert before < places(bench, "baseB", seed) == {*range(HALF * TRAIN)}
    assert len({frozenset(places(bench, "baseB@per=2", seed)) for seed in range(4)}) == 4  # a seed is a draw
    assert bench.learned(of("baseB@per=3")).labels.bincount().tolist() == [3] * HALF
    assert bench.learned(of("baseB")).labels.equal(bench.pixels("B", "train").labels)


def test_classes_of_a_share_are_nested_and_have_labels_of_their_own(bench: Bench) -> None:
    split, every = bench.halves.split, bench.halves.split.classes("A")
    half, most = (classes_of(split, of(f"baseA@share={share}")) for share in (0.5, 0.75))
    assert {*half} < {*most} < {*every} and list(half) == sorted(half) and len(half) == 2
    pixels, all_of_them = (
        bench.learned(of("baseA@per=3,share=0.5")),
        bench.pixels("A", "train"),
    )
    assert pixels.labels.bincount().tolist() == [3, 3]
    index = pixels.fetch(torch.arange(len(pixels)))[1]
    assert [half[label] for label in pixels.labels] == [every[label] for label in all_of_them.labels[index]]


def test_with_folds_only_what_is_seen_is_learned(tiny: Tiny) -> None:
    recipe = tiny_recipe({"pictures": {"folds": 4}})
    bench = Bench(tiny.study, recipe, tiny.halves, CPU, torch.float32)
    for seed in (0, 1):
        held = bench.fold("B", seed)
        assert held is not None
        few = places(bench, "baseB@per=2", seed)
        assert len(few) == 2 * HALF and not few & {*held.nonzero()[:, 0].tolist()} and few < places(bench, "baseB@per=4", seed)


@pytest.mark.parametrize(
    ("name", "folds", "said"),
    [
        ("baseB@per=9", None, "B@per=9 of split random-0: class .* has 8 pictures to train on; take fewer a class, or all"),
        ("A3B@per=8", None, "8 pictures a class are all that there are; write all in the place of 8"),
        ("baseB@per=7", 4, "has 6 pictures to train on"),
        ("baseA@share=0.3", None, "A@share=0.3 of split random-0: of 4 classes that is fewer than 2; take a larger share"),
    ],
)
def test_more_than_there_is_is_said(tiny: Tiny, name: str, folds: int | None, said: str) -> None:
    with pytest.raises(TransferError, match=said):
        refuse_more_than_there_is([of("baseB@per=2"), of(name)], tiny.halves.split, tiny.folder.train, folds)


# a study


@pytest.fixture(scope="module")
def amounts(trained: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The tiny study with bases and networks of several amounts."""
    study = Study(tmp_path_factory.mktemp("amounts") / "study")
    shutil.copytree(trained.root, study.root)
    for names in (BASES, SWEPT):
        train(study, [of(name) for name in names], CPU, None, silent())
    return study


def test_the_whole_is_bit_for_bit_what_it_is_without_amounts(amounts: Study, swept: Study) -> None:
    for name in ("baseA", "baseB", "A3B", "B3B+"):
        mine, plain = amounts.row(of(name)), swept.row(of(name))
        assert mine and plain
        same = ("network", "weights_digest", "network_digest", "recipe_digest", "top1", "loss", "train_pictures", "fixed_loss")
        assert {key: mine[key] for key in same} == {key: plain[key] for key in same}
        assert not {*AXES} & {*mine}


def test_a_network_of_an_amount_is_the_same_alone(amounts: Study, study: Study) -> None:
    """Whatever trains beside it, and in whatever order."""
    few = ["baseB@per=2", "baseA@share=0.5", "A3B@per=2,source_share=0.5", "A3B@per=2", "R3B@per=2"]
    for name in few:
        train(study, [of(name)], CPU, 1, silent())
    for name in few:
        alone, beside = study.row(of(name)), amounts.row(of(name))
        assert alone and beside
        assert [alone[key] for key in ("weights_digest", "loss", "source_digest")] == [
            beside[key] for key in ("weights_digest", "loss", "source_digest")
        ]


def test_rows_say_how_much_there_was(amounts: Study) -> None:
    told = {row["network"]: row for row in amounts.rows()}
    assert told["A3B@per=2"]["train_pictures"] == 2 * HALF and told["A3B@per=2"]["per"] == 2
    assert told["A3B"]["train_pictures"] == HALF * TRAIN and "per" not in told["A3B"]
    assert told["A3B@per=2"]["val_pictures"] == HALF * VAL
    some = told["baseA@share=0.5"]
    assert (some["classes"], some["train_pictures"], some["val_pictures"], some["chance"]) == (2, 2 * TRAIN, 2 * VAL, 0.5)
    assert told["A3B@per=2"]["source_digest"] == told["A3B"]["source_digest"] == told["baseA"]["weights_digest"]
    assert told["A3B@source_per=3"]["source_digest"] == told["baseA@per=3"]["weights_digest"]
    assert told["B3B@per=2"]["source_digest"] == told["baseB@per=2"]["weights_digest"]
    weights = load_file(amounts.folder(of("baseA@share=0.5")) / "weights.safetensors")
    assert weights["fc8.weight"].shape[0] == 2


def test_killed_and_resumed_a_bank_of_amounts_is_the_one_that_was_not(study: Study, amounts: Study) -> None:
    taken: list[int] = []

    def killed(count: int) -> None:
        taken.append(count)
        if sum(taken) > 11:  # of 20
            raise KeyboardInterrupt

    recipe = study.recipe()
    keeping = recipe.training.model_copy(update={"checkpoint_steps": 1})
    study.write_recipe(recipe.model_copy(update={"training": keeping}))
    networks = [of(name) for name in BASES]
    with pytest.raises(KeyboardInterrupt):
        train(study, networks, CPU, None, silent(killed))
    assert list(study.root.rglob("checkpoints/*.safetensors"))
    train(study, networks, CPU, 3, silent())
    for name in BASES:
        mine, whole = study.row(of(name)), amounts.row(of(name))
        assert mine and whole and mine["weights_digest"] == whole["weights_digest"] and mine["loss"] == whole["loss"]


def test_verify_finds_it_sound_and_an_amount_changed(amounts: Study, tmp_path: Path) -> None:
    study = Study(shutil.copytree(amounts.root, tmp_path / "study"))
    report = transfercli.verify(study, CPU)
    assert (report.problems, report.unchecked) == ([], [])
    path = study.folder(of("A3B@per=2")) / "row.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "train_pictures": 12}))
    study.write_table()
    assert transfercli.verify(study, CPU).problems == ["random-0 A3B@per=2: its row has other numbers of pictures"]


def test_each_amount_is_analysed_with_its_own_base(amounts: Study) -> None:
    for table in (amounts.table(), load(amounts.write_table())):
        parts = by_network(table)
        assert {name: [*part["network"]] for name, part in parts.items()} == {
            "": ["baseA", "baseB", "B3B+", "A3B"],
            "source of 3 pictures a class": ["baseA", "baseB", "A3B@source_per=3"],
            "2 pictures a class": ["baseB@per=2", "B3B@per=2", "A3B@per=2", "A3B+@per=2", "R3B@per=2"],
            "2 pictures a class, source of 50% of the classes": ["baseB@per=2", "A3B@per=2,source_share=0.5"],
        }
        assert len(kinds_of_split(table)) == 4
        found = differences(table).set_index(["splits", "quantity", "layer"])["mean"]
        top1 = table.set_index("network")["top1"]
        for kind, quantity, network, control in (
            ("2 pictures a class: random", "AnB-base", "A3B@per=2", "baseB@per=2"),
            ("source of 3 pictures a class: random", "AnB-base", "A3B@source_per=3", "baseB"),
            ("random", "AnB-base", "A3B", "baseB"),
        ):
            assert found[kind, quantity, "3"] == pytest.approx(top1[network] - top1[control])
        both = against_base(table).set_index("network")
        assert both["base"]["A3B@per=2,source_share=0.5"] == top1["baseB@per=2"]
        assert {*of_all_data(table)["network"]} == {"baseA", "baseB", "A3B", "B3B+"}


@pytest.mark.slow
def test_a_study_of_amounts_from_the_command_line(transfer: Callable[..., Said], tmp_path: Path) -> None:
    pictures = {"size": SIZE, "crop": 12, "mean": "image", "divide": 64, "builtin": {"classes": CLASSES, "train": 8, "val": 5}}
    values = {
        **{**TINY, "pictures": pictures, "targets": ["B"], "layers": [3], "treatments": ["BnB+", "AnB"], "judged": False},
        **{"target": {"per_class": [2, "all"]}, "source": {"classes": [0.5, "all"]}},
    }
    (tmp_path / "few.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    planned = json.loads(transfer("plan", "few.yaml", "--json", "--device", "cpu").out)
    said = transfer("run", "few.yaml", "--study", "few", "--device", "cpu")
    assert said.code == 0, said.err
    study = Study(tmp_path / "few")
    assert len(study.rows()) == planned["networks"] == 14
    status = transfer("status", "--study", "few").out
    assert "14 of 14 networks are done" in status and "2 pictures a class, source of 50% of the classes" in status
    assert "0 of 8 networks to train" in transfer("sweep", "--study", "few", "--device", "cpu").err
    assert "2 pictures a class, random: paired differences" in transfer("analyze", "--study", "few").out.replace("\n", " ")
    assert "2 pictures a class" in (tmp_path / "few/report.html").read_text(encoding="utf-8")
    assert "few is sound" in transfer("verify", "--study", "few", "--device", "cpu").out
    refused = transfer("sweep", "--study", "few", "--device", "cpu", "--set", "target.per_class=9,all")
    assert refused.code == 1 and "has no baseB@per=9 yet" in refused.err
    refused = transfer("train-base", "--study", "few", "--device", "cpu", "--set", "target.per_class=9,all")
    assert refused.code == 1 and "has 8 pictures to train on; take fewer a class, or all" in refused.err
    assert transfer("run", "few.yaml", "--smoke", "--study", "other", "--device", "cpu").code == 0
