"""Deepgram's transcription of recorded audio: one POST for each recording."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct, field

from aif_ai.failures import AiFailure, InvalidRequest, MalformedOutput
from aif_ai.provider import Listener, ModelCall, Offer
from aif_ai.requests import Answer, AudioInput, CallTrace, Capability
from aif_ai.told_usage import credible_audio_ms
from aif_ai.transport_failures import client_being_made, failure_of_connection, failure_of_status
from aif_contracts.analysis import Transcript, Turn
from aif_contracts.documents import Span

if TYPE_CHECKING:
    import httpx2

DEEPGRAM = "deepgram"
DEEPGRAM_URL = "https://api.deepgram.com"
_CONNECT_SECONDS = 5.0
_MOST_BYTES_OF_AN_ANSWER = 67_108_864
"""About forty hours of speech, word by word."""
_LONGEST_EXTRA = 2_000


_Seconds = Annotated[float, Meta(le=1e9)]


class _Utterance(Struct, frozen=True, kw_only=True):
    start: _Seconds
    end: _Seconds
    transcript: str
    confidence: float | None = None
    speaker: int | None = None


class _Alternative(Struct, frozen=True, kw_only=True):
    transcript: str
    confidence: float | None = None


class _Channel(Struct, frozen=True, kw_only=True):
    alternatives: tuple[_Alternative, ...] = ()
    detected_language: str | None = None


class _Metadata(Struct, frozen=True, kw_only=True):
    request_id: str | None = None
    duration: float | None = None


class _Results(Struct, frozen=True, kw_only=True):
    channels: tuple[_Channel, ...] = ()
    utterances: tuple[_Utterance, ...] = ()


class _Transcription(Struct, frozen=True, kw_only=True):
    metadata: _Metadata
    results: _Results


class _Refusal(Struct, frozen=True, kw_only=True):
    """An error's body. Two of its forms are in use."""

    err_code: str | None = None
    err_msg: str | None = None
    category: str | None = None
    message: str | None = None


class _Told(Struct, frozen=True, kw_only=True):
    """Enough of any answer to find it on the bill."""

    metadata: _Metadata = field(default_factory=_Metadata)


class DeepgramProvider:
    """Charges by the length of the audio, whatever is said in it."""

    def __init__(
        self, *, models: tuple[str, ...], api_key: str, base_url: str | None = None, silence_seconds: float = 300.0
    ) -> None:
        self.name = DEEPGRAM
        self.offers = (
            Offer(capability=Capability.TRANSCRIPTION, models=models),
            Offer(capability=Capability.TRANSCRIPTION_DIARIZATION, models=models),
        )
        self._api_key = api_key
        self._url = f"{(base_url or DEEPGRAM_URL).rstrip('/')}/v1/listen"
        self._silence_seconds = silence_seconds
        """A transcription says nothing until it is done, so this bounds all of it."""
        self._client: httpx2.AsyncClient | None = None

    async def open(self) -> None:
        """Import the client's library and make it, so that the first call need not. Raises InvalidRequest."""
        await asyncio.to_thread(self._connected)

    async def answer(self, call: ModelCall, trace: CallTrace, heard: Listener) -> Answer:
        """A `Transcript` as JSON. Turns are what Deepgram takes for one utterance of one speaker."""
        audio = call.input
        if not isinstance(audio, AudioInput):
            raise InvalidRequest(f"{self.name} works on audio, and the call has none")
        response = await self._posted(call, audio, trace)
        if not response.is_success:
            failure = _failure(response)
            trace.sent = failure.maybe_billed
            raise failure
        answered = _decoded(response, call, trace)
        transcript = _transcript(answered, call, audio, trace)
        trace.characters = len(transcript.text)
        await heard(transcript.text)
        return Answer(text=msgspec.json.encode(transcript).decode())

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _posted(self, call: ModelCall, audio: AudioInput, trace: CallTrace) -> "httpx2.Response":
        import httpx2

        client = self._connected()
        trace.sent = True
        try:
            response = await client.post(
                self._url, params=_query(call, audio), content=audio.data, headers={"content-type": audio.media_type}
            )
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            failure = failure_of_connection(self.name, error)
            trace.sent = failure.maybe_billed
            raise failure from error
        trace.response_id = response.headers.get("dg-request-id")
        return response

    def _connected(self) -> "httpx2.AsyncClient":
        import httpx2

        from aif_ai.bounded_answers import ACCEPTED_ENCODING, bounded

        if self._client is None:
            with client_being_made(self.name):
                self._client = httpx2.AsyncClient(
                    timeout=httpx2.Timeout(self._silence_seconds, connect=_CONNECT_SECONDS),
                    follow_redirects=False,
                    headers={**ACCEPTED_ENCODING, "authorization": f"Token {self._api_key}"},
                    event_hooks={"response": [bounded(_MOST_BYTES_OF_AN_ANSWER, streams=False)]},
                )
        return self._client


