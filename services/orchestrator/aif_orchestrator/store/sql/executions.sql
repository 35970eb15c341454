-- name: lock_executions
-- In id order, so that two batches that share executions wait for each other and never deadlock. The clock is read after
-- the locks are held, and comes back even when nothing was found.
WITH locked AS MATERIALIZED (
    SELECT execution_id, state FROM executions WHERE execution_id = ANY ($1::text[]) ORDER BY execution_id FOR UPDATE
)
SELECT locked.execution_id, locked.state,
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at_ms
FROM (SELECT count(*) FROM locked) AS counted LEFT JOIN locked ON true;

-- name: insert_executions
-- An id that another replica has stored in the meantime is left alone and not returned: its order comes again as a repetition.
INSERT INTO executions (execution_id, client_id, request_id, template, template_version, status, state, created_at, ended_at, wake_at)
SELECT execution_id, client_id, request_id, template, template_version, status, state,
       to_timestamp(created_ms / 1000.0), to_timestamp(ended_ms / 1000.0), to_timestamp(wake_ms / 1000.0)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bigint[], $9::bigint[], $10::bigint[])
     AS new (execution_id, client_id, request_id, template, template_version, status, state, created_ms, ended_ms, wake_ms)
ORDER BY execution_id
ON CONFLICT (execution_id) DO NOTHING
RETURNING execution_id;

-- name: update_executions
-- Only rows that this transaction has locked.
UPDATE executions AS old
SET status = new.status, state = new.state, ended_at = to_timestamp(new.ended_ms / 1000.0), wake_at = to_timestamp(new.wake_ms / 1000.0)
FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[], $5::bigint[]) AS new (execution_id, status, state, ended_ms, wake_ms)
WHERE old.execution_id = new.execution_id;

-- name: list_due_executions
-- Whatever wants attention now, the longest waiting first.
SELECT execution_id FROM executions WHERE wake_at <= clock_timestamp() ORDER BY wake_at LIMIT $1;

-- name: find_execution
-- A client sees its own; the operator, who gives no client, sees all.
SELECT state, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at_ms
FROM executions WHERE execution_id = $1 AND ($2::text IS NULL OR client_id = $2);

-- name: list_executions
-- Newest first; ids sort by time. The cursor is the last id of the page before.
SELECT execution_id, state, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at_ms
FROM executions
WHERE ($1::text IS NULL OR client_id = $1) AND ($2::text IS NULL OR status = $2) AND ($3::text IS NULL OR execution_id < $3)
ORDER BY execution_id DESC
LIMIT $4;
