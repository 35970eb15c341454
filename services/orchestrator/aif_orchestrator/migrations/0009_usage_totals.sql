-- Totals of usage, so that a month is not added up from each of its executions whenever somebody asks (see usage/rolling.py).
--
-- An execution's usage is rolled up when it is among the totals with all of its calls: when it was created before the mark and
-- is not in unrolled_executions. Of an execution that is not kept, or never was known, that holds for its calls from before the
-- mark. Everything else is read as it stands. Whatever changes what is rolled up takes it out of the totals first, in the same
-- transaction, as it was added: so the totals and the rest are all there is, each once, at any moment.

CREATE TABLE usage_mark (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    rolled_until timestamptz NOT NULL
);
INSERT INTO usage_mark (rolled_until) VALUES ('2000-01-01 00:00:00+00');

-- Those from before the mark that are read as they stand: they go on, or something of them has changed.
CREATE TABLE unrolled_executions (
    execution_id text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);

-- Rows are added, some with negative sums, and brought together later; what counts is their sum. `is_sum` tells a row that was
-- brought together. `created_on` is the day of the execution, or the call's own where there is none.
CREATE TABLE usage_of_executions (
    created_on date NOT NULL,
    client_id text NOT NULL,
    status text NOT NULL,
    executions bigint NOT NULL,
    ended bigint NOT NULL,
    wall_time_ms numeric NOT NULL,
    deliverables numeric NOT NULL,
    api_calls_usd numeric NOT NULL,
    storage_usd numeric NOT NULL,
    compute_usd numeric NOT NULL,
    is_sum boolean NOT NULL DEFAULT false
);
CREATE INDEX usage_of_executions_by_day ON usage_of_executions (created_on, client_id);

CREATE TABLE usage_of_attempts (
    created_on date NOT NULL,
    client_id text NOT NULL,
    worker_name text NOT NULL,
    -- Attempts that have ended, and those of which calls alone are known.
    rows bigint NOT NULL,
    attempts bigint NOT NULL,
    failed bigint NOT NULL,
    busy_time_ms numeric NOT NULL,
    prompt_tokens numeric NOT NULL,
    completion_tokens numeric NOT NULL,
    tokens_used numeric NOT NULL,
    cost_usd numeric NOT NULL,
    tokens_of_failed numeric NOT NULL,
    cost_of_failed numeric NOT NULL,
    is_sum boolean NOT NULL DEFAULT false
);
CREATE INDEX usage_of_attempts_by_day ON usage_of_attempts (created_on, client_id);

CREATE TABLE usage_of_calls (
    created_on date NOT NULL,
    booked_on date NOT NULL,
    client_id text NOT NULL,
    workspace_id text,
    worker_name text NOT NULL,
    action text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    stage_id text NOT NULL,
    -- NULL where the execution is not kept.
    template text,
    purpose text NOT NULL,
    outcome text NOT NULL,
    -- All that are booked, answers of the response cache among them.
    rows bigint NOT NULL,
    calls bigint NOT NULL,
    answered bigint NOT NULL,
    failed bigint NOT NULL,
    unusable bigint NOT NULL,
    in_doubt bigint NOT NULL,
    unanswered bigint NOT NULL,
    cached bigint NOT NULL,
    retries bigint NOT NULL,
    corrections bigint NOT NULL,
    continuations bigint NOT NULL,
    fallbacks bigint NOT NULL,
    prompt_tokens numeric NOT NULL,
    completion_tokens numeric NOT NULL,
    cache_read_tokens numeric NOT NULL,
    cache_write_tokens numeric NOT NULL,
    reasoning_tokens numeric NOT NULL,
    tokens_wasted numeric NOT NULL,
    audio_ms numeric NOT NULL,
    characters numeric NOT NULL,
    cost_usd numeric NOT NULL,
    cost_wasted_usd numeric NOT NULL,
    unpriced bigint NOT NULL,
    in_doubt_usd numeric NOT NULL,
    saved_by_cache_usd numeric NOT NULL,
    saved_by_downgrade_usd numeric NOT NULL,
    latency_ms numeric NOT NULL,
    is_sum boolean NOT NULL DEFAULT false
);
CREATE INDEX usage_of_calls_by_day ON usage_of_calls (booked_on);
CREATE INDEX usage_of_calls_by_creation ON usage_of_calls (created_on);
CREATE INDEX usage_of_calls_by_client ON usage_of_calls (client_id, booked_on);
CREATE INDEX usage_of_calls_to_bring_together ON usage_of_calls (created_on) WHERE NOT is_sum;
CREATE INDEX usage_of_attempts_to_bring_together ON usage_of_attempts (created_on) WHERE NOT is_sum;
CREATE INDEX usage_of_executions_to_bring_together ON usage_of_executions (created_on) WHERE NOT is_sum;

