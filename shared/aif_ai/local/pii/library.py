"""What the library `datafog-core` finds, in our words. It works in this process and sends nothing anywhere."""

from collections.abc import Callable, Collection, Iterator

from aif_ai.local.pii.finding import Finding
from aif_contracts.analysis import PiiKind

_KINDS = {
    "API_KEY": PiiKind.API_KEY,
    "BEARER_TOKEN": PiiKind.API_KEY,
    "CREDENTIAL_URI": PiiKind.API_KEY,
    "JWT": PiiKind.API_KEY,
    "PRIVATE_KEY": PiiKind.API_KEY,
    "CREDIT_CARD": PiiKind.CREDIT_CARD,
    "EMAIL": PiiKind.EMAIL,
    "IP_ADDRESS": PiiKind.IP_ADDRESS,
    "PHONE": PiiKind.PHONE,
    "SSN": PiiKind.NATIONAL_ID,
    "US_ROUTING_NUMBER": PiiKind.BANK_ROUTING,
    "DATE": PiiKind.DATE,
    "ZIP_CODE": PiiKind.POSTAL_CODE,
}
_GERMAN_KINDS = {
    "DE_IBAN": PiiKind.IBAN,
    "DE_PASSPORT_NUMBER": PiiKind.NATIONAL_ID,
    "DE_RESIDENCE_PERMIT_NUMBER": PiiKind.NATIONAL_ID,
    "DE_SOCIAL_SECURITY_NUMBER": PiiKind.NATIONAL_ID,
    "DE_TAX_ID": PiiKind.NATIONAL_ID,
    "DE_VAT_ID": PiiKind.NATIONAL_ID,
    "DE_POSTAL_CODE": PiiKind.POSTAL_CODE,
}


_WINDOW = 4_000
_CONTEXT = 500
"""Characters on either side of a window that the library sees, too: some of its findings rest on the words before them."""


def found_by_library(
    text: str, kinds: Collection[PiiKind], language: str | None, checkpoint: Callable[[], None]
) -> Iterator[Finding]:
    """Numbers of German offices are looked for in German texts only: elsewhere nearly any number looks like one.

    Window by window, because the library's time for one text may grow with the square of its length.
    """
    import datafog_core

    is_german = language is not None and language.lower().split("-")[0] == "de"
    wanted = {name: kind for name, kind in {**_KINDS, **(_GERMAN_KINDS if is_german else {})}.items() if kind in kinds}
    if not wanted:
        return
    entities = list(wanted)
    for begin in range(0, len(text), _WINDOW):
        checkpoint()
        seen_from = max(0, begin - _CONTEXT)
        seen = text[seen_from : begin + _WINDOW + _CONTEXT]
        for finding in (
            datafog_core.scan(seen, {"entities": entities, "locale": "de"})
            if is_german
            else datafog_core.scan(seen, {"entities": entities})
        ):
            start, end = seen_from + finding.codepoint_range.start, seen_from + finding.codepoint_range.end
            if begin <= start < min(end, begin + _WINDOW):
                yield Finding(kind=wanted[finding.entity_type], start=start, end=end, found_by=finding.detector_name)
