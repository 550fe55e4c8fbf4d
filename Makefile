# Needs make and Python 3.11 or newer; every target does its own set-up in .venv.

PYTHON ?= python3.13 python3.12 python3.11 python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := .cache/tools
FETCHED := $(TOOLS)/.fetched
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: install run demo clients chaos bench bench-fleet bench-snapshot test tools deploy-test image-test check fix lock clean help

install: $(INSTALLED) ## install the package and its tools into .venv

run: $(INSTALLED) ## run the sidecar (with its own Valkey unless SIDECAR_REDIS_URL says otherwise); flags in ARGS=
	@SIDECAR_REDIS_URL="$${SIDECAR_REDIS_URL-embedded:}" exec $(BIN)/binance-sidecar $(ARGS)

demo: $(INSTALLED) ## show what the sidecar does, against a Binance stand-in on this machine
	@$(BIN)/python -m tests.demo $(ARGS)

clients: $(INSTALLED) ## prove that real Binance clients work unmodified (installs them in .cache/clients)
	@$(BIN)/python -m tests.clients

bench: $(INSTALLED) ## measure the sidecar beside nginx and Varnish (needs wrk); flags in ARGS=
	@$(BIN)/python -m tests.bench $(ARGS)

bench-snapshot: $(INSTALLED) ## measure hits during refreshes, memory, and the start from a warm Redis
	@$(BIN)/python -m tests.bench.refresh
	@$(BIN)/python -m tests.bench.footprint

chaos: $(INSTALLED) ## let Redis suffer every trouble for 10 s while gateways are under load, and print a table
	@$(BIN)/python -m tests.chaos $(ARGS)

bench-fleet: $(INSTALLED) ## simulate 1 to 1,000 replicas in virtual time: weight, Redis operations, waits; flags in ARGS=
	@$(BIN)/python -m tests.bench.fleet $(ARGS)

test: $(INSTALLED) ## run the tests with coverage
	$(BIN)/pytest --cov --ignore=tests/deploy $(ARGS)

tools: $(FETCHED) ## fetch Helm, promtool and the other checkers into .cache

deploy-test: $(INSTALLED) $(FETCHED) ## test chart, rules, dashboard, compose file, unit and rolling restart with the real tools
	$(BIN)/pytest --numprocesses 2 --dist worksteal tests/deploy $(ARGS)

image-test: $(INSTALLED) ## build the image and run it (as root, with Debian's buildah and debootstrap)
	$(BIN)/python -m tests.deploy.image

check: $(INSTALLED) ## everything CI checks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory deploy-test

fix: $(INSTALLED) $(FETCHED) ## format, and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	cp deploy/prometheus/rules/*.yml deploy/grafana/dashboards/*.json helm/binance-sidecar/files/
	$(TOOLS)/venv/bin/python tests/tools/values_table.py helm/binance-sidecar

lock: $(INSTALLED) ## resolve the lock files again; ARGS=--upgrade for the newest versions
	$(COMPILE) $(ARGS) pyproject.toml --output-file requirements.lock
	$(COMPILE) $(ARGS) pyproject.toml --extra dev --constraints requirements.lock --output-file tests/requirements.lock
	$(COMPILE) $(ARGS) tests/tools/requirements.in --output-file tests/tools/requirements.lock
	$(COMPILE) $(ARGS) deploy/build-requirements.in --constraints tests/requirements.lock --output-file deploy/build-requirements.lock

clean: ## remove .venv and everything that was made
	rm -rf $(VENV) .cache dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

# A venv that works is kept: pip changes only what the lock changed.
$(INSTALLED): pyproject.toml tests/requirements.lock
	@$(BIN)/python -c 'import pip' 2>/dev/null || { \
	for python in $(PYTHON); do \
		if "$$python" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			exec "$$python" -m venv --clear $(VENV); \
		fi; \
	done; \
	echo "No Python 3.11 or newer with venv among: $(PYTHON). Name one: make PYTHON=/path/to/python3" >&2; \
	exit 1; }
	$(PIP) install --require-hashes --requirement tests/requirements.lock
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(FETCHED): tests/tools/fetch.py tests/tools/requirements.lock tests/tools/helm.lock | $(INSTALLED)
	@$(BIN)/python tests/tools/fetch.py $(TOOLS)
	@touch $@
