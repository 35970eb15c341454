-- name: find_key
-- One read per request, by the public part of the key; the caller compares the digest itself.
SELECT k.key_id, k.client_id, k.scope, k.digest, c.tier
FROM api_keys k LEFT JOIN clients c USING (client_id)
WHERE k.key_id = $1 AND k.revoked_at IS NULL AND c.disabled_at IS NULL;

-- name: find_client
-- One that is disabled orders nothing any more; what it has ordered is still there to be seen.
SELECT client_id, tier, disabled_at IS NOT NULL AS is_disabled FROM clients WHERE client_id = $1;

-- name: insert_client
-- Idempotent, because every start of every replica does it.
INSERT INTO clients (client_id) VALUES ($1) ON CONFLICT DO NOTHING;

-- name: upsert_key
-- The start-up keys are what the settings say, also after the pepper or a key was changed.
INSERT INTO api_keys (key_id, client_id, scope, digest) VALUES ($1, $2, $3, $4)
ON CONFLICT (key_id) DO UPDATE SET client_id = $2, scope = $3, digest = $4
WHERE (api_keys.client_id, api_keys.scope, api_keys.digest) IS DISTINCT FROM ($2, $3, $4);
