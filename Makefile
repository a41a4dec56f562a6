# Everything the README promises, from a fresh clone: the first target that needs it makes the virtual environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=

.PHONY: demo test check picture train clean help

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

## make demo ARGS="…"   a team of athletes, live, in this terminal
demo: $(STAMP)
	$(BIN)/strapwatch demo $(ARGS)

## make test            all tests (real Mosquitto and Redis are used where they are installed)
test: $(STAMP)
	$(BIN)/python -m pytest $(ARGS)

## make check           ruff and strict mypy
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## make clean           remove the virtual environment and caches
clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
