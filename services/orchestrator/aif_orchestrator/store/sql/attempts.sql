-- name: list_attempts
-- Attempts end together now and then; stage and number put those in an order, too.
SELECT stage_id, attempt, worker_name, action, success, failure_code, tokens_used, prompt_tokens, completion_tokens, cost_usd,
       execution_time_ms, queue_time_ms, model, quality_score, ended_at, account
FROM stage_attempts
WHERE execution_id = $1 AND ($2::timestamptz IS NULL OR (ended_at, stage_id, attempt) > ($2, $3::text, $4::int))
ORDER BY ended_at, stage_id, attempt
LIMIT $5;
