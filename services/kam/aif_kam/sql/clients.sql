-- name: find_client
-- One that is disabled orders nothing any more; what it has ordered is still there to be seen.
SELECT client_id, tier, disabled_at IS NOT NULL AS is_disabled FROM clients WHERE client_id = $1;

-- name: keep_client
-- Idempotent, because every start of every replica does it.
INSERT INTO clients (client_id) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: lock_making_clients
-- One is made at a time, so that there are never more than there may be.
SELECT pg_advisory_xact_lock(hashtextextended('making clients', 0));

-- name: count_clients
-- Disabled ones included.
SELECT count(*) FROM clients;

-- name: insert_client
-- No row where there is one of that name.
INSERT INTO clients (client_id, tier) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING client_id;

-- name: list_clients
-- One by its id, or a page by their ids. The name stands in the profile.
SELECT c.client_id, c.tier, c.created_at, c.disabled_at, coalesce(p.value ->> 'display_name', '') AS display_name
FROM clients c LEFT JOIN configuration_values p ON p.entry = 'client.' || c.client_id || '.profile' AND p.item = ''
WHERE ($1::text IS NULL OR c.client_id = $1) AND ($2::text IS NULL OR c.client_id > $2)
  AND ($3::boolean IS NULL OR (c.disabled_at IS NOT NULL) = $3)
ORDER BY c.client_id LIMIT $4;

-- name: disable_client
-- No row where it is disabled already, or is not there.
UPDATE clients SET disabled_at = now() WHERE client_id = $1 AND disabled_at IS NULL RETURNING client_id;

-- name: enable_client
-- No row where it is enabled, or is not there.
UPDATE clients SET disabled_at = NULL WHERE client_id = $1 AND disabled_at IS NOT NULL RETURNING client_id;
