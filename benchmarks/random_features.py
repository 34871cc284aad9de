"""What networks on random frozen features learn, and how many of their units are alive, without and with adaptive clipping.

python -m benchmarks.random_features                                   # the built-in pictures of the demo
python -m benchmarks.random_features --recipe tiny-imagenet-cpu DIR --clip none,0.16
ONEDNN_MAX_CPU_ISA=AVX2 python -m benchmarks.random_features --precision bfloat16,float32

Alive: the share of positive outputs of a layer's ReLU, over up to 500 training pictures without dropout. A share near 0 means
that the units are dead: their input is below zero for every picture, no gradient reaches them, and the network can only guess.
"""

import os
import tempfile
from pathlib import Path

import click
import torch
from torch import nn

from transfercli import split
from transfercli.networks.modules import Dropout
from transfercli.pictures.stream import centre_crop, normalise
from transfercli.plan.networks import Network
from transfercli.recipe import reading as recipes
from transfercli.study.folder import Study
from transfercli.system.devices import device_name, reproducible
from transfercli.training.bank import Bank
from transfercli.training.bench import Bench
from transfercli.training.member import Member

PICTURES = 500


def alive(bank: Bank, member: Member) -> dict[str, float]:
    """By ReLU, the share of positive outputs."""
    source = bank.train[member.network.target]
    count = min(PICTURES, len(source))
    batch = centre_crop(source, torch.arange(count) * len(source) // count)
    x, shares = normalise(batch, bank.setting.means[member.resolved.input], bank.recipe.pictures), {}
    with torch.no_grad(), bank.setting.autocast():
        for name, module in member.module.named_children():
            was = module.training
            x = x if isinstance(module, Dropout) else module.eval()(x)
            module.train(was)
            if isinstance(module, nn.ReLU):
                shares[name] = float((x > 0).float().mean())
    return shares


@click.command(help=__doc__)
@click.argument("directory", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--recipe", default="demo", show_default=True)
@click.option("--clip", default="none,0.08", show_default=True, help="Values of training.adaptive_clip.")
@click.option("--precision", default="bfloat16,float32", show_default=True)
@click.option("--seeds", default="0,1,2", show_default=True)
@click.option("--layers", default="4,5,6,7", show_default=True)
@click.option("--targets", default="B", show_default=True)
def main(directory: Path | None, recipe: str, clip: str, precision: str, seeds: str, layers: str, targets: str) -> None:
    cpu = torch.device("cpu")
    print(f"{device_name(cpu)}, torch {torch.__version__}, ONEDNN_MAX_CPU_ISA={os.environ.get('ONEDNN_MAX_CPU_ISA', '')}")
    print("| precision | clip | network, seed | top-1 | training loss | alive in fc6 | in fc7 |")
    print("|---|---|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder, reproducible(cpu):
        study = Study(Path(folder) / "study")
        split(study, directory, recipe=recipe)
        for share in clip.split(","):
            made = recipes.load(
                recipes.dump(study.recipe()), recipe, [f"training.adaptive_clip={'null' if share == 'none' else share}"]
            )
            for kind in precision.split(","):
                bench = Bench(study, made, study.halves("random-0"), cpu, getattr(torch, kind))
                for seed in map(int, seeds.split(",")):
                    networks = [
                        Network("random-0", seed, "RnB", int(n), t) for t in targets.split(",") for n in layers.split(",")
                    ]
                    bank = bench.bank(networks)
                    before = {m.network: alive(bank, m) for m in bank.members}
                    while bank.step_number < bank.steps and bank.live:
                        bank.step()
                    bank.evaluate()
                    for m in bank.members:
                        old, new, last = before[m.network], alive(bank, m), m.log[-1]
                        moved = [f"{old[name]:.2f} → {new[name]:.3f}" for name in ("relu6", "relu7")]
                        row = (
                            kind,
                            share,
                            f"{m.network.name}, {seed}",
                            f"{last['top1']:.3f}",
                            f"{last['train_loss']:.2f}",
                            *moved,
                        )
                        print(f"| {' | '.join(row)} |", flush=True)
                    bank.close()


if __name__ == "__main__":
    main()
