CREATE TABLE batches (
    batch_id          text PRIMARY KEY,
    client_id         text NOT NULL REFERENCES clients,
    selected_template text NOT NULL,
    -- NULL for the newest.
    template_version  text,
    message           text NOT NULL,
    urgency_level     text NOT NULL CHECK (urgency_level IN ('low', 'normal', 'high', 'critical')),
    workspace_id      text,
    start_at          timestamptz,
    total             integer NOT NULL CHECK (total BETWEEN 1 AND 1000),
    cancelled_at      timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX batches_of_client ON batches (client_id, batch_id DESC);

ALTER TABLE client_requests
    ADD COLUMN batch_id text REFERENCES batches,
    -- Place in the batch, from 0.
    ADD COLUMN batch_index integer CHECK (batch_index BETWEEN 0 AND 999),
    -- When to ask the orchestrator to cancel it, on behalf of its batch; NULL when nobody wants that.
    ADD COLUMN cancel_at timestamptz,
    ADD CHECK ((batch_id IS NULL) = (batch_index IS NULL));

CREATE UNIQUE INDEX client_requests_of_batch ON client_requests (batch_id, batch_index) WHERE batch_id IS NOT NULL;
CREATE INDEX client_requests_to_submit ON client_requests (asked_at NULLS FIRST, request_id)
    WHERE status = 'submitting' AND batch_id IS NOT NULL;
CREATE INDEX client_requests_to_cancel ON client_requests (cancel_at) WHERE cancel_at IS NOT NULL;
