-- The record of every execution. The state is one document, written by the pure core; the columns beside it are what queries need.

-- Versions never change and are never deleted: an execution runs by the one that it started with.
CREATE TABLE pipelines (
    -- For replicas that ask which ones they do not know yet.
    pipeline_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    -- A client's own; '' for the factory's, which everybody may order.
    owner text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    digest text NOT NULL,
    definition bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, name, version)
);

CREATE TABLE executions (
    execution_id text PRIMARY KEY,
    client_id text NOT NULL,
    request_id text,
    template text NOT NULL,
    template_version text NOT NULL,
    status text NOT NULL CHECK (
        status IN (
            'scheduled', 'running', 'awaiting_approval', 'paused', 'compensating',
            'completed', 'partially_completed', 'failed', 'cancelled'
        )
    ),
    state bytea NOT NULL,
    -- Raised by every write. A writer that has worked from an older one writes nothing and begins anew.
    version int NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    -- When it needs attention if nothing happens before.
    wake_at timestamptz,
    -- Its id, its template and the texts among its parameters, in lower case: what a search looks into.
    searched text NOT NULL CHECK (length(searched) <= 500),
    CONSTRAINT ended_if_and_only_if_final
        CHECK ((status IN ('completed', 'partially_completed', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
    CONSTRAINT only_the_living_wake CHECK ((ended_at IS NULL) = (wake_at IS NOT NULL))
    -- No foreign key to pipelines: none is ever deleted, and the check would have every new execution of a template lock the
    -- same row of it.
);
-- The state is written again at every step and read back whole: compressing it costs more than it saves. Dead versions are
-- cleared away long before a fifth of a large table is dead, or the pages of the living ones would be spread over all of it.
ALTER TABLE executions ALTER COLUMN state SET STORAGE EXTERNAL;
ALTER TABLE executions SET (
    toast_tuple_target = 8160, fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_vacuum_insert_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.02
);
-- What a step touches: the living alone, however many have ended.
CREATE INDEX executions_due ON executions (wake_at) WHERE wake_at IS NOT NULL;
-- A client's page; and a search reads nothing but this index, whether it finds something or not.
CREATE INDEX executions_by_client ON executions (client_id, execution_id DESC) INCLUDE (searched);
-- Nearly all have completed, and any walk finds those; the few others are found by this.
CREATE INDEX executions_by_status ON executions (status, execution_id DESC) WHERE status <> 'completed';
CREATE INDEX executions_by_template ON executions (template, execution_id DESC);
CREATE INDEX executions_by_request ON executions (request_id) WHERE request_id IS NOT NULL;
-- Times in a list; and what is old enough to be deleted has begun before that, too.
CREATE INDEX executions_by_time ON executions (created_at);

-- What happened, in order and without gaps; several events of one step share a row.
CREATE TABLE execution_events (
    execution_id text NOT NULL,
    first_sequence int NOT NULL,
    last_sequence int NOT NULL CHECK (last_sequence >= first_sequence),
    -- 1, and one more for every time that the execution was resumed after it had ended.
    leg int NOT NULL CHECK (leg >= 1),
    -- Whether the last of them ends the leg.
    is_final boolean NOT NULL,
    events bytea NOT NULL,
    PRIMARY KEY (execution_id, first_sequence)
);
ALTER TABLE execution_events ALTER COLUMN events SET STORAGE EXTERNAL;
ALTER TABLE execution_events SET (
    toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
-- Each leg ends in one terminal state.
CREATE UNIQUE INDEX one_final_event ON execution_events (execution_id, leg) WHERE is_final;

-- One row per ended attempt.
CREATE TABLE stage_attempts (
    execution_id text NOT NULL,
    stage_id text NOT NULL,
    attempt int NOT NULL CHECK (attempt >= 1),
    worker_name text NOT NULL,
    action text NOT NULL,
    success boolean NOT NULL,
    failure_code text,
    tokens_used bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost_usd numeric,
    execution_time_ms bigint NOT NULL,
    queue_time_ms bigint NOT NULL,
    time_breakdown jsonb NOT NULL,
    resource_metrics jsonb NOT NULL,
    model text,
    quality_score double precision,
    ended_at timestamptz NOT NULL,
    -- What only people ask for: packet, grant, the report's words (msgpack, see store/attempts.py).
    account bytea NOT NULL,
    PRIMARY KEY (execution_id, stage_id, attempt),
    CONSTRAINT a_success_has_no_failure CHECK (success = (failure_code IS NULL))
);
ALTER TABLE stage_attempts SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- One row per provider call, whatever its end. No foreign key: a call is kept even when its execution is unknown.
CREATE TABLE provider_calls (
    call_key text PRIMARY KEY,
    execution_id text NOT NULL,
    client_id text NOT NULL,
    stage_id text NOT NULL,
    attempt int NOT NULL,
    worker_name text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    purpose text NOT NULL,
    outcome text NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    -- NULL when unknown, never 0 in its place.
    cost_usd numeric CHECK (cost_usd >= 0),
    upper_bound_usd numeric CHECK (upper_bound_usd >= 0),
    price_version text,
    response_id text,
    latency_ms bigint NOT NULL,
    error text,
    booked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX provider_calls_by_execution ON provider_calls (execution_id, call_key);

-- Messages that were decided together and wait to be published together: one row per batch.
CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    messages bytea NOT NULL
);
-- Gone again within the second: nearly everything in it is dead, however few rows live.
ALTER TABLE outbox ALTER COLUMN messages SET STORAGE EXTERNAL;
ALTER TABLE outbox SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000, toast.autovacuum_vacuum_cost_delay = 0
);

-- Messages that nobody could process, each once, until a person has decided. Headers are JSON in bytes, because jsonb does not
-- hold every text.
CREATE TABLE dead_letters (
    dead_letter_id text PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    origin text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    found_by text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deliveries int NOT NULL CHECK (deliveries >= 0),
    headers bytea NOT NULL,
    payload bytea NOT NULL,
    -- Of the whole message: above the payload's when only its beginning is kept.
    size_bytes int NOT NULL CHECK (size_bytes >= octet_length(payload)),
    execution_id text,
    client_id text,
    status text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'replayed', 'dismissed')),
    decided_at timestamptz,
    decided_by text,
    CONSTRAINT decided_by_somebody_at_some_time CHECK (
        (status = 'waiting') = (decided_at IS NULL) AND (status = 'waiting') = (decided_by IS NULL)
    )
);
CREATE INDEX dead_letters_waiting ON dead_letters (position DESC) WHERE status = 'waiting';
CREATE INDEX dead_letters_decided ON dead_letters (decided_at) WHERE decided_at IS NOT NULL;

-- Everything that one batch decided, in one round trip: all of it is stored, or, when another writer was quicker with one of the
-- executions, nothing is, and `stale` names those. The clock is the only one that decides anything.
CREATE FUNCTION commit_batch(
    -- what the batch has worked from, changed or not
    checked_ids text[], checked_versions int[],
    changed_ids text[], changed_statuses text[], changed_states bytea[], changed_ended_ms bigint[], changed_wake_ms bigint[],
    new_ids text[], new_client_ids text[], new_request_ids text[], new_templates text[], new_template_versions text[],
    new_statuses text[], new_states bytea[], new_created_ms bigint[], new_ended_ms bigint[], new_wake_ms bigint[],
    new_searched text[],
    event_execution_ids text[], event_firsts int[], event_lasts int[], event_legs int[], event_finals boolean[],
    event_texts bytea[],
    attempt_execution_ids text[], attempt_stage_ids text[], attempt_numbers int[], attempt_workers text[], attempt_actions text[],
    attempt_successes boolean[], attempt_failure_codes text[], attempt_tokens bigint[], attempt_prompt_tokens bigint[],
    attempt_completion_tokens bigint[], attempt_costs numeric[], attempt_times_ms bigint[], attempt_queue_ms bigint[],
    attempt_breakdowns jsonb[], attempt_resources jsonb[], attempt_models text[], attempt_qualities double precision[],
    attempt_ends timestamptz[], attempt_accounts bytea[],
    published_ids bigint[], outbox_messages bytea,
    OUT stale text[], OUT outbox_row bigint, OUT at_ms bigint
) LANGUAGE plpgsql AS $$
BEGIN
    at_ms := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    -- In id order, so that two batches that share executions wait for each other and never deadlock.
    PERFORM 1 FROM executions WHERE execution_id = ANY (checked_ids) ORDER BY execution_id FOR UPDATE;
    SELECT array_agg(checked.id) INTO stale
    FROM unnest(checked_ids, checked_versions) AS checked (id, version)
    LEFT JOIN executions ON executions.execution_id = checked.id
    WHERE executions.version IS DISTINCT FROM checked.version;
    IF stale IS NOT NULL THEN
        RETURN;
    END IF;
    IF cardinality(new_ids) > 0 THEN
        SELECT array_agg(execution_id) INTO stale FROM executions WHERE execution_id = ANY (new_ids);
        IF stale IS NOT NULL THEN
            RETURN;
        END IF;
        INSERT INTO executions (
            execution_id, client_id, request_id, template, template_version, status, state, created_at, ended_at, wake_at,
            searched
        )
        SELECT id, client_id, request_id, template, template_version, status, state,
               to_timestamp(created_ms / 1000.0), to_timestamp(ended_ms / 1000.0), to_timestamp(wake_ms / 1000.0), searched
        FROM unnest(
            new_ids, new_client_ids, new_request_ids, new_templates, new_template_versions, new_statuses, new_states,
            new_created_ms, new_ended_ms, new_wake_ms, new_searched
        ) AS new (
            id, client_id, request_id, template, template_version, status, state, created_ms, ended_ms, wake_ms, searched
        )
        ORDER BY id;
    END IF;
    IF cardinality(changed_ids) > 0 THEN
        UPDATE executions AS old
        SET status = new.status, state = new.state, version = old.version + 1,
            ended_at = to_timestamp(new.ended_ms / 1000.0), wake_at = to_timestamp(new.wake_ms / 1000.0)
        FROM unnest(changed_ids, changed_statuses, changed_states, changed_ended_ms, changed_wake_ms)
             AS new (id, status, state, ended_ms, wake_ms)
        WHERE old.execution_id = new.id;
    END IF;
    IF cardinality(event_execution_ids) > 0 THEN
        INSERT INTO execution_events (execution_id, first_sequence, last_sequence, leg, is_final, events)
        SELECT * FROM unnest(event_execution_ids, event_firsts, event_lasts, event_legs, event_finals, event_texts);
    END IF;
    IF cardinality(attempt_execution_ids) > 0 THEN
        INSERT INTO stage_attempts (
            execution_id, stage_id, attempt, worker_name, action, success, failure_code, tokens_used, prompt_tokens,
            completion_tokens, cost_usd, execution_time_ms, queue_time_ms, time_breakdown, resource_metrics, model,
            quality_score, ended_at, account
        )
        SELECT * FROM unnest(
            attempt_execution_ids, attempt_stage_ids, attempt_numbers, attempt_workers, attempt_actions, attempt_successes,
            attempt_failure_codes, attempt_tokens, attempt_prompt_tokens, attempt_completion_tokens, attempt_costs,
            attempt_times_ms, attempt_queue_ms, attempt_breakdowns, attempt_resources, attempt_models, attempt_qualities,
            attempt_ends, attempt_accounts
        );
    END IF;
    IF cardinality(published_ids) > 0 THEN
        DELETE FROM outbox WHERE outbox_id = ANY (published_ids);
    END IF;
    IF outbox_messages IS NOT NULL THEN
        INSERT INTO outbox (messages) VALUES (outbox_messages) RETURNING outbox_id INTO outbox_row;
    END IF;
END
$$;
