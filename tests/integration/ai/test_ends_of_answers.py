"""How an answer ends, as servers really end theirs: cut off, broken off, complete though the connection is not."""

import pytest

from aif_ai.failures import ProviderOverloaded, ProviderUnreachable
from aif_ai.openai_provider import COMPATIBLE
from aif_ai.requests import Finish
from aif_contracts.metering import Tokens
from support.provider_double.written_answers import USAGE, Written, anthropic_events, chunk, events, told_by

USED = Tokens(prompt_tokens=20, completion_tokens=5, total_tokens=25)


@pytest.mark.parametrize("finish", ["length", "max_tokens", "model_length"])
async def test_an_answer_that_is_cut_off_is_told_so_in_every_servers_words(finish: str) -> None:
    heard = await told_by(COMPATIBLE, Written(body=events(chunk("Half of"), chunk(finish=finish, usage=USAGE))))

    assert heard.answer is not None
    assert (heard.answer.text, heard.answer.finish) == ("Half of", Finish.TRUNCATED)


@pytest.mark.parametrize("finish", ["error", "abort", "insufficient_system_resource"])
async def test_an_answer_that_its_server_could_not_end_is_none_and_is_paid(finish: str) -> None:
    heard = await told_by(COMPATIBLE, Written(body=events(chunk("Half of"), chunk(finish=finish, usage=USAGE))))

    assert isinstance(heard.failure, ProviderOverloaded)
    assert finish in heard.failure.message
    assert heard.trace.tokens == USED


@pytest.mark.parametrize("ending", ["stays open", "breaks off"])
@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_a_connection_that_ends_badly_after_the_end_of_an_answer_takes_nothing_from_it(name: str, ending: str) -> None:
    whole = anthropic_events("Bees").removesuffix(b'event: message_stop\ndata: {"type": "message_stop"}\n\n')
    body = whole if name == "anthropic" else events(chunk("Bees"), chunk(finish="stop", usage=USAGE), done=False)

    heard = await told_by(name, Written(body=body, stays_open=ending == "stays open", breaks_off=ending == "breaks off"))

    assert heard.answer is not None
    assert (heard.answer.text, heard.trace.tokens) == ("Bees", USED)


async def test_nobody_waits_for_more_after_anthropics_last_event() -> None:
    heard = await told_by("anthropic", Written(body=anthropic_events("Bees"), stays_open=True), silence_seconds=60.0)

    assert heard.answer is not None
    assert (heard.answer.text, heard.trace.tokens) == ("Bees", USED)


@pytest.mark.parametrize("name", ["openai", "anthropic"])
async def test_a_stream_cut_at_any_byte_gives_the_whole_answer_or_none(name: str) -> None:
    whole = anthropic_events("Bees fly") if name == "anthropic" else events(chunk("Bees "), chunk("fly", finish="stop"))

    for length in range(0, len(whole), 7):
        heard = await told_by(name, Written(body=whole[:length], breaks_off=length % 2 == 0))

        if heard.answer is None:
            assert isinstance(heard.failure, ProviderUnreachable)
            assert heard.failure.maybe_billed
        else:
            assert heard.answer.text == "Bees fly"


@pytest.mark.parametrize("last", [{"prompt_tokens": "20"}, {"prompt_tokens": -1, "completion_tokens": 5}, [], 7])
async def test_the_usage_that_is_told_last_is_the_one_that_counts(last: object) -> None:
    counting_along = chunk("Bees", finish="stop", usage=USAGE)

    heard = await told_by(COMPATIBLE, Written(body=events(counting_along, {"choices": [], "usage": last})))

    assert heard.answer is not None
    assert heard.trace.tokens is None
