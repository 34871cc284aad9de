"""Recipes: every mistake is said at once, in one line; what is written out reads back the same."""

import copy
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import SWEPT
from hypothesis import given, settings
from hypothesis import strategies as st

from transfercli.networks import caffenet, chatfield, small
from transfercli.recipe import reading as recipes
from transfercli.recipe import schedules, yamltext
from transfercli.recipe.schema import LEAST_CROP, Evaluation, Recipe, Training
from transfercli.system.errors import TransferError

SHIPPED = recipes.names()
MINIMAL = """
name: mine
pictures: {size: 32, crop: 28}
network: {name: small, widths: [8, 8, 8, 8, 8, 16, 16]}
training: {epochs: 2, batch: 50, schedule: {name: constant, rate: 0.1}}
evaluation: {times: 2}
"""


def loaded(*overrides: str, text: str = MINIMAL) -> Recipe:
    return recipes.load(text, "mine.yaml", overrides)


def message(call, *args, **kwargs) -> str:
    with pytest.raises(TransferError) as error:
        call(*args, **kwargs)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def mistakes(*overrides: str, text: str = MINIMAL) -> list[str]:
    """What is wrong, one by one."""
    said = message(loaded, *overrides, text=text)
    head, _, rest = said.partition(": ")
    listed, remedy = rest.rsplit("; ", 1)
    assert remedy == "compare with: transfer recipes show demo"
    found = listed.split("; ")
    assert head == f"mine.yaml has {len(found)} mistake{'s' if len(found) > 1 else ''}"
    return found


# shipped recipes


def test_recipes_ship() -> None:
    assert "demo" in SHIPPED
    assert sorted(path.stem for path in (Path(__file__).parents[1] / "recipes").glob("*.yaml")) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_loads_and_round_trips(name: str) -> None:
    recipe = recipes.find(name)
    assert recipe.name == name
    assert recipe.about
    again = recipes.load(recipes.dump(recipe), "dumped")
    assert again == recipe
    assert again.digest() == recipe.digest()
    assert recipes.differences(recipe, again) == []
    assert recipes.dump(again) == recipes.dump(recipe)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_opens_with_its_command_hardware_time_and_result(name: str) -> None:
    opening = recipes.text(name).split("\nname:")[0]
    assert opening.startswith("# ")
    assert all(line.startswith("#") for line in opening.splitlines())
    for word in ("transfer ", "Hardware", "Time", "Expected"):
        assert word in opening


@pytest.mark.parametrize("name", SHIPPED)
def test_the_smoke_variant_is_the_same_study_in_small(name: str) -> None:
    recipe = recipes.find(name)
    smoke = recipes.smoke(recipe)
    assert (smoke.splits, smoke.targets, smoke.seeds) == (recipe.splits[:1], recipe.targets[:1], recipe.seeds[:1])
    assert (smoke.layers, smoke.treatments) == (recipe.layers, recipe.treatments)
    assert (smoke.training.steps, smoke.training.epochs, smoke.training.batch) == (4, None, 16)
    assert smoke.evaluation.at(4) == {0, 2, 4}
    assert (smoke.pictures.classes, smoke.pictures.train_per_class, smoke.pictures.val_per_class) == (8, 8, 4)
    assert smoke.digest() != recipe.digest()
    assert recipes.load(recipes.dump(smoke), "dumped") == smoke
    assert recipes.smoke(smoke) == smoke or recipe.network.name == "caffenet"
    same = {"name", "normalisation", "dropout", "init", "outputs"}
    assert smoke.network.model_dump(include=same) == recipe.network.model_dump(include=same)
    if recipe.pictures.builtin:
        assert smoke.pictures.builtin is not None
        assert smoke.pictures.builtin.model_dump() == {**recipe.pictures.builtin.model_dump(), "classes": 8, "train": 8, "val": 4}


@settings(max_examples=50)
@given(st.lists(st.integers(1, 250).map(lambda n: 2 * n), min_size=7, max_size=7))
def test_the_smoke_variant_of_any_caffenet(widths: list[int]) -> None:
    slim = recipes.smoke(loaded(f"network.widths={widths}", "network.name=caffenet", "network.normalisation=lrn", *CROP_67))
    assert all(width % 2 == 0 for width in slim.network.widths)


CROP_67 = ("pictures.crop=67", "pictures.size=70")


