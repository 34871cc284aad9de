"""How long it takes to know a large set of pictures, in each layout, and how much memory; and its first batch.

python -m benchmarks.listing --pictures 128000 --layouts tar,shards,parquet

The set is made of small pictures, as many as ImageNet has. *First* is the first command that lists them, *again* every later one,
with the list that was kept; seconds and memory are those of a process of its own, until it knows every picture's class, path
and size. The first batch is of 256 pictures from all over the set, decoded at 32×32 on all processors.
"""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pyarrow
import torch
from PIL import Image
from pyarrow import parquet

from benchmarks.measure import Flags, Row, options, record, show
from transfercli.pictures.folder import scan
from transfercli.recipe.schema import Pictures
from transfercli.system.threads import pool, processors

ROOT = Path(__file__).parents[1]
IMAGENET, CLASSES, SHARDS, BATCH = 1_281_167, 1000, 64, 256
GROUP = 100  # rows, as Hugging Face's `datasets` writes pictures


def picture() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def entries(count: int, shard: int = 0, shards: int = 1) -> Iterator[tuple[int, str]]:
    """Class and file name of each picture of a shard; classes in turn, so that each shard has all."""
    return ((i % CLASSES, f"{i % CLASSES:04}_{i}.jpg") for i in range(shard, count, shards))


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    one = tarfile.TarInfo(name)
    one.size = len(data)
    tar.addfile(one, io.BytesIO(data))


def folders(root: Path, count: int, data: bytes) -> None:
    for label, name in entries(count):
        (root / f"{label:04}").mkdir(parents=True, exist_ok=True)
        (root / f"{label:04}" / name).write_bytes(data)


def tar(root: Path, count: int, data: bytes) -> None:
    with tarfile.open(root / "train.tar", "w") as whole:
        for label, name in entries(count):
            add(whole, f"{label:04}/{name}", data)


def shards(root: Path, count: int, data: bytes) -> None:
    for shard in range(SHARDS):
        with tarfile.open(root / f"train-{shard:04}.tar", "w") as part:
            for label, name in entries(count, shard, SHARDS):
                add(part, name.replace(".jpg", ".cls"), str(label).encode())
                add(part, name, data)


def parquets(root: Path, count: int, data: bytes) -> None:
    for shard in range(SHARDS):
        rows = list(entries(count, shard, SHARDS))
        image = pyarrow.array([{"bytes": data, "path": name} for _, name in rows])
        table = pyarrow.table({"image": image, "label": [label for label, _ in rows]})
        parquet.write_table(table, root / f"train-{shard:05}-of-{SHARDS:05}.parquet", row_group_size=GROUP)


MAKERS = {"folders": folders, "tar": tar, "shards": shards, "parquet": parquets}


def measured(root: Path, cache: Path) -> dict[str, float]:
    """What a fresh process needs."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", f"from benchmarks.listing import child; child({str(root)!r})"]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, check=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def peak() -> int:
    """The most memory that this process has had, in kB; on Linux, where `ru_maxrss` would count its parent's."""
    return int(re.findall(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[0])


def child(root: str) -> None:
    before, began = peak(), time.perf_counter()
    found = scan(Path(root))
    found.digest(found.classes)
    listed, after = time.perf_counter() - began, peak()
    chosen = [found.paths[i] for i in torch.randperm(len(found.paths), generator=torch.manual_seed(0))[:BATCH].tolist()]
    began = time.perf_counter()
    found.source.load(chosen, Pictures(size=32, crop=32), pool(processors()))
    print(json.dumps({"seconds": listed, "MB": (after - before) / 1024, "batch": time.perf_counter() - began}))


@click.command(help=__doc__)
@click.option("--pictures", "count", default=IMAGENET, show_default=True)
@click.option("--layouts", default=",".join(MAKERS), show_default=True)
@options("imagenet-fast")
def main(count: int, layouts: str, flags: Flags) -> None:
    rows, data = [], picture()
    for layout in layouts.split(","):
        with tempfile.TemporaryDirectory() as folder:
            root, cache = Path(folder) / "pictures", Path(folder) / "cache"
            root.mkdir()
            MAKERS[layout](root, count, data)
            first, again = measured(root, cache), measured(root, cache)
        called, note = f"listing {count:,} pictures, {layout}", f"{len(data)} bytes each; a process of its own"
        rows += [
            Row(f"{called}, first", first["seconds"], "seconds", "", note),
            Row(f"{called}, again", again["seconds"], "seconds", "", note),
            Row(f"{called}, memory", max(first["MB"], again["MB"]), "MB", "", f"{note}; beyond what was imported"),
            Row(
                f"{called}, first batch",
                again["batch"],
                "seconds",
                "",
                f"{BATCH} pictures from all over, after the list is there",
            ),
        ]
    show("Listing", ("measure", "value", "unit"), [(row.measure, row.value, row.unit) for row in rows])
    record(rows, torch.device("cpu"), flags.dry)


if __name__ == "__main__":
    main()
