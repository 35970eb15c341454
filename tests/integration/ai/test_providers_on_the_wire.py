"""The adapters alone against real connections: whatever comes, a typed failure, what may be billed, and bounded memory."""

import asyncio
import io
import tracemalloc
import wave
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import msgspec
import pytest

from aif_ai.failures import (
    AiFailure,
    AuthenticationFailed,
    InvalidRequest,
    MalformedOutput,
    ProviderOverloaded,
    ProviderTimeout,
    ProviderUnreachable,
    RateLimited,
)
from aif_ai.openai_provider import COMPATIBLE, OPENAI
from aif_ai.provider import ModelCall, Provider
from aif_ai.requests import Answer, AudioInput, CallTrace, Capability, Finish, Message, Role
from aif_contracts.analysis import Transcript
from aif_contracts.metering import Tokens
from support.listeners import Unheard
from support.provider_double.faults import Fault, FaultKind
from support.provider_double.http_server import HttpRequest, Reply, http_server
from support.provider_double.server import ProviderDouble
from support.provider_double.written_answers import MODELS, provider_at

KEY = "exec_1.structure.1.1"
SILENCE_SECONDS = 0.3


def call_for(name: str, *, key: str = KEY, audio: AudioInput | None = None, model: str | None = None) -> ModelCall:
    if name == "deepgram":
        return ModelCall(
            call_key=key,
            model="nova-3",
            capability=Capability.TRANSCRIPTION_DIARIZATION,
            input=audio or AudioInput(data=recording(seconds=6.0), media_type="audio/wav", duration_ms=6_000),
        )
    return ModelCall(
        call_key=key,
        model=model or MODELS.get(name, "local-model"),
        messages=(Message(role=Role.USER, text="List what a beginner has to know about keeping honey bees."),),
        max_output_tokens=2_000,
    )


def recording(*, seconds: float) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(1)
        writer.setframerate(1_000)
        writer.writeframes(bytes(int(seconds * 1_000)))
    return content.getvalue()


async def asked(provider: Provider, call: ModelCall, trace: CallTrace) -> Answer:
    """One answer; the connection is closed afterwards."""
    try:
        async with asyncio.timeout(20):
            return await answer_of(provider, call, trace)
    finally:
        await provider.close()


async def answer_of(provider: Provider, call: ModelCall, trace: CallTrace | None = None) -> Answer:
    return await provider.answer(call, trace or CallTrace(), Unheard())


@pytest.fixture(params=[OPENAI, "anthropic", "deepgram"])
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def failure_of(wire: str, double: ProviderDouble, fault: Fault | FaultKind, trace: CallTrace) -> AiFailure:
    double.plan(fault)
    with pytest.raises(AiFailure) as caught:
        await asked(provider_at(wire, double.url, silence_seconds=SILENCE_SECONDS), call_for(wire), trace)
    return caught.value


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (FaultKind.RATE_LIMITED, RateLimited),
        (FaultKind.NO_CREDIT, AuthenticationFailed),
        (FaultKind.SERVER_ERROR, ProviderOverloaded),
        (FaultKind.UNAVAILABLE, ProviderOverloaded),
        (FaultKind.OVERLOADED, ProviderOverloaded),
        (FaultKind.UNAUTHORIZED, AuthenticationFailed),
        (FaultKind.CONTEXT_TOO_LONG, InvalidRequest),
        (FaultKind.REDIRECT, InvalidRequest),
    ],
)
async def test_an_error_answer_is_typed_and_may_not_be_billed(
    wire: str, double: ProviderDouble, fault: FaultKind, expected: type[AiFailure]
) -> None:
    trace = CallTrace()

    failure = await failure_of(wire, double, fault, trace)

    assert type(failure) is expected
    assert (trace.sent, failure.maybe_billed) == (False, False)
    assert len(double.requests) == 1


