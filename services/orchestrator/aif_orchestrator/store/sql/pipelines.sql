-- name: insert_pipeline
-- A version never changes: an existing one is left alone, and its digest tells whether it is the same.
INSERT INTO pipelines (name, version, digest, definition) VALUES ($1, $2, $3, $4) ON CONFLICT (name, version) DO NOTHING;

-- name: find_pipeline_digest
-- To compare with a definition of the same name and version.
SELECT digest FROM pipelines WHERE name = $1 AND version = $2;

-- name: list_pipelines
-- All versions; executions keep the version that they started with.
SELECT definition FROM pipelines ORDER BY name, version;
