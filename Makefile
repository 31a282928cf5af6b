# make setup       prepare .venv (once; a second call does nothing)
# make quickstart  train one set of weights at 8, 6, 4 and 2 bits on real videos, on this machine
# make test        lint, types, import layers, tests
# make mutants     put known bugs in, one at a time, and see each caught by a test (minutes)
# make traps       build in the mistakes that implementers of the papers are known to make, likewise
# make chaos       train on bad days: killed processes and nodes, servers that go away (half an hour)
# make clean       remove .venv and what runs left behind

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STARTS_RAY := tests/end_to_end tests/orchestrator/cluster/test_local.py

# Compiled files are kept, whatever the surroundings say: a quarter of a minute of each run.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup quickstart test unit ray mutants traps chaos lint clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "orch needs Python 3.11 or newer; name one with: make setup PYTHON=python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(READY)

quickstart: setup
	$(BIN)/orch submit jobs/quickstart.yaml --follow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Unit tests on two processes; then those that start Ray, which need the machine to themselves, in
# the order of their files: the test that ends the local head comes last, so one head serves all.
test: lint unit ray

unit: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "not ray"

ray: setup
	$(BIN)/pytest -p no:randomly -m ray $(STARTS_RAY)

mutants: setup
	$(BIN)/python tests/mutants/put_in.py

traps: setup
	$(BIN)/python tests/mutants/put_in.py --from tests/traps/traps.toml

chaos: setup
	$(BIN)/python -m tests.chaos --seeds 20
	$(BIN)/python -m tests.chaos.elastic

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
