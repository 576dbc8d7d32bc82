# Everything from a fresh clone: each target does its own set-up in .venv, with the versions in requirements.lock.
#   make demo    the whole way on bundled real recordings, into ./demo
#   make test    lint, types and every test that is quick
#   make bench   speeds and sizes beside other tools, in one run
#   make soak    what is too long for every change; its dated results are kept in docs/measured.md

PYTHON ?= python3
PIP = .venv/bin/pip --disable-pip-version-check install -q -c requirements.lock
OUT ?= demo
# What trains needs PyTorch. On 3.11 pip finds a CPU build; elsewhere its default is a CUDA build of gigabytes, so there
# say which: make test TORCH=torch. Without it the tests that train are skipped, and say so.
TORCH ?= $(shell $(PYTHON) -c 'import sys; print("torch==2.13.0" if sys.version_info[:2] == (3, 11) else "")')

.PHONY: demo test lint bench soak docs lock clean
demo: .venv/core
	.venv/bin/neuropile demo --out $(OUT)
	@echo 'To have the command at hand: source .venv/bin/activate'

test: .venv/dev lint
	.venv/bin/python -m pytest -n 2

lint: .venv/dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

bench: .venv/dev
	.venv/bin/python -m benchmarks

soak: .venv/dev
	NEUROPILE_HYPOTHESIS=soak .venv/bin/python -m pytest -m "soak or hypothesis"

docs: .venv/dev
	.venv/bin/python docs/generate.py

# The one step that resolves versions anew; needs uv.
lock:
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate pyproject.toml --extra dev -o requirements.lock

.venv/core: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "neuropile needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv
	$(PIP) -e .
	@touch $@

.venv/dev: .venv/core
	$(PIP) $(TORCH) -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
