-- name: delete_outbox
-- Published and confirmed.
DELETE FROM outbox WHERE outbox_id = ANY ($1::bigint[]);

-- name: lock_stale_outbox
-- Left behind by a replica that died between its commit and its publish; other relays skip what this one holds. What was written
-- at a time that has not come, because the clock was set back, may be such, too: nobody waits for that time.
SELECT outbox_id, content FROM outbox
WHERE created_at NOT BETWEEN now() - make_interval(secs => $1) AND now() + make_interval(secs => $1)
  AND NOT outbox_id = ANY ($2::bigint[])
ORDER BY outbox_id LIMIT 50 FOR UPDATE SKIP LOCKED;

-- name: list_told_events
-- Of versions of executions, pair by pair; the legs of each in their order.
SELECT journal.execution_id, journal.version, journal.events
FROM unnest($1::text[], $2::int[]) AS told (execution_id, version)
JOIN execution_journal AS journal USING (execution_id, version)
ORDER BY journal.leg;
