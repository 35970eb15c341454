-- A threshold is a share of a limit: where the operator sets another one within the month, its thresholds are new ones.
ALTER TABLE budget_alerts ADD COLUMN of_limit numeric;
-- In US dollars, or in units of energy. What was said of energy before this column was said of the limit that still stands.
UPDATE budget_alerts SET of_limit = CASE kind
    WHEN 'energy' THEN coalesce((
        SELECT energy_limit FROM budget_windows
        WHERE budget_windows.client_id = budget_alerts.client_id AND budget_windows.budget_window = budget_alerts.budget_window
    ), 0)
    ELSE limit_usd
END;
ALTER TABLE budget_alerts ALTER COLUMN of_limit SET NOT NULL;
ALTER TABLE budget_alerts DROP CONSTRAINT budget_alerts_pkey;
ALTER TABLE budget_alerts ADD PRIMARY KEY (client_id, budget_window, kind, threshold_percent, of_limit);
