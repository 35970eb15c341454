"""How one call stands in the books: a row when it is announced, the same row when it has ended.

With usage and a price the exact cost. An error answer, or nothing sent: 0. No answer after the request was sent: in doubt,
cost unknown, with an upper bound. Nothing is ever booked as 0 because nobody knew.
"""

from decimal import Decimal

from msgspec import Struct
from msgspec.structs import replace

from aif_ai.attempt_ledger import AttemptPort
from aif_ai.call_costs import characters_of, cost_of
from aif_ai.registry import Candidate, CostUnit
from aif_ai.requests import CallTrace, GenerationRequest
from aif_contracts.metering import CallOutcome, ProviderCall, Purpose, Saving, Tokens
from aif_contracts.money import ZERO, usd_text


class Why(Struct, frozen=True, kw_only=True):
    """Why a call is made."""

    purpose: Purpose
    reason: str = ""
    """Code of the failure that it follows."""
    fallback_from: str | None = None


def started_row(
    port: AttemptPort, request: GenerationRequest, candidate: Candidate, why: Why, *, call_key: str, bound: Decimal
) -> ProviderCall:
    return ProviderCall(
        call_key=call_key,
        execution_id=port.execution_id,
        client_id=port.context.client_id,
        workspace_id=port.context.workspace_id,
        stage_id=port.stage_id,
        attempt=port.attempt,
        worker_name=port.worker_name,
        action=request.action,
        capability=request.capability.value,
        provider=candidate.provider.name,
        model=candidate.model,
        purpose=why.purpose,
        reason=why.reason,
        fallback_from=why.fallback_from,
        outcome=CallOutcome.STARTED,
        upper_bound_usd=usd_text(bound),
        price_version=candidate.price.version if candidate.price is not None else None,
    )


def answered_row(
    started: ProviderCall, trace: CallTrace, request: GenerationRequest, candidate: Candidate, preferred: Candidate | None
) -> ProviderCall:
    """`preferred` is the model that a quality ceiling kept from being used; what that saved is booked."""
    row = replace(started, outcome=CallOutcome.ANSWERED, response_id=trace.response_id)
    characters = characters_of(request.input) if candidate.cost_unit is CostUnit.CHARACTER else 0
    if candidate.is_free:
        free = replace(row, tokens=trace.tokens or Tokens(), audio_ms=trace.audio_ms or 0, cost_usd="0", upper_bound_usd=None)
        return replace(free, characters=characters)
    if not _has_usage(trace, candidate) or candidate.price is None:
        return row
    tokens, audio_ms = trace.tokens or Tokens(), trace.audio_ms or 0
    cost = cost_of(candidate.price, tokens, audio_ms=audio_ms, characters=characters)
    row = replace(row, tokens=tokens, audio_ms=audio_ms, characters=characters, cost_usd=usd_text(cost), upper_bound_usd=None)
    if preferred is None or preferred.price is None:
        return row
    saved = cost_of(preferred.price, tokens, audio_ms=audio_ms, characters=characters) - cost
    return replace(row, saving=Saving.DOWNGRADE, saved_usd=usd_text(saved)) if saved > ZERO else row


def broken_row(answered: ProviderCall, trace: CallTrace, *, outcome: CallOutcome, error: str) -> ProviderCall:
    """A call without an answer to use: free when nothing was sent, exact with usage, in doubt otherwise."""
    if answered.cost_usd is not None:
        return replace(answered, outcome=outcome, error=error)
    if not trace.sent:
        return replace(answered, outcome=outcome, error=error, cost_usd="0", upper_bound_usd=None)
    return replace(answered, outcome=CallOutcome.IN_DOUBT, error=error)


def cached_row(started: ProviderCall, saved: Decimal, response_id: str | None) -> ProviderCall:
    return replace(
        started,
        outcome=CallOutcome.CACHED,
        cost_usd="0",
        upper_bound_usd=None,
        response_id=response_id,
        saving=Saving.CACHE if saved > ZERO else None,
        saved_usd=usd_text(saved) if saved > ZERO else None,
    )


def _has_usage(trace: CallTrace, candidate: Candidate) -> bool:
    match candidate.cost_unit:
        case CostUnit.TOKEN:
            return trace.tokens is not None
        case CostUnit.AUDIO_MINUTE:
            return trace.audio_ms is not None
        case CostUnit.CHARACTER | CostUnit.CALL:
            return trace.answered
