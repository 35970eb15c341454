"""What is told of an error, and what it is taken for, whatever form a server gives it."""

import msgspec
import pytest

from aif_ai.failures import AiFailure, AuthenticationFailed, InvalidRequest, MalformedOutput, ProviderOverloaded, RateLimited
from aif_ai.openai_provider import COMPATIBLE
from support.provider_double.written_answers import Written, asked_at, events, told_by

LATER = ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")
NOW = ("date", "Wed, 21 Oct 2026 07:28:00 GMT")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"404 page not found", "404 page not found"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"error": "model \'x\' not found"}', "model 'x' not found"),
        (b'{"error": {"message": "no such model", "code": {}}}', "no such model"),
    ],
)
@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_what_a_server_says_of_what_it_does_not_have_is_told_with_the_mend(name: str, body: bytes, told: str) -> None:
    failure = (await told_by(name, Written(status=404, body=body, media_type="text/plain"))).failure

    assert isinstance(failure, InvalidRequest)
    assert told in failure.message
    assert failure.message.endswith("Check the model's name, and the base URL where one is set")


@pytest.mark.parametrize(
    ("name", "status", "error", "refusal"),
    [
        ("openai", 401, {"message": "Incorrect API key provided", "code": "invalid_api_key"}, "key"),
        ("anthropic", 401, {"message": "invalid x-api-key", "type": "authentication_error"}, "key"),
        ("openai", 403, {"message": "no access to the model", "code": "model_not_found"}, "permission"),
        ("openai", 429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, "credit"),
        ("anthropic", 402, {"message": "no money", "type": "billing_error"}, "credit"),
        ("anthropic", 400, {"message": "Your credit balance is too low", "type": "invalid_request_error"}, "credit"),
        ("openai", 404, {"message": "The model does not exist", "code": "model_not_found"}, "unknown_model"),
        ("openai", 429, {"message": "Rate limit reached", "code": "rate_limit_exceeded"}, None),
        ("anthropic", 400, {"message": "prompt is too long", "type": "invalid_request_error"}, None),
    ],
)
async def test_what_only_the_operator_can_mend_is_told_apart_from_what_passes_and_from_bad_requests(
    name: str, status: int, error: dict[str, str], refusal: str | None
) -> None:
    written = Written(status=status, body=msgspec.json.encode({"error": error}), media_type="application/json")

    failure = (await told_by(name, written)).failure

    assert failure is not None
    assert failure.refusal == refusal


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (429, RateLimited),
        (400, InvalidRequest),
        (401, AuthenticationFailed),
        (503, ProviderOverloaded),
        (7, ProviderOverloaded),
    ],
)
async def test_a_status_that_stands_in_an_error_counts_as_one(code: int, expected: type[AiFailure]) -> None:
    failure = (await told_by(COMPATIBLE, Written(body=events({"error": {"message": "no", "code": code}})))).failure

    assert type(failure) is expected
    assert failure.maybe_billed


async def test_an_error_in_place_of_a_stream_is_known_whatever_the_case_of_its_media_type() -> None:
    written = Written(body=b'{"error": {"message": "no", "code": "rate_limit_exceeded"}}', media_type="Application/JSON")

    assert type((await told_by("openai", written)).failure) is RateLimited


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ((LATER, NOW), 30_000),
        ((NOW, ("retry-after", "Wed, 21 Oct 2026 07:27:00 GMT")), 0),
        ((NOW, ("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT")), 3_600_000),
        ((LATER,), None),
        ((NOW, ("retry-after", "soon")), None),
        ((("date", "Wed, 21 Oct 2026 07:28:00 -0000"), LATER), None),
    ],
    ids=["later", "past", "absurd", "no clock", "no date", "no zone"],
)
async def test_a_wait_told_as_a_date_is_understood_by_the_providers_clock(
    headers: tuple[tuple[str, str], ...], wait_ms: int | None
) -> None:
    failure = (await told_by("openai", Written(status=429, body=b"{}", headers=headers))).failure

    assert isinstance(failure, RateLimited)
    assert failure.retry_after_ms == wait_ms


@pytest.mark.parametrize("name", ["openai", "anthropic", "deepgram"])
async def test_a_key_that_no_header_can_carry_is_not_sent_and_not_told(name: str) -> None:
    heard = await told_by(name, Written(body=b""), api_key="secret-of-ours\n")

    assert isinstance(heard.failure, InvalidRequest)
    assert "secret-of-ours" not in heard.failure.message
    assert (heard.trace.sent, heard.failure.maybe_billed) == (False, False)


@pytest.mark.parametrize("name", ["openai", "deepgram"])
async def test_a_key_with_letters_that_are_not_ascii_is_not_sent(name: str) -> None:
    heard = await told_by(name, Written(body=b""), api_key="“sk-test”")

    assert isinstance(heard.failure, InvalidRequest)
    assert (heard.trace.sent, heard.failure.maybe_billed) == (False, False)


@pytest.mark.parametrize("name", ["openai", "anthropic", "deepgram"])
async def test_an_address_that_is_none_is_told_and_nothing_is_owed(name: str) -> None:
    heard = await asked_at(name, "http://localhost:port")

    assert isinstance(heard.failure, InvalidRequest)
    assert "base URL" in heard.failure.message
    assert (heard.trace.sent, heard.failure.maybe_billed) == (False, False)


@pytest.mark.parametrize("name", ["openai", "anthropic", "deepgram"])
async def test_certificates_that_are_not_there_are_told_by_the_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/certificates.pem")

    heard = await asked_at(name, "http://127.0.0.1:9")

    assert isinstance(heard.failure, InvalidRequest)
    assert "SSL_CERT_FILE" in heard.failure.message


@pytest.mark.parametrize(
    "body",
    [
        b'{"metadata": {}, "results": {}, "more": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"metadata": {}, "results": {"utterances": [{"start": 1e308, "end": 2.0, "transcript": "Good morning"}]}}',
    ],
    ids=["deep", "no time"],
)
async def test_a_transcription_that_cannot_be_is_none(body: bytes) -> None:
    failure = (await told_by("deepgram", Written(body=body, media_type="application/json"))).failure

    assert isinstance(failure, MalformedOutput)
    assert failure.maybe_billed


@pytest.mark.parametrize(
    ("name", "media_type"), [("openai", "text/html"), ("anthropic", "text/html"), ("deepgram", "text/plain")]
)
async def test_pages_with_empty_lines_are_not_taken_whole(name: str, media_type: str) -> None:
    endless = Written(body=b"x" * 65_536 + b"\n\n", repeated=1_200, media_type=media_type)

    failure = (await told_by(name, endless)).failure

    assert isinstance(failure, MalformedOutput)
    assert "longer than" in failure.message
