-- name: drop_expired_key
-- A key is good for 24 hours, after that it may be used anew. One that was claimed and is neither answered nor bound to an
-- execution belongs to a call that is asking the orchestrator, or died at it: no question takes ten seconds. One that was
-- claimed at a time to come, since when the clock was set back, is not waited for.
DELETE FROM idempotency_keys
WHERE client_id = $1 AND key = $2
  AND (created_at < now() - interval '24 hours'
       OR status IS NULL AND execution_id IS NULL
          AND created_at NOT BETWEEN now() - interval '10 seconds' AND now() + interval '10 seconds');

-- name: claim_key
-- Of many calls with one key the first inserts; the others wait for its commit and then get no row.
INSERT INTO idempotency_keys (client_id, key, fingerprint) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING RETURNING key;

-- name: find_key_use
-- What the first call with this key was, and its answer if there is one.
SELECT fingerprint, execution_id, status, body FROM idempotency_keys
WHERE client_id = $1 AND key = $2 AND created_at >= now() - interval '24 hours';

-- name: bind_key_to_execution
-- The answer comes with the acceptance of this execution.
UPDATE idempotency_keys SET execution_id = $3 WHERE client_id = $1 AND key = $2;

-- name: release_key
-- Nothing came of the call, so it may be made again at once.
DELETE FROM idempotency_keys WHERE client_id = $1 AND key = $2 AND status IS NULL AND execution_id IS NULL;

-- name: answer_key
-- In the transaction of the effect, or after it when the effect is the orchestrator's. Then two calls may have asked: the first
-- was frozen until its claim was free again. A yes counts, whoever has got it: the no is one because the other was heard.
UPDATE idempotency_keys SET status = $3, body = $4
WHERE client_id = $1 AND key = $2 AND (status IS NULL OR status >= 400 AND $3 < 400);

-- name: answer_keys_of_execution
-- Whoever gets the orchestrator's answer writes it for the call that began it, which may have died meanwhile.
UPDATE idempotency_keys SET status = $2, body = $3 WHERE execution_id = $1 AND status IS NULL;

-- name: release_keys_of_execution
-- It was refused for now.
DELETE FROM idempotency_keys WHERE execution_id = $1 AND status IS NULL;

-- name: delete_expired_keys
-- A few at a time, so that no lock is held long.
DELETE FROM idempotency_keys WHERE ctid IN (
    SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '24 hours' LIMIT 1000);
