"""What a search looks into: an execution's id, its template and the texts among its parameters."""

from collections.abc import Iterator, Mapping, Sequence

from aif_orchestrator.execution.state import Execution

MOST_CHARACTERS = 500
_DEEPEST = 4


def searched_text(execution: Execution) -> str:
    """In lower case, short texts first, so that a source document leaves room for a title; at most 500 characters."""
    texts = sorted(_texts(execution.parameters, _DEEPEST), key=len)
    whole = "\n".join([execution.execution_id, execution.template, *(text[:MOST_CHARACTERS] for text in texts)])
    return whole[:MOST_CHARACTERS].lower()[:MOST_CHARACTERS]


def search_pattern(text: str) -> str:
    """For LIKE: the text anywhere, in any case, its own signs taken as they are."""
    escaped = text.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _texts(value: object, deep: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif deep and isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item, deep - 1)
    elif deep and isinstance(value, Sequence):
        for item in value:
            yield from _texts(item, deep - 1)
