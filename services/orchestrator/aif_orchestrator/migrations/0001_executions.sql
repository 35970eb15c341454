-- The record of every execution: what is to be found and sorted by, and the journal of all that has happened to it.

-- Versions never change and are never deleted: an execution runs by the one that it started with.
CREATE TABLE pipelines (
    -- For replicas that ask which ones they do not know yet.
    pipeline_id bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    -- A client's own; '' for the factory's, which everybody may order.
    owner text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    digest text NOT NULL,
    definition bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, name, version)
);

CREATE TABLE executions (
    execution_id text PRIMARY KEY,
    client_id text NOT NULL,
    request_id text,
    template text NOT NULL,
    template_version text NOT NULL,
    status text NOT NULL CHECK (
        status IN (
            'scheduled', 'running', 'awaiting_approval', 'paused', 'compensating',
            'completed', 'partially_completed', 'failed', 'cancelled'
        )
    ),
    created_at timestamptz NOT NULL,
    ended_at timestamptz,
    -- When it needs attention if nothing happens before.
    wake_at timestamptz,
    -- Its id, its template and the texts among its parameters, in lower case: what a search looks into.
    searched text NOT NULL CHECK (length(searched) <= 500),
    CONSTRAINT ended_if_and_only_if_final
        CHECK ((status IN ('completed', 'partially_completed', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
    -- One that has ended wakes only while it still holds money for calls that may come to light.
    CONSTRAINT the_living_wake CHECK (ended_at IS NOT NULL OR wake_at IS NOT NULL)
    -- No foreign key to pipelines: none is ever deleted, and the check would have every new execution of a template lock the
    -- same row of it.
);
-- Written when it begins and when it ends, and in between only when it waits for something else than before. Dead versions are
-- cleared away long before a fifth of a large table is dead.
ALTER TABLE executions SET (
    fillfactor = 85,
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_vacuum_insert_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.02
);
-- What a step touches: the living alone, however many have ended.
CREATE INDEX executions_due ON executions (wake_at) WHERE wake_at IS NOT NULL;
-- A client's page; and a search among a client's own reads nothing but this index, whether it finds something or not.
CREATE INDEX executions_by_client ON executions (client_id, execution_id DESC) INCLUDE (searched);
-- Nearly all have completed, and any walk finds those; the few others are found by this.
CREATE INDEX executions_by_status ON executions (status, execution_id DESC) WHERE status <> 'completed';
CREATE INDEX executions_by_template ON executions (template, execution_id DESC);
CREATE INDEX executions_by_request ON executions (request_id) WHERE request_id IS NOT NULL;
-- Times in a list; and what is old enough to be deleted has begun before that, too.
CREATE INDEX executions_by_time ON executions (created_at);

-- What has happened, and what the pure core made of it (see store/journal.py). Rows are added and never changed, and no two
-- writers get the same version: who has worked from an older one writes nothing and begins anew.
CREATE TABLE execution_journal (
    execution_id text NOT NULL,
    version int NOT NULL CHECK (version >= 1),
    -- 1, and one more for every time that the execution was resumed after it had ended.
    leg int NOT NULL CHECK (leg >= 1),
    -- Whether the last of its events ends the leg.
    is_final boolean NOT NULL,
    -- Of its events, which are numbered without gaps; NULL when the change made none.
    first_sequence int,
    last_sequence int,
    events bytea,
    -- Whether the change is the whole state.
    is_whole boolean NOT NULL,
    -- NULL but in the last row of a version.
    change bytea,
    PRIMARY KEY (execution_id, version, leg),
    CONSTRAINT events_are_numbered CHECK (
        (events IS NULL) = (first_sequence IS NULL) AND (events IS NULL) = (last_sequence IS NULL)
        AND last_sequence >= first_sequence
    ),
    CONSTRAINT it_begins_whole CHECK (version > 1 OR is_whole OR change IS NULL)
);
ALTER TABLE execution_journal ALTER COLUMN events SET STORAGE EXTERNAL, ALTER COLUMN change SET STORAGE EXTERNAL;
ALTER TABLE execution_journal SET (
    toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
-- Each leg ends in one terminal state.
CREATE UNIQUE INDEX one_final_event ON execution_journal (execution_id, leg) WHERE is_final;

-- The newest version of an execution, and the changes that make it up: a whole state and what came after it.
CREATE FUNCTION newest_changes(wanted text) RETURNS TABLE (version int, changes bytea[]) LANGUAGE sql STABLE ROWS 1 AS $$
    SELECT max(journal.version), array_agg(journal.change ORDER BY journal.version)
    FROM execution_journal AS journal
    WHERE journal.execution_id = wanted
      AND journal.change IS NOT NULL
      AND journal.version >= (
          SELECT whole.version FROM execution_journal AS whole
          WHERE whole.execution_id = wanted AND whole.is_whole ORDER BY whole.version DESC LIMIT 1
      )
$$;

-- One row per ended attempt.
CREATE TABLE stage_attempts (
    execution_id text NOT NULL,
    stage_id text NOT NULL,
    attempt int NOT NULL CHECK (attempt >= 1),
    worker_name text NOT NULL,
    action text NOT NULL,
    success boolean NOT NULL,
    failure_code text,
    tokens_used bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost_usd numeric,
    execution_time_ms bigint NOT NULL,
    queue_time_ms bigint NOT NULL,
    model text,
    quality_score double precision,
    ended_at timestamptz NOT NULL,
    -- What is never searched: packet, grant, the report's words, finer figures (msgpack, see store/packed_attempts.py).
    account bytea NOT NULL,
    PRIMARY KEY (execution_id, stage_id, attempt),
    CONSTRAINT a_success_has_no_failure CHECK (success = (failure_code IS NULL))
);
ALTER TABLE stage_attempts SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

-- One row per provider call, whatever its end, kept for ever. No foreign key: a call is kept even when its execution is unknown.
CREATE TABLE provider_calls (
    call_key text PRIMARY KEY,
    execution_id text NOT NULL,
    client_id text NOT NULL,
    workspace_id text,
    stage_id text NOT NULL,
    attempt int NOT NULL,
    worker_name text NOT NULL,
    action text NOT NULL,
    capability text NOT NULL,
    provider text NOT NULL,
    model text NOT NULL,
    purpose text NOT NULL,
    reason text NOT NULL,
    fallback_from text,
    -- 'started' until its end is told; a row that stays so belongs to a worker that was lost.
    outcome text NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    audio_ms bigint NOT NULL,
    characters bigint NOT NULL,
    -- NULL when unknown, never 0 in its place.
    cost_usd numeric CHECK (cost_usd >= 0),
    upper_bound_usd numeric CHECK (upper_bound_usd >= 0),
    -- What the cost rests on: the provider's usage, an estimate, the provider's bill.
    basis text NOT NULL,
    price_version text,
    saved_usd numeric CHECK (saved_usd >= 0),
    saving text,
    response_id text,
    latency_ms bigint NOT NULL,
    error text,
    -- When it was first told of: as it was announced, or ended.
    booked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When somebody decided what it has cost, because no answer had told; and why so.
    settled_at timestamptz,
    settled_note text,
    CONSTRAINT settled_with_a_note CHECK ((settled_at IS NULL) = (settled_note IS NULL))
);
CREATE INDEX provider_calls_by_execution ON provider_calls (execution_id, call_key);
CREATE INDEX provider_calls_by_time ON provider_calls (booked_at);
-- What nobody knows the cost of.
CREATE INDEX provider_calls_in_doubt ON provider_calls (booked_at) WHERE cost_usd IS NULL;

-- What a client may spend in a month, where somebody has said so; for the others the operator's default holds.
CREATE TABLE budgets (
    client_id text PRIMARY KEY,
    limit_usd numeric CHECK (limit_usd >= 0),
    policy text CHECK (policy IN ('warn', 'soft_block', 'hard_block')),
    -- NULL for no limit of energy.
    energy_limit bigint CHECK (energy_limit >= 0),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_by text NOT NULL
);

-- One row per client and month, made by the first execution that costs something. The sums of ledger_entries, kept at hand: every
-- reservation is decided by this row, under its lock.
CREATE TABLE budget_windows (
    client_id text NOT NULL,
    -- As in 2026-11.
    budget_window text NOT NULL,
    limit_usd numeric NOT NULL CHECK (limit_usd >= 0),
    policy text NOT NULL CHECK (policy IN ('warn', 'soft_block', 'hard_block')),
    energy_limit bigint CHECK (energy_limit >= 0),
    spent_usd numeric NOT NULL DEFAULT 0,
    reserved_usd numeric NOT NULL DEFAULT 0,
    -- How far spent and reserved may lie above the limit without anybody having been admitted beyond it: because the limit was
    -- lowered, or a provider charged more than a call could cost.
    excess_usd numeric NOT NULL DEFAULT 0 CHECK (excess_usd >= 0),
    energy_spent bigint NOT NULL DEFAULT 0,
    energy_reserved bigint NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (client_id, budget_window),
    CONSTRAINT nobody_spends_beyond_the_limit CHECK (policy = 'warn' OR spent_usd + reserved_usd <= limit_usd + excess_usd)
);
ALTER TABLE budget_windows SET (fillfactor = 50);

-- Every reservation, charge and release, in money and in energy. Rows are added and never changed.
CREATE TABLE ledger_entries (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    client_id text NOT NULL,
    budget_window text NOT NULL,
    execution_id text NOT NULL,
    -- 'admission' for what had to fit into the budget, 'settlement' for the rest.
    kind text NOT NULL CHECK (kind IN ('admission', 'settlement')),
    spent_usd numeric NOT NULL,
    reserved_usd numeric NOT NULL,
    energy_spent bigint NOT NULL,
    energy_reserved bigint NOT NULL
);
CREATE INDEX ledger_entries_by_window ON ledger_entries (client_id, budget_window);
CREATE INDEX ledger_entries_by_execution ON ledger_entries (execution_id);
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER ledger_entries_are_final BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What a batch has moved. `refused` names the executions whose admission does not fit, with why; the caller then takes everything
-- back. Windows are locked in the order of their keys, so that two batches never wait for each other.
CREATE FUNCTION move_accounts(
    default_limit_usd numeric, default_policy text, default_energy_limit bigint,
    execution_ids text[], client_ids text[], windows text[], admissions boolean[],
    spent numeric[], reserved numeric[], spent_energy bigint[], reserved_energy bigint[],
    OUT refused_ids text[], OUT refused_codes text[]
) LANGUAGE plpgsql AS $$
DECLARE
    move record;
    account budget_windows%ROWTYPE;
    code text;
BEGIN
    refused_ids := '{}';
    refused_codes := '{}';
    INSERT INTO budget_windows (client_id, budget_window, limit_usd, policy, energy_limit)
    SELECT DISTINCT moved.client_id, moved.budget_window,
           coalesce(budgets.limit_usd, default_limit_usd), coalesce(budgets.policy, default_policy),
           CASE WHEN budgets.client_id IS NULL THEN default_energy_limit ELSE budgets.energy_limit END
    FROM unnest(client_ids, windows) AS moved (client_id, budget_window)
    LEFT JOIN budgets ON budgets.client_id = moved.client_id
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING;
    PERFORM 1 FROM budget_windows
    WHERE (budget_windows.client_id, budget_windows.budget_window) IN (SELECT * FROM unnest(client_ids, windows))
    ORDER BY budget_windows.client_id, budget_windows.budget_window
    FOR UPDATE;
    -- What only settles comes first: it may make room.
    FOR move IN
        SELECT * FROM unnest(execution_ids, client_ids, windows, admissions, spent, reserved, spent_energy, reserved_energy)
            AS moved (execution_id, client_id, budget_window, admission, spent, reserved, spent_energy, reserved_energy)
        ORDER BY admission, execution_id
    LOOP
        SELECT * INTO STRICT account FROM budget_windows
        WHERE budget_windows.client_id = move.client_id AND budget_windows.budget_window = move.budget_window;
        IF move.admission THEN
            code := CASE
                WHEN account.policy <> 'warn' AND account.spent_usd + move.spent + move.reserved > account.limit_usd
                    THEN 'budget_exceeded'
                WHEN account.policy <> 'warn'
                    AND account.spent_usd + account.reserved_usd + move.spent + move.reserved > account.limit_usd
                    THEN 'budget_reserved'
                WHEN account.energy_spent + account.energy_reserved + move.spent_energy + move.reserved_energy
                    > account.energy_limit
                    THEN 'insufficient_energy'
            END;
            IF code IS NOT NULL THEN
                refused_ids := refused_ids || move.execution_id;
                refused_codes := refused_codes || code;
                CONTINUE;
            END IF;
        END IF;
        UPDATE budget_windows
        SET spent_usd = spent_usd + move.spent, reserved_usd = reserved_usd + move.reserved,
            excess_usd = CASE WHEN move.admission THEN 0
                              ELSE greatest(0, spent_usd + move.spent + reserved_usd + move.reserved - limit_usd) END,
            energy_spent = energy_spent + move.spent_energy, energy_reserved = energy_reserved + move.reserved_energy,
            changed_at = clock_timestamp()
        WHERE budget_windows.client_id = move.client_id AND budget_windows.budget_window = move.budget_window;
        INSERT INTO ledger_entries (
            client_id, budget_window, execution_id, kind, spent_usd, reserved_usd, energy_spent, energy_reserved
        )
        VALUES (
            move.client_id, move.budget_window, move.execution_id,
            CASE WHEN move.admission THEN 'admission' ELSE 'settlement' END,
            move.spent, move.reserved, move.spent_energy, move.reserved_energy
        );
    END LOOP;
END
$$;

-- Messages that were decided together and wait to be published together: one row per batch (see store/outbox.py).
CREATE TABLE outbox (
    outbox_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    content bytea NOT NULL
);
-- Gone again within the second: nearly everything in it is dead, however few rows live.
ALTER TABLE outbox ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE outbox SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 2000, toast.autovacuum_vacuum_cost_delay = 0
);

-- Messages that nobody could process, each once, until a person has decided. Headers are JSON in bytes, because jsonb does not
-- hold every text.
CREATE TABLE dead_letters (
    dead_letter_id text PRIMARY KEY,
    position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    origin text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    found_by text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    deliveries int NOT NULL CHECK (deliveries >= 0),
    headers bytea NOT NULL,
    payload bytea NOT NULL,
    -- Of the whole message: above the payload's when only its beginning is kept.
    size_bytes int NOT NULL CHECK (size_bytes >= octet_length(payload)),
    execution_id text,
    client_id text,
    status text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'replayed', 'dismissed')),
    decided_at timestamptz,
    decided_by text,
    CONSTRAINT decided_by_somebody_at_some_time CHECK (
        (status = 'waiting') = (decided_at IS NULL) AND (status = 'waiting') = (decided_by IS NULL)
    )
);
CREATE INDEX dead_letters_waiting ON dead_letters (position DESC) WHERE status = 'waiting';
CREATE INDEX dead_letters_decided ON dead_letters (decided_at) WHERE decided_at IS NOT NULL;

-- What a batch hands over, row by row. Bytes come as one value for all rows; a row says where its own begin, and how many they are.
CREATE TYPE stored_version AS (execution_id text, version int);
CREATE TYPE new_execution AS (
    execution_id text, client_id text, request_id text, template text, template_version text, status text,
    created_ms bigint, ended_ms bigint, wake_ms bigint, searched text
);
CREATE TYPE relisted_execution AS (execution_id text, status text, ended_ms bigint, wake_ms bigint);
CREATE TYPE journal_entry AS (
    execution_id text, version int, leg int, is_final boolean, first_sequence int, last_sequence int,
    events_at int, events_size int, is_whole boolean, change_at int, change_size int
);
CREATE TYPE ended_attempt AS (
    execution_id text, stage_id text, attempt int, worker_name text, action text, success boolean, failure_code text,
    tokens_used bigint, prompt_tokens bigint, completion_tokens bigint, cost_usd numeric, execution_time_ms bigint,
    queue_time_ms bigint, model text, quality_score double precision, ended_at timestamptz, account_at int, account_size int
);

-- Everything that one batch decided, in one round trip: all of it is stored, or, when another writer was quicker with one of the
-- executions, nothing is, and `stale` names those. The clock is the only one that decides anything.
CREATE FUNCTION commit_batch(
    -- what the batch has worked from, changed or not
    checked stored_version[],
    begun new_execution[], relisted relisted_execution[], entries journal_entry[], ended ended_attempt[], bytes bytea,
    published_ids bigint[], outbox_content bytea,
    OUT stale text[], OUT outbox_row bigint, OUT at_ms bigint
-- Every row is found by its key, so that one plan is right for all batches, and for young and small tables as for large ones:
-- without these settings some statements would be planned anew each time, and others would read whole tables until the next
-- ANALYZE.
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    relisted_rows bigint;
    collected_rows bigint;
BEGIN
    at_ms := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    IF cardinality(checked) > 0 THEN
        SELECT array_agg(known.execution_id) INTO stale
        FROM unnest(checked) AS known
        WHERE EXISTS (
            SELECT FROM execution_journal AS newer
            WHERE newer.execution_id = known.execution_id AND newer.version = known.version + 1
        );
        IF stale IS NOT NULL THEN
            RETURN;
        END IF;
    END IF;
    IF cardinality(begun) > 0 THEN
        SELECT array_agg(new.execution_id) INTO stale
        FROM unnest(begun) AS new
        WHERE EXISTS (SELECT FROM executions WHERE executions.execution_id = new.execution_id);
        IF stale IS NOT NULL THEN
            RETURN;
        END IF;
        -- The folder of one that was deleted is its successor's from now on; but nobody stores anything where a collector deletes.
        WITH taken_over AS (
            DELETE FROM deleted_executions WHERE execution_id IN (SELECT new.execution_id FROM unnest(begun) AS new)
            RETURNING taken_at
        )
        SELECT count(taken_at) INTO collected_rows FROM taken_over;
        IF collected_rows > 0 THEN
            RAISE EXCEPTION 'the blobs of an older execution of this id are being deleted' USING ERRCODE = 'unique_violation';
        END IF;
        -- Its calls stay on the bill. Those of its successor have the same keys, and belong there, too.
        UPDATE provider_calls SET call_key = call_key || '~' || (extract(epoch FROM booked_at) * 1000000)::bigint
        WHERE execution_id IN (SELECT new.execution_id FROM unnest(begun) AS new);
        INSERT INTO executions (
            execution_id, client_id, request_id, template, template_version, status, created_at, ended_at, wake_at, searched
        )
        SELECT execution_id, client_id, request_id, template, template_version, status,
               to_timestamp(created_ms / 1000.0), to_timestamp(ended_ms / 1000.0), to_timestamp(wake_ms / 1000.0), searched
        FROM unnest(begun);
    END IF;
    IF cardinality(entries) > 0 THEN
        -- Two batches that share executions wait for each other and never deadlock, because rows come in id order; the second one
        -- breaks the primary key.
        INSERT INTO execution_journal (
            execution_id, version, leg, is_final, first_sequence, last_sequence, events, is_whole, change
        )
        SELECT execution_id, version, leg, is_final, first_sequence, last_sequence, substr(bytes, events_at, events_size),
               is_whole, substr(bytes, change_at, change_size)
        FROM unnest(entries);
    END IF;
    IF cardinality(relisted) > 0 THEN
        UPDATE executions AS old
        SET status = new.status, ended_at = to_timestamp(new.ended_ms / 1000.0), wake_at = to_timestamp(new.wake_ms / 1000.0)
        FROM unnest(relisted) AS new
        WHERE old.execution_id = new.execution_id;
        GET DIAGNOSTICS relisted_rows = ROW_COUNT;
        IF relisted_rows < cardinality(relisted) THEN
            RAISE EXCEPTION 'an execution was deleted meanwhile' USING ERRCODE = 'unique_violation';
        END IF;
    END IF;
    IF cardinality(ended) > 0 THEN
        INSERT INTO stage_attempts (
            execution_id, stage_id, attempt, worker_name, action, success, failure_code, tokens_used, prompt_tokens,
            completion_tokens, cost_usd, execution_time_ms, queue_time_ms, model, quality_score, ended_at, account
        )
        SELECT execution_id, stage_id, attempt, worker_name, action, success, failure_code, tokens_used, prompt_tokens,
               completion_tokens, cost_usd, execution_time_ms, queue_time_ms, model, quality_score, ended_at,
               substr(bytes, account_at, account_size)
        FROM unnest(ended);
    END IF;
    IF cardinality(published_ids) > 0 THEN
        DELETE FROM outbox WHERE outbox_id = ANY (published_ids);
    END IF;
    IF outbox_content IS NOT NULL THEN
        INSERT INTO outbox (content) VALUES (outbox_content) RETURNING outbox_id INTO outbox_row;
    END IF;
END
$$;
