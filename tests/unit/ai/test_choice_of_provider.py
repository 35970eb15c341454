"""Which provider serves a request, and what the books say about it."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from aif_ai.attempt_ledger import AttemptLedger
from aif_ai.call_policy import CallPolicy
from aif_ai.door import Door
from aif_ai.failures import AuthenticationFailed, NoModelAllowed, ProviderNotConfigured, ProviderOverloaded, SourceTooThin
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import (
    Answer,
    CallTrace,
    Capability,
    Finish,
    GenerationRequest,
    Message,
    Role,
    StructureKind,
    StructuringTask,
)
from aif_contracts.documents import SourceDocument
from aif_contracts.metering import CallOutcome, Tokens
from aif_contracts.packets import CeilingReason, Grant, QualityTier
from aif_prices.book import PriceBook, shipped_prices
from aif_runtime.clock import SystemClock
from support.recording_assignment import RecordingAssignment
from support.source_documents import beekeeping, from_markdown
from support.waiting import eventually


class ScriptedProvider:
    """Raises what it was told to raise, one failure for each call, then answers."""

    def __init__(self, model: str, *failures: Exception) -> None:
        self.name = "openai"
        self.offers = (Offer(capability=Capability.LLM_GENERATION, models=(model,)),)
        self._failures = list(failures)
        self.asked = 0

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        self.asked += 1
        if self._failures:
            raise self._failures.pop(0)
        trace.sent = True
        trace.tokens = Tokens(prompt_tokens=10, completion_tokens=5, total_tokens=15)
        return Answer(text=f"written by {call.model}", finish=Finish.COMPLETE)

    async def close(self) -> None:
        return None


def _request(source: SourceDocument | None = None) -> GenerationRequest:
    return GenerationRequest(
        capability=Capability.STRUCTURING,
        action="structure_course",
        messages=(Message(role=Role.USER, text="Go."),),
        max_output_tokens=100,
        input=StructuringTask(kind=StructureKind.COURSE, target_audience="all", source=source, topic="Bees"),
    )


def _door(*providers: ScriptedProvider) -> Door:
    return Door(providers=providers, prices=PriceBook(shipped_prices()), clock=SystemClock(), policy=CallPolicy(most_tries=1))


async def test_without_a_model_the_local_provider_structures_the_source_for_nothing() -> None:
    assignment = RecordingAssignment()

    generation = await _door().generate(_request(beekeeping()), AttemptLedger(assignment))

    (call,) = assignment.calls
    assert (generation.provider, generation.is_local) == ("local_extractive", True)
    assert (call.provider, call.model, call.cost_usd, call.tokens) == ("local_extractive", "extractive-2", "0", Tokens())
    assert call.outcome is CallOutcome.ANSWERED


async def test_a_grant_without_models_keeps_the_work_local() -> None:
    provider = ScriptedProvider("gpt-4o-mini")
    assignment = RecordingAssignment(grant=Grant(models=()))

    generation = await _door(provider).generate(_request(beekeeping()), AttemptLedger(assignment))

    assert generation.is_local
    assert provider.asked == 0


async def test_a_refusal_of_the_local_provider_is_booked_as_a_failed_call() -> None:
    assignment = RecordingAssignment()

    with pytest.raises(SourceTooThin):
        await _door().generate(_request(from_markdown("# Only\n\n## Headings")), AttemptLedger(assignment))

    assert [(c.outcome, c.error, c.cost_usd) for c in assignment.calls] == [(CallOutcome.FAILED, "source_too_thin", "0")]


async def test_a_topic_alone_is_refused_without_a_model() -> None:
    with pytest.raises(ProviderNotConfigured, match="OPENAI_API_KEY"):
        await _door().generate(_request(), AttemptLedger(RecordingAssignment()))


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        (
            Grant(quality=QualityTier.ECONOMY, quality_reason=CeilingReason.TIER),
            r"the client's tier allows .* economy .* \(gpt-4o \(standard\)\).*another tier.*cheaper model.*AIF_MODEL_QUALITY",
        ),
        (
            Grant(quality=QualityTier.ECONOMY, quality_reason=CeilingReason.ENERGY),
            r"the client's energy is low .* economy .* \(gpt-4o \(standard\)\).*raise the client's energy",
        ),
        (Grant(models=("gpt-9",)), r"the grant allows gpt-9 .*no provider here offers.*gpt-4o there is"),
        (Grant(models=()), r"gpt-4o is configured.*granted as one that costs nothing"),
    ],
    ids=["tier", "energy", "unknown models", "a free attempt"],
)
async def test_a_topic_alone_is_told_which_models_there_are_and_what_rules_them_out(grant: Grant, said: str) -> None:
    provider = ScriptedProvider("gpt-4o")

    with pytest.raises(NoModelAllowed, match=said) as refused:
        await _door(provider).generate(_request(), AttemptLedger(RecordingAssignment(grant=grant)))

    assert provider.asked == 0
    assert "API_KEY" not in refused.value.message or grant.models == ("gpt-9",)
    assert refused.value.message.endswith("or give a `source` document to work from")


async def test_a_source_that_is_too_thin_without_the_models_says_so_and_what_rules_them_out() -> None:
    assignment = RecordingAssignment(grant=Grant(quality=QualityTier.ECONOMY, quality_reason=CeilingReason.TIER))

    with pytest.raises(SourceTooThin, match=r"the client's tier allows .*gpt-4o") as refused:
        await _door(ScriptedProvider("gpt-4o")).generate(
            _request(from_markdown("# Only\n\n## Headings")), AttemptLedger(assignment)
        )

    assert refused.value.code == "source_too_thin"


async def test_the_models_of_the_grant_are_used_in_its_order() -> None:
    mini, large = ScriptedProvider("gpt-4o-mini"), ScriptedProvider("gpt-4o")
    assignment = RecordingAssignment(grant=Grant(models=("gpt-4o", "gpt-4o-mini", "unknown")))

    generation = await _door(mini, large).generate(_request(), AttemptLedger(assignment))

    assert generation.output == b"written by gpt-4o"
    assert mini.asked == 0


async def test_a_model_that_fails_for_now_gives_way_to_the_next_and_both_are_booked() -> None:
    first, second = ScriptedProvider("gpt-4o-mini", ProviderOverloaded("busy")), ScriptedProvider("gpt-4o")
    assignment = RecordingAssignment()

    generation = await _door(first, second).generate(_request(), AttemptLedger(assignment))

    assert generation.model == "gpt-4o"
    assert [(c.model, c.purpose, c.outcome) for c in assignment.calls] == [
        ("gpt-4o-mini", "first_try", CallOutcome.FAILED),
        ("gpt-4o", "fallback", CallOutcome.ANSWERED),
    ]
    assert [c.call_key for c in assignment.calls] == ["exec_1.structure.1.1", "exec_1.structure.1.2"]


async def test_a_failure_that_repeats_anywhere_is_not_passed_on() -> None:
    first, second = ScriptedProvider("gpt-4o-mini", AuthenticationFailed("no")), ScriptedProvider("gpt-4o")

    with pytest.raises(AuthenticationFailed):
        await _door(first, second).generate(_request(), AttemptLedger(RecordingAssignment()))

    assert second.asked == 0


async def test_cancelling_local_work_stops_its_thread_and_books_it_as_cancelled() -> None:
    body = beekeeping().text
    document = from_markdown("\n\n".join(f"## Part {n}\n\n{body}" for n in range(150)))
    assignment = RecordingAssignment()
    started = threading.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=1, initializer=started.set))
    working = asyncio.create_task(_door().generate(_request(document), AttemptLedger(assignment)))
    await eventually(started.is_set)

    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working

    assert [(c.outcome, c.cost_usd) for c in assignment.calls] == [(CallOutcome.CANCELLED, "0")]
    async with asyncio.timeout(3):  # left alone it would compute for twice that
        await asyncio.get_running_loop().shutdown_default_executor()
