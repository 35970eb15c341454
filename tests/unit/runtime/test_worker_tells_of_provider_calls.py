"""Each provider call becomes a span of its attempt's trace and some figures, by names that everybody's dashboards know."""

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import generate_latest

from aif_contracts.metering import CallOutcome, ProviderCall, Purpose, Tokens
from aif_runtime.assignment import Action, Assignment, Outcome, WorkFailure
from aif_runtime.otel_spans import OtelTracing
from support.worker_rig import WorkerRig

PROMPT = "the secret of the bees"


def call(assignment: Assignment, outcome: CallOutcome, **told: object) -> ProviderCall:
    given = {
        "call_key": f"{assignment.execution_id}.{assignment.stage_id}.{assignment.attempt}.{assignment.next_call_number()}",
        "execution_id": assignment.execution_id,
        "client_id": "acme",
        "stage_id": assignment.stage_id,
        "attempt": assignment.attempt,
        "worker_name": assignment.worker_name,
        "provider": "openai",
        "model": "gpt-5-mini",
        "capability": "llm_generation",
        "purpose": Purpose.FIRST_TRY,
        "outcome": outcome,
        **told,
    }
    return ProviderCall(**given)  # type: ignore[arg-type]


async def make_calls(assignment: Assignment) -> Outcome:
    """One that fails, its fallback, one that the cache answers, and a transcription."""
    await assignment.record_call(call(assignment, CallOutcome.FAILED, error=f"400: {PROMPT}", latency_ms=30, cost_usd="0"))
    await assignment.record_call(
        call(
            assignment,
            CallOutcome.ANSWERED,
            provider="anthropic",
            model="claude-haiku-4-5",
            purpose=Purpose.FALLBACK,
            reason="bad_request",
            fallback_from="gpt-5-mini",
            tokens=Tokens(prompt_tokens=1200, completion_tokens=300, total_tokens=1500, cache_read_tokens=1000),
            cost_usd="0.0012",
            latency_ms=1500,
            response_id="msg_1",
        )
    )
    await assignment.record_call(call(assignment, CallOutcome.CACHED, cost_usd="0"))
    await assignment.record_call(
        call(
            assignment,
            CallOutcome.ANSWERED,
            provider="deepgram",
            model="nova-3",
            capability="transcription",
            audio_ms=60_000,
            cost_usd="0.004",
            latency_ms=900,
        )
    )
    return Outcome(output={"heard": PROMPT})


class Told:
    def __init__(self, spans: list[ReadableSpan], page: str) -> None:
        self.spans = spans
        self.page = page

    def span(self, name: str) -> ReadableSpan:
        return next(span for span in self.spans if span.name == name)


@pytest.fixture
async def told() -> Told:
    return await told_of(make_calls)


async def told_of(action: Action) -> Told:
    exporter = InMemorySpanExporter()
    tracing = OtelTracing(service="worker", version="test", endpoint="", redact=str, exporter=exporter)
    rig = WorkerRig(action, tracing=tracing)
    async with rig.running():
        await rig.offer(await rig.packet())
        await rig.reports()
    tracing.close(5)
    return Told(list(exporter.get_finished_spans()), generate_latest(rig.registry).decode())


async def test_the_span_of_an_attempt_that_failed_says_so_and_why() -> None:
    async def refuse(assignment: Assignment) -> Outcome:
        raise WorkFailure("rate_limited", "the provider asks to wait", retryable=True)

    told = await told_of(refuse)

    attempt = told.span("attempt")
    assert attempt.attributes is not None
    assert (attempt.status.is_ok, attempt.attributes["aif.failure_code"]) == (False, "rate_limited")


def test_a_call_is_a_span_of_its_attempts_trace(told: Told) -> None:
    attempt, spoken = told.span("attempt"), told.span("chat claude-haiku-4-5")

    assert attempt.context is not None
    assert spoken.context is not None
    assert spoken.parent is not None
    assert (spoken.context.trace_id, spoken.parent.span_id) == (attempt.context.trace_id, attempt.context.span_id)
    assert spoken.start_time is not None
    assert spoken.end_time is not None
    assert spoken.end_time - spoken.start_time == 1_500_000_000


def test_a_span_tells_model_tokens_and_cost(told: Told) -> None:
    attributes = dict(told.span("chat claude-haiku-4-5").attributes or {})

    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-haiku-4-5",
        "gen_ai.response.id": "msg_1",
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 300,
        "gen_ai.usage.cache_read.input_tokens": 1000,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "aif.call_key": "exec_1.stage_1.1.2",
        "aif.outcome": "answered",
        "aif.purpose": "fallback",
        "aif.reason": "bad_request",
        "aif.fallback_from": "gpt-5-mini",
        "aif.cost_usd": "0.0012",
    }


def test_a_call_that_failed_is_a_failed_span_without_the_providers_words(told: Told) -> None:
    failed = told.span("chat gpt-5-mini")

    assert not failed.status.is_ok
    assert (failed.status.description, (failed.attributes or {})["error.type"]) == ("failed", "failed")
    assert all(PROMPT not in f"{span.to_json()}" for span in told.spans)


def test_other_capabilities_are_operations_of_their_own_name(told: Told) -> None:
    assert (told.span("transcription nova-3").attributes or {})["gen_ai.operation.name"] == "transcription"


def test_durations_are_counted_by_model_and_error(told: Told) -> None:
    of_anthropic = 'gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-haiku-4-5"'
    of_openai = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-5-mini"'

    assert f'gen_ai_client_operation_duration_seconds_sum{{error_type="",{of_anthropic}}} 1.5' in told.page
    assert f'gen_ai_client_operation_duration_seconds_count{{error_type="failed",{of_openai}}} 1.0' in told.page
    assert f'gen_ai_client_operation_duration_seconds_count{{error_type="",{of_openai}}}' not in told.page


def test_tokens_are_counted_by_kind(told: Told) -> None:
    chat = 'gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",gen_ai_request_model="claude-haiku-4-5"'

    assert f'gen_ai_client_token_usage_sum{{{chat},gen_ai_token_type="input"}} 1200.0' in told.page
    assert f'gen_ai_client_token_usage_sum{{{chat},gen_ai_token_type="output"}} 300.0' in told.page
    assert 'gen_ai_client_token_usage_count{gen_ai_operation_name="transcription"' not in told.page


async def test_a_model_chats_whatever_it_is_asked_for_and_rules_do_not() -> None:
    async def summarize_twice(assignment: Assignment) -> Outcome:
        tokens = Tokens(prompt_tokens=700, completion_tokens=60, total_tokens=760)
        by_model = call(assignment, CallOutcome.ANSWERED, capability="summarization", tokens=tokens, cost_usd="0.0003")
        await assignment.record_call(by_model)
        by_rules = {"provider": "local_summary", "model": "textrank-1", "capability": "summarization", "characters": 2800}
        await assignment.record_call(call(assignment, CallOutcome.ANSWERED, cost_usd="0", **by_rules))
        return Outcome(output={})

    told = await told_of(summarize_twice)

    assert {span.name for span in told.spans} == {"attempt", "chat gpt-5-mini", "summarization textrank-1"}
    assert 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-5-mini"' in told.page


@pytest.mark.parametrize("end", ["buried", "declined", "dropped", "put_off", "unconfirmed"])
def test_packets_that_are_set_aside_are_counted_from_0(told: Told, end: str) -> None:
    assert f'aif_packets_set_aside_total{{end="{end}"}} 0.0' in told.page
