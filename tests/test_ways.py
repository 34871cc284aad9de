"""The built-in ways to fine-tune, phases told in steps, and the treatments that a recipe defines."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from conftest import ADAMW, CLASSES, CPU, SPLIT, TRAIN, VAL, Said, Tiny, numbers, run, silent, tiny_recipe, with_slow
from test_phases import changed, of, states

import transfercli
from transfercli.plan.networks import bases, named
from transfercli.plan.resolve import resolve
from transfercli.plan.treatments import STRATEGIES, TREATMENTS, TUNINGS, Treatment, define
from transfercli.recipe import reading as recipes
from transfercli.recipe import yamltext
from transfercli.recipe.schema import Recipe
from transfercli.report.appearance import look
from transfercli.report.phases import COPIED as COPIED_COLORS
from transfercli.report.phases import LEFT, NEW, WIDTH, chart
from transfercli.study.folder import Study
from transfercli.system.errors import TransferError
from transfercli.training.train import train

ALL8 = [*range(1, 9)]
# Of n = 3 of 8 layers: what learns, and up to which share of the steps; by hand from what the literature does.
EXPECTED: dict[str, list[tuple[list[int], float]]] = {
    "keep": [([4, 5, 6, 7, 8], 1)],
    "chain-thaw": [([4, 5, 6, 7, 8], 0.25), ([1], 5 / 12), ([2], 7 / 12), ([3], 0.75), (ALL8, 1)],
    "gradual": [([4, 5, 6, 7, 8], 1 / 6), ([3, 4, 5, 6, 7, 8], 1 / 3), ([2, 3, 4, 5, 6, 7, 8], 0.5), (ALL8, 1)],
    "discriminative": [(ALL8, 1)],
    "lp-ft": [([4, 5, 6, 7, 8], 0.5), (ALL8, 1)],
    "surgical": [([3, 8], 1)],
}
COPIED = {word: 7 if word in ("keep", "surgical") else 3 for word in EXPECTED}  # so many of the first
STEPS = 24
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {"training": {"steps": STEPS}},
    "adamw": {"network": {"normalisation": "batch"}, "training": {**ADAMW, "steps": STEPS}},
}
PHASES: list[dict[str, Any]] = [{"train": "new", "until": 2}, {"train": "top-6", "until": 0.8, "rate": 0.5}, {"train": "all"}]
MINE: dict[str, Any] = {"name": "AnB.mine", "phases": PHASES}


@pytest.fixture(autouse=True)
def only_built_in() -> Iterator[None]:
    """What recipes of one test define is gone in the next."""
    yield
    forget()


def forget() -> None:
    for name in [name for name, treatment in TREATMENTS.items() if treatment.own]:
        del TREATMENTS[name]


def with_own(*own: dict[str, Any], **changes: Any) -> Recipe:
    values = recipes.load(recipes.dump(tiny_recipe()), "tiny").model_dump(mode="json")
    return recipes.validate({**values, "own_treatments": list(own), **changes}, "tiny")


# -- what is built in


def test_every_way_is_there_for_every_origin_and_of_the_literature() -> None:
    assert {*TUNINGS} == {*EXPECTED}
    assert all(f"{letter}nB.{word}" in TREATMENTS for letter in "ABP" for word in TUNINGS)
    for strategy in STRATEGIES:
        assert strategy.treatment in TREATMENTS and strategy.reference, strategy
    assert {strategy.treatment for strategy in STRATEGIES} >= {f"AnB.{word}" for word in TUNINGS}


@pytest.mark.parametrize("word", EXPECTED)
@pytest.mark.parametrize(("letter", "target"), [("A", "B"), ("B", "B"), ("P", "T")])
def test_phases_and_origins_of_every_way(letter: str, target: str, word: str) -> None:
    network = named(SPLIT, 0, f"{letter}3{target}.{word}")
    resolved = resolve(network, 8)
    assert [(sorted(stage.layers), pytest.approx(stage.until)) for stage in resolved.stages] == EXPECTED[word]
    source = "P" if letter == "P" else f"base{letter}"
    assert resolved.origins == (source,) * COPIED[word] + ("",) * (8 - COPIED[word])
    assert {stage.rate for stage in resolved.stages} == {1.0}
    slower = 2.6 if word == "discriminative" else 1.0
    assert resolved.rates == pytest.approx([slower ** (layer - 8) for layer in ALL8])


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("word", EXPECTED)
def test_in_a_phase_of_a_built_in_only_its_layers_change(tiny: Tiny, word: str, recipe: str) -> None:
    bank = tiny.bank(of(f"A3B.{word}"), tiny_recipe(RECIPES[recipe]))
    before = states(bank)
    for step in range(STEPS):
        expected = next(layers for layers, until in EXPECTED[word] if step < until * STEPS)
        bank.step()
        after = states(bank)
        assert changed(before, after) == expected, step
        before = after


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("stopped", with_slow([3, 5, 8, 11, 13, 17, 20], [5, 8, 11, 17, 20]))
def test_built_ins_killed_inside_any_phase_end_the_same_also_alone(tiny: Tiny, recipe: str, stopped: int) -> None:
    networks = [*of(*(f"A3B.{word}" for word in EXPECTED)), *of("B3B.gradual", "A3B+", "baseB")]
    whole = numbers(run(tiny.bank(networks, tiny_recipe(RECIPES[recipe]))))
    bank = tiny.bank(networks, tiny_recipe(RECIPES[recipe]))
    while bank.step_number < stopped:
        if bank.step_number in bank.recipe.evaluation.at(STEPS):
            bank.evaluate()
        bank.step()
    tensors, about = bank.state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    for some in (networks[:4], networks[4:]):
        resumed = tiny.bank(some[::-1], tiny_recipe(RECIPES[recipe]), threads=2)
        resumed.restore(tensors, about)
        assert numbers(run(resumed)) == {network.name: whole[network.name] for network in some}
    for network in networks if stopped == 3 else []:
        assert numbers(run(tiny.bank([network], tiny_recipe(RECIPES[recipe]))))[network.name] == whole[network.name], network.name


def test_a_beginning_is_shared_until_somebody_trains_it(tiny: Tiny) -> None:
    """A5B's first layers are those of all that copy from A, as long as they rest: then each runs its own."""
    networks = of("A5B", *(f"A3B.{word}" for word in ("keep", "chain-thaw", "gradual", "lp-ft", "surgical")))
    bank = tiny.bank(networks, tiny_recipe(RECIPES["plain"]))
    ran: list[str] = []
    for member in bank.members:
        module = member.module.get_submodule("conv1")
        module.register_forward_pre_hook(lambda _, args, name=member.network.name: ran.append(name))
    first = list[list[str]]()
    for _ in range(STEPS):
        ran.clear()
        bank.step()
        first.append(sorted(ran))
    assert all(len(of_step) == 1 for of_step in first[:6]), "all share one beginning while the new layers learn"
    thawed = {name: next(step for step, of_step in enumerate(first) if name in of_step) for name in ("A3B.gradual", "A3B.lp-ft")}
    assert thawed == {"A3B.gradual": 12, "A3B.lp-ft": 12}
    assert "A3B.chain-thaw" in first[6] and len(first[6]) == 2 and len(first[-1]) == 4  # three of their own, one for all others


