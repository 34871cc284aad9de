"""How far a command is: a bar on a terminal, a line of text now and then elsewhere; both on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from transfercli.errors import plain

if TYPE_CHECKING:
    from rich.progress import Task
    from rich.text import Text

    from transfercli.training import Reporter

QUIET_SECONDS = 20.0  # between two lines of progress where there is no terminal


@contextmanager
def counting(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function that takes how many more are done. On a terminal a bar with rate and remaining time, elsewhere lines."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: "Task") -> "Text":
            if task.finished:
                return Text(f"in {_span(task.finished_time or 0)}")
            return Text(_speed(task.speed, task.time_remaining) if task.speed and task.time_remaining is not None else "")

    console = Console(stderr=True)
    if not console.is_interactive:
        yield Lines(label, total).advance
        return
    with Progress(TextColumn(label), BarColumn(), MofNCompleteColumn(), Speed(), console=console) as bars:
        task = bars.add_task(label, total=total)
        yield lambda count: bars.advance(task, count)


class Lines:
    """Progress as lines of text, one in QUIET_SECONDS at the most."""

    def __init__(self, label: str, total: int):
        self.label, self.total, self.done = label, total, 0
        self.said, self.done_then = time.monotonic(), 0

    def advance(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.said < QUIET_SECONDS:
            return
        # The rate since the last line: steps that a checkpoint held already do not make it look fast for long.
        rate = (self.done - self.done_then) / (now - self.said)
        say(f"{self.label}: {self.done} of {self.total}, {_speed(rate, (self.total - self.done) / rate) if rate else 'waiting'}")
        self.said, self.done_then = now, self.done


def say(text: str) -> None:
    """A line on standard error; above the bar where there is one, which takes over sys.stderr (click.echo goes around that)."""
    print(plain(text), file=sys.stderr, flush=True)


def _speed(rate: float, left: float) -> str:
    return f"{rate:,.0f}/s, {_span(left)} left" if rate >= 10 else f"{rate:.2g}/s, {_span(left)} left"


def _span(seconds: float) -> str:
    """90 -> "1:30", 7322 -> "2:02:02"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def reporting(label: str) -> Iterator["Reporter"]:
    """A Reporter for training: one bar (or lines) for the whole command, in steps of networks."""
    from transfercli.training import Reporter

    with ExitStack() as stack:
        advance: list[Callable[[int], None]] = [lambda count: None]

        def total(count: int) -> None:
            if count:
                advance[0] = stack.enter_context(counting(label, count))

        yield Reporter(total, lambda count: advance[0](count), say)