def test_the_papers_recipe() -> None:
    """Everything that the study's solver.prototxt and train_val.prototxt fix."""
    recipe = recipes.find("yosinski2014")
    pictures, network, training = recipe.pictures, recipe.network, recipe.training
    assert (pictures.size, pictures.crop, pictures.fit, pictures.mirror) == (256, 227, "warp", True)
    assert (pictures.channels, pictures.mean, pictures.divide, pictures.orientation) == ("bgr", "image", 1, "ignore")
    assert (network.name, network.widths) == ("caffenet", (96, 256, 384, 384, 256, 4096, 4096))
    assert (network.outputs, network.dropout, network.normalisation, network.init) == (1000, 0.5, "lrn", "caffe")
    assert (training.steps, training.batch, training.momentum, training.velocity) == (450_000, 256, 0.9, "caffe")
    assert (training.weight_decay, training.bias_rate, training.bias_decay) == (5e-4, 2, False)
    rate = training.schedule.bind(450_000)
    assert [rate(t) for t in (0, 99_999, 100_000, 449_999)] == pytest.approx([0.01, 0.01, 0.001, 1e-6])
    assert recipe.evaluation.every == 1000
    assert recipe.layers == (1, 2, 3, 4, 5, 6, 7)


def test_torchvisions_recipe_of_resnet50() -> None:
    """Everything that references/classification fixes for the V1 weights; an epoch of half of the classes has half the steps."""
    recipe = recipes.find("imagenet-resnet50")
    pictures, training = recipe.pictures, recipe.training
    assert (pictures.size, pictures.crop, pictures.fit, pictures.augment) == (256, 224, "crop", "random-resized-crop")
    assert (pictures.scale, pictures.ratio, pictures.mirror) == ((0.08, 1), (3 / 4, 4 / 3), True)
    assert (pictures.interpolation, pictures.orientation) == ("bilinear", "ignore")
    assert (pictures.channels, pictures.mean, pictures.std) == ("rgb", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (training.optimizer, training.momentum, training.velocity, training.nesterov) == ("sgd", 0.9, "pytorch", False)
    assert (training.batch, training.weight_decay, training.bias_rate, training.bias_decay) == (256, 1e-4, 1, True)
    for pictures_of_training in (1_281_167, 640_584):
        steps = training.length(pictures_of_training)
        rate, epoch = training.schedule.bind(steps), steps / 90
        found = [rate(round(epoch * at) + more) for at in (30, 60) for more in (-1, 1)]
        assert [rate(0), *found, rate(steps - 1)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


# values


def test_defaults() -> None:
    recipe = loaded()
    assert (recipe.splits, recipe.targets, recipe.seeds) == (("random-0",), ("B",), (0,))
    assert recipe.swept == (1, 2, 3, 4, 5, 6, 7)
    assert recipe.treatments == ("BnB", "BnB+", "AnB", "AnB+", "RnB")


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("layers=1-3", "layers", (1, 2, 3)),
        ("layers=5", "layers", (5,)),
        ("layers=[2, 4]", "layers", (2, 4)),
        ("layers=1,6-7", "layers", (1, 6, 7)),
        ("targets=A, B", "targets", ("A", "B")),
        ("targets=A", "targets", ("A",)),
        ("treatments=AnB,AnB+", "treatments", ("AnB", "AnB+")),
        ("seeds=3", "seeds", (3,)),
        ("seeds=0,4294967295", "seeds", (0, 2**32 - 1)),
        ("splits=[0, 3, man-made-natural]", "splits", ("random-0", "random-3", "man-made-natural")),
        ("splits=2", "splits", ("random-2",)),
        ("splits=0,1", "splits", ("random-0", "random-1")),
        ("splits=random-0, random-3", "splits", ("random-0", "random-3")),
        ("splits=halves/mine.csv", "splits", ("halves/mine.csv",)),
        ("about='a: b'", "about", "a: b"),
        ("about={: [", "about", "{: ["),  # no YAML, so it is text
        ("about=2001-99-99", "about", "2001-99-99"),  # no date either
        ("name = v1.2_b-c", "name", "v1.2_b-c"),
    ],
)
def test_overrides(override: str, key: str, value: Any) -> None:
    assert getattr(loaded(override), key) == value


def test_overrides_reach_into_sections_in_order() -> None:
    recipe = loaded("training.schedule.rate=1", "training.weight_decay=5e-4", "training.schedule={rate: 0.2}", "training.batch=7")
    assert (recipe.training.schedule.rate, recipe.training.schedule.name) == (0.2, "constant")
    assert (recipe.training.weight_decay, recipe.training.batch, recipe.training.epochs) == (5e-4, 7, 2)
    steps = loaded("training.steps=9", "training.epochs=null")
    assert (steps.training.steps, steps.training.epochs) == (9, None)


@pytest.mark.parametrize("override", ["training.epochs", "=5", " =5", ""])
def test_an_override_needs_a_key_and_a_value(override: str) -> None:
    assert message(loaded, override) == (f"cannot read --set {override}; write key=value, such as --set training.epochs=5")


