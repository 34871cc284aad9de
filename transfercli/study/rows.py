"""A row: what is known of one network, and which rows belong together."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from transfercli.plan.networks import AXES, SOURCE_WORDS, Network, columns, named, of_row
from transfercli.plan.splits import LONGEST_NAME
from transfercli.plan.tasks import TASKS
from transfercli.plan.treatments import TREATMENTS
from transfercli.recipe.schema import DEPTH
from transfercli.system.errors import TransferError
from transfercli.system.files import read_text

# The table's columns in order; whatever else a row holds follows.
COLUMNS = (
    "split", "seed", "network", "treatment", "source", "target", "layer",
    "top1", "top5", "loss", "top1_best10", "step", "status",
)  # fmt: skip
LOG_COLUMNS = ("step", "train_loss", "loss", "top1", "top5", "learning_rate", "balanced_top1")
HOLDOUT_COLUMN = "holdout_loss"  # of a log, with training.patience
STATUS = r"^(done|did not learn|no better than chance|diverged at step \d+)$"


def mixtures(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each network that copied another base than the one whose row is there; rows of old do not say which."""
    by_network = {of_row(row): row for row in rows}
    found = []
    for network, row in by_network.items():
        copied, donor = row.get("source_digest"), network.donor
        there = given_digest(by_network.get(donor, {}), network) if donor else None
        if donor and isinstance(copied, str) and isinstance(there, str) and copied not in ("", there):
            seed = f" (seed {row['seed']})" * bool(row["seed"])
            found.append(f"{row['split']} {row['network']}{seed} was copied from another {donor.name} than is there now")
    return found


def given_digest(donor: Mapping[str, Any], network: Network) -> str | None:
    """Of a donor's row, the digest of the weights that the network copies; None where it does not say."""
    at = dict(network.axes).get("at")
    if at is None:
        return donor.get("weights_digest")
    return dict(pair.split("=") for pair in str(donor.get("snapshots", "")).split()).get(str(at))


def mixture(rows: Iterable[Mapping[str, Any]]) -> str:
    """All of `mixtures` in one line with the remedy; empty where there is none."""
    found = mixtures(rows)
    more = f" (and so were {len(found) - 1} more)" * (len(found) > 1)
    return f"{found[0]}{more}; put that base back, or remove what was copied from it and train it again" if found else ""


def log_name(row: Mapping[str, Any]) -> str:
    """The network's key in `Study.logs`."""
    return of_row(row).place


def table_text(rows: Sequence[dict[str, Any]]) -> str:
    """The text of results.csv."""
    columns = [*COLUMNS, *sorted({key for row in rows for key in row} - set(COLUMNS))]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


Share = Annotated[float, Field(ge=0, le=1)]


def one_of(words: Callable[[], Iterable[str]]) -> AfterValidator:
    """That a text is one of these words, as they are when it is read."""

    def check(value: str) -> str:
        if value not in (known := list(words())):
            words_known = " or ".join(map(repr, known))
            raise PydanticCustomError("word", "Input should be {words}", {"words": words_known})  # in pydantic's words
        return value

    return AfterValidator(check)


class Row(BaseModel):
    """What any row must be, whatever else it holds."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)

    split: str
    seed: Annotated[int, Field(ge=0)]
    network: str
    treatment: Annotated[str, one_of(lambda: TREATMENTS)]
    source: Annotated[str, one_of(lambda: (*TASKS, *SOURCE_WORDS.values(), ""))]
    target: Annotated[str, one_of(lambda: TASKS)]
    layer: Annotated[int, Field(ge=0)]
    layers: Annotated[int, Field(ge=2)] = DEPTH["caffenet"]  # of the network; rows of old, all of eight, do not say
    first_layer: Annotated[int, Field(ge=2)] | None = None
    net: str | None = None
    share_copied: Share | None = None
    multiply_adds: Annotated[int, Field(ge=1)] | None = None
    layer_steps: Annotated[int, Field(ge=0)] | None = None
    top1: Share | None
    top5: Share | None
    loss: Annotated[float, Field(ge=0)] | None
    top1_best10: Share
    step: Annotated[int, Field(ge=0)]
    status: Annotated[str, Field(pattern=STATUS)]
    classes: Annotated[int, Field(ge=2)]
    val_pictures: Annotated[int, Field(ge=1)] = 1
    train_loss: Annotated[float, Field(ge=0)] | None = None
    fixed_loss: Annotated[float, Field(ge=0)] | None = None
    balanced_top1: Share | None = None
    chance: Share | None = None
    holdout_top1: Share | None = None
    holdout_loss: Annotated[float, Field(ge=0)] | None = None
    holdout_pictures: Annotated[int, Field(ge=1)] | None = None
    stopped_at: Annotated[float, Field(ge=0)] | None = None
    phase_ends: Annotated[str, Field(pattern=r"^[0-9 ]*$")] = ""
    precision: Literal["float32", "bfloat16"] = "float32"
    snapshots: Annotated[str, Field(pattern=r"^((0\.[0-9]+|[1-9][0-9.]*e-[0-9]+)=[0-9a-f]{64} ?)*$")] = ""
    source_name: Annotated[str, Field(max_length=LONGEST_NAME)] = ""
    target_name: Annotated[str, Field(max_length=LONGEST_NAME)] = ""

    @model_validator(mode="after")
    def _is_a_network(self) -> "Row":
        if self.layer >= self.layers:
            raise ValueError(f"layer {self.layer} of {self.layers}")
        expected, own = columns(named(self.split, self.seed, self.network)), {**self.__dict__, **(self.model_extra or {})}
        strays = [key for key in ("first_layer", *AXES) if key not in expected and own.get(key) not in (None, "")]
        if strays or any(own.get(key) != value for key, value in expected.items()):
            raise ValueError(f"the other columns are not those of {self.network}")
        return self


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
        raise damaged(path, ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")) from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise damaged(path, error) from None


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def damaged(path: Path, error: Exception) -> TransferError:
    reason = " ".join(str(error).split())
    return TransferError(f"{path} is damaged ({reason}); remove its folder and train the network again")
