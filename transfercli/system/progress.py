"""How far work is: who wants to know hands in a function, who does not hears nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

# A label and a total to a context, in which there is a function that is told how many more are done.
Counting = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]

# What was found or made, by its name, to somebody who wants to know before the whole work is done.
Told = Callable[[str, Any], None]


@contextmanager
def uncounted(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """The Counting that shows nothing."""
    yield ignored


def ignored(*_: object) -> None:
    """What is told to it is lost."""
