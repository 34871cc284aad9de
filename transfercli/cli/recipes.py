"""transfer recipes"""

from difflib import get_close_matches
from pathlib import Path

import click

from transfercli.cli.options import complete_recipe
from transfercli.study.hints import command
from transfercli.system.errors import TransferError


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
    from transfercli.recipe import reading as library

    show.table(("recipe", ""), [(name, library.find(name).about) for name in library.names()], "ll")
    click.echo()
    show.next_step("recipes", "show", "NAME")


@recipes.command()
@click.argument("name", shell_complete=complete_recipe)
def show(name: str) -> None:
    """Print a recipe as it is written.

    \b
        transfer recipes show demo
    """
    from transfercli.recipe import reading as library

    click.echo(library.text(name), nl=False)


@recipes.command()
@click.argument("name", shell_complete=complete_recipe)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
def copy(name: str, file: Path | None) -> None:
    """Write a recipe to FILE (by default NAME.yaml), to change it.

    \b
        transfer recipes copy demo mine.yaml
    """
    from transfercli.recipe import reading as library
    from transfercli.system.files import write_text

    text = library.text(name)
    file = file or Path(f"{Path(name).stem if name.endswith(('.yaml', '.yml')) else name}.yaml")
    if file.suffix not in (".yaml", ".yml"):
        raise TransferError(f"{file} does not end as a recipe does; name it {file}.yaml")
    if file.exists():
        raise TransferError(f"{file} is there already; choose another name: transfer recipes copy {name} FILE")
    pictures = () if library.load(text, f"recipe {name}").pictures.builtin else ("DIR",)
    write_text(file, text, f"transfer recipes copy {name} FILE")
    click.echo(f"Recipe: {file}\nNext: change it, then: {command('run', file, *pictures)}")


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
    from transfercli.recipe import keys as explained

    if markdown:
        click.echo(explained.markdown(), nl=False)
        return
    chosen = [key for key in explained.all_keys() if f"{key.path}.".startswith(f"{part}." if part else "")]
    if not chosen:
        near = get_close_matches(part, [key.path for key in explained.all_keys()], n=1, cutoff=0.8)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise TransferError(f"no recipe has a key {part!r}{meant}; see all: transfer recipes keys")
    for key in chosen:
        otherwise = key.otherwise if key.default is None else f"default: {key.default}"
        show.paragraph(f"{key.path}: {key.values} ({otherwise})".replace("`", ""))
        show.paragraph(key.meaning.replace("`", ""), "    ")
