"""The recipe's pictures: how one becomes the network's input, and how much of the folder a study takes."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from transfercli.recipe.fields import ClassCount, Mean, Number, Positive, PositiveFloat, Ratio, Scale, Seed, Std
from transfercli.recipe.section import Section, Since


class BuiltIn(Section):
    """The pictures made by formula, for a study that needs no download."""

    classes: ClassCount
    """How many classes of pictures are made by formula; they need no download."""
    train: Positive
    """Training pictures of each class."""
    val: Positive
    """Validation pictures of each class."""
    seed: Seed = 0
    """Which pictures are drawn."""


class Pictures(Section):
    """How a picture becomes the network's input, and how much of the folder a study takes."""

    size: Positive
    """Pixels a side to which every picture is brought."""
    crop: Positive
    """Pixels a side of the network's input: cut out at random in training, from the centre in evaluation."""
    augment: Annotated[Literal["crop", "random-resized-crop"], Since("crop")] = "crop"
    """What is cut out in training: a window of `crop` pixels, or, as torchvision does it, a part of random area and shape that is
    brought to `crop` pixels.
    """
    scale: Annotated[Scale, Since([0.08, 1.0])] = (0.08, 1.0)
    """Of random-resized-crop: the least and the largest share of the picture's area."""
    ratio: Annotated[Ratio, Since([3 / 4, 4 / 3])] = (3 / 4, 4 / 3)
    """Of random-resized-crop: the least and the largest width, in multiples of the height."""
    fit: Literal["warp", "crop"] = "warp"
    """How a picture becomes square: `warp` makes both sides `size`, as the paper; `crop` the shorter, and takes the centre."""
    orientation: Annotated[Literal["exif", "ignore"], Since("ignore")] = "ignore"
    """`exif` turns a photograph upright as its EXIF tells; `ignore` takes the pixels as they are stored."""
    interpolation: Annotated[Literal["bilinear", "bicubic"], Since("bilinear")] = "bilinear"
    """How pixels between pixels are made wherever a picture is resized, always antialiased."""
    mirror: bool = True
    """Whether half of the training pictures are mirrored, at random."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """The order of the input's channels; Caffe's is `bgr`."""
    mean: Mean = "channel"
    """What is subtracted: the mean `image` of the source half's training pictures, its mean of each `channel`, `none`, or three
    numbers for red, green and blue, of pixels from 0 to 1: torchvision's are [0.485, 0.456, 0.406].
    """
    divide: PositiveFloat = 1.0
    """What pixels (0-255, mean subtracted) are divided by, where there is no `std`."""
    std: Annotated[Std, Since(None)] = None
    """What pixels from 0 to 1, mean subtracted, are divided by: three numbers for red, green and blue, torchvision's are
    [0.229, 0.224, 0.225]. Not set: `divide`.
    """
    classes: ClassCount | None = None
    """How many classes of the folder a study takes, spread over both halves; not set: all."""
    train_per_class: Positive | None = None
    """How many training pictures of each class at the most; not set: all."""
    val_per_class: Positive | None = None
    """How many validation pictures of each class at the most; not set: all."""
    held_out: Annotated[float, Number, Field(gt=0, lt=1), Since(0.2)] = 0.2
    """Where a folder has class folders alone: the share of each class that is measured on."""
    held_out_seed: Annotated[Seed, Since(0)] = 0
    """Which pictures that share is."""
    folds: Annotated[Annotated[int, Number, Field(ge=2, le=100)] | None, Since(None)] = None
    """Deal each class's training pictures out to so many folds: networks of seed 0 are trained without the first and measured on
    it, too, those of seed 1 without the second; of seeds beyond the folds none is left out.
    """
    builtin: BuiltIn | None = None

    @model_validator(mode="after")
    def _keys_agree(self) -> "Pictures":
        if self.crop > self.size:
            raise ValueError(f"crop {self.crop} is larger than size {self.size}")
        if self.std is not None and self.divide != 1:
            raise ValueError("give either std or divide")
        if self.augment == "crop":
            for key in ("scale", "ratio"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    raise ValueError(f"{key} goes with augment: random-resized-crop")
        elif self.mean == "image":
            raise ValueError("a mean image fits no resized crop: set mean: channel, or augment: crop")
        return self
