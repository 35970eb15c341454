-- name: insert_source
-- Written last, when the parsed document is stored: a row always has its bytes.
INSERT INTO sources (source_id, client_id, title, file_name, media_type, words, headings, characters, sha256, blob)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: find_source_blob
-- Only of the client's own sources; a foreign one is not there.
SELECT blob FROM sources WHERE source_id = $1 AND client_id = $2;
