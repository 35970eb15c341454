-- name: report_usage
-- The calls of a time, put together by one to three dimensions, and the sums of all of it. Conditions that are not given cost
-- nothing when the plan is made for the values (see `plan_by_values`).
WITH grouped AS MATERIALIZED (
    SELECT usage_key($1, calls.client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose,
                     outcome, calls.execution_id, booked_at) AS key_1,
           usage_key($2, calls.client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose,
                     outcome, calls.execution_id, booked_at) AS key_2,
           usage_key($3, calls.client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose,
                     outcome, calls.execution_id, booked_at) AS key_3,
           count(*) FILTER (WHERE outcome <> 'cached') AS calls,
           count(*) FILTER (WHERE outcome = 'answered') AS answered,
           count(*) FILTER (WHERE outcome IN ('failed', 'cancelled')) AS failed,
           count(*) FILTER (WHERE outcome IN ('truncated', 'rejected')) AS unusable,
           count(*) FILTER (WHERE outcome IN ('started', 'in_doubt') AND cost_usd IS NULL) AS in_doubt,
           count(*) FILTER (WHERE outcome IN ('started', 'in_doubt') AND cost_usd IS NOT NULL) AS unanswered,
           count(*) FILTER (WHERE outcome = 'cached') AS cached,
           count(*) FILTER (WHERE purpose = 'retry' AND outcome <> 'cached') AS retries,
           count(*) FILTER (WHERE purpose = 'correction' AND outcome <> 'cached') AS corrections,
           count(*) FILTER (WHERE purpose = 'continuation' AND outcome <> 'cached') AS continuations,
           count(*) FILTER (WHERE purpose = 'fallback' AND outcome <> 'cached') AS fallbacks,
           sum(prompt_tokens)::bigint AS prompt_tokens,
           sum(completion_tokens)::bigint AS completion_tokens,
           sum(cache_read_tokens)::bigint AS cache_read_tokens,
           sum(cache_write_tokens)::bigint AS cache_write_tokens,
           sum(reasoning_tokens)::bigint AS reasoning_tokens,
           (sum(prompt_tokens + completion_tokens) FILTER (WHERE is_wasted))::bigint AS tokens_wasted,
           sum(audio_ms)::bigint AS audio_ms,
           sum(characters)::bigint AS characters,
           coalesce(sum(cost_usd), 0) AS cost_usd,
           sum(cost_usd) FILTER (WHERE is_wasted) AS cost_wasted_usd,
           count(*) FILTER (WHERE cost_usd IS NULL AND outcome NOT IN ('started', 'in_doubt', 'failed', 'cached')) AS unpriced,
           sum(upper_bound_usd) FILTER (WHERE cost_usd IS NULL) AS in_doubt_usd,
           sum(saved_usd) FILTER (WHERE saving = 'cache') AS saved_by_cache_usd,
           sum(saved_usd) FILTER (WHERE saving = 'downgrade') AS saved_by_downgrade_usd,
           (sum(latency_ms) FILTER (WHERE outcome NOT IN ('started', 'in_doubt', 'cached')))::bigint AS latency_ms
    FROM judged_calls AS calls
    LEFT JOIN executions ON executions.execution_id = calls.execution_id
    WHERE booked_at >= $4 AND booked_at < $5
      AND ($6::text IS NULL OR calls.client_id = $6)
      AND ($7::text IS NULL OR workspace_id = $7)
      AND ($8::text IS NULL OR worker_name = $8)
      AND ($9::text IS NULL OR action = $9)
      AND ($10::text IS NULL OR model = $10)
      AND ($11::text IS NULL OR provider = $11)
      AND ($12::text IS NULL OR stage_id = $12)
      AND ($13::text IS NULL OR template = $13)
      AND ($14::text IS NULL OR purpose = $14)
      AND ($15::text IS NULL OR outcome = $15)
      AND ($16::text IS NULL OR calls.execution_id = $16)
    GROUP BY 1, 2, 3
),
page AS (
    SELECT * FROM grouped
    ORDER BY CASE $17 WHEN 'cost' THEN cost_usd WHEN 'tokens' THEN prompt_tokens + completion_tokens WHEN 'calls' THEN calls END
             DESC NULLS LAST, key_1, key_2, key_3
    OFFSET $18 LIMIT $19
)
SELECT false AS is_total, page.* FROM page
UNION ALL
SELECT true, NULL, NULL, NULL, sum(calls)::bigint, sum(answered)::bigint, sum(failed)::bigint, sum(unusable)::bigint,
       sum(in_doubt)::bigint, sum(unanswered)::bigint, sum(cached)::bigint, sum(retries)::bigint, sum(corrections)::bigint,
       sum(continuations)::bigint, sum(fallbacks)::bigint, sum(prompt_tokens)::bigint, sum(completion_tokens)::bigint,
       sum(cache_read_tokens)::bigint, sum(cache_write_tokens)::bigint, sum(reasoning_tokens)::bigint,
       sum(tokens_wasted)::bigint, sum(audio_ms)::bigint, sum(characters)::bigint, sum(cost_usd), sum(cost_wasted_usd),
       sum(unpriced)::bigint, sum(in_doubt_usd), sum(saved_by_cache_usd), sum(saved_by_downgrade_usd), sum(latency_ms)::bigint
