"""Pictures and studies to measure with."""

import importlib.util
import itertools
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from transfercli.cli import COMMANDS
from transfercli.pictures.folder import scan
from transfercli.pictures.sources.source import ENDINGS
from transfercli.pictures.stream import Part
from transfercli.plan.networks import Network, transfers
from transfercli.recipe import reading as recipes
from transfercli.recipe import yamltext
from transfercli.recipe.schema import DEPTH, Recipe
from transfercli.study.choosing import halve, halves_of, pictures_of, take
from transfercli.study.folder import Study
from transfercli.study.splits import Halves

SPLIT, SEED, TARGET = "random-0", 0, "B"
TREATMENTS = ("BnB", "BnB+", "AnB", "AnB+")


def sweep_networks(layers: Iterable[int] = range(1, DEPTH["caffenet"])) -> list[Network]:
    """The 28 networks: n = 1..7 × four treatments, target B; or with other n."""
    return transfers([SPLIT], [SEED], [TARGET], layers, TREATMENTS)


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    """The recipe with so many steps, its networks measured at the first and the last."""
    changes: dict[str, Any] = {
        "training": {"steps": steps, "epochs": None},
        "evaluation": {"every": steps, "times": None},
        "splits": [SPLIT],
        "targets": [TARGET],
        "seeds": [SEED],
    }
    return recipes.validate(yamltext.merge(recipe.model_dump(mode="json"), changes), recipe.name)


def new_study(root: Path, recipe: Recipe, pictures: Path) -> tuple[Study, Halves]:
    """What `transfer split` makes, without its check of every picture."""
    study, whole = Study(root), scan(pictures)
    split = halve(whole.classes, SPLIT, recipe.pictures.classes)
    halves = halves_of(study, take(whole, split, recipe.pictures), split)
    study.write_recipe(recipe)
    study.write_halves(halves)
    return study, halves


def training_part(study: Study, halves: Halves, recipe: Recipe) -> Part:
    """The training pictures of the target half."""
    folder = pictures_of(study, halves, recipe.pictures)
    return Part.of(folder.root, folder.train, halves.split.classes(TARGET), folder.source)


def files_of(samples: Path) -> dict[str, list[Path]]:
    """The pictures of a folder with a folder per class."""
    classes = {
        folder.name: sorted(file for file in folder.iterdir() if file.name.lower().endswith(ENDINGS))
        for folder in sorted(samples.iterdir())
        if folder.is_dir()
    }
    return {name: files for name, files in classes.items() if files}


def repeated(samples: Path, into: Path, classes: int | None, train: int, val: int) -> Path:
    """A folder with train/ and val/ of so many pictures per class: links to the samples, each as often as needed."""
    for name, files in itertools.islice(files_of(samples).items(), classes):
        for part, count in (("train", train), ("val", val)):
            folder = into / part / name
            folder.mkdir(parents=True)
            for number, file in zip(range(count), itertools.cycle(files), strict=False):
                (folder / f"{number:06}-{file.name}").symlink_to(file.resolve())
    return into


def per_class(samples: Path, recipe: Recipe, steps: int) -> tuple[int, int]:
    """How many classes, and training pictures of each, make one epoch of the target half last so many steps."""
    classes = min(len(files_of(samples)), recipe.pictures.classes or len(files_of(samples)))
    return classes, -(-steps * recipe.training.batch // (classes // 2))


def can_pack() -> bool:
    """Whether the packed store can be measured; says so where not."""
    if "pack" in COMMANDS and importlib.util.find_spec("pyarrow"):
        return True
    click.echo("The packed store is left out: it needs `transfer pack` and pyarrow.", err=True)
    return False


def pack(pictures: Path, out: Path, recipe: Recipe, encoding: str) -> None:
    """`transfer pack`, whose time counts nowhere: it is done once for all studies."""
    size, fit = str(recipe.pictures.size), recipe.pictures.fit
    words = ["pack", str(pictures), "--out", str(out), "--size", size, "--fit", fit, "--encoding", encoding]
    subprocess.run([sys.executable, "-m", "transfercli", *words], check=True)
