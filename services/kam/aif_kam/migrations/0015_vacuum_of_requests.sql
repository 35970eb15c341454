-- A request is written when it is made, accepted, ended and looked up, so each leaves dead versions. They are cleared away long
-- before a fifth of a large table is dead.
ALTER TABLE client_requests SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