def test_one_phase_of_all_is_the_plain_way_bit_for_bit(tiny: Tiny) -> None:
    define([Treatment("AnB.one", "other", "first n", TREATMENTS["AnB+"].phases, "all", own=True)])
    plain, one = of("A7B+", "A7B.one")
    assert resolve(plain, 8).digest("r", "s") == resolve(one, 8).digest("r", "s")
    found = numbers(run(tiny.bank([plain, one], tiny_recipe(RECIPES["plain"]))))
    assert found["A7B+"] == found["A7B.one"]
    alone = numbers(run(tiny.bank([one], tiny_recipe(RECIPES["plain"]))))
    assert alone["A7B.one"] == found["A7B+"]


def test_digests_tell_every_phase() -> None:
    """Which layers, until when and at which rate; and the built-in ways are all different at an n where they can be."""
    found = {resolve(named("x", 0, f"{letter}3B.{word}"), 8).digest("r", "s") for letter in "AB" for word in TUNINGS}
    assert len(found) == 2 * len(TUNINGS)
    changes: list[dict[str, Any]] = [
        {},
        {"phases": [{**PHASES[0], "until": 3}, *PHASES[1:]]},
        {"phases": [{**PHASES[0], "until": 0.2}, *PHASES[1:]]},
        {"phases": [PHASES[0], {**PHASES[1], "rate": 0.25}, PHASES[2]]},
        {"phases": [PHASES[0], {**PHASES[1], "train": "top-5"}, PHASES[2]]},
        {"phases": [PHASES[0], PHASES[2]]},
        {"copied": "all but the last"},
        {"slower": 1.5},
    ]
    digests = []
    for change in changes:
        with_own({**MINE, **change})
        digests.append(resolve(named("x", 0, "A3B.mine"), 8).digest("r", "s"))
    assert len({*digests}) == len(digests)
    with_own({**MINE, "about": "another legend", "against": ["base", "AnB"]})
    assert resolve(named("x", 0, "A3B.mine"), 8).digest("r", "s") == digests[0]


