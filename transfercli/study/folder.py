"""The study folder: its paths, its rows, its table. What is written is written aside and renamed, so it is whole or not there.

study/recipe.yaml, study/results.csv, study/figures/
study/<split>/split.json
study/<split>/<network>/row.json, log.csv, weights.safetensors     (other seeds than 0: study/<split>/seed-<s>/<network>/)
"""

import csv
import io
import json
import math
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transfercli.plan.networks import HALVES, RANDOM, Network
from transfercli.plan.splits import KINDS, LONGEST_NAME, Split, fault_of_names
from transfercli.recipe import schema as recipes
from transfercli.system.errors import TransferError
from transfercli.system.files import cannot_write, read_text, sweep, write_text
from transfercli.system.files import replacing as replacing  # for those who write beside a study's rows

if TYPE_CHECKING:
    import pandas

# The table's columns in order; whatever else a row holds follows.
COLUMNS = (
    "split", "seed", "network", "treatment", "source", "target", "layer",
    "top1", "top5", "loss", "top1_best10", "step", "status",
)  # fmt: skip
ORDER = {"base": 0, "BnB": 1, "BnB+": 2, "AnB": 3, "AnB+": 4, "RnB": 5}  # of the treatments in the table
NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]*"  # of a split
LOG_COLUMNS = ("step", "train_loss", "loss", "top1", "top5", "learning_rate", "balanced_top1")


@dataclass(frozen=True)
class Halves:
    """What split.json holds: the two halves, where the pictures are, and what identifies them."""

    split: Split
    folder: str  # where the pictures are; relative to the study when they lie in it
    counts: dict[str, dict[str, int]]  # {"A": {"train": pictures, "val": pictures}, "B": …}
    digest: str  # of the halves and of every picture's name and size
    left_out: tuple[str, ...] = field(default=())  # unreadable pictures, by --skip-unreadable

    @property
    def name(self) -> str:
        return self.split.name

    def steps(self, recipe: recipes.Recipe) -> int:
        """The number of steps of every network of the split: epochs count the pictures of the larger half."""
        return recipe.training.length(max(self.counts[half]["train"] for half in "AB"))


