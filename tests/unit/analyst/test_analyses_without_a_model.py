"""The analyst's actions as a stage calls them, done by the local providers."""

from typing import Any

import msgspec
import pytest

from aif_ai.call_policy import CallPolicy
from aif_ai.local.passages import passages_of
from aif_contracts.analysis import Redaction, SentimentAnalysis, Summary
from aif_contracts.documents import SourceDocument
from aif_contracts.metering import CallOutcome
from aif_runtime.assignment import WorkFailure
from support.analyst_rig import AnalystRig

TEXT_ACTIONS = ("pii_redaction", "sentiment_analysis", "summarization")
COMPLAINT = "I am Mr. Bean and I am very angry. Your parcel never came. Write to bean@example.com today."


async def test_a_text_is_redacted_and_the_attempt_costs_nothing() -> None:
    rig = AnalystRig()

    outcome = await rig.run("pii_redaction", text=COMPLAINT)

    redaction = outcome.output
    assert isinstance(redaction, Redaction)
    assert redaction.text == "I am Mr. [PERSON] and I am very angry. Your parcel never came. Write to [EMAIL] today."
    assert (outcome.quality_score, outcome.element_count) == (1.0, 2)
    assert (outcome.provider, outcome.model) == ("local_pii", "rules-1")
    (call,) = rig.assignment.calls
    assert (call.provider, call.cost_usd, call.outcome, call.tokens.total_tokens) == (
        "local_pii",
        "0",
        CallOutcome.ANSWERED,
        0,
    )
    assert call.characters == len(COMPLAINT)
    assert rig.assignment.announced == []


async def test_the_output_of_one_analysis_is_the_input_of_the_next_as_it_is() -> None:
    rig = AnalystRig()
    redaction = msgspec.to_builtins((await rig.run("pii_redaction", text=COMPLAINT)).output)

    mood = (await rig.run("sentiment_analysis", **redaction)).output
    summary = (await rig.run("summarization", **redaction)).output

    assert isinstance(mood, SentimentAnalysis)
    assert isinstance(summary, Summary)
    assert mood.overall.label == "negative"
    assert "bean@example.com" not in summary.text
    assert "[EMAIL]" in summary.text


async def test_a_stored_document_is_read_by_its_reference() -> None:
    rig = AnalystRig()
    document = SourceDocument(title="Bees", text="Ask Mrs. Smith.", blocks=(), media_type="text/plain")
    source = await rig.stored(msgspec.json.encode(document), "application/json")

    outcome = await rig.run("pii_redaction", source=source)

    assert outcome.output.text == "Ask Mrs. [PERSON]."


async def test_an_empty_text_has_nothing_to_hide_and_nothing_to_say() -> None:
    rig = AnalystRig()

    redacted = await rig.run("pii_redaction", text="")

    assert (redacted.output.text, redacted.quality_score, redacted.element_count) == ("", 1.0, 0)
    with pytest.raises(WorkFailure, match="no sentence") as failure:
        await rig.run("summarization", text="")
    assert (failure.value.code, failure.value.retryable) == ("source_too_thin", False)


@pytest.mark.parametrize("action", TEXT_ACTIONS)
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "neither text nor source is given"),
        ({"text": None}, "neither text nor source is given"),
        ({"text": 5}, r"Expected `str \| null`, got `int` - at `\$.text`"),
        ({"text": "a", "language": "English!"}, r"at `\$.language`"),
        ({"text": "short", "turns": [{"text": "x", "span": {"start": 0, "end": 9}}]}, r"turns\[0\].span covers 0 to 9"),
        (
            {
                "text": "two turns",
                "turns": [{"text": "", "span": {"start": 4, "end": 9}}, {"text": "", "span": {"start": 0, "end": 3}}],
            },
            r"turns\[1\].span covers 0 to 3",
        ),
    ],
)
async def test_a_bad_order_is_refused_with_the_field_and_the_mend(action: str, fields: dict[str, Any], message: str) -> None:
    rig = AnalystRig()

    with pytest.raises(WorkFailure, match=message) as failure:
        await rig.run(action, **fields)

    assert (failure.value.code, failure.value.retryable) == ("invalid_input", False)
    assert rig.assignment.calls == []


async def test_text_and_source_together_are_one_too_many() -> None:
    rig = AnalystRig()
    source = await rig.stored(b"{}", "application/json")

    with pytest.raises(WorkFailure, match="text and source are both given: keep one of them"):
        await rig.run("summarization", text="a", source=source)


async def test_names_by_a_model_need_a_model() -> None:
    rig = AnalystRig()

    with pytest.raises(WorkFailure) as failure:
        await rig.run("pii_redaction", text="Anna was here.", useModel=True)

    assert failure.value.code == "provider_not_configured"
    assert "OPENAI_API_KEY" in failure.value.message


async def test_no_failure_and_no_progress_tells_what_was_found() -> None:
    rig = AnalystRig()
    secret = "sk-proj-abcdefgh12345678"

    outcome = await rig.run("pii_redaction", text=f"My key is {secret}, my mail a.b@example.com.")

    told = repr((outcome, rig.assignment.messages, rig.assignment.calls, rig.assignment.audited))
    assert secret not in told
    assert "a.b@example.com" not in told


def test_without_models_nothing_is_paid_and_every_capability_is_an_action() -> None:
    spec = AnalystRig().spec

    assert spec.worker_name == "analyst"
    assert {name: action.paid for name, action in spec.actions.items()} == {
        "transcription": False,
        "transcription_diarization": False,
        "pii_redaction": False,
        "sentiment_analysis": False,
        "summarization": False,
    }
    assert set(spec.capabilities) == set(spec.actions)


async def test_work_on_this_machine_is_not_bounded_like_a_call_over_a_network() -> None:
    rig = AnalystRig(policy=CallPolicy(call_timeout_seconds=0.000_001))

    outcome = await rig.run("summarization", text="An hour of speech takes its time.")

    assert outcome.output.text == "An hour of speech takes its time."


def test_paragraphs_are_what_empty_lines_divide() -> None:
    text = "One.\nStill one.\n\n\n\nTwo."

    assert [text[passage.start : passage.end].strip() for passage in passages_of(text, ())] == ["One.\nStill one.", "Two."]
