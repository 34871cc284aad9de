"""What split.json holds."""

from dataclasses import dataclass, field
from typing import Any

from transfercli.plan.splits import Split
from transfercli.recipe.schema import Recipe
from transfercli.system.files import replacing as replacing  # for those who write beside a study's rows


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

    def steps(self, recipe: Recipe) -> int:
        """The number of steps of every network of the split: epochs count the pictures of the larger half."""
        return recipe.training.length(max(self.counts[half]["train"] for half in "AB"))


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
