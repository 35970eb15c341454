-- name: delete_outbox
-- Published and confirmed.
DELETE FROM outbox WHERE outbox_id = ANY ($1::bigint[]);

-- name: lock_stale_outbox
-- Left behind by a replica that died between its commit and its publish; other relays skip what this one holds.
SELECT outbox_id, messages FROM outbox
WHERE created_at < now() - make_interval(secs => $1) AND NOT outbox_id = ANY ($2::bigint[])
ORDER BY outbox_id LIMIT 50 FOR UPDATE SKIP LOCKED;
