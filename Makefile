# `make demo` and `make test` work on a machine that has Python 3.11+, make and a package index: everything else is installed into .venv.
VENV := .venv
BIN := $(VENV)/bin
USABLE := $(shell for p in python3.13 python3.12 python3.11 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)

.PHONY: help install dev demo test test-full check format bench bench-peers clean

help:
	@echo "make demo       watch the loop close, end to end, on real images"
	@echo "make test       the tests (installs what they need)"
	@echo "make test-full  the tests and the long runs"
	@echo "make check      format, lint, types, import contracts"
	@echo "make bench      the benchmarks"
	@echo "make bench-peers  the other tools that the benchmarks measure beside everloop, each in .peers/<name>"

$(BIN)/python:
	@test -n "$(USABLE)" || { echo "everloop needs Python 3.11 or newer; none is on the PATH."; exit 1; }
	$(USABLE) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --group dev -e .
	@# Only the build without CUDA, which is not offered everywhere; the other one is gigabytes.
	@$(BIN)/python -m pip install --quiet "torch==2.13.0+cpu" "safetensors>=0.7,<0.9" 2>/dev/null \
		|| echo "No CPU build of torch here: the tests that need one are skipped."
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed
dev: $(VENV)/.dev

demo: $(VENV)/.installed
	$(BIN)/everloop demo

test: $(VENV)/.dev
	bash tests/mariadb.sh bash tests/postgres.sh $(BIN)/python -m pytest -n 2 --dist loadfile -m "not full"

test-full: $(VENV)/.dev
	bash tests/mariadb.sh bash tests/postgres.sh $(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed
	@for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark || exit 1; done

bench-peers: $(VENV)/.installed
	$(BIN)/python benchmarks/peers/install.py

clean:
	rm -rf $(VENV) .peers build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
