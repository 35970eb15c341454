-- One row per ended attempt, failed ones with their cost included.
CREATE TABLE worker_performance_log (
    execution_id text NOT NULL,
    stage_id text NOT NULL,
    attempt integer NOT NULL CHECK (attempt >= 0),
    client_id text NOT NULL,
    worker_name text NOT NULL,
    action text NOT NULL,
    template text NOT NULL,
    template_version text NOT NULL,
    provider text,
    model text,
    success boolean NOT NULL,
    failure_code text,
    execution_time_ms bigint NOT NULL CHECK (execution_time_ms >= 0),
    queue_time_ms bigint NOT NULL CHECK (queue_time_ms >= 0),
    -- The time limit that the attempt had; NULL when the record did not tell.
    timeout_ms bigint CHECK (timeout_ms > 0),
    prompt_tokens bigint NOT NULL CHECK (prompt_tokens >= 0),
    completion_tokens bigint NOT NULL CHECK (completion_tokens >= 0),
    total_tokens bigint NOT NULL CHECK (total_tokens >= 0),
    -- NULL when some call's price is unknown; never 0 in its place.
    cost_usd numeric(24, 12) CHECK (cost_usd >= 0),
    quality_score double precision CHECK (quality_score BETWEEN 0 AND 1),
    element_count integer CHECK (element_count >= 0),
    input_size bigint NOT NULL CHECK (input_size >= 0),
    input_complexity text NOT NULL CHECK (input_complexity IN ('small', 'medium', 'large')),
    output_size bigint NOT NULL CHECK (output_size >= 0),
    -- When the attempt ended.
    "timestamp" timestamptz NOT NULL,
    PRIMARY KEY (execution_id, stage_id, attempt)
);

-- The newest attempts of a slice, for the analysis and for one worker's figures.
CREATE INDEX worker_performance_log_by_slice ON worker_performance_log (worker_name, action, template, "timestamp" DESC);
-- One client's attempts, for what that client is told.
CREATE INDEX worker_performance_log_by_client ON worker_performance_log (client_id, "timestamp" DESC);
-- Rolling windows over all workers, and the oldest rows for retention.
CREATE INDEX worker_performance_log_by_time ON worker_performance_log ("timestamp");

CREATE TABLE optimization_insights (
    recommendation_id text PRIMARY KEY,
    insight_key text NOT NULL,
    worker_name text NOT NULL,
    action text NOT NULL,
    template text NOT NULL,
    recommendation_type text NOT NULL CHECK (recommendation_type IN ('speed', 'cost', 'quality', 'reliability')),
    description text NOT NULL,
    parameter text,
    current_value text,
    recommended_value text,
    expected_improvement text,
    saving_usd numeric(24, 12),
    confidence_score double precision NOT NULL CHECK (confidence_score BETWEEN 0 AND 1),
    sample_size integer NOT NULL CHECK (sample_size > 0),
    evidence jsonb NOT NULL,
    implementation_status text NOT NULL DEFAULT 'pending' CHECK (implementation_status IN (
        'pending',   -- the data supports it now
        'withdrawn'  -- pending -> withdrawn: the data no longer does
    )),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- The same finding brings the pending recommendation up to date and never makes a second one.
CREATE UNIQUE INDEX one_pending_insight_per_key ON optimization_insights (insight_key)
    WHERE implementation_status = 'pending';
CREATE INDEX optimization_insights_by_worker ON optimization_insights (worker_name, implementation_status);
-- The oldest withdrawn ones, for retention.
CREATE INDEX optimization_insights_withdrawn ON optimization_insights (updated_at) WHERE implementation_status = 'withdrawn';
