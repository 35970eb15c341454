-- A call is announced and then ended, so each leaves a dead version. They are cleared away long before a fifth of a large table is dead.
ALTER TABLE provider_calls SET (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
