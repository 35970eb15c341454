-- name: list_attempts
-- Attempts end together now and then; stage and number put those in an order, too. Beside each stands what is known of its calls:
-- of one that was lost or cut off they alone know what it has spent. Of an execution that was deleted and ordered again, the
-- first one's calls have a `~` in their keys.
WITH page AS MATERIALIZED (
    SELECT stage_id, attempt, worker_name, action, success, failure_code, tokens_used, prompt_tokens, completion_tokens,
           cost_usd, execution_time_ms, queue_time_ms, model, quality_score, ended_at, account
    FROM stage_attempts
    WHERE execution_id = $1 AND ($2::timestamptz IS NULL OR (ended_at, stage_id, attempt) > ($2, $3::text, $4::int))
    ORDER BY ended_at, stage_id, attempt
    LIMIT $5
),
booked AS MATERIALIZED (
    SELECT stage_id, attempt,
           sum(prompt_tokens)::bigint AS booked_prompt_tokens, sum(completion_tokens)::bigint AS booked_completion_tokens,
           sum(cache_read_tokens)::bigint AS booked_cache_read_tokens,
           sum(cache_write_tokens)::bigint AS booked_cache_write_tokens,
           sum(reasoning_tokens)::bigint AS booked_reasoning_tokens,
           coalesce(sum(cost_usd), 0) AS booked_usd,
           (array_agg(provider ORDER BY call_key DESC))[1] AS booked_provider,
           (array_agg(model ORDER BY call_key DESC))[1] AS booked_model,
           array_agg(call_key ORDER BY call_key) FILTER (WHERE cost_usd IS NULL AND outcome <> 'failed') AS unanswered_keys,
           array_agg(coalesce(upper_bound_usd, 0) ORDER BY call_key)
               FILTER (WHERE cost_usd IS NULL AND outcome <> 'failed') AS unanswered_usd
    FROM provider_calls
    WHERE execution_id = $1 AND strpos(call_key, '~') = 0
    GROUP BY stage_id, attempt
)
SELECT page.*, booked_prompt_tokens, booked_completion_tokens, booked_cache_read_tokens, booked_cache_write_tokens,
       booked_reasoning_tokens, booked_usd, booked_provider, booked_model, unanswered_keys, unanswered_usd
FROM page LEFT JOIN booked USING (stage_id, attempt)
ORDER BY page.ended_at, page.stage_id, page.attempt;

-- name: list_told_attempts
-- Those named, with what is told of their executions.
SELECT execution_id, stage_id, attempt, client_id, worker_name, action, template, template_version, success,
       failure_code, tokens_used, prompt_tokens, completion_tokens, cost_usd, execution_time_ms, queue_time_ms, model,
       quality_score, stage_attempts.ended_at, account
FROM unnest($1::text[], $2::text[], $3::int[]) WITH ORDINALITY AS told (execution_id, stage_id, attempt, place)
JOIN stage_attempts USING (execution_id, stage_id, attempt)
JOIN executions USING (execution_id)
ORDER BY told.place;
