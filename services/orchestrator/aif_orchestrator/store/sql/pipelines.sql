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
-- Of a name, those that somebody may see: for $1 everybody's, else a client's and the factory's.
SELECT pipeline_id, owner, name, version FROM pipelines WHERE ($1 OR owner IN ($2, '')) AND name COLLATE "C" = $3;

-- name: list_pipelines_behind
-- A client's and the factory's whose names come behind a name, so many of each and all further ones of the last name: the order of
-- versions is none that the database knows.
(
    SELECT pipeline_id, owner, name, version FROM pipelines
    WHERE owner = $1 AND name COLLATE "C" > $2
    ORDER BY name COLLATE "C" FETCH FIRST ($3::int) ROWS WITH TIES
)
UNION ALL
(
    SELECT pipeline_id, owner, name, version FROM pipelines
    WHERE owner = '' AND $1 <> '' AND name COLLATE "C" > $2
    ORDER BY name COLLATE "C" FETCH FIRST ($3::int) ROWS WITH TIES
);

-- name: list_everybodys_pipelines_behind
-- The same of all owners.
SELECT pipeline_id, owner, name, version FROM pipelines
WHERE name COLLATE "C" > $1
ORDER BY name COLLATE "C" FETCH FIRST ($2::int) ROWS WITH TIES;

-- name: find_pipeline_name
-- Of the last one of the page before.
SELECT name FROM pipelines WHERE pipeline_id = $1;

-- name: read_pipelines
-- By ids, for one page.
SELECT pipeline_id, owner, digest, definition, created_at FROM pipelines WHERE pipeline_id = ANY ($1::bigint[]);