FROM grouped;

-- name: plan_by_values
-- A condition that is not given must cost nothing, which a plan made for all values cannot see; and a year of a busy client
-- takes longer to add up than other questions may, and more memory. For one transaction.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('statement_timeout', $1, true),
       set_config('work_mem', '64MB', true);

-- name: count_month_executions
-- A month's orders by what became of them, and how long those that have ended took.
SELECT status, count(*) AS executions,
       coalesce(sum(extract(epoch FROM ended_at - created_at) * 1000), 0)::bigint AS wall_time_ms,
       count(ended_at) AS ended
FROM executions
WHERE created_at >= $1 AND created_at < $2 AND ($3::text IS NULL OR client_id = $3)
GROUP BY status;

-- name: sum_month_ends
-- What the month's executions have delivered, and what they cost beside the bill.
SELECT coalesce(sum(deliverables), 0)::bigint AS deliverables,
       coalesce(sum(api_calls_usd), 0) AS api_calls_usd,
       coalesce(sum(storage_usd), 0) AS storage_usd,
       coalesce(sum(compute_usd), 0) AS compute_usd
FROM execution_ends
WHERE created_at >= $1 AND created_at < $2 AND ($3::text IS NULL OR client_id = $3);

-- name: sum_month_attempts
-- Attempts of the month's executions, by worker. An attempt has spent what its report said or what its calls are known to have cost,
-- whichever is more: of one that was lost or cut off, or has a call without an answer, its calls alone know. Of an execution that
-- was deleted and ordered again, the first one's calls have a `~` in their keys.
WITH month AS MATERIALIZED (
    SELECT execution_id FROM executions
    WHERE created_at >= $1 AND created_at < $2 AND ($3::text IS NULL OR client_id = $3)
),
ended AS (
    SELECT stage_attempts.* FROM stage_attempts JOIN month USING (execution_id)
),
booked AS (
    SELECT execution_id, stage_id, attempt, worker_name, sum(prompt_tokens) AS prompt_tokens,
           sum(completion_tokens) AS completion_tokens, sum(prompt_tokens + completion_tokens) AS tokens_used,
           sum(cost_usd) AS cost_usd
    FROM provider_calls JOIN month USING (execution_id)
    WHERE strpos(call_key, '~') = 0
    GROUP BY execution_id, stage_id, attempt, worker_name
),
spent AS (
    SELECT worker_name, success, execution_time_ms,
           greatest(ended.prompt_tokens, booked.prompt_tokens) AS prompt_tokens,
           greatest(ended.completion_tokens, booked.completion_tokens) AS completion_tokens,
           greatest(ended.tokens_used, booked.tokens_used) AS tokens_used,
           greatest(ended.cost_usd, booked.cost_usd) AS cost_usd
    FROM ended FULL JOIN booked USING (execution_id, stage_id, attempt, worker_name)
)
SELECT worker_name, count(success) AS attempts, count(*) FILTER (WHERE NOT success) AS failed,
       coalesce(sum(execution_time_ms), 0)::bigint AS busy_time_ms,
       sum(prompt_tokens)::bigint AS prompt_tokens, sum(completion_tokens)::bigint AS completion_tokens,
       sum(tokens_used)::bigint AS tokens_used, coalesce(sum(cost_usd), 0) AS cost_usd,
       coalesce(sum(tokens_used) FILTER (WHERE NOT success), 0)::bigint AS tokens_of_failed,
       coalesce(sum(cost_usd) FILTER (WHERE NOT success), 0) AS cost_of_failed
FROM spent
GROUP BY worker_name
ORDER BY worker_name;
