"""Random numbers that a network draws of its own as it runs, and by which call. No bank trains such a network."""

import random
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import numpy as np
import torch

# In the names of compiled functions that draw, or that may.
DRAWING = re.compile(r"rand|normal|uniform|bernoulli|multinomial|poisson|exponential|geometric|cauchy|drop|rrelu|attention|pool")


def states() -> tuple[Any, ...]:
    """How far the generators of torch (on the CPU), Python and NumPy are: what is equal where nothing was drawn between."""
    numpy: Any = np.random.get_state()
    return torch.random.get_rng_state().numpy().tobytes(), random.getstate(), numpy[1].tobytes(), numpy[2:]


def drawing_call(act: Callable[[], Any]) -> str:
    """The name of the first call by which `act` draws random numbers or, as values are not there yet, fails to; else empty."""
    found: list[str] = []
    seen = states()

    def watch(frame: FrameType, event: str, called: Any) -> None:
        ended = event in ("c_return", "c_exception") and not found and DRAWING.search(called.__name__)
        if ended and (event == "c_exception" or states() != seen):
            found.append(called.__name__)

    usual = sys.getprofile()
    sys.setprofile(watch)
    try:
        with suppress(Exception):
            act()
    finally:
        sys.setprofile(usual)
    return found[0] if found else "a generator of torch, Python or NumPy" if states() != seen else ""
