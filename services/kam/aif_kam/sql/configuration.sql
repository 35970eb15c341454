-- name: begin_configuration_change
-- Locks the entry, so that its changes come one after another and in the order of their numbers.
INSERT INTO configuration_pushes (entry, revision) VALUES ($1, nextval('configuration_revisions'))
ON CONFLICT (entry) DO UPDATE SET revision = nextval('configuration_revisions')
RETURNING revision;

-- name: find_configuration_value
-- As people see it.
SELECT entry, item, client_id, value, version, created_at, updated_at, updated_by FROM configuration_values
WHERE entry = $1 AND item = $2;

-- name: list_configuration_values
-- All that one entry of the bucket tells, oldest first.
SELECT entry, item, client_id, value, version, created_at, updated_at, updated_by FROM configuration_values
WHERE entry = $1 ORDER BY created_at, item;

-- name: list_entries_like
-- A client's workspaces: each is an entry of its own.
SELECT entry, item, client_id, value, version, created_at, updated_at, updated_by FROM configuration_values
WHERE client_id = $1 AND starts_with(entry, $2) ORDER BY created_at, entry;

-- name: upsert_configuration_value
-- The time of its making stays.
INSERT INTO configuration_values (entry, item, client_id, value, version, updated_by) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (entry, item) DO UPDATE SET value = $4, version = $5, updated_by = $6, updated_at = now()
RETURNING entry, item, client_id, value, version, created_at, updated_at, updated_by;

-- name: delete_configuration_value
-- The number of its last change stays with the entry.
DELETE FROM configuration_values WHERE entry = $1 AND item = $2;

-- name: insert_configuration_change
-- In the transaction of the change, so that none is left untold.
INSERT INTO configuration_changes (change_id, entry, item, client_id, old_value, new_value, version, changed_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: find_account
-- Facts of the account, for the profile.
SELECT client_id, tier, coins FROM clients WHERE client_id = $1;

-- name: lock_account
-- Two changes of it come one after another. Whoever stores what refers to the client does not wait.
SELECT client_id, tier, coins FROM clients WHERE client_id = $1 FOR NO KEY UPDATE;

-- name: update_account
-- A trigger has the profile pushed.
UPDATE clients SET tier = $2, coins = $3 WHERE client_id = $1;

-- name: lock_configuration_pushing
-- One gateway pushes at a time: a slower one would put an older value over a newer one.
SELECT pg_advisory_xact_lock(hashtextextended('configuration_pushes', 0));

-- name: list_pending_pushes
-- What the bucket does not show yet.
SELECT entry, revision FROM configuration_pushes WHERE pushed_revision < revision ORDER BY revision LIMIT $1;

-- name: mark_pushed
-- A change that came meanwhile stays pending.
UPDATE configuration_pushes p SET pushed_revision = done.revision
FROM unnest($1::text[], $2::bigint[]) AS done (entry, revision)
WHERE p.entry = done.entry;

-- name: push_everything_again
-- The bucket has lost its entries.
UPDATE configuration_pushes SET pushed_revision = 0 WHERE pushed_revision > 0;

-- name: list_pushes
-- For the comparison with the bucket.
SELECT entry, revision FROM configuration_pushes WHERE pushed_revision = revision;

-- name: push_again
-- Entries that the bucket does not show as they were written.
UPDATE configuration_pushes SET pushed_revision = 0 WHERE entry = ANY($1::text[]);

-- name: list_values_of_entries
-- Contents of entries that are to be pushed.
SELECT entry, item, client_id, value FROM configuration_values WHERE entry = ANY($1::text[]) ORDER BY created_at, item;

-- name: list_accounts
-- For profiles that are to be pushed.
SELECT client_id, tier, coins FROM clients WHERE client_id = ANY($1::text[]);

-- name: list_untold_changes
-- Oldest first.
SELECT change_id, entry, item, client_id, old_value, new_value, version, changed_by, changed_at FROM configuration_changes
WHERE told_at IS NULL ORDER BY version LIMIT $1;

-- name: mark_changes_told
-- Telling twice is harmless: the audit log takes an id once.
UPDATE configuration_changes SET told_at = now() WHERE change_id = ANY($1::text[]);

-- name: delete_told_changes
-- The audit log has kept them since. A few at a time, so that no lock is held long.
DELETE FROM configuration_changes WHERE change_id IN (
    SELECT change_id FROM configuration_changes WHERE told_at < now() - make_interval(days => $1)
    ORDER BY told_at LIMIT 1000 FOR UPDATE SKIP LOCKED);
