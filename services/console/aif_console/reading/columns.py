"""Lists in columns. Nothing is cut off: ids are there to be copied, and lines to be searched."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, ConsoleOptions
from rich.text import Text

from aif_console.reading.hanging import LEAST_WIDTH
from aif_console.reading.plain_text import plain

GAP = "  "


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
        yield _beginning(before, widths, "bold") + Text(last, style="bold")
        for line in self._lines:
            yield from _wrapped(_beginning(line[:-1], widths), line[-1], room if console.is_terminal else None, console)


def _beginning(cells: Sequence[str], widths: Sequence[int], style: str = "") -> Text:
    text = Text(style=style, no_wrap=True, overflow="ignore")
    for cell, width in zip(cells, widths, strict=True):
        text.append(cell + " " * (width - Text(cell).cell_len) + GAP)
    return text


def _wrapped(beginning: Text, words: str, room: int | None, console: Console) -> Iterator[Text]:
    text = beginning.copy()
    if room is None or not words:
        yield _stripped(text + Text(words))
        return
    for line in Text(words).wrap(console, max(LEAST_WIDTH, room)):
        yield _stripped(text + line)
        text = Text(" " * beginning.cell_len, no_wrap=True, overflow="ignore")


def _stripped(line: Text) -> Text:
    line.rstrip()
    return line
