"""Make the folders of pictures that the answers here are about: links to classes of Tiny-ImageNet-200.

python results/advised/folders.py TINY OUT     writes OUT/target (the 40 classes that source160.csv keeps from its source) and
                                               OUT/natural (all natural classes)
"""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

from transfercli.pictures.folder import scan
from transfercli.plan.splits import kind_of


def link(tiny: Path, classes: Iterable[str], out: Path) -> None:
    found = scan(tiny)
    for name in classes:
        for part, pictures in (("train", found.train), ("val", found.val)):
            (out / part / name).mkdir(parents=True, exist_ok=True)
            for path in pictures[name]:
                (out / part / name / Path(path).name).symlink_to(found.root / path)


if __name__ == "__main__":
    tiny, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    with (Path(__file__).parent / "source160.csv").open(encoding="utf-8") as file:
        halves = {row["class"]: row["half"] for row in csv.DictReader(file)}
    link(tiny, [name for name, half in halves.items() if half == "target"], out / "target")
    link(tiny, [name for name in halves if kind_of(name) == "natural"], out / "natural")
