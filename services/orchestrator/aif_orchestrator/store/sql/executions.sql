-- name: read_executions
-- What a batch is worked from, with the version that its commit checks. The clock comes back even when nothing was found.
SELECT known.execution_id, known.wake_ms, known.version, known.changes, clock.at_ms
FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at_ms) AS clock
LEFT JOIN (
    SELECT execution_id, (extract(epoch FROM wake_at) * 1000)::bigint AS wake_ms, newest.version, newest.changes
    FROM executions
    CROSS JOIN LATERAL newest_changes(execution_id) AS newest
    WHERE execution_id = ANY ($1::text[])
) AS known ON true;

-- name: commit_batch
-- See the function: all or nothing, in one round trip. Rows come as text (see store/rows.py).
SELECT stale, outbox_row, at_ms FROM commit_batch(
    $1::text::stored_version[], $2::text::new_execution[], $3::text::relisted_execution[], $4::text::journal_entry[],
    $5::text::ended_attempt[], $6, $7::text::bigint[], $8
);

-- name: list_due_executions
-- Whatever wants attention now, the longest waiting first. `now()`, because an index is searched by what stands still only.
SELECT ARRAY(SELECT execution_id FROM executions WHERE wake_at <= now() ORDER BY wake_at LIMIT $1) AS execution_ids,
       (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at_ms;

-- name: list_sleeping_executions
-- Those that want attention later, but for a start at a time of day; by id, from the last one of the page before.
SELECT execution_id FROM executions
WHERE wake_at > now() AND status <> 'scheduled' AND execution_id > $1
ORDER BY execution_id LIMIT $2;

-- name: unroll_usage
-- See the function.
SELECT unroll_usage($1::text[]);

-- name: find_execution
-- A client sees its own; the operator, who gives no client, sees all.
SELECT newest.changes, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at_ms
FROM executions
CROSS JOIN LATERAL newest_changes(execution_id) AS newest
WHERE execution_id = $1 AND ($2::text IS NULL OR client_id = $2);

-- name: plan_lists_by_their_values
-- A filter that is not given must cost nothing, which a plan made for all values cannot see. For one transaction.
SET LOCAL plan_cache_mode = force_custom_plan;

-- name: list_executions
-- Newest first; ids sort by time. The cursor is the last id of the page before. Ids are picked first, so that indexes alone can
-- do it, and the journal is read only for what is shown.
SELECT page.execution_id, newest.changes, (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at_ms
FROM (
    SELECT execution_id
    FROM executions
    WHERE ($1::text IS NULL OR client_id = $1)
      AND ($2::text IS NULL OR status = $2)
      AND ($3::text IS NULL OR template = $3)
      AND ($4::text IS NULL OR request_id = $4)
      AND ($5::timestamptz IS NULL OR created_at >= $5)
      AND ($6::timestamptz IS NULL OR created_at < $6)
      AND ($7::text IS NULL OR searched LIKE $7)
      AND ($8::text IS NULL OR execution_id < $8)
    ORDER BY execution_id DESC
    LIMIT $9
) AS page
CROSS JOIN LATERAL newest_changes(page.execution_id) AS newest
ORDER BY page.execution_id DESC;

-- name: list_old_executions
-- Ended long enough ago; the oldest first, a chunk at a time. Whatever ended before a time was created before it, and that has an
-- index.
SELECT execution_id FROM executions
WHERE created_at < now() - make_interval(secs => $1)
  AND ended_at < now() - make_interval(secs => $1)
ORDER BY created_at
LIMIT $2;

-- name: lock_old_executions
-- Those among them that have not been resumed or deleted meanwhile, and that nobody works on.
SELECT execution_id FROM executions
WHERE execution_id = ANY ($2::text[]) AND ended_at < now() - make_interval(secs => $1)
FOR UPDATE SKIP LOCKED;

-- name: delete_executions
-- With what happened to them.
WITH old AS (
    SELECT unnest($1::text[]) AS execution_id
),
deleted_entries AS (
    DELETE FROM execution_journal USING old WHERE execution_journal.execution_id = old.execution_id
),
-- The bill stays, and with it what was spent on nothing.
marked_calls AS (
    UPDATE provider_calls SET attempt_failed = true
    FROM stage_attempts
    JOIN old USING (execution_id)
    WHERE NOT stage_attempts.success
      AND (provider_calls.execution_id, provider_calls.stage_id, provider_calls.attempt)
          = (stage_attempts.execution_id, stage_attempts.stage_id, stage_attempts.attempt)
),
deleted_attempts AS (
    DELETE FROM stage_attempts USING old WHERE stage_attempts.execution_id = old.execution_id
),
deleted AS (
    DELETE FROM executions USING old WHERE executions.execution_id = old.execution_id RETURNING executions.execution_id
),
-- Of most there are no calls that could be added to the totals of usage again.
forgotten AS (
    DELETE FROM unrolled_executions USING old
    WHERE unrolled_executions.execution_id = old.execution_id
      AND NOT EXISTS (SELECT FROM provider_calls WHERE provider_calls.execution_id = old.execution_id)
)
-- Their blobs go later, and nothing but this says that they may.
INSERT INTO deleted_executions (execution_id) SELECT execution_id FROM deleted
ON CONFLICT (execution_id) DO UPDATE SET deleted_at = now(), taken_at = NULL;

-- name: take_deleted_executions
-- Those deleted so many seconds ago, for one replica for so many seconds: a replica that dies over them leaves them to the others.
-- Whoever begins one anew under its id takes it off the table, or finds it taken and does not begin.
UPDATE deleted_executions SET taken_at = now()
WHERE execution_id IN (
    SELECT execution_id FROM deleted_executions
    WHERE deleted_at < now() - make_interval(secs => $1)
      AND (taken_at IS NULL OR taken_at < now() - make_interval(secs => $2))
    ORDER BY deleted_at
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
RETURNING execution_id;

-- name: forget_deleted_executions
-- When their blobs are gone.
DELETE FROM deleted_executions WHERE execution_id = ANY ($1::text[]);
