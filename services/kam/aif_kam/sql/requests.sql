-- name: insert_request
-- A request as it was made; a refused order is stored at once with its problem.
INSERT INTO client_requests (request_id, client_id, origin, request_type, message, urgency_level, workspace_id, status,
                             selected_template, problem)
VALUES ($1, $2, $3, 'pipeline_execution', $4, $5, $6, $7, $8, $9)
RETURNING *;

-- name: find_request
-- NULL as client is the operator, who sees every client's.
SELECT * FROM client_requests WHERE request_id = $1 AND ($2::text IS NULL OR client_id = $2);

-- name: lock_request
-- Two calls for one request wait for each other.
SELECT * FROM client_requests WHERE request_id = $1 AND ($2::text IS NULL OR client_id = $2) FOR UPDATE;

-- name: find_request_of_execution
-- Executions are ordered through requests only, so this is also the check whose an execution is.
SELECT * FROM client_requests WHERE execution_id = $1 AND ($2::text IS NULL OR client_id = $2);

-- name: list_requests
-- Newest first; ids are minted in order of time, so the last id of a page is the cursor of the next.
SELECT * FROM client_requests
WHERE ($1::text IS NULL OR client_id = $1) AND ($2::text IS NULL OR status = $2) AND ($3::text IS NULL OR request_id < $3)
ORDER BY request_id DESC LIMIT $4;

-- name: select_template
-- Only before the request is executed.
UPDATE client_requests
SET selected_template = $2, template_confidence_score = $3, status = 'template_selected', problem = NULL, updated_at = now()
WHERE request_id = $1 AND status IN ('created', 'template_selected')
RETURNING *;

-- name: mark_submitting
-- The execution's id is stored before anybody asks for it, so a lost answer is asked for again under the same id.
UPDATE client_requests
SET status = 'submitting', selected_template = $2, execution_id = $3, parameters = $4, parameters_digest = $5, problem = NULL,
    asked_at = now(), updated_at = now()
WHERE request_id = $1 AND status IN ('created', 'template_selected')
RETURNING *;

-- name: claim_submission
-- One asker at a time; one that died is followed by another after ten seconds.
UPDATE client_requests SET asked_at = now()
WHERE execution_id = $1 AND status = 'submitting' AND (asked_at IS NULL OR asked_at < now() - interval '10 seconds')
RETURNING *;

-- name: list_stuck_submissions
-- For the sweeper, oldest first.
SELECT execution_id FROM client_requests
WHERE status = 'submitting' AND (asked_at IS NULL OR asked_at < now() - interval '10 seconds')
ORDER BY asked_at NULLS FIRST LIMIT 200;

-- name: release_submission
-- Nobody is asking any more and the outcome is unknown.
UPDATE client_requests SET asked_at = NULL WHERE execution_id = $1 AND status = 'submitting';

-- name: mark_accepted
-- Only from submitting: events may have overtaken the answer.
UPDATE client_requests SET status = 'running', template_version = $2, asked_at = NULL, updated_at = now()
WHERE execution_id = $1 AND status = 'submitting';

-- name: mark_refused
-- A request made step by step goes back to its template, so that it can be mended and executed again.
UPDATE client_requests
SET status = CASE origin WHEN 'request' THEN 'template_selected' ELSE 'refused' END,
    execution_id = CASE origin WHEN 'request' THEN NULL ELSE execution_id END,
    completed_at = CASE origin WHEN 'request' THEN NULL ELSE now() END,
    problem = $2, asked_at = NULL, updated_at = now()
WHERE execution_id = $1 AND status = 'submitting';

-- name: mark_cancelled_before_execution
-- A request without an execution is cancelled here; the others by the orchestrator.
UPDATE client_requests SET status = 'cancelled', completed_at = now(), updated_at = now()
WHERE request_id = $1 AND status IN ('created', 'template_selected')
RETURNING *;

-- name: apply_progress
-- One statement for a batch of events; late ones change nothing.
UPDATE client_requests r
SET progress_percent = greatest(r.progress_percent, e.progress), last_sequence = e.sequence, updated_at = now()
FROM unnest($1::text[], $2::int[], $3::int[]) AS e(execution_id, sequence, progress)
WHERE r.execution_id = e.execution_id AND r.last_sequence < e.sequence AND r.status IN ('submitting', 'running');

-- name: apply_ending
-- Final states stay: an execution ends once. Its details are fetched afterwards.
UPDATE client_requests
SET status = $2, last_sequence = greatest(last_sequence, $3), totals = $4, total_tokens_used = $5, total_cost_usd = $6,
    deliverables = $7, problem = $8, progress_percent = CASE WHEN $2 IN ('completed', 'partially_completed') THEN 100 ELSE progress_percent END,
    completed_at = now(), updated_at = now(), checked_at = NULL
WHERE execution_id = $1 AND status IN ('submitting', 'running')
RETURNING client_id;

-- name: apply_view
-- What the orchestrator says is the truth; an ended request is never reopened.
UPDATE client_requests
SET status = CASE WHEN status IN ('submitting', 'running') THEN $2 ELSE status END,
    template_version = $3, progress_percent = greatest(progress_percent, $4), last_sequence = greatest(last_sequence, $5),
    totals = $6, total_tokens_used = $7, total_cost_usd = $8, deliverables = $9, detailed_metrics = $10,
    problem = coalesce($11, problem), completed_at = coalesce(completed_at, $12), checked_at = now(), updated_at = now()
WHERE execution_id = $1 AND status NOT IN ('refused', 'created', 'template_selected')
RETURNING *;

-- name: list_unsettled
-- Running ones that have been silent for a while, before ended ones whose details are still to be fetched.
SELECT execution_id FROM client_requests
WHERE (status = 'running' AND greatest(updated_at, coalesce(checked_at, updated_at)) < now() - make_interval(secs => $1))
   OR (status IN ('completed', 'partially_completed', 'failed', 'cancelled') AND detailed_metrics IS NULL AND execution_id IS NOT NULL
       AND (checked_at IS NULL OR checked_at < now() - make_interval(secs => $1)))
ORDER BY status <> 'running', updated_at LIMIT $2
FOR UPDATE SKIP LOCKED;

-- name: mark_checked
-- Also when nothing was learned, so that one unknown execution does not hold up the others.
UPDATE client_requests SET checked_at = now() WHERE execution_id = ANY($1::text[]);
