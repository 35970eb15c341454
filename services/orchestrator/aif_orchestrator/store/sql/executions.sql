-- name: read_executions
-- What a batch is worked from, with the version that its commit checks. The clock comes back even when nothing was found.
SELECT executions.execution_id, executions.version, executions.state, clock.at_ms
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at_ms) AS clock
LEFT JOIN executions ON executions.execution_id = ANY ($1::text[]);

-- name: commit_batch
-- See the function: all or nothing, in one round trip.
SELECT stale, outbox_row, at_ms FROM commit_batch(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26,
    $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42
);

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
