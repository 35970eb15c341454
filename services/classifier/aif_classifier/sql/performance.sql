-- name: insert_attempts
-- A batch in one statement; an attempt that is delivered again counts once. A clock that runs ahead must not put an attempt
-- beyond the reach of retention.
INSERT INTO worker_performance_log (
    execution_id, stage_id, attempt, client_id, worker_name, action, template, template_version, provider, model, success,
    failure_code, execution_time_ms, queue_time_ms, timeout_ms, prompt_tokens, completion_tokens, total_tokens, cost_usd,
    quality_score, element_count, input_size, input_complexity, output_size, "timestamp"
)
SELECT
    execution_id, stage_id, attempt, client_id, worker_name, action, template, template_version, provider, model, success,
    failure_code, execution_time_ms, queue_time_ms, timeout_ms, prompt_tokens, completion_tokens, total_tokens, cost_usd,
    quality_score, element_count, input_size, input_complexity, output_size, least("timestamp", now())
FROM json_to_recordset($1::json) AS arrived (
    execution_id text, stage_id text, attempt integer, client_id text, worker_name text, action text, template text,
    template_version text, provider text, model text, success boolean, failure_code text, execution_time_ms bigint,
    queue_time_ms bigint, timeout_ms bigint, prompt_tokens bigint, completion_tokens bigint, total_tokens bigint,
    cost_usd numeric, quality_score double precision, element_count integer, input_size bigint, input_complexity text,
    output_size bigint, "timestamp" timestamptz
)
ON CONFLICT (execution_id, stage_id, attempt) DO NOTHING
RETURNING worker_name, action, template

-- name: list_slices
-- What there is to analyse in the window.
SELECT DISTINCT worker_name, action, template
FROM worker_performance_log
WHERE "timestamp" > now() - $1::interval
ORDER BY worker_name, action, template

-- name: list_samples
-- The newest attempts of a slice, up to a bound that keeps an analysis short.
SELECT "timestamp", success, execution_time_ms, model, input_complexity, cost_usd, quality_score, timeout_ms, failure_code
FROM worker_performance_log
WHERE worker_name = $1 AND action = $2 AND template = $3 AND "timestamp" > now() - $4::interval
ORDER BY "timestamp" DESC, execution_id, stage_id, attempt
LIMIT $5

-- name: list_samples_of_client
-- The newest attempts of one client over all its slices, up to a bound that keeps an analysis short.
SELECT
    worker_name, action, template, "timestamp", success, execution_time_ms, model, input_complexity, cost_usd, quality_score,
    timeout_ms, failure_code
FROM worker_performance_log
WHERE client_id = $1 AND ($2::text IS NULL OR worker_name = $2) AND "timestamp" > now() - $3::interval
ORDER BY "timestamp" DESC, execution_id, stage_id, attempt
LIMIT $4

-- name: sum_at_length
-- The attempts of a busy week take longer to add up than other questions may, and more memory. A plan of its own for each
-- question, because one for all would read everybody's attempts to add up those of one client. For one transaction.
SELECT
    set_config('statement_timeout', $1, true),
    set_config('work_mem', '64MB', true),
    set_config('plan_cache_mode', 'force_custom_plan', true)

-- name: list_figures
-- Rolling figures per worker, action and model. Rates come from attempts, never from successes only; a mean cost is over the
-- attempts whose cost is known. Only columns that are summed are carried along, and they are sorted once for both percentiles.
WITH attempts AS (
    SELECT
        worker_name, action, model, success, failure_code, execution_time_ms, queue_time_ms, total_tokens, cost_usd, quality_score
    FROM worker_performance_log
    WHERE
        "timestamp" > now() - $1::interval
        AND ($2::text IS NULL OR worker_name = $2)
        AND ($3::text IS NULL OR client_id = $3)
), failures AS (
    SELECT worker_name, action, model, json_object_agg(failure_code, failed) AS by_code
    FROM (
        SELECT worker_name, action, model, coalesce(failure_code, 'unnamed') AS failure_code, count(*) AS failed
        FROM attempts
        WHERE NOT success
        GROUP BY worker_name, action, model, coalesce(failure_code, 'unnamed')
    ) AS counted
    GROUP BY worker_name, action, model
), figures AS (
    SELECT
        worker_name,
        action,
        model,
        count(*) AS attempts,
        count(*) FILTER (WHERE success) AS successes,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY execution_time_ms) AS time_ms,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY queue_time_ms) AS queue_ms_p50,
        avg(total_tokens)::double precision AS tokens_mean,
        round(avg(cost_usd), 12) AS cost_usd_mean,
        coalesce(sum(cost_usd), 0) AS cost_usd_total,
        avg(quality_score) AS quality_mean,
        count(quality_score) AS quality_count
    FROM attempts
    GROUP BY worker_name, action, model
)
SELECT
    g.worker_name,
    g.action,
    g.model,
    g.attempts,
    g.successes,
    g.time_ms[1] AS time_ms_p50,
    g.time_ms[2] AS time_ms_p95,
    g.queue_ms_p50,
    g.tokens_mean,
    g.cost_usd_mean,
    g.cost_usd_total,
    g.quality_mean,
    g.quality_count,
    coalesce(f.by_code, '{}') AS failures_by_code
FROM figures AS g
LEFT JOIN failures AS f
    ON f.worker_name = g.worker_name AND f.action = g.action AND f.model IS NOT DISTINCT FROM g.model
ORDER BY g.worker_name, g.action, g.model NULLS FIRST

-- name: delete_old_attempts
-- In small batches, so that no delete holds locks for long; two replicas never wait for one another.
WITH old AS MATERIALIZED (
    SELECT execution_id, stage_id, attempt
    FROM worker_performance_log
    WHERE "timestamp" < now() - $1::interval
    ORDER BY "timestamp"
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
DELETE FROM worker_performance_log AS log
USING old
WHERE log.execution_id = old.execution_id AND log.stage_id = old.stage_id AND log.attempt = old.attempt
RETURNING 1
