"""A study's figures as files."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from transfercli.report.figures.curves import learning_curves
from transfercli.report.figures.gains import benefits
from transfercli.report.figures.kernels import first_layer_kernels
from transfercli.report.figures.layers import accuracy_vs_layer, drop_vs_layer
from transfercli.report.figures.style import NothingToDraw, style
from transfercli.system.files import replacing


def draw(
    table: pd.DataFrame,
    logs: dict[str, pd.DataFrame],
    folder: Path,
    published: pd.DataFrame | None = None,
    kernels: dict[str, np.ndarray] | None = None,
) -> list[Path]:
    """Write accuracy-vs-layer, drop-vs-layer, learning-curves, benefits, filters as .png and .svg in `folder`; return the paths.

    A figure that has nothing to show is not written. Each file appears whole or not at all.
    """
    figures: dict[str, Callable[[], Figure]] = {
        "accuracy-vs-layer": lambda: accuracy_vs_layer(table, published),
        "drop-vs-layer": lambda: drop_vs_layer(table, published),
        "learning-curves": lambda: learning_curves(logs, table),
        "benefits": lambda: benefits(table, logs),
        "filters": lambda: first_layer_kernels(kernels or {}),
    }
    written = []
    for name, make in figures.items():
        try:
            figure = make()
        except NothingToDraw:
            continue
        for kind in ("png", "svg"):
            path = folder / f"{name}.{kind}"
            with replacing(path) as aside:
                aside.write_bytes(_rendered(figure, kind))
            written.append(path)
    return written


def _rendered(figure: Figure, kind: str) -> bytes:
    """The picture's bytes; without date and program, so that the same figure is the same file."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    buffer = BytesIO()
    with style():
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
    return buffer.getvalue()
