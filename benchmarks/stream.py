"""Pictures per second of a stream, from full-size JPEGs, from the packed store and from memory, against the bare decoder.

python -m benchmarks.stream --samples /data/full-size-jpegs --recipe imagenet-fast
"""

import itertools
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import torch
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional

from benchmarks import samples
from benchmarks.measure import Flags, Row, clock, figure, options, record, show
from transfercli.pictures import stream
from transfercli.pictures.stream import AHEAD, Stream
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.study.folder import Study
from transfercli.system.devices import pick_device, pick_precision
from transfercli.system.threads import pool, processors
from transfercli.training.bench import Bench

CHUNK = 16  # pictures a thread takes at a time: handing out single ones costs


def streamed(pictures: Path, study: Path, recipe: Recipe, device: torch.device, batches: int, in_memory: bool) -> float:
    """Pictures per second through `Stream.batch`, nothing else at work."""
    share, stream.MEMORY_SHARE = stream.MEMORY_SHARE, 1.0 if in_memory else 0.0
    try:
        halves = samples.new_study(study, recipe, pictures)[1]
        bench = Bench(Study(study), recipe, halves, device, pick_precision(recipe.training.precision, device))
        batch = Stream(bench.pixels(samples.TARGET, "train"), recipe.training.batch, ("bench",)).batch
    finally:
        stream.MEMORY_SHARE = share
    for t in range(AHEAD + 1):  # those made ahead are gone, so that as many are made as are taken
        batch(t)
    began = clock(device)
    for t in range(AHEAD + 1, AHEAD + 1 + batches):
        batch(t)
    return batches * recipe.training.batch / (clock(device) - began)


def bare(encoded: Sequence[torch.Tensor], work: Callable[[torch.Tensor], object], seconds: float) -> float:
    """Pictures per second of `work` alone, on files in memory, in as many threads as there are processors."""
    device, chunks = torch.device("cpu"), [encoded[i : i + CHUNK] for i in range(0, len(encoded), CHUNK)]

    def several(chunk: Sequence[torch.Tensor]) -> int:
        return len([work(one) for one in chunk])

    done = 0
    with pool(processors()) as workers:
        list(workers.map(several, chunks[: 2 * processors()]))
        began = clock(device)
        while clock(device) - began < seconds:
            done += sum(workers.map(several, chunks))
        return done / (clock(device) - began)


def rgb(encoded: torch.Tensor) -> torch.Tensor:
    return decode_jpeg(encoded, mode=ImageReadMode.RGB)


def bytes_of(files: Sequence[Path]) -> list[torch.Tensor]:
    return [torch.frombuffer(bytearray(file.read_bytes()), dtype=torch.uint8) for file in files]


def stored(root: Path, most: int) -> list[torch.Tensor]:
    """JPEGs of a store, as they lie in it."""
    from transfercli.pictures.store import Store

    store = Store.open(root)
    paths = itertools.islice(itertools.chain.from_iterable(store.train.values()), most)
    return [torch.frombuffer(bytearray(store.stored(int(row)).tobytes()), dtype=torch.uint8) for row in store.rows(paths)]


def nvjpeg(encoded: list[torch.Tensor], device: torch.device, seconds: float) -> float | None:
    """Pictures per second of the GPU's decoder, which torchvision may have been built without."""
    try:
        decode_jpeg(encoded, mode=ImageReadMode.RGB, device=device)
    except RuntimeError as error:
        click.echo(f"No nvJPEG: {error}", err=True)
        return None
    done, began = 0, clock(device)
    while clock(device) - began < seconds:
        done += len(decode_jpeg(encoded, mode=ImageReadMode.RGB, device=device))
    return done / (clock(device) - began)


@click.command(help=__doc__)
@click.option("--samples", "folder", required=True, type=click.Path(exists=True, path_type=Path), help="A folder per class.")
@click.option("--batches", default=12, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="For each of the bare decoder's measures.")
@click.option("--target", default="", help="What the packed store must reach of the bare decoder with resize.")
@click.option("--jpeg-target", default="", help="What a store of JPEGs must reach of their bare decoder, which cuts nothing.")
@options("imagenet-fast")
def main(folder: Path, batches: int, seconds: float, target: str, jpeg_target: str, flags: Flags) -> None:
    device = pick_device(flags.device)
    recipe = samples.with_steps(recipes.find(flags.recipe, flags.overrides), batches)
    size, fit, label = recipe.pictures.size, recipe.pictures.fit, flags.label or f"{device.type}, {flags.recipe}"
    sides = [size, size] if fit == "warp" else [size]
    files = bytes_of([file for files in samples.files_of(folder).values() for file in files])
    decoded = bare(files, rgb, seconds)
    resized = bare(files, lambda one: functional.resize(rgb(one), sides, antialias=True), seconds)
    threads = f"{processors()} threads"
    lines: list[tuple[str, float, object, str]] = [
        (f"decoder alone, {threads}", decoded, "", ""),
        (f"decoder and resize to {size}, {threads}: the limit", resized, 1.0, ""),
    ]
    rows = [
        Row(f"{label}: decoder alone", decoded, "pictures/s", "", f"full-size JPEGs in memory, {threads}"),
        Row(f"{label}: decoder and resize", resized, "pictures/s", "", f"full-size JPEGs in memory, {threads}"),
    ]

    def add(what: str, rate: float, limit: float, asked: str, note: str) -> None:
        lines.append((what, rate, rate / limit, asked))
        rows.append(Row(f"{label}: stream from {what}", rate, "pictures/s", "", note))
        rows.append(Row(f"{label}: stream from {what} / bare decoder", rate / limit, "×", asked, note))

    if device.type == "cuda" and (rate := nvjpeg(files, device, seconds)) is not None:
        lines.append(("decoder alone, nvJPEG", rate, "", ""))
        rows.append(Row(f"{label}: decoder alone, nvJPEG", rate, "pictures/s", "", "full-size JPEGs, to the GPU's memory"))

    with tempfile.TemporaryDirectory(prefix="transfer-bench-") as temporary:
        root = Path(temporary)
        classes, count = samples.per_class(folder, recipe, min(batches, 8))
        pictures = samples.repeated(folder, root / "pictures", classes, count, 2)
        rate = streamed(pictures, root / "files", recipe, device, batches, in_memory=False)
        add("files", rate, resized, "", "full-size JPEGs decoded when asked for; limit: their decoder and resize")
        if samples.can_pack():
            samples.pack(pictures, root / "raw", recipe, "raw")
            rate = streamed(root / "raw", root / "of-raw", recipe, device, batches, in_memory=False)
            add("packed store, raw", rate, resized, target, "limit: the full-size JPEGs' decoder and resize")
            samples.pack(pictures, root / "jpeg", recipe, "jpeg")
            limit = bare(stored(root / "jpeg", 512), rgb, seconds)
            lines.append((f"decoder alone on the store's JPEGs, {threads}: the limit", limit, 1.0, ""))
            rate = streamed(root / "jpeg", root / "of-jpeg", recipe, device, batches, in_memory=False)
            add("packed store, JPEG", rate, limit, jpeg_target, f"limit: decoder alone, {figure(limit)} of the store's JPEGs/s")
        rate = streamed(pictures, root / "memory", recipe, device, batches, in_memory=True)
        add("memory", rate, resized, "", "limit: the full-size JPEGs' decoder and resize")
    show(f"{label}: the stream alone ({os.cpu_count()} processors)", ("", "pictures/s", "of the limit", "target"), lines)
    record(rows, device, flags.dry)


if __name__ == "__main__":
    main()
