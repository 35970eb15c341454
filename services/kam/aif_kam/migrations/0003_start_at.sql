-- Not before this moment; NULL for at once.
ALTER TABLE client_requests ADD COLUMN start_at timestamptz;
