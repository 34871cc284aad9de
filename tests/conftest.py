"""A study so small that it trains in seconds: 8 classes of 8 pictures, networks a few channels wide, float32 on the CPU."""

import os
import shutil
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch

from transfercli.cli import main
from transfercli.networks.start import Source, digest, start
from transfercli.pictures import formula
from transfercli.pictures.decode import Place, examine
from transfercli.pictures.folder import PictureFolder, scan
from transfercli.pictures.stream import Part, Pixels
from transfercli.plan.networks import Network, base, bases, transfers
from transfercli.plan.resolve import resolve
from transfercli.plan.tasks import HALVES
from transfercli.plan.treatments import USUAL
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Pictures, Recipe
from transfercli.study.choosing import halve, halves_of, take
from transfercli.study.folder import Study
from transfercli.study.splits import Halves
from transfercli.training.bank import Bank
from transfercli.training.reporter import Reporter
from transfercli.training.train import train

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    sync_playwright = None  # type: ignore[assignment]
if TYPE_CHECKING:
    from playwright.sync_api import Browser

CPU = torch.device("cpu")
SANS = 'Arial, "Liberation Sans"'  # with others the page's lines have other lengths
WIDTH = """(font) => {
    const context = document.createElement("canvas").getContext("2d");
    context.font = `16px ${font}`;
    return context.measureText("mmmiii").width;
}"""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SPLIT = "random-0"
CLASSES, TRAIN, VAL, SIZE = 8, 8, 5, 14  # pictures are counted per class; a half has 32 to train on and 20 to be measured on

# The batches divide neither the training nor the validation pictures.
TINY: dict[str, Any] = {
    "name": "tiny",
    "splits": [SPLIT],
    "targets": ["A", "B"],
    "pictures": {"size": SIZE, "crop": 12, "mean": "image", "divide": 64},
    "network": {"name": "small", "widths": [4, 4, 6, 6, 4, 8, 8]},
    "training": {
        "steps": 5,
        "batch": 9,
        "schedule": {"name": "step", "rate": 0.1, "gamma": 0.1, "every": 3},
        "velocity": "caffe",
        "bias_rate": 2,
        "precision": "float32",
    },
    "evaluation": {"every": 2, "batch": 11},
}
# What may be swept, in the order of the table.
SWEPT = (
    *("base+", "BnB", "BnB+", "AnB", "AnB+", "RnB", "PnB", "PnB+"),
    *("BnB.keep", "AnB.keep", "PnB.keep"),
    *("BnB.chain-thaw", "AnB.chain-thaw", "PnB.chain-thaw"),
    *("BnB.gradual", "AnB.gradual", "PnB.gradual"),
    *("BnB.discriminative", "AnB.discriminative", "PnB.discriminative"),
    *("BnB.lp-ft", "AnB.lp-ft", "PnB.lp-ft"),
    *("BnB.surgical", "AnB.surgical", "PnB.surgical"),
)
ADAMW = {
    "optimizer": "adamw",
    "velocity": "pytorch",
    "weight_decay": 0.1,
    "schedule": {"name": "cosine", "rate": 0.01, "peak": 0.3},
}


def tiny_recipe(changes: Mapping[str, Mapping[str, Any]] | None = None) -> Recipe:
    """The tiny recipe with changes by section, such as {"training": {"steps": 3}}."""
    return recipes.validate({**TINY, **{key: {**TINY[key], **value} for key, value in (changes or {}).items()}}, "tiny")


def sweep(targets: Iterable[str] = ("B",)) -> list[Network]:
    """The 28 networks of the paper's sweep and the 7 of random features, for each target."""
    return transfers([SPLIT], [0], list(targets), range(1, 8), USUAL)


