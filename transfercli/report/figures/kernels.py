"""The first layers' kernels, as `first_layer.first_layers` makes them."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from transfercli.report.figures.style import WIDTH, NothingToDraw, style
from transfercli.system.errors import plain


def first_layer_kernels(kernels: dict[str, np.ndarray]) -> Figure:
    """A panel per base with its first layer's kernels.

    kernels: "random-0/baseA" to a picture, uint8 (height, width, 3). Raises NothingToDraw where there is none.
    """
    if not kernels:
        raise NothingToDraw("no base has weights to show; train some first: transfer train-base")
    columns = min(2, len(kernels))
    rows = math.ceil(len(kernels) / columns)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in kernels.values())
    with style():
        layout = ConstrainedLayoutEngine(wspace=0.05, hspace=0.05)
        figure = Figure(figsize=(WIDTH, rows * (tallest * WIDTH / columns + 0.3)), layout=layout)
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        for ax, (name, picture) in zip(axes.flat, kernels.items(), strict=False):
            ax.imshow(picture, interpolation="nearest")
            ax.set_title(plain(name.replace("/", " ")), fontsize=9)
    return figure
