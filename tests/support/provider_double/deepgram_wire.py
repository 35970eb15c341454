"""Transcriptions of recorded audio as Deepgram sends them."""

import hashlib
import io
import wave
from datetime import datetime
from typing import Any

import msgspec

from support.provider_double.bill import BillEntry
from support.provider_double.faults import FaultKind

PROVIDER = "deepgram"
REQUEST_ID_HEADER = "dg-request-id"

_ERRORS = {
    FaultKind.RATE_LIMITED: (429, "TOO_MANY_REQUESTS", "Too many requests. Please try again later"),
    FaultKind.NO_CREDIT: (402, "ASR_PAYMENT_REQUIRED", "Project does not have enough credits for an ASR request."),
    FaultKind.SERVER_ERROR: (500, "INTERNAL_SERVER_ERROR", "Internal server error"),
    FaultKind.UNAVAILABLE: (503, "SERVICE_UNAVAILABLE", "Service unavailable"),
    FaultKind.OVERLOADED: (503, "SERVICE_UNAVAILABLE", "Service unavailable"),
    FaultKind.UNAUTHORIZED: (401, "INVALID_AUTH", "Invalid credentials."),
    FaultKind.CONTEXT_TOO_LONG: (413, "PAYLOAD_TOO_LARGE", "The audio is larger than 2 GB."),
}
"""Status, code, message."""
_BAD_AUDIO = (400, "Bad Request", "Bad Request: failed to process audio: corrupt or unsupported data")
_WORDS = ("good", "morning", "how", "can", "i", "help", "you", "today", "my", "order", "has", "not", "arrived", "yet")
_MS_PER_WORD = 500
_WORDS_PER_TURN = 7


def error(kind: FaultKind, request_id: str) -> tuple[int, dict[str, Any]]:
    """Status and body of an error answer."""
    return _error(_ERRORS[kind], request_id)


def bad_audio(request_id: str) -> tuple[int, dict[str, Any]]:
    return _error(_BAD_AUDIO, request_id)


def is_wrong_key(headers: dict[str, str]) -> bool:
    return headers.get("authorization", "").startswith("Token wrong")


def length_ms(audio: bytes) -> int | None:
    """Of a WAV file; None for anything else."""
    try:
        with wave.open(io.BytesIO(audio)) as reader:
            return int(reader.getnframes() * 1_000 // reader.getframerate())
    except (wave.Error, EOFError):
        return None


def entry(
    *, query: dict[str, list[str]], audio_ms: int, response_id: str, client_request_id: str | None, at: datetime
) -> BillEntry:
    return BillEntry(
        response_id=response_id,
        provider=PROVIDER,
        model=query["model"][0],
        client_request_id=client_request_id,
        at=at,
        audio_ms=audio_ms,
    )


def told(entry: BillEntry, fault: FaultKind | None) -> int | None:
    """The length in milliseconds that the answer speaks of; None when it speaks of none."""
    match fault:
        case FaultKind.NO_USAGE:
            return None
        case FaultKind.NEGATIVE_USAGE | FaultKind.CONTRADICTORY_USAGE:
            return -entry.audio_ms
        case FaultKind.HUGE_USAGE:
            return 10**12
        case FaultKind.LYING_USAGE:
            return entry.audio_ms + 1_000
    return entry.audio_ms


def whole(entry: BillEntry, *, query: dict[str, list[str]], audio: bytes, fault: FaultKind | None) -> dict[str, Any]:
    length = told(entry, fault)
    diarize = query.get("diarize") == ["true"]
    words = [_word(number, entry.audio_ms, diarize=diarize) for number in range(max(1, entry.audio_ms // _MS_PER_WORD))]
    alternative: dict[str, Any] = {
        "transcript": " ".join(word["punctuated_word"] for word in words),
        "confidence": 0.98,
        "words": words,
    }
    channel: dict[str, Any] = {"alternatives": [alternative]}
    if query.get("detect_language") == ["true"]:
        channel |= {"detected_language": "en", "language_confidence": 0.99}
    return {
        "metadata": {
            "transaction_key": "deprecated",
            "request_id": entry.response_id,
            "sha256": hashlib.sha256(audio).hexdigest(),
            "created": entry.at.isoformat(),
            **({} if length is None else {"duration": length / 1_000}),
            "channels": 1,
            "models": ["model-1"],
            "model_info": {"model-1": {"name": "general", "version": "2026-01-01.0", "arch": entry.model}},
        },
        "results": {
            "channels": [channel],
            **({"utterances": _utterances(words)} if query.get("utterances") == ["true"] else {}),
        },
    }


def encoded(body: dict[str, Any]) -> bytes:
    return msgspec.json.encode(body)


def _word(number: int, audio_ms: int, *, diarize: bool) -> dict[str, Any]:
    word = _WORDS[number % len(_WORDS)]
    ends_turn = number % _WORDS_PER_TURN == _WORDS_PER_TURN - 1
    begins_turn = number % _WORDS_PER_TURN == 0
    said: dict[str, Any] = {
        "word": word,
        "start": number * _MS_PER_WORD / 1_000,
        "end": min(audio_ms, (number + 1) * _MS_PER_WORD - 50) / 1_000,
        "confidence": 0.97,
        "punctuated_word": (word.capitalize() if begins_turn else word) + ("." if ends_turn else ""),
    }
    if diarize:
        said |= {"speaker": number // _WORDS_PER_TURN % 2, "speaker_confidence": 0.8}
    return said


def _utterances(words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    turns = [words[i : i + _WORDS_PER_TURN] for i in range(0, len(words), _WORDS_PER_TURN)]
    return [
        {
            "start": turn[0]["start"],
            "end": turn[-1]["end"],
            "confidence": 0.97,
            "channel": 0,
            "transcript": " ".join(word["punctuated_word"] for word in turn),
            "words": turn,
            **({"speaker": turn[0]["speaker"]} if "speaker" in turn[0] else {}),
            "id": f"utterance-{number}",
        }
        for number, turn in enumerate(turns)
    ]


def _error(said: tuple[int, str, str], request_id: str) -> tuple[int, dict[str, Any]]:
    status, code, message = said
    return status, {"err_code": code, "err_msg": message, "request_id": request_id}
