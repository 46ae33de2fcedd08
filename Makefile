# `make demo` and `make test` are all a newcomer needs. What they install goes to .venv, pinned by constraints.txt.

# The first of these that is 3.11 or 3.12 (numpy below 2, which nvidia-pytriton needs, has no wheels past that), else python3.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do $$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && exit; done; echo python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
# Arguments for the command behind a target: make demo ARGS=--keep, make pytest ARGS='-k config'
ARGS   ?=

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

.PHONY: help demo test lint format typecheck pytest bench proto install clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: $(VENV)/installed-demo ## a real Triton, the daemon, the proxy and a mixed load on this machine
	$(BIN)/headway demo $(ARGS)

test: lint typecheck pytest ## lint, types and all tests

lint: $(VENV)/installed-dev ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/installed-dev ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(VENV)/installed-dev ## mypy, strict
	$(BIN)/mypy

# What waits for servers shares the cores with its like only, after the rest; what measures time, or has Tritons, runs alone,
# and what fails of it runs once more: real clocks and processes are late at times when others take the cores.
SERVERS := tests/conformance tests/envoy
ALONE   := tests/faults tests/link tests/loopback tests/triton
OTHERS   = $(filter-out $(SERVERS) $(ALONE) tests/__pycache__,$(patsubst %/,%,$(wildcard tests/*/)))

pytest: $(VENV)/installed-dev ## the tests alone; with ARGS one run of pytest with these
ifeq ($(ARGS),)
	$(BIN)/python -m pytest -n logical --dist loadfile $(OTHERS)
	$(BIN)/python -m pytest -n logical --dist loadfile $(SERVERS)
	$(BIN)/python -m pytest $(ALONE) || $(BIN)/python -m pytest --last-failed --last-failed-no-failures none $(ALONE)
else
	$(BIN)/python -m pytest $(ARGS)
endif

bench: $(VENV)/installed-dev ## the benchmarks: make bench ARGS='overhead --quick'
	$(BIN)/python -m ops.bench $(ARGS)

proto: $(VENV)/installed-dev ## make proxy/pb again from proto/
	$(BIN)/python -m tests.architecture.stubs --write

install: $(VENV)/installed-dev ## everything for development into .venv

clean: ## remove .venv and what tools left behind
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "headway needs Python 3.11 or later; '$(PYTHON)' is: $$($(PYTHON) --version 2>&1 || true)" >&2; \
	  echo "Name another one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-demo: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e '.[demo]'
	@touch $@

# The development set holds the demo's, so its stamp counts for both.
$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/installed-demo
