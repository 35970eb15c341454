"""Provider calls: the bill. Kept for ever, whatever becomes of their executions."""

from collections.abc import Sequence
from decimal import Decimal

from aif_contracts.metering import Basis, CallOutcome, ProviderCall, Purpose, Saving, Tokens
from aif_contracts.money import usd, usd_text
from aif_orchestrator.execution.commands import SettleCall
from aif_runtime.postgres import Connection, Record
from aif_runtime.sql_files import Queries


class CallStore:
    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def keep(self, connection: Connection, calls: Sequence[ProviderCall]) -> None:
        """Each once under its key, however often it comes."""
        await connection.executemany(self._queries["keep_provider_calls"], [_row(call) for call in calls])

    async def settle(self, connection: Connection, settlements: Sequence[SettleCall]) -> None:
        await connection.executemany(self._queries["settle_provider_call"], [_settlement(each) for each in settlements])

    async def list_page(self, connection: Connection, execution_id: str, after: str, limit: int) -> list[ProviderCall]:
        """By key, those after the key `after`; an empty one is before all."""
        rows = await connection.fetch(self._queries["list_provider_calls"], execution_id, after, limit)
        return [call_of(row) for row in rows]


def call_of(row: Record) -> ProviderCall:
    """A call as it stands in a row of all columns."""
    return ProviderCall(
        call_key=row["call_key"],
        execution_id=row["execution_id"],
        client_id=row["client_id"],
        workspace_id=row["workspace_id"],
        stage_id=row["stage_id"],
        attempt=row["attempt"],
        worker_name=row["worker_name"],
        action=row["action"],
        capability=row["capability"],
        provider=row["provider"],
        model=row["model"],
        purpose=Purpose(row["purpose"]),
        reason=row["reason"],
        fallback_from=row["fallback_from"],
        outcome=CallOutcome(row["outcome"]),
        tokens=Tokens(
            prompt_tokens=row["prompt_tokens"],
            completion_tokens=row["completion_tokens"],
            total_tokens=row["prompt_tokens"] + row["completion_tokens"],
            cache_read_tokens=row["cache_read_tokens"],
            cache_write_tokens=row["cache_write_tokens"],
            reasoning_tokens=row["reasoning_tokens"],
        ),
        audio_ms=row["audio_ms"],
        characters=row["characters"],
        cost_usd=_text(row["cost_usd"]),
        upper_bound_usd=_text(row["upper_bound_usd"]),
        basis=Basis(row["basis"]),
        price_version=row["price_version"],
        saved_usd=_text(row["saved_usd"]),
        saving=None if row["saving"] is None else Saving(row["saving"]),
        response_id=row["response_id"],
        latency_ms=row["latency_ms"],
        error=row["error"],
    )


def _row(call: ProviderCall) -> tuple[object, ...]:
    return (
        call.call_key,
        call.execution_id,
        call.client_id,
        call.workspace_id,
        call.stage_id,
        call.attempt,
        call.worker_name,
        call.action,
        call.capability,
        call.provider,
        call.model,
        str(call.purpose),
        call.reason,
        call.fallback_from,
        str(call.outcome),
        call.tokens.prompt_tokens,
        call.tokens.completion_tokens,
        call.tokens.cache_read_tokens,
        call.tokens.cache_write_tokens,
        call.tokens.reasoning_tokens,
        call.audio_ms,
        call.characters,
        _amount(call.cost_usd),
        _amount(call.upper_bound_usd),
        str(call.basis),
        call.price_version,
        _amount(call.saved_usd),
        None if call.saving is None else str(call.saving),
        call.response_id,
        call.latency_ms,
        call.error,
    )


def _settlement(settled: SettleCall) -> tuple[object, ...]:
    tokens = settled.tokens
    return (
        settled.call_key,
        usd(settled.cost_usd),
        str(settled.basis),
        settled.note,
        tokens.prompt_tokens if tokens else None,
        tokens.completion_tokens if tokens else None,
        tokens.cache_read_tokens if tokens else None,
        tokens.cache_write_tokens if tokens else None,
        tokens.reasoning_tokens if tokens else None,
    )


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else usd(text)


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else usd_text(amount)
