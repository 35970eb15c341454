-- name: insert_pipeline
-- A version never changes: an existing one is left alone, and its digest tells whether it is the same.
INSERT INTO pipelines (owner, name, version, digest, definition) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (owner, name, version) DO NOTHING
RETURNING true;

-- name: find_pipeline_digest
-- To compare with a definition of the same name and version.
SELECT digest FROM pipelines WHERE owner = $1 AND name = $2 AND version = $3;

-- name: is_factory_name
-- A name of the factory's is not for clients: they would hide it from themselves. Who had the name first may go on using it.
SELECT EXISTS (SELECT 1 FROM pipelines WHERE owner = '' AND name = $1)
    AND NOT EXISTS (SELECT 1 FROM pipelines WHERE owner = $2 AND name = $1);

-- name: list_unknown_pipelines
-- What a replica does not know yet. By ids and not by the highest one: a lower id may be committed after a higher one. The two
-- sets are sorted or hashed; to compare each row with each of the known ids would grow with the square of what is stored.
SELECT pipeline_id, owner, digest, definition, created_at FROM pipelines
WHERE pipeline_id IN (SELECT pipeline_id FROM pipelines EXCEPT SELECT unnest($1::bigint[]))
ORDER BY pipeline_id
LIMIT $2;

-- name: list_pipeline_versions
-- Names and versions that somebody may see: for $1 all of them, else a client's and the factory's.
SELECT pipeline_id, owner, name, version FROM pipelines
WHERE ($1 OR owner IN ($2, '')) AND ($3::text IS NULL OR name = $3);

-- name: read_pipelines
-- By ids, for one page.
SELECT pipeline_id, owner, digest, definition, created_at FROM pipelines WHERE pipeline_id = ANY ($1::bigint[]);
