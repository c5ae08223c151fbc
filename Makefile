# `make demo` and `make test` do everything on a machine with git, make and Python 3.11.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
SERVERS := build/servers
STAMP := $(VENV)/.installed
SERVERS_STAMP := $(SERVERS)/.installed

.PHONY: demo test check soak bench lock clean

demo: $(STAMP) ## install, then show the main job under load
	$(BIN)/python -m rig.demo

test: check $(SERVERS_STAMP) ## everything: checks, then all tests
	rig/packages nginx-light default-jdk-headless perl nodejs curl
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not soak" --durations=8

check: $(STAMP) ## what needs no test to run: style, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(STAMP) $(SERVERS_STAMP) ## hundreds of handoffs, minutes of chaos
	rig/packages nginx-light default-jdk-headless perl nodejs curl
	$(BIN)/pytest -q -n 2 --dist worksteal -m soak --timeout 3600 --durations=8

bench: $(STAMP) $(SERVERS_STAMP) ## print the tables of bench/
	for each in bench/[a-z]*.py; do $(BIN)/python $$each || exit 1; done

lock: $(STAMP) ## write the lock files anew
	for each in dev servers; do $(BIN)/uv pip compile --quiet --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --python-version 3.11 --upgrade \
	  requirements/$$each.in -o requirements/$$each.lock; done

clean: ## remove what was installed
	rm -rf $(VENV) build

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gapless needs Python 3.11 or newer; say where: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): $(BIN)/python requirements/dev.lock packages/gapless/pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --require-hashes --no-deps -r requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation -e packages/gapless
	touch $@

$(SERVERS_STAMP): $(STAMP) requirements/servers.lock
	$(BIN)/python -m venv $(SERVERS)
	$(BIN)/uv pip install --quiet --python $(SERVERS)/bin/python \
	  --require-hashes -r requirements/servers.lock
	touch $@
