# Each target does all its own set-up: a virtual environment, the packages, and for the tests a browser.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
SUDO := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)

.PHONY: app test lint space clean

app: $(VENV)/app.installed
	$(VENV)/bin/python app.py

test: $(VENV)/test.installed lint
	@command -v chromium >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq chromium; }
	$(VENV)/bin/python -m pytest

lint: $(VENV)/test.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

space: $(VENV)/test.installed  # what the Hub would build of it, in an environment of its own: minutes
	$(VENV)/bin/python -m tests.space

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/app.installed: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable ".[app]"
	@touch $@

$(VENV)/test.installed: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable ".[app,train,test]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
