-- Facts of the account.
ALTER TABLE clients ADD COLUMN coins bigint NOT NULL DEFAULT 0 CHECK (coins >= 0);

-- One number for every change of any entry: of two values of one entry the one with the higher number holds, also after
-- a value was taken away and set again.
CREATE SEQUENCE configuration_revisions;

-- What is configured, and the number that it was set under.
CREATE TABLE configuration_values (
    -- The entry of the bucket that tells it. One entry may tell several values.
    entry      text NOT NULL,
    -- Names the value within its entry: a system key, a product's id; empty where the entry tells one value.
    item       text NOT NULL DEFAULT '',
    -- NULL for the factory's own.
    client_id  text REFERENCES clients,
    value      jsonb NOT NULL,
    version    bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- Whose key did it.
    updated_by text NOT NULL,
    PRIMARY KEY (entry, item),
    CHECK ((client_id IS NULL) = (entry = 'system'))
);

-- Which entries the bucket does not show as they are now.
CREATE TABLE configuration_pushes (
    entry           text PRIMARY KEY,
    revision        bigint NOT NULL,
    pushed_revision bigint NOT NULL DEFAULT 0
);

CREATE INDEX configuration_pushes_pending ON configuration_pushes (entry) WHERE pushed_revision < revision;

-- What was changed, from what to what: told to the audit log from here, and deleted a while after.
CREATE TABLE configuration_changes (
    change_id  text PRIMARY KEY,
    entry      text NOT NULL,
    item       text NOT NULL,
    client_id  text,
    -- NULL: it was not set before, or is not set any more. Without secrets.
    old_value  jsonb,
    new_value  jsonb,
    version    bigint NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    told_at    timestamptz
);

CREATE INDEX configuration_changes_untold ON configuration_changes (version) WHERE told_at IS NULL;
CREATE INDEX configuration_changes_told ON configuration_changes (told_at) WHERE told_at IS NOT NULL;

-- Tier and coins are a client's account, whoever changes them, and part of the entry of its profile.
CREATE FUNCTION push_profile() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO configuration_pushes (entry, revision)
    VALUES ('client.' || NEW.client_id || '.profile', nextval('configuration_revisions'))
    ON CONFLICT (entry) DO UPDATE SET revision = nextval('configuration_revisions');
    RETURN NULL;
END $$;

CREATE TRIGGER clients_push_profile AFTER INSERT OR UPDATE OF tier, coins ON clients
    FOR EACH ROW EXECUTE FUNCTION push_profile();

INSERT INTO configuration_pushes (entry, revision)
SELECT 'client.' || client_id || '.profile', nextval('configuration_revisions') FROM clients;
