"""Threads that work side by side, each on a processor of its own."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import torch

_share: int | None = None  # of the processors, where others have theirs


def keep_to(count: int) -> None:
    """Use so many processors and no more in this process, which shares the machine with others."""
    global _share
    _share = count


def processors() -> int:
    """How many processors this process may use."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, _share or there)


def pool(count: int) -> ThreadPoolExecutor:
    """A pool of `count` threads. Torch works on one thread in each, so that no result depends on how many there are.

    On Linux each keeps to its own processor: some schedulers (of small virtual machines above all) leave
    threads that begin together on one processor while another is idle. Where a process has a share, others have the rest, and
    the scheduler says where.
    """
    alone = _share is None and hasattr(os, "sched_getaffinity")
    places = cycle(sorted(os.sched_getaffinity(0))) if alone else None
    return ThreadPoolExecutor(count, initializer=_settle, initargs=(places,))


def _settle(places: Iterator[int] | None) -> None:
    torch.set_num_threads(1)
    if places is not None:
        os.sched_setaffinity(0, {next(places)})
