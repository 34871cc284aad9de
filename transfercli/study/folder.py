"""The study folder: its paths, and what is read and written there; written aside and renamed, so it is whole or not there.

study/recipe.yaml, study/results.csv, study/figures/
study/<split>/split.json
study/<split>/<network>/row.json, log.csv, weights.safetensors     (other seeds than 0: study/<split>/seed-<s>/<network>/)
"""

import csv
import io
import json
import re
import shlex
import stat
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfercli.pictures.sources.named import is_named
from transfercli.plan.networks import AXES, Network, axes_order
from transfercli.plan.treatments import TREATMENTS, Treatment, define
from transfercli.recipe import reading as recipes
from transfercli.recipe.schema import Recipe
from transfercli.study import checkpoint_files, lock
from transfercli.study.rows import COLUMNS, HOLDOUT_COLUMN, LOG_COLUMNS, damaged, read_row, table_text
from transfercli.study.splits import Halves, parsed, text_of
from transfercli.system.errors import TransferError
from transfercli.system.files import read_text, write_text

if TYPE_CHECKING:
    import pandas

NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"  # of a split


@dataclass(frozen=True)
class Study:
    root: Path

    def __init__(self, root: str | Path):
        object.__setattr__(self, "root", Path(root))

    def check_plain(self) -> None:
        """Raise TransferError where the study holds anything but plain files and folders of its own, with plain names.

        A study may come from a stranger: what is written into a linked folder would lie outside, a pipe would never end.
        The pictures, which are only read, may be anywhere.
        """
        waiting = [(self.root, 0)]
        while waiting:
            folder, depth = waiting.pop()
            if not folder.is_dir():
                continue
            for path in folder.iterdir():
                kind, deepest = path.lstat().st_mode, 5 if ".attempts" in path.parts else 3
                if stat.S_ISDIR(kind) and depth < deepest and path != self.root / "pictures":
                    waiting.append((path, depth + 1))
                elif not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)) and path != self.root / "pictures":
                    what = "a link" if stat.S_ISLNK(kind) else "no plain file"
                    raise TransferError(f"{path} is {what}, and a study holds none; remove it, or start a new study: --study DIR")
        for path in self.root.glob("*/split.json"):
            if not re.fullmatch(NAME, path.parent.name):
                raise TransferError(f"{path.parent} is no name of a split; rename it with letters, digits, '.', '_' and '-'")

    @property
    def quoted(self) -> str:
        """Its folder, as a shell takes it."""
        return shlex.quote(str(self.root))

    @property
    def advice_file(self) -> Path:
        """What was asked of an advice study, and its plan: an advice study is one that has it."""
        return self.root / "advice.json"

    # -- the recipe

    @property
    def recipe_file(self) -> Path:
        return self.root / "recipe.yaml"

    def recipe(self) -> Recipe:
        """The recipe that this study was made with. Raises TransferError where there is none."""
        if not self.recipe_file.exists():
            raise TransferError(f"no study in {self.root}; start one: transfer split DIR --study {self.quoted}")
        return recipes.load(read_text(self.recipe_file), str(self.recipe_file))

    def write_recipe(self, recipe: Recipe) -> None:
        write_text(self.recipe_file, recipes.dump(recipe))

    def own_treatments(self) -> dict[str, Treatment]:
        """The treatments that its recipe defines, by name; none where there is no recipe."""
        return _own_treatments(read_text(self.recipe_file), str(self.recipe_file)) if self.recipe_file.exists() else {}

    def know_treatments(self) -> None:
        """Let the names of its own treatments, which other studies may have too, mean what they mean here."""
        define(self.own_treatments().values())

    # -- the splits

    def split_names(self) -> list[str]:
        return sorted(path.parent.name for path in self.root.glob("*/split.json"))

    def need_splits(self) -> list[str]:
        """The splits that there are, at least one. Raises TransferError."""
        if names := self.split_names():
            return names
        raise TransferError(f"no split in {self.root}; make one: transfer split DIR --study {self.quoted}")

    def halves(self, name: str) -> Halves:
        """The split of that name. Raises TransferError where there is none or it cannot be read."""
        path = self.root / name / "split.json"
        if not path.exists():
            raise TransferError(f"no split {name} in {self.root}; make it: transfer split DIR --study {self.quoted}")
        try:
            return parsed(name, read_text(path))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise TransferError(
                f"{path} is damaged ({type(error).__name__}: {error}); remove it and make the split again: transfer split DIR"
            ) from None

    def write_halves(self, halves: Halves) -> None:
        write_text(self.root / halves.name / "split.json", text_of(halves))

    def pictures(self, halves: Halves) -> Path:
        """Where they lie, or the name of the set that they are."""
        return Path(halves.folder) if is_named(halves.folder) else self.root / halves.folder  # an absolute folder stays itself

    # -- the networks

    def folder(self, network: Network) -> Path:
        """One network's folder."""
        return self.root / network.place

    def checkpoint_folder(self, network: Network) -> Path:
        """The checkpoints of all networks of this one's split and seed."""
        return self.folder(network).parent / checkpoint_files.FOLDER

    def folders(self) -> list[Path]:
        """The study's own folder, and those of its splits, seeds, networks and checkpoints."""
        splits = [self.root / name for name in self.split_names()]
        return [self.root, *splits, *(path for split in splits for path in (*split.glob("*/"), *split.glob("seed-*/*/")))]

    def row(self, network: Network) -> dict[str, Any] | None:
        """The network's row, or None while it has not been trained and measured."""
        path = self.folder(network) / "row.json"
        if not path.exists():
            return None
        self.know_treatments()
        return read_row(path)

    def state(self, network: Network, holder: dict[str, Any] | None) -> str:
        """`done`, the status of a network that failed, `running` (where the `holder` of the study trains it), or `to do`."""
        if row := self.row(network):
            return row["status"]
        return "running" if holder and [network.split, network.seed, network.name] in holder["networks"] else "to do"

    # -- one command at a time

    def held(self, networks: Sequence[Network]) -> AbstractContextManager[lock.Tell]:
        """Hold the study while these networks train, or its splits are written: `lock.held`."""
        return lock.held(self.root, networks, self.folders)

    def holder(self) -> dict[str, Any] | None:
        """Which process holds the study: `lock.holder`."""
        return lock.holder(self.root)

    def write_network(self, network: Network, row: dict[str, Any], log: list[dict[str, float]]) -> None:
        """Write log.csv and then row.json (the weights are there already): the row says that the network is whole."""
        folder = self.folder(network)
        text = io.StringIO()
        columns = [*LOG_COLUMNS, *[HOLDOUT_COLUMN] * (HOLDOUT_COLUMN in log[0])]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(log)
        write_text(folder / "log.csv", text.getvalue())
        write_text(folder / "row.json", json.dumps(row, indent=1, ensure_ascii=False) + "\n")

    def row_files(self) -> list[Path]:
        """The row.json of every finished network."""
        return [path for pattern in ("*/*/row.json", "*/seed-*/*/row.json") for path in sorted(self.root.glob(pattern))]

    def rows(self) -> list[dict[str, Any]]:
        """Every finished row, read from the row.json files, in the order of the table."""
        self.know_treatments()
        found = [read_row(path) for path in self.row_files()]
        order = {name: place for place, name in enumerate(TREATMENTS)}

        def place(row: dict[str, Any]) -> tuple[Any, ...]:
            axes = axes_order({key: row[key] for key in AXES if key in row and key != "net"})
            return (
                row["split"],
                row["seed"],
                row.get("net", ""),
                row["target"],
                axes,
                order[row["treatment"]],
                row["layer"],
                row["network"],
            )

        return sorted(found, key=place)

    def write_table(self) -> Path:
        """results.csv anew from the row.json files."""
        path = self.root / "results.csv"
        write_text(path, table_text(self.rows()))
        return path

    def table(self) -> "pandas.DataFrame":
        """The rows as a DataFrame with the columns of `COLUMNS` first, and `classes`, the size of the target half."""
        import pandas

        rows = self.rows()
        return pandas.DataFrame(rows, columns=None if rows else [*COLUMNS, "classes"])

    def log(self, network: Network) -> list[dict[str, float]]:
        """What was measured of a finished network, a line for each time."""
        lines = _read_log(self.folder(network) / "log.csv").to_dict("records")
        return [{str(key): float(value) for key, value in line.items()} for line in lines]

    def logs(self) -> "dict[str, pandas.DataFrame]":
        """The log of each finished network, by `split/network` (`split/seed-s/network` for further seeds)."""
        return {path.parent.relative_to(self.root).as_posix(): _read_log(path.parent / "log.csv") for path in self.row_files()}


@lru_cache(maxsize=8)
def _own_treatments(text: str, where: str) -> dict[str, Treatment]:
    return {one.name: one.rule for one in recipes.load(text, where).own_treatments} if "own_treatments" in text else {}


def _read_log(path: Path) -> "pandas.DataFrame":
    import pandas

    try:
        return pandas.read_csv(path)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from None
