"""One value of every message struct of the audit log and of reconciliation, with every field set and none at its default."""

from msgspec import Struct

from aif_contracts.audit import (
    CALL_SETTLED,
    SOC2,
    AuditEntry,
    AuditFault,
    AuditFaultKind,
    AuditHead,
    AuditPage,
    AuditRow,
    AuditVerdict,
    ListAudit,
    Severity,
    VerifyAudit,
)
from aif_contracts.metering import Basis, CallOutcome, ProviderCall, Purpose, Tokens
from aif_contracts.reconciliation import BookedCall, BookedCallPage, SearchCalls, SettleCall

ENTRY = AuditEntry(
    audit_id="settled.0d1c2b3a",
    action=CALL_SETTLED,
    severity=Severity.WARNING,
    actor="api_key:key_1",
    occurred_at="2026-05-01T09:30:00.000Z",
    details={"call_key": "exec_1.outline.2.1", "cost_usd": "0.0012"},
    compliance=(SOC2,),
    client_id="acme",
    execution_id="exec_1",
)
HEAD = AuditHead(sequence=7, hash="0d1c2b3a4958677665748392a1b0c9d8e7f60514233241506f7e8d9cabbac9d8")
ROW = AuditRow(
    sequence=7,
    entry=ENTRY,
    recorded_at="2026-05-01T09:30:00.125Z",
    sealed_with="hmac-sha256:0d1c2b3a",
    previous_hash="e2b371f41306cf95d2e7ab1e24030dfe06200e1c838647bd00207db841d12d03",
    hash=HEAD.hash,
)
BOOKED_CALL = BookedCall(
    call=ProviderCall(
        call_key="exec_1.outline.2.1",
        execution_id="exec_1",
        client_id="acme",
        stage_id="outline",
        attempt=2,
        worker_name="content_granulator",
        provider="openai",
        model="gpt-5-mini",
        purpose=Purpose.RETRY,
        outcome=CallOutcome.IN_DOUBT,
        cost_usd="0.0012",
        basis=Basis.STATEMENT,
    ),
    booked_at="2026-05-01T09:29:58.020Z",
    settled_at="2026-05-02T09:00:00.000Z",
    settled_note="usage export of May",
)
AUDIT_SAMPLES: tuple[Struct, ...] = (
    ENTRY,
    HEAD,
    ROW,
    ListAudit(
        action=CALL_SETTLED,
        severity=Severity.CRITICAL,
        actor="worker:maker",
        client_id="acme",
        execution_id="exec_1",
        recorded_after="2026-05-01T00:00:00Z",
        recorded_before="2026-06-01T00:00:00Z",
        cursor="9",
        limit=20,
    ),
    AuditPage(rows=(ROW,), next_cursor="7"),
    VerifyAudit(after=HEAD, head=HEAD),
    AuditFault(sequence=8, kind=AuditFaultKind.REMOVED, message="row 8 is gone"),
    AuditVerdict(
        checked=7,
        head=HEAD,
        is_complete=True,
        fault=AuditFault(sequence=8, kind=AuditFaultKind.REMOVED, message="row 8 is gone"),
    ),
    BOOKED_CALL,
    SearchCalls(
        provider="openai",
        model="gpt-5-mini",
        client_id="acme",
        execution_id="exec_1",
        outcome=CallOutcome.IN_DOUBT,
        basis=Basis.ESTIMATE,
        in_doubt=True,
        booked_from="2026-05-01T00:00:00Z",
        booked_to="2026-06-01T00:00:00Z",
        cursor="1777629600000000/exec_1.outline.2.1",
        limit=500,
    ),
    BookedCallPage(calls=(BOOKED_CALL,), next_cursor="1777629600000000/exec_1.outline.2.1"),
    SettleCall(
        call_key="exec_1.outline.2.1",
        billed=True,
        decided_by="api_key:key_1",
        note="usage export of May",
        tokens=Tokens(prompt_tokens=900, completion_tokens=100, total_tokens=1000),
        cost_usd="0.0012",
    ),
)
