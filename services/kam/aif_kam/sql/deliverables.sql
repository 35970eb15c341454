-- name: insert_deliverables
-- The same ending is seen by event and by question.
INSERT INTO deliverables (deliverable_id, client_id, execution_id, name, media_type, blob)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[])
ON CONFLICT DO NOTHING;

-- name: find_deliverable
-- NULL as client is the operator.
SELECT execution_id, name, media_type, blob FROM deliverables WHERE deliverable_id = $1 AND ($2::text IS NULL OR client_id = $2);
