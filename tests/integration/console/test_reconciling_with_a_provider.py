"""`aif reconcile` over HTTP on both sides: a ledger behind a gateway, and a provider that tells its bill in its own shapes."""

import io
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from aif_console.factory.plan import DataFolder
from aif_console.failures import BadInput, ReportUnavailable
from aif_console.gateway.reach import Reach
from aif_console.reconcile import Report, Wishes, period_of, run_reconcile
from aif_console.reconciliation.sides import Period
from aif_contracts.metering import CallOutcome, ProviderCall, Purpose, Tokens
from aif_contracts.money import usd_text
from aif_contracts.reconciliation import BookedCall, BookedCallPage
from aif_runtime.clock import rfc3339
from support.gateway_stand_in import GatewayStandIn, gateway_stand_in
from support.provider_double.bill import BillEntry
from support.provider_double.server import ProviderDouble, provider_double

MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}
KEYS = {"OPENAI_ADMIN_KEY": "sk-admin-canary", "ANTHROPIC_ADMIN_KEY": "sk-ant-admin-canary"}
BEGIN = datetime(2026, 11, 10, tzinfo=UTC)
PERIOD = Period(first=date(2026, 11, 10), last=date(2026, 12, 20))
"""More days than fit on a page."""


class Side(msgspec.Struct, kw_only=True):
    gateway: GatewayStandIn
    double: ProviderDouble
    out: str = ""

    async def reconcile(self, provider: str, **wishes: Any) -> tuple[int, Report]:
        environ = wishes.pop("environ", KEYS)
        written = io.StringIO()
        given = {
            "now": datetime(2026, 12, 31, tzinfo=UTC),
            "provider": provider,
            "period": PERIOD,
            "statement": None,
            "provider_url": self.double.url,
            "tolerance_tokens": 0,
            "settle": False,
            "as_json": True,
            **wishes,
        }
        reach = Reach(url=self.gateway.url, key="operator-key", folder=DataFolder(Path("unused")))
        code = await run_reconcile(Wishes(**given), reach, Console(file=written, width=200), environ)
        self.out = written.getvalue()
        return code, msgspec.json.decode(self.out, type=Report) if given["as_json"] else NO_REPORT

    def ledger_has(self, booked: Sequence[BookedCall]) -> None:
        """In two pages."""
        half = len(booked) // 2
        pages = [
            BookedCallPage(calls=tuple(booked[:half]), next_cursor="more"),
            BookedCallPage(calls=tuple(booked[half:]), next_cursor=None),
        ]
        contents = [msgspec.to_builtins(page) for page in pages]
        self.gateway.answers_with("GET /api/admin/calls", *contents)


NO_REPORT: Any = None


@pytest.fixture
def gateway() -> Iterator[GatewayStandIn]:
    with gateway_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
async def side(gateway: GatewayStandIn) -> AsyncIterator[Side]:
    async with provider_double(lambda: datetime(2026, 12, 31, tzinfo=UTC)) as double:
        yield Side(gateway=gateway, double=double)


def bill(provider: str, count: int = 60) -> list[BillEntry]:
    """One entry every sixteen hours, cached tokens among them."""
    return [
        BillEntry(
            response_id=f"answer-{number}",
            model=MODELS[provider],
            provider=provider,
            client_request_id=f"exec_1.a.1.{number}",
            at=BEGIN + timedelta(hours=16 * number + 1),
            input_tokens=100 + number,
            cache_read_tokens=number % 3 * 10,
            cache_write_tokens=number % 4 * 5,
            output_tokens=20 + number,
        )
        for number in range(count)
    ]


