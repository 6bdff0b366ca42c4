# make verify   run the main job in a private environment (.venv)
# make quick    the first answer while working: the unit tests that need no framework
# make test     run all tests there
# make trainers  compare the presets with the trainers they are named for, installed beside it
# make proof  the figures at full size, into results/proof.md; resumable
# make check    format, lint, types, import rules, tests: what CI runs
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# In two processes, in the groups and the order that tests/conftest.py makes.
IN_TWO := --numprocesses 2 --dist loadgroup --no-loadscope-reorder
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: verify quick test trainers proof check lint format clean

verify: $(VENV)/.user
	$(BIN)/xframe verify

test: $(VENV)/.test
	$(BIN)/python -m pytest $(IN_TWO)

quick: $(VENV)/.test
	$(BIN)/python -m pytest $(IN_TWO) --quick -rfE --durations 5 --durations-min 3 tests/unit

trainers: $(VENV)/.trainers
	$(BIN)/python -m pytest tests/trainers

proof: $(VENV)/.proof
	PYTHONPATH=tests $(BIN)/python -m proof

check: lint test trainers

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV)

# Torch first and by its exact version: a range would let pip look for newer, larger builds.
$(VENV)/.user: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) "$$(grep '^torch==' constraints.txt)"
	$(PIP) --editable ".[all]"
	touch $@

$(VENV)/.test: $(VENV)/.user
	$(PIP) --editable ".[all,test]"
	touch $@

$(VENV)/.trainers: $(VENV)/.test
	$(PIP) --editable ".[trainers]"
	touch $@

$(VENV)/.proof: $(VENV)/.trainers
	$(PIP) --editable ".[proof]"
	touch $@

$(VENV)/.dev: $(VENV)/.test
	$(PIP) --editable ".[all,dev]"
	touch $@