def test_overrides_leave_the_recipe_they_are_laid_over() -> None:
    values = yaml.safe_load(MINIMAL)
    kept = copy.deepcopy(values)
    merged = yamltext.merge(values, {"training": {"batch": 1}, "network": 3, "new": {"a": 1}})
    assert values == kept
    assert merged == {**kept, "training": {**kept["training"], "batch": 1}, "network": 3, "new": {"a": 1}}


# mistakes


def test_all_mistakes_at_once() -> None:
    text = """
    nmae: mine
    name: "../mine"
    layers: 8-1
    treatments: [BnB, CnB]
    seeds: [-1]
    splits: [randm-0]
    pictures: {size: 32, crop: 40}
    network: {name: alexnet, widths: [8, 8], droput: 0.1}
    training: {batchsize: 3, steps: 0, schedule: {name: constant}}
    """
    assert message(loaded, text=text) == (
        "mine.yaml has 15 mistakes: "
        "name: string should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$'; "
        "network.name: no network 'alexnet'; choose caffenet, cnn-f, cnn-m, cnn-s, small, torchvision/NAME or timm/NAME; "
        "network.widths: tuple should have at least 7 items after validation, not 2; "
        "network.droput: unknown key (did you mean network.dropout?); "
        "splits: split 'randm-0' is not known; write random-<seed> (as random-0), man-made-natural, "
        "the path of a .csv file with the header class,half, or all; "
        "layers: the layers '8-1' run backwards; write the lower number first: 1-8; "
        f"treatments.1: input should be {', '.join(map(repr, SWEPT[:-1]))} or {SWEPT[-1]!r}; "
        "seeds.0: input should be greater than or equal to 0; "
        "pictures: crop 40 is larger than size 32; "
        "training.steps: input should be greater than 0; "
        "training.batch: missing; "
        "training.schedule.rate: missing; "
        "training.batchsize: unknown key; "
        "evaluation: missing; "
        "nmae: unknown key; "
        "compare with: transfer recipes show demo"
    )


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["batchsize=3"], "batchsize: unknown key"),
        (["training.epoch=3"], "training.epoch: unknown key (did you mean training.epochs?)"),
        (["seed=3"], "seed: unknown key (did you mean seeds?)"),
        (
            ["training.schedule=step"],
            "training.schedule: a schedule has figures, as {name: step, rate: 0.01, gamma: 0.1, every: 10000}",
        ),
        (["training.schedule=3"], "training.schedule: a schedule has figures, as {name: one-cycle, rate: 0.01}"),
        (["seeds=3-1"], "seeds: the range 3-1 runs backwards: write it as 0-3"),
        (["seeds=0-9999"], "seeds: the range 0-9999 is too long: write it as 0-3"),
        (["training.batchsize=3"], "training.batchsize: unknown key"),
        (["training.steps=5"], "training: give either steps or epochs, and set the other to null"),
        (["training.epochs=null"], "training: give either steps or epochs, and set the other to null"),
        (["training.velocity=caffe", "training.nesterov=true"], "training: nesterov momentum goes with velocity: pytorch"),
        (["training.momentum=0", "training.nesterov=true"], "training: nesterov momentum needs a momentum above 0"),
        (
            ["training.optimizer=adamw", "training.velocity=caffe", "training.momentum=0.8", "training.nesterov=true"],
            "training: optimizer adamw has no momentum, no velocity, no nesterov: leave what is not its own at its default",
        ),
        (["training.betas=[0.9, 0.99]"], "training: optimizer sgd has no betas: leave what is not its own at its default"),
        (["training.optimizer=adamw", "training.betas=[0.9, 1]"], "training.betas.1: input should be less than 1"),
        (["training.optimizer=adamw", "training.betas=[0.9]"], "training.betas.1: missing"),
        (["training.optimizer=adam"], "training.optimizer: input should be 'sgd' or 'adamw'"),
        (["training.momentum=1"], "training.momentum: input should be less than 1"),
        (["training.weight_decay=.nan"], "training.weight_decay: input should be greater than or equal to 0"),
        (["training.weight_decay=.inf"], "training.weight_decay: input should be a finite number"),
        (["training.batch=true"], "training.batch: a number is wanted, not true or false"),
        (["pictures.divide=true"], "pictures.divide: a number is wanted, not true or false"),
        (["pictures.std=[0.2, 0.2, 0.2]", "pictures.divide=2"], "pictures: give either std or divide"),
        (["pictures.interpolation=lanczos"], "pictures.interpolation: input should be 'bilinear' or 'bicubic'"),
        (["pictures.scale=[0.25, 1]"], "pictures: scale goes with augment: random-resized-crop"),
        (["pictures.ratio=[1, 1]"], "pictures: ratio goes with augment: random-resized-crop"),
        (
            ["pictures.augment=random-resized-crop", "pictures.mean=image"],
            "pictures: a mean image fits no resized crop: set mean: channel, or augment: crop",
        ),
        (["pictures.scale=[1, 0.08]"], "pictures.scale: the least stands first: [0.08, 1.0]"),
        (["pictures.ratio=[2, 0.5]"], "pictures.ratio: the least stands first: [0.5, 2.0]"),
        (["pictures.scale=[0.08, 1.5]"], "pictures.scale.1: input should be less than or equal to 1"),
        (["pictures.scale=[true, 1]"], "pictures.scale.0: a number is wanted, not true or false"),
        (["pictures.ratio=[1, .inf]"], "pictures.ratio.1: input should be a finite number"),
        (["pictures.ratio=1"], "pictures.ratio: input should be a valid tuple"),
        *(
            (
                [f"pictures.mean={wrong}"],
                "pictures.mean: input should be 'image', 'channel', 'none' or three numbers, such as [0.485, 0.456, 0.406]",
            )
            for wrong in ("picture", "0.5", "[0.5, 0.5]", "[true, 0, 0]", "[-0.1, 0, 0]", "[.nan, 0, 0]", "[.inf, 0, 0]", "null")
        ),
        *(
            ([f"pictures.std={wrong}"], "pictures.std: input should be three numbers above 0, such as [0.229, 0.224, 0.225]")
            for wrong in ("1", "[0, 0.2, 0.2]", "[1, 1, 1, 1]", "{a: 1}")
        ),
        (
            ["pictures.mean=[123.675, 116.28, 103.53]"],
            "pictures.mean: these are numbers of pixels from 0 to 1: write [123.675, 116.28, 103.53] as [0.485, 0.456, 0.406]",
        ),
        (["training.batch=1.5"], "training.batch: input should be a valid integer, got a number with a fractional part"),
        (["training.schedule.rate=.inf"], "training.schedule.rate: input should be a finite number"),
        (["training.schedule.gamma=0.1"], "training.schedule: schedule constant has no gamma"),
        (["training.schedule.name=step"], "training.schedule: schedule step needs gamma, needs every or falls"),
        (
            ["training.schedule={name: step, gamma: 0.1, every: 3, falls: 2}"],
            "training.schedule: schedule step takes either every or falls",
        ),
        (
            ["training.schedule={name: cosine, warmup: 3, peak: 0.1}"],
            "training.schedule: schedule cosine takes either warmup or peak",
        ),
        (["training.schedule={name: cosine, falls: 2}"], "training.schedule: schedule cosine has no falls"),
        (
            ["training.schedule={name: inverse, peak: 0.5, gamma: 1}"],
            "training.schedule: schedule inverse needs power, has no peak",
        ),
        (["evaluation.every=5"], "evaluation: give either every (steps) or times"),
        (["evaluation.times=null"], "evaluation: give either every (steps) or times"),
        (["network.name=caffenet"], "network: caffenet has local response normalisation: set normalisation: lrn"),
        (
            ["network.name=caffenet", "network.normalisation=lrn", "network.widths=[8, 8, 8, 7, 8, 5, 5]"],
            "network: caffenet's convolutions have two groups: width 7 must be even",
        ),
        (
            ["network.name=caffenet", "network.normalisation=lrn"],
            "recipe: pictures.crop 28 is too small for caffenet, which needs 39",
        ),
        (["pictures.crop=7"], "recipe: pictures.crop 7 is too small for small, which needs 8"),
        (["pictures.classes=3"], "pictures.classes: input should be greater than or equal to 4"),
        (["seeds=4294967296"], "seeds.0: input should be less than or equal to 4294967295"),
        (["seeds=true"], "seeds.0: a number is wanted, not true or false"),
        (["seeds=1,2,1"], "seeds: 1 stands twice"),
        (["seeds=[]"], "seeds: name at least one"),
        (["layers=[]"], "layers: name at least one"),
        (["splits=[]"], "splits: name at least one"),
        (["layers=[3, 3]"], "layers: 3 stands twice"),
        (["layers=[0]"], "layers.0: input should be greater than 0"),
        (["targets=B,B"], "targets: B stands twice"),
        (["targets=C"], "targets.0: input should be 'A', 'B', 'alternate' or 'T'"),
        (["treatments=RnB,RnB"], "treatments: RnB stands twice"),
        (["splits=[1, random-1]"], "splits: random-1 stands twice"),
        (["splits=true"], "splits.0: input should be a valid string"),
        (["splits=random-1,random-1"], "splits: random-1 stands twice"),
        (["splits=a/halves.csv,b/halves.csv"], "splits: two splits are named halves"),
        (["splits=a/Halves.csv,halves.csv"], "splits: two splits are named halves"),
        (["name=5"], "name: input should be a valid string"),
        (['name="a\\n"'], "name: string should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$'"),
        (["training=5"], "training: input should be a valid dictionary or instance of Training"),
    ],
)
def test_one_mistake(overrides: list[str], expected: str) -> None:
    assert mistakes(*overrides) == [expected]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "layers=0-7",
            "layers: the layers '0-7' hold 0, which is the base itself; layers start at 1",
        ),
        (
            "layers=8",
            "layers: layer 8 cannot be transferred in a network of 8 layers, whose last is always fresh; "
            "choose layers within 1-7",
        ),
        (
            "splits=random-4294967296",
            "splits: a random split cannot have seed 4294967296; give one from 0 to 4294967295",
        ),
        (
            "splits=[man-made-natural, 'halves/by, hand.csv']",
            "splits: split file 'halves/by, hand.csv' cannot name a split; "
            "rename it with letters, digits, '.', '_' and '-', a letter, digit or '_' first",
        ),
        (
            "splits=[figures.csv]",
            "splits: split file 'figures.csv' cannot name a split, because 'figures' already means something else in a study; "
            "rename the file",
        ),
        (
            '"a\\nb"=5',
            '"a\\nb": unknown key',
        ),
    ],
)
def test_a_mistake_that_says_its_own_remedy(override: str, expected: str) -> None:
    assert message(loaded, override) == f"mine.yaml has 1 mistake: {expected}; compare with: transfer recipes show demo"


