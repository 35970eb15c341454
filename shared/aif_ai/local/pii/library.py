"""What the library `datafog-core` finds, in our words. It works in this process and sends nothing anywhere."""

from collections.abc import Collection, Iterator

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


def found_by_library(text: str, kinds: Collection[PiiKind], language: str | None) -> Iterator[Finding]:
    """Numbers of German offices are looked for in German texts only: elsewhere nearly any number looks like one."""
    import datafog_core

    is_german = language is not None and language.lower().split("-")[0] == "de"
    wanted = {name: kind for name, kind in {**_KINDS, **(_GERMAN_KINDS if is_german else {})}.items() if kind in kinds}
    if not wanted:
        return
    entities = list(wanted)
    findings = (
        datafog_core.scan(text, {"entities": entities, "locale": "de"})
        if is_german
        else datafog_core.scan(text, {"entities": entities})
    )
    for finding in findings:
        place = finding.codepoint_range
        if place.end > place.start:
            yield Finding(kind=wanted[finding.entity_type], start=place.start, end=place.end, found_by=finding.detector_name)
