"""Wrapped text whose further lines stand under the first one's words, without blanks at line ends."""

from collections.abc import Iterable, Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from aif_console.reading.plain_text import plain

LEAST_WIDTH = 20


class Hanging:
    """`text` behind `marker`, both `indent` columns in."""

    def __init__(self, text: Text, *, indent: int = 0, marker: Text | str = "") -> None:
        self._text = text
        self._marker = Text(" " * indent) + (Text(marker) if isinstance(marker, str) else marker)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        before = self._marker
        width = max(LEAST_WIDTH, options.max_width - before.cell_len)
        for line in self._text.wrap(console, width):
            line.rstrip()
            yield before + line
            before = Text(" " * self._marker.cell_len)


def rows(pairs: Iterable[tuple[str, str]]) -> RenderableType:
    """Names and what is to be said about them; those without words are left out."""
    shown = [(name, plain(words)) for name, words in pairs if words]
    width = max((len(name) for name, _ in shown), default=0) + 2
    return Group(*(Hanging(Text(words), marker=Text(name.ljust(width), style="bold")) for name, words in shown))