@pytest.mark.parametrize(("steps", "override"), [(10_000, "{name: exponential, rate: 0.1, gamma: 0.5}")])
def test_a_rate_of_0_is_refused_before_training(steps: int, override: str) -> None:
    said = message(loaded, f"training.steps={steps}", "training.epochs=null", f"training.schedule={override}")
    assert said == (
        "mine.yaml has 1 mistake: training: schedule exponential comes to a learning rate of 0.0 at step 9999; "
        "choose a gamma nearer to 1 or fewer steps; compare with: transfer recipes show demo"
    )


@pytest.mark.parametrize("name", LEAST_CROP)
def test_the_least_crop_is_what_the_network_can_take(name: str) -> None:
    def build(crop: int) -> torch.nn.Module:
        with torch.device("meta"):
            if name.startswith("cnn-"):
                return chatfield(name, 2, [2] * 7, crop)
            return caffenet(2, [2] * 7, crop) if name == "caffenet" else small(2, [2] * 7, crop)

    build(LEAST_CROP[name])
    with pytest.raises(RuntimeError):
        build(LEAST_CROP[name] - 1)


def test_recipes_and_sections_do_not_change() -> None:
    recipe = loaded()
    with pytest.raises(ValueError, match="frozen"):
        recipe.training.batch = 3


