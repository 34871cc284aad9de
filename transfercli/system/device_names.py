"""What devices are called, whether or not there is one; no torch."""

import re
from dataclasses import dataclass

from transfercli.system.errors import TransferError

CPU = "cpu"
DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps")


def check_device(name: str) -> str:
    """The name. Raises TransferError where it is no device's."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", name):
        raise TransferError(f"no device is called {name!r}; choose from {', '.join(DEVICES)}")
    return name


@dataclass(frozen=True)
class Remote:
    """Several devices, at which banks are trained side by side. `address`: of a running Ray cluster, or HERE for this machine."""

    address: str = "local"
    device: str = "auto"  # as `check_device` takes it
    workers: int | None = None  # at the most; None: as many as there are GPUs, or one for every two processors
    cpus: int | None = None  # processors of each; None: an equal share


HERE = Remote.address
