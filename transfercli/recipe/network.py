"""The recipe's network: which, how it is cut into layers, how its weights are drawn."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from transfercli.recipe.fields import OWN, Arguments, Fraction, Positive, PositiveFloat, known_network
from transfercli.recipe.section import NOT_DECISIVE, Section, Since

DEPTH = dict.fromkeys(OWN, 8)  # how many learnable layers each network of our own has
# With fewer pixels a side, nothing is left after the last pooling.
LEAST_CROP = {"caffenet": 39, "small": 8, "cnn-f": 39, "cnn-m": 41, "cnn-s": 19}
CHATFIELD_WIDTHS = {
    "cnn-f": (64, 256, 256, 256, 256, 4096, 4096),
    **dict.fromkeys(("cnn-m", "cnn-s"), (96, 256, 512, 512, 512, 4096, 4096)),
}


class NetworkRecipe(Section):
    """Which network, how it is cut into layers, and how its weights are drawn."""

    name: Annotated[str, AfterValidator(known_network)]
    """`caffenet`: the paper's network; `small`: the same eight layers for small pictures; `cnn-f`, `cnn-m`, `cnn-s`: those of
    Chatfield et al. (2014); `torchvision/NAME` or `timm/NAME`: of these libraries, as `torchvision/resnet18`.
    """
    label: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$"), NOT_DECISIVE] = None
    """What it is called beside other networks of a study; not set: after its name and width."""
    widths: Annotated[tuple[Positive, ...] | None, Field(min_length=7, max_length=7), Since(None)] = None
    """Of our own networks: channels of conv1 to conv5, units of fc6 and fc7; `caffenet` and `small` must have them."""
    width: Annotated[PositiveFloat, Since(1.0)] = 1.0
    """How wide, in multiples of its usual width; not every library's network can be made wider."""
    arguments: Annotated[Arguments, Since({})] = ()
    """Of a library's network: what else its builder takes, as `{width_mult: 0.5}`."""
    outputs: Positive | None = None
    """Outputs of the last layer; not set: as many as the half has classes. The authors' nets had 1000 for 500 classes."""
    head: Annotated[tuple[Positive, ...] | None, Since(None)] = None
    """Of a library's network: dense layers of so many units, each with a ReLU, before the last, as `[256, 256]`. They take the
    place of its own dense layers at the end, begin anew and are one layer, the last; `[]`: the last alone. Not set: its own.
    """
    dropout: Annotated[Fraction | None, Since(None)] = None
    """The share of units that dropout leaves out in training; not set: as the library has it, else 0.5 (after fc6 and fc7)."""
    normalisation: Literal["none", "lrn", "batch"] = "none"
    """Of `small`: none, `lrn` after the first two layers (what caffenet has), or `batch` after each convolution."""
    skips: Annotated[bool, Since(False)] = False
    """Of `small`: whether conv2 to conv5 and fc7 add their input to what they put out; that takes no weights."""
    init: Literal["caffe", "he", "own"] = "he"
    """How fresh weights are drawn: `caffe`, the paper's Gaussians and biases; `he`, He et al. (2015); `own`, as the network's
    library draws them, which is what its networks have where nothing is said.
    """
    random: Annotated[Literal["own", "preserving"], Since("own")] = "own"
    """How RnB's random layers are drawn: as other fresh weights, or `preserving`: by He et al. with all branches at full scale,
    where an initialiser would make blocks that do next to nothing.
    """
    statistics: Annotated[Literal["pictures", "initial"], Since("initial")] = "initial"
    """Of RnB's frozen BatchNorm: measured once on training `pictures`, as networks of libraries always have them; or `initial`,
    mean 0 and variance 1, as `small` once had them.
    """
    cut: Annotated[Literal["blocks", "finest"] | tuple[str, ...], Since("blocks")] = "blocks"
    """Of a library's network, where layers begin: at its repeated `blocks`, at every weight where one can (`finest`), or at the
    modules that are listed.
    """
    layers: Annotated[Positive | None, NOT_DECISIVE] = None
    """How many layers that makes; found out when a study is begun, and no choice."""

    source: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$"), Since(None)] = None
    """Of one's own code (`--network package.module:function`): the sha256 of its source; found out, and no choice."""

    @property
    def library(self) -> str:
        """Where its code is from: `torchvision`, `timm`, `python`; empty: from here."""
        return self.name.rpartition("/")[0]

    @property
    def known_depth(self) -> int | None:
        """How many learnable layers it has; None where that has not been found out."""
        return DEPTH.get(self.name, self.layers)

    @property
    def settled(self) -> bool:
        """Whether all is found out that only the network itself tells; of one's own code, which may have changed, it never is."""
        return not self.library or (self.layers is not None and self.library != "python")

    @property
    def depth(self) -> int:
        """How many learnable layers it has."""
        assert self.known_depth is not None, "the network has not been cut yet: see networks.catalogue.settled"
        return self.known_depth

    @property
    def called(self) -> str:
        """What it is called beside other networks of a study: fit for a folder."""
        return self.label or re.sub(r"[^A-Za-z0-9._-]", "-", self.name.rpartition("/")[2]) + f"-x{self.width:g}" * (
            self.width != 1
        )

    @model_validator(mode="before")
    @classmethod
    def _as_usual(cls, values: Any) -> Any:
        values = {"name": values} if isinstance(values, str) else values
        if not isinstance(values, dict) or not isinstance(name := values.get("name"), str):
            return values
        if "/" in name:
            return {"init": "own", "statistics": "pictures", **values}
        usual: dict[str, Any] = {"dropout": 0.5}
        if name in CHATFIELD_WIDTHS:
            usual |= {"widths": CHATFIELD_WIDTHS[name], "normalisation": "lrn"}
        return {**usual, **{key: value for key, value in values.items() if key not in usual or value is not None}}

    @model_validator(mode="after")
    def _fits_the_network(self) -> "NetworkRecipe":
        if self.library:
            for key in ("widths", "skips"):
                if getattr(self, key):
                    raise ValueError(f"{key} are of small and caffenet; {self.name} has none")
            if self.normalisation != "none":
                raise ValueError(f"{self.name} has the normalisation that it has; leave normalisation out")
            if self.statistics != "pictures":
                raise ValueError(f"random layers of {self.name} have BatchNorm's statistics of pictures; leave statistics out")
            if self.init != "own":
                raise ValueError(f"{self.name} is drawn as its library draws it: leave init out")
            return self
        for key, reason in (("arguments", "are for networks of libraries"), ("random", "is for networks of libraries")):
            if getattr(self, key) not in ((), "own"):
                raise ValueError(f"{key} {reason}, not for {self.name}")
        if self.head is not None:
            raise ValueError(f"head is for networks of libraries; {self.name} has its dense layers in widths")
        if self.cut != "blocks":
            raise ValueError(f"cut is for networks of libraries; {self.name} has its {DEPTH[self.name]} layers")
        if self.init == "own":
            raise ValueError(f"init: own is for networks of libraries; {self.name} has caffe and he")
        if self.widths is None:
            raise ValueError(f"{self.name} needs widths")
        if self.name != "small":
            if self.normalisation != "lrn":
                raise ValueError(f"{self.name} has local response normalisation: set normalisation: lrn")
            if self.skips:
                raise ValueError(f"{self.name} has no skips; those are of small")
        if self.name == "caffenet" and (odd := [width for width in self.scaled[:5] if width % 2]):
            raise ValueError(f"caffenet's convolutions have two groups: width {odd[0]} must be even")
        return self

    @property
    def scaled(self) -> tuple[int, ...]:
        """Its widths, times `width`."""
        return tuple(max(1, round(self.width * width)) for width in self.widths or ())