def booked(entry: BillEntry, *, outcome: CallOutcome = CallOutcome.ANSWERED) -> BookedCall:
    """As a ledger without a mistake has it."""
    is_known = outcome is CallOutcome.ANSWERED
    return BookedCall(
        call=ProviderCall(
            call_key=str(entry.client_request_id),
            execution_id="exec_1",
            client_id="acme",
            stage_id="a",
            attempt=1,
            worker_name="maker",
            provider=entry.provider,
            model=entry.model,
            purpose=Purpose.FIRST_TRY,
            outcome=outcome,
            tokens=Tokens(
                prompt_tokens=entry.prompt_tokens,
                completion_tokens=entry.output_tokens,
                total_tokens=entry.prompt_tokens + entry.output_tokens,
                cache_read_tokens=entry.cache_read_tokens,
                cache_write_tokens=entry.cache_write_tokens,
            )
            if is_known
            else Tokens(),
            cost_usd=usd_text(entry.cost_usd) if is_known else None,
            upper_bound_usd="1",
            response_id=entry.response_id if is_known else None,
        ),
        booked_at=rfc3339(entry.at),
    )


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_true_ledger_agrees_with_the_provider_over_pages_and_cached_tokens(side: Side, provider: str) -> None:
    side.double.bill += bill(provider)
    side.ledger_has([booked(entry) for entry in side.double.bill])

    code, report = await side.reconcile(provider)

    assert (code, report.calls, list(report.differences)) == (0, 60, [])
    assert report.ledger == report.provider_side
    assert report.ledger.total == sum(entry.prompt_tokens + entry.output_tokens for entry in side.double.bill)
    asked = side.gateway.asked[0]
    assert asked.headers["X-API-Key"] == "operator-key"
    assert (asked.query["provider"], asked.query["from"]) == (provider, "2026-11-09T23:00:00.000Z")


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_what_differs_is_named_and_counts(side: Side, provider: str) -> None:
    side.double.bill += bill(provider)
    entries = list(side.double.bill)
    tampered = replace(entries[7], output_tokens=entries[7].output_tokens + 3)
    side.ledger_has([booked(each) for each in [*entries[:7], tampered, *entries[8:]]])

    code, report = await side.reconcile(provider)

    assert code == 1
    assert [(each.kind, each.usage.output) for each in report.differences] == [("token_difference", -3)]


@pytest.mark.parametrize(("tolerance", "expected"), [(2, 1), (3, 0)])
async def test_a_tolerance_is_a_number_of_tokens(side: Side, tolerance: int, expected: int) -> None:
    side.double.bill += bill("openai", 5)
    tampered = replace(side.double.bill[0], output_tokens=side.double.bill[0].output_tokens + 3)
    side.ledger_has([booked(each) for each in [tampered, *side.double.bill[1:]]])

    code, _ = await side.reconcile("openai", tolerance_tokens=tolerance)

    assert code == expected


async def test_a_call_in_doubt_is_settled_by_the_providers_bill_when_that_is_wished(side: Side) -> None:
    side.double.bill += bill("openai", 6)
    doubted = booked(side.double.bill[3], outcome=CallOutcome.IN_DOUBT)
    ledger = [*(booked(each) for each in side.double.bill[:3]), doubted, *(booked(each) for each in side.double.bill[4:])]
    settle = "POST /api/admin/calls/exec_1.a.1.3/settle"
    side.gateway.answers_with(settle, msgspec.to_builtins(doubted))
    side.ledger_has(ledger)
    without, _ = await side.reconcile("openai")
    side.ledger_has(ledger)

    code, report = await side.reconcile("openai", settle=True)

    body = side.gateway.last(settle).json
    assert (without, code, report.settled) == (1, 0, ("exec_1.a.1.3",))
    assert [each.kind for each in report.differences] == ["in_doubt_resolved"]
    assert body["billed"] is True
    assert Decimal(body["cost_usd"]) == side.double.bill[3].cost_usd
    assert body["tokens"]["prompt_tokens"] == side.double.bill[3].prompt_tokens
    assert body["note"] == "statement of openai, 2026-11-10 to 2026-12-20"


async def test_a_statement_of_requests_resolves_every_call_in_doubt(side: Side, tmp_path: Path) -> None:
    side.double.bill += bill("anthropic", 8)
    entries = list(side.double.bill)
    statement = tmp_path / "requests.json"
    statement.write_bytes(msgspec.json.encode(entries[:7]))
    for number in (2, 7):
        side.gateway.answers_with(
            f"POST /api/admin/calls/exec_1.a.1.{number}/settle", msgspec.to_builtins(booked(entries[number]))
        )
    doubted = [
        booked(each, outcome=CallOutcome.STARTED if number in (2, 7) else CallOutcome.ANSWERED)
        for number, each in enumerate(entries)
    ]
    side.ledger_has(doubted)

    code, report = await side.reconcile("anthropic", statement=statement, settle=True)

    assert (code, report.settled) == (0, ("exec_1.a.1.2", "exec_1.a.1.7"))
    billed = side.gateway.last("POST /api/admin/calls/exec_1.a.1.2/settle").json
    assert Decimal(billed["cost_usd"]) == entries[2].cost_usd
    assert side.gateway.last("POST /api/admin/calls/exec_1.a.1.7/settle").json == {
        "billed": False,
        "note": "statement of requests.json, 2026-11-10 to 2026-12-20",
    }


