"""Randomness without state: every random number is a function of what it is for.

A generator is made anew for each purpose, such as `(seed, split, "order", half, epoch)`, so a run that was killed
and resumed, or that trains other networks beside, draws the same numbers.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def generator(*purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose numbers depend on `purpose` (and on the kind of device) alone."""
    return torch.Generator(device).manual_seed(_seed(*purpose))


@contextmanager
def drawing(*purpose: str | int) -> Iterator[None]:
    """Within, what draws from torch's own generator on the CPU, as libraries' initialisers do, depends on `purpose` alone.

    Outside, that generator goes on as if nothing had been drawn.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(_seed(*purpose))
        yield


def _seed(*purpose: str | int) -> int:
    return int.from_bytes(hashlib.sha256("/".join(map(str, purpose)).encode()).digest()[:8], "big") >> 1
