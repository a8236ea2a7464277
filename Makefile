PYTHON ?= python

.PHONY: test lint type format check learn bench constraints

test:
	$(PYTHON) -m pytest

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

type:
	$(PYTHON) -m mypy

format:
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

check: lint type test

learn:
	$(PYTHON) -m pytest -m learning

bench:
	$(PYTHON) -m benchmarks

# Needs uv. Versions already in constraints.txt stay as long as setup.py allows them.
constraints:
	uv pip compile --universal --python-version 3.10 --no-annotate \
		--custom-compile-command "make constraints" --extra all setup.py -o constraints.txt
