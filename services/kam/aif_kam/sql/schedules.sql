-- name: insert_schedule
-- Looked at when it is due.
INSERT INTO schedules (schedule_id, client_id, name, selected_template, parameters, cron, timezone, urgency_level, message,
                       workspace_id, overlap, max_cost_usd, template_version, next_at, look_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14);

-- name: find_schedule
-- NULL as client is the operator. How its last request goes is that request's own to tell.
SELECT s.*, r.execution_id AS last_execution_id, r.status AS last_request_status, r.problem AS last_request_problem
FROM schedules s LEFT JOIN client_requests r ON r.request_id = s.last_request_id
WHERE s.schedule_id = $1 AND ($2::text IS NULL OR s.client_id = $2);

-- name: list_schedules
-- Newest first, by cursor.
SELECT s.*, r.execution_id AS last_execution_id, r.status AS last_request_status, r.problem AS last_request_problem
FROM schedules s LEFT JOIN client_requests r ON r.request_id = s.last_request_id
WHERE ($1::text IS NULL OR s.client_id = $1) AND ($2::text IS NULL OR s.schedule_id < $2)
ORDER BY s.schedule_id DESC LIMIT $3;

-- name: replace_schedule
-- A due time that was being seen to is called off: whoever is at it finds no `firing_at` any more. Paused stays paused.
UPDATE schedules
SET name = $2, selected_template = $3, parameters = $4, cron = $5, timezone = $6, urgency_level = $7, message = $8,
    workspace_id = $9, overlap = $10, max_cost_usd = $11, template_version = $12, firing_at = NULL, last_problem = NULL,
    updated_at = now(), reckoned_at = now(), next_at = CASE WHEN paused_at IS NULL THEN $13::timestamptz END,
    look_at = CASE WHEN paused_at IS NULL THEN $13::timestamptz END
WHERE schedule_id = $1;

-- name: pause_schedule
-- Again is harmless.
UPDATE schedules
SET paused_at = coalesce(paused_at, now()), next_at = NULL, firing_at = NULL, look_at = NULL, updated_at = now()
WHERE schedule_id = $1;

-- name: resume_schedule
-- From now on: what was due in the meantime is not made up for. One that is not paused goes on as it is.
UPDATE schedules SET paused_at = NULL, next_at = $2, look_at = $2, updated_at = now(), reckoned_at = now()
WHERE schedule_id = $1 AND paused_at IS NOT NULL;

-- name: delete_schedule
-- Its requests stay.
DELETE FROM schedules WHERE schedule_id = $1;

-- name: lock_due_schedules
-- What another replica is looking at just now is left to it. Orders of a disabled client wait. When the clock was set back after
-- the next due time was reckoned, there may be one before it.
SELECT s.*, now() AS seen_at, reckoned_at > now() + interval '1 minute' AS is_set_back
FROM schedules s JOIN clients c USING (client_id)
WHERE (s.look_at <= now() OR s.look_at IS NOT NULL AND s.reckoned_at > now() + interval '1 minute') AND c.disabled_at IS NULL
ORDER BY s.look_at LIMIT $1 FOR UPDATE OF s SKIP LOCKED;

-- name: take_firing
-- Nobody else looks at it for so many seconds, unless the next one is due before. $5 is an earlier due time that it overtakes.
UPDATE schedules
SET firing_at = $2, next_at = $3, look_at = least($3, now() + make_interval(secs => $4)), reckoned_at = now(),
    last_outcome = CASE WHEN $5::timestamptz IS NULL THEN last_outcome ELSE 'missed' END,
    last_skipped_at = coalesce($5, last_skipped_at),
    skipped_count = skipped_count + ($5::timestamptz IS NOT NULL)::int
WHERE schedule_id = $1;

-- name: reckon_schedule
-- What is due next, when the clock was set back. What is being ordered for is still ordered unless its time is to come again.
UPDATE schedules
SET next_at = $2, reckoned_at = now(), firing_at = CASE WHEN firing_at <= now() THEN firing_at END,
    look_at = CASE WHEN firing_at <= now() THEN now() ELSE $2 END
WHERE schedule_id = $1;

-- name: mark_ordered
-- In the transaction that stores the order. No row when the due time was settled, overtaken or called off meanwhile.
UPDATE schedules
SET firing_at = NULL, look_at = next_at, last_outcome = 'ordered', last_fired_at = $2, last_request_id = $3, last_problem = NULL,
    fired_count = fired_count + 1
WHERE schedule_id = $1 AND firing_at = $2
RETURNING schedule_id;

-- name: mark_skipped
-- The execution before has not ended.
UPDATE schedules
SET firing_at = NULL, look_at = next_at, last_outcome = 'skipped', last_skipped_at = $2, skipped_count = skipped_count + 1
WHERE schedule_id = $1 AND firing_at = $2;

-- name: mark_firing_refused
-- It stays, and says why.
UPDATE schedules SET firing_at = NULL, look_at = next_at, last_outcome = 'refused', last_problem = $3
WHERE schedule_id = $1 AND firing_at = $2;

-- name: put_off_firing
-- Whom it needs is away: again soon, until the next one is due.
UPDATE schedules SET look_at = least(next_at, now() + make_interval(secs => $3)) WHERE schedule_id = $1 AND firing_at = $2;