async def test_what_is_not_billed_yet_is_not_settled_while_the_statement_may_grow(side: Side, tmp_path: Path) -> None:
    [entry] = bill("anthropic", 1)
    statement = tmp_path / "requests.json"
    statement.write_bytes(b"[]")
    doubted = BookedCallPage(calls=(booked(entry, outcome=CallOutcome.IN_DOUBT),), next_cursor=None)
    side.gateway.answers_with("GET /api/admin/calls", msgspec.to_builtins(doubted))

    code, report = await side.reconcile(
        "anthropic", statement=statement, settle=True, now=datetime(2026, 11, 11, 11, 59, tzinfo=UTC)
    )

    assert (code, report.settled) == (1, ())
    assert report.unsettled == ("exec_1.a.1.0: not billed so far; a statement may grow for 12 hours",)


async def test_exports_of_both_consoles_are_read(side: Side, tmp_path: Path) -> None:
    for provider, name in (("openai", "openai.csv"), ("anthropic", "anthropic.csv")):
        entries = bill(provider, 3)
        rows = [_openai_row(each) if provider == "openai" else _anthropic_row(each) for each in entries]
        export = tmp_path / name
        export.write_text("\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]) + "\n")
        side.ledger_has([booked(each) for each in entries])

        code, report = await side.reconcile(provider, statement=export)

        assert (code, report.calls, list(report.differences)) == (0, 3, [])


async def test_an_export_by_minutes_with_empty_ones_among_them_is_added_up(side: Side, tmp_path: Path) -> None:
    entries = [replace(each, at=BEGIN + timedelta(minutes=30 + number)) for number, each in enumerate(bill("openai", 2))]
    export = tmp_path / "completions_usage.csv"
    columns = "start_time,end_time,start_time_iso,end_time_iso,num_model_requests,model,input_tokens,output_tokens"
    rows = [
        f"{int(each.at.timestamp())},,,,1.0,{each.model},{each.prompt_tokens},{each.output_tokens},{each.cache_read_tokens}.0,"
        f"{each.cache_write_tokens}"
        for each in entries
    ]
    nothing = f"{int(BEGIN.timestamp())},,,,,,,,,"
    export.write_text("\n".join([f"{columns},input_cached_tokens,input_cache_write_tokens", nothing, *rows]) + "\n")
    side.ledger_has([booked(each) for each in entries])

    code, report = await side.reconcile("openai", statement=export)

    assert (code, report.calls, list(report.differences)) == (0, 2, [])


async def test_an_export_of_a_time_without_use_says_that_nothing_was_billed(side: Side, tmp_path: Path) -> None:
    export = tmp_path / "completions_usage.csv"
    export.write_text("start_time,end_time,start_time_iso,end_time_iso\n1762732800,1762819200,,\n")
    side.ledger_has([])

    code, report = await side.reconcile("openai", statement=export)

    assert (code, report.provider_side.total) == (0, 0)


async def test_tokens_written_to_a_cache_count_in_older_exports_of_anthropic(side: Side, tmp_path: Path) -> None:
    entries = bill("anthropic", 3)
    rows = [_anthropic_row(each) for each in entries]
    for row in rows:
        row["usage_input_tokens_cache_write"] = row.pop("usage_input_tokens_cache_write_5m")
        del row["usage_input_tokens_cache_write_1h"]
    export = tmp_path / "anthropic.csv"
    export.write_text("\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]) + "\n")
    side.ledger_has([booked(each) for each in entries])

    code, report = await side.reconcile("anthropic", statement=export)

    assert (code, list(report.differences)) == (0, [])


async def test_an_export_that_is_not_grouped_by_model_is_refused_with_the_mend(side: Side, tmp_path: Path) -> None:
    export = tmp_path / "completions_usage.csv"
    export.write_text("start_time,model,input_tokens,output_tokens,num_model_requests\n1762732800,,10,5,1\n")
    side.ledger_has([])

    with pytest.raises(BadInput, match="group the usage by model before you export it"):
        await side.reconcile("openai", statement=export)


async def test_the_table_names_the_call(side: Side) -> None:
    side.double.bill += bill("openai", 4)
    side.ledger_has([booked(each) for each in side.double.bill[1:]])

    code, _ = await side.reconcile("openai", as_json=False)

    assert code == 1
    assert "openai, 2026-11-10 to 2026-12-20: 3 calls" in side.out
    assert "missing_in_ledger" in side.out
    assert side.out.endswith("the two sides differ\n")


@pytest.mark.parametrize(
    ("environ", "failure", "words"),
    [
        ({}, BadInput, "OPENAI_ADMIN_KEY"),
        ({"OPENAI_ADMIN_KEY": "sk-ordinary-canary"}, ReportUnavailable, "an administrator's key is needed"),
    ],
)
async def test_without_an_administrators_key_nothing_is_compared_and_the_key_is_not_told(
    side: Side, environ: dict[str, str], failure: type[Exception], words: str
) -> None:
    side.ledger_has([])

    with pytest.raises(failure, match=words) as refused:
        await side.reconcile("openai", environ=environ)

    assert "canary" not in str(refused.value)


async def test_a_provider_that_is_away_is_said_so(side: Side) -> None:
    side.ledger_has([])

    with pytest.raises(ReportUnavailable, match="openai does not say what it has billed"):
        await side.reconcile("openai", provider_url="http://127.0.0.1:1")


@pytest.mark.parametrize(
    "content", ["", "a,b\n1,2\n", "[1]", "start_time,model,input_tokens,output_tokens,num_model_requests\nx,m,1,1,1\n"]
)
async def test_a_file_that_is_no_statement_is_refused(side: Side, tmp_path: Path, content: str) -> None:
    statement = tmp_path / "strange.csv"
    statement.write_text(content)
    side.ledger_has([])

    with pytest.raises(BadInput, match=r"strange\.csv cannot be understood"):
        await side.reconcile("openai", statement=statement)


def test_the_period_is_yesterday_unless_days_are_named() -> None:
    today = date(2026, 11, 21)

    assert period_of(None, None, today) == Period(first=date(2026, 11, 20), last=date(2026, 11, 20))
    assert period_of("2026-11-01", None, today) == Period(first=date(2026, 11, 1), last=date(2026, 11, 20))
    assert period_of(None, "2026-11-05", today) == Period(first=date(2026, 11, 5), last=date(2026, 11, 5))
    for first, last in (("2026-11-05", "2026-11-04"), ("november", None), ("2026-11-21", None), (None, "2026-11-21")):
        with pytest.raises(BadInput):
            period_of(first, last, today)


def _openai_row(entry: BillEntry) -> dict[str, str]:
    day = entry.at.replace(hour=0)
    return {
        "start_time": str(int(day.timestamp())),
        "end_time": str(int((day + timedelta(days=1)).timestamp())),
        "project_id": "",
        "num_model_requests": "1",
        "model": f"{entry.model}-2024-07-18",
        "input_tokens": str(entry.prompt_tokens),
        "output_tokens": str(entry.output_tokens),
        "input_cached_tokens": str(entry.cache_read_tokens),
        "input_cache_write_tokens": str(entry.cache_write_tokens),
    }


def _anthropic_row(entry: BillEntry) -> dict[str, str]:
    return {
        "usage_date_utc": entry.at.date().isoformat(),
        "model_version": f"{entry.model}-20251001",
        "api_key": "key",
        "usage_input_tokens_no_cache": str(entry.input_tokens),
        "usage_input_tokens_cache_write_5m": str(entry.cache_write_tokens),
        "usage_input_tokens_cache_write_1h": "0",
        "usage_input_tokens_cache_read": str(entry.cache_read_tokens),
        "usage_output_tokens": str(entry.output_tokens),
    }
