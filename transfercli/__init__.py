"""transfer: how transferable are the features of a deep network? (Yosinski et al., NIPS 2014)

Each command is one call: see docs/python.md. `import transfercli` loads nothing else; a name loads what it needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from transfercli.advice.advising import advise
    from transfercli.advice.exporting import export
    from transfercli.analysis.published import published_table
    from transfercli.analysis.studies import analyze, compare
    from transfercli.networks.catalogue import allow as allow_network
    from transfercli.pictures.forms import pack
    from transfercli.pictures.sources.named import fetch
    from transfercli.pictures.survey import survey
    from transfercli.recipe.keys import keys_of as recipe_keys
    from transfercli.recipe.reading import copy as copy_recipe
    from transfercli.recipe.reading import find as find_recipe
    from transfercli.recipe.shipped import names as recipe_names
    from transfercli.report.figures.writing import draw, plot, write_figures
    from transfercli.report.page.writing import write_report
    from transfercli.report.phases import draw_treatments
    from transfercli.report.running import run
    from transfercli.study.folder import Study
    from transfercli.study.splitting import split
    from transfercli.study.standing import status
    from transfercli.system.errors import TransferError, TransferWarning
    from transfercli.training.planning import estimate, layers
    from transfercli.training.reporter import Reporter
    from transfercli.training.sweeping import sweep, train_base
    from transfercli.training.verify import verify

# Each public name and where it lives: the imports above, for those who run and do not only read.
_PLACES = {
    "Study": "study.folder.Study",
    "split": "study.splitting.split",
    "train_base": "training.sweeping.train_base",
    "sweep": "training.sweeping.sweep",
    "plot": "report.figures.writing.plot",
    "draw": "report.figures.writing.draw",
    "write_figures": "report.figures.writing.write_figures",
    "draw_treatments": "report.phases.draw_treatments",
    "write_report": "report.page.writing.write_report",
    "run": "report.running.run",
    "advise": "advice.advising.advise",
    "export": "advice.exporting.export",
    "analyze": "analysis.studies.analyze",
    "compare": "analysis.studies.compare",
    "published_table": "analysis.published.published_table",
    "status": "study.standing.status",
    "verify": "training.verify.verify",
    "estimate": "training.planning.estimate",
    "layers": "training.planning.layers",
    "allow_network": "networks.catalogue.allow",
    "pack": "pictures.forms.pack",
    "survey": "pictures.survey.survey",
    "fetch": "pictures.sources.named.fetch",
    "recipe_names": "recipe.shipped.names",
    "find_recipe": "recipe.reading.find",
    "copy_recipe": "recipe.reading.copy",
    "recipe_keys": "recipe.keys.keys_of",
    "Reporter": "training.reporter.Reporter",
    "TransferError": "system.errors.TransferError",
    "TransferWarning": "system.errors.TransferWarning",
}
__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, own = _PLACES[name].rpartition(".")
    return getattr(import_module(f"{__name__}.{module}"), own)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
