# Every target sets up .venv first where that is needed; `make setup` alone does only that.
# make train ARGS="--config.seed=1"   CONFIG=configs/other.py   PYTHON=/path/to/python3.12   WORKERS=8

.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
CONFIG ?= configs/potential.py
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest
RUN := runs/$(basename $(notdir $(CONFIG)))-$(shell date +%Y%m%d-%H%M%S)-$(shell echo $$$$)

.PHONY: help setup train test test-slow lint format notebooks docs peers clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-10s %s\n", $$1, $$2 }'

setup: ## Make .venv (instant when it is up to date)
	@.ci/setup

train: setup ## Train CONFIG in a fresh directory under runs/
	$(BIN)/equinet train --config=$(CONFIG) --workdir=$(RUN) $(ARGS)

test: setup ## Tests and doctests, without the slow ones
	$(PYTEST) -n $(WORKERS) --dist loadfile -m "not slow" --durations=25 tests equinet experiments $(ARGS)

test-slow: setup ## The slow tests alone
	$(PYTEST) -n $(WORKERS) --dist loadfile -m slow tests $(ARGS) || { code=$$?; \
		[ $$code = 5 ] && echo "no slow tests to run" || exit $$code; }

lint: setup ## Style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: setup ## Write the format and the safe fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: setup ## Run every notebook
	@if compgen -G "notebooks/*.ipynb" >/dev/null; then \
		$(PYTEST) --nbval-lax --nbval-current-env notebooks $(ARGS); \
	else echo "no notebooks to run"; fi

docs: setup ## Make the site in docs/_build/html; a warning is an error
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html $(ARGS)

peers: setup ## Make the environments of the libraries that benchmarks compare with
	bash experiments/benchmarks/make_peers.sh

clean: ## Remove caches and builds; .venv and runs/ stay
	rm -rf build dist docs/_build docs/api docs/notebooks .pytest_cache .ruff_cache .hypothesis
	find equinet experiments configs tests -name __pycache__ -type d -prune -exec rm -rf {} +
