-- Ended requests that have calls whose cost nobody knows yet; few, and looked for again and again.
CREATE INDEX client_requests_of_unknown_cost ON client_requests (checked_at)
    WHERE status IN ('completed', 'partially_completed', 'failed', 'cancelled') AND totals ->> 'cost_is_complete' = 'false';
