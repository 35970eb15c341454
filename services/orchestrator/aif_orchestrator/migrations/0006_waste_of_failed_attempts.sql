-- What a failed attempt has spent was spent on nothing, also where a model had answered well and what was made of it was refused
-- afterwards. One definition for all figures.
CREATE INDEX failed_attempts ON stage_attempts (execution_id, stage_id, attempt) WHERE NOT success;
-- The bill is kept for longer than attempts are: whoever deletes an attempt notes here that it had failed.
ALTER TABLE provider_calls ADD COLUMN attempt_failed boolean NOT NULL DEFAULT false;

CREATE VIEW judged_calls AS
SELECT provider_calls.*,
       outcome <> 'cached' AND (outcome <> 'answered' OR attempt_failed OR failed.attempt IS NOT NULL) AS is_wasted
FROM provider_calls
LEFT JOIN (SELECT execution_id, stage_id, attempt FROM stage_attempts WHERE NOT success) AS failed
    USING (execution_id, stage_id, attempt);

-- What each generator has made and cost, what was spent on nothing, and what cache and cheaper models saved.
CREATE VIEW ai_costs_by_generator AS
SELECT worker_name,
       provider,
       model,
       count(*) FILTER (WHERE outcome <> 'cached') AS calls,
       count(*) FILTER (WHERE outcome = 'answered') AS answered,
       sum(prompt_tokens + completion_tokens) AS tokens_total,
       coalesce(sum(prompt_tokens + completion_tokens) FILTER (WHERE is_wasted), 0) AS tokens_wasted,
       coalesce(sum(cost_usd), 0) AS cost_usd,
       coalesce(sum(cost_usd) FILTER (WHERE is_wasted), 0) AS cost_wasted_usd,
       coalesce(sum(saved_usd) FILTER (WHERE saving = 'cache'), 0) AS saved_by_cache_usd,
       coalesce(sum(saved_usd) FILTER (WHERE saving = 'downgrade'), 0) AS saved_by_downgrade_usd
FROM judged_calls
GROUP BY 1, 2, 3;
