-- name: list_events
-- The rows that hold the next so many numbers, and no others: a row may have hundreds of events, and numbers have no gaps. Of the
-- first and the last one the reader drops what lies outside.
SELECT events FROM execution_journal
WHERE execution_id = $1 AND last_sequence > $2 AND first_sequence - $2 <= $3 ORDER BY version, leg;
