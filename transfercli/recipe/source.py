"""The recipe's source: layers that were trained elsewhere."""

from typing import Annotated

from pydantic import AfterValidator, Field

from transfercli.recipe.fields import one_line
from transfercli.recipe.section import NOT_DECISIVE, Section, Since


class SourceRecipe(Section):
    """Where pretrained layers (treatments PnB, PnB+, PnB.keep) come from; docs/sources.md has every way to say it."""

    weights: Annotated[str, Field(min_length=1), AfterValidator(one_line), NOT_DECISIVE]
    """`torchvision/NAME@WEIGHTS`, `timm/NAME.TAG`, a file (`.safetensors`; `.pth`, of which nothing is run), or the folder of
    a study's base.
    """
    digest: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$")] = None
    """The sha256 of the weights; found out when a study is begun, and no choice."""
    dropout: Annotated[bool, Since(False)] = False
    """Whether frozen pretrained layers leave out at random in training, as frozen layers of the study's own networks do."""
