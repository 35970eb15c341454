"""Provider calls: the bill. Kept for ever, whatever becomes of their executions."""

from collections.abc import Sequence
from decimal import Decimal

from aif_contracts.metering import CallOutcome, ProviderCall, Purpose, Tokens
from aif_contracts.money import usd, usd_text
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries


class CallStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def keep(self, connection: Connection, calls: Sequence[ProviderCall]) -> None:
        """Each once under its key, however often it comes."""
        await connection.executemany(self._queries["insert_provider_calls"], [_row(call) for call in calls])

    async def list_page(self, connection: Connection, execution_id: str, after: str, limit: int) -> list[ProviderCall]:
        """By key, those after the key `after`; an empty one is before all."""
        rows = await connection.fetch(self._queries["list_provider_calls"], execution_id, after, limit)
        return [_call(row) for row in rows]


def _row(call: ProviderCall) -> tuple[object, ...]:
    return (
        call.call_key,
        call.execution_id,
        call.client_id,
        call.stage_id,
        call.attempt,
        call.worker_name,
        call.provider,
        call.model,
        call.purpose,
        str(call.outcome),
        call.tokens.prompt_tokens,
        call.tokens.completion_tokens,
        call.tokens.cache_read_tokens,
        call.tokens.cache_write_tokens,
        call.tokens.reasoning_tokens,
        _amount(call.cost_usd),
        _amount(call.upper_bound_usd),
        call.price_version,
        call.response_id,
        call.latency_ms,
        call.error,
    )


def _call(row: Record) -> ProviderCall:
    return ProviderCall(
        call_key=row["call_key"],
        execution_id=row["execution_id"],
        client_id=row["client_id"],
        stage_id=row["stage_id"],
        attempt=row["attempt"],
        worker_name=row["worker_name"],
        provider=row["provider"],
        model=row["model"],
        purpose=Purpose(row["purpose"]),
        outcome=CallOutcome(row["outcome"]),
        tokens=Tokens(
            prompt_tokens=row["prompt_tokens"],
            completion_tokens=row["completion_tokens"],
            total_tokens=row["prompt_tokens"] + row["completion_tokens"],
            cache_read_tokens=row["cache_read_tokens"],
            cache_write_tokens=row["cache_write_tokens"],
            reasoning_tokens=row["reasoning_tokens"],
        ),
        cost_usd=_text(row["cost_usd"]),
        upper_bound_usd=_text(row["upper_bound_usd"]),
        price_version=row["price_version"],
        response_id=row["response_id"],
        latency_ms=row["latency_ms"],
        error=row["error"],
    )


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else usd(text)


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else usd_text(amount)
