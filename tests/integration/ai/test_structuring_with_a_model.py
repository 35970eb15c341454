"""The granulator's actions with a language model on the wire."""

import pytest

from aif_contracts.metering import CallOutcome
from aif_contracts.packets import Grant
from aif_contracts.structures import Course, Quiz
from aif_granulator.elements import cited_spans
from aif_runtime.assignment import WorkFailure
from support.granulator_rig import GranulatorRig
from support.provider_double.faults import Fault, FaultKind
from support.provider_double.server import ProviderDouble
from support.source_documents import beekeeping


async def test_a_topic_alone_becomes_a_course(double: ProviderDouble) -> None:
    rig = GranulatorRig(double)

    outcome = await rig.run("structure_course", topic="Keeping honey bees", targetAudience="gardeners")

    course = outcome.output
    assert isinstance(course, Course)
    assert course.made_by == "openai/gpt-4o-mini"
    assert course.target_audience == "gardeners"
    assert outcome.quality_score is not None
    prompt = double.requests[0]["messages"][1]["content"]
    assert "Keeping honey bees" in prompt
    assert "gardeners" in prompt
    assert [c.tokens.total_tokens for c in rig.assignment.calls] == [e.prompt_tokens + e.output_tokens for e in double.bill]


async def test_the_quotes_of_a_model_become_spans_in_the_source(double: ProviderDouble) -> None:
    rig = GranulatorRig(double)
    document = beekeeping()

    outcome = await rig.run("structure_course", source=await rig.stored(document), validationLevel=3, granularityLevel=4)

    spans = cited_spans(outcome.output)
    assert spans
    assert all(span is not None and document.text[span.start : span.end].endswith(".") for span in spans)
    assert outcome.output.modules[0].lessons[0].sections


async def test_a_source_becomes_a_quiz_of_the_model(double: ProviderDouble) -> None:
    rig = GranulatorRig(double)

    outcome = await rig.run("structure_quiz", source=await rig.stored(beekeeping()), questionCount=5)

    assert isinstance(outcome.output, Quiz)
    assert outcome.output.made_by == "openai/gpt-4o-mini"


async def test_a_structure_that_breaks_a_rule_is_sent_back_with_the_rule(double: ProviderDouble) -> None:
    rig = GranulatorRig(double)

    with pytest.raises(WorkFailure) as failed:
        await rig.run("structure_quiz", topic="Bees", questionCount=1)

    assert failed.value.code == "malformed_output"
    assert "2 questions, 1 were asked for" in double.requests[1]["messages"][-1]["content"]
    assert [c.outcome for c in rig.assignment.calls] == [CallOutcome.REJECTED] * 3
    assert [c.purpose for c in rig.assignment.calls] == ["first_try", "correction", "correction"]


async def test_without_validation_only_the_schema_is_asked_for(double: ProviderDouble) -> None:
    rig = GranulatorRig(double)

    outcome = await rig.run("structure_quiz", topic="Bees", questionCount=1, validationEnabled=False)

    assert len(outcome.output.questions) == 2


async def test_a_failure_of_the_provider_keeps_its_code_and_wait(double: ProviderDouble) -> None:
    rig = GranulatorRig(double)
    double.plan(Fault(kind=FaultKind.RATE_LIMITED, retry_after="3"))

    with pytest.raises(WorkFailure) as failed:
        await rig.run("structure_course", topic="Bees")

    assert (failed.value.code, failed.value.retryable, failed.value.retry_after_ms) == ("rate_limited", True, 3_000)


async def test_a_grant_for_local_work_leaves_the_model_alone(double: ProviderDouble) -> None:
    rig = GranulatorRig(double)

    outcome = await rig.run("structure_course", source=await rig.stored(beekeeping()), grant=Grant(models=()))

    assert outcome.provider == "local_extractive"
    assert double.requests == []


async def test_a_source_longer_than_the_budget_is_shortened_to_its_best_sentences(double: ProviderDouble) -> None:
    rig = GranulatorRig(double, source_budget_characters=5_000)

    await rig.run("structure_course", source=await rig.stored(beekeeping()))

    prompt = double.requests[0]["messages"][1]["content"]
    source = prompt.split("<source>\n")[1].split("\n</source>")[0]
    assert len(source) <= 5_500
    assert "[…]" in source
    assert "How honey is made" in source


async def test_with_a_model_the_worker_is_paid_and_names_it(double: ProviderDouble) -> None:
    spec = GranulatorRig(double).spec

    assert spec.capabilities == ("structuring", "llm_generation")
    assert spec.models == ("gpt-4o-mini",)
    assert all(action.paid for action in spec.actions.values())
