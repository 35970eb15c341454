"""The orchestrator's ledger as its contract has it, in memory: one row for each call key, begun once and ended once."""

from collections.abc import Callable
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from aif_contracts.metering import Basis, CallOutcome, ProviderCall, Tokens
from aif_contracts.packets import Context, Grant
from support.provider_double.bill import BillEntry
from support.recording_assignment import RecordingAssignment


class ContractBroken(Exception):
    """Somebody announced a call twice, ended it twice, or made one that was not announced."""


class LedgerBook:
    def __init__(self) -> None:
        self.rows: dict[str, ProviderCall] = {}

    def announce(self, call: ProviderCall) -> None:
        if call.call_key in self.rows:
            raise ContractBroken(f"{call.call_key} was announced before")
        if call.outcome is not CallOutcome.STARTED or call.upper_bound_usd is None:
            raise ContractBroken(f"{call.call_key} was announced as {call.outcome} with bound {call.upper_bound_usd}")
        self.rows[call.call_key] = call

    def record(self, call: ProviderCall) -> None:
        began = self.rows.get(call.call_key)
        if began is None:
            raise ContractBroken(f"{call.call_key} ended and was not announced")
        if began.outcome is not CallOutcome.STARTED:
            raise ContractBroken(f"{call.call_key} ended twice: as {began.outcome} and as {call.outcome}")
        self.rows[call.call_key] = call

    def settle(self, call_key: str, entry: BillEntry | None) -> None:
        """By the provider's statement; None when the call is not on it."""
        row = self.rows[call_key]
        tokens = _tokens(entry) if entry is not None else Tokens()
        cost = str(entry.cost_usd) if entry is not None else "0"
        audio_ms = entry.audio_ms if entry is not None else 0
        self.rows[call_key] = replace(row, tokens=tokens, audio_ms=audio_ms, cost_usd=cost, basis=Basis.STATEMENT)


class BookedAssignment(RecordingAssignment):
    """An attempt whose calls reach the ledger, as long as its worker lives."""

    def __init__(self, ledger: LedgerBook, *, number: int, grant: Grant, reaches: Callable[[ProviderCall], bool]) -> None:
        super().__init__(grant=grant)
        self.execution_id = f"exec_{number}"
        self.context = Context(client_id=f"client_{number % 7}")
        self._ledger = ledger
        self._reaches = reaches
        """Whether the end of a call gets to the ledger."""

    async def announce_call(self, call: ProviderCall) -> None:
        self._ledger.announce(call)

    async def record_call(self, call: ProviderCall) -> None:
        if self._reaches(call):
            self._ledger.record(call)


class Difference(Struct, frozen=True, kw_only=True):
    """Where a settled row says something else than the bill."""

    call_key: str
    tokens: int
    """Ledger less bill."""
    audio_ms: int
    cost_usd: Decimal


def is_settled(call: ProviderCall) -> bool:
    return call.cost_usd is not None


def differences(ledger: LedgerBook, bill: dict[str, BillEntry]) -> list[Difference]:
    """Of every settled call, and of what is billed without any row at all."""
    found: list[Difference] = []
    for key, row in ledger.rows.items():
        if row.cost_usd is None:
            continue
        entry = bill.get(key)
        billed = entry.prompt_tokens + entry.output_tokens if entry is not None else 0
        difference = Difference(
            call_key=key,
            tokens=row.tokens.total_tokens - billed,
            audio_ms=row.audio_ms - (entry.audio_ms if entry is not None else 0),
            cost_usd=Decimal(row.cost_usd) - (entry.cost_usd if entry is not None else Decimal(0)),
        )
        if (
            difference.tokens
            or difference.audio_ms
            or difference.cost_usd
            or (entry is not None and row.tokens != _tokens(entry))
        ):
            found.append(difference)
    for key, entry in bill.items():
        if key not in ledger.rows:
            tokens = -entry.prompt_tokens - entry.output_tokens
            found.append(Difference(call_key=key, tokens=tokens, audio_ms=-entry.audio_ms, cost_usd=-entry.cost_usd))
    return found


def _tokens(entry: BillEntry) -> Tokens:
    return Tokens(
        prompt_tokens=entry.prompt_tokens,
        completion_tokens=entry.output_tokens,
        total_tokens=entry.prompt_tokens + entry.output_tokens,
        cache_read_tokens=entry.cache_read_tokens,
        cache_write_tokens=entry.cache_write_tokens,
        reasoning_tokens=entry.reasoning_tokens,
    )
