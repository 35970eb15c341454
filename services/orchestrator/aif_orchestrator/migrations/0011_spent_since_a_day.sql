-- What the calls of each client have cost from a day on, from the totals of usage and what is not among them. The alerts' loop asks
-- for it all the time. The whole function sees the tables as its caller does.
CREATE FUNCTION spent_since(first_day date) RETURNS TABLE (client_id text, spent_usd numeric) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    -- As a value the planner knows how little lies behind it.
    mark timestamptz := (SELECT rolled_until FROM usage_mark);
    since timestamptz := first_day::timestamp AT TIME ZONE 'UTC';
BEGIN
    RETURN QUERY
    SELECT client_id, coalesce(sum(cost_usd), 0)
    FROM (
        SELECT client_id, cost_usd FROM usage_of_calls WHERE booked_on >= first_day
        UNION ALL
        SELECT calls.client_id, calls.cost_usd
        FROM (
            SELECT execution_id FROM executions WHERE created_at >= mark
            UNION
            SELECT execution_id FROM unrolled_executions
        ) AS live
        JOIN provider_calls AS calls USING (execution_id)
        WHERE booked_at >= since
        UNION ALL
        SELECT client_id, cost_usd FROM provider_calls AS calls
        WHERE booked_at >= greatest(since, mark)
          AND NOT EXISTS (SELECT FROM executions WHERE executions.execution_id = calls.execution_id)
          AND NOT EXISTS (SELECT FROM unrolled_executions WHERE unrolled_executions.execution_id = calls.execution_id)
    ) AS parts
    GROUP BY client_id;
END
$$;
