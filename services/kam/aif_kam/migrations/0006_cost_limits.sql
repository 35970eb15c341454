-- What the execution may spend at AI providers, in US dollars; NULL for the operator's limit. Of a batch and of a schedule: each
-- of its executions.
ALTER TABLE client_requests ADD COLUMN max_cost_usd numeric(24, 12) CHECK (max_cost_usd > 0);
ALTER TABLE batches ADD COLUMN max_cost_usd numeric(24, 12) CHECK (max_cost_usd > 0);
ALTER TABLE schedules ADD COLUMN max_cost_usd numeric(24, 12) CHECK (max_cost_usd > 0);