# YAML


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("!!python/object/apply:os.system [echo]", "could not determine a constructor for the tag"),
        ("name: !!python/name:os.system", "could not determine a constructor for the tag"),
        ("name: !secret x", "could not determine a constructor for the tag '!secret'"),
        ("name: [", "while parsing a flow node"),
        ("name: a: b", "mapping values are not allowed here"),
        ("batch: 1\nbatch: 2", "key 'batch' stands twice"),
        ("training: {batch: 1, batch: 1}", "key 'batch' stands twice"),
        ("name: !!int ''", "string index out of range"),
        ("name: !!bool maybe", "'maybe'"),
        ("name: !!timestamp soon", "'NoneType' object has no attribute"),
        ("name: 2001-99-99", "month must be in 1..12"),
        ("[" * 5000, ""),
        ('"\x00"', "unacceptable character"),
        ("{[a]: 1}", "found unhashable key"),
    ],
)
def test_damaged_yaml(text: str, reason: str) -> None:
    said = message(recipes.load, text, "mine.yaml")
    assert said.startswith("mine.yaml is not YAML: ")
    assert reason in said
    assert said.endswith("; mend it or start from: transfer recipes copy demo")
    assert len(said) < 320


def test_a_key_that_stands_in_two_sections_or_is_merged_stands_once() -> None:
    text = MINIMAL.replace("{times: 2}", "{<<: &e {times: 2, batch: 9}, batch: 7}")
    assert loaded(text=text).evaluation.batch == 7


@pytest.mark.parametrize("text", ["", "- name", "5", "demo", "null", "!!set {name}"])
def test_yaml_that_is_no_recipe(text: str) -> None:
    said = message(recipes.load, text, "mine.yaml")
    if text == "!!set {name}":
        text = "a set"
    assert said == "mine.yaml is not a recipe: it must be a YAML mapping; see one: transfer recipes show demo"


