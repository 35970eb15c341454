"""One place in a text that holds personal data, and how places that overlap become one."""

from collections.abc import Iterable

from msgspec import Struct

from aif_contracts.analysis import PiiKind


class Finding(Struct, frozen=True, kw_only=True):
    """Characters `[start, end)` of the text, never empty."""

    kind: PiiKind
    start: int
    end: int
    found_by: str


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """In reading order, not overlapping. Where two overlap, all characters of both go, under the name of the longer one;
    of two of the same length the one that was given first has the say."""
    numbered = sorted(enumerate(findings), key=lambda pair: (pair[1].start, -pair[1].end, pair[0]))
    result: list[Finding] = []
    longest = 0
    for _, finding in numbered:
        if not result or finding.start >= result[-1].end:
            result.append(finding)
            longest = finding.end - finding.start
            continue
        last, end = result[-1], max(result[-1].end, finding.end)
        named = last
        if finding.end - finding.start > longest:
            named, longest = finding, finding.end - finding.start
        result[-1] = Finding(kind=named.kind, start=last.start, end=end, found_by=named.found_by)
    return result
