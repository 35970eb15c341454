# Every verb sets up what it needs on a fresh machine. `make` alone prints them.

SHELL := /bin/sh
PY := .venv/bin/python
READY := .venv/.ready
TESTS_READY := .venv/.ready-for-tests
MODEL_READY := .venv-llm/.ready
SOURCE ?= samples/beekeeping.md
KIND ?= course
# One more than the cores of a small machine: many tests wait for a process or a tick.
TEST_PROCESSES ?= 3

# What is set for other programs' Python is not for this one.
unexport PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help run order test check unit conformance integration e2e faults statement test-llm simulate bench image lock clean

help: ## print this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

# A folder that was moved or copied, or whose Python is gone, is set up anew: the programs in .venv name both.
ifneq ($(shell test -x .venv/bin/python && cat .venv/.place 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

$(READY): deploy/locks/run.lock deploy/locks/installer.lock pyproject.toml deploy/set_up.sh deploy/run_uv.py
	@sh deploy/set_up.sh run
	@touch $@

$(TESTS_READY): $(READY) deploy/locks/test.lock
	@sh deploy/set_up.sh test
	@touch $(READY) $@

$(MODEL_READY): $(READY) deploy/locks/llm.lock
	@.venv/bin/uv venv --quiet --clear --python .venv/bin/python .venv-llm
	@$(PY) deploy/run_uv.py pip sync --quiet --python .venv-llm/bin/python --require-hashes deploy/locks/llm.lock
	@touch $@

run: $(READY) ## everything on this machine: NATS, Postgres and all services; Ctrl-C stops it
	@exec .venv/bin/aif up

order: $(READY) ## one real order through a running factory (KIND=course|quiz SOURCE=file)
	@.venv/bin/aif order $(KIND) --source $(SOURCE) --watch

test: $(TESTS_READY) ## all that CI runs: check, unit, conformance, integration, end to end, short faults (TEST_PROCESSES=3)
	@$(MAKE) --no-print-directory check
	@$(PY) -m pytest tests -n $(TEST_PROCESSES) --dist worksteal

check: $(TESTS_READY) ## format, lint, import rules, types
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/lint-imports
	@.venv/bin/mypy

unit: $(TESTS_READY) ## tests without servers
	@$(PY) -m pytest tests/unit tests/architecture

conformance: $(TESTS_READY) ## the same tests over every adapter of a port
	@$(PY) -m pytest tests/conformance

integration: $(TESTS_READY) ## one service with real servers
	@$(PY) -m pytest tests/integration

e2e: $(TESTS_READY) ## all services as processes: HTTP in, deliverable out
	@$(PY) -m pytest tests/e2e

faults: $(TESTS_READY) ## the fault matrix over real processes, as a table with seeds
	@PYTHONPATH=tests $(PY) tests/faults/run.py

statement: $(TESTS_READY) ## 10,000 provider calls with all faults mixed: the ledger against the provider's bill, to the last token
	@PYTHONPATH=tests $(PY) tests/faults/bank_statement.py

test-llm: $(TESTS_READY) $(MODEL_READY) ## the AI layer over a real small language model (130 MB are installed for it)
	@AIF_TEST_LLM_PYTHON=.venv-llm/bin/python $(PY) -m pytest tests/llm

simulate: $(TESTS_READY) ## thousands of seeded histories of crashes and losses through the pure core
	@PYTHONPATH=tests $(PY) tests/simulation/run.py --seeds 20000

bench: $(TESTS_READY) ## workloads of executions beside a floor: throughput, latency, CPU, memory (ONLY=a,b,… | growth, REPEAT=3)
	@$(PY) tests/load/run.py $(if $(ONLY),--only $(ONLY)) $(if $(REPEAT),--repeat $(REPEAT))

image: ## container image of one service (SERVICE=kam|orchestrator|granulator|researcher|analyst|planner|classifier)
	@test -n "$(SERVICE)" || { echo "say which: make image SERVICE=kam"; exit 2; }
	docker build -f deploy/Dockerfile --build-arg SERVICE=$(SERVICE) -t ai-factory/$(SERVICE) .

lock: $(READY) ## write the lock files anew from pyproject.toml
	@sh deploy/lock.sh

clean: ## remove the virtual environment and caches; the data folder var/ stays
	rm -rf .venv .venv-llm .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
