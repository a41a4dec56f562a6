# Everything the README promises, from a fresh clone: the first target that needs it makes the virtual environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
# Tests wait for real servers most of the time, so two at once share even two cores well; WORKERS= runs them one by one.
WORKERS ?= --numprocesses 2 --dist worksteal
.DEFAULT_GOAL := help

.PHONY: help demo test check picture train evaluate reproduce benchmark alarms-report chaos fuzz soak clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV), once (a few minutes)" >&2
	@$(BIN)/python -m pip install --quiet --editable '.[dev]' >&2
	@touch $@

## make demo ARGS="…"   a team of athletes, live, in this terminal
demo: $(STAMP)
	@$(BIN)/strapwatch demo $(ARGS)

## make test            all tests (real Mosquitto and Redis are used where they are installed)
test: $(STAMP)
	@$(BIN)/strapwatch prepare
	$(BIN)/python -m pytest $(WORKERS) $(ARGS)

## make check           ruff and strict mypy
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## make picture         draw docs/dashboard*.svg from a live demo
picture: $(STAMP)
	$(BIN)/python -m monitor.demo.picture docs $(ARGS)

## make train           train Grunet on DS1, write weights and card (needs recordings; resumes from build/training)
train: $(STAMP)
	$(BIN)/python -m models.train $(ARGS)

## make evaluate        score all mitdb and edb records there are (needs recordings)
evaluate: $(STAMP)
	$(BIN)/strapwatch evaluate mitdb edb $(ARGS)

## make reproduce       rebuild the paper's tables and figures (needs recordings; some seven hours of a core, resumes)
reproduce: $(STAMP)
	$(BIN)/strapwatch reproduce --page docs/reproduction.md $(ARGS)

## make benchmark       where the line's time goes, beside a peer, in one run
benchmark: $(STAMP)
	$(BIN)/python -m benchmarks.stages $(ARGS)

## make alarms-report  alarms over recordings, grave events and 150 h of training (resumes from build/alarms-report)
alarms-report: $(STAMP)
	$(BIN)/python -m benchmarks.alarms_report $(ARGS)

## make chaos           every kind of fault, long; writes docs/reports/chaos.json, docs/faults.md (resumes from build/chaos)
chaos: $(STAMP)
	$(BIN)/python -m benchmarks.faults.chaos $(ARGS)

## make fuzz            more than a million made-up inputs; writes docs/reports/fuzz.json (resumes from build/fuzz)
fuzz: $(STAMP)
	@$(BIN)/python -m pip install --quiet --editable '.[fuzz]' >&2
	$(BIN)/python -m benchmarks.faults.fuzz $(ARGS)

## make soak            an hour of 300 athletes with faults at random; writes docs/reports/soak.json
soak: $(STAMP)
	$(BIN)/python -m benchmarks.faults.soak $(ARGS)

## make clean           remove the virtual environment and caches
clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
