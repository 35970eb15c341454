-- Nearly all have completed, and any walk finds those; the few others are found by these: a client's own, and everybody's.
CREATE INDEX client_requests_of_client_by_status ON client_requests (client_id, status, request_id DESC)
    WHERE status <> 'completed';
CREATE INDEX client_requests_by_status ON client_requests (status, request_id DESC) WHERE status <> 'completed';
