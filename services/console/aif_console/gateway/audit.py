"""The audit log. The gateway shows it to operators only."""

from aif_console.gateway.gateway import Gateway, without_none
from aif_contracts.audit import AuditHead, AuditPage, AuditVerdict, VerifyAudit

AUDIT = "/api/admin/audit"


async def list_audit(gateway: Gateway, *, limit: int, **wanted: str | None) -> AuditPage:
    """Newest first; `wanted` as the address names it."""
    return await gateway.ask("GET", AUDIT, AuditPage, params=without_none(limit=limit, **wanted))


async def verify_audit(gateway: Gateway, *, after: AuditHead | None, head: AuditHead | None) -> AuditVerdict:
    """One part of the log."""
    question = VerifyAudit(after=after, head=head)
    return await gateway.ask("POST", f"{AUDIT}/verify", AuditVerdict, json=_body(question))


def _body(question: VerifyAudit) -> dict[str, dict[str, str | int]]:
    places = {"after": question.after, "head": question.head}
    return {name: {"sequence": place.sequence, "hash": place.hash} for name, place in places.items() if place is not None}
