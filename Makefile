# Every target makes .venv first when it is missing or older than the pins. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROFILE ?= smoke
# CPU builds of torch: taken from its own index where that can be reached and no NVIDIA GPU is seen (saves 3 GB).
TORCH_CPU ?= https://download.pytorch.org/whl/cpu
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install report test lint lab results bench clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.ready ## make .venv with the tested pins

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hepml-nb needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@if ! command -v nvidia-smi >/dev/null && curl -sfI --max-time 5 $(TORCH_CPU)/torch/ >/dev/null 2>&1; \
	then extra="--extra-index-url $(TORCH_CPU)"; fi; \
	set -x; $(PIP) install --quiet $$extra -c constraints.txt -e '.[test]'
	touch $@

report: $(VENV)/.ready ## execute the notebooks (PROFILE=smoke) and write report/index.html
	$(BIN)/hepml-nb report --profile $(PROFILE) --out report

test: $(VENV)/.ready lint ## run all tests
	HEPML_NB_THREADS=1 $(BIN)/python -m pytest -n $$(nproc) --dist worksteal

lint: $(VENV)/.ready ## ruff, mypy and the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

lab: $(VENV)/.ready ## open JupyterLab on the index
	$(BIN)/hepml-nb lab

results: $(VENV)/.ready ## rerun the committed tutorial results that have gone stale
	$(BIN)/hepml-nb results --refresh

bench: $(VENV)/.ready ## speed and quality side by side with peers
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean: ## remove what can be made again, except .venv and the data cache
	rm -rf report build dist .pytest_cache .mypy_cache .ruff_cache
