-- name: plan_past_by_its_values
-- A client's executions are found by the client or by the template, whichever has fewer: by these values, not by all. For one
-- transaction.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: list_past_executions
-- A client's newest ended executions of a template. Cancelled ones say what a person did, not what it would have cost.
SELECT execution_id, template_version, newest.changes
FROM (
    SELECT execution_id, template_version FROM executions
    WHERE client_id = $1 AND template = $2 AND status IN ('completed', 'partially_completed', 'failed')
    ORDER BY execution_id DESC
    LIMIT $3
) AS past
CROSS JOIN LATERAL newest_changes(execution_id) AS newest
ORDER BY execution_id DESC;

-- name: list_stage_shares
-- What each of their stages has used. An attempt's report tells what its worker knew, the calls what is known since: of a worker
-- that was lost, of a call that was settled later. A call whose cost nobody knows counts with the most that it can have cost.
WITH told AS (
    SELECT execution_id, stage_id, attempt, sum(coalesce(cost_usd, upper_bound_usd)) AS usd,
           sum(saved_usd) FILTER (WHERE saving = 'cache') AS saved_usd
    FROM provider_calls
    WHERE execution_id = ANY ($1::text[])
    GROUP BY execution_id, stage_id, attempt
)
SELECT execution_id, stage_id, worker_name, action, sum(greatest(coalesce(cost_usd, 0), coalesce(told.usd, 0))) AS cost_usd,
       coalesce(sum(told.saved_usd), 0) AS saved_usd,
       (extract(epoch FROM max(ended_at) - min(ended_at - (execution_time_ms + queue_time_ms) * interval '1 ms')) * 1000)::bigint
           AS time_ms
FROM stage_attempts
LEFT JOIN told USING (execution_id, stage_id, attempt)
WHERE execution_id = ANY ($1::text[])
GROUP BY execution_id, stage_id, worker_name, action;
