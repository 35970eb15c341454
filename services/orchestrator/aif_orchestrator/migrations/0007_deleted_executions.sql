-- Executions that were deleted and whose blobs may still be there; written by the deletion itself, so that none is forgotten.
CREATE TABLE deleted_executions (
    execution_id text PRIMARY KEY,
    deleted_at timestamptz NOT NULL DEFAULT now(),
    -- When a replica last began to collect its blobs.
    taken_at timestamptz
);
CREATE INDEX deleted_executions_by_age ON deleted_executions (deleted_at);