async def test_a_wait_that_is_asked_for_is_passed_on(wire: str, double: ProviderDouble) -> None:
    failure = await failure_of(wire, double, Fault(kind=FaultKind.RATE_LIMITED, retry_after="1.5"), CallTrace())

    assert failure.retry_after_ms == 1_500


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (FaultKind.SILENT_BEFORE_BILLING, ProviderTimeout),
        (FaultKind.SILENT_AFTER_BILLING, ProviderTimeout),
        (FaultKind.HELD_STREAM, ProviderTimeout),
        (FaultKind.RESET_BEFORE_ANSWER, ProviderUnreachable),
        (FaultKind.RESET, ProviderUnreachable),
        (FaultKind.CORRUPT_CHUNK, MalformedOutput),
        (FaultKind.WEB_PAGE, MalformedOutput),
        (FaultKind.GZIP_BOMB, MalformedOutput),
    ],
)
async def test_an_answer_that_did_not_arrive_may_be_billed(
    wire: str, double: ProviderDouble, fault: FaultKind, expected: type[AiFailure]
) -> None:
    trace = CallTrace()

    failure = await failure_of(wire, double, fault, trace)

    assert type(failure) is expected
    assert (trace.sent, failure.maybe_billed, failure.retryable) == (True, True, True)
    assert (trace.tokens, trace.audio_ms) == (None, None)


async def test_an_error_with_status_200_is_the_error_that_it_names(double: ProviderDouble, provider: str) -> None:
    trace = CallTrace()

    failure = await failure_of(provider, double, FaultKind.ERROR_BODY, trace)

    assert type(failure) is ProviderOverloaded
    assert failure.maybe_billed
    assert trace.sent


async def test_an_error_in_the_middle_of_a_stream_is_the_error_that_it_names(double: ProviderDouble, provider: str) -> None:
    trace = CallTrace()

    failure = await failure_of(provider, double, FaultKind.ERROR_EVENT, trace)

    assert type(failure) is ProviderOverloaded
    assert failure.maybe_billed
    assert trace.response_id == double.bill[0].response_id


@pytest.mark.parametrize(
    "fault",
    [FaultKind.NO_USAGE, FaultKind.NEGATIVE_USAGE, FaultKind.HUGE_USAGE, FaultKind.CONTRADICTORY_USAGE, FaultKind.WRONG_MODEL],
)
async def test_usage_that_cannot_be_true_is_no_usage(double: ProviderDouble, provider: str, fault: FaultKind) -> None:
    trace = CallTrace()
    double.plan(fault)

    answer = await asked(provider_at(provider, double.url), call_for(provider), trace)

    assert answer.finish is Finish.COMPLETE
    assert trace.tokens is None
    assert trace.response_id == double.bill[0].response_id


async def test_cached_and_reasoning_tokens_are_told_apart(double: ProviderDouble, provider: str) -> None:
    trace = CallTrace()
    double.cache_read_tokens, double.cache_write_tokens, double.reasoning_tokens = 300, 20, 40

    await asked(provider_at(provider, double.url), call_for(provider), trace)

    assert trace.tokens == Tokens(
        prompt_tokens=331,
        completion_tokens=55,
        total_tokens=386,
        cache_read_tokens=300,
        cache_write_tokens=20,
        reasoning_tokens=40,
    )


async def test_a_slow_stream_is_heard_to_its_end(double: ProviderDouble, provider: str) -> None:
    trace = CallTrace()
    double.plan(FaultKind.SLOW_STREAM)

    answer = await asked(provider_at(provider, double.url), call_for(provider), trace)

    assert answer.text
    assert trace.tokens is not None


async def test_the_calls_key_goes_with_it_as_the_clients_request_id(wire: str, double: ProviderDouble) -> None:
    await asked(provider_at(wire, double.url), call_for(wire), CallTrace())

    assert double.bill[0].client_request_id == KEY


@pytest.mark.parametrize("key", ["schlüssel", "k" * 513])
async def test_a_key_that_no_header_may_hold_is_left_out(double: ProviderDouble, provider: str, key: str) -> None:
    await asked(provider_at(provider, double.url), call_for(provider, key=key), CallTrace())

    assert "x-client-request-id" not in double.headers[0]


async def test_a_wrong_key_is_told_as_such(double: ProviderDouble) -> None:
    for name, key in ((OPENAI, "sk-wrong"), ("anthropic", "sk-wrong"), ("deepgram", "wrong")):
        with pytest.raises(AuthenticationFailed):
            await asked(provider_at(name, double.url, api_key=key), call_for(name), CallTrace())

    assert double.bill == []


FLOODS = [
    (name, fault)
    for name in (OPENAI, "anthropic", "deepgram")
    for fault in (FaultKind.HUGE_BODY, FaultKind.HUGE_ERROR, FaultKind.GZIP_BOMB)
    # The transcript of a day and a half of speech may be as large as that.
    if (name, fault) != ("deepgram", FaultKind.HUGE_BODY)
]


