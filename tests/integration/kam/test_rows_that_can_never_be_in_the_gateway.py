"""What the gateway's tables refuse, whoever writes it: every check of theirs."""

from support.refused_rows import Impossible, Values, checks_of, refusals

GOOD: dict[str, Values] = {
    "clients": {"client_id": "repeat('a', 64)", "coins": "0"},
    "api_keys": {
        "key_id": "'key_1'",
        "client_id": "'acme'",
        "scope": "'manage'",
        "digest": "decode(repeat('00', 32), 'hex')",
        "name": "repeat('ä', 100)",
    },
    "client_requests": {
        "request_id": "'req_1'",
        "client_id": "'acme'",
        "origin": "'batch'",
        "request_type": "'pipeline_execution'",
        "message": "''",
        "urgency_level": "'normal'",
        "status": "'running'",
        "selected_template": "'pair'",
        "template_confidence_score": "1",
        "execution_id": "'exec_1'",
        "progress_percent": "100",
        "max_cost_usd": "0.01",
        "batch_id": "'batch_1'",
        "batch_index": "999",
    },
    "idempotency_keys": {"client_id": "'acme'", "key": "'key'", "fingerprint": "'digest'"},
    "schedules": {
        "schedule_id": "'sched_1'",
        "client_id": "'acme'",
        "name": "'daily'",
        "selected_template": "'pair'",
        "parameters": "'{}'",
        "cron": "'0 6 * * *'",
        "timezone": "'UTC'",
        "urgency_level": "'normal'",
        "message": "''",
        "overlap": "'skip'",
        "last_outcome": "'missed'",
        "max_cost_usd": "0.01",
    },
    "batches": {
        "batch_id": "'batch_1'",
        "client_id": "'acme'",
        "selected_template": "'pair'",
        "message": "''",
        "urgency_level": "'normal'",
        "total": "1000",
        "max_cost_usd": "0.01",
    },
    "configuration_values": {
        "entry": "'system'",
        "item": "'ai.model'",
        "client_id": "NULL",
        "value": "'1'",
        "version": "1",
        "updated_by": "'ada'",
    },
}

