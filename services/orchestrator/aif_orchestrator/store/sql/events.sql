-- name: insert_events
-- One row per execution and step.
INSERT INTO execution_events (execution_id, first_sequence, last_sequence, is_final, events)
SELECT * FROM unnest($1::text[], $2::int[], $3::int[], $4::boolean[], $5::bytea[]);

-- name: list_events
-- Rows that hold a number above the one asked for. A row has few events, so the reader drops the ones before.
SELECT events, is_final FROM execution_events
WHERE execution_id = $1 AND last_sequence > $2 ORDER BY first_sequence LIMIT $3;
