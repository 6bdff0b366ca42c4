# make verify   run the main job in a private environment (.venv)
# make test     run the tests there
# make check    format, lint, types, import rules, tests: what CI runs
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: verify test check lint format clean

verify: $(VENV)/.user
	$(BIN)/xframe verify

test: $(VENV)/.test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadscope

check: lint test

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

$(VENV)/.dev: $(VENV)/.test
	$(PIP) --editable ".[all,dev]"
	touch $@