-- What each call adds to the figures; NULL for nothing, which is quicker to sum up than 0.
CREATE VIEW call_figures AS
SELECT calls.client_id,
       workspace_id,
       worker_name,
       action,
       model,
       provider,
       stage_id,
       template,
       purpose,
       outcome,
       calls.execution_id,
       booked_at,
       executions.created_at AS execution_created_at,
       (outcome <> 'cached')::int AS calls,
       (outcome = 'answered')::int AS answered,
       (outcome IN ('failed', 'cancelled'))::int AS failed,
       (outcome IN ('truncated', 'rejected'))::int AS unusable,
       (outcome IN ('started', 'in_doubt') AND cost_usd IS NULL)::int AS in_doubt,
       (outcome IN ('started', 'in_doubt') AND cost_usd IS NOT NULL)::int AS unanswered,
       (outcome = 'cached')::int AS cached,
       (purpose = 'retry' AND outcome <> 'cached')::int AS retries,
       (purpose = 'correction' AND outcome <> 'cached')::int AS corrections,
       (purpose = 'continuation' AND outcome <> 'cached')::int AS continuations,
       (purpose = 'fallback' AND outcome <> 'cached')::int AS fallbacks,
       prompt_tokens,
       completion_tokens,
       cache_read_tokens,
       cache_write_tokens,
       reasoning_tokens,
       CASE WHEN is_wasted THEN prompt_tokens + completion_tokens END AS tokens_wasted,
       audio_ms,
       characters,
       cost_usd,
       CASE WHEN is_wasted THEN cost_usd END AS cost_wasted_usd,
       (cost_usd IS NULL AND outcome NOT IN ('started', 'in_doubt', 'failed', 'cached'))::int AS unpriced,
       CASE WHEN cost_usd IS NULL THEN upper_bound_usd END AS in_doubt_usd,
       CASE WHEN saving = 'cache' THEN saved_usd END AS saved_by_cache_usd,
       CASE WHEN saving = 'downgrade' THEN saved_usd END AS saved_by_downgrade_usd,
       CASE WHEN outcome NOT IN ('started', 'in_doubt', 'cached') THEN latency_ms END AS latency_ms
FROM judged_calls AS calls
LEFT JOIN executions ON executions.execution_id = calls.execution_id;

-- What each execution adds.
CREATE VIEW execution_figures AS
SELECT executions.execution_id,
       executions.client_id,
       executions.created_at,
       executions.status,
       (executions.ended_at IS NOT NULL)::int AS ended,
       coalesce(extract(epoch FROM executions.ended_at - executions.created_at) * 1000, 0) AS wall_time_ms,
       coalesce(deliverables, 0) AS deliverables,
       coalesce(api_calls_usd, 0) AS api_calls_usd,
       coalesce(storage_usd, 0) AS storage_usd,
       coalesce(compute_usd, 0) AS compute_usd
FROM executions
LEFT JOIN execution_ends USING (execution_id);

