-- name: move_accounts
-- One round trip for all that a batch has moved; the function says how.
SELECT refused_ids, refused_codes FROM move_accounts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: list_blocked_clients
-- Those whose running work has to stop: their limit was lowered below what they hold.
SELECT client_id
FROM budget_windows
WHERE budget_window = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')
  AND policy = 'hard_block' AND spent_usd + reserved_usd > limit_usd;
