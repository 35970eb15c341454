-- An answer that does not tell its usage may have cost as much as one that never came: what calls of unknown cost may have cost
-- is what is reserved of their client's budget for them.
CREATE VIEW weekly_ai_costs AS
SELECT date_trunc('week', booked_at AT TIME ZONE 'UTC')::date AS week,
       client_id AS user_id,
       provider,
       model,
       count(*) FILTER (WHERE outcome <> 'cached') AS calls,
       sum(prompt_tokens + completion_tokens) AS tokens_total,
       coalesce(sum(cost_usd), 0) AS cost_usd,
       coalesce(sum(upper_bound_usd) FILTER (WHERE cost_usd IS NULL), 0) AS in_doubt_usd
FROM provider_calls
GROUP BY 1, 2, 3, 4;
