-- name: find_end_of_events
-- Whether an execution has ended and how far its events go, without its state, of which a reader of events has no need. A client sees
-- its own; the operator, who gives no client, sees all.
SELECT ended_at IS NOT NULL AS has_ended,
       coalesce((
           SELECT last_sequence FROM execution_journal
           WHERE execution_journal.execution_id = executions.execution_id AND last_sequence IS NOT NULL
           ORDER BY version DESC, leg DESC LIMIT 1
       ), 0) AS last_sequence
FROM executions
WHERE execution_id = $1 AND ($2::text IS NULL OR client_id = $2);

-- name: list_events
-- The rows that hold the next so many numbers, and no others: a row may have hundreds of events, and numbers have no gaps. Of the
-- first and the last one the reader drops what lies outside.
SELECT events FROM execution_journal
WHERE execution_id = $1 AND last_sequence > $2 AND first_sequence - $2 <= $3 ORDER BY version, leg;
