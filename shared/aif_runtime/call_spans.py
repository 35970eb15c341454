"""A provider call as a span of its attempt's trace, by the OpenTelemetry conventions for generative AI.

Written when the call has ended, from what is booked, so that trace and bill tell the same. It holds names, counts and amounts;
never what was asked or answered, nor a provider's own words about a failure, which may repeat that.
"""

from aif_contracts.metering import CallOutcome, ProviderCall
from aif_runtime.telemetry import Headers, SpanKind, Tracing

_CHAT = "chat"
_HEARING = frozenset({"transcription", "transcription_diarization"})
_WELL = frozenset({CallOutcome.ANSWERED, CallOutcome.CACHED})


def operation_of(call: ProviderCall) -> str:
    """`chat` for whatever a language model is asked; else the capability's name.

    A model is paid by the token whatever it is asked for. What is counted in characters was done by rules.
    """
    return call.capability if call.characters or call.capability in _HEARING else _CHAT


def error_of(call: ProviderCall) -> str | None:
    """How it failed, in one of a few words; None when it went well."""
    return None if call.outcome in _WELL else str(call.outcome)


def record_call_span(tracing: Tracing, call: ProviderCall, *, ended_ns: int, parent: Headers) -> None:
    """`ended_ns` is the time of its end in nanoseconds since 1970; its begin follows from its latency."""
    error = error_of(call)
    attributes: dict[str, str | int | float | bool] = {
        "gen_ai.operation.name": operation_of(call),
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.model": call.model,
        "gen_ai.usage.input_tokens": call.tokens.prompt_tokens,
        "gen_ai.usage.output_tokens": call.tokens.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": call.tokens.cache_read_tokens,
        "gen_ai.usage.cache_creation.input_tokens": call.tokens.cache_write_tokens,
        "aif.call_key": call.call_key,
        "aif.outcome": str(call.outcome),
        "aif.purpose": str(call.purpose),
    }
    if call.response_id is not None:
        attributes["gen_ai.response.id"] = call.response_id
    if call.reason:
        attributes["aif.reason"] = call.reason
    if call.fallback_from is not None:
        attributes["aif.fallback_from"] = call.fallback_from
    if call.cost_usd is not None:
        attributes["aif.cost_usd"] = call.cost_usd
    if error is not None:
        attributes["error.type"] = error
    tracing.record_span(
        f"{operation_of(call)} {call.model}",
        start_ns=ended_ns - call.latency_ms * 1_000_000,
        end_ns=ended_ns,
        parent=parent,
        attributes=attributes,
        kind=SpanKind.CLIENT,
        failure=error,
    )
