"""transfer layers"""

import click

import transfercli
from transfercli.cli import show
from transfercli.cli.options import complete_recipe, json_option, set_option


@click.command(short_help="The layers of a recipe's network.")
@click.argument("name", metavar="RECIPE|NETWORK", shell_complete=complete_recipe)
@click.option(
    "--classes",
    metavar="K",
    type=click.IntRange(2),
    help="How many classes a half has; by default as the recipe says, else 500, half of ImageNet's.",
)
@set_option
@json_option
def layers(name: str, classes: int | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print the learnable layers of a recipe's network: what n counts.

    A layer is a convolution or fully connected module with all that follows it up to the next one.
    Output and multiply-adds are those of one picture.

    \b
        transfer layers yosinski2014
        transfer layers yosinski2014 --json
    """
    found = transfercli.layers(name, classes, overrides=overrides)
    if as_json:
        show.document(found.rows)
        return
    recipe, crop = found.recipe, found.recipe.pictures.crop
    for net, one in recipe.each().items():
        called = f"{net}: {one.network.name}" if net else f"{recipe.name}: {one.network.name}"
        show.paragraph(f"{called}, pictures of {crop}×{crop}, {found.classes} classes in a half")
        click.echo()
        show.layers([row for row in found.rows if row.get("net", "") == net])
