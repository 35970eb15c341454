-- name: find_key
-- One read per request, by the public part of the key; the caller compares the digest itself.
SELECT k.key_id, k.client_id, k.scope, k.digest,
       coalesce(k.last_used_at NOT BETWEEN now() - interval '1 hour' AND now(), true) AS use_is_unnoted
FROM api_keys k LEFT JOIN clients c USING (client_id)
WHERE k.key_id = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()) AND c.disabled_at IS NULL;

-- name: note_key_use
-- Once an hour for each key. Whoever is changing it, or noting the same, is not waited for.
UPDATE api_keys SET last_used_at = now()
WHERE key_id = (SELECT key_id FROM api_keys
                WHERE key_id = $1 AND coalesce(last_used_at NOT BETWEEN now() - interval '1 hour' AND now(), true)
                FOR NO KEY UPDATE SKIP LOCKED);

-- name: upsert_key
-- The start-up keys are what the settings say, also after the pepper or a key was changed. One that was made here keeps its scope,
-- and one that has ended stays so.
INSERT INTO api_keys (key_id, client_id, scope, digest) VALUES ($1, $2, $3, $4)
ON CONFLICT (key_id) DO UPDATE SET client_id = $2, scope = $3, digest = $4
WHERE (api_keys.client_id, api_keys.digest) IS DISTINCT FROM ($2, $4);

-- name: lock_keys_of
-- Changes of the keys of one client, or of the operator's, come one after another.
SELECT pg_advisory_xact_lock(hashtextextended('keys of ' || coalesce($1::text, '*'), 0));

-- name: count_active_keys
-- Of one client, or the operator's.
SELECT count(*) FROM api_keys
WHERE client_id IS NOT DISTINCT FROM $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now());

-- name: insert_key
-- Its digest alone; the key itself is shown to its maker and stored nowhere.
INSERT INTO api_keys (key_id, client_id, scope, digest, name, expires_at, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: find_api_key
-- As people see it; NULL as owner is the operator, who sees all.
SELECT key_id, client_id, scope, name, created_at, created_by, expires_at, last_used_at, revoked_at, replaced_by,
       expires_at <= now() AS is_expired
FROM api_keys WHERE key_id = $1 AND ($2::text IS NULL OR client_id = $2);

-- name: list_api_keys
-- A page, newest first; NULL as owner is the operator, who sees all. The cursor is the last key of the page before, of the same owner.
SELECT key_id, client_id, scope, name, created_at, created_by, expires_at, last_used_at, revoked_at, replaced_by,
       expires_at <= now() AS is_expired
FROM api_keys
WHERE ($1::text IS NULL OR client_id = $1)
  AND ($2::text IS NULL OR scope = $2)
  AND ($3::boolean IS NULL OR (revoked_at IS NULL AND coalesce(expires_at > now(), true)) = $3)
  AND ($4::text IS NULL OR (created_at, key_id) < (
      SELECT created_at, key_id FROM api_keys WHERE key_id = $4 AND ($1::text IS NULL OR client_id = $1)))
ORDER BY created_at DESC, key_id DESC LIMIT $5;

-- name: count_lasting_operator_keys
-- Besides this one: those that are good, and that no other one takes the place of.
SELECT count(*) FROM api_keys
WHERE scope = 'admin' AND key_id <> $1 AND revoked_at IS NULL AND replaced_by IS NULL
  AND (expires_at IS NULL OR expires_at > now());

-- name: revoke_key
-- For good.
UPDATE api_keys SET revoked_at = now() WHERE key_id = $1;

-- name: replace_key
-- It goes on for so long, and never longer than it would have; without such a time it is revoked, because the clock may be set back.
UPDATE api_keys
SET replaced_by = $2,
    revoked_at = CASE WHEN $3::double precision = 0 THEN now() END,
    expires_at = CASE WHEN $3 = 0 THEN expires_at ELSE least(expires_at, now() + make_interval(secs => $3)) END
WHERE key_id = $1;
