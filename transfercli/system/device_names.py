"""What devices are called, whether or not there is one; no torch."""

import re

from transfercli.system.errors import TransferError

DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps")


def check_device(name: str) -> str:
    """The name. Raises TransferError where it is no device's."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", name):
        raise TransferError(f"no device is called {name!r}; choose from {', '.join(DEVICES)}")
    return name
