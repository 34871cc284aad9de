"""transfer recipes"""

from pathlib import Path

import click

from transfercli.errors import TransferError


@click.group(invoke_without_command=True, short_help="List, show and copy recipes.")
@click.pass_context
def recipes(ctx: click.Context) -> None:
    """List the recipes; `show` prints one, `copy` makes a file of one to change.

    \b
        transfer recipes
        transfer recipes show yosinski2014
        transfer recipes copy tiny-imagenet mine.yaml
    """
    if ctx.invoked_subcommand is None:
        from transfercli import recipe as library

        for name in library.names():
            click.echo(f"{name:20} {library.find(name).about}")


@recipes.command()
@click.argument("name")
def show(name: str) -> None:
    """Print a recipe as it is written.

    \b
        transfer recipes show demo
    """
    from transfercli import recipe as library

    click.echo(library.text(name), nl=False)


@recipes.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
def copy(name: str, file: Path | None) -> None:
    """Write a recipe to FILE (by default NAME.yaml), to change it.

    \b
        transfer recipes copy demo mine.yaml
    """
    from transfercli import recipe as library
    from transfercli.study import write_text

    file = file or Path(f"{name}.yaml")
    text = library.text(name)
    if file.exists():
        raise TransferError(f"{file} is there already; choose another name")
    write_text(file, text)
    click.echo(f"Wrote {file}. Next: transfer run {file} DIR")