@dataclass(frozen=True, eq=False)
class Tiny:
    """A study's folder as `transfer split` leaves it, and what banks are made from."""

    study: Study
    halves: Halves
    folder: PictureFolder
    sources: dict[tuple[str, str, Pictures, torch.device], Pixels] = field(default_factory=dict)

    def pixels(self, half: str, part: str, recipe: Recipe, device: torch.device = CPU) -> Pixels:
        key = (half, part, recipe.pictures, device)
        if key not in self.sources:
            files = self.folder.train if part == "train" else self.folder.val
            pictures = Part.of(self.folder.root, files, self.halves.split.classes(half))
            self.sources[key] = Pixels(pictures, recipe.pictures, device, 1)
        return self.sources[key]

    def bank(self, networks: Iterable[Network], recipe: Recipe, threads: int = 1, device: torch.device = CPU) -> Bank:
        """A bank whose bases are as they were drawn: layers need not have learned anything to be copied."""
        networks = list(networks)
        targets = sorted({n.target for n in networks})
        depth = recipe.network.depth
        bases = [resolve(base(SPLIT, 0, half), depth) for half in HALVES]
        drawn = {one.network.name: Source.of(start(recipe, one, CLASSES // 2, {}).state_dict()) for one in bases}
        return Bank(
            recipe,
            {n: start(recipe, resolve(n, depth), CLASSES // 2, drawn) for n in networks},
            {t: self.pixels(t, "train", recipe, device) for t in targets},
            {t: self.pixels(t, "val", recipe, device) for t in targets},
            {half: self.pixels(half, "train", recipe).mean_image() for half in HALVES},
            recipe.training.length(CLASSES // 2 * TRAIN),
            device,
            torch.float32,
            threads,
        )


def run(bank: Bank) -> Bank:
    """Train and measure a bank to its last step."""
    measured_at = bank.recipe.evaluation.at(bank.steps)
    while True:
        if bank.step_number in measured_at:
            bank.evaluate()
        if bank.step_number == bank.steps:
            return bank
        bank.step()


def numbers(bank: Bank) -> dict[str, dict[str, str]]:
    """All that a bank has made of each network, to the bit: a digest of each tensor, and the log as text (NaN is not itself)."""
    made = {}
    for member in bank.members:
        state = member.module.state_dict()
        made[member.network.name] = {name: digest(state, [name])[:12] for name in state} | {"log": repr(member.log)}
    return made


def with_slow(values: Iterable[Any], slow: Collection[Any]) -> list[Any]:
    """The values of a parameter; the tests of these are marked slow."""
    return [pytest.param(value, marks=[pytest.mark.slow] * (value in slow)) for value in values]


def unreadable(root: Place, paths: Sequence[str], threads: int = 1, progress: Callable[[int], None] = int) -> dict[str, str]:
    """Which of these pictures cannot be decoded, and why."""
    return {path: one for path, one in examine(root, paths, threads, progress) if isinstance(one, str)}


def silent(advance: Callable[[int], None] = lambda count: None, said: list[str] | None = None) -> Reporter:
    return Reporter(lambda count: None, advance, lambda text: None if said is None else said.append(text), advance)


# What pytest sets, and libraries (torch's compiler, Ray, OpenCV) once and for good where they are first imported.
BY_OTHERS = {"PYTEST_CURRENT_TEST", "TORCHINDUCTOR_CACHE_DIR", "RAY_CLIENT_MODE", "LD_LIBRARY_PATH"}


def of_the_process() -> dict[str, Any]:
    """What all tests of a process have in common."""
    names = os.environ.keys() - BY_OTHERS
    return {
        **{"environment": {name: os.environ[name] for name in names}, "folder": os.getcwd(), "threads": torch.get_num_threads()},
        **{"deterministic": torch.are_deterministic_algorithms_enabled(), "numbers": torch.get_default_dtype()},
        **{number.name: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)},
    }


@pytest.fixture(autouse=True)
def the_process_stays_as_it_was() -> Iterator[None]:
    """Or another test stumbles, on some machines, over what one has left behind: whichever comes next in that process."""
    before = of_the_process()
    yield
    assert of_the_process() == before


@pytest.fixture(scope="session", autouse=True)
def bases_may_guess() -> Iterator[None]:
    """Networks of a step or two are no better than chance; only the tests that ask for it want to hear of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfercli.training.finish.SIGMAS", -1000)
        yield


@pytest.fixture
def bases_must_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfercli.training.finish.SIGMAS", 3)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny study, split. For banks; to write into, take `split_study` or `study`."""
    study = Study(tmp_path_factory.mktemp("tiny") / "study")
    formula.write(study.root / "pictures", CLASSES, TRAIN, VAL, SIZE, seed=0)
    recipe = tiny_recipe()
    whole = scan(study.root / "pictures")
    folder = take(whole, halve(whole.classes, SPLIT), recipe.pictures)
    halves = halves_of(study, folder, halve(whole.classes, SPLIT))
    study.write_recipe(recipe)
    study.write_halves(halves)
    return Tiny(study, halves, folder)


@pytest.fixture(scope="session")
def trained(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The tiny study with its two bases trained. Only to copy: see `study`."""
    study = Study(tmp_path_factory.mktemp("trained") / "study")
    shutil.copytree(tiny.study.root, study.root)
    train(study, bases([SPLIT], [0]), CPU, None, silent())
    return study


@pytest.fixture(scope="session")
def swept(trained: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The tiny study with all its networks, trained in one go in one bank on one thread. Only to compare with."""
    study = Study(tmp_path_factory.mktemp("swept") / "study")
    shutil.copytree(trained.root, study.root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("transfercli.training.bench.processors", lambda: 1)
        train(study, sweep("AB"), CPU, 100, silent())
    return study


@pytest.fixture
def split_study(tiny: Tiny, tmp_path: Path) -> Study:
    """A copy of the tiny study as `transfer split` leaves it."""
    return Study(shutil.copytree(tiny.study.root, tmp_path / "split" / "study"))


@pytest.fixture
def study(trained: Study, tmp_path: Path) -> Study:
    """A copy of the tiny study with its bases."""
    return Study(shutil.copytree(trained.root, tmp_path / "study"))


class Said(NamedTuple):
    """What a command did: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def transfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Type a command in the test's own folder, in this process: `transfer("split", "pictures")`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRANSFER_STUDY", raising=False)

    def typed(*words: str | Path) -> Said:
        code = 0
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            code = int(end.code or 0)
        return Said(code, *capsys.readouterr())

    return typed


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """The one Chromium of a session: Playwright opens only once in a thread."""
    lacking(sync_playwright is None, "playwright")
    lacking(CHROMIUM is None, "Chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = opened.new_page()
        with_font, without = (page.evaluate(WIDTH, font) for font in (f"{SANS}, monospace", "monospace"))
        lacking(with_font == without, f"a font that the page names ({SANS}; Debian's fonts-liberation)")
        page.close()
        yield opened
        opened.close()


def lacking(it: bool, what: str) -> None:
    """Skip a test of the page; in CI, which must see it, fail."""
    if it and os.environ.get("CI"):
        pytest.fail(f"{what} is not installed, and CI must see the page")
    if it:
        pytest.skip(f"{what} is not installed")
