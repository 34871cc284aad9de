# make demo    installs into .venv and runs the whole study on the built-in pictures
# make test    installs and passes the tests (SLOW=1: the slow ones too)
# make check   lint, format and types
# make bench   measures speed and memory on the CPU (benchmarks/README.md)

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: demo test check format bench clean

demo: $(INSTALLED)
	$(BIN)/transfer demo

# The tests at work share the processors: threads that wait must not spin.
test: .venv/tests-installed
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(if $(SLOW),,-m "not slow")

check: .venv/tests-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/tests-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)
	PYTHON=$(BIN)/python benchmarks/cpu.sh

$(INSTALLED): setup.cfg pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/tests-installed: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
