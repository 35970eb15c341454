-- The record of every execution. The state is one document, written by the pure core; the columns beside it are what queries need.

CREATE TABLE pipelines (
    name text NOT NULL,
    version text NOT NULL,
    digest text NOT NULL,
    definition bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, version)
);

CREATE TABLE executions (
    execution_id text PRIMARY KEY,
    client_id text NOT NULL,
    request_id text,
    template text NOT NULL,
    template_version text NOT NULL,
    status text NOT NULL CHECK (
        status IN ('running', 'compensating', 'completed', 'partially_completed', 'failed', 'cancelled')
    ),
    state bytea NOT NULL,
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    -- When it needs attention if nothing happens before.
    wake_at timestamptz,
    CONSTRAINT ended_if_and_only_if_final CHECK ((status IN ('running', 'compensating')) = (ended_at IS NULL)),
    CONSTRAINT only_the_living_wake CHECK ((ended_at IS NULL) = (wake_at IS NOT NULL)),
    FOREIGN KEY (template, template_version) REFERENCES pipelines (name, version)
);
CREATE INDEX executions_due ON executions (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX executions_by_client ON executions (client_id, execution_id DESC);

-- What happened, in order and without gaps; several events of one step share a row.
CREATE TABLE execution_events (
    execution_id text NOT NULL REFERENCES executions,
    first_sequence int NOT NULL,
    last_sequence int NOT NULL CHECK (last_sequence >= first_sequence),
    is_final boolean NOT NULL,
    events bytea NOT NULL,
    PRIMARY KEY (execution_id, first_sequence)
);
-- One terminal state each.
CREATE UNIQUE INDEX one_final_event ON execution_events (execution_id) WHERE is_final;

-- One row per ended attempt.
CREATE TABLE stage_attempts (
    execution_id text NOT NULL REFERENCES executions,
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
    PRIMARY KEY (execution_id, stage_id, attempt),
    CONSTRAINT a_success_has_no_failure CHECK (success = (failure_code IS NULL))
);

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
CREATE INDEX provider_calls_by_execution ON provider_calls (execution_id);

-- Messages that were decided together and wait to be published together: one row per batch.
CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    messages bytea NOT NULL
);