@pytest.mark.parametrize(("wire", "fault"), FLOODS)
async def test_a_hundred_megabytes_are_not_taken(wire: str, double: ProviderDouble, fault: FaultKind) -> None:
    await asked(provider_at(wire, double.url), call_for(wire), CallTrace())
    double.sent_bytes = 0

    tracemalloc.start()
    failure = await failure_of(wire, double, fault, CallTrace())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert type(failure) is (ProviderOverloaded if fault is FaultKind.HUGE_ERROR else MalformedOutput)
    assert peak < 25_000_000
    assert double.sent_bytes < 15_000_000


async def test_a_compatible_server_may_call_its_model_as_it_likes(double: ProviderDouble) -> None:
    trace = CallTrace()
    double.plan(FaultKind.WRONG_MODEL)

    await asked(provider_at(COMPATIBLE, double.url), call_for(COMPATIBLE), trace)

    assert trace.tokens is not None


async def test_a_server_that_is_not_there_was_sent_nothing(wire: str) -> None:
    trace = CallTrace()

    with pytest.raises(ProviderUnreachable) as caught:
        await asked(provider_at(wire, "http://127.0.0.1:9"), call_for(wire), trace)

    assert (trace.sent, caught.value.maybe_billed) == (False, False)


@pytest.mark.parametrize(
    "body",
    [
        b'data: {"id": "x", "choices": null, "usage": null}\n\n',
        b'data: {"choices": [{"delta": null}]}\n\n',
        b'data: {"id": "x", "model": "m", "usage": null, "choices": [{"delta": {"content": 5}}]}\n\n',
        b"data: null\n\n",
        b'data: "text"\n\n',
        b"data: [1, 2]\n\n",
        b"data: \xff\xfe\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"data: " + b"9" * 10_000 + b"\n\n",
        b"\x00\x01\x02",
        b"",
    ],
    ids=[
        "no choices",
        "no delta",
        "number as text",
        "null",
        "text",
        "list",
        "no UTF-8",
        "deep",
        "long number",
        "bytes",
        "nothing",
    ],
)
async def test_foreign_events_end_a_call_and_not_the_worker(body: bytes, provider: str) -> None:
    name = b"event: message_start\n" if provider == "anthropic" and body else b""
    async with serving(lambda reply: _stream_of(reply, name + body)) as url:
        with pytest.raises(AiFailure) as caught:
            await asked(provider_at(provider, url), call_for(provider), CallTrace())

    assert isinstance(caught.value, MalformedOutput | ProviderUnreachable)
    assert caught.value.maybe_billed


async def test_counts_along_the_way_are_not_the_usage_of_an_answer_that_breaks_off() -> None:
    usage = b'{"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}'
    chunk = b'data: {"id": "x", "model": "m", "choices": [{"index": 0, "delta": {"content": "Be"}}], "usage": %b}\n\n' % usage
    trace = CallTrace()

    async with serving(lambda reply: _stream_of(reply, chunk)) as url:
        with pytest.raises(ProviderUnreachable):
            await asked(provider_at(COMPATIBLE, url), call_for(COMPATIBLE), trace)

    assert (trace.tokens, trace.response_id) == (None, "x")


async def test_usage_beside_the_last_piece_is_taken() -> None:
    usage = b'{"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}'
    choice = b'{"index": 0, "delta": {"content": "Bees"}, "finish_reason": "stop"}'
    trace = CallTrace()

    async with serving(lambda reply: _stream_of(reply, b'data: {"choices": [%b], "usage": %b}\n\n' % (choice, usage))) as url:
        answer = await asked(provider_at(COMPATIBLE, url), call_for(COMPATIBLE), trace)

    assert answer.text == "Bees"
    assert trace.tokens == Tokens(prompt_tokens=10, completion_tokens=1, total_tokens=11)


async def test_the_next_call_uses_the_connection_of_the_one_before(double: ProviderDouble, provider: str) -> None:
    adapter = provider_at(provider, double.url)

    for _ in range(3):
        await answer_of(adapter, call_for(provider))
    await adapter.close()

    assert len(double.headers) == 3
    assert len(double.client_ports) == 1


