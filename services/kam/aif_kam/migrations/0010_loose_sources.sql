-- When an order or a schedule last looked for it, or it was last found to be needed.
ALTER TABLE sources ADD COLUMN used_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX sources_by_use ON sources (used_at);

-- Whose bytes may lie in the blob store although no row of sources says so: on their way in, left by a call that was refused or a
-- gateway that died, or released.
CREATE TABLE loose_sources (
    source_id text PRIMARY KEY,
    client_id text NOT NULL,
    since     timestamptz NOT NULL DEFAULT now(),
    -- When a gateway last began to delete its bytes. From then on it cannot be entered any more.
    taken_at  timestamptz
);
CREATE INDEX loose_sources_by_age ON loose_sources (since);

-- Which source an order is about, out of its blob's key.
ALTER TABLE client_requests ADD COLUMN source_id text
    GENERATED ALWAYS AS (split_part(translate(parameters #>> '{source,storage_key}', '/', '.'), '.', 3)) STORED;
CREATE INDEX client_requests_of_source ON client_requests (source_id) WHERE source_id IS NOT NULL;
