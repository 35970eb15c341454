-- What is timed below is due when its time is over, and also when it lies farther ahead than it is ever set: then the clock was
-- set back, and nobody waits for as long as it was ahead.

-- name: database_now
-- One clock for all gateways.
SELECT now();

-- name: insert_request
-- A request as it was made; a refused order is stored at once with its problem.
INSERT INTO client_requests (request_id, client_id, origin, request_type, message, urgency_level, workspace_id, status,
                             selected_template, problem, schedule_id)
VALUES ($1, $2, $3, 'pipeline_execution', $4, $5, $6, $7, $8, $9, $10)
RETURNING *;

-- name: find_request
-- NULL as client is the operator, who sees every client's.
SELECT * FROM client_requests WHERE request_id = $1 AND ($2::text IS NULL OR client_id = $2);

-- name: find_request_of_execution
-- Executions are ordered through requests only, so this is also the check whose an execution is.
SELECT * FROM client_requests WHERE execution_id = $1 AND ($2::text IS NULL OR client_id = $2);

-- name: plan_lists_by_their_values
-- A filter that is not given must cost nothing, which a plan made for all values cannot see. For one transaction.
SET LOCAL plan_cache_mode = force_custom_plan;

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
SET status = 'submitting', selected_template = $2, execution_id = $3, parameters = $4, parameters_digest = $5, start_at = $6,
    max_cost_usd = $7, template_version = $8, trace_context = $9, problem = NULL, asked_at = now(), updated_at = now()
WHERE request_id = $1 AND status IN ('created', 'template_selected')
RETURNING *;

-- name: claim_submission
-- One asker at a time; one that died is followed by another after ten seconds.
UPDATE client_requests SET asked_at = now()
WHERE execution_id = $1 AND status = 'submitting' AND nobody_asks(asked_at)
  AND (wait_until IS NULL OR wait_until NOT BETWEEN now() AND now() + interval '1 minute')
RETURNING *;

-- name: list_stuck_submissions
-- For the sweeper, oldest first; those of a batch last, which has its own part.
SELECT execution_id FROM client_requests
WHERE status = 'submitting' AND nobody_asks(asked_at)
  AND (wait_until IS NULL OR wait_until NOT BETWEEN now() AND now() + interval '1 minute')
ORDER BY batch_id IS NOT NULL, asked_at NULLS FIRST LIMIT 200;

-- name: release_submission
-- Nobody is asking any more and the outcome is unknown: not NULL, which means that nobody has ever asked. Free at once, and behind
-- those that have waited for longer.
UPDATE client_requests SET asked_at = now() - interval '10 seconds' WHERE execution_id = $1 AND status = 'submitting';

-- name: put_off_submission
-- The orchestrator has said no for now, so there is no execution; the next question comes when the time is over. One that its
-- batch wants cancelled is not asked for again.
UPDATE client_requests
SET asked_at = NULL, wait_until = now() + make_interval(secs => $2), problem = $3, updated_at = now(),
    status = CASE WHEN cancel_at IS NULL THEN status ELSE 'cancelled' END,
    execution_id = CASE WHEN cancel_at IS NULL THEN execution_id END,
    completed_at = CASE WHEN cancel_at IS NULL THEN completed_at ELSE now() END
WHERE execution_id = $1 AND status = 'submitting';

-- name: mark_accepted
-- Only from submitting: events may have overtaken the answer, and know more about the execution.
UPDATE client_requests
SET status = 'running', template_version = $2, execution_status = coalesce(execution_status, $3), asked_at = NULL,
    wait_until = NULL, problem = NULL, updated_at = now()
WHERE execution_id = $1 AND status = 'submitting';

-- name: mark_refused
-- A request made step by step goes back to its template, so that it can be mended and executed again.
UPDATE client_requests
SET status = CASE origin WHEN 'request' THEN 'template_selected' ELSE 'refused' END,
    execution_id = CASE origin WHEN 'request' THEN NULL ELSE execution_id END,
    completed_at = CASE origin WHEN 'request' THEN NULL ELSE now() END,
    template_version = CASE origin WHEN 'request' THEN NULL ELSE template_version END,
    problem = $2, asked_at = NULL, wait_until = NULL, updated_at = now()
WHERE execution_id = $1 AND status = 'submitting';

-- name: mark_cancelled_before_execution
-- A request without an execution is cancelled here; the others by the orchestrator. Why it was refused before is not why it ended.
UPDATE client_requests SET status = 'cancelled', execution_id = NULL, problem = NULL, completed_at = now(), updated_at = now()
WHERE request_id = $1 AND (status IN ('created', 'template_selected') OR (status = 'submitting' AND asked_at IS NULL))
RETURNING *;

