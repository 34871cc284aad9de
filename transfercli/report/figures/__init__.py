"""The figures of a study; all that knows matplotlib.

Figures are made without pyplot and without touching matplotlib's settings for good: every function sets the style it needs
and puts back what it found. The same table gives the same bytes.
"""

from transfercli.report.figures.amounts import amounts
from transfercli.report.figures.curves import learning_curves
from transfercli.report.figures.gains import benefits
from transfercli.report.figures.kernels import first_layer_kernels
from transfercli.report.figures.layers import accuracy_vs_layer, drop_vs_layer
from transfercli.report.figures.segments import segments
from transfercli.report.figures.style import NothingToDraw
from transfercli.report.figures.ways import ways_vs_cost
from transfercli.report.figures.writing import Plotted, draw, figures_of, plot, write_figures

__all__ = [
    "NothingToDraw",
    "Plotted",
    "accuracy_vs_layer",
    "amounts",
    "benefits",
    "draw",
    "drop_vs_layer",
    "figures_of",
    "first_layer_kernels",
    "learning_curves",
    "plot",
    "segments",
    "ways_vs_cost",
    "write_figures",
]
