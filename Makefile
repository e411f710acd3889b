# Thin targets: each makes .venv, installs, and calls `tessera`.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATASET ?= hypersim
WORKERS ?= 2
OUT ?= out/$(DATASET)
DEMO ?= raw/$(DATASET)_demo
ENGINE ?= implicit
DATA ?= out/thuman2
ARGS ?=

.PHONY: setup shards demo train bench test lint

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[pipelines,train,s3,dev]"
	touch $@

shards: setup
	$(BIN)/tessera shards $(DATASET) $(if $(RAW),--raw $(RAW)) --out $(OUT) --workers $(WORKERS) $(ARGS)

demo: setup
	$(BIN)/tessera demo $(DATASET) --out $(DEMO) $(ARGS)

train: setup
	$(BIN)/tessera train $(ENGINE) --data $(DATA) $(ARGS)

bench: setup
	for name in $$($(BIN)/tessera bench list); do $(BIN)/tessera bench $$name || exit 1; done

test: setup
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p .types && ln -sfn .. .types/tessera
	cd .types && ../$(BIN)/mypy --config-file ../pyproject.toml -p tessera.datasets -p tessera.pipelines -p tessera.training -p tessera.validation -p tessera.commands -p tessera.benchmarks -m tessera.cli
