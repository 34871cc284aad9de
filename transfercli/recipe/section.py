"""What a section of a recipe is, and marks for its keys."""

from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Since(NamedTuple):
    """Marks a key that recipes did not always have: where it says what was done before, it changes no recipe's digest."""

    before: Any


NOT_DECISIVE = object()  # marks a key that decides no network's numbers
