-- name: plan_call_search_anew
-- A plan made once for all filters would use no index for any.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: find_end_of_call_search
-- By these conditions calls are found one behind the other; by the others of a search they are picked out. So that what is rare is
-- not looked for in everything at once, a search ends at this time.
SELECT booked_at FROM provider_calls
WHERE ($1::text IS NULL OR client_id = $1) AND ($2::text IS NULL OR execution_id = $2) AND (NOT $3::boolean OR cost_usd IS NULL)
    AND ($4::timestamptz IS NULL OR booked_at >= $4) AND ($5::timestamptz IS NULL OR booked_at < $5)
    AND ($6::timestamptz IS NULL OR booked_at >= $6)
ORDER BY booked_at
OFFSET $7 LIMIT 1;

-- name: search_booked_calls
-- Of all clients, by time. The cursor is time and key of the last one of the page before.
SELECT call_key, execution_id, client_id, workspace_id, stage_id, attempt, worker_name, action, capability, provider,
       model, purpose, reason, fallback_from, outcome, prompt_tokens, completion_tokens, cache_read_tokens,
       cache_write_tokens, reasoning_tokens, audio_ms, characters, cost_usd, upper_bound_usd, basis, price_version,
       saved_usd, saving, response_id, latency_ms, error, booked_at, settled_at, settled_note
FROM provider_calls
WHERE ($1::text IS NULL OR provider = $1) AND ($2::text IS NULL OR model = $2) AND ($3::text IS NULL OR client_id = $3)
    AND ($4::text IS NULL OR execution_id = $4) AND ($5::text IS NULL OR outcome = $5) AND ($6::text IS NULL OR basis = $6)
    AND (NOT $7::boolean OR cost_usd IS NULL)
    AND ($8::timestamptz IS NULL OR booked_at >= $8) AND ($9::timestamptz IS NULL OR booked_at < $9)
    AND ($10::timestamptz IS NULL OR (booked_at, call_key) > ($10, $11))
    AND ($12::timestamptz IS NULL OR booked_at <= $12)
ORDER BY booked_at, call_key
LIMIT $13;

-- name: find_booked_call
-- One by its key.
SELECT call_key, execution_id, client_id, workspace_id, stage_id, attempt, worker_name, action, capability, provider,
       model, purpose, reason, fallback_from, outcome, prompt_tokens, completion_tokens, cache_read_tokens,
       cache_write_tokens, reasoning_tokens, audio_ms, characters, cost_usd, upper_bound_usd, basis, price_version,
       saved_usd, saving, response_id, latency_ms, error, booked_at, settled_at, settled_note
FROM provider_calls WHERE call_key = $1;

-- name: list_old_calls_in_doubt
-- Those that nobody could say anything about for so long, oldest first. Without a bound there is nothing to estimate by.
SELECT call_key, execution_id, client_id, workspace_id, stage_id, attempt, worker_name, action, capability, provider,
       model, purpose, reason, fallback_from, outcome, prompt_tokens, completion_tokens, cache_read_tokens,
       cache_write_tokens, reasoning_tokens, audio_ms, characters, cost_usd, upper_bound_usd, basis, price_version,
       saved_usd, saving, response_id, latency_ms, error, booked_at, settled_at, settled_note
FROM provider_calls
WHERE cost_usd IS NULL AND upper_bound_usd IS NOT NULL AND booked_at < clock_timestamp() - make_interval(secs => $1)
    AND ($2::timestamptz IS NULL OR (booked_at, call_key) > ($2, $3))
ORDER BY booked_at, call_key
LIMIT $4;

-- name: unroll_usage_of_call
-- Before it is changed; see the function.
SELECT unroll_usage(ARRAY(SELECT execution_id FROM provider_calls WHERE call_key = $1));

-- name: settle_booked_call
-- The row alone, for a call that no execution knows of any more. An answer that has come meanwhile stays.
UPDATE provider_calls
SET cost_usd = $2, basis = $3, settled_note = $4, settled_at = clock_timestamp(),
    prompt_tokens = coalesce($5, prompt_tokens), completion_tokens = coalesce($6, completion_tokens),
    cache_read_tokens = coalesce($7, cache_read_tokens), cache_write_tokens = coalesce($8, cache_write_tokens),
    reasoning_tokens = coalesce($9, reasoning_tokens)
WHERE call_key = $1 AND (cost_usd IS NULL OR settled_at IS NOT NULL);
