# make verify   run the main job in a private environment (.venv)
# make quick    the first answer while working: the unit tests that need no framework
# make test     run the tests there, of those with many cases alike a sample; with XFRAME_SAMPLE=1 all
# make trainers  compare the presets with the trainers they are named for, installed beside it; sweeps on clusters
# make proof  all cases of the sweeps, and the figures at full size, into results/proof.md; resumable
# make docs     build the documentation into docs/_build; a warning fails
# make experiments  train all experiments again, into results/; make experiments ONLY="03 05" these
# make check    format, lint, types, import rules, documentation, tests: what CI runs
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROCESSES ?= 4
# In groups and in the order that tests/conftest.py makes; more processes than cores, since many tests wait for others.
SHARED := --numprocesses $(PROCESSES) --dist loadgroup --no-loadscope-reorder
# Of sampled cases each commit has others.
export XFRAME_SEED ?= $(shell git rev-list --count HEAD 2>/dev/null || echo 1)
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt
# By two processes, not by pip's one, and without what nobody imports here: others' tests, and hundreds of models. A file
# of torch's that this Python cannot compile is none that it imports.
COMPILE := $(BIN)/python -m compileall -qq -j 2 -x '/site-packages/.*/tests/|/transformers/models/'

.PHONY: verify quick test trainers proof docs experiments check lint style types format clean compiled

verify: $(VENV)/.user
	$(BIN)/xframe verify

test trainers: export XFRAME_SAMPLE := $(or $(XFRAME_SAMPLE),0.05)
test: $(VENV)/.test compiled
	$(BIN)/python -m pytest $(SHARED)

quick: $(VENV)/.test
	$(BIN)/python -m pytest $(SHARED) --quick -rfE --durations 5 --durations-min 3 tests/unit

trainers: $(VENV)/.trainers compiled
	$(BIN)/python -m pytest $(SHARED) tests/trainers tests/extras

proof: $(VENV)/.proof
	$(BIN)/python -m pytest $(SHARED) -m "sweep or costly"
	$(BIN)/python -m pytest $(SHARED) -m sweep tests/trainers tests/extras
	PYTHONPATH=tests $(BIN)/python -m proof

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -q --nitpicky --fail-on-warning --keep-going docs docs/_build

experiments: $(VENV)/.trainers
	$(BIN)/python -m experiments $(ONLY)

# The trainers come last, for the tests must do without them, and while pip installs them one process looks at types.
check: $(VENV)/.dev
	$(MAKE) --jobs 2 --output-sync style docs
	$(MAKE) test
	$(MAKE) --jobs 2 types trainers

lint: style types

style: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(VENV)/.dev
	$(BIN)/mypy

# Tests start hundreds of processes. Where Python is told to keep no bytecode, each would compile what it imports anew.
compiled: $(VENV)/.test
	$(COMPILE) xframe adapters experiments tests

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

$(VENV)/.docs: $(VENV)/.test
	$(PIP) --editable ".[all,docs]"
	touch $@

$(VENV)/.trainers: $(VENV)/.test
	$(PIP) --no-compile --editable ".[trainers]"
	$(COMPILE) $(VENV)/lib || true
	touch $@

$(VENV)/.proof: $(VENV)/.trainers
	$(PIP) --editable ".[proof]"
	touch $@

# At once, for `make check`: each pip goes through all that the others have installed.
$(VENV)/.dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --no-compile "$$(grep '^torch==' constraints.txt)" --editable ".[all,dev]"
	$(COMPILE) $(VENV)/lib || true
	touch $(VENV)/.user $(VENV)/.test $(VENV)/.docs $@