-- What each attempt of some executions adds. An attempt has spent what its report said or what its calls are known to have cost,
-- whichever is more: of one that was lost or cut off, or has a call without an answer, its calls alone know. Of an execution that
-- was deleted and ordered again, the first one's calls have a `~` in their keys.
CREATE FUNCTION attempt_figures(execution_ids text[]) RETURNS TABLE (
    client_id text, created_at timestamptz, worker_name text, success boolean, execution_time_ms bigint,
    prompt_tokens numeric, completion_tokens numeric, tokens_used numeric, cost_usd numeric
) LANGUAGE sql STABLE AS $$
    WITH asked AS MATERIALIZED (
        SELECT executions.execution_id, executions.client_id, executions.created_at
        FROM unnest(execution_ids) AS id JOIN executions ON executions.execution_id = id
    ),
    ended AS (
        SELECT stage_attempts.* FROM stage_attempts JOIN asked USING (execution_id)
    ),
    booked AS (
        SELECT calls.execution_id, stage_id, attempt, worker_name, sum(prompt_tokens) AS prompt_tokens,
               sum(completion_tokens) AS completion_tokens, sum(prompt_tokens + completion_tokens) AS tokens_used,
               sum(cost_usd) AS cost_usd
        FROM provider_calls AS calls JOIN asked USING (execution_id)
        WHERE strpos(call_key, '~') = 0
        GROUP BY calls.execution_id, stage_id, attempt, worker_name
    ),
    spent AS (
        SELECT execution_id, worker_name, success, execution_time_ms,
               greatest(ended.prompt_tokens, booked.prompt_tokens) AS prompt_tokens,
               greatest(ended.completion_tokens, booked.completion_tokens) AS completion_tokens,
               greatest(ended.tokens_used, booked.tokens_used) AS tokens_used,
               greatest(ended.cost_usd, booked.cost_usd) AS cost_usd
        FROM ended FULL JOIN booked USING (execution_id, stage_id, attempt, worker_name)
    )
    SELECT asked.client_id, asked.created_at, worker_name, success, execution_time_ms, prompt_tokens, completion_tokens,
           tokens_used, cost_usd
    FROM spent JOIN asked USING (execution_id)
$$;

-- Whoever takes something out of the totals holds it shared until the commit, whoever adds to them holds it alone: nobody adds
-- what is just being changed, and nobody changes what is just being added.
CREATE FUNCTION lock_usage(alone boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF alone THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('usage_totals', 0));
    ELSE
        PERFORM pg_advisory_xact_lock_shared(hashtextextended('usage_totals', 0));
    END IF;
END
$$;

-- Whoever takes rows of the totals away holds this until the commit. Two who do so side by side do not see what the other one puts
-- in their place, and would leave out what was taken out of it meanwhile.
CREATE FUNCTION key_of_usage_rows() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended('usage_rows', 0)
$$;

CREATE FUNCTION utc_day(moment timestamptz) RETURNS date LANGUAGE sql IMMUTABLE AS $$
    SELECT (moment AT TIME ZONE 'UTC')::date
$$;

