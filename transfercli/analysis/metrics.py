"""What an accuracy is: the last evaluation's, or the paper's, the mean of the ten best, or the last with all classes alike."""

from typing import TYPE_CHECKING

from transfercli.system.errors import TransferError

if TYPE_CHECKING:
    import pandas

METRICS = {"last": "top1", "best10": "top1_best10", "balanced": "balanced_top1"}


def metric_column(metric: str, *tables: "pandas.DataFrame") -> str:
    """The column of a metric, of accuracies from 0 to 1. Raises TransferError where there are none in a table."""
    if metric not in METRICS:
        raise TransferError(f"no metric is called {metric!r}; choose from {', '.join(METRICS)}")
    column = METRICS[metric]
    if any(column not in table or table[column].isna().all() for table in tables):
        raise TransferError(f"there is no {metric} accuracy in this table; leave --metric out")
    if any(not table[column].dropna().astype(float).between(0, 1).all() for table in tables):
        raise TransferError(f"{column} holds what is no accuracy: they are fractions, from 0 to 1")
    return column
