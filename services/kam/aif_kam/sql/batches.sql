-- name: insert_batch
-- Together with its requests.
INSERT INTO batches (batch_id, client_id, selected_template, template_version, message, urgency_level, workspace_id, start_at,
                     max_cost_usd, total)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: insert_batch_requests
-- All in one statement, with the ids that their executions will have. `asked_at` is NULL until somebody first asks for them.
INSERT INTO client_requests (request_id, execution_id, parameters, parameters_digest, batch_index, client_id, origin, request_type,
                             message, urgency_level, workspace_id, status, selected_template, template_version, start_at,
                             max_cost_usd, batch_id, trace_context)
SELECT item.request_id, item.execution_id, item.parameters, item.digest, item.ordinality - 1, b.client_id, 'batch',
       'pipeline_execution', b.message, b.urgency_level, b.workspace_id, 'submitting', b.selected_template,
       b.template_version, b.start_at, b.max_cost_usd, b.batch_id, $6
FROM batches b, unnest($2::text[], $3::text[], $4::json[], $5::text[]) WITH ORDINALITY
     AS item(request_id, execution_id, parameters, digest, ordinality)
WHERE b.batch_id = $1;

-- name: list_batches
-- One by its id, or a page, newest first; NULL as client is the operator. What became of the requests is counted as they are now.
SELECT b.*, i.counts, i.percent, i.cost_usd, i.tokens, i.last_end
FROM batches b CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(g.status, g.items) AS counts, sum(g.percent)::bigint AS percent, sum(g.cost_usd) AS cost_usd,
           sum(g.tokens)::bigint AS tokens, max(g.last_end) AS last_end
    FROM (SELECT r.status, count(*) AS items, sum(r.total_cost_usd) AS cost_usd, sum(r.total_tokens_used) AS tokens,
                 sum(CASE WHEN r.status IN ('submitting', 'running') THEN r.progress_percent ELSE 100 END) AS percent,
                 max(r.completed_at) AS last_end
          FROM client_requests r WHERE r.batch_id = b.batch_id GROUP BY r.status) g) i
WHERE ($1::text IS NULL OR b.client_id = $1) AND ($2::text IS NULL OR b.batch_id = $2) AND ($3::text IS NULL OR b.batch_id < $3)
ORDER BY b.batch_id DESC LIMIT $4;

-- name: list_batch_items
-- In the order of the inputs, after the last one of the page before.
SELECT * FROM client_requests
WHERE batch_id = $1 AND ($2::text IS NULL OR status = $2) AND batch_index > $3
ORDER BY batch_index LIMIT $4;

-- name: has_batch_submissions
-- So that nobody is asked anything while there is nothing to do. One request that waits for its client's budget holds back the
-- client's others: they would be told the same.
SELECT EXISTS (
    SELECT 1 FROM client_requests
    WHERE status = 'submitting' AND batch_id IS NOT NULL AND nobody_asks(asked_at)
      AND NOT EXISTS (
          SELECT FROM client_requests AS waiting
          WHERE waiting.client_id = client_requests.client_id AND waiting.status = 'submitting'
            AND waiting.wait_until BETWEEN now() AND now() + interval '1 minute'));

-- name: claim_batch_submissions
-- A few that nobody has asked for, or nobody answered for; another replica takes the next ones.
UPDATE client_requests SET asked_at = now()
WHERE request_id IN (
    SELECT request_id FROM client_requests
    WHERE status = 'submitting' AND batch_id IS NOT NULL AND nobody_asks(asked_at)
      AND NOT EXISTS (
          SELECT FROM client_requests AS waiting
          WHERE waiting.client_id = client_requests.client_id AND waiting.status = 'submitting'
            AND waiting.wait_until BETWEEN now() AND now() + interval '1 minute')
    ORDER BY asked_at NULLS FIRST, request_id LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING *;

-- name: lock_batch_requests
-- In order of their executions, as everybody who locks several does.
SELECT 1 FROM client_requests WHERE batch_id = $1 AND status IN ('submitting', 'running') ORDER BY execution_id FOR UPDATE;

-- name: mark_batch_cancelled
-- Again is harmless.
UPDATE batches SET cancelled_at = coalesce(cancelled_at, now()) WHERE batch_id = $1;

-- name: cancel_unasked_of_batch
-- What nobody has asked for yet has no execution and gets none.
UPDATE client_requests SET status = 'cancelled', execution_id = NULL, completed_at = now(), updated_at = now()
WHERE batch_id = $1 AND status = 'submitting' AND asked_at IS NULL;

-- name: want_cancelled_of_batch
-- The others are the orchestrator's to cancel; one whose acceptance is unknown, as soon as it is known.
UPDATE client_requests SET cancel_at = now() WHERE batch_id = $1 AND status IN ('submitting', 'running');

-- name: claim_cancellations
-- Nobody else asks for a while.
UPDATE client_requests SET cancel_at = now() + interval '10 seconds'
WHERE request_id IN (
    SELECT request_id FROM client_requests
    WHERE cancel_at NOT BETWEEN now() AND now() + interval '20 seconds' AND status <> 'submitting'
    ORDER BY cancel_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING *;

-- name: settle_cancellation
-- The orchestrator has agreed, or it had ended before. A later resume is not cancelled again.
UPDATE client_requests SET cancel_at = NULL WHERE request_id = $1;
