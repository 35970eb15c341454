-- name: move_accounts
SELECT refused_ids, refused_codes FROM move_accounts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: list_blocked_clients
SELECT client_id
FROM budget_windows
WHERE budget_window = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')
  AND policy = 'hard_block' AND spent_usd + reserved_usd > limit_usd;
