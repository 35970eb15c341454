-- name: announce_sources
-- Before anything of them is stored, so that whatever lies in the blob store is known.
INSERT INTO loose_sources (source_id, client_id) SELECT unnest($1::text[]), $2;

-- name: insert_sources
-- Written last, when the parsed documents are stored: a row always has its bytes. One whose bytes are being deleted, because it
-- was on its way for a day, is left out.
WITH entered AS (
    DELETE FROM loose_sources WHERE source_id = ANY ($1::text[]) AND taken_at IS NULL RETURNING source_id
)
INSERT INTO sources (source_id, client_id, title, file_name, media_type, words, headings, characters, sha256, blob)
SELECT given.*
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::int[], $8::int[], $9::text[], $10::jsonb[])
    AS given (source_id, client_id, title, file_name, media_type, words, headings, characters, sha256, blob)
JOIN entered USING (source_id)
RETURNING source_id;

-- name: touch_sources
-- What is going to be ordered is not released meanwhile. Once an hour is enough, since none is released on the day of its last use.
UPDATE sources SET used_at = now()
WHERE source_id = ANY($1::text[]) AND client_id = $2 AND used_at < now() - interval '1 hour';

-- name: find_source_blobs
-- Only of the client's own sources; a foreign one is not there.
SELECT source_id, blob FROM sources WHERE source_id = ANY($1::text[]) AND client_id = $2;

-- name: release_unused_sources
-- Of the sources that nobody has used for so many days: those that no order and no schedule is about become loose. The others are
-- looked at again after as many days. Another gateway's chunk is skipped.
WITH old AS (
    SELECT source_id FROM sources
    WHERE used_at < now() - make_interval(days => $1)
    ORDER BY used_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
),
needed AS (
    SELECT source_id FROM old
    WHERE EXISTS (SELECT FROM client_requests WHERE client_requests.source_id = old.source_id)
       OR EXISTS (SELECT FROM schedules WHERE schedules.parameters ->> 'source' = old.source_id)
),
looked_at AS (
    UPDATE sources SET used_at = now() FROM needed WHERE sources.source_id = needed.source_id
),
released AS (
    DELETE FROM sources USING old
    WHERE sources.source_id = old.source_id AND old.source_id NOT IN (SELECT source_id FROM needed)
    RETURNING sources.source_id, sources.client_id
),
loosened AS (
    INSERT INTO loose_sources (source_id, client_id) SELECT source_id, client_id FROM released
)
SELECT count(*) FROM old;

-- name: take_loose_sources
-- Those that have been loose for a day, longer than any call lasts. One gateway's for an hour: if it dies over them, another one
-- takes them.
UPDATE loose_sources SET taken_at = now()
WHERE source_id IN (
    SELECT source_id FROM loose_sources
    WHERE since < now() - interval '24 hours' AND (taken_at IS NULL OR taken_at < now() - interval '1 hour')
    ORDER BY since
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING source_id, client_id;

-- name: forget_loose_sources
-- When their bytes are gone.
DELETE FROM loose_sources WHERE source_id = ANY ($1::text[]);
