"""A call whose answer never came, settled by the provider's bill: order, doubt, `aif reconcile --settle`, books that agree."""

import io
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
from rich.console import Console

from aif_console.factory.factory import Factory
from aif_console.factory.plan import DataFolder
from aif_console.gateway.reach import Reach
from aif_console.reconcile import Report, Wishes, run_reconcile
from aif_console.reconciliation.sides import Period
from support.factory import running_factory
from support.factory_settings import model_settings
from support.http_client import client_of
from support.provider_double.faults import FaultKind
from support.provider_double.server import ProviderDouble, provider_double
from support.waiting import eventually

BUDGET = "/api/v1/ai/pipelines/budget/status"


async def test_a_call_that_was_billed_and_never_answered_is_settled_by_the_providers_report(factory_dir: Path) -> None:
    async with provider_double() as provider:
        provider.plan(FaultKind.SILENT_AFTER_BILLING)
        settings = {**model_settings(provider), "AIF_PROVIDER_SILENCE_SECONDS": "1"}
        async with running_factory(factory_dir, settings) as factory, client_of(factory) as client:
            order = await client.order("content_granulation_course", {"topic": "Keeping bees"})
            ended = await client.ended(order["request_id"])
            lost, answered = provider.bill
            doubted = (await client.http.get(BUDGET)).json()
            without, differing = await _reconcile(factory, provider, settle=False)

            code, settled = await _reconcile(factory, provider, settle=True)

            corrected = (await client.http.get(BUDGET)).json()
            again, agreed = await _reconcile(factory, provider, settle=False)
            calls, audited = await _call_and_audit(factory, str(lost.client_request_id))
            billed = lost.cost_usd + answered.cost_usd
            await eventually(
                lambda: _is_told(client.request, order["request_id"], billed), what="the order's cost is corrected"
            )

    assert (ended["status"], Decimal(ended["total_cost_usd"])) == ("completed", answered.cost_usd)
    assert Decimal(doubted["spent_usd"]) == answered.cost_usd
    assert Decimal(doubted["reserved_usd"]) > lost.cost_usd
    assert (without, [(each.kind.value, each.call_keys) for each in differing.differences]) == (
        1,
        [("in_doubt_resolved", (lost.client_request_id,))],
    )
    assert (code, settled.settled, settled.unsettled) == (0, (lost.client_request_id,), ())
    assert (Decimal(corrected["spent_usd"]), Decimal(corrected["reserved_usd"])) == (billed, Decimal(0))
    assert (again, list(agreed.differences), agreed.ledger) == (0, [], agreed.provider_side)
    assert (calls["basis"], Decimal(calls["cost_usd"])) == ("statement", lost.cost_usd)
    assert calls["tokens"]["prompt_tokens"] == lost.prompt_tokens
    assert audited == ["CALL_SETTLED"]


async def _reconcile(factory: Factory, provider: ProviderDouble, *, settle: bool) -> tuple[int, Report]:
    """Some days after the calls, the days beside theirs included: a call near midnight may be billed on one of those."""
    days = [entry.at.date() for entry in provider.bill]
    beside = timedelta(days=1)
    wishes = Wishes(
        now=provider.bill[-1].at + timedelta(days=3),
        provider="anthropic",
        period=Period(first=min(days) - beside, last=max(days) + beside),
        statement=None,
        provider_url=provider.url,
        tolerance_tokens=0,
        settle=settle,
        as_json=True,
    )
    written = io.StringIO()
    reach = Reach(url=factory.kam_url, key=factory.keys.admin_key, folder=DataFolder(Path("unused")))
    code = await run_reconcile(wishes, reach, Console(file=written), {"ANTHROPIC_ADMIN_KEY": "sk-ant-admin-test"})
    return code, msgspec.json.decode(written.getvalue(), type=Report)


async def _call_and_audit(factory: Factory, call_key: str) -> tuple[dict[str, Any], list[str]]:
    """The call as the operator sees it, and what the audit log has about it."""
    headers = {"X-API-Key": factory.keys.admin_key}
    async with httpx.AsyncClient(base_url=factory.kam_url, headers=headers) as operator:
        page = (await operator.get("/api/admin/calls")).json()
        found = next(each["call"] for each in page["calls"] if each["call"]["call_key"] == call_key)
        log = (await operator.get("/api/admin/audit", params={"action": "CALL_SETTLED"})).json()
    return found, [each["entry"]["action"] for each in log["rows"]]


async def _is_told(request: Any, request_id: str, cost_usd: Decimal) -> bool:
    return bool(Decimal((await request(request_id))["total_cost_usd"]) == cost_usd)
