"""Lists in columns. Nothing is cut off: ids are there to be copied, and lines to be searched."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, ConsoleOptions
from rich.text import Text

from aif_console.reading.plain_text import plain

GAP = "  "
LEAST_ROOM = 30
"""A last column that would be narrower goes below its row instead."""
BELOW = "    "


class Columns:
    """Cells under headings. The last column is wrapped to a terminal's width; elsewhere every row is one line."""

    def __init__(self, headings: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
        self._headings = headings
        self._lines = [[plain(cell) for cell in line] for line in lines]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        *before, last = self._headings
        widths = [
            max(len(heading), *(Text(line[number]).cell_len for line in self._lines), 0)
            for number, heading in enumerate(before)
        ]
        room = options.max_width - sum(widths) - len(GAP) * len(widths)
        is_whole = not console.is_terminal
        head = _row(before, widths, "bold")
        yield _stripped(head + Text(last, style="bold") if is_whole or room >= LEAST_ROOM else head)
        for line in self._lines:
            row, words = _row(line[:-1], widths), Text(line[-1])
            if is_whole or not words:
                yield _stripped(row + words)
            elif room < LEAST_ROOM:
                yield _stripped(row)
                yield from _wrapped(_unbroken(BELOW), words, options.max_width - len(BELOW), console)
            else:
                yield from _wrapped(row, words, room, console)


def _row(cells: Sequence[str], widths: Sequence[int], style: str = "") -> Text:
    padded = (cell + " " * (width - Text(cell).cell_len) for cell, width in zip(cells, widths, strict=True))
    return _unbroken("".join(cell + GAP for cell in padded), style)


def _wrapped(beginning: Text, words: Text, room: int, console: Console) -> Iterator[Text]:
    """Further lines stand under the first one's words."""
    for line in words.wrap(console, room):
        yield _stripped(beginning + line)
        beginning = _unbroken(" " * beginning.cell_len)


def _unbroken(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ignore")


def _stripped(line: Text) -> Text:
    line.rstrip()
    return line
