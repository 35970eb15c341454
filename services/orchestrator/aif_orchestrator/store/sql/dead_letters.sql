-- name: insert_dead_letters
-- A letter that is delivered again, to this or another replica, is the same row. Gives the new ones.
INSERT INTO dead_letters (
    dead_letter_id, origin, subject, reason, found_by, deliveries, headers, payload, size_bytes, execution_id, client_id
)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bytea[], $8::bytea[], $9::int[], $10::text[],
    $11::text[]
)
ON CONFLICT (dead_letter_id) DO NOTHING
RETURNING dead_letter_id;

-- name: list_dead_letters
-- Newest first, without their bytes. The cursor is the position of the last one of the page before.
SELECT dead_letter_id, position, origin, subject, reason, found_by, deliveries, size_bytes, execution_id, status, decided_by,
       (extract(epoch FROM found_at) * 1000)::bigint AS found_ms, (extract(epoch FROM decided_at) * 1000)::bigint AS decided_ms
FROM dead_letters
WHERE ($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR origin = $2) AND ($3::bigint IS NULL OR position < $3)
ORDER BY position DESC
LIMIT $4;

-- name: find_dead_letter
-- One with its bytes.
SELECT dead_letter_id, position, origin, subject, reason, found_by, deliveries, size_bytes, execution_id, status, decided_by,
       (extract(epoch FROM found_at) * 1000)::bigint AS found_ms, (extract(epoch FROM decided_at) * 1000)::bigint AS decided_ms,
       headers, payload
FROM dead_letters WHERE dead_letter_id = $1;

-- name: lock_dead_letter
-- As find_dead_letter, for one who is going to decide: two people at once decide one after the other.
SELECT dead_letter_id, position, origin, subject, reason, found_by, deliveries, size_bytes, execution_id, status, decided_by,
       (extract(epoch FROM found_at) * 1000)::bigint AS found_ms, (extract(epoch FROM decided_at) * 1000)::bigint AS decided_ms,
       headers, payload
FROM dead_letters WHERE dead_letter_id = $1 FOR UPDATE;

-- name: decide_dead_letter
-- Of one that is locked and waits. Gives the time of the decision.
UPDATE dead_letters SET status = $2, decided_by = $3, decided_at = clock_timestamp()
WHERE dead_letter_id = $1
RETURNING (extract(epoch FROM decided_at) * 1000)::bigint;

-- name: delete_decided_dead_letters
-- Those that wait for a person stay, however old.
DELETE FROM dead_letters WHERE dead_letter_id IN (
    SELECT dead_letter_id FROM dead_letters
    WHERE decided_at < now() - make_interval(days => $1) LIMIT $2
);
