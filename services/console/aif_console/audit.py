"""`aif audit`: who has done what, and whether the log is as it was written."""

import re

import msgspec
from rich.console import Console
from rich.text import Text

from aif_console.exit_codes import DONE, FAILED
from aif_console.failures import BadInput
from aif_console.gateway.audit import list_audit, verify_audit
from aif_console.gateway.gateway import Gateway
from aif_console.gateway.reach import Reach
from aif_console.moments import local_time
from aif_console.reading.columns import Columns
from aif_console.reading.json_output import print_json
from aif_console.reading.plain_text import plain
from aif_contracts.audit import AuditHead, AuditRow, AuditVerdict

HEADINGS = ("ROW", "RECORDED", "ACTION", "ACTOR", "CLIENT", "DETAILS")
_HEAD = re.compile(r"(?P<sequence>[0-9]{1,18}):(?P<hash>[0-9a-f]{64})")


async def run_list_audit(
    reach: Reach,
    console: Console,
    *,
    action: str | None,
    severity: str | None,
    client_id: str | None,
    execution_id: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """Newest first."""
    async with Gateway(reach.url, reach.key) as gateway:
        page = await list_audit(
            gateway, limit=limit, action=action, severity=severity, client_id=client_id, execution_id=execution_id
        )
    if as_json:
        print_json(console, page)
        return DONE
    if not page.rows:
        console.print("no entry in the audit log")
        return DONE
    console.print(Columns(HEADINGS, (_cells(row) for row in page.rows)), soft_wrap=True)
    return DONE


async def run_verify_audit(reach: Reach, console: Console, *, head: str | None, as_json: bool) -> int:
    """Follow the whole chain; exit code 1 when a row is not as it was written."""
    kept = _head_in(head)
    async with Gateway(reach.url, reach.key) as gateway:
        verdict = await _verdict(gateway, kept)
    if as_json:
        print_json(console, verdict)
    else:
        _tell(console, verdict)
    return DONE if verdict.fault is None else FAILED


async def _verdict(gateway: Gateway, kept: AuditHead | None) -> AuditVerdict:
    """Of all parts together."""
    after: AuditHead | None = None
    checked = 0
    while True:
        part = await verify_audit(gateway, after=after, head=kept)
        checked += part.checked
        if part.is_complete:
            return msgspec.structs.replace(part, checked=checked)
        after = part.head


def _tell(console: Console, verdict: AuditVerdict) -> None:
    rows = f"{verdict.checked} {'row' if verdict.checked == 1 else 'rows'}"
    if verdict.fault is None:
        console.print(Text(f"the audit log is as it was written: {rows}"), soft_wrap=True)
        console.print(Text(f"keep its head elsewhere: --head {verdict.head.sequence}:{verdict.head.hash}"), soft_wrap=True)
        return
    fault = verdict.fault
    console.print(
        Text(plain(f"row {fault.sequence} is {_WORDS.get(fault.kind.value, fault.kind.value)}: {fault.message}"), style="red"),
        soft_wrap=True,
    )
    console.print(Text(f"{rows} before it {'is' if verdict.checked == 1 else 'are'} as written"), soft_wrap=True)


_WORDS = {"cut": "cut off", "unknown_key": "sealed with an unknown key"}


def _head_in(text: str | None) -> AuditHead | None:
    if text is None:
        return None
    found = _HEAD.fullmatch(text.strip())
    if found is None:
        raise BadInput(
            "--head", f"{text[:100]!r} is no head", "give what an earlier `aif audit verify` has printed, as 42:0c1d…"
        )
    return AuditHead(sequence=int(found["sequence"]), hash=found["hash"])


def _cells(row: AuditRow) -> tuple[str, ...]:
    entry = row.entry
    details = msgspec.json.encode(entry.details).decode()
    return (str(row.sequence), local_time(row.recorded_at), entry.action, entry.actor, entry.client_id or "", details)
