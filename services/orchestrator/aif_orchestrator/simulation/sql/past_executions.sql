-- name: plan_past_by_its_values
-- A client's executions are found by the client or by the template, whichever has fewer: by these values, not by all. For one
-- transaction.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: list_past_executions
-- A client's newest ended executions of a template. Cancelled ones say what a person did, not what it would have cost.
SELECT execution_id, template_version, state
FROM executions
WHERE client_id = $1 AND template = $2 AND status IN ('completed', 'partially_completed', 'failed')
ORDER BY execution_id DESC
LIMIT $3;

-- name: list_stage_shares
-- What each of their stages has used. An attempt whose cost nobody could tell counts with what its calls have cost, or can have
-- cost at most.
SELECT execution_id, stage_id, worker_name, action, sum(coalesce(cost_usd, told.usd, 0)) AS cost_usd,
       (extract(epoch FROM max(ended_at) - min(ended_at - (execution_time_ms + queue_time_ms) * interval '1 ms')) * 1000)::bigint
           AS time_ms
FROM stage_attempts
LEFT JOIN LATERAL (
    SELECT sum(coalesce(calls.cost_usd, calls.upper_bound_usd)) AS usd
    FROM provider_calls AS calls
    WHERE stage_attempts.cost_usd IS NULL AND calls.execution_id = stage_attempts.execution_id
      AND calls.stage_id = stage_attempts.stage_id AND calls.attempt = stage_attempts.attempt
) AS told ON true
WHERE execution_id = ANY ($1::text[])
GROUP BY execution_id, stage_id, worker_name, action;
