"""The recipe's source and target: layers that were trained elsewhere, and how much data networks of the study learn from."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from transfercli.plan import amounts
from transfercli.recipe.fields import one_line
from transfercli.recipe.section import NOT_DECISIVE, Section, Since


def _amounts(read: Callable[[str], int | float]) -> BeforeValidator:
    """A list of amounts as `read` reads them, or `all`; from a single one, or the text of a command line, too."""

    def amount(value: Any) -> Any:
        if value == amounts.ALL:
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float, str)) or not read(str(value)):
            raise ValueError(f"an amount is a number above 0, or all, not {value}")
        return read(str(value))

    def listed(value: Any) -> Any:
        words = [word.strip() for word in value.split(",")] if isinstance(value, str) else value
        found = tuple(map(amount, words if isinstance(words, (list, tuple)) else [words]))
        if twice := [one for place, one in enumerate(found) if one in found[:place]]:
            raise ValueError(f"{twice[0]} stands twice")
        return found

    return BeforeValidator(listed)


NUMBERS_OR_ALL = WithJsonSchema({"type": "array", "items": {"anyOf": [{"type": "number"}, {"const": amounts.ALL}]}})
PerClass = Annotated[tuple[Any, ...], _amounts(amounts.per_class), NUMBERS_OR_ALL, NOT_DECISIVE]
Shares = Annotated[tuple[Any, ...], _amounts(amounts.share), NUMBERS_OR_ALL, NOT_DECISIVE]


def _axes(values: Mapping[str, tuple[Any, ...]]) -> tuple[dict[str, Any], ...]:
    """Values of axes, one of them at a time, in the place of amounts: `all` is none."""
    found = [{} if amount == amounts.ALL else {key: amount} for key, listed in values.items() for amount in listed]
    return tuple(one for place, one in enumerate(found) if one not in found[:place]) or ({},)


class TargetRecipe(Section):
    """How much of its target's data a network learns from; docs/amounts.md."""

    per_class: PerClass = (amounts.ALL,)
    """Training pictures of each class, as `[5, 25, 100, all]`: whole numbers, shares of them below 1, or `all`. A network and the
    base that it is compared with have each of these; so many pictures of a class are among any more of that seed.
    """

    @property
    def axes(self) -> tuple[dict[str, Any], ...]:
        return _axes({"per": self.per_class})


class SourceRecipe(Section):
    """Where pretrained layers (treatments PnB, PnB+, PnB.keep) come from; docs/sources.md has every way to say it. And of bases
    that are sources (of AnB, BnB and so on), how much data they learned from: docs/amounts.md.
    """

    weights: Annotated[str | None, Field(min_length=1), AfterValidator(lambda text: text and one_line(text)), NOT_DECISIVE] = None
    """`torchvision/NAME@WEIGHTS`, `timm/NAME.TAG`, a file (`.safetensors`; `.pth`, of which nothing is run), or the folder of
    a study's base.
    """
    digest: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$")] = None
    """The sha256 of the weights; found out when a study is begun, and no choice."""
    dropout: Annotated[bool, Since(False)] = False
    """Whether frozen pretrained layers leave out at random in training, as frozen layers of the study's own networks do."""
    per_class: PerClass = ()
    """As `target.per_class`, of the sources among the study's bases."""
    classes: Shares = ()
    """Shares of its half's classes from which a source learned, as `[0.1, 0.5, all]`; of these classes all pictures."""
    at: Shares = ()
    """Shares of its steps after which a source's layers are copied, as `[0.1, 0.5, all]`: those of `training.snapshots`."""

    @model_validator(mode="after")
    def _weights_are_there(self) -> "SourceRecipe":
        if self.weights is None and (self.digest or self.dropout):
            raise ValueError("digest and dropout are of pretrained layers; say where they are: source.weights")
        if self.weights is None and self.axes == ({},):
            raise ValueError("say where pretrained layers are (weights), or from how much sources learn (per_class, classes, at)")
        return self

    @property
    def axes(self) -> tuple[dict[str, Any], ...]:
        return _axes({"source_per": self.per_class, "source_share": self.classes, "at": self.at})
