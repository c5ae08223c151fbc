# `make demo` and `make test` do everything on a machine with git, make and Python 3.11.
# Each target installs first; a stamp named by what was installed makes that quick.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
SERVERS := build/servers
PIP := -m pip install --quiet --disable-pip-version-check
stamp = .installed-$(shell cat $(1) | sha256sum | cut -c1-12)
STAMP := $(VENV)/$(call stamp,requirements/dev.lock $(wildcard packages/*/pyproject.toml))
DRAIN := $(shell find packages/gapless-drain -name '*.py' -o -name pyproject.toml | sort)
SERVERS_STAMP := $(SERVERS)/$(call stamp,requirements/servers.lock $(DRAIN))
DOCS := build/docs
PEERS := build/bench
PEERS_STAMP := $(PEERS)/$(call stamp,requirements/bench.lock)
DOCS_STAMP := $(DOCS)/$(call stamp,requirements/docs.lock)
NODE := node/gapless-drain
NODE_STAMP := $(NODE)/node_modules/$(call stamp,$(NODE)/package-lock.json)
# Eight of them for two cores: what tests do most is wait.  So that load does not take all
# that the rest needs, its clients rest a little in `make test`; in `make soak` they do not.
PYTEST := $(BIN)/pytest -q -n 8 --dist worksteal
# What build/servers is compiled with, and what else the tests start.
COMPILED_WITH := gcc pkg-config python3-dev libmariadb-dev
PACKAGES := nginx-light haproxy etcd-server default-jdk-headless perl nodejs npm curl iproute2 \
  openssh-server openssh-client postgresql-15 mariadb-server-core mariadb-client-core \
  redis-server faketime openssh-sftp-server sshfs systemd puma strace tmux
# What only `make soak` starts.
MORE_PACKAGES := caddy prometheus unicorn php8.2-fpm php8.2-cli apache2-bin lighttpd \
  debootstrap zsh fish man-db groff chromium chromium-driver \
  ruby-railties ruby-sidekiq ruby-bundler capistrano

.PHONY: demo rig test collected compiled node check lint soak vm bench compare reference docs lock dist clean

demo: $(STAMP) ## install, then show the main job under load
	@rig/packages nginx-light iproute2 || echo "without them: no balancer, all on loopback"
	$(BIN)/python -m rig.demo.one_machine

rig: $(STAMP) $(SERVERS_STAMP) ## a fleet to try things on by hand; RIG="--help" says how
	rig/packages $(PACKAGES)
	@$(BIN)/python -m rig.console.session $(RIG)

test: $(STAMP) ## everything: checks, then all tests
	rig/packages $(COMPILED_WITH) $(PACKAGES)
	@$(MAKE) --no-print-directory --jobs 3 --output-sync=target \
	  lint docs node collected compiled $(SERVERS_STAMP)
	@$(BIN)/python -m compileall -q packages rig  # each test starts many interpreters
	RIG_PACE_S=0.05 $(PYTEST) -m "not soak" --durations=8

compiled: $(STAMP) $(SERVERS_STAMP) # so that no test waits for a compiler
	@$(BIN)/python -m rig.programs.numbered

collected: $(STAMP) $(SERVERS_STAMP) # so that each worker of pytest finds the tests compiled
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q --collect-only >/dev/null

node: $(STAMP) $(NODE_STAMP) ## the tests of the Node libraries
	cd $(NODE) && npm run --silent types && npm test --silent
	cd node/gapless-pm2 && npm run --silent types && npm test --silent

check: lint ## what needs neither root nor other programs, in seconds
	$(PYTEST) -m "not soak" -k "not sshfs and not etcd" tests \
	  --ignore tests/process --ignore tests/installs --ignore tests/databases --ignore tests/rig --ignore tests/crash

lint: $(STAMP) ## style, types, imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(STAMP) $(SERVERS_STAMP) ## hundreds of handoffs, minutes of chaos
	rig/packages $(PACKAGES) $(MORE_PACKAGES)
	$(MAKE) --no-print-directory $(NODE_STAMP)
	$(PYTEST) -m soak --timeout 3600 --durations=8

vm: $(STAMP) ## the tests in virtual machines with other kernels; K="expression" selects
	rig/packages qemu-system-x86 qemu-utils debootstrap e2fsprogs
	$(BIN)/python -m rig.vm
	RIG_VM=1 $(BIN)/pytest -v -p no:randomly --timeout 3600 --durations=8 -k "$(K)" tests/vm

bench: $(STAMP) $(SERVERS_STAMP) $(NODE_STAMP) $(PEERS_STAMP) ## print the tables of bench/
	$(BIN)/python -m bench.compare
	for each in bench/[a-z]*.py bench/calls/[a-z]*.py; do $(BIN)/python $$each || exit 1; done
	node $(NODE)/bench/overhead.js
	node $(NODE)/bench/databases.js

compare: $(STAMP) $(SERVERS_STAMP) $(NODE_STAMP) $(PEERS_STAMP) ## the README's comparison; COMPARE="10 --write"
	$(BIN)/python -m bench.compare $(COMPARE)

reference: $(STAMP) ## write docs/configuration.md anew, from the types of the keys
	$(BIN)/python -m gapless.config.reference.page > docs/configuration.md.new
	mv docs/configuration.md.new docs/configuration.md

docs: $(DOCS_STAMP) ## build the pages into build/site; warnings are errors
	@rm -rf build/site
	$(DOCS)/bin/python -m sphinx -q -W --keep-going -b html -c docs . build/site
	@$(BIN)/python -m rig.site build/site

lock: $(STAMP) ## write the lock files anew
	for each in dev servers docs bench; do $(BIN)/uv pip compile --quiet --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --python-version 3.11 --upgrade \
	  requirements/$$each.in -o requirements/$$each.lock; done
	$(BIN)/uv pip compile --quiet --generate-hashes \
	  --no-emit-index-url --no-header --no-annotate --python-version 3.11 --upgrade \
	  examples/asgi/requirements.in -o examples/asgi/requirements.lock

dist: $(STAMP) ## what is installed elsewhere, with checksums, into dist/: the same bytes each time
	$(BIN)/python -m distribution

clean: ## remove what was installed
	rm -rf $(VENV) build dist $(NODE)/node_modules

# An interrupted install leaves no stamp, and every step may be repeated.
$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gapless needs Python 3.11 or newer; say where: make PYTHON=..."; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || \
	  { echo "no virtual environment: on Debian, apt-get install python3-venv"; exit 1; }
	$(BIN)/python $(PIP) --require-hashes --no-deps -r requirements/dev.lock
	$(BIN)/python $(PIP) --no-deps --no-build-isolation -e packages/gapless -e packages/gapless-drain
	@rm -f $(VENV)/.installed*
	@touch $@

$(SERVERS_STAMP): $(STAMP)
	rig/packages $(COMPILED_WITH)
	[ -x $(SERVERS)/bin/python ] || $(BIN)/python -m venv --without-pip $(SERVERS)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(SERVERS)/bin/python \
	  --require-hashes -r requirements/servers.lock
	rm -rf build/wheels
	$(BIN)/python $(PIP:install=wheel) --no-deps --no-build-isolation -w build/wheels \
	  ./packages/gapless-drain
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(SERVERS)/bin/python \
	  --no-deps --no-index --reinstall build/wheels/*.whl
	@rm -f $(SERVERS)/.installed*
	@touch $@

$(DOCS_STAMP): $(STAMP)
	[ -x $(DOCS)/bin/python ] || $(BIN)/python -m venv --without-pip $(DOCS)
	$(BIN)/uv pip install --quiet --python $(DOCS)/bin/python \
	  --require-hashes -r requirements/docs.lock
	@rm -f $(DOCS)/.installed*
	@touch $@

$(PEERS_STAMP): $(STAMP)
	[ -x $(PEERS)/bin/python ] || $(BIN)/python -m venv --without-pip $(PEERS)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(PEERS)/bin/python \
	  --require-hashes -r requirements/bench.lock
	@rm -f $(PEERS)/.installed*
	@touch $@

$(NODE_STAMP):
	cd $(NODE) && npm ci --silent --ignore-scripts
	@touch $@
