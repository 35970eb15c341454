-- name: list_events
-- Rows that hold a number above the one asked for. A row has few events, so the reader drops the ones before.
SELECT events FROM execution_journal
WHERE execution_id = $1 AND last_sequence > $2 ORDER BY version, leg LIMIT $3;
