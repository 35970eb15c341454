-- name: insert_attempts
-- An attempt ends once; the core records it in the step that ends it.
INSERT INTO stage_attempts (
    execution_id, stage_id, attempt, worker_name, action, success, failure_code, tokens_used, prompt_tokens, completion_tokens,
    cost_usd, execution_time_ms, queue_time_ms, time_breakdown, resource_metrics, model, quality_score, ended_at
)
SELECT execution_id, stage_id, attempt, worker_name, action, success, failure_code, tokens_used, prompt_tokens, completion_tokens,
       cost_usd, execution_time_ms, queue_time_ms, time_breakdown, resource_metrics, model, quality_score, ended_at
FROM unnest(
    $1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::bigint[], $9::bigint[], $10::bigint[],
    $11::numeric[], $12::bigint[], $13::bigint[], $14::jsonb[], $15::jsonb[], $16::text[], $17::double precision[], $18::timestamptz[]
) AS new (
    execution_id, stage_id, attempt, worker_name, action, success, failure_code, tokens_used, prompt_tokens, completion_tokens,
    cost_usd, execution_time_ms, queue_time_ms, time_breakdown, resource_metrics, model, quality_score, ended_at
);

-- name: insert_provider_calls
-- Settled once under its key, whatever is delivered twice.
INSERT INTO provider_calls (
    call_key, execution_id, client_id, stage_id, attempt, worker_name, provider, model, purpose, outcome,
    prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    cost_usd, upper_bound_usd, price_version, response_id, latency_ms, error
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
ON CONFLICT (call_key) DO NOTHING;