# -- phases that are told in steps


def test_a_phase_may_end_after_so_many_steps() -> None:
    with_own({**MINE, "phases": [{"train": 2, "until": 5}, {"train": "each copied", "until": 14}, {"train": "n and last"}]})
    resolved = resolve(named("x", 0, "A3B.mine"), 8)
    for steps in (20, 1000):
        learns = [sorted(resolved.stages[resolved.stage_at(step, steps)].layers) for step in range(steps)]
        assert learns[:14] == [[2]] * 5 + [[1]] * 3 + [[2]] * 3 + [[3]] * 3 and learns[14:] == [[3, 8]] * (steps - 14)


def test_turns_between_steps_and_a_share() -> None:
    with_own({**MINE, "phases": [{"train": "new", "until": 10}, {"train": "each copied", "until": 0.5}, {"train": "all"}]})
    resolved = resolve(named("x", 0, "A4B.mine"), 8)
    assert [stage.end(100) for stage in resolved.stages] == [10, 20, 30, 40, 50, 100]
    resolved.check(100)
    with pytest.raises(ValueError, match=r"^AnB\.mine: its phases do not fit in a run of 18 steps$"):
        resolved.check(18)


def test_a_run_that_is_too_short_is_refused(split_study: Study) -> None:
    with pytest.raises(TransferError, match=r"own_treatments: AnB\.mine: its phases do not fit in a run of 2 steps"):
        with_own(MINE, treatments=["AnB.mine"], training={**tiny_recipe().model_dump(mode="json")["training"], "steps": 2})
    training = {**tiny_recipe().model_dump(mode="json")["training"], "steps": None, "epochs": 0.5}  # of 32 pictures: 2 steps
    recipe = with_own(MINE, treatments=["AnB.mine"], training=training)
    split_study.write_recipe(recipe)
    said: list[str] = []
    with pytest.raises(TransferError, match=r"AnB\.mine: its phases do not fit in a run of 2 steps"):
        train(split_study, bases([SPLIT], [0]), CPU, None, silent(said=said))
    assert not list(split_study.root.glob("*/base*")), "before anything is trained"


def test_what_a_phase_in_steps_costs() -> None:
    from transfercli.training.cost import Layers, multiply_adds

    layers = Layers((10,) * 8, (1,) * 8, (1,) * 8, (1,) * 8, 0)
    with_own({**MINE, "phases": [{"train": "last", "until": 25}, {"train": "all"}]})
    last, every = 70 + 20, 3 * 80 - 10  # forward below, then two of the one; three of all but the input's gradient
    assert multiply_adds(of("A3B.mine"), layers, steps=100) == pytest.approx(0.25 * last + 0.75 * every, abs=1)
    assert multiply_adds(of("A3B.mine"), layers, steps=50) == pytest.approx(0.5 * last + 0.5 * every, abs=1)


# -- what a recipe defines