IMPOSSIBLE = (
    Impossible("clients", "clients_client_id_check", {"client_id": "''"}),
    Impossible("clients", "clients_client_id_check", {"client_id": "'_acme'"}),
    Impossible("clients", "clients_client_id_check", {"client_id": "'a.b'"}),
    Impossible("clients", "clients_client_id_check", {"client_id": "repeat('a', 65)"}),
    Impossible("clients", "clients_coins_check", {"coins": "-1"}),
    Impossible("api_keys", "api_keys_scope_check", {"scope": "'reader'"}),
    Impossible("api_keys", "api_keys_scope_check", {"scope": "'client'"}),
    Impossible("api_keys", "api_keys_name_check", {"name": "''"}),
    Impossible("api_keys", "api_keys_name_check", {"name": "repeat('a', 101)"}),
    Impossible("api_keys", "api_keys_digest_check", {"digest": "decode(repeat('00', 31), 'hex')"}),
    Impossible("api_keys", "api_keys_check", {"scope": "'admin'"}),
    Impossible("api_keys", "api_keys_check", {"client_id": "NULL"}),
    Impossible("client_requests", "client_requests_origin_check", {"origin": "'mail'"}),
    Impossible("client_requests", "client_requests_request_type_check", {"request_type": "'question'"}),
    Impossible("client_requests", "client_requests_urgency_level_check", {"urgency_level": "'soon'"}),
    Impossible("client_requests", "client_requests_status_check", {"status": "'paused'"}),
    Impossible("client_requests", "client_requests_template_confidence_score_check", {"template_confidence_score": "-0.01"}),
    Impossible("client_requests", "client_requests_template_confidence_score_check", {"template_confidence_score": "1.01"}),
    Impossible("client_requests", "client_requests_progress_percent_check", {"progress_percent": "-1"}),
    Impossible("client_requests", "client_requests_progress_percent_check", {"progress_percent": "101"}),
    Impossible("client_requests", "client_requests_max_cost_usd_check", {"max_cost_usd": "0"}),
    Impossible("client_requests", "client_requests_batch_index_check", {"batch_index": "-1"}),
    Impossible("client_requests", "client_requests_batch_index_check", {"batch_index": "1000"}),
    Impossible("client_requests", "client_requests_check2", {"batch_id": "NULL"}),
    Impossible("client_requests", "client_requests_check2", {"batch_index": "NULL"}),
    Impossible("client_requests", "client_requests_check", {"status": "'submitting'", "execution_id": "NULL"}),
    Impossible("client_requests", "client_requests_check", {"status": "'running'", "execution_id": "NULL"}),
    Impossible("client_requests", "client_requests_check", {"status": "'completed'", "execution_id": "NULL"}),
    Impossible("client_requests", "client_requests_check", {"status": "'partially_completed'", "execution_id": "NULL"}),
    Impossible("client_requests", "client_requests_check", {"status": "'failed'", "execution_id": "NULL"}),
    Impossible("client_requests", "client_requests_check1", {"status": "'template_selected'", "selected_template": "NULL"}),
    Impossible("client_requests", "client_requests_check1", {"status": "'submitting'", "selected_template": "NULL"}),
    Impossible("client_requests", "client_requests_check1", {"status": "'running'", "selected_template": "NULL"}),
    Impossible("client_requests", "client_requests_check1", {"status": "'completed'", "selected_template": "NULL"}),
    Impossible("client_requests", "client_requests_check1", {"status": "'partially_completed'", "selected_template": "NULL"}),
    Impossible("client_requests", "client_requests_check1", {"status": "'failed'", "selected_template": "NULL"}),
    Impossible("idempotency_keys", "idempotency_keys_check", {"status": "200"}),
    Impossible("idempotency_keys", "idempotency_keys_check", {"body": "'{}'"}),
    Impossible("schedules", "schedules_urgency_level_check", {"urgency_level": "'soon'"}),
    Impossible("schedules", "schedules_overlap_check", {"overlap": "'queue'"}),
    Impossible("schedules", "schedules_last_outcome_check", {"last_outcome": "'late'"}),
    Impossible("schedules", "schedules_max_cost_usd_check", {"max_cost_usd": "0"}),
    Impossible("schedules", "schedules_check", {"paused_at": "now()", "next_at": "now()"}),
    Impossible("schedules", "schedules_check", {"paused_at": "now()", "firing_at": "now()"}),
    Impossible("schedules", "schedules_check", {"paused_at": "now()", "look_at": "now()"}),
    Impossible("schedules", "schedules_check1", {"firing_at": "now()", "next_at": "now()"}),
    Impossible("batches", "batches_urgency_level_check", {"urgency_level": "'soon'"}),
    Impossible("batches", "batches_total_check", {"total": "0"}),
    Impossible("batches", "batches_total_check", {"total": "1001"}),
    Impossible("batches", "batches_max_cost_usd_check", {"max_cost_usd": "0"}),
    Impossible("configuration_values", "configuration_values_check", {"client_id": "'acme'"}),
    Impossible("configuration_values", "configuration_values_check", {"entry": "'client.acme.company'"}),
)


async def test_rows_as_they_should_be_are_taken(fresh_kam_database: str) -> None:
    told = await refusals(fresh_kam_database, "kam", GOOD.items())

    assert dict(zip(GOOD, told, strict=True)) == dict.fromkeys(GOOD)


async def test_every_check_refuses_what_can_never_be(fresh_kam_database: str) -> None:
    rows = [(row.table, {**GOOD[row.table], **row.change}) for row in IMPOSSIBLE]

    told = await refusals(fresh_kam_database, "kam", rows)

    assert [(row, refusal) for row, refusal in zip(IMPOSSIBLE, told, strict=True) if refusal != row.check] == []
    assert {row.check for row in IMPOSSIBLE} == await checks_of(fresh_kam_database, "kam")