@dataclass(frozen=True)
class Study:
    root: Path

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
                kind = path.lstat().st_mode
                if stat.S_ISDIR(kind) and depth < 3 and path != self.root / "pictures":
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

    # -- the recipe

    @property
    def recipe_file(self) -> Path:
        return self.root / "recipe.yaml"

    def recipe(self) -> recipes.Recipe:
        """The recipe that this study was made with. Raises TransferError where there is none."""
        if not self.recipe_file.exists():
            raise TransferError(f"no study in {self.root}; start one: transfer split DIR --study {self.quoted}")
        return recipes.load(read_text(self.recipe_file), str(self.recipe_file))

    def write_recipe(self, recipe: recipes.Recipe) -> None:
        write_text(self.recipe_file, recipes.dump(recipe))

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
            values = json.loads(read_text(path))
            for half in "AB":
                _check_classes(values[half]["classes"])
            if not isinstance(values["method"], str) or not isinstance(values["digest"], str):
                raise TypeError("method and digest must be text")
            if ".." in Path(values["folder"]).parts:
                raise ValueError(f"its pictures lie outside, in {values['folder']}")
            usual = KINDS if values["method"] == "man-made-natural" else HALVES  # where the file is of before halves had names
            split = Split(
                name=name,
                method=values["method"],
                seed=values["seed"],
                A=tuple(values["A"]["classes"]),
                B=tuple(values["B"]["classes"]),
                names=(values["A"].get("name", usual[0]), values["B"].get("name", usual[1])),
            )
            if fault := fault_of_names(_texts(list(split.names))):
                raise ValueError(fault)
            counts = {half: {part: int(values[half][part]) for part in ("train", "val")} for half in "AB"}
            if twice := {*split.A} & {*split.B}:
                raise ValueError(f"{min(twice)} is in both halves")
            return Halves(split, values["folder"], counts, values["digest"], _texts(values["left_out"]))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise TransferError(
                f"{path} is damaged ({type(error).__name__}: {error}); remove it and make the split again: transfer split DIR"
            ) from None

    def write_halves(self, halves: Halves) -> None:
        split = halves.split
        values = {
            "method": split.method,
            "seed": split.seed,
            "folder": halves.folder,
            "digest": halves.digest,
            "left_out": list(halves.left_out),
            **{
                half: {**({"name": name} if name != half else {}), **halves.counts[half], "classes": list(split.classes(half))}
                for half, name in zip(HALVES, split.names, strict=True)
            },
        }
        write_text(self.root / halves.name / "split.json", json.dumps(values, indent=1, ensure_ascii=False) + "\n")

    def pictures(self, halves: Halves) -> Path:
        return self.root / halves.folder  # an absolute folder stays itself

    # -- the networks

    def folder(self, network: Network) -> Path:
        """One network's folder. Seed 0, which most studies have alone, needs no folder of its own."""
        split = self.root / network.split
        return (split / f"seed-{network.seed}" if network.seed else split) / network.name

    def folders(self) -> list[Path]:
        """The study's own folder, and those of its splits, seeds, networks and checkpoints."""
        splits = [self.root / name for name in self.split_names()]
        return [self.root, *splits, *(path for split in splits for path in (*split.glob("*/"), *split.glob("seed-*/*/")))]

    def row(self, network: Network) -> dict[str, Any] | None:
        """The network's row, or None while it has not been trained and measured."""
        path = self.folder(network) / "row.json"
        return read_row(path) if path.exists() else None

    def state(self, network: Network, holder: dict[str, Any] | None) -> str:
        """`done`, the status of a network that failed, `running` (where the `holder` of the study trains it), or `to do`."""
        if row := self.row(network):
            return row["status"]
        return "running" if holder and [network.split, network.seed, network.name] in holder["networks"] else "to do"

    # -- one command at a time

    @contextmanager
    def held(self, networks: Sequence[Network]) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """Hold the study while these networks train, or its splits are written; the lock dies with its process.

        Yields a function that tells others of the bank in training, as `holder` gives it to them. What a killed process had set
        aside is removed. Raises TransferError if the study is held already.
        """
        lock = FileLock(self.root / ".lock", timeout=1)  # not 0: `holder` has the lock for a moment, to see whether it is free
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            other = self.holder() or {"pid": "?", "since": "now"}
            raise TransferError(
                f"process {other['pid']} has been at work in {self.root} since {other['since']}; "
                "wait for it, or use another study: --study DIR"
            ) from None
        except OSError as error:
            raise cannot_write(self.root / ".lock", error) from None
        try:
            names = [[network.split, network.seed, network.name] for network in networks]
            since = datetime.now().astimezone().isoformat(" ", "seconds")
            sweep(self.folders())
            holder = {"pid": os.getpid(), "since": since, "networks": names}
            write_text(self.root / ".holder.json", json.dumps(holder))

            def tell(bank: Mapping[str, Any]) -> None:
                with suppress(TransferError):  # of a disk that is full the next checkpoint will speak
                    write_text(self.root / ".holder.json", json.dumps({**holder, "bank": dict(bank)}))

            yield tell
        finally:
            (self.root / ".holder.json").unlink(missing_ok=True)
            lock.release()

    def holder(self) -> dict[str, Any] | None:
        """Which process holds the study: `pid`, `since`, `networks`, and `bank` where one trains; None where none is alive."""
        lock = FileLock(self.root / ".lock", timeout=0)
        try:
            if (self.root / ".lock").exists():
                with lock:
                    return None
            return None
        except Timeout:
            try:
                return json.loads(read_text(self.root / ".holder.json"))
            except (TransferError, ValueError):
                return None
        except OSError:  # a study that may only be read: nothing trains in it
            return None

    def write_network(self, network: Network, row: dict[str, Any], log: list[dict[str, float]]) -> None:
        """Write log.csv and then row.json (the weights are there already): the row says that the network is whole."""
        folder = self.folder(network)
        text = io.StringIO()
        writer = csv.DictWriter(text, LOG_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(log)
        write_text(folder / "log.csv", text.getvalue())
        write_text(folder / "row.json", json.dumps(row, indent=1, ensure_ascii=False) + "\n")

    def row_files(self) -> list[Path]:
        """The row.json of every finished network."""
        return [path for pattern in ("*/*/row.json", "*/seed-*/*/row.json") for path in sorted(self.root.glob(pattern))]

    def rows(self) -> list[dict[str, Any]]:
        """Every finished row, read from the row.json files, in the order of the table."""
        found = [read_row(path) for path in self.row_files()]
        return sorted(found, key=lambda r: (r["split"], r["seed"], r["target"], ORDER[r["treatment"]], r["layer"]))

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

    def logs(self) -> "dict[str, pandas.DataFrame]":
        """The log of each finished network, by `split/network` (`split/seed-s/network` for further seeds)."""
        return {path.parent.relative_to(self.root).as_posix(): _read_log(path.parent / "log.csv") for path in self.row_files()}


def mixtures(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each network that copied another base than the one whose row is there; rows of old do not say which."""
    rows = list(rows)
    bases = {(row["split"], row["seed"], row["target"]): row for row in rows if row["treatment"] == "base"}
    found = []
    for row in rows:
        copied, donor = row.get("source_digest"), bases.get((row["split"], row["seed"], row["source"]))
        there = donor.get("weights_digest") if donor else None
        if isinstance(copied, str) and isinstance(there, str) and copied not in ("", there):
            seed = f" (seed {row['seed']})" * bool(row["seed"])
            found.append(f"{row['split']} {row['network']}{seed} was copied from another base{row['source']} than is there now")
    return found


def mixture(rows: Iterable[Mapping[str, Any]]) -> str:
    """All of `mixtures` in one line with the remedy; empty where there is none."""
    found = mixtures(rows)
    more = f" (and so were {len(found) - 1} more)" * (len(found) > 1)
    return f"{found[0]}{more}; put that base back, or remove what was copied from it and train it again" if found else ""


def log_name(row: Mapping[str, Any]) -> str:
    """The network's key in `Study.logs`: `split/network`, of further seeds `split/seed-s/network`."""
    return f"{row['split']}/{row['network']}" if not row["seed"] else f"{row['split']}/seed-{row['seed']}/{row['network']}"


def table_text(rows: Sequence[dict[str, Any]]) -> str:
    """The text of results.csv."""
    columns = [*COLUMNS, *sorted({key for row in rows for key in row} - set(COLUMNS))]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


Share = Annotated[float, Field(ge=0, le=1)]


class Row(BaseModel):
    """What any row must be, whatever else it holds."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    split: str
    seed: Annotated[int, Field(ge=0)]
    network: str
    treatment: Literal["base", "BnB", "BnB+", "AnB", "AnB+", "RnB"]
    source: Literal["A", "B", "random", ""]
    target: Literal["A", "B"]
    layer: Annotated[int, Field(ge=0, lt=recipes.LAYER_COUNT)]
    top1: Share | None
    top5: Share | None
    loss: Annotated[float, Field(ge=0)] | None
    top1_best10: Share
    step: Annotated[int, Field(ge=0)]
    status: Annotated[str, Field(pattern=r"^(done|did not learn|no better than chance|diverged at step \d+)$")]
    classes: Annotated[int, Field(ge=2)]
    val_pictures: Annotated[int, Field(ge=1)] = 1
    train_loss: Annotated[float, Field(ge=0)] | None = None
    fixed_loss: Annotated[float, Field(ge=0)] | None = None
    balanced_top1: Share | None = None
    chance: Share | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    source_name: Annotated[str, Field(max_length=LONGEST_NAME)] = ""
    target_name: Annotated[str, Field(max_length=LONGEST_NAME)] = ""


def read_row(path: Path) -> dict[str, Any]:
    """A network's row. Raises TransferError where it is damaged, or another's than its folder's."""
    try:
        row = json.loads(read_text(path), parse_constant=_no_number)
        if missing := [column for column in (*COLUMNS, "classes") if column not in row]:
            raise ValueError(f"lacks {', '.join(missing)}")
        Row.model_validate(row)
        if any(isinstance(value, (dict, list)) or value in (math.inf, -math.inf) for value in row.values()):
            raise ValueError("a value is neither text nor a number")
        folders = (row["split"], f"seed-{row['seed']}", row["network"])
        if path.parent.parts[-2:] not in (folders[:1] + folders[2:], folders[1:]):
            raise ValueError(f"it is the row of {row['split']} {row['network']}")
        return row
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")) from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise _damaged(path, error) from None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a list of texts is wanted")
    return tuple(values)


def _check_classes(values: Any) -> None:
    """Names of folders, each once, in the order of their labels. Raises ValueError and TypeError."""
    names = _texts(values)
    if len(names) < 2 or list(names) != sorted({*names}):
        raise ValueError("the classes of a half are two or more, each once, in order")
    if wrong := [name for name in names if name in ("", ".", "..") or "/" in name or "\0" in name]:
        raise ValueError(f"{wrong[0]!r} is no name of a folder")


def _read_log(path: Path) -> "pandas.DataFrame":
    import pandas

    try:
        return pandas.read_csv(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> TransferError:
    reason = " ".join(str(error).split())
    return TransferError(f"{path} is damaged ({reason}); remove its folder and train the network again")


def as_network(row: Mapping[str, Any]) -> Network:
    """The network that a row is of: what `as_dict` was made from."""
    source = {"random": RANDOM, "": row["target"]}.get(row["source"], row["source"])
    return Network(row["split"], row["seed"], source, row["layer"], row["target"], row["treatment"].endswith("+"))


def as_dict(network: Network, split: Split | None = None) -> dict[str, Any]:
    """The columns of the table that say which network it is, with what its halves are called where the split gives them names."""
    values = asdict(network)
    source = "" if network.is_base else {"R": "random"}.get(network.source, network.source)
    names = split.half_names if split else {}
    halves = {"source_name": (network.split, source), "target_name": (network.split, network.target)}
    return {
        "split": values["split"],
        "seed": values["seed"],
        "network": network.name,
        "treatment": network.treatment,
        "source": source,
        "target": network.target,
        "layer": network.layer,
        **{column: names[half] for column, half in halves.items() if half in names},
    }
