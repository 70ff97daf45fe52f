# netopsd: `make help` says what there is to make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
FOR    ?=

.DEFAULT_GOAL := help
.PHONY: help demo test venv lint fmt bench bench-poll peers lock clean

help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: venv ## the main job on a simulated network, about a minute; FOR=60 ends it by itself
	@$(BIN)/netopsd demo $(if $(FOR),--for $(FOR))

test: $(VENV)/.dev peers ## install what the tests need and run them all
ifdef PYTEST
	@$(BIN)/python -m pytest $(PYTEST)
else
	@$(BIN)/python -m pytest -q -m "not e2e and not bench" -n 2
	@$(BIN)/python -m pytest -q -m "e2e and not bench" -n 3 --dist loadfile --no-loadscope-reorder
	@$(BIN)/python -m pytest -q -m bench
endif

venv: $(VENV)/.run ## only the environment, from the hash-locked requirements

lint: $(VENV)/.dev ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fmt: $(VENV)/.dev ## format the code
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## measure against peers; QUICK=1 for under two minutes
	@$(BIN)/python -m tests.bench $(if $(QUICK),--quick) $(if $(JSON),--json $(JSON))

bench-poll: $(VENV)/.dev ## the polling row in full; JSON=FILE keeps the result
	@$(BIN)/python -m tests.bench poll $(if $(JSON),--json $(JSON))

peers: ## the Debian packages the tests talk to (as root, on Debian or Ubuntu)
	@.ci/peers

lock: $(VENV)/.dev ## renew the hash-locked requirements from pyproject.toml
	@.ci/lock

clean: ## remove the environment and what the tools left
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@.ci/venv $(PYTHON) $(VENV)

$(VENV)/.run: .ci/requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing the environment (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: .ci/requirements-dev.txt $(VENV)/.run
	@echo "installing the test tools (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/requirements-dev.txt
	@touch $@