-- name: lock_requests_of_executions
-- In order of id, so that two replicas never wait for each other in a circle.
SELECT 1 FROM client_requests WHERE execution_id = ANY($1::text[]) ORDER BY execution_id FOR UPDATE;

-- name: apply_news
-- One statement for the newest events of a batch; late ones change nothing. An ended request whose execution goes on has been
-- resumed: it runs again, and keeps its totals and deliverables until the next ending brings new ones.
UPDATE client_requests r
SET status = CASE r.status WHEN 'submitting' THEN 'submitting' ELSE 'running' END,
    execution_status = CASE WHEN n.told_by > r.last_sequence THEN n.told
                            WHEN r.status IN ('submitting', 'running') THEN r.execution_status
                            ELSE 'running' END,
    problem = NULL, detailed_metrics = NULL, completed_at = NULL,
    progress_percent = n.progress, last_sequence = n.sequence, updated_at = now()
FROM unnest($1::text[], $2::int[], $3::int[], $4::text[], $5::int[]) AS n(execution_id, sequence, progress, told, told_by)
WHERE r.execution_id = n.execution_id AND r.last_sequence < n.sequence
  AND r.status NOT IN ('created', 'template_selected', 'refused');

-- name: apply_ending
-- The newest ending counts: a resumed execution ends more than once. The details are fetched afterwards.
UPDATE client_requests
SET status = $2, execution_status = $2, last_sequence = $3, totals = $4, total_tokens_used = $5, total_cost_usd = $6,
    deliverables = $7, problem = $8, progress_percent = CASE WHEN $2 IN ('completed', 'partially_completed') THEN 100 ELSE progress_percent END,
    detailed_metrics = NULL, completed_at = now(), updated_at = now(), checked_at = NULL
WHERE execution_id = $1 AND last_sequence < $3 AND status NOT IN ('created', 'template_selected', 'refused')
RETURNING client_id;

-- name: apply_view
-- What the orchestrator says is the truth, unless newer events have overtaken it. What was learned of the same ending stays.
UPDATE client_requests
SET status = $2, execution_status = $13, template_version = $3, progress_percent = $4, last_sequence = $5,
    totals = $6, total_tokens_used = $7, total_cost_usd = $8, deliverables = $9, detailed_metrics = $10,
    problem = CASE WHEN last_sequence = $5 THEN coalesce($11, problem) ELSE $11 END,
    completed_at = CASE WHEN last_sequence = $5 THEN coalesce(completed_at, $12) ELSE $12 END,
    checked_at = now(), updated_at = now()
WHERE execution_id = $1 AND last_sequence <= $5 AND status NOT IN ('created', 'template_selected', 'refused')
RETURNING *;

-- name: mark_unsettled
-- Before a resume is asked for: should its answer and its events be lost, the next look at the request learns of it.
UPDATE client_requests SET detailed_metrics = NULL, checked_at = NULL, execution_deleted_at = NULL WHERE execution_id = $1;

-- name: mark_execution_deleted
-- Of an ended request alone: while it runs, an orchestrator that does not know its execution is a fault, and is asked again.
UPDATE client_requests SET execution_deleted_at = now()
WHERE execution_id = $1 AND status IN ('completed', 'partially_completed', 'failed', 'cancelled');

-- name: list_unsettled
-- Running ones that have been silent for a while (an hour while their start is still to come), before ended ones whose details are
-- still to be fetched, and, now and then, those whose cost is not known completely: no event tells of it after the ending. Of what the
-- orchestrator has deleted nothing more is to be learned.
SELECT execution_id FROM client_requests
WHERE (status = 'running' AND (
           greatest(updated_at, coalesce(checked_at, updated_at))
               < now() - CASE WHEN start_at > now() THEN interval '1 hour' ELSE make_interval(secs => $1) END
           OR greatest(updated_at, coalesce(checked_at, updated_at)) > now() + interval '1 minute'))
   OR (status IN ('completed', 'partially_completed', 'failed', 'cancelled') AND detailed_metrics IS NULL AND execution_id IS NOT NULL
       AND execution_deleted_at IS NULL
       AND (checked_at IS NULL OR checked_at NOT BETWEEN now() - make_interval(secs => $1) AND now() + interval '1 minute'))
   OR (status IN ('completed', 'partially_completed', 'failed', 'cancelled') AND totals ->> 'cost_is_complete' = 'false'
       AND execution_deleted_at IS NULL
       AND checked_at NOT BETWEEN now() - make_interval(secs => $1 * 20) AND now() + interval '1 minute')
ORDER BY status <> 'running', updated_at LIMIT $2
FOR UPDATE SKIP LOCKED;

-- name: mark_checked
-- Also when nothing was learned, so that one unknown execution does not hold up the others.
UPDATE client_requests SET checked_at = now() WHERE execution_id = ANY($1::text[]);
