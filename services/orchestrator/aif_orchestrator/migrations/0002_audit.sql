-- The audit log: rows are added and never changed, each sealed together with the seal of the row before it.

CREATE TABLE audit_log (
    sequence bigint PRIMARY KEY CHECK (sequence >= 1),
    audit_id text NOT NULL UNIQUE,
    action text NOT NULL,
    severity text NOT NULL,
    actor text NOT NULL,
    client_id text,
    execution_id text,
    recorded_at timestamptz NOT NULL,
    -- The bytes that are sealed: entry, sequence, time and the hash of the row before. The columns above repeat what searches need.
    content bytea NOT NULL,
    hash text NOT NULL CHECK (hash ~ '^[0-9a-f]{64}$')
);
CREATE INDEX audit_log_by_action ON audit_log (action, sequence DESC);
CREATE INDEX audit_log_by_client ON audit_log (client_id, sequence DESC) WHERE client_id IS NOT NULL;
CREATE INDEX audit_log_by_execution ON audit_log (execution_id, sequence DESC) WHERE execution_id IS NOT NULL;
CREATE INDEX audit_log_by_time ON audit_log (recorded_at);

-- The end of the chain. Who appends holds this row until the commit, so that rows get their places one after the other.
CREATE TABLE audit_head (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    sequence bigint NOT NULL,
    hash text NOT NULL
);
INSERT INTO audit_head (sequence, hash) VALUES (0, repeat('0', 64));

CREATE FUNCTION refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_log_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit();
CREATE TRIGGER audit_head_stays BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit();

-- The owner could give the rights back to itself, which is no accident any more; the seals show what was done then.
REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM CURRENT_USER;
REVOKE DELETE, TRUNCATE ON audit_head FROM CURRENT_USER;

-- For people and their tools.
CREATE VIEW audit_logs AS
SELECT sequence, action, body -> 'details' AS details, severity, body -> 'compliance' AS compliance,
       (body ->> 'occurred_at')::timestamptz AS "timestamp", actor, client_id, execution_id, recorded_at
FROM (
    SELECT *, convert_from(content, 'UTF8')::jsonb -> 'entry' AS body FROM audit_log
) AS sealed;
