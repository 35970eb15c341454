-- name: find_budget
-- Of this month, with the operator's default where nobody has said anything. A month that has begun keeps its own copy.
SELECT asked.client_id, this_month.budget_window,
       coalesce(account.limit_usd, budgets.limit_usd, $2) AS limit_usd,
       coalesce(account.policy, budgets.policy, $3) AS policy,
       CASE WHEN account.client_id IS NOT NULL THEN account.energy_limit
            WHEN budgets.client_id IS NOT NULL THEN budgets.energy_limit
            ELSE $4::bigint END AS energy_limit,
       coalesce(account.spent_usd, 0) AS spent_usd, coalesce(account.reserved_usd, 0) AS reserved_usd,
       coalesce(account.energy_spent, 0) AS energy_spent, coalesce(account.energy_reserved, 0) AS energy_reserved,
       budgets.client_id IS NULL AS is_default, this_month.elapsed_share
FROM (SELECT $1::text AS client_id) AS asked
CROSS JOIN (
    SELECT to_char(utc, 'YYYY-MM') AS budget_window,
           CASE WHEN utc >= date_trunc('month', utc) + interval '1 day'
                THEN (extract(epoch FROM utc - date_trunc('month', utc))
                      / extract(epoch FROM date_trunc('month', utc) + interval '1 month' - date_trunc('month', utc)))::numeric
           END AS elapsed_share
    FROM (SELECT now() AT TIME ZONE 'UTC' AS utc) AS clock
) AS this_month
LEFT JOIN budgets ON budgets.client_id = asked.client_id
LEFT JOIN budget_windows AS account
    ON account.client_id = asked.client_id AND account.budget_window = this_month.budget_window;

-- name: list_budgets
-- Of every client that has a budget or an account of this month, by client.
SELECT asked.client_id, this_month.budget_window,
       coalesce(account.limit_usd, budgets.limit_usd, $3) AS limit_usd,
       coalesce(account.policy, budgets.policy, $4) AS policy,
       CASE WHEN account.client_id IS NOT NULL THEN account.energy_limit
            WHEN budgets.client_id IS NOT NULL THEN budgets.energy_limit
            ELSE $5::bigint END AS energy_limit,
       coalesce(account.spent_usd, 0) AS spent_usd, coalesce(account.reserved_usd, 0) AS reserved_usd,
       coalesce(account.energy_spent, 0) AS energy_spent, coalesce(account.energy_reserved, 0) AS energy_reserved,
       budgets.client_id IS NULL AS is_default, this_month.elapsed_share
FROM (
    SELECT to_char(utc, 'YYYY-MM') AS budget_window,
           CASE WHEN utc >= date_trunc('month', utc) + interval '1 day'
                THEN (extract(epoch FROM utc - date_trunc('month', utc))
                      / extract(epoch FROM date_trunc('month', utc) + interval '1 month' - date_trunc('month', utc)))::numeric
           END AS elapsed_share
    FROM (SELECT now() AT TIME ZONE 'UTC' AS utc) AS clock
) AS this_month
CROSS JOIN LATERAL (
    SELECT client_id FROM budgets WHERE client_id > $1
    UNION
    SELECT client_id FROM budget_windows WHERE budget_window = this_month.budget_window AND client_id > $1
    ORDER BY client_id
    LIMIT $2
) AS asked
LEFT JOIN budgets ON budgets.client_id = asked.client_id
LEFT JOIN budget_windows AS account
    ON account.client_id = asked.client_id AND account.budget_window = this_month.budget_window
ORDER BY asked.client_id;

-- name: save_budget
-- What is not said stays; nothing said yet means the operator's default.
INSERT INTO budgets (client_id, limit_usd, policy, energy_limit, changed_by)
VALUES ($1, $2, $3, CASE WHEN $4 THEN $5::bigint ELSE $7::bigint END, $6)
ON CONFLICT (client_id) DO UPDATE SET
    limit_usd = coalesce($2, budgets.limit_usd), policy = coalesce($3, budgets.policy),
    energy_limit = CASE WHEN $4 THEN $5::bigint ELSE budgets.energy_limit END,
    changed_at = clock_timestamp(), changed_by = $6;

-- name: apply_budget
-- To the month that is running; what lies above the new limit already is excess.
UPDATE budget_windows AS account
SET limit_usd = coalesce(budgets.limit_usd, $2), policy = coalesce(budgets.policy, $3), energy_limit = budgets.energy_limit,
    excess_usd = greatest(0, account.spent_usd + account.reserved_usd - coalesce(budgets.limit_usd, $2)),
    changed_at = clock_timestamp()
FROM budgets
WHERE budgets.client_id = $1 AND account.client_id = budgets.client_id
  AND account.budget_window = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM');

-- name: apply_defaults
-- The operator's, as they are now, to the running month of every client for whom nobody has said otherwise. In the order in which
-- others lock accounts.
WITH said AS MATERIALIZED (
    SELECT account.client_id, account.budget_window,
           coalesce(budgets.limit_usd, $1) AS limit_usd, coalesce(budgets.policy, $2) AS policy,
           CASE WHEN budgets.client_id IS NULL THEN $3::bigint ELSE budgets.energy_limit END AS energy_limit
    FROM budget_windows AS account
    LEFT JOIN budgets ON budgets.client_id = account.client_id
    WHERE account.budget_window = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')
    ORDER BY account.client_id
    FOR UPDATE OF account
)
UPDATE budget_windows AS account
SET limit_usd = said.limit_usd, policy = said.policy, energy_limit = said.energy_limit,
    excess_usd = greatest(0, account.spent_usd + account.reserved_usd - said.limit_usd),
    changed_at = clock_timestamp()
FROM said
WHERE account.client_id = said.client_id AND account.budget_window = said.budget_window
  AND (account.limit_usd, account.policy, account.energy_limit)
      IS DISTINCT FROM (said.limit_usd, said.policy, said.energy_limit);