async def test_a_server_that_keeps_the_stream_open_after_its_end_is_not_waited_for() -> None:
    choice = b'{"index": 0, "delta": {"content": "Bees"}, "finish_reason": "stop"}'
    trace, has_left = CallTrace(), asyncio.Event()

    async def answer(reply: Reply) -> None:
        await reply.open([])
        await reply.piece(b'data: {"choices": [%b]}\n\ndata: [DONE]\n\n' % choice)
        await reply.until_client_leaves()
        has_left.set()

    async with serving(answer) as url:
        adapter = provider_at(COMPATIBLE, url, silence_seconds=60.0)
        async with asyncio.timeout(20):
            told = await answer_of(adapter, call_for(COMPATIBLE), trace)
            # Before the client as a whole is closed: nobody else could use a connection with a rest in it.
            await has_left.wait()
        await adapter.close()

    assert (told.text, trace.sent) == ("Bees", True)


async def test_a_transcript_has_turns_speakers_and_the_providers_length(double: ProviderDouble) -> None:
    trace = CallTrace()

    answer = await asked(provider_at("deepgram", double.url), call_for("deepgram"), trace)

    transcript = msgspec.json.decode(answer.text, type=Transcript)
    assert transcript.text == "Good morning how can i help you.\nToday my order has not arrived yet."[: len(transcript.text)]
    assert [turn.speaker for turn in transcript.turns] == ["speaker_1", "speaker_2"]
    assert [transcript.text[turn.span.start : turn.span.end] for turn in transcript.turns] == transcript.text.split("\n")
    assert (transcript.turns[1].start_ms, transcript.turns[1].end_ms) == (3_500, 5_950)
    assert (transcript.duration_ms, transcript.language, transcript.is_diarized) == (6_000, "en", True)
    assert (transcript.confidence, transcript.made_by) == (0.98, "deepgram/nova-3")
    assert (trace.audio_ms, trace.response_id) == (6_000, "answer-1")
    [sent] = double.requests
    assert sent["query"]["diarize"] == ["true"]
    assert "language" not in sent["query"]


async def test_a_known_language_is_told_and_speakers_are_told_apart_only_when_asked(double: ProviderDouble) -> None:
    call = ModelCall(
        call_key=KEY,
        model="nova-3",
        capability=Capability.TRANSCRIPTION,
        input=AudioInput(data=recording(seconds=2.0), media_type="audio/wav", language="de"),
    )

    answer = await asked(provider_at("deepgram", double.url), call, CallTrace())

    transcript = msgspec.json.decode(answer.text, type=Transcript)
    assert (transcript.language, transcript.speakers, transcript.is_diarized) == ("de", (), False)
    assert double.requests[0]["query"]["language"] == ["de"]
    assert "diarize" not in double.requests[0]["query"]


@pytest.mark.parametrize("fault", [FaultKind.NO_USAGE, FaultKind.NEGATIVE_USAGE, FaultKind.HUGE_USAGE])
async def test_a_length_that_cannot_be_true_is_no_length(double: ProviderDouble, fault: FaultKind) -> None:
    trace = CallTrace()
    double.plan(fault)

    await asked(provider_at("deepgram", double.url), call_for("deepgram"), trace)

    assert trace.audio_ms is None
    assert trace.response_id == double.bill[0].response_id


async def test_audio_that_cannot_be_read_is_refused_and_not_billed(double: ProviderDouble) -> None:
    trace = CallTrace()
    noise = AudioInput(data=b"no audio at all", media_type="audio/wav")

    with pytest.raises(InvalidRequest) as caught:
        await asked(provider_at("deepgram", double.url), call_for("deepgram", audio=noise), trace)

    assert "corrupt or unsupported data" in caught.value.message
    assert (double.bill, trace.sent) == ([], False)


async def test_a_transcription_of_another_shape_keeps_its_id_for_the_bill(double: ProviderDouble) -> None:
    trace = CallTrace()

    failure = await failure_of("deepgram", double, FaultKind.BREAKS_SCHEMA, trace)

    assert type(failure) is MalformedOutput
    assert trace.response_id == double.bill[0].response_id


def serving(answer: Callable[[Reply], Awaitable[None]]) -> AbstractAsyncContextManager[str]:
    """A server that gives every request this answer."""

    async def respond(_: HttpRequest, reply: Reply) -> None:
        await answer(reply)

    return http_server(respond)


async def _stream_of(reply: Reply, body: bytes) -> None:
    await reply.open([])
    if body:
        await reply.piece(body)
    await reply.end()
