"""Random resized crops of pictures in memory: `Stream.make` against torchvision's v2 transforms, by turns in one run.

python -m benchmarks.crops --recipe imagenet-fast
"""

from itertools import pairwise
from statistics import median

import click
import torch
from torchvision.transforms import v2 as transforms

from benchmarks.measure import Flags, Row, clock, options, record, show
from transfercli.pictures.stream import Stream
from transfercli.recipe import reading as recipes
from transfercli.system.devices import pick_device
from transfercli.system.threads import pool, processors
from transfercli.training.measuring import random_pictures

CHUNK = 16  # pictures a thread takes at a time


@click.command(help=__doc__)
@click.option("--rounds", default=15, show_default=True, help="Each a batch of either.")
@options("imagenet-fast")
def main(rounds: int, flags: Flags) -> None:
    device, threads = pick_device(flags.device), processors()
    torch.set_num_threads(1)  # as in the thread that makes a stream's batches
    recipe = recipes.find(flags.recipe, [*flags.overrides, "pictures.augment=random-resized-crop"])
    pictures, batch = recipe.pictures, recipe.training.batch
    source = random_pictures(2 * batch, 2, pictures, device)
    source.pool = pool(threads)
    stream = Stream(source, batch, ("bench",))
    assert source.kept is not None
    kept = source.kept.permute(0, 3, 1, 2)
    how = transforms.InterpolationMode(pictures.interpolation)
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(pictures.crop, pictures.scale, pictures.ratio, how),
            transforms.RandomHorizontalFlip(),
        ]
    )

    def several(start: int) -> list[torch.Tensor]:
        return [transform(kept[i]) for i in range(start, min(start + CHUNK, batch))]

    rates: list[tuple[float, float, float]] = []
    for t in range(rounds + 1):
        times = [clock(device)]
        stream.make(t)
        times.append(clock(device))
        made = [one for chunk in source.pool.map(several, range(0, batch, CHUNK)) for one in chunk]
        times.append(clock(device))
        torch.stack(made)
        times.append(clock(device))
        ours, alone, stacking = (after - before for before, after in pairwise(times))
        rates.append((batch / ours, batch / alone, batch / (alone + stacking)))
    del rates[0]  # it makes threads and buffers
    stream.close()
    one, alone, stacked = (median(rate) for rate in zip(*rates, strict=True))
    ratios = [median(rate[0] / rate[rival] for rate in rates) for rival in (1, 2)]
    label = flags.label or f"{device.type}, {pictures.size} to {pictures.crop}, {pictures.interpolation}"
    note = f"pictures in memory, batch {batch}, {threads} threads each, medians of {rounds} turns"
    show(
        f"{label}: random resized crops",
        ("", "pictures/s", "Stream.make is so many times as fast"),
        [
            ("Stream.make: a batch", one, ""),
            ("torchvision.transforms.v2, picture by picture", alone, ratios[0]),
            ("the same, and stacked to a batch", stacked, ratios[1]),
        ],
    )
    rows = [
        Row(f"{label}: random resized crops", one, "pictures/s", "", note),
        Row(
            f"{label}: random resized crops / torchvision.transforms.v2", ratios[0], "×", "", f"its pictures not stacked; {note}"
        ),
        Row(f"{label}: random resized crops / torchvision.transforms.v2, stacked", ratios[1], "×", "", note),
    ]
    record(rows, device, flags.dry)


if __name__ == "__main__":
    main()
