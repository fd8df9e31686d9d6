# Two commands do everything: `make demo` and `make test`. Both set up what they need in .venv.
PYTHON ?= python3
BIN := .venv/bin
# pytest workers; each uses one core
JOBS ?= 2
COMPILING := tests/models/test_compile.py tests/app/test_compile_programs.py

.PHONY: setup demo test test-slow lint format clean

setup: .venv/.done

.venv/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Trains on real handwritten digits and shows the result; goes on where it was stopped.
demo: setup
	$(BIN)/python scripts/train.py experiment=digits/quick

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo

# Shapes are checked at run time, except where torch.compile must see the code as it is.
test: lint
	OMP_NUM_THREADS=1 CTM_SHAPE_CHECKS=1 $(BIN)/python -m pytest tests -n $(JOBS) -m "not slow" $(COMPILING:%=--ignore %)
	OMP_NUM_THREADS=1 CTM_SHAPE_CHECKS=0 $(BIN)/python -m pytest $(COMPILING)

test-slow: setup
	$(BIN)/python -m pytest tests -m slow

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv build dist *.egg-info
