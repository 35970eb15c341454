"""Which executions a list is asked for, checked."""

from datetime import UTC, datetime

from aif_contracts.orders import FieldMistake, ListExecutions, Refusal
from aif_orchestrator.store.executions import Wanted

_MEND = "Write RFC 3339 with an offset, as in 2026-05-01T09:30:00Z."


def wanted_executions(request: ListExecutions) -> Wanted | Refusal:
    """What the store is to look for; a Refusal that names the fields when a time is none."""
    mistakes: list[FieldMistake] = []
    after = _moment("created_after", request.created_after, mistakes)
    before = _moment("created_before", request.created_before, mistakes)
    if mistakes:
        return Refusal(code="invalid_filter", message=mistakes[0].message, mistakes=tuple(mistakes))
    return Wanted(
        client_id=request.client_id,
        status=request.status,
        template=request.template,
        request_id=request.request_id,
        created_after=after,
        created_before=before,
        text=request.text,
    )


def _moment(field: str, text: str | None, mistakes: list[FieldMistake]) -> datetime | None:
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
