-- name: list_accounts_to_look_at
-- Of this month and of the one before, which executions that were admitted then are still charged to. Only accounts that may
-- have reached something: with half of a limit used, or a pace that does not last until the month's end.
SELECT account.client_id, account.budget_window, account.limit_usd, account.spent_usd, account.energy_limit,
       account.energy_spent, CASE WHEN account.budget_window = clock.this_month THEN clock.elapsed_share END AS elapsed_share,
       ARRAY(
           SELECT kind || ' ' || threshold_percent || ' ' || of_limit FROM budget_alerts
           WHERE budget_alerts.client_id = account.client_id AND budget_alerts.budget_window = account.budget_window
       ) AS raised
FROM (
    SELECT to_char(utc, 'YYYY-MM') AS this_month,
           to_char(utc - interval '1 month', 'YYYY-MM') AS last_month,
           CASE WHEN utc >= date_trunc('month', utc) + interval '1 day'
                THEN (extract(epoch FROM utc - date_trunc('month', utc))
                      / extract(epoch FROM date_trunc('month', utc) + interval '1 month' - date_trunc('month', utc)))::numeric
           END AS elapsed_share
    FROM (SELECT now() AT TIME ZONE 'UTC' AS utc) AS clock
) AS clock
JOIN budget_windows AS account ON account.budget_window IN (clock.this_month, clock.last_month)
WHERE (account.spent_usd > 0 AND account.spent_usd * 2 >= account.limit_usd)
   OR (account.energy_spent > 0 AND account.energy_spent * 2 >= account.energy_limit)
   OR (account.budget_window = clock.this_month AND account.spent_usd > account.limit_usd * clock.elapsed_share);

-- name: list_dear_weeks
-- Clients whose calls of this calendar week cost more than a mark, and of whom that was not said yet. The accounts tell
-- cheaply who cannot be among them.
SELECT client_id, week.name AS budget_window, bill.spent_usd
FROM (
    SELECT date_trunc('week', utc)::date AS begin, to_char(utc, 'IYYY-"W"IW') AS name,
           ARRAY[to_char(utc, 'YYYY-MM'), to_char(utc - interval '1 month', 'YYYY-MM')] AS months
    FROM (SELECT now() AT TIME ZONE 'UTC' AS utc) AS clock
) AS week
CROSS JOIN LATERAL (
    SELECT client_id FROM budget_windows
    WHERE budget_window = ANY (week.months)
    GROUP BY client_id
    HAVING sum(spent_usd) > $1
) AS spender
JOIN LATERAL spent_since(week.begin) AS bill USING (client_id)
WHERE bill.spent_usd > $1
  AND NOT EXISTS (
      SELECT FROM budget_alerts
      WHERE budget_alerts.client_id = spender.client_id AND budget_alerts.budget_window = week.name AND kind = 'weekly'
  );

-- name: insert_alert
-- Whoever gets the row back says it; another replica, or the next look, gets nothing.
INSERT INTO budget_alerts (
    client_id, budget_window, kind, threshold_percent, of_limit, alert_id, spent_usd, limit_usd, message, raised_at
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now())
ON CONFLICT DO NOTHING
RETURNING raised_at;

-- name: insert_alert_messages
-- In the transaction that stores the alerts, so that they leave if, and only if, that is committed.
INSERT INTO outbox (content) VALUES ($1) RETURNING outbox_id;

-- name: list_alerts
-- Of a month; a week's belong to the month in which they were raised.
SELECT alert_id, client_id, kind, budget_window, threshold_percent, spent_usd, limit_usd, message, raised_at
FROM budget_alerts
WHERE client_id = ANY ($1::text[])
  AND (budget_window = $2 OR (kind = 'weekly' AND to_char(raised_at AT TIME ZONE 'UTC', 'YYYY-MM') = $2))
ORDER BY client_id, raised_at, kind, threshold_percent;
