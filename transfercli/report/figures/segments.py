"""Where transferability sits: the gain over the base by the first and the last layer that are copied."""

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from transfercli.analysis.pairs import half_names, kinds_of_split
from transfercli.analysis.segments import segments as found_of
from transfercli.analysis.words import minus, panel_title, signed
from transfercli.report.figures.style import WIDTH, NothingToDraw, set_title, style

COLORS = "PuOr"  # which colour-blind readers tell apart: orange below the base, violet above
MOST = 3  # treatments side by side


def segments(table: pd.DataFrame) -> Figure:
    """A square for each segment, with the mean gain over the base in points; bold where its 95% interval leaves out 0.

    A row of panels for each kind of split, a panel for each of the first MOST treatments. Raises NothingToDraw where all copied
    layers begin with the first.
    """
    found = found_of(table)
    found = found[found["quantity"].str.endswith("-base")]
    kinds, quantities, names = kinds_of_split(found), list(dict.fromkeys(found["quantity"]))[:MOST], half_names(table)
    if not kinds:
        raise NothingToDraw("no network copies a middle segment; list some under segments in a recipe")
    firsts, layers = (range(int(found[end].min()), int(found[end].max()) + 1) for end in ("first", "layer"))
    reach = 100 * max(float(found["mean"].abs().max()), 1e-3)
    with style():
        figure = Figure(figsize=(WIDTH, 0.8 + 3.0 * len(kinds)), layout="constrained")
        axes = figure.subplots(len(kinds), len(quantities), squeeze=False)
        for row, kind in zip(axes, kinds, strict=True):
            for ax, quantity in zip(row, quantities, strict=True):
                of = found[(found["splits"] == kind) & (found["quantity"] == quantity)]
                values = np.full((len(firsts), len(layers)), np.nan)
                for one in of.itertuples(index=False):
                    x, y = one.layer - layers[0], one.first - firsts[0]
                    values[y, x] = 100 * one.mean
                    clear = one.low > 0 or one.high < 0
                    how = {"ha": "center", "va": "center", "fontsize": 7.5, "fontweight": "bold" if clear else "normal"}
                    ax.text(
                        x, y, signed(100 * one.mean, 1), color="white" if abs(values[y, x]) > 0.6 * reach else "#222222", **how
                    )
                ax.imshow(values, cmap=COLORS, norm=TwoSlopeNorm(0, -reach, reach), origin="lower", aspect="auto")
                ax.grid(False)
                ax.set_xticks(range(len(layers)), [str(layer) for layer in layers])
                ax.set_yticks(range(len(firsts)), [str(first) for first in firsts])
                set_title(ax, f"{minus(quantity)}: {panel_title(kind, names)}")
        figure.supxlabel("last layer that is copied")
        figure.supylabel("first layer that is copied")
    return figure
