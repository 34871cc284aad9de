"""SIGTERM and Ctrl-C: at once where nothing is lost by it, after the step and its checkpoint where a bank trains."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):  # as KeyboardInterrupt, so that no `except Exception` takes it for an error of its own
    """A signal ended the work. `number` is the signal's; the text says what was saved, and may be empty."""

    def __init__(self, number: int, text: str = ""):
        super().__init__(text)
        self.number = number


class Wish:
    """Whether a signal has asked to stop: its number, or None."""

    number: int | None = None


@contextmanager
def at_once() -> Iterator[None]:
    """Raise Stopped where a signal arrives, so that what was set aside is removed on the way out."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    with _handled(stop):
        yield


@contextmanager
def deferred() -> Iterator[Wish]:
    """Let a signal wait until the work looks at the wish. A second one does not wait: what is on the disk is whole anyway."""
    wish = Wish()

    def note(number: int, frame: FrameType | None) -> None:
        if wish.number is not None:
            raise Stopped(number)
        wish.number = number

    with _handled(note):
        yield wish


@contextmanager
def _handled(handler: "signal._HANDLER") -> Iterator[None]:
    """The handler for both signals; the ones before come back at the end. Only the main thread may set any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.signal(number, handler)) for number in SIGNALS]
    try:
        yield
    finally:
        for number, old in before:
            signal.signal(number, old)
