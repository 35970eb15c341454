"""What the classifier's tables refuse, whoever writes it: every check of theirs."""

from support.refused_rows import Impossible, Values, checks_of, refusals

GOOD: dict[str, Values] = {
    "worker_performance_log": {
        "execution_id": "'exec_1'",
        "stage_id": "'make'",
        "attempt": "0",
        "client_id": "'acme'",
        "worker_name": "'maker'",
        "action": "'make'",
        "template": "'pair'",
        "template_version": "'1'",
        "success": "true",
        "execution_time_ms": "0",
        "queue_time_ms": "0",
        "timeout_ms": "1",
        "prompt_tokens": "0",
        "completion_tokens": "0",
        "total_tokens": "0",
        "cost_usd": "0",
        "quality_score": "1",
        "element_count": "0",
        "input_size": "0",
        "input_complexity": "'small'",
        "output_size": "0",
        '"timestamp"': "now()",
    },
    "optimization_insights": {
        "recommendation_id": "'rec_1'",
        "insight_key": "'key'",
        "worker_name": "'maker'",
        "action": "'make'",
        "template": "'pair'",
        "recommendation_type": "'cost'",
        "description": "''",
        "confidence_score": "1",
        "sample_size": "1",
        "evidence": "'{}'",
        "implementation_status": "'withdrawn'",
    },
}

IMPOSSIBLE = (
    Impossible("worker_performance_log", "worker_performance_log_attempt_check", {"attempt": "-1"}),
    Impossible("worker_performance_log", "worker_performance_log_execution_time_ms_check", {"execution_time_ms": "-1"}),
    Impossible("worker_performance_log", "worker_performance_log_queue_time_ms_check", {"queue_time_ms": "-1"}),
    Impossible("worker_performance_log", "worker_performance_log_prompt_tokens_check", {"prompt_tokens": "-1"}),
    Impossible("worker_performance_log", "worker_performance_log_completion_tokens_check", {"completion_tokens": "-1"}),
    Impossible("worker_performance_log", "worker_performance_log_total_tokens_check", {"total_tokens": "-1"}),
    Impossible("worker_performance_log", "worker_performance_log_element_count_check", {"element_count": "-1"}),
    Impossible("worker_performance_log", "worker_performance_log_input_size_check", {"input_size": "-1"}),
    Impossible("worker_performance_log", "worker_performance_log_output_size_check", {"output_size": "-1"}),
    Impossible("worker_performance_log", "worker_performance_log_timeout_ms_check", {"timeout_ms": "0"}),
    Impossible("worker_performance_log", "worker_performance_log_cost_usd_check", {"cost_usd": "-0.000001"}),
    Impossible("worker_performance_log", "worker_performance_log_quality_score_check", {"quality_score": "-0.01"}),
    Impossible("worker_performance_log", "worker_performance_log_quality_score_check", {"quality_score": "1.01"}),
    Impossible("worker_performance_log", "worker_performance_log_input_complexity_check", {"input_complexity": "'huge'"}),
    Impossible("optimization_insights", "optimization_insights_recommendation_type_check", {"recommendation_type": "'beauty'"}),
    Impossible("optimization_insights", "optimization_insights_confidence_score_check", {"confidence_score": "-0.01"}),
    Impossible("optimization_insights", "optimization_insights_confidence_score_check", {"confidence_score": "1.01"}),
    Impossible("optimization_insights", "optimization_insights_sample_size_check", {"sample_size": "0"}),
    Impossible(
        "optimization_insights", "optimization_insights_implementation_status_check", {"implementation_status": "'applied'"}
    ),
)


async def test_rows_as_they_should_be_are_taken(fresh_classifier_database: str) -> None:
    told = await refusals(fresh_classifier_database, "classifier", GOOD.items())

    assert dict(zip(GOOD, told, strict=True)) == dict.fromkeys(GOOD)


async def test_every_check_refuses_what_can_never_be(fresh_classifier_database: str) -> None:
    rows = [(row.table, {**GOOD[row.table], **row.change}) for row in IMPOSSIBLE]

    told = await refusals(fresh_classifier_database, "classifier", rows)

    assert [(row, refusal) for row, refusal in zip(IMPOSSIBLE, told, strict=True) if refusal != row.check] == []
    assert {row.check for row in IMPOSSIBLE} == await checks_of(fresh_classifier_database, "classifier")
