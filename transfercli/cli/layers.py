"""transfer layers"""

import click


@click.command(short_help="The layers of a recipe's network.")
@click.argument("recipe_name", metavar="RECIPE")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Change one key of the recipe; repeatable.")
@click.option("--classes", type=click.IntRange(2), default=500, show_default=True, help="How many classes a half has.")
def layers(recipe_name: str, overrides: tuple[str, ...], classes: int) -> None:
    """Print the learnable layers of a recipe's network: what n counts.

    A layer is a convolution or fully connected module with all that follows it up to the next one.

    \b
        transfer layers yosinski2014
    """
    import torch

    from transfercli import recipe as recipes
    from transfercli.cli import show
    from transfercli.networks import describe
    from transfercli.treatments import build

    recipe = recipes.find(recipe_name, overrides)
    with torch.device("meta"):
        network = build(recipe, classes)
    show.layers(describe(network, recipe.pictures.crop), recipe.name)
