"""The built-in pipelines of analysis: capabilities, what is fed to what, and when a call is summarized."""

from typing import Any

import pytest

from aif_pipelines.library import builtin_pipelines
from aif_pipelines.plan import Plan, compile_pipeline

REDACTED = {"text": "x" * 200, "turns": [{"text": "x" * 200}]}
CALL = {"source": {"storage_key": "s"}, "useModel": False, "wantSummary": True, "summaryFrom": 200, "maxSentences": 3}


def plan(name: str) -> Plan:
    return compile_pipeline(next(pipeline for pipeline in builtin_pipelines() if pipeline.name == name))


def test_a_call_is_transcribed_with_speakers_then_redacted_then_judged_and_summarized() -> None:
    stages = plan("call_analysis").stages

    assert [(name, stage.stage.capability, stage.stage.optional) for name, stage in stages.items()] == [
        ("transcribe", "transcription_diarization", False),
        ("redact", "pii_redaction", False),
        ("mood", "sentiment_analysis", True),
        ("summarize", "summarization", True),
    ]
    assert stages["transcribe"].stage.prefer_providers == ("deepgram",)


@pytest.mark.parametrize("stage", ["mood", "summarize"])
def test_what_works_on_this_machine_serves_when_two_language_models_have_failed(stage: str) -> None:
    fallback = plan("call_analysis").stages[stage].stage.fallback

    assert fallback is not None
    assert fallback.max_fallbacks == 2


def test_what_comes_after_the_redaction_reads_the_redaction_only() -> None:
    transcript = {"text": "Mr. Bean", "turns": [], "language": "en"}
    scope = {"params": CALL, "transcribe": transcript, "redact": REDACTED}

    for name in ("mood", "summarize"):
        resolved: Any = plan("call_analysis").stages[name].input.resolve(scope)
        assert (resolved["text"], resolved["turns"]) == (REDACTED["text"], REDACTED["turns"])


def test_the_transcript_as_it_was_heard_is_not_delivered() -> None:
    assert [output.stage for output in plan("call_analysis").pipeline.outputs] == ["redact", "mood", "summarize"]


@pytest.mark.parametrize(
    ("wishes", "characters", "expected"),
    [
        ({}, 200, True),
        ({}, 199, False),
        ({"wantSummary": False}, 900, False),
        ({"summaryFrom": 0}, 0, False),
        ({"summaryFrom": 0}, 1, True),
    ],
)
def test_a_call_is_summarized_when_enough_was_said(wishes: dict[str, Any], characters: int, expected: bool) -> None:
    condition = plan("call_analysis").stages["summarize"].when
    assert condition is not None

    assert condition.holds({"params": {**CALL, **wishes}, "redact": {"text": "x" * characters}}) is expected


@pytest.mark.parametrize("name", ["call_analysis", "pii_detection"])
def test_names_by_a_model_are_refused_where_there_is_none(name: str) -> None:
    wanted = {**CALL, "useModel": True}

    refused = plan(name).refuse(wanted, frozenset({"pii_redaction"}))

    assert ["needs a language model" in mistake.message for mistake in refused] == [True]
    assert plan(name).refuse(wanted, frozenset({"llm_generation"})) == []
    assert plan(name).refuse(CALL, frozenset({"pii_redaction"})) == []
