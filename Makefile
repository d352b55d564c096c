# `make train` and `make test` each work alone on a machine with Python >= 3.11, pip and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
ITERATIONS ?= 250
PYTEST_ARGS ?= -n 2

.PHONY: train test slow lint bench docs clean

# Modules are compiled when they are first imported, which most of what is installed never is.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[dev]"
	touch $@

train: $(VENV)/installed  ## train ESPO on SafetyReacher and meet its cost limit
	$(BIN)/espo train --task safety_reacher --backend spring --time-limit truncation --seed 0 --num-iterations $(ITERATIONS)

test: $(VENV)/installed  ## run the tests
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

slow: $(VENV)/installed  ## run the learning tests of minutes
	ESPO_TEST_OPTIMIZED=1 $(BIN)/python -m pytest -m slow

lint: $(VENV)/installed  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed  ## measure throughput and the cost of sample sizes
	$(BIN)/python experiments/benchmarks/sample_size.py
	$(BIN)/python experiments/benchmarks/throughput.py

docs: $(VENV)/installed  ## build the pages of docs/ into docs/_build
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
