-- name: lock_audit_head
-- Whoever appends waits here for the one before; gives the place to go on from, and the time of the new rows.
SELECT sequence, hash, clock_timestamp() AS at FROM audit_head FOR UPDATE;

-- name: find_audit_ids
-- What is there already, under the lock, so that an entry that is delivered twice is one row.
SELECT audit_id FROM audit_log WHERE audit_id = ANY ($1::text[]);

-- name: insert_audit_rows
-- In one statement for a whole batch.
INSERT INTO audit_log (
    sequence, audit_id, action, severity, actor, client_id, execution_id, recorded_at, content, hash
)
SELECT * FROM unnest(
    $1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::bytea[],
    $10::text[]
);

-- name: move_audit_head
-- To the last row of the batch.
UPDATE audit_head SET sequence = $1, hash = $2;

-- name: plan_audit_list_anew
-- A plan made once for all filters would use no index for any.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: list_audit_rows
-- Newest first, those before the sequence of the cursor.
SELECT sequence, audit_id, actor, recorded_at, content, hash FROM audit_log
WHERE ($1::text IS NULL OR action = $1) AND ($2::text IS NULL OR severity = $2) AND ($3::text IS NULL OR actor = $3)
    AND ($4::text IS NULL OR client_id = $4) AND ($5::text IS NULL OR execution_id = $5)
    AND ($6::timestamptz IS NULL OR recorded_at >= $6) AND ($7::timestamptz IS NULL OR recorded_at < $7)
    AND ($8::bigint IS NULL OR sequence < $8)
ORDER BY sequence DESC
LIMIT $9;

-- name: read_audit_chain
-- In order, behind one place, with the head as it is in the same snapshot: rows that are appended meanwhile cannot look like forged
-- ones. One row of empty columns when there is no further one.
SELECT audit_log.sequence, audit_id, action, severity, actor, client_id, execution_id, recorded_at, content, audit_log.hash,
       audit_head.sequence AS head_sequence, audit_head.hash AS head_hash
FROM audit_head LEFT JOIN audit_log ON audit_log.sequence > $1
ORDER BY audit_log.sequence
LIMIT $2;
