-- name: list_attempts
-- Attempts end together now and then; stage and number put those in an order, too.
SELECT stage_id, attempt, worker_name, action, success, failure_code, tokens_used, prompt_tokens, completion_tokens, cost_usd,
       execution_time_ms, queue_time_ms, model, quality_score, ended_at, account
FROM stage_attempts
WHERE execution_id = $1 AND ($2::timestamptz IS NULL OR (ended_at, stage_id, attempt) > ($2, $3::text, $4::int))
ORDER BY ended_at, stage_id, attempt
LIMIT $5;

-- name: list_told_attempts
-- Those named, with what is told of their executions.
SELECT execution_id, stage_id, attempt, client_id, worker_name, action, template, template_version, success,
       failure_code, tokens_used, prompt_tokens, completion_tokens, cost_usd, execution_time_ms, queue_time_ms, model,
       quality_score, stage_attempts.ended_at, account
FROM unnest($1::text[], $2::text[], $3::int[]) WITH ORDINALITY AS told (execution_id, stage_id, attempt, place)
JOIN stage_attempts USING (execution_id, stage_id, attempt)
JOIN executions USING (execution_id)
ORDER BY told.place;
