CREATE TABLE clients (
    client_id   text PRIMARY KEY CHECK (client_id ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$'),
    tier        text NOT NULL DEFAULT 'standard',
    created_at  timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);

CREATE TABLE api_keys (
    key_id     text PRIMARY KEY,
    -- NULL for the operator's keys, which act for any client.
    client_id  text REFERENCES clients,
    scope      text NOT NULL CHECK (scope IN ('client', 'admin')),
    -- HMAC-SHA256 of the whole key under the pepper; the key itself is stored nowhere.
    digest     bytea NOT NULL CHECK (octet_length(digest) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    CHECK ((scope = 'admin') = (client_id IS NULL))
);

CREATE TABLE sources (
    source_id  text PRIMARY KEY,
    client_id  text NOT NULL REFERENCES clients,
    title      text NOT NULL,
    file_name  text,
    media_type text NOT NULL,
    words      integer NOT NULL,
    headings   integer NOT NULL,
    characters integer NOT NULL,
    -- Of the file as it was sent.
    sha256     text NOT NULL,
    -- Reference to the parsed document.
    blob       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE client_requests (
    request_id                text PRIMARY KEY,
    client_id                 text NOT NULL REFERENCES clients,
    origin                    text NOT NULL CHECK (origin IN ('request', 'order', 'bus')),
    request_type              text NOT NULL CHECK (request_type = 'pipeline_execution'),
    message                   text NOT NULL,
    urgency_level             text NOT NULL CHECK (urgency_level IN ('low', 'normal', 'high', 'critical')),
    workspace_id              text,
    status                    text NOT NULL CHECK (status IN (
        'created',             -- nothing chosen yet
        'template_selected',   -- may be executed
        'submitting',          -- stored, not yet accepted by the orchestrator; asked again until it answers
        'running',
        'completed', 'partially_completed', 'failed', 'cancelled', 'refused')),
    selected_template         text,
    template_confidence_score double precision CHECK (template_confidence_score BETWEEN 0 AND 1),
    template_version          text,
    -- As sent to the orchestrator: defaults filled in, the source as a blob reference. Not jsonb, which makes a whole number of 1e19.
    parameters                json NOT NULL DEFAULT '{}',
    parameters_digest         text,
    execution_id              text UNIQUE,
    progress_percent          integer NOT NULL DEFAULT 0 CHECK (progress_percent BETWEEN 0 AND 100),
    last_sequence             integer NOT NULL DEFAULT 0,
    totals                    jsonb,
    total_tokens_used         bigint,
    total_cost_usd            numeric(24, 12),
    detailed_metrics          jsonb,
    deliverables              jsonb NOT NULL DEFAULT '[]',
    -- Why it was refused or failed.
    problem                   jsonb,
    -- When somebody last began to ask the orchestrator; NULL when nobody is asking.
    asked_at                  timestamptz,
    checked_at                timestamptz,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    completed_at              timestamptz,
    CHECK (status NOT IN ('submitting', 'running', 'completed', 'partially_completed', 'failed') OR execution_id IS NOT NULL),
    CHECK (status = 'created' OR status IN ('cancelled', 'refused') OR selected_template IS NOT NULL)
);

-- No question takes ten seconds: who began before that has died. Who began at a time to come did so before the clock was set back.
CREATE FUNCTION nobody_asks(asked_at timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT asked_at IS NULL OR asked_at NOT BETWEEN now() - interval '10 seconds' AND now() + interval '10 seconds'
$$;

CREATE INDEX client_requests_of_client ON client_requests (client_id, request_id DESC);
CREATE INDEX client_requests_submitting ON client_requests (asked_at) WHERE status = 'submitting';
CREATE INDEX client_requests_unsettled ON client_requests (checked_at)
    WHERE status = 'running' OR (status IN ('completed', 'partially_completed', 'failed', 'cancelled') AND detailed_metrics IS NULL);

CREATE TABLE deliverables (
    deliverable_id text PRIMARY KEY,
    client_id      text NOT NULL REFERENCES clients,
    execution_id   text NOT NULL,
    name           text NOT NULL,
    media_type     text NOT NULL,
    blob           jsonb NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE idempotency_keys (
    client_id    text NOT NULL REFERENCES clients,
    key          text NOT NULL,
    -- Digest of method, path and body of the first call.
    fingerprint  text NOT NULL,
    -- The execution whose acceptance gives the answer; NULL when the answer was known at once.
    execution_id text,
    status       integer,
    body         bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (client_id, key),
    CHECK ((status IS NULL) = (body IS NULL))
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_of_execution ON idempotency_keys (execution_id) WHERE execution_id IS NOT NULL;
