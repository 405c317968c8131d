# `make help` lists the targets. All of them work in .venv, which `make setup` builds from pinned versions.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip -qq --disable-pip-version-check
PINNED := -c constraints-dev.txt
JOBS   ?= 3
ARGS   ?=

# Tests run side by side: linear algebra that takes all cores in each of them would be many times slower.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench soak
.DELETE_ON_ERROR:

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  \033[1mmake %-7s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## build .venv with everything development needs

$(VENV)/.installed: pyproject.toml constraints-dev.txt | $(BIN)/python
	@echo "Installing honed and its development packages into $(VENV) (some minutes the first time) ..."
	@$(PIP) install $(PINNED) --editable '.[dev,torch]'
	@touch $@
	@echo "Done. Next: make demo, make test."

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "honed needs Python 3.11 or later; name one with: make PYTHON=python3.12 setup" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Python has no venv module here; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)

demo: setup ## tune a small network on handwritten digits
	@$(BIN)/python examples/digits.py $(ARGS)

test: setup ## run the tests (make test ARGS="-k storage")
	@$(ONE_THREAD) $(BIN)/python -m pytest tests -n $(JOBS) --dist worksteal $(ARGS)

check: setup ## lint, formatting, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup ## mend what the linter can mend by itself
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: $(VENV)/.installed-bench ## measure overhead and storage, beside other packages
	@$(BIN)/python benchmarks/overhead.py
	@$(BIN)/python benchmarks/storage.py

$(VENV)/.installed-bench: $(VENV)/.installed
	@$(PIP) install $(PINNED) --editable '.[bench]'
	@touch $@

soak: setup ## the tests that take many minutes
	@$(BIN)/python -m pytest tests -m soak --timeout 0 $(ARGS)
