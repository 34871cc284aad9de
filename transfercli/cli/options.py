"""Flags that commands share, and how they find the study and its recipe."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from transfercli.errors import TransferError

if TYPE_CHECKING:
    from transfercli.recipe import Recipe
    from transfercli.study import Study

F = TypeVar("F", bound=Callable[..., Any])


def study_options(command: F) -> F:
    """`--study`, `--recipe`, `--set` and `--smoke`."""
    for option in (
        click.option("--smoke", is_flag=True, help="The same study so small that it ends in seconds, in STUDY-smoke."),
        click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change one key of the recipe; repeatable."),
        click.option("--recipe", metavar="NAME|FILE", help="The recipe (see: transfer recipes); by default the study's own."),
        click.option(
            "--study",
            "folder",
            type=click.Path(file_okay=False, path_type=Path),
            envvar="TRANSFER_STUDY",
            default=Path("results/study"),
            show_default=True,
            show_envvar=True,
            help="The study's folder.",
        ),
    ):
        command = option(command)
    return command


def device_options(command: F) -> F:
    """`--device` and `--bank-size`."""
    for option in (
        click.option(
            "--bank-size",
            type=click.IntRange(1),
            help="How many networks train side by side; by default as many as fit in memory.",
        ),
        click.option(
            "--device",
            metavar="auto|cpu|cuda|cuda:1|mps",
            default="auto",
            show_default=True,
            callback=_check_device,
            help="Where to train; auto is CUDA where there is one.",
        ),
    ):
        command = option(command)
    return command


def parsed(parse: Callable[[str], Any]) -> Callable[..., Any]:
    """A click callback that parses a flag's text; what cannot be read is a wrong flag (exit code 2)."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except TransferError as error:
            raise click.BadParameter(str(error), ctx, param) from None

    return callback


def _check_device(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", value):
        raise click.BadParameter(f"{value!r} is not one of auto, cpu, cuda, cuda:N, mps")
    return value


def study_at(folder: Path, smoke: bool) -> "Study":
    """The study of these flags; a smoke run has a folder of its own and never touches the real one."""
    from transfercli.study import Study

    return Study(folder.with_name(f"{folder.name}-smoke") if smoke else folder)


def settle_recipe(
    study: "Study", name: str | None, overrides: tuple[str, ...], smoke: bool, default: str | None = None
) -> "Recipe":
    """The recipe that a command works by: the study's own, or the one asked for if nothing was made by another yet.

    Nothing is written. Raises TransferError where the study has no recipe and none was named, and where the study was made
    by a recipe that would give other numbers.
    """
    from transfercli import recipe as recipes

    own = study.recipe() if study.recipe_file.exists() or not (name or default) else None
    if own and not name and not overrides:
        return own
    if own and not name:
        wanted = recipes.load(recipes.dump(own), f"the recipe of {study.root}", overrides)
    else:
        wanted = recipes.find(name or default or "", overrides)
        wanted = wanted.smoke() if smoke else wanted
    if own and (changed := recipes.differences(own, wanted)):
        made = [row["network"] for row in study.rows()]
        splits = study.split_names() if any(key.startswith("pictures.") for key in changed) else []
        if made or splits:
            raise TransferError(
                f"{study.root} was made by another recipe ({own.name}): {'; '.join(changed[:5])}; "
                "start a new study: --study DIR"
            )
    return wanted