-- Calls' figures summed as they are kept.
CREATE FUNCTION add_calls_usage(times int, figures call_figures[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO usage_of_calls (
        created_on, booked_on,
        client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome, rows,
        calls, answered, failed, unusable, in_doubt, unanswered, cached, retries, corrections, continuations, fallbacks,
        prompt_tokens, completion_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, tokens_wasted, audio_ms,
        characters, cost_usd, cost_wasted_usd, unpriced, in_doubt_usd, saved_by_cache_usd, saved_by_downgrade_usd,
        latency_ms
    )
    SELECT utc_day(coalesce(execution_created_at, booked_at)), utc_day(booked_at),
           client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome, times * count(*),
           times * sum(calls), times * sum(answered), times * sum(failed), times * sum(unusable), times * sum(in_doubt),
           times * sum(unanswered), times * sum(cached), times * sum(retries), times * sum(corrections),
           times * sum(continuations), times * sum(fallbacks), times * sum(prompt_tokens), times * sum(completion_tokens),
           times * sum(cache_read_tokens), times * sum(cache_write_tokens), times * sum(reasoning_tokens),
           times * coalesce(sum(tokens_wasted), 0), times * sum(audio_ms), times * sum(characters),
           times * coalesce(sum(cost_usd), 0), times * coalesce(sum(cost_wasted_usd), 0), times * sum(unpriced),
           times * coalesce(sum(in_doubt_usd), 0), times * coalesce(sum(saved_by_cache_usd), 0),
           times * coalesce(sum(saved_by_downgrade_usd), 0), times * coalesce(sum(latency_ms), 0)
    FROM unnest(figures)
    GROUP BY utc_day(coalesce(execution_created_at, booked_at)), utc_day(booked_at),
             client_id, workspace_id, worker_name, action, model, provider, stage_id, template, purpose, outcome
$$;

-- Everything of some executions, once more or once less.
CREATE FUNCTION add_usage(times int, execution_ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_of_executions (
        created_on, client_id, status, executions, ended, wall_time_ms, deliverables, api_calls_usd, storage_usd, compute_usd
    )
    SELECT utc_day(created_at), client_id, status, times * count(*), times * sum(ended), times * sum(wall_time_ms),
           times * sum(deliverables), times * sum(api_calls_usd), times * sum(storage_usd), times * sum(compute_usd)
    FROM unnest(execution_ids) AS id JOIN execution_figures ON execution_id = id
    GROUP BY utc_day(created_at), client_id, status;
    INSERT INTO usage_of_attempts (
        created_on, client_id, worker_name, rows, attempts, failed, busy_time_ms, prompt_tokens, completion_tokens, tokens_used,
        cost_usd, tokens_of_failed, cost_of_failed
    )
    SELECT utc_day(created_at), client_id, worker_name, times * count(*), times * count(success),
           times * count(*) FILTER (WHERE NOT success), times * coalesce(sum(execution_time_ms), 0), times * sum(prompt_tokens),
           times * sum(completion_tokens), times * sum(tokens_used), times * coalesce(sum(cost_usd), 0),
           times * coalesce(sum(tokens_used) FILTER (WHERE NOT success), 0),
           times * coalesce(sum(cost_usd) FILTER (WHERE NOT success), 0)
    FROM attempt_figures(execution_ids)
    GROUP BY utc_day(created_at), client_id, worker_name;
    PERFORM add_calls_usage(times, ARRAY(
        SELECT figures
        FROM unnest(execution_ids) AS id JOIN call_figures AS figures ON execution_id = id
        WHERE execution_created_at IS NOT NULL OR booked_at < (SELECT rolled_until FROM usage_mark)
    ));
END
$$;

-- Before something of executions changes that have ended, or of calls without an execution. Those that are not rolled up are
-- left alone, and so are those that others have just taken out.
CREATE FUNCTION unroll_usage(execution_ids text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz;
    unrolled text[];
BEGIN
    PERFORM lock_usage(false);
    SELECT rolled_until INTO until FROM usage_mark;
    WITH rolled AS (
        INSERT INTO unrolled_executions (execution_id)
        SELECT DISTINCT id
        FROM unnest(execution_ids) AS id LEFT JOIN executions ON executions.execution_id = id
        WHERE created_at < until
           OR created_at IS NULL AND EXISTS (SELECT FROM provider_calls WHERE execution_id = id AND booked_at < until)
        ORDER BY id
        ON CONFLICT DO NOTHING
        RETURNING execution_id
    )
    SELECT array_agg(execution_id) INTO unrolled FROM rolled;
    IF unrolled IS NOT NULL THEN
        PERFORM add_usage(-1, unrolled);
    END IF;
END
$$;

-- Moves the mark on, over about so many executions or calls, and never beyond what is so old that everybody sees it. Tells
-- whether there may be more. When the clock was set back behind the mark, what the totals say of that day and later ones is
-- forgotten: executions are created there anew.
CREATE FUNCTION roll_usage_on(least_age interval, most int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    begins timestamptz;
    oldest_young timestamptz;
    ends timestamptz;
    ended text[];
BEGIN
    PERFORM lock_usage(true);
    SELECT rolled_until INTO begins FROM usage_mark;
    -- Not before the lock: another replica may have moved the mark meanwhile.
    oldest_young := clock_timestamp() - least_age;
    ends := oldest_young;
    IF begins > ends + interval '1 minute' THEN
        begins := date_trunc('day', ends, 'UTC');
        PERFORM pg_advisory_xact_lock(key_of_usage_rows());
        DELETE FROM usage_of_executions WHERE created_on >= utc_day(begins);
        DELETE FROM usage_of_attempts WHERE created_on >= utc_day(begins);
        DELETE FROM usage_of_calls WHERE created_on >= utc_day(begins);
        DELETE FROM unrolled_executions USING executions
        WHERE executions.execution_id = unrolled_executions.execution_id AND created_at >= begins;
    END IF;
    IF begins >= ends THEN
        RETURN false;
    END IF;
    ends := least(
        ends,
        (SELECT created_at FROM executions WHERE created_at >= begins ORDER BY created_at OFFSET most - 1 LIMIT 1)
            + interval '1 microsecond',
        (SELECT booked_at FROM provider_calls WHERE booked_at >= begins ORDER BY booked_at OFFSET 10 * most - 1 LIMIT 1)
            + interval '1 microsecond'
    );
    WITH passed AS MATERIALIZED (
        SELECT execution_id, ended_at
        FROM executions
        WHERE created_at >= begins AND created_at < ends
          AND NOT EXISTS (SELECT FROM unrolled_executions WHERE unrolled_executions.execution_id = executions.execution_id)
    ),
    living AS (
        INSERT INTO unrolled_executions (execution_id) SELECT execution_id FROM passed WHERE ended_at IS NULL
        ON CONFLICT DO NOTHING
    )
    SELECT array_agg(execution_id) INTO ended FROM passed WHERE ended_at IS NOT NULL;
    PERFORM add_usage(1, ended);
    PERFORM add_calls_usage(1, ARRAY(
        SELECT figures FROM call_figures AS figures
        WHERE booked_at >= begins AND booked_at < ends AND execution_created_at IS NULL
          AND NOT EXISTS (SELECT FROM unrolled_executions WHERE unrolled_executions.execution_id = figures.execution_id)
    ));
    UPDATE usage_mark SET rolled_until = ends;
    RETURN ends < oldest_young;
END
$$;

-- Those that were left or taken out and have ended since, or are not kept any more. Tells whether there may be more.
CREATE FUNCTION roll_usage_again(least_age interval, most int) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    quiet text[];
BEGIN
    PERFORM lock_usage(true);
    WITH again AS (
        DELETE FROM unrolled_executions WHERE execution_id IN (
            SELECT unrolled_executions.execution_id
            FROM unrolled_executions LEFT JOIN executions USING (execution_id)
            WHERE since NOT BETWEEN now() - least_age AND now()
              AND (created_at IS NULL OR ended_at IS NOT NULL AND created_at < (SELECT rolled_until FROM usage_mark))
            LIMIT most
        )
        RETURNING execution_id
    )
    SELECT array_agg(execution_id) INTO quiet FROM again;
    PERFORM add_usage(1, quiet);
    RETURN coalesce(cardinality(quiet), 0) = most;
END
$$;

-- One that is stored long after it was created may lie before the mark.
CREATE FUNCTION leave_unrolled() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO unrolled_executions (execution_id) VALUES (NEW.execution_id) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER executions_stored_late AFTER INSERT ON executions
    FOR EACH ROW WHEN (NEW.created_at < now() - interval '5 minutes') EXECUTE FUNCTION leave_unrolled();

-- An execution that is begun under the id of one that is not kept takes over its calls, which get other keys then.
CREATE FUNCTION unroll_calls_taken_over() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM unroll_usage(ARRAY[NEW.execution_id]);
    RETURN NEW;
END
$$;
CREATE TRIGGER provider_calls_taken_over BEFORE UPDATE OF call_key ON provider_calls
    FOR EACH ROW EXECUTE FUNCTION unroll_calls_taken_over();
