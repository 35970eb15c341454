-- What was used and what it cost, for people with a database client and for the usage answers. Everything is read from the
-- bill, the attempts and the executions themselves, so no figure can differ from them. Days and weeks are those of UTC.

-- A client's bill of a time is read without a visit to the calls of others.
CREATE INDEX provider_calls_by_client ON provider_calls (client_id, booked_at);

-- One row per call. The user of a call is the client that it is charged to.
CREATE VIEW ai_usage_logs AS
SELECT call_key AS id,
       client_id AS user_id,
       workspace_id,
       execution_id,
       worker_name,
       action,
       provider,
       model,
       purpose,
       outcome,
       prompt_tokens AS tokens_prompt,
       completion_tokens AS tokens_completion,
       prompt_tokens + completion_tokens AS tokens_total,
       cost_usd,
       saved_usd,
       booked_at AS created_at
FROM provider_calls;

-- The last thirty days.
CREATE VIEW daily_ai_costs AS
SELECT (booked_at AT TIME ZONE 'UTC')::date AS day,
       count(*) FILTER (WHERE outcome <> 'cached') AS calls,
       sum(prompt_tokens + completion_tokens) AS tokens_total,
       coalesce(sum(cost_usd), 0) AS cost_usd
FROM provider_calls
WHERE booked_at >= now() - interval '30 days'
GROUP BY 1;

-- The last thirty days, those who spend most first.
CREATE VIEW top_ai_users AS
SELECT client_id AS user_id,
       count(*) FILTER (WHERE outcome <> 'cached') AS calls,
       sum(prompt_tokens + completion_tokens) AS tokens_total,
       coalesce(sum(cost_usd), 0) AS cost_usd
FROM provider_calls
WHERE booked_at >= now() - interval '30 days'
GROUP BY 1
ORDER BY cost_usd DESC, user_id;

-- The last thirty days, the dearest first. Averages are those of calls whose cost is known.
CREATE VIEW ai_costs_by_action AS
SELECT worker_name,
       action,
       count(*) FILTER (WHERE outcome <> 'cached') AS calls,
       sum(prompt_tokens) AS tokens_prompt,
       sum(completion_tokens) AS tokens_completion,
       sum(prompt_tokens + completion_tokens) AS tokens_total,
       coalesce(sum(cost_usd), 0) AS cost_usd,
       round(avg(cost_usd) FILTER (WHERE outcome <> 'cached'), 12) AS average_cost_usd
FROM provider_calls
WHERE booked_at >= now() - interval '30 days'
GROUP BY 1, 2
ORDER BY cost_usd DESC, worker_name, action;

-- The last seven days. Every call that was tried counts, so that one whose fallback failed too is not lost.
CREATE VIEW ai_fallback_rate AS
SELECT worker_name,
       action,
       count(*) AS calls,
       count(*) FILTER (WHERE purpose = 'fallback') AS fallbacks,
       count(*) FILTER (WHERE purpose = 'correction') AS corrections,
       count(*) FILTER (WHERE outcome IN ('failed', 'truncated', 'rejected', 'cancelled', 'in_doubt')) AS failures,
       round(count(*) FILTER (WHERE purpose = 'fallback')::numeric / count(*), 6) AS fallback_rate,
       round(count(*) FILTER (WHERE purpose = 'correction')::numeric / count(*), 6) AS correction_rate
FROM provider_calls
WHERE booked_at >= now() - interval '7 days' AND outcome <> 'cached'
GROUP BY 1, 2;

-- How executions ended, as their last event says it: what was delivered and what the attempts reported beside the bill. Postgres
-- reads no text with a NUL; nothing that is asked for here has one.
CREATE VIEW execution_ends AS
SELECT executions.execution_id,
       executions.client_id,
       executions.template,
       executions.status,
       executions.created_at,
       executions.ended_at,
       coalesce(json_array_length(ended.data -> 'deliverables'), 0) AS deliverables,
       (ended.data -> 'totals' ->> 'wall_time_ms')::bigint AS wall_time_ms,
       coalesce((ended.data -> 'totals' -> 'cost_lines' ->> 'api_calls_usd')::numeric, 0) AS api_calls_usd,
       coalesce((ended.data -> 'totals' -> 'cost_lines' ->> 'storage_usd')::numeric, 0) AS storage_usd,
       coalesce((ended.data -> 'totals' -> 'cost_lines' ->> 'compute_usd')::numeric, 0) AS compute_usd
FROM executions
CROSS JOIN LATERAL (
    SELECT replace(convert_from(events, 'UTF8'), '\u0000', '\u0020')::json -> -1 -> 'data' AS data
    FROM execution_journal
    WHERE execution_journal.execution_id = executions.execution_id AND is_final
    ORDER BY leg DESC
    LIMIT 1
) AS ended
WHERE executions.ended_at IS NOT NULL;

-- By what calls are put together, for a dimension's name. Inlined, so that a query pays for the dimensions that it names
-- alone; and compared byte by byte, which is several times as fast as by a language's rules.
CREATE FUNCTION usage_key(
    dimension text, client_id text, workspace_id text, worker_name text, action text, model text, provider text,
    stage_id text, template text, purpose text, outcome text, execution_id text, booked_at timestamptz
) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT (CASE dimension
        WHEN 'client' THEN client_id
        WHEN 'workspace' THEN workspace_id
        WHEN 'worker' THEN worker_name
        WHEN 'action' THEN action
        WHEN 'model' THEN model
        WHEN 'provider' THEN provider
        WHEN 'stage' THEN stage_id
        WHEN 'template' THEN template
        WHEN 'purpose' THEN purpose
        WHEN 'outcome' THEN outcome
        WHEN 'execution' THEN execution_id
        WHEN 'day' THEN (booked_at AT TIME ZONE 'UTC')::date::text
        WHEN 'week' THEN to_char(booked_at AT TIME ZONE 'UTC', 'IYYY-"W"IW')
        WHEN 'month' THEN left((booked_at AT TIME ZONE 'UTC')::date::text, 7)
    END) COLLATE "C"
$$;

-- What the alerts' loop has said, once for each client, window, kind and threshold: whoever inserts the row says it. It is
-- said when the message is in the outbox, which the same transaction writes.
CREATE TABLE budget_alerts (
    client_id text NOT NULL,
    -- A month as 2026-11, or a week as 2026-W47.
    budget_window text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('spent', 'forecast', 'weekly', 'energy')),
    threshold_percent int NOT NULL CHECK (threshold_percent > 0),
    alert_id text NOT NULL,
    spent_usd numeric NOT NULL,
    limit_usd numeric NOT NULL,
    message text NOT NULL,
    raised_at timestamptz NOT NULL,
    PRIMARY KEY (client_id, budget_window, kind, threshold_percent)
);
