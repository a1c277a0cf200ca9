# Thin names for the programs in tools/; each of them explains itself with --help.
PYTHON ?= python3

.PHONY: mutants universes .venv help bench demo demo-ui test test-faults test-cluster test-compose test-browser screenshots soak
.PHONY: docs check lint format lock upgrade size
.PHONY: clean setup release

help:
	@echo "make demo      the whole way once: simulator, Airflow, nightly backup, damage, restore"
	@echo "make demo-ui   the same, and leave Airflow's web interface running to look around"
	@echo "make test      everything, on Airflow 2.11 and 3.1 to 3.3 (sets up what it needs)"
	@echo "make test-cluster   the example DAGs on Celery, PostgreSQL and Redis, as in docker-compose.yml (part of make test)"
	@echo "make test-compose   docker-compose.yml in containers, a worker and a triggerer killed: 15 minutes, as root on Debian"
	@echo "make test-browser   a person in Airflow's web interface, with Chromium (part of make test)"
	@echo "make screenshots    the same, and take the pictures in docs/images anew"
	@echo "make soak      ten minutes of DAG runs with random faults: fails if anything leaks, is lost, or is there twice"
	@echo "make docs      the site of docs/ in build/site (part of make test)"
	@echo "make test-faults    each row of the fault matrix, as a table (the most telling cells are part of make test)"
	@echo "make universes      10,000 simulated nights for each operator: an hour to an hour and a half on two cores (part of make test: three minutes)"
	@echo "make mutants   change the pure rules one operator at a time: the unit tests must notice 85 % (not part of make test)"
	@echo "make check     the quick loop: lint, types, unit and contract tests"
	@echo "make bench     what it costs beside its peers and the floor; writes docs/benchmarks.md"
	@echo "make lint      ruff, mypy, import-linter        make format   let ruff format the code"
	@echo "make size      lines of code by package, without blank lines, comments and docstrings"
	@echo "make setup     only create .venv (Airflow 3.3)   make lock     write requirements/*.txt anew"
	@echo "make release   build and check both distributions, with an SBOM and notes, into dist/"
	@echo "make clean     remove environments, caches and what the demo left"

setup .venv:
	@$(PYTHON) tools/setup_env.py

demo: setup
	@.venv/bin/python tools/demo.py

demo-ui: setup
	@.venv/bin/python tools/demo.py --ui

test:
	@$(PYTHON) tools/run_tests.py

test-faults:
	@OAC_FAULTS=all $(PYTHON) tools/run_tests.py faults faults-2.11

universes: setup
	@.venv/bin/python -m tests.universes

mutants: setup
	@.venv/bin/python tools/mutants.py

test-cluster:
	@$(PYTHON) tools/run_tests.py cluster

test-compose:
	@$(PYTHON) tools/compose/run.py

test-browser:
	@$(PYTHON) tools/run_tests.py browser

screenshots:
	@$(PYTHON) tools/run_tests.py browser -- --screenshots docs/images

check:
	@$(PYTHON) tools/run_tests.py --quick

soak: setup
	@.venv/bin/python tools/soak.py

docs:
	@$(PYTHON) tools/run_tests.py docs

bench:
	@$(PYTHON) tools/setup_env.py bench
	@.venvs/bench/bin/python tools/bench/run.py

lint:
	@$(PYTHON) tools/run_tests.py lint

size:
	@$(PYTHON) tools/size.py

format: setup
	@.venv/bin/ruff check --fix . && .venv/bin/ruff format .

lock:
	@$(PYTHON) tools/setup_env.py --lock

upgrade:
	@$(PYTHON) tools/setup_env.py --lock --upgrade

clean:
	rm -rf .venv .venvs .airflow .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

release:
	@$(PYTHON) tools/setup_env.py airflow-3.3 docs
	@.venv/bin/python tools/release.py