WRONG = [
    ({"name": "AnB"}, "own_treatments.0.name: 'AnB' is no name of a treatment of one's own, as AnB.mine"),
    ({"name": "base.mine"}, "own_treatments.0.name: 'base.mine' is no name of a treatment of one's own"),
    ({"name": "AnB.keep"}, "own_treatments.0.name: AnB.keep is built in; choose another word after the dot"),
    ({"phases": [{"train": "some"}]}, "own_treatments.0: treatment AnB.mine: it copies or trains what is no word for layers"),
    (
        {"phases": [{"train": "new", "until": 0.5}]},
        "own_treatments.0: treatment AnB.mine: its phases do not end one",
    ),
    (
        {"phases": [{"train": "new", "until": 2.5}]},
        "own_treatments.0.phases.0.until: a phase ends at a share of the steps",
    ),
    (
        {"phases": [{"train": "new", "until": True}]},
        "own_treatments.0.phases.0.until: a phase ends at a share of the steps",
    ),
    ({"phases": [{"train": "new", "rate": 0}]}, "own_treatments.0.phases.0.rate: input should be greater than 0"),
    ({"phases": [{"train": "new", "unitl": 1}]}, "unknown key (did you mean own_treatments.0.phases.0.until?)"),
    ({"phases": []}, "own_treatments.0.phases: tuple should have at least 1 item"),
    ({"phases": [{"train": "top-9"}]}, "own_treatments: AnB.mine: of 8 layers none is top-9"),
    ({"phases": [{"train": 9}]}, "own_treatments: AnB.mine: of 8 layers none is 9"),
    ({"copied": "all but the last", "phases": [{"train": "first n"}, {"train": "x"}]}, "it copies or trains what is no word"),
    ({"against": ["AnC"]}, "own_treatments: AnB.mine is against 'AnC', which is no treatment"),
    ({"slower": 0}, "own_treatments.0.slower: input should be greater than 0"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[json.dumps(change) for change, _ in WRONG])
def test_a_bad_definition_is_one_line(change: dict, message: str) -> None:
    with pytest.raises(TransferError) as error:
        with_own({**MINE, **change}, treatments=[change.get("name", "AnB.mine")])
    said = str(error.value)
    assert message in said and "\n" not in said and said.startswith("tiny has ")


def test_a_treatment_that_nobody_defines_is_refused_also_when_another_recipe_did() -> None:
    with_own(MINE, treatments=["AnB.mine"])
    with pytest.raises(TransferError, match=r"treatments\.0: input should be .* or 'PnB\.surgical'; compare with"):
        with_own(treatments=["AnB.mine"])
    with pytest.raises(TransferError, match=r"AnB\.mine stands twice"):
        with_own(MINE, MINE)


def test_a_recipe_without_them_is_written_as_it_was_and_they_change_no_recipes_digest() -> None:
    assert "own_treatments" not in recipes.dump(tiny_recipe())
    recipe = with_own(MINE, treatments=["AnB.mine", "AnB"])
    assert recipe.digest() == tiny_recipe().digest()
    assert recipes.load(recipes.dump(recipe), "again") == recipe
    assert recipes.smoke(recipe).own_treatments[0].phases[0].until == pytest.approx(1 / 3), "a smoke run has no such steps"


def test_two_recipes_with_one_name_are_not_mixed_up(tiny: Tiny) -> None:
    """In one process: each network stays what it was when it was made."""
    one = with_own(MINE, treatments=["AnB.mine"])
    first = one.planned()[-1]
    other = with_own({**MINE, "phases": [{"train": "all"}]}, treatments=["AnB.mine"])
    second = other.planned()[-1]
    assert first.name == second.name and first != second
    assert len(resolve(first, 8).stages) == 3 and len(resolve(second, 8).stages) == 1
    assert resolve(one.planned()[-1], 8) == resolve(first, 8)


BUILTIN = {**tiny_recipe().model_dump(mode="json")["pictures"], "builtin": {"classes": CLASSES, "train": TRAIN, "val": VAL}}


@pytest.mark.slow
def test_all_commands_know_a_treatment_of_the_recipes(transfer: Callable[..., Said], tmp_path: Path) -> None:
    own = {**MINE, "about": "of my own", "against": ["base", "AnB+"]}
    plan = {"targets": ["B"], "layers": [1, 3], "treatments": ["AnB+", "AnB.mine"], "pictures": BUILTIN}
    (tmp_path / "mine.yaml").write_text(recipes.dump(with_own(own, **plan)))

    def ran(*words: str) -> str:
        forget()  # as each command begins, in a process of its own
        said = transfer(*words)
        assert said.code == 0, said
        return said.out

    ran("split", "--recipe", "mine.yaml")
    ran("train-base", "--device", "cpu")
    ran("sweep", "--device", "cpu", "--treatments", "AnB.mine", "--layers", "3")
    ran("sweep", "--device", "cpu")
    assert "AnB.mine" in ran("status")
    assert ran("verify").endswith("is sound\n")
    assert "AnB.mine-AnB+" in ran("analyze") and "A3B.mine" in ran("analyze", "--networks")
    ran("plot")
    assert "of my own" in (tmp_path / "results/study/figures/accuracy-vs-layer.svg").read_text()
    ran("report")
    assert "of my own" in (tmp_path / "results/study/report.html").read_text()
    assert "AnB.mine" in ran("compare", "results/study", "results/study/results.csv")
    forget()
    said = transfer("sweep", "--device", "cpu", "--treatments", "AnB.yours")
    assert said.code == 1 and said.err.startswith("Error: unknown treatment 'AnB.yours'; choose from base+,BnB,")
    assert said.err.endswith(",PnB.surgical,AnB.mine\n")

    changed = {**own, "phases": [{"train": "all"}]}
    (tmp_path / "changed.yaml").write_text(recipes.dump(with_own(changed, **plan)))
    (tmp_path / "gone.yaml").write_text(recipes.dump(with_own(**{**plan, "treatments": ["AnB"]})))
    for name in ("changed", "gone"):
        forget()
        said = transfer("sweep", "--device", "cpu", "--recipe", f"{name}.yaml")
        refused = "Error: results/study holds networks of AnB.mine as its recipe defines it, which tiny does not; "
        assert said == (1, "", f"{refused}call yours otherwise, or start a new study: --study DIR\n")
    ran("verify")

    other = Study(tmp_path / "other")
    transfercli.split(other, recipe=str(tmp_path / "changed.yaml"))
    transfercli.train_base(other, device="cpu")
    transfercli.sweep(other, device="cpu")
    with pytest.raises(TransferError, match=r"AnB\.mine is one treatment in .* and another in .*: they cannot be compared"):
        transfercli.compare(Study("results/study"), other.root)
    assert transfercli.verify(Study("results/study"), device="cpu").problems == [], "which has its own again"


def test_a_row_says_how_it_was_treated_and_another_definition_does_not_go_on(split_study: Study) -> None:
    split_study.write_recipe(with_own(MINE, treatments=["AnB.mine"]))
    train(split_study, bases([SPLIT], [0]), CPU, None, silent())
    train(split_study, of("A3B.mine"), CPU, None, silent())
    split_study.write_recipe(with_own({**MINE, "slower": 2.0}, treatments=["AnB.mine"]))
    with pytest.raises(TransferError, match=r"A3B\.mine was trained by another treatment AnB\.mine than there is now"):
        train(split_study, of("A3B.mine"), CPU, None, silent())


def test_looks_of_ways_are_told_apart() -> None:
    """By marker and hue from each other; the shade says where the layers come from."""
    markers = {word: {look(f"{letter}nB.{word}").marker for letter in "AB"} for word in TUNINGS}
    assert all(len(one) == 1 for one in markers.values()) and len({str(one) for one in markers.values()}) == len(TUNINGS)
    assert len({look(name).color for name in TREATMENTS if "." in name}) == 3 * len(TUNINGS)


# -- the page and its charts

DOCS = Path(__file__).parents[1] / "docs"


def test_the_charts_of_the_page_are_up_to_date_and_all_shown(tmp_path: Path) -> None:
    drawn = transfercli.draw_treatments(tmp_path)
    there = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "treatments").iterdir()}
    assert there == {path.name: path.read_text(encoding="utf-8") for path in drawn}, "transfer treatments --draw docs/treatments"
    page = (DOCS / "treatments.md").read_text(encoding="utf-8")
    assert sorted(unquote(name) for name in re.findall(r"\(treatments/(.*?)\)", page)) == sorted(there)
    assert {name for name in TREATMENTS if "." not in name} <= {*re.findall(r"`([A-Za-z+]+)`", page)}
    rows = [f"| {one.name} | `{one.treatment}` | {one.n} | {one.reference} |" for one in STRATEGIES]
    assert "\n".join(rows) in page


