-- Runs once, when the data volume is new: a role for each service, and a schema that only its role may use.
-- The passwords come from the environment of the server's container; psql reads them itself, so that no process list shows them.

\set ON_ERROR_STOP on
\getenv kam_password POSTGRES_KAM_PASSWORD
\getenv orchestrator_password POSTGRES_ORCHESTRATOR_PASSWORD
\getenv classifier_password POSTGRES_CLASSIFIER_PASSWORD

SELECT current_database() AS database \gset

BEGIN;

REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE ROLE kam LOGIN PASSWORD :'kam_password';
CREATE ROLE orchestrator LOGIN PASSWORD :'orchestrator_password';
CREATE ROLE classifier LOGIN PASSWORD :'classifier_password';

GRANT CONNECT, TEMPORARY ON DATABASE :"database" TO kam, orchestrator, classifier;

CREATE SCHEMA kam AUTHORIZATION kam;
CREATE SCHEMA orchestrator AUTHORIZATION orchestrator;
CREATE SCHEMA classifier AUTHORIZATION classifier;

ALTER ROLE kam IN DATABASE :"database" SET search_path = kam;
ALTER ROLE orchestrator IN DATABASE :"database" SET search_path = orchestrator;
ALTER ROLE classifier IN DATABASE :"database" SET search_path = classifier;

COMMIT;