DEMO = recipes.text("demo")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_recipes_give_one_line(data: st.DataObject) -> None:
    """A shipped recipe with a piece cut out and anything put in its place is a recipe or one line."""
    start = data.draw(st.integers(0, len(DEMO)))
    end = data.draw(st.integers(start, min(len(DEMO), start + 20)))
    piece = data.draw(st.text(max_size=10) | st.text("!&*{}[]:,-?|>'\"#%@\\ \n\t0123456789.eaA~<=", max_size=10))
    one_line_or_a_recipe(DEMO[:start] + piece + DEMO[end:])


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates()
KEYS = st.text(max_size=5) | st.integers() | st.none() | st.sampled_from(list(Recipe.model_fields))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.sampled_from(["", *Recipe.model_fields]))
def test_any_values_give_one_line(values: dict, section: str) -> None:
    below = yaml.safe_load(MINIMAL)
    if section and isinstance(below.get(section), dict):
        values = {section: values}
    text = yaml.safe_dump(yamltext.merge(below, values), allow_unicode=True)
    one_line_or_a_recipe(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text("!&*{}[]:,-?|>'\"#%@\\ \n\t09.eaA~<=", max_size=30))
def test_any_text_gives_one_line(text: str) -> None:
    one_line_or_a_recipe(text)


def one_line_or_a_recipe(text: str) -> None:
    try:
        recipe = recipes.load(text, "mine.yaml")
    except TransferError as error:
        assert len(str(error).splitlines()) == 1
        assert str(error).startswith("mine.yaml ")
    else:
        assert recipes.load(recipes.dump(recipe), "dumped") == recipe


@settings(max_examples=200, deadline=None)
@given(st.text(), st.floats(1e-300, 1e300), st.lists(st.integers(0, 2**32 - 1), min_size=1, unique=True))
def test_what_is_dumped_is_read_again(about: str, decay: float, seeds: list[int]) -> None:
    values = yaml.safe_load(MINIMAL)
    values["training"]["weight_decay"] = decay
    recipe = recipes.validate({**values, "about": about, "seeds": seeds}, "mine.yaml")
    again = recipes.load(recipes.dump(recipe), "dumped")
    assert again == recipe
    assert again.digest() == recipe.digest()


# digest


def variants() -> list[tuple[str, Any]]:
    """For every key that decides numbers another value of it."""
    return [
        *(("pictures.size", 64), ("pictures.crop", 24), ("pictures.fit", "crop"), ("pictures.mirror", False)),
        *(("pictures.channels", "bgr"), ("pictures.mean", "none"), ("pictures.divide", 2), ("pictures.classes", 4)),
        *(("pictures.train_per_class", 5), ("pictures.val_per_class", 5), ("pictures.orientation", "exif")),
        *(("pictures.interpolation", "bicubic"), ("pictures.augment", "random-resized-crop")),
        *(("pictures.scale", [0.25, 1]), ("pictures.ratio", [0.5, 2])),
        *(("pictures.mean", [0.5, 0.5, 0.5]), ("pictures.std", [0.2, 0.2, 0.2])),
        *(("pictures.held_out", 0.3), ("pictures.held_out_seed", 1), ("pictures.folds", 5)),
        ("pictures.builtin", {"classes": 4, "train": 3, "val": 2, "seed": 0}),
        ("pictures.builtin", {"classes": 4, "train": 3, "val": 2, "seed": 1}),
        *(("network.widths", [8, 8, 8, 8, 8, 16, 8]), ("network.outputs", 10), ("network.dropout", 0.1)),
        *(
            ("network.normalisation", "lrn"),
            ("network.init", "caffe"),
            ("network.skips", True),
            ("network.width", 2),
            ("network.statistics", "pictures"),
        ),
        *(("training.epochs", 3), ("training.batch", 25), ("training.momentum", 0.8), ("training.velocity", "caffe")),
        *(("training.nesterov", True), ("training.weight_decay", 0), ("training.bias_rate", 2), ("training.bias_decay", True)),
        *(("training.precision", "float32"), ("training.channels_last", False)),
        *(("training.stream", "fresh"), ("training.adaptive_clip", 0.1), ("training.optimizer", "adamw")),
        ("training.schedule", {"rate": 0.2}),
        ("training.schedule", {"name": "square-root"}),
        ("training.schedule", {"name": "exponential", "gamma": 0.5}),
        ("training.schedule", {"name": "step", "gamma": 0.5, "every": 3}),
        ("training.schedule", {"name": "step", "gamma": 0.5, "falls": 3}),
        ("training.schedule", {"name": "inverse", "gamma": 0.5, "power": 3}),
        ("training.schedule", {"name": "cosine"}),
        ("training.schedule", {"name": "cosine", "warmup": 3}),
        ("training.schedule", {"name": "cosine", "peak": 0.1}),
        ("training.schedule", {"name": "one-cycle"}),
        ("training.schedule", {"name": "one-cycle", "peak": 0.5}),
        ("training.schedule", {"name": "one-cycle", "start": 0.5}),
        *(("evaluation.times", 3), ("evaluation.batch", 10)),
    ]


