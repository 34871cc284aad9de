"""Randomness without state: every random number is a function of what it is for.

A generator is made anew for each purpose, such as `(seed, split, "order", half, epoch)`, so a run that was killed
and resumed, or that trains other networks beside, draws the same numbers.
"""

import hashlib

import torch


def generator(*purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose numbers depend on `purpose` (and on the kind of device) alone."""
    text = "/".join(map(str, purpose))
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator(device).manual_seed(seed)