def _query(call: ModelCall, audio: AudioInput) -> dict[str, str]:
    asked = {"model": call.model, "smart_format": "true", "utterances": "true"}
    if call.capability is Capability.TRANSCRIPTION_DIARIZATION or audio.diarize:
        asked["diarize"] = "true"
    if audio.language is None:
        asked["detect_language"] = "true"
    else:
        asked["language"] = audio.language
    if 0 < len(call.call_key) <= _LONGEST_EXTRA:
        # Stands in the path that Deepgram keeps of every request; its tags are meant for few values, not for one a call.
        asked["extra"] = f"call_key:{call.call_key}"
    return asked


def _failure(response: "httpx2.Response") -> AiFailure:
    try:
        said = msgspec.json.decode(response.content, type=_Refusal)
    except (msgspec.DecodeError, RecursionError):
        said = _Refusal()
    message = said.err_msg or said.message or response.text
    return failure_of_status(DEEPGRAM, response.status_code, message, response.headers, code=said.err_code or said.category)


def _decoded(response: "httpx2.Response", call: ModelCall, trace: CallTrace) -> _Transcription:
    """The answer; whatever else it is, its id and the length of the audio go into the trace."""
    try:
        metadata = msgspec.json.decode(response.content, type=_Told).metadata
        trace.response_id = metadata.request_id or trace.response_id
        if metadata.duration is not None:
            trace.audio_ms = credible_audio_ms(metadata.duration, call)
        return msgspec.json.decode(response.content, type=_Transcription)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedOutput(f"{DEEPGRAM} answered with something that is no transcription", maybe_billed=True) from error


def _transcript(answered: _Transcription, call: ModelCall, audio: AudioInput, trace: CallTrace) -> Transcript:
    heard = [utterance for utterance in answered.results.utterances if utterance.transcript.strip()]
    names: dict[int, str] = {}
    turns: list[Turn] = []
    position = 0
    for utterance in heard:
        text = " ".join(utterance.transcript.split())
        if utterance.speaker is not None:
            names.setdefault(utterance.speaker, f"speaker_{len(names) + 1}")
        turns.append(
            Turn(
                text=text,
                span=Span(start=position, end=position + len(text)),
                start_ms=_ms(utterance.start),
                end_ms=_ms(utterance.end),
                speaker=None if utterance.speaker is None else names[utterance.speaker],
                confidence=_share(utterance.confidence),
            )
        )
        position += len(text) + 1
    channel = next(iter(answered.results.channels), _Channel())
    best = next(iter(channel.alternatives), None)
    return Transcript(
        text="\n".join(turn.text for turn in turns),
        turns=tuple(turns),
        duration_ms=trace.audio_ms if trace.audio_ms is not None else max((turn.end_ms for turn in turns), default=0),
        language=audio.language or channel.detected_language,
        speakers=tuple(names.values()),
        is_diarized=bool(names),
        confidence=_share(best.confidence) if best is not None and turns else None,
        made_by=f"{DEEPGRAM}/{call.model}",
    )


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1_000))


def _share(confidence: float | None) -> float | None:
    return None if confidence is None else min(1.0, max(0.0, confidence))
