# Everything from nothing: `make demo` and `make test` install what they need in .venv.
PYTHON ?= python3
BIN := .venv/bin
export JAX_PLATFORMS ?= cpu

.PHONY: demo test test-all lint docs setup clean

demo: .venv/.demo  ## Train, evaluate and report TUSK on generated Tetrominoes.
	$(BIN)/kpd train --config=tusk/tetrominoes:demo --workdir=runs/demo --max_seconds=420
	$(BIN)/kpd evaluate --workdir=runs/demo
	$(BIN)/kpd report --workdir=runs/demo

TESTS := $(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=25

test: .venv/.test  ## All tests but the slow ones; no TPU or GPU needed.
	$(TESTS) -m "not slow"

test-all: .venv/.test  ## The slow ones too, as continuous integration runs them.
	$(TESTS)

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/.docs  ## These pages and an API reference: build/docs/index.html.
	$(BIN)/python -m sphinx -q -W --keep-going -c docs -d build/doctrees . build/docs

setup: .venv/.test  ## The development environment.

clean:
	rm -rf .venv runs build *.egg-info

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo: pyproject.toml | .venv/bin/python
	$(BIN)/pip install -q --disable-pip-version-check -e '.[report]'
	touch $@

.venv/.test: pyproject.toml | .venv/bin/python
	$(BIN)/pip install -q --disable-pip-version-check -e '.[test]'
	$(BIN)/kpd weights efficientnet_lite0 xfeat || echo 'Tests of these will be skipped.'
	touch $@ .venv/.demo

.venv/.docs: pyproject.toml | .venv/bin/python
	$(BIN)/pip install -q --disable-pip-version-check -e '.[docs]'
	touch $@ .venv/.demo
