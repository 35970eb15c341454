-- name: keep_provider_calls
-- Once under its key, whatever is delivered twice. Its end replaces its announcement; nothing replaces an end. What was decided
-- meanwhile stays when the end has no cost, and counts no more when it has one.
INSERT INTO provider_calls (
    call_key, execution_id, client_id, workspace_id, stage_id, attempt, worker_name, action, capability, provider, model,
    purpose, reason, fallback_from, outcome, prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens,
    reasoning_tokens, audio_ms, characters, cost_usd, upper_bound_usd, basis, price_version, saved_usd, saving,
    response_id, latency_ms, error
)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25,
    $26, $27, $28, $29, $30, $31
)
ON CONFLICT (call_key) DO UPDATE SET (
    provider, model, purpose, reason, fallback_from, outcome, prompt_tokens, completion_tokens, cache_read_tokens,
    cache_write_tokens, reasoning_tokens, audio_ms, characters, cost_usd, upper_bound_usd, basis, price_version, saved_usd,
    saving, response_id, latency_ms, error, settled_at, settled_note
) = (
    SELECT
        EXCLUDED.provider, EXCLUDED.model, EXCLUDED.purpose, EXCLUDED.reason, EXCLUDED.fallback_from, EXCLUDED.outcome,
        CASE WHEN decided.tokens THEN provider_calls.prompt_tokens ELSE EXCLUDED.prompt_tokens END,
        CASE WHEN decided.tokens THEN provider_calls.completion_tokens ELSE EXCLUDED.completion_tokens END,
        CASE WHEN decided.tokens THEN provider_calls.cache_read_tokens ELSE EXCLUDED.cache_read_tokens END,
        CASE WHEN decided.tokens THEN provider_calls.cache_write_tokens ELSE EXCLUDED.cache_write_tokens END,
        CASE WHEN decided.tokens THEN provider_calls.reasoning_tokens ELSE EXCLUDED.reasoning_tokens END,
        EXCLUDED.audio_ms, EXCLUDED.characters, coalesce(EXCLUDED.cost_usd, provider_calls.cost_usd), EXCLUDED.upper_bound_usd,
        CASE WHEN decided.cost THEN provider_calls.basis ELSE EXCLUDED.basis END,
        EXCLUDED.price_version, EXCLUDED.saved_usd, EXCLUDED.saving, EXCLUDED.response_id, EXCLUDED.latency_ms, EXCLUDED.error,
        CASE WHEN decided.cost THEN provider_calls.settled_at END, CASE WHEN decided.cost THEN provider_calls.settled_note END
    FROM (
        SELECT
            standing.cost,
            -- A decision that names no tokens leaves the announcement's, which are none.
            standing.cost AND provider_calls.prompt_tokens + provider_calls.completion_tokens > 0 AS tokens
        FROM (SELECT EXCLUDED.cost_usd IS NULL AND provider_calls.settled_at IS NOT NULL AS cost) AS standing
    ) AS decided
)
WHERE provider_calls.outcome = 'started' AND EXCLUDED.outcome <> 'started';

-- name: settle_provider_call
-- What a call without an answer has cost, decided or corrected. Its outcome stays: no answer came.
UPDATE provider_calls
SET cost_usd = $2, basis = $3, settled_note = $4, settled_at = clock_timestamp(),
    prompt_tokens = coalesce($5, prompt_tokens), completion_tokens = coalesce($6, completion_tokens),
    cache_read_tokens = coalesce($7, cache_read_tokens), cache_write_tokens = coalesce($8, cache_write_tokens),
    reasoning_tokens = coalesce($9, reasoning_tokens)
WHERE call_key = $1;

-- name: list_provider_calls
-- By key, those after one.
SELECT call_key, execution_id, client_id, workspace_id, stage_id, attempt, worker_name, action, capability, provider,
       model, purpose, reason, fallback_from, outcome, prompt_tokens, completion_tokens, cache_read_tokens,
       cache_write_tokens, reasoning_tokens, audio_ms, characters, cost_usd, upper_bound_usd, basis, price_version,
       saved_usd, saving, response_id, latency_ms, error
FROM provider_calls
WHERE execution_id = $1 AND call_key > $2
ORDER BY call_key
LIMIT $3;
