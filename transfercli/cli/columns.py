"""Tables that are wider than the terminal: words go on below, columns in a further table; a number is never cut. Pure."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple


class Block(NamedTuple):
    """A table, or a part of one: which columns, how far apart, how wide each, and its lines, whose cells may have several."""

    columns: list[int]
    gap: int
    widths: list[int]
    lines: list[list[str]]


def fold(
    lines: Sequence[Sequence[str]], width: int | None, gaps: Sequence[int] = (2, 1), keys: int = 1, edges: int = 0
) -> list[Block]:
    """The table as one block, or as several that are at most `width` wide, each with the first `keys` columns.

    The header is the first line. Columns stand `gaps[0]` apart, nearer where it is narrow; `edges` is what a frame takes.
    None: any width will do. A column is never narrower than its longest word, even where that is wider than `width`.
    """
    most = [max(len(part) for cell in column for part in cell.split("\n")) for column in zip(*lines, strict=True)]
    least = [max((len(word) for cell in column for word in cell.split()), default=0) for column in zip(*lines, strict=True)]
    every = list(range(len(most)))

    def room(columns: list[int], gap: int) -> int:
        """What is left for words that need not stand on a line of their own; below 0 where not even these fit."""
        assert width is not None
        return width - edges - gap * (len(columns) - 1) - sum(least[column] for column in columns)

    def block(columns: list[int], gap: int) -> Block:
        widths = [most[column] for column in columns]
        while width is not None and sum(widths) + gap * (len(columns) - 1) + edges > width:
            spare = [at for at, column in enumerate(columns) if widths[at] > least[column]]
            if not spare:
                break
            widths[max(spare, key=lambda at: widths[at])] -= 1
        cells = [[_wrapped(line[column], widths[at]) for at, column in enumerate(columns)] for line in lines]
        # Of a part, only the lines that say something.
        return Block(columns, gap, widths, cells if columns == every else [cells[0], *(c for c in cells[1:] if any(c[keys:]))])

    if width is None:
        return [block(every, gaps[0])]
    for gap in gaps:
        if room(every, gap) >= 0:
            return [block(every, gap)]
    parts: list[list[int]] = []
    for column in every[keys:]:
        if parts and room([*parts[-1], column], gaps[0]) >= 0:
            parts[-1].append(column)
        else:
            parts.append([*every[:keys], column])
    return [block(part, gaps[0]) for part in parts]


def _wrapped(cell: str, width: int) -> str:
    """A cell with its lines broken between words."""
    width = max(1, width)  # that of a column in which nothing stands
    parts = [textwrap.wrap(part, width, break_long_words=False, break_on_hyphens=False) or [""] for part in cell.split("\n")]
    return "\n".join(line for lines in parts for line in lines)