LIBRARY = (
    *({}, {"cut": "finest"}, {"cut": ["layer1.0", "fc"]}, {"random": "preserving"}, {"arguments": {"groups": 2}}),
    *({"dropout": 0.1}, {"width": 2}, {"outputs": 7}, {"head": [7]}, {"head": []}),
)


def with_key(key: str, value: Any) -> Recipe:
    section, name = key.split(".")
    needs = {"augment": "random-resized-crop"} if name in ("scale", "ratio") else {}
    return recipes.validate(yamltext.merge(yaml.safe_load(MINIMAL), {section: {**needs, name: value}}), "mine.yaml")


def with_network(**keys: Any) -> Recipe:
    values = yaml.safe_load(MINIMAL)
    return recipes.validate({**values, "network": {"name": "torchvision/resnet18", **keys}}, "mine.yaml")


def test_the_digest_tells_every_key_that_decides_numbers() -> None:
    made = [loaded(), *(with_key(key, value) for key, value in variants())]
    made.append(loaded("training.steps=9", "training.epochs=null"))
    made.append(loaded("training.optimizer=adamw", "training.betas=[0.9, 0.99]"))
    made.append(loaded("evaluation.every=9", "evaluation.times=null"))
    made.append(loaded("training.patience=3", "pictures.folds=3"))
    made.append(loaded("network.name=caffenet", "network.normalisation=lrn", *CROP_67))
    made += [with_network(**keys) for keys in LIBRARY]
    assert with_network(layers=10, label="mine").digest() == with_network().digest()
    assert len({recipe.digest() for recipe in made}) == len(made)
    for recipe in made[1:]:
        assert recipes.differences(made[0], recipe)
    told = {key for key, _ in variants()} | {f"network.{key}" for keys in LIBRARY for key in keys}
    keys = {
        f"{section}.{name}"
        for section in ("pictures", "network", "training", "evaluation")
        for name in type(getattr(made[0], section)).model_fields
    }
    kept = {f"training.{key}" for key in ("checkpoint_minutes", "checkpoint_steps", "keep_weights", "snapshots")}
    kept |= {"network.label", "network.layers", "network.source"}
    assert keys - told == {*kept, "training.steps", "training.betas", "training.patience", "evaluation.every", "network.name"}


def test_a_key_that_is_new_and_says_what_was_done_before_leaves_the_digest_as_it_was() -> None:
    before = "5a525cc69f222a4594624c161d053da36cc5202aef53f340c7b16ab6b173a4f8"  # of this text, when there were no such keys
    assert loaded().digest() == before
    assert loaded("pictures.orientation=ignore", "pictures.held_out=0.2", "pictures.held_out_seed=0").digest() == before
    assert loaded("training.optimizer=sgd", "training.betas=[0.9, 0.999]", "training.schedule.falls=null").digest() == before
    turned = loaded("pictures.orientation=exif")
    assert recipes.differences(loaded(), turned) == ["pictures.orientation: ignore → exif"]


@pytest.mark.parametrize(
    "override",
    [
        "name=other",
        "about=other",
        "splits=random-1",
        "targets=A",
        "layers=1",
        "treatments=AnB",
        "seeds=1",
        "training.checkpoint_minutes=1",
        "training.checkpoint_steps=1",
    ],
)
def test_the_digest_does_not_tell_what_is_planned(override: str) -> None:
    assert loaded(override) != loaded()
    assert loaded(override).digest() == loaded().digest()
    assert recipes.differences(loaded(), loaded(override)) == []


def test_the_digest_does_not_depend_on_how_a_recipe_is_written() -> None:
    shuffled = dict(reversed(yaml.safe_load(MINIMAL).items()))
    shuffled["training"] |= {"epochs": 2.0, "weight_decay": "0.0005", "momentum": 0.9}
    assert recipes.validate(shuffled, "mine.yaml").digest() == loaded().digest()


