# Needs Python 3.11 or later, make and pip. `make demo` and `make test` set up what they need.
#
# Linux users who want PyTorch's own CPU builds instead of the large CUDA ones give the index that
# PyTorch's installation page names:  make demo PIP_ARGS="--extra-index-url URL"
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
DEMO ?= cutis-demo
PEERS ?= .venv-peers
LITERT ?= .venv-litert
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Two busy-waiting OpenMP pools on few cores slow each other down by more than an order.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test lint types docs bench-peers litert clean

demo: $(READY)
	rm -rf $(DEMO)
	$(BIN)/cutis demo --out $(DEMO)

# Three processes on two cores: one of them has the tests of Ray's clusters, which mostly wait. In
# the order that tests/conftest.py gives, since by default files of few tests would come last.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses 3 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python -m cutis.cli.reference > docs/reference/cli.md

# TensorFlow, with which benchmarks/training.py compares, in an environment of its own (1.4 GB).
bench-peers:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --requirement benchmarks/peers/requirements.txt

# LiteRT's converter, which `cutis export` needs for tflite, in an environment of its own (2.1 GB).
litert:
	$(PYTHON) -m venv $(LITERT)
	$(LITERT)/bin/python -m pip install --quiet $(PIP_ARGS) \
		--requirement src/cutis/export/litert-requirements.txt

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Cutis needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(PIP_ARGS) --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) $(PEERS) $(LITERT) $(DEMO) build dist .pytest_cache .mypy_cache .ruff_cache
