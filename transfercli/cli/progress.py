"""How far a command is: a bar on a terminal, a line of text now and then elsewhere; both on standard error."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from transfercli.cli import curves
from transfercli.system.errors import plain

if TYPE_CHECKING:
    from rich.progress import Task
    from rich.text import Text

    from transfercli.training.reporter import Reporter

# What a command's flags ask of all that it reports, however deep.
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)
_curves: ContextVar[bool] = ContextVar("curves", default=False)

QUIET_SECONDS = 20.0  # between two lines of progress where there is no terminal
MEMORY_SECONDS = 1800.0  # in which the memory of how fast it went fades to a third


class Pace(NamedTuple):
    """How fast the work goes: a mean over the last half hour or so, in which a pause to measure or to save is one among many.

    A mean over less would jump with every pause; a mean over all would never find out that the machine has become slower.
    """

    last: float | None = None  # when work was last heard of; None: what comes next says nothing, as nobody knows how long it took
    seconds: float = 0.0  # of work, and what was done in them; both fade
    work: float = 0.0

    def after(self, count: int, now: float) -> "Pace":
        """The pace once `count` more are done, at the time `now` in seconds."""
        if self.last is None:
            return self._replace(last=now)
        passed = now - self.last
        kept = math.exp(-passed / MEMORY_SECONDS)
        return Pace(now, kept * self.seconds + passed, kept * self.work + count)

    @property
    def rate(self) -> float:
        """What is done in a second; 0 while it is not known."""
        return self.work / self.seconds if self.seconds else 0.0


class Tally:
    """How much of a total is done, and at what pace; `show` is called whenever that changes."""

    def __init__(self, total: int, show: "Callable[[Tally], None]"):
        self.total, self.done, self.pace, self.show = total, 0, Pace(), show
        self.note = ""  # of who works, where there are several

    def advance(self, count: int) -> None:
        """So many more are done, in the time since the last call."""
        self.done, self.pace = self.done + count, self.pace.after(count, time.monotonic())
        self.show(self)

    def held(self, count: int) -> None:
        """So many more need not be done, as a checkpoint holds them (or, below 0, must be done again); work begins from here."""
        self.done, self.pace = self.done + count, self.pace._replace(last=None)
        self.show(self)

    def __str__(self) -> str:
        """Who works, how fast, and how long still; without what nobody knows."""
        rate = self.pace.rate
        pace = f"{rate:{',.0f' if rate >= 10 else '.2g'}}/s, {_span((self.total - self.done) / rate)} left" if rate else ""
        return ", ".join(filter(None, (self.note, pace)))


@contextmanager
def asked(quiet: bool, live_curves: bool) -> Iterator[None]:
    """What is reported inside, as flags ask: nothing but errors; curves for TensorBoard too."""
    if live_curves:
        curves.check_installed()
    tokens = _quiet.set(quiet), _curves.set(live_curves)
    try:
        with ExitStack() as stack:
            if quiet:
                nowhere = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(redirect_stdout(nowhere))
            yield
    finally:
        _quiet.reset(tokens[0])
        _curves.reset(tokens[1])


@contextmanager
def counting(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """A function that takes how many more are done. On a terminal a bar with rate and remaining time, elsewhere lines."""
    with tallying(label, total) as tally:
        yield tally.advance


@contextmanager
def tallying(label: str, total: int) -> Iterator[Tally]:
    """A Tally that shows itself: on a terminal as a bar of one line, however narrow, elsewhere as lines of text."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: "Task") -> "Text":
            return Text(f"in {_span(task.finished_time or 0)}" if task.finished else str(tally))

    if _quiet.get():
        yield Tally(total, lambda tally: None)
        return
    console = Console(stderr=True)
    if not console.is_interactive:
        yield Tally(total, _lines(label))
        return
    columns = [
        TextColumn(label, table_column=Column(no_wrap=True)),
        BarColumn(None, table_column=Column(max_width=40)),  # gives way where the terminal is narrow
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        Speed(table_column=Column(no_wrap=True)),
    ]
    tally = Tally(total, lambda now: bars.update(task, completed=now.done))
    with Progress(*columns, console=console) as bars:
        task = bars.add_task(label, total=total)
        yield tally


def _lines(label: str) -> Callable[[Tally], None]:
    """Says how far a tally is, once in QUIET_SECONDS at the most."""
    said, done_then = time.monotonic(), 0

    def show(tally: Tally) -> None:
        nonlocal said, done_then
        if time.monotonic() - said < QUIET_SECONDS:
            return
        standing = ", ".join(filter(None, (tally.note, "waiting"))) if tally.done == done_then else tally
        say(f"{label}: {tally.done} of {tally.total}, {standing}")
        said, done_then = time.monotonic(), tally.done

    return show


def say(text: str) -> None:
    """A line on standard error; above the bar where there is one, which takes over sys.stderr (click.echo goes around that)."""
    if not _quiet.get():
        print(plain(text), file=sys.stderr, flush=True)


def _span(seconds: float) -> str:
    """90 -> "1:30", 7322 -> "2:02:02"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def reporting(label: str) -> Iterator["Reporter"]:
    """A Reporter for training: one bar (or lines) for the whole command, in steps of networks."""
    from transfercli.training.reporter import Reporter

    with ExitStack() as stack:
        tally: list[Tally] = []  # none where there is nothing to do

        def total(count: int) -> None:
            if count:
                tally.append(stack.enter_context(tallying(label, count)))

        def advance(count: int) -> None:
            for one in tally:
                one.advance(count)

        def held(count: int) -> None:
            for one in tally:
                one.held(count)

        def working(count: int, of: int) -> None:
            for one in tally:
                one.note = f"{count} of {of} at work"
                one.show(one)

        reporter = Reporter(total, advance, say, held, working=working)
        yield replace(reporter, measured=stack.enter_context(curves.writing())) if _curves.get() else reporter
