"""The bill across all executions: calls as the ledger has them, to be compared with what the providers say, and settled."""

from typing import Annotated

from msgspec import Meta, Struct

from aif_contracts.metering import Basis, CallOutcome, ProviderCall, Tokens
from aif_contracts.money import UsdText

CallKey = Annotated[str, Meta(min_length=1, max_length=400)]


class BookedCall(Struct, frozen=True, kw_only=True):
    """A provider call with the ledger's own marks."""

    call: ProviderCall
    booked_at: str
    """When the ledger first heard of it: as it was announced, for one that costs money."""
    settled_at: str | None = None
    """When somebody decided what it has cost, because no answer had told; None for all others."""
    settled_note: str | None = None


class SearchCalls(Struct, frozen=True, kw_only=True):
    """Calls of every client, by the time at which they were booked, oldest first. Answered with BookedCallPage or Refusal.

    A search by provider, model, outcome or basis looks at some 50,000 calls at a time: its page may hold fewer than were asked
    for, or none, and is the last one when it has no cursor.
    """

    provider: str | None = None
    model: str | None = None
    client_id: str | None = None
    execution_id: str | None = None
    outcome: CallOutcome | None = None
    basis: Basis | None = None
    in_doubt: bool = False
    """Only those whose cost nobody knows: without an answer, and not settled."""
    booked_from: str | None = None
    """RFC 3339 with an offset; this time and later."""
    booked_to: str | None = None
    """RFC 3339 with an offset; before this time."""
    cursor: str | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class BookedCallPage(Struct, frozen=True, kw_only=True):
    calls: tuple[BookedCall, ...]
    next_cursor: str | None
    """None on the last page."""


class SettleCall(Struct, frozen=True, kw_only=True):
    """Decide what a call without an answer has cost, by the provider's bill. Answered with BookedCall or Refusal.

    A call that was settled before is corrected; one whose answer told its usage is not touched.
    """

    call_key: CallKey
    billed: bool
    """False when the provider has not charged for it: it has cost nothing."""
    decided_by: Annotated[str, Meta(min_length=1, max_length=200)]
    note: Annotated[str, Meta(min_length=1, max_length=500)]
    """By what it is known, for example the name of the statement."""
    tokens: Tokens | None = None
    """None when the bill does not tell."""
    cost_usd: UsdText | None = None
    """What it has cost; needed when `billed`."""
