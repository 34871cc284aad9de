"""Randomness without state: every random number is a function of what it is for.

A generator is made anew for each purpose, such as `(seed, split, "order", half, epoch)`, so a run that was killed
and resumed, or that trains other networks beside, draws the same numbers.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def generator(*purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose numbers depend on `purpose` (and on the kind of device) alone."""
    return torch.Generator(device).manual_seed(_seed(*purpose))


@contextmanager
def drawing(*purpose: str | int) -> Iterator[None]:
    """Within, what the generators of torch (on the CPU), NumPy and Python draw, as initialisers do, depends on `purpose` alone.

    Outside, these generators go on as if nothing had been drawn. For the main thread: they are everybody's.
    """
    kept, seed = (random.getstate(), np.random.get_state()), _seed(*purpose)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])


def _seed(*purpose: str | int) -> int:
    return int.from_bytes(hashlib.sha256("/".join(map(str, purpose)).encode()).digest()[:8], "big") >> 1
