"""What a bank takes of memory, against what `transfer plan` says of it before anything runs; JSON.

    python -m benchmarks.memory demo --set network=torchvision/resnet18 --set pictures.size=64 --set pictures.crop=64 --networks 8

Measured is how much the process's peak grows over three steps on random pictures, in float32 on the CPU.
"""

import json
import resource
import sys

import click
import torch

from transfercli.networks.catalogue import settled
from transfercli.plan.networks import bases, transfers
from transfercli.recipe import reading as recipes
from transfercli.system.devices import reproducible
from transfercli.training import cost, measuring

STEPS, CLASSES = 3, 100


@click.command(help=__doc__)
@click.argument("name")
@click.option("--set", "overrides", multiple=True)
@click.option("--networks", "count", default=8, show_default=True, help="How many train side by side.")
def main(name: str, overrides: tuple[str, ...], count: int) -> None:
    recipe, cpu = settled(recipes.find(name, overrides)), torch.device("cpu")
    swept = transfers(["random-0"], [0], ["B"], recipe.swept, recipe.treatments)
    networks = [*bases(["random-0"], [0], ["B"]), *swept][:count]
    with reproducible(cpu):
        warm = measuring.bank_of_noise(networks[:1], _of_two(recipe), CLASSES, cpu, torch.float32)  # what torch itself takes
        warm.step()
        warm.close()
        before = _peak()
        bank = measuring.bank_of_noise(networks, recipe, CLASSES, cpu, torch.float32)
        for _ in range(STEPS):
            bank.step()
        measured = _peak() - before
    predicted = cost.bank_bytes(len(networks), recipe, cost.Layers.of(recipe, CLASSES), cost.at_once(cpu))
    told = {"network": recipe.network.name, "batch": recipe.training.batch, "networks": len(networks)}
    print(json.dumps({**told, "predicted": predicted, "measured": measured, "ratio": round(predicted / measured, 3)}))


def _of_two(recipe: recipes.Recipe) -> recipes.Recipe:
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"batch": 2})})


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
