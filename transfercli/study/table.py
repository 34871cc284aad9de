"""The table of a study, wherever it is kept: in a study's folder, or in a results.csv alone, as a reference study has it."""

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from transfercli.plan.networks import AXES
from transfercli.study.best import at_best
from transfercli.study.folder import Study
from transfercli.study.hints import command
from transfercli.study.rows import COLUMNS, Row, mixture
from transfercli.system.errors import TransferError, TransferWarning

_VERSIONS = ("version", "numerics", "torch", "torchvision", "pillow", "commit")  # which may look like numbers
_WORDS = ("status", "source_name", "target_name", "snapshots", "phase_ends")
_TEXT = ("split", "network", "net", "treatment", "source", "target", *_WORDS, *_VERSIONS)
_TYPES = {**dict.fromkeys(_TEXT, str), **dict.fromkeys(("top1", "top5", "loss", "top1_best10"), float)}
# The columns in which an empty cell is a number that is missing, not a text.
_EMPTY = {column: [""] for column in (*Row.model_fields, *AXES) if column not in (*_TEXT, "precision")}


def load(path: Path) -> pd.DataFrame:
    """The table in `path`: a results.csv, or a folder with networks, else with a results.csv. In the columns of `Study.table`.

    Raises TransferError where there is none, or where a row is none of a study.
    """
    if path.is_dir():
        refuse_advice(Study(path))
        table = Study(path).table()
        if len(table) or not (path / "results.csv").exists():
            return table
        path = path / "results.csv"
    Study(path.parent).know_treatments()
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=_EMPTY, dtype=_TYPES)
        for key in (key for key in AXES if key in table and not pd.api.types.is_numeric_dtype(table[key])):
            read = AXES[key].read  # as there are words among its numbers
            table[key] = pd.Series([value if pd.isna(value) else read(str(value)) for value in table[key]], dtype=object)
        if missing := [column for column in (*COLUMNS, "classes") if column not in table]:
            raise ValueError(f"lacks {', '.join(missing)}")
        for row in table.astype(object).where(table.notna(), None).to_dict("records"):
            Row.model_validate(row)
        if twice := table[table.duplicated(["split", "seed", "network"])]["network"].tolist():
            raise ValueError(f"{twice[0]} stands in it twice")
    except FileNotFoundError:
        raise TransferError(f"{path} does not exist; name a study's folder or a results.csv") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise _no_table(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise _no_table(path, " ".join(str(error).split())) from None
    return table


def finished(study: Study, what: str, instead: str = "") -> pd.DataFrame:
    """`whole` of the study. Raises TransferError where no network is done; says what there is nothing to do, and what `instead`.

    Warns of networks that were copied from another base than is there.
    """
    table = whole(study)
    if table.empty:
        raise TransferError(
            f"no network in {study.root} is done, so there is nothing to {what}; "
            f"train some: {command('train-base', study=study)}{instead and f', or {instead}'}"
        )
    rows: list[Any] = table.to_dict("records")
    if mixed := mixture(rows):
        warnings.warn(mixed, TransferWarning, stacklevel=3)
    return table


def whole(study: Study) -> pd.DataFrame:
    """The study's table, or that of a folder with a results.csv alone, at the learning rates that count; empty where no network
    is done.
    """
    study.check_plain()
    return at_best(load(study.root) if study.root.exists() else study.table())


def refuse_advice(study: Study) -> None:
    """Raise TransferError of an advice study, whose networks are compared otherwise than those of a table."""
    if study.advice_file.exists():
        raise TransferError(
            f"{study.root} is an advice study, which has an answer of its own; "
            f"see it: {command('advise', study=study)}, or {command('report', study=study)}"
        )


def _no_table(path: Path, reason: str) -> TransferError:
    return TransferError(f"{path} is no table of a study ({reason}); name a study's folder or a results.csv that transfer wrote")
