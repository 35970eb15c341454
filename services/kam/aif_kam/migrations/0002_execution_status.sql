-- A `running` request may have an execution that is scheduled, paused, waiting for a person or being undone: people see it here.
-- The words are the orchestrator's, so no list of them stands here.
ALTER TABLE client_requests ADD COLUMN execution_status text;
