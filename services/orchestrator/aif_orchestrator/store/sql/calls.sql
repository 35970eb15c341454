-- name: insert_provider_calls
-- Settled once under its key, whatever is delivered twice.
INSERT INTO provider_calls (
    call_key, execution_id, client_id, stage_id, attempt, worker_name, provider, model, purpose, outcome,
    prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    cost_usd, upper_bound_usd, price_version, response_id, latency_ms, error
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
ON CONFLICT (call_key) DO NOTHING;

-- name: list_provider_calls
-- By key, those after one.
SELECT call_key, execution_id, client_id, stage_id, attempt, worker_name, provider, model, purpose, outcome,
       prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
       cost_usd, upper_bound_usd, price_version, response_id, latency_ms, error
FROM provider_calls
WHERE execution_id = $1 AND call_key > $2
ORDER BY call_key
LIMIT $3;
