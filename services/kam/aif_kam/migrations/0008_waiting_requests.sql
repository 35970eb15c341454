-- Orders that nobody sits and waits for are not refused when others have reserved what is left of their client's budget: they are
-- asked for again. Until `wait_until` they have no execution, so `asked_at` is NULL, and they can be cancelled here.
ALTER TABLE client_requests ADD COLUMN wait_until timestamptz;
CREATE INDEX client_requests_waiting ON client_requests (client_id, wait_until)
    WHERE status = 'submitting' AND wait_until IS NOT NULL;
