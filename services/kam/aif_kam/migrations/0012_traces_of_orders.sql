-- Trace headers of the span that stored an order, for whoever puts it to the orchestrator when that span has ended.
ALTER TABLE client_requests ADD COLUMN trace_context jsonb;
