-- name: read_all_at_one_time
-- The totals, and the rest that is read beside them, as they stood together. The first statement of a transaction.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: plan_by_values
-- A condition that is not given must cost nothing, which a plan made for all values cannot see; and a year of a busy client
-- takes longer to add up than other questions may, and more memory. For one transaction.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('statement_timeout', $1, true),
       set_config('work_mem', '64MB', true);

-- name: find_rolled_until
-- The mark before which usage is among the totals, with exceptions.
SELECT rolled_until FROM usage_mark;

-- name: report_usage
-- The calls of a time, put together by one to three dimensions, and the sums of all of it. Whole days, from $19 to $20, are read
-- from the totals and from what is not among them; the others from the calls. Conditions that are not given cost nothing when
-- the plan is made for the values (see `plan_by_values`).
WITH live AS MATERIALIZED (
    SELECT execution_id FROM executions WHERE created_at >= $21
    UNION
    SELECT execution_id FROM unrolled_executions
),
read_now AS (
    SELECT call_figures.* FROM call_figures WHERE booked_at >= $4 AND booked_at < $19 AND ($6::text IS NULL OR client_id = $6)
    UNION ALL
    SELECT call_figures.* FROM call_figures WHERE booked_at >= $20 AND booked_at < $5 AND ($6::text IS NULL OR client_id = $6)
    UNION ALL
    SELECT call_figures.*
    FROM live JOIN call_figures USING (execution_id)
    WHERE booked_at >= $19 AND booked_at < $20 AND ($6::text IS NULL OR client_id = $6)
    UNION ALL
    SELECT call_figures.*
    FROM call_figures
    WHERE booked_at >= greatest($19::timestamptz, $21::timestamptz) AND booked_at < $20
      AND ($6::text IS NULL OR client_id = $6)
      AND execution_created_at IS NULL AND execution_id NOT IN (SELECT execution_id FROM unrolled_executions)
),
figures AS (
    SELECT booked_on::timestamp AT TIME ZONE 'UTC' AS booked_at,
           client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome, rows,
           calls, answered, failed, unusable, in_doubt, unanswered, cached, retries, corrections, continuations, fallbacks,
           prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, tokens_wasted,
           audio_ms, characters, cost_usd, cost_wasted_usd, unpriced, in_doubt_usd, saved_by_cache_usd,
           saved_by_downgrade_usd, latency_ms
    FROM usage_of_calls
    WHERE booked_on >= utc_day($19) AND booked_on < utc_day($20) AND ($6::text IS NULL OR client_id = $6)
    UNION ALL
    SELECT date_trunc('day', booked_at, 'UTC'),
           client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome, count(*),
           sum(calls), sum(answered), sum(failed), sum(unusable), sum(in_doubt), sum(unanswered), sum(cached), sum(retries),
           sum(corrections), sum(continuations), sum(fallbacks), sum(prompt_tokens), sum(completion_tokens),
           sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(tokens_wasted), sum(audio_ms),
           sum(characters), sum(cost_usd), sum(cost_wasted_usd), sum(unpriced), sum(in_doubt_usd), sum(saved_by_cache_usd),
           sum(saved_by_downgrade_usd), sum(latency_ms)
    FROM read_now
    GROUP BY date_trunc('day', booked_at, 'UTC'),
             client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome
),
grouped AS MATERIALIZED (
    SELECT usage_key($1, client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome,
                     NULL, booked_at) AS key_1,
           usage_key($2, client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome,
                     NULL, booked_at) AS key_2,
           usage_key($3, client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome,
                     NULL, booked_at) AS key_3,
           sum(calls)::bigint AS calls,
           sum(answered)::bigint AS answered,
           sum(failed)::bigint AS failed,
           sum(unusable)::bigint AS unusable,
           sum(in_doubt)::bigint AS in_doubt,
           sum(unanswered)::bigint AS unanswered,
           sum(cached)::bigint AS cached,
           sum(retries)::bigint AS retries,
           sum(corrections)::bigint AS corrections,
           sum(continuations)::bigint AS continuations,
           sum(fallbacks)::bigint AS fallbacks,
           sum(prompt_tokens)::bigint AS prompt_tokens,
           sum(completion_tokens)::bigint AS completion_tokens,
           sum(cache_read_tokens)::bigint AS cache_read_tokens,
           sum(cache_write_tokens)::bigint AS cache_write_tokens,
           sum(reasoning_tokens)::bigint AS reasoning_tokens,
           sum(tokens_wasted)::bigint AS tokens_wasted,
           sum(audio_ms)::bigint AS audio_ms,
           sum(characters)::bigint AS characters,
           coalesce(sum(cost_usd), 0) AS cost_usd,
           sum(cost_wasted_usd) AS cost_wasted_usd,
           sum(unpriced)::bigint AS unpriced,
           sum(in_doubt_usd) AS in_doubt_usd,
           sum(saved_by_cache_usd) AS saved_by_cache_usd,
           sum(saved_by_downgrade_usd) AS saved_by_downgrade_usd,
           sum(latency_ms)::bigint AS latency_ms
    FROM figures
    WHERE ($7::text IS NULL OR workspace_id = $7)
      AND ($8::text IS NULL OR worker_name = $8)
      AND ($9::text IS NULL OR action = $9)
      AND ($10::text IS NULL OR model = $10)
      AND ($11::text IS NULL OR provider = $11)
      AND ($12::text IS NULL OR stage_id = $12)
      AND ($13::text IS NULL OR template = $13)
      AND ($14::text IS NULL OR purpose = $14)
      AND ($15::text IS NULL OR outcome = $15)
    GROUP BY 1, 2, 3
    HAVING sum(rows) > 0
),
page AS (
    SELECT * FROM grouped
    ORDER BY CASE $16 WHEN 'cost' THEN cost_usd WHEN 'tokens' THEN prompt_tokens + completion_tokens WHEN 'calls' THEN calls END
             DESC NULLS LAST, key_1, key_2, key_3
    OFFSET $17 LIMIT $18
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

-- name: report_usage_of_calls
-- The same from the calls alone, where executions are told apart. Conditions as above.
WITH grouped AS MATERIALIZED (
    SELECT usage_key($1, client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome,
                     execution_id, booked_at) AS key_1,
           usage_key($2, client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome,
                     execution_id, booked_at) AS key_2,
           usage_key($3, client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome,
                     execution_id, booked_at) AS key_3,
           sum(calls)::bigint AS calls,
           sum(answered)::bigint AS answered,
           sum(failed)::bigint AS failed,
           sum(unusable)::bigint AS unusable,
           sum(in_doubt)::bigint AS in_doubt,
           sum(unanswered)::bigint AS unanswered,
           sum(cached)::bigint AS cached,
           sum(retries)::bigint AS retries,
           sum(corrections)::bigint AS corrections,
           sum(continuations)::bigint AS continuations,
           sum(fallbacks)::bigint AS fallbacks,
           sum(prompt_tokens)::bigint AS prompt_tokens,
           sum(completion_tokens)::bigint AS completion_tokens,
           sum(cache_read_tokens)::bigint AS cache_read_tokens,
           sum(cache_write_tokens)::bigint AS cache_write_tokens,
           sum(reasoning_tokens)::bigint AS reasoning_tokens,
           sum(tokens_wasted)::bigint AS tokens_wasted,
           sum(audio_ms)::bigint AS audio_ms,
           sum(characters)::bigint AS characters,
           coalesce(sum(cost_usd), 0) AS cost_usd,
           sum(cost_wasted_usd) AS cost_wasted_usd,
           sum(unpriced)::bigint AS unpriced,
           sum(in_doubt_usd) AS in_doubt_usd,
           sum(saved_by_cache_usd) AS saved_by_cache_usd,
           sum(saved_by_downgrade_usd) AS saved_by_downgrade_usd,
           sum(latency_ms)::bigint AS latency_ms
    FROM call_figures
    WHERE booked_at >= $4 AND booked_at < $5
      AND ($6::text IS NULL OR client_id = $6)
      AND ($7::text IS NULL OR workspace_id = $7)
      AND ($8::text IS NULL OR worker_name = $8)
      AND ($9::text IS NULL OR action = $9)
      AND ($10::text IS NULL OR model = $10)
      AND ($11::text IS NULL OR provider = $11)
      AND ($12::text IS NULL OR stage_id = $12)
      AND ($13::text IS NULL OR template = $13)
      AND ($14::text IS NULL OR purpose = $14)
      AND ($15::text IS NULL OR outcome = $15)
      AND ($19::text IS NULL OR execution_id = $19)
    GROUP BY 1, 2, 3
),
page AS (
    SELECT * FROM grouped
    ORDER BY CASE $16 WHEN 'cost' THEN cost_usd WHEN 'tokens' THEN prompt_tokens + completion_tokens WHEN 'calls' THEN calls END
             DESC NULLS LAST, key_1, key_2, key_3
    OFFSET $17 LIMIT $18
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

-- name: sum_month_executions
-- A month's orders by what became of them, how long those that have ended took, what was delivered, and what it cost beside the
-- bill.
WITH live AS MATERIALIZED (
    SELECT execution_id FROM executions
    WHERE created_at >= greatest($1::timestamptz, $4::timestamptz) AND created_at < $2 AND ($3::text IS NULL OR client_id = $3)
    UNION
    SELECT execution_id FROM unrolled_executions
),
figures AS (
    SELECT status, executions, ended, wall_time_ms, deliverables, api_calls_usd, storage_usd, compute_usd
    FROM usage_of_executions
    WHERE created_on >= utc_day($1) AND created_on < utc_day($2) AND ($3::text IS NULL OR client_id = $3)
    UNION ALL
    SELECT status, 1, ended, wall_time_ms, deliverables, api_calls_usd, storage_usd, compute_usd
    FROM live JOIN execution_figures USING (execution_id)
    WHERE created_at >= $1 AND created_at < $2 AND ($3::text IS NULL OR client_id = $3)
)
SELECT status, sum(executions)::bigint AS executions, sum(wall_time_ms)::bigint AS wall_time_ms, sum(ended)::bigint AS ended,
       sum(deliverables)::bigint AS deliverables, sum(api_calls_usd) AS api_calls_usd, sum(storage_usd) AS storage_usd,
       sum(compute_usd) AS compute_usd
FROM figures
GROUP BY status
HAVING sum(executions) > 0;

-- name: sum_month_attempts
-- Attempts of the month's executions, by worker.
WITH live AS MATERIALIZED (
    SELECT execution_id FROM executions
    WHERE created_at >= greatest($1::timestamptz, $4::timestamptz) AND created_at < $2 AND ($3::text IS NULL OR client_id = $3)
    UNION
    SELECT execution_id FROM unrolled_executions JOIN executions USING (execution_id)
    WHERE created_at >= $1 AND created_at < $2 AND ($3::text IS NULL OR client_id = $3)
),
figures AS (
    SELECT worker_name, rows, attempts, failed, busy_time_ms, prompt_tokens, completion_tokens, tokens_used, cost_usd,
           tokens_of_failed, cost_of_failed
    FROM usage_of_attempts
    WHERE created_on >= utc_day($1) AND created_on < utc_day($2) AND ($3::text IS NULL OR client_id = $3)
    UNION ALL
    SELECT worker_name, 1, (success IS NOT NULL)::int, (NOT coalesce(success, true))::int, coalesce(execution_time_ms, 0),
           prompt_tokens, completion_tokens, tokens_used, coalesce(cost_usd, 0),
           CASE WHEN NOT success THEN tokens_used ELSE 0 END, CASE WHEN NOT success THEN coalesce(cost_usd, 0) ELSE 0 END
    FROM attempt_figures(ARRAY(SELECT execution_id FROM live))
)
SELECT worker_name, sum(attempts)::bigint AS attempts, sum(failed)::bigint AS failed, sum(busy_time_ms)::bigint AS busy_time_ms,
       sum(prompt_tokens)::bigint AS prompt_tokens, sum(completion_tokens)::bigint AS completion_tokens,
       sum(tokens_used)::bigint AS tokens_used, sum(cost_usd) AS cost_usd, sum(tokens_of_failed)::bigint AS tokens_of_failed, sum(cost_of_failed) AS cost_of_failed
FROM figures
GROUP BY worker_name
HAVING sum(rows) > 0
ORDER BY worker_name;

-- name: roll_usage_on
-- See the function.
SELECT roll_usage_on(make_interval(secs => $1), $2);

-- name: roll_usage_again
-- See the function.
SELECT roll_usage_again(make_interval(secs => $1), $2);

-- name: limit_rolling
-- For one transaction.
SELECT set_config('statement_timeout', $1, true);

-- name: list_days_to_bring_together
-- To which something was added.
SELECT created_on FROM usage_of_executions WHERE NOT is_sum
UNION
SELECT created_on FROM usage_of_attempts WHERE NOT is_sum
UNION
SELECT created_on FROM usage_of_calls WHERE NOT is_sum
ORDER BY created_on;

-- name: try_lock_usage_rows
-- Until the commit; see the key. False when somebody else brings them together.
SELECT pg_try_advisory_xact_lock(key_of_usage_rows());

-- name: bring_execution_usage_together
-- Of a day to which something was added. What nothing is left of goes.
WITH parts AS (
    DELETE FROM usage_of_executions WHERE created_on = $1
    RETURNING *
)
INSERT INTO usage_of_executions
SELECT created_on, client_id, status, sum(executions), sum(ended), sum(wall_time_ms), sum(deliverables), sum(api_calls_usd),
       sum(storage_usd), sum(compute_usd), true
FROM parts
GROUP BY created_on, client_id, status
HAVING sum(executions) <> 0;

-- name: bring_attempt_usage_together
-- The same of attempts.
WITH parts AS (
    DELETE FROM usage_of_attempts WHERE created_on = $1
    RETURNING *
)
INSERT INTO usage_of_attempts
SELECT created_on, client_id, worker_name, sum(rows), sum(attempts), sum(failed), sum(busy_time_ms), sum(prompt_tokens),
       sum(completion_tokens), sum(tokens_used), sum(cost_usd), sum(tokens_of_failed), sum(cost_of_failed), true
FROM parts
GROUP BY created_on, client_id, worker_name
HAVING sum(rows) <> 0;

-- name: bring_call_usage_together
-- The same of calls.
WITH parts AS (
    DELETE FROM usage_of_calls WHERE created_on = $1
    RETURNING *
)
INSERT INTO usage_of_calls
SELECT created_on, booked_on,
       client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome, sum(rows),
       sum(calls), sum(answered), sum(failed), sum(unusable), sum(in_doubt), sum(unanswered), sum(cached), sum(retries),
       sum(corrections), sum(continuations), sum(fallbacks), sum(prompt_tokens), sum(completion_tokens),
       sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(tokens_wasted), sum(audio_ms),
       sum(characters), sum(cost_usd), sum(cost_wasted_usd), sum(unpriced), sum(in_doubt_usd), sum(saved_by_cache_usd),
       sum(saved_by_downgrade_usd), sum(latency_ms), true
FROM parts
GROUP BY created_on, booked_on,
         client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome
HAVING sum(rows) <> 0;
