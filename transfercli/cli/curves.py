"""Live curves: each network's evaluations, as they come, where TensorBoard finds them."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from transfercli.system.errors import TransferError

if TYPE_CHECKING:
    from transfercli.plan.networks import Network
    from transfercli.study.folder import Study

FOLDER = "tensorboard"  # of a study
SCALARS = {"train_loss": "loss/training", "loss": "loss/validation", "top1": "top-1", "learning_rate": "learning rate"}


def check_installed() -> None:
    """Raise TransferError where TensorBoard is not installed; nothing is imported."""
    if find_spec("tensorboard") is None:
        raise TransferError("--tensorboard needs TensorBoard; install it: pip install 'transfer-study[tensorboard]'")


@contextmanager
def writing() -> Iterator[Callable[["Study", "Network", list[dict[str, float]]], None]]:
    """A function that takes a network's log so far and writes what is new of it, into `tensorboard/` of its study.

    What an earlier run wrote of the network is written anew from its log: a run that goes on from a checkpoint measures some
    steps again, and they are there once.
    """
    from torch.utils.tensorboard import SummaryWriter

    writers: dict[Path, SummaryWriter] = {}
    written: dict[Path, int] = {}

    def measured(study: "Study", network: "Network", log: list[dict[str, float]]) -> None:
        folder = study.root / FOLDER / study.folder(network).relative_to(study.root)
        if folder not in writers or len(log) < written[folder]:  # fewer: a bank that did not fit in memory began anew
            if folder in writers:
                writers[folder].close()
            for old in folder.glob("events.out.tfevents.*"):
                old.unlink()
            writers[folder], written[folder] = SummaryWriter(folder), 0
        for line in log[written[folder] :]:
            for key, tag in SCALARS.items():
                if math.isfinite(line[key]):
                    writers[folder].add_scalar(tag, line[key], int(line["step"]))
        written[folder] = len(log)
        writers[folder].flush()

    try:
        yield measured
    finally:
        for writer in writers.values():
            writer.close()
