-- name: insert_sources
-- Written last, when the parsed documents are stored: a row always has its bytes.
INSERT INTO sources (source_id, client_id, title, file_name, media_type, words, headings, characters, sha256, blob)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::int[], $8::int[], $9::text[],
                     $10::jsonb[]);

-- name: find_source_blobs
-- Only of the client's own sources; a foreign one is not there.
SELECT source_id, blob FROM sources WHERE source_id = ANY($1::text[]) AND client_id = $2;
