"""transfer layers"""

import click

from transfercli.cli.options import complete_recipe, json_option, set_option


@click.command(short_help="The layers of a recipe's network.")
@click.argument("name", metavar="RECIPE", shell_complete=complete_recipe)
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
    import torch

    from transfercli.cli import show
    from transfercli.networks.layers import describe
    from transfercli.networks.start import build
    from transfercli.recipe import reading as recipes

    recipe = recipes.find(name, overrides)
    pictures = recipe.pictures
    taken = pictures.builtin.classes if pictures.builtin else pictures.classes
    half = classes or (taken // 2 if taken else 500)
    with torch.device("meta"):
        network = build(recipe, half)
    found = describe(network, pictures.crop)
    if as_json:
        keys = ("layer", "name", "modules", "shape", "parameters", "multiply_adds")
        show.document([{key: row[key] for key in keys} for row in found])
        return
    show.paragraph(f"{recipe.name}: {recipe.network.name}, pictures of {pictures.crop}×{pictures.crop}, {half} classes in a half")
    click.echo()
    show.layers(found)
