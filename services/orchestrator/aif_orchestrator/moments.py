"""Points in time as people write them into questions."""

from datetime import UTC, datetime

from aif_contracts.orders import FieldMistake

_MEND = "Write RFC 3339 with an offset, as in 2026-05-01T09:30:00Z."


def moment_in(field: str, text: str | None, mistakes: list[FieldMistake]) -> datetime | None:
    """In UTC. What is none is added to the mistakes."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("it has no offset")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        mistakes.append(FieldMistake(field=field, message=f"{field} is {text[:40]!r}, which is no point in time", mend=_MEND))
        return None
