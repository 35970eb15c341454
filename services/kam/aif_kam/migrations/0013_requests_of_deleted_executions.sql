-- When the orchestrator was found to have deleted the execution of an ended request: whatever is not known of it by then, nobody will
-- tell.
ALTER TABLE client_requests ADD COLUMN execution_deleted_at timestamptz;

DROP INDEX client_requests_unsettled;
CREATE INDEX client_requests_unsettled ON client_requests (checked_at)
    WHERE status = 'running'
       OR (status IN ('completed', 'partially_completed', 'failed', 'cancelled') AND detailed_metrics IS NULL
           AND execution_deleted_at IS NULL);
DROP INDEX client_requests_of_unknown_cost;
CREATE INDEX client_requests_of_unknown_cost ON client_requests (checked_at)
    WHERE status IN ('completed', 'partially_completed', 'failed', 'cancelled') AND totals ->> 'cost_is_complete' = 'false'
      AND execution_deleted_at IS NULL;
