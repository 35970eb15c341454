-- What people need to tell keys apart, and when one ends. Those that are here have come out of the gateway's settings.
ALTER TABLE api_keys
    ADD COLUMN name         text NOT NULL DEFAULT 'bootstrap' CHECK (char_length(name) BETWEEN 1 AND 100),
    -- Who made it, as the audit log names them; NULL for the settings.
    ADD COLUMN created_by   text,
    -- It is good until then; NULL for ever.
    ADD COLUMN expires_at   timestamptz,
    -- Noted once an hour at most.
    ADD COLUMN last_used_at timestamptz,
    -- The key that was made in its place: this one goes on for a while, and is no key that somebody can rely on.
    ADD COLUMN replaced_by  text REFERENCES api_keys;

-- A client's key could do all but look after keys.
ALTER TABLE api_keys DROP CONSTRAINT api_keys_scope_check;
UPDATE api_keys SET scope = 'order' WHERE scope = 'client';
ALTER TABLE api_keys ADD CONSTRAINT api_keys_scope_check CHECK (scope IN ('read', 'order', 'manage', 'admin'));

CREATE INDEX api_keys_newest_first ON api_keys (created_at DESC, key_id DESC);
CREATE INDEX api_keys_of_client ON api_keys (client_id, created_at DESC, key_id DESC);

-- The operator's own calls are kept under a name that no client can have.
ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_client_id_fkey;

-- What the audit log has to be told, written in the transaction of what was done, and deleted a while after it was told.
CREATE TABLE audit_entries (
    audit_id    text PRIMARY KEY,
    entry       json NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    told_at     timestamptz
);

CREATE INDEX audit_entries_untold ON audit_entries (recorded_at, audit_id) WHERE told_at IS NULL;
CREATE INDEX audit_entries_told ON audit_entries (told_at) WHERE told_at IS NOT NULL;
