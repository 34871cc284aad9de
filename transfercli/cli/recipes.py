"""transfer recipes"""

from pathlib import Path

import click

import transfercli
from transfercli.cli.options import complete_recipe
from transfercli.recipe import shipped as library
from transfercli.study.hints import command


@click.group(invoke_without_command=True, short_help="List, show and copy recipes.")
@click.pass_context
def recipes(ctx: click.Context) -> None:
    """List the recipes; `show` prints one, `copy` makes a file of one to change, `keys` explains every key.

    \b
        transfer recipes
        transfer recipes show yosinski2014
        transfer recipes copy tiny-imagenet mine.yaml
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@recipes.command("list")
def list_() -> None:
    """List the recipes.

    \b
        transfer recipes list
    """
    from transfercli.cli import show

    listed = [(name, transfercli.find_recipe(name).about) for name in transfercli.recipe_names()]
    show.table(("recipe", ""), listed, "ll")
    click.echo()
    show.next_step("recipes", "show", "NAME")


@recipes.command()
@click.argument("name", shell_complete=complete_recipe)
def show(name: str) -> None:
    """Print a recipe as it is written.

    \b
        transfer recipes show demo
    """
    click.echo(library.text(name), nl=False)


@recipes.command()
@click.argument("name", shell_complete=complete_recipe)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
def copy(name: str, file: Path | None) -> None:
    """Write a recipe to FILE (by default NAME.yaml), to change it.

    \b
        transfer recipes copy demo mine.yaml
    """
    written = transfercli.copy_recipe(name, file)
    recipe = transfercli.find_recipe(str(written))
    pictures = () if recipe.pictures.builtin else ("DIR",)
    click.echo(f"Recipe: {written}\nNext: change it, then: {command('run', written, *pictures, recipe=recipe)}")


@recipes.command()
@click.argument("part", metavar="[KEY]", required=False, default="")
@click.option("--markdown", is_flag=True, help="Print the page docs/recipe-keys.md, of all keys.")
def keys(part: str, markdown: bool) -> None:
    """Explain every key of a recipe, or those of KEY: what it may be, its default, what it does.

    \b
        transfer recipes keys
        transfer recipes keys training.schedule
    """
    from transfercli.cli import show
    from transfercli.recipe.keys import markdown as page

    if markdown:
        click.echo(page(), nl=False)
        return
    for key in transfercli.recipe_keys(part):
        otherwise = key.otherwise if key.default is None else f"default: {key.default}"
        show.paragraph(f"{key.path}: {key.values} ({otherwise})".replace("`", ""))
        show.paragraph(key.meaning.replace("`", ""), "    ")
