"""What the orchestrator's no becomes over HTTP."""

import pytest

from aif_contracts.orders import FieldMistake, Refusal
from aif_kam import problems
from aif_kam.failures import Refused

CONFLICTS = [
    "not_pausable",
    "not_resumable",
    "already_ended",
    "nothing_to_approve",
    "ambiguous_approval",
    "pipeline_name_taken",
    "pipeline_version_taken",
    "already_decided",
    "not_replayable",
    "payload_cut",
    "execution_has_ended",
    "stage_has_ended",
    "packet_superseded",
    "execution_id_taken",
    "call_has_answer",
]
STATUSES = [
    *((code, 409) for code in CONFLICTS),
    ("unknown_execution", 404),
    ("unknown_pipeline", 404),
    ("unknown_dead_letter", 404),
    ("unknown_call", 404),
    ("budget_exceeded", 402),
    ("budget_reserved", 402),
    ("insufficient_energy", 402),
    ("too_many_executions", 429),
    ("parameters_too_large", 413),
    ("invalid_pipeline", 422),
    ("invalid_filter", 422),
    ("invalid_cursor", 422),
    ("a_word_that_a_newer_orchestrator_says", 422),
]


@pytest.mark.parametrize(("code", "status"), STATUSES)
def test_a_refusal_has_the_status_of_what_it_says(code: str, status: int) -> None:
    mistake = FieldMistake(field="stages[0].worker", message="is not there", mend="start it")
    refused = Refused(Refusal(code=code, message="no", mistakes=(mistake,)))

    problem = problems.problem_of(refused, instance="/here")

    assert (problem.status, problem.type, problem.detail, problem.errors) == (
        status,
        f"urn:aif:problem:{code}",
        "no",
        (mistake,),
    )


def test_a_refusal_that_asks_to_come_again_is_too_many_at_once() -> None:
    refused = Refused(Refusal(code="busy", message="later", retry_after_ms=1500))

    assert problems.problem_of(refused, instance="/here").status == 429
    assert refused.retry_after_seconds == 2
