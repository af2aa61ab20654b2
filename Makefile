# Needs Python 3.11, pip, git and make. docs/start.md has the commands of `run` and `test` for systems without make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.ONESHELL:
PYTHON ?= python3
BIN := .venv/bin
# Number of parallel test processes.
JOBS ?= 2
# Stages call `foalnet`, so the environment's programs come first on PATH.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false

.PHONY: help run serve test test-all fuzz lint format snapshots clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

.venv/.tested: .venv/.installed
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[test]'
	touch $@

# `foalnet mend` repairs dvc.lock and DVC's lock file if DVC was killed while it wrote one.
run: .venv/.installed  ## draw the small corpus, stage, train, evaluate; print the headline table and the report's path
	@test -e .git || $(BIN)/dvc config --local core.no_scm true
	$(BIN)/foalnet mend > /dev/null
	$(BIN)/foalnet run
	$(BIN)/foalnet show drawn

serve: .venv/.installed  ## run Prefect's server (loopback), worker and deployments until Ctrl-C; PORT=4200
	@exec $(BIN)/python -m flows.serve --port $(or $(PORT),4200)

test: .venv/.tested  ## run the tests except the long ones (under 10 minutes on 2 idle cores)
	@$(BIN)/python -m pytest -n $(JOBS) -m "not long"

test-all: .venv/.tested  ## run all tests, including the long ones (under 80 minutes)
	@$(BIN)/python -m pytest -n $(JOBS)

fuzz: .venv/.tested  ## send hostile input to every reader for SECONDS of CPU (3600); print the number of inputs
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),3600)

lint: .venv/.tested  ## run ruff and mypy
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/.tested  ## format the code with ruff
	@$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

snapshots: .venv/.tested  ## rewrite what tests compare: command help, params schema, docs/cli.md, docs/params.md, README's table
	@$(BIN)/python -m tests.snapshots

clean:  ## remove caches that can be rebuilt (work/); keep DVC's cache
	@rm -rf work .mypy_cache .ruff_cache .pytest_cache
