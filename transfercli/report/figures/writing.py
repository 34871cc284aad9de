"""A study's figures, and the same as files."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from transfercli.analysis.published import published_table
from transfercli.report.advised import advice_in
from transfercli.report.figures.advice import figures_of_advice
from transfercli.report.figures.amounts import amounts
from transfercli.report.figures.curves import learning_curves
from transfercli.report.figures.gains import benefits
from transfercli.report.figures.kernels import first_layer_kernels
from transfercli.report.figures.layers import accuracy_vs_layer, drop_vs_layer
from transfercli.report.figures.networks import networks
from transfercli.report.figures.segments import segments
from transfercli.report.figures.style import NothingToDraw, style
from transfercli.report.figures.ways import ways_vs_cost
from transfercli.report.first_layer import first_layers
from transfercli.study import table as tables
from transfercli.study.folder import Study
from transfercli.system.files import replacing


def draw(study: Study, paper: bool = False) -> dict[str, Figure]:
    """The study's figures: accuracy-vs-layer, drop-vs-layer, learning-curves, benefits, networks (of several), amounts
    (of data), segments (of layers), ways-vs-cost (where there are three ways to fine-tune), filters.

    None that has nothing to show. Of an advice study they are those of `advice.figures_of_advice`.
    paper: with the published values of 2014 beside; alone where no network is done. Else this raises TransferError.
    """
    if not paper and (advice := advice_in(study)):
        return figures_of_advice(advice)
    return _drawn(study, _table(study, paper), paper)


@dataclass(frozen=True)
class Plotted:
    """Figures as files, each as .png and .svg."""

    paths: list[Path]
    paper_alone: bool  # no network of the study is done: these are the published values


def plot(study: Study, paper: bool = False, out: str | Path | None = None) -> Plotted:
    """Write what `draw` gives into the folder `out`: by default figures/ in the study, or paper-2014/ beside one without."""
    if not paper and (advice := advice_in(study)):
        return Plotted(write_figures(figures_of_advice(advice), out or study.root / "figures"), False)
    table = _table(study, paper)
    folder = study.root.with_name("paper-2014") if table.empty else study.root / "figures"
    return Plotted(write_figures(_drawn(study, table, paper), out or folder), table.empty)


def write_figures(figures: Mapping[str, Figure], folder: str | Path) -> list[Path]:
    """Write each figure as .png and .svg; return the paths. Each file appears whole or not at all."""
    written = []
    for name, figure in figures.items():
        for kind in ("png", "svg"):
            path = Path(folder) / f"{name}.{kind}"
            with replacing(path) as aside:
                aside.write_bytes(rendered(figure, kind))
            written.append(path)
    return written


def _table(study: Study, paper: bool) -> pd.DataFrame:
    return tables.whole(study) if paper else tables.finished(study, "draw", "draw the published study: transfer plot --paper")


def _drawn(study: Study, table: pd.DataFrame, paper: bool) -> dict[str, Figure]:
    return figures_of(table, study.logs(), published_table() if paper else None, first_layers(study))


def figures_of(
    table: pd.DataFrame,
    logs: dict[str, pd.DataFrame],
    published: pd.DataFrame | None = None,
    kernels: dict[str, np.ndarray] | None = None,
) -> dict[str, Figure]:
    """`draw`, of a table, its logs (`Study.logs`), the published table and the bases' kernels (`first_layers`)."""
    makers: dict[str, Callable[[], Figure]] = {
        "accuracy-vs-layer": lambda: accuracy_vs_layer(table, published),
        "drop-vs-layer": lambda: drop_vs_layer(table, published),
        "learning-curves": lambda: learning_curves(logs, table),
        "benefits": lambda: benefits(table, logs),
        "networks": lambda: networks(table),
        "amounts": lambda: amounts(table),
        "segments": lambda: segments(table),
        "ways-vs-cost": lambda: ways_vs_cost(table),
        "filters": lambda: first_layer_kernels(kernels or {}),
    }
    figures = {}
    for name, make in makers.items():
        with suppress(NothingToDraw):
            figures[name] = make()
    return figures


def rendered(figure: Figure, kind: str, transparent: bool = False) -> bytes:
    """The picture's bytes; without date and program, so that the same figure is the same file."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    buffer = BytesIO()
    with style():
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata, transparent=transparent)
    return buffer.getvalue()
