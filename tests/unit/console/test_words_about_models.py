"""Which models a factory says that it has, when it starts."""

import pytest

from aif_console.up import models_in

LOCAL = "local extractive provider, no key needed (OPENAI_API_KEY, ANTHROPIC_API_KEY or AIF_OPENAI_BASE_URL bring a model)"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, LOCAL),
        ({"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY_FILE": "y"}, "OpenAI and Anthropic"),
        ({"OPENAI_API_KEY": "x", "DEEPGRAM_API_KEY": "z"}, "OpenAI; Deepgram hears recordings"),
        ({"DEEPGRAM_API_KEY_FILE": "z"}, f"{LOCAL}; Deepgram hears recordings"),
        ({"DEEPGRAM_API_KEY": ""}, LOCAL),
    ],
    ids=["no key", "two writers", "a writer and Deepgram", "Deepgram alone", "an empty key"],
)
def test_the_greeting_names_who_writes_and_who_hears(environ: dict[str, str], said: str) -> None:
    assert models_in(environ) == said