def test_the_pages_recipes_are_such() -> None:
    page = (DOCS / "treatments.md").read_text(encoding="utf-8")
    patient, fair, said = map(yamltext.parse, re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    values = yamltext.merge(tiny_recipe().model_dump(mode="json", exclude_none=True), {**fair, "targets": ["B"]})
    planned = [network.name for network in recipes.validate(values, "fair").planned()]
    assert {f"A7B{word}@rate=3.0" for word in ("", "+", ".keep", ".chain-thaw", ".lp-ft")} < {*planned}
    assert "baseB@rate=0.3" in planned and "baseA@rate=0.3" not in planned
    plain = tiny_recipe().model_dump(mode="json", exclude_none=True)
    assert recipes.validate(yamltext.merge(plain, patient), "patient").planned()
    thaw, chain_thaw = (resolve(named("x", 0, f"A5B.{word}"), 8) for word in ("thaw", "chain-thaw"))
    assert [stage.layers for stage in thaw.stages] == [stage.layers for stage in chain_thaw.stages]
    assert [(stage.patient, stage.rate) for stage in thaw.stages] == [(True, 10), *[(True, 1)] * 5, (False, 1)]
    training = {**plain["training"], **said["training"], "steps": 1000}
    with_own(*said["own_treatments"], treatments=said["treatments"], training=training)
    ulmfit, gradual = (resolve(named("x", 0, f"A5B.{word}"), 8) for word in ("ulmfit", "gradual"))
    assert ulmfit.stages == gradual.stages and ulmfit.rates == resolve(named("x", 0, "A5B.discriminative"), 8).rates


def cells(svg: str) -> list[tuple[float, float, float, str]]:
    """Of each cell of a chart: x, width, y, colour."""
    found = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="20" fill="(#\w+)"', svg)
    return [(float(x), float(width), float(y), color) for x, y, width, color in found]


def test_a_chart_shows_what_learns_when() -> None:
    drawn = cells(chart(TREATMENTS["AnB.lp-ft"], depth=3, n=2))
    lower = [(x, width, color) for x, width, y, color in drawn if y == max(y for _, _, y, _ in drawn)]  # layer 1
    assert lower == [(LEFT, WIDTH / 2, COPIED_COLORS[1]), (LEFT + WIDTH / 2, WIDTH / 2, COPIED_COLORS[0])]
    upper = [color for _, _, y, color in drawn if y == min(y for _, _, y, _ in drawn)]
    assert upper == [NEW[0]] * 2
    assert len(drawn) == 6
    with_own({**MINE, "phases": [{"train": "new", "until": 25}, {"train": "all", "rate": 0.5}], "slower": 2})
    own = chart(TREATMENTS["AnB.mine"], steps=100)
    assert {width for _, width, _, _ in cells(own)} == {WIDTH / 4, 3 * WIDTH / 4}
    assert "rate × 0.5" in own and own.count("÷ ") == 7 and "A5B.mine" in own


def test_the_command_lists_and_draws(transfer: Callable[..., Said], tmp_path: Path) -> None:
    said = transfer("treatments")
    assert said.code == 0 and all(name in said.out for name in TREATMENTS) and "LP-FT" in said.out
    drawn = transfer("treatments", "--draw", "charts")
    assert drawn.code == 0 and "charts/AnB.lp-ft.svg" in drawn.out.replace("\\", "/")
    assert len(list((tmp_path / "charts").iterdir())) == len(drawn.out.splitlines())
