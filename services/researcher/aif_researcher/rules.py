"""What research must keep beyond its schema. Each complaint is worded so that a model can mend it.

Level 2 asks that nothing is said twice, level 3 that the source proves what is said.
"""

from collections.abc import Iterable, Iterator

from aif_ai.extractive.words import plain
from aif_contracts.documents import SourceDocument
from aif_contracts.research import Research
from aif_contracts.structures import KeyPoint
from aif_researcher.research_order import ResearchOrder

_MOST_COMPLAINTS = 8
_GROUNDED_SHARE = 0.8


def complaints(research: Research, order: ResearchOrder, source: SourceDocument | None) -> tuple[str, ...]:
    """At most eight; empty when the order's validation level is kept."""
    found: list[str] = []
    if order.effective_level >= 2:
        found.extend(_repeated("subtopic title", (subtopic.title for subtopic in research.subtopics)))
        found.extend(_repeated("key point", (point.text for point in research.key_points)))
        for subtopic in research.subtopics:
            found.extend(_repeated(f"key point of {subtopic.title!r}", (point.text for point in subtopic.key_points)))
    if order.effective_level >= 3 and source is not None:
        found.extend(_unproved(list(all_points(research)), source))
    return tuple(found[:_MOST_COMPLAINTS])


def all_points(research: Research) -> Iterator[KeyPoint]:
    """Those of the whole, then those of the subtopics."""
    yield from research.key_points
    for subtopic in research.subtopics:
        yield from subtopic.key_points


def _unproved(points: list[KeyPoint], source: SourceDocument) -> Iterator[str]:
    spans = [point.source for point in points if point.source is not None]
    if any(not 0 <= span.start < span.end <= len(source.text) for span in spans):
        yield "a span lies outside the source"
    if len(spans) < _GROUNDED_SHARE * len(points):
        yield (
            f"{len(points) - len(spans)} of {len(points)} key points have a quote that is not in the source; "
            "copy each quote from the source character for character, at least 12 characters long"
        )


def _repeated(what: str, texts: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for text in texts:
        if plain(text) in seen:
            yield f"{what} occurs twice: {text[:80]!r}"
        seen.add(plain(text))
