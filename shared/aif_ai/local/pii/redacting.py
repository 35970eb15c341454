"""From findings to a redacted text that still knows where everything came from."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from aif_ai.local.pii.finding import Finding, merged
from aif_contracts.analysis import PiiEntity, PiiKind, Redaction, Turn
from aif_contracts.documents import Span


class Places(Struct, frozen=True, kw_only=True):
    """Where the characters of a text have gone. All four grow with the text."""

    sources: tuple[Span, ...]
    """Replaced stretches of the text as it came."""
    spans: tuple[Span, ...]
    """What stands there now."""

    def moved(self, position: int, *, to_end: bool = False) -> int:
        """The new place of a boundary. Inside a replaced stretch it is the replacement's beginning, or its end."""
        before = bisect_right(self.sources, position, key=lambda span: span.start) - 1
        if before < 0:
            return position
        source, span = self.sources[before], self.spans[before]
        if position >= source.end:
            return span.end + position - source.end
        return span.end if to_end and position > source.start else span.start

    def origin(self, position: int, *, to_end: bool = False) -> int:
        """The other way round: where a boundary of the redacted text came from."""
        return Places(sources=self.spans, spans=self.sources).moved(position, to_end=to_end)


def redact(
    text: str,
    findings: Iterable[Finding],
    *,
    turns: Sequence[Turn] = (),
    looked_for: Sequence[PiiKind] = (),
    numbered: bool = False,
    note: str = "",
    made_by: str = "",
) -> Redaction:
    """Every finding gives way to its kind, as in `[EMAIL]`; numbered, equal ones to equal names, as in `[EMAIL_2]`."""
    names: dict[tuple[PiiKind, str], int] = {}
    parts: list[str] = []
    entities: list[PiiEntity] = []
    position = length = 0
    for finding in merged(findings):
        replacement = f"[{finding.kind.upper()}]"
        if numbered:
            same = (finding.kind, "".join(text[finding.start : finding.end].casefold().split()))
            number = names.setdefault(same, 1 + sum(kind is finding.kind for kind, _ in names))
            replacement = f"[{finding.kind.upper()}_{number}]"
        parts += (text[position : finding.start], replacement)
        start = length + finding.start - position
        length = start + len(replacement)
        position = finding.end
        entities.append(
            PiiEntity(
                kind=finding.kind,
                source=Span(start=finding.start, end=finding.end),
                span=Span(start=start, end=length),
                replacement=replacement,
                found_by=finding.found_by,
            )
        )
    parts.append(text[position:])
    redacted = "".join(parts)
    places = places_of(entities)
    return Redaction(
        text=redacted,
        entities=tuple(entities),
        counts=dict(sorted(Counter(entity.kind.value for entity in entities).items())),
        characters=len(text),
        turns=_moved(turns, places, redacted),
        looked_for=tuple(looked_for),
        note=note,
        made_by=made_by,
    )


def places_of(entities: Sequence[PiiEntity]) -> Places:
    return Places(sources=tuple(entity.source for entity in entities), spans=tuple(entity.span for entity in entities))


def _moved(turns: Sequence[Turn], places: Places, redacted: str) -> tuple[Turn, ...]:
    """What goes on from one turn to the next stands in the first one's place: turns never overlap."""
    moved: list[Turn] = []
    position = 0
    for turn in turns:
        start = max(position, places.moved(turn.span.start))
        position = max(start, places.moved(turn.span.end, to_end=True))
        moved.append(msgspec.structs.replace(turn, text=redacted[start:position], span=Span(start=start, end=position)))
    return tuple(moved)
