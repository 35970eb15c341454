-- name: lock_slice
-- One replica writes about a slice at a time, until the end of its transaction; the other one waits and sees what it wrote.
SELECT pg_advisory_xact_lock(hashtextextended($1, 0))

-- name: upsert_insight
-- A finding with the key of a pending recommendation brings that one up to date; it keeps its id and its age.
INSERT INTO optimization_insights (
    recommendation_id, insight_key, worker_name, action, template, recommendation_type, description, parameter, current_value,
    recommended_value, expected_improvement, saving_usd, confidence_score, sample_size, evidence
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (insight_key) WHERE implementation_status = 'pending' DO UPDATE SET
    recommendation_type = excluded.recommendation_type,
    description = excluded.description,
    parameter = excluded.parameter,
    current_value = excluded.current_value,
    recommended_value = excluded.recommended_value,
    expected_improvement = excluded.expected_improvement,
    saving_usd = excluded.saving_usd,
    confidence_score = excluded.confidence_score,
    sample_size = excluded.sample_size,
    evidence = excluded.evidence,
    updated_at = now()

-- name: withdraw_insights
-- Pending recommendations about a slice that the newest look at the data no longer finds.
UPDATE optimization_insights
SET implementation_status = 'withdrawn', updated_at = now()
WHERE implementation_status = 'pending'
    AND worker_name = $1 AND action = $2 AND template = $3
    AND NOT insight_key = ANY ($4::text[])

-- name: withdraw_unobserved
-- Pending recommendations about slices without any attempt in the window: nothing supports them any more.
UPDATE optimization_insights AS insight
SET implementation_status = 'withdrawn', updated_at = now()
WHERE implementation_status = 'pending'
    AND NOT EXISTS (
        SELECT 1
        FROM worker_performance_log AS log
        WHERE log.worker_name = insight.worker_name
            AND log.action = insight.action
            AND log.template = insight.template
            AND log."timestamp" > now() - $1::interval
    )

-- name: list_pending_insights
-- Surest first.
SELECT
    recommendation_id, recommendation_type, description, confidence_score, parameter, current_value, recommended_value,
    expected_improvement, sample_size, implementation_status, created_at
FROM optimization_insights
WHERE implementation_status = 'pending' AND ($1::text IS NULL OR worker_name = $1)
ORDER BY confidence_score DESC, insight_key

-- name: delete_old_insights
-- In small batches, as attempts are. Pending ones stay: the data supports them.
WITH old AS MATERIALIZED (
    SELECT recommendation_id
    FROM optimization_insights
    WHERE implementation_status = 'withdrawn' AND updated_at < now() - $1::interval
    ORDER BY updated_at
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
DELETE FROM optimization_insights AS insight
USING old
WHERE insight.recommendation_id = old.recommendation_id
RETURNING 1
