# Each target does all its own set-up: a virtual environment, the packages, and for the tests a browser.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
INSTALL := $(VENV)/bin/python -m pip install --progress-bar on --no-compile --editable

MAKEFLAGS += --jobs=2  # the tests' browser is installed beside their packages

.PHONY: app test lint browser space lowest clean

app: $(VENV)/app.installed
	@echo "Loading the model; the address follows."
	$(VENV)/bin/python app.py

test: browser $(VENV)/test.installed lint
	@# Bytecode is kept even where the environment says not to: dozens of processes would compile torch anew.
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist loadscope

lint: $(VENV)/test.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

browser:
	@command -v chromium >/dev/null || { echo "Installing a browser."; $(SUDO) apt-get update && $(SUDO) apt-get install -y chromium; }

space: $(VENV)/test.installed  # what the Hub would build of it, in an environment of its own: minutes
	$(VENV)/bin/python -m tests.benchmarks.space

lowest: $(VENV)/test.installed  # the tests, but those in a browser, with the oldest packages that pyproject.toml allows
	$(VENV)/bin/python -m pip install --quiet uv
	$(VENV)/bin/uv venv --quiet --clear --python $(VENV)/bin/python $(VENV)/lowest
	$(VENV)/bin/uv pip install --python $(VENV)/lowest/bin/python --resolution lowest-direct ".[app,train,test]"
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(VENV)/lowest/bin/python -m pytest -n 2 --dist loadscope -m "not browser"

$(VENV)/bin/python:
	@echo "Making $(VENV) with $(PYTHON)."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "LungFusion needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/app.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing the packages of the app: some gigabytes, once."
	$(INSTALL) ".[app]"
	@touch $@

$(VENV)/test.installed: pyproject.toml | $(VENV)/bin/python
	@echo "Installing the packages of the app, of training and of the tests: some gigabytes, once."
	$(INSTALL) ".[app,train,test]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
