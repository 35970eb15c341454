-- name: insert_audit_entry
-- In the transaction of what was done, so that nothing is left untold.
INSERT INTO audit_entries (audit_id, entry) VALUES ($1, $2);

-- name: list_untold_entries
-- Oldest first.
SELECT audit_id, entry FROM audit_entries WHERE told_at IS NULL ORDER BY recorded_at, audit_id LIMIT $1;

-- name: mark_entries_told
-- Telling twice is harmless: the audit log takes an id once.
UPDATE audit_entries SET told_at = now() WHERE audit_id = ANY($1::text[]);

-- name: delete_told_entries
-- The audit log has kept them since. A few at a time, so that no lock is held long.
DELETE FROM audit_entries WHERE audit_id IN (
    SELECT audit_id FROM audit_entries WHERE told_at < now() - make_interval(days => $1)
    ORDER BY told_at LIMIT 1000 FOR UPDATE SKIP LOCKED);