def test_differences() -> None:
    assert recipes.differences(
        loaded(), loaded("training.batch=9", "training.schedule.rate=1", "network.outputs=7", "seeds=4")
    ) == [
        "network.outputs: None → 7",
        "training.batch: 50 → 9",
        "training.schedule.rate: 0.1 → 1.0",
    ]
    made = loaded("pictures.builtin={classes: 4, train: 2, val: 1}")
    assert recipes.differences(loaded(), made) == [
        "pictures.builtin.classes: None → 4",
        "pictures.builtin.seed: None → 0",
        "pictures.builtin.train: None → 2",
        "pictures.builtin.val: None → 1",
    ]


# names and files


@pytest.mark.parametrize("name", ["nosuch", "../recipes/demo", "demo.yml/..", "", "recipes/demo", "Demo", "/etc/passwd"])
def test_a_name_is_that_of_a_shipped_recipe(name: str) -> None:
    assert message(recipes.find, name) == f"no recipe {name!r}; choose from {', '.join(SHIPPED)}, or give a .yaml file"


def test_a_recipe_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(MINIMAL, encoding="utf-8")
    assert recipes.find("mine.yaml", ["about=ä"]).about == "ä"
    Path("wrong.yml").write_text("name: 5", encoding="utf-8")
    assert message(recipes.find, "wrong.yml").startswith(
        "recipe wrong.yml has 5 mistakes: name: input should be a valid string; "
    )
    Path("latin.yaml").write_bytes(b"about: \xe4")
    assert message(recipes.find, "latin.yaml") == (
        "cannot read the recipe latin.yaml: 'utf-8' codec can't decode byte 0xe4 in position 7: unexpected end of data; "
        "check the file"
    )
    Path("folder.yaml").mkdir()
    assert message(recipes.find, "folder.yaml") == (
        "cannot read the recipe folder.yaml: [Errno 21] Is a directory: 'folder.yaml'; check the file"
    )
    assert message(recipes.find, "none.yaml") == "no recipe file none.yaml; copy one: transfer recipes copy demo none.yaml"
    assert message(recipes.find, "a\0.yaml").endswith("embedded null byte; check the file")


# lengths and evaluations


def training(**values: Any) -> Training:
    return Training.model_validate({"batch": 100, "schedule": {"name": "constant", "rate": 1}, **values})


@pytest.mark.parametrize(
    ("values", "pictures", "steps"),
    [
        ({"steps": 7}, 10**6, 7),
        ({"epochs": 2}, 1000, 20),
        ({"epochs": 2}, 1001, 21),
        ({"epochs": 0.5}, 1000, 5),
        ({"epochs": 0.001}, 1000, 1),
        ({"epochs": 1}, 3, 1),
    ],
)
def test_the_number_of_steps(values: dict, pictures: int, steps: int) -> None:
    assert training(**values).length(pictures) == steps


@given(st.integers(1, 5000), st.integers(1, 6000))
def test_evaluations_are_spread_evenly_from_0_to_the_last_step(steps: int, number: int) -> None:
    every = sorted(Evaluation(every=number).at(steps))
    assert every == [*range(0, steps, number), steps]
    times = sorted(Evaluation(times=number).at(steps))
    assert (times[0], times[-1]) == (0, steps)
    assert len(times) == min(number, steps) + 1
    gaps = {b - a for a, b in pairwise(times)}
    assert gaps <= {math.floor(steps / number), math.ceil(steps / number), 1}


@pytest.mark.parametrize(
    ("text", "expected"), [("0-3", (0, 1, 2, 3)), ("7", (7,)), ("0-1, 5", (0, 1, 5)), ("[0-1, 8]", (0, 1, 8))]
)
def test_seeds_and_splits_take_ranges(text: str, expected: tuple[int, ...]) -> None:
    recipe = loaded(f"seeds={text}", f"splits={text}")
    assert recipe.seeds == expected
    assert recipe.splits == tuple(f"random-{number}" for number in expected)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_the_schedule_that_an_error_shows_is_one(name: str) -> None:
    said = message(loaded, f"training.schedule={name}")
    shown = said.partition("a schedule has figures, as ")[2].partition(";")[0]
    assert loaded(f"training.schedule={shown}").training.schedule.name == name


def test_the_order_of_overrides_that_change_the_network_does_not_matter() -> None:
    words = ["layers=1-3", "network.name=torchvision/resnet18"]
    assert recipes.find("demo", words) == recipes.find("demo", words[::-1])
    assert recipes.find("demo", words).layers == (1, 2, 3)
    assert recipes.find("demo", ["network=torchvision/resnet18"]) == recipes.find("demo", words[1:])
    cut = recipes.load(recipes.dump(with_network(layers=10)), "dumped", ["network.cut=finest"])
    assert (cut.network.layers, with_network(layers=10).network.layers) == (None, 10)
