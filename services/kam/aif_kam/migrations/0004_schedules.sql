CREATE TABLE schedules (
    schedule_id       text PRIMARY KEY,
    client_id         text NOT NULL REFERENCES clients,
    name              text NOT NULL,
    selected_template text NOT NULL,
    -- NULL for the newest, whichever that is when it is due.
    template_version  text,
    -- As the client wrote them, but a source's text is the id of a stored source by now. Checked anew whenever it is due.
    parameters        json NOT NULL,
    cron              text NOT NULL,
    timezone          text NOT NULL,
    urgency_level     text NOT NULL CHECK (urgency_level IN ('low', 'normal', 'high', 'critical')),
    message           text NOT NULL,
    workspace_id      text,
    overlap           text NOT NULL CHECK (overlap IN ('skip', 'allow')),
    paused_at         timestamptz,
    -- The next due time; NULL while paused.
    next_at           timestamptz,
    -- A due time that has come and whose order is not placed yet: until it is, or skipped, refused, or overtaken by the next.
    firing_at         timestamptz,
    -- When a gateway looks at this row; put off while one is at work on it.
    look_at           timestamptz,
    -- When `next_at` was reckoned.
    reckoned_at       timestamptz NOT NULL DEFAULT now(),
    -- What came of the newest due time that is settled.
    last_outcome      text CHECK (last_outcome IN ('ordered', 'skipped', 'refused', 'missed')),
    last_fired_at     timestamptz,
    last_request_id   text,
    last_skipped_at   timestamptz,
    last_problem      jsonb,
    fired_count       bigint NOT NULL DEFAULT 0,
    skipped_count     bigint NOT NULL DEFAULT 0,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CHECK (paused_at IS NULL OR (next_at IS NULL AND firing_at IS NULL AND look_at IS NULL)),
    CHECK (firing_at < next_at)
);

CREATE INDEX schedules_of_client ON schedules (client_id, schedule_id DESC);
CREATE INDEX schedules_to_look_at ON schedules (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX schedules_by_reckoning ON schedules (reckoned_at) WHERE look_at IS NOT NULL;

ALTER TABLE client_requests
    DROP CONSTRAINT client_requests_origin_check,
    ADD CONSTRAINT client_requests_origin_check CHECK (origin IN ('request', 'order', 'bus', 'schedule', 'batch')),
    -- Whose due time made it; a schedule may be gone.
    ADD COLUMN schedule_id text;
