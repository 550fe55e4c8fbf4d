# Needs make and Python 3.11 or newer; every target does its own set-up in .venv, with uv where it is on the path.

# Those that the tests ran on come first.
PYTHON ?= python3.13 python3.12 python3.11 python3.14 python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNNABLE := $(VENV)/.runnable
INSTALLED := $(VENV)/.installed
TOOLS := .cache/tools
FETCHED := $(TOOLS)/.fetched
CLIENTS := .cache/clients/.installed
INSTALL := tests/tools/install.py
# Extras are kept: without them pip before 23.3 looks at the newest release of a package whose extra is asked for.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-annotate \
	--no-emit-index-url --custom-compile-command "make lock"

# Runs a script with the first Python that can install: $(call with_python,script and its words).
define with_python
for python in $(PYTHON) "$$(uv python find '>=3.11' 2>/dev/null)"; do \
	if "$$python" $(INSTALL) --usable 2>/dev/null; then exec "$$python" $(1); fi; \
done; \
echo "No Python 3.11 or newer with venv and pip among: $(PYTHON). Name one: make PYTHON=/path/to/python3" >&2; \
exit 1
endef

.DEFAULT_GOAL := help
.PHONY: install run demo clients page-test chaos soak bench bench-fleet bench-snapshot test test-quick test-long tools deploy-test image-test sbom audit release check fix lock clean help

install: $(INSTALLED) ## install the package and its tools into .venv

run: $(RUNNABLE) ## run the sidecar (with its own Valkey unless SIDECAR_REDIS_URL says otherwise); flags in ARGS=
	@SIDECAR_REDIS_URL="$${SIDECAR_REDIS_URL-embedded:}" SIDECAR_STATE_DIR="$${SIDECAR_STATE_DIR-.cache/state}" exec $(BIN)/binance-sidecar $(ARGS)

demo: $(RUNNABLE) ## show what the sidecar does, against a Binance stand-in on this machine
	@$(BIN)/python -m tests.demo $(ARGS)

clients: $(INSTALLED) $(CLIENTS) ## prove that real Binance clients work unmodified; bots with ARGS=--heavy
	@$(BIN)/python -m tests.clients $(ARGS)

page-test: $(INSTALLED) ## look at the status page in Chromium, in five states (needs Chromium, and Node 20 with npm)
	@$(BIN)/python -m tests.browser

bench: $(INSTALLED) ## measure the sidecar beside nginx and Varnish (needs wrk); flags in ARGS=
	@$(BIN)/python -m tests.bench $(ARGS)

bench-snapshot: $(INSTALLED) ## measure hits during refreshes, memory, and the start from a warm Redis
	@$(BIN)/python -m tests.bench.refresh
	@$(BIN)/python -m tests.bench.footprint

chaos: $(INSTALLED) ## let Redis suffer every trouble for 10 s while gateways are under load, and print a table
	@$(BIN)/python -m tests.chaos $(ARGS)

soak: $(INSTALLED) ## let one gateway run for 20 minutes under load, faults and 200 stops of others; ARGS="--minutes 5"
	@$(BIN)/python -m tests.chaos.soak $(ARGS)

bench-fleet: $(INSTALLED) ## simulate 1 to 1,000 replicas in virtual time: weight, Redis operations, waits; flags in ARGS=
	@$(BIN)/python -m tests.bench.fleet $(ARGS)

test: $(INSTALLED) ## run the tests with coverage; flags for pytest in ARGS=
	@$(BIN)/python -m tests.run $(ARGS)

test-quick: $(INSTALLED) ## run what takes less than a minute, without coverage, while you write; flags in ARGS=
	@SIDECAR_TEST_SIZE=quick $(BIN)/python -m tests.run $(ARGS)

test-long: $(INSTALLED) ## run the tests with their largest numbers, which takes a quarter of an hour; flags in ARGS=
	@SIDECAR_TEST_SIZE=long $(BIN)/python -m tests.run $(ARGS)

tools: $(FETCHED) ## fetch Helm, promtool and the other checkers into .cache

deploy-test: $(INSTALLED) $(FETCHED) $(CLIENTS) ## test locks, chart, rules, dashboard, compose file, unit and rolling restart with the real tools
	$(BIN)/pytest --numprocesses 2 --dist worksteal tests/deploy $(ARGS)

image-test: $(INSTALLED) ## build the image and run it (as root, with Debian's buildah and debootstrap)
	$(BIN)/python -m tests.deploy.image

sbom: $(INSTALLED) $(FETCHED) ## write what the gateway is made of, as CycloneDX, to dist/
	@version=$$($(BIN)/python -c "import proxy; print(proxy.__version__)") && \
	$(TOOLS)/venv/bin/python tests/tools/sbom.py "$$version" "$$(git log -1 --format=%ct)" "dist/binance-sidecar-$$version.cdx.json"

audit: $(INSTALLED) $(FETCHED) ## look for known weaknesses of what the locks name; exit status 3: they could not be reached
	@$(BIN)/python -m tests.tools.audit $(ARGS)

release: $(INSTALLED) $(FETCHED) ## make wheel, chart and SBOM of VERSION= in dist/; ARGS=--commit also commits
	@$(BIN)/python -m tests.tools.release "$(VERSION)" $(ARGS)

check: $(INSTALLED) $(CLIENTS) ## everything CI checks
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory deploy-test
	@$(MAKE) --no-print-directory page-test
	@$(BIN)/python -m tests.clients --market
	@$(BIN)/python -m tests.clients --trading

fix: $(INSTALLED) $(FETCHED) ## format, and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix
	cp deploy/prometheus/rules/*.yml deploy/grafana/dashboards/*.json deploy/valkey/serve.sh helm/binance-sidecar/files/
	$(TOOLS)/venv/bin/python tests/tools/values_table.py helm/binance-sidecar

lock: $(INSTALLED) ## resolve the lock files again; ARGS=--upgrade for the newest versions
	$(COMPILE) $(ARGS) pyproject.toml --output-file requirements.lock
	$(COMPILE) $(ARGS) pyproject.toml deploy/build-requirements.in --extra embedded --constraints requirements.lock \
		--output-file run-requirements.lock
	$(COMPILE) $(ARGS) pyproject.toml --extra top --constraints run-requirements.lock --output-file deploy/top-requirements.lock
	$(COMPILE) $(ARGS) pyproject.toml --extra dev --constraints run-requirements.lock --output-file tests/requirements.lock
	$(COMPILE) $(ARGS) deploy/build-requirements.in --constraints run-requirements.lock --output-file deploy/build-requirements.lock
	$(COMPILE) $(ARGS) tests/tools/requirements.in --output-file tests/tools/requirements.lock
	$(COMPILE) $(ARGS) tests/tools/checkov.in --output-file tests/tools/checkov.lock
	$(COMPILE) $(ARGS) tests/clients/requirements.in --output-file tests/clients/requirements.lock
	$(COMPILE) $(ARGS) tests/clients/heavy-requirements.in --output-file tests/clients/heavy-requirements.lock
	for npm in tests/clients/npm tests/browser/npm; do (cd $$npm && npm install --package-lock-only \
		--omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund) || exit; done
	for pip in tests/tools/pip-*.in; do $(COMPILE) $(ARGS) $$pip --output-file $${pip%.in}.lock || exit; done

clean: ## remove .venv and everything that was made
	rm -rf $(VENV) .cache dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

# A venv that works is kept: only what the lock changed is changed.
$(RUNNABLE): pyproject.toml run-requirements.lock $(INSTALL)
	@$(call with_python,$(INSTALL) $(VENV) run-requirements.lock --project .)
	@touch $@

$(INSTALLED): tests/requirements.lock $(RUNNABLE)
	@$(call with_python,$(INSTALL) $(VENV) tests/requirements.lock)
	@touch $@

$(FETCHED): tests/tools/fetch.py $(INSTALL) $(wildcard tests/tools/*.lock) | $(INSTALLED)
	@$(BIN)/python tests/tools/fetch.py $(TOOLS)
	@touch $@

$(CLIENTS): tests/clients/environment.py tests/clients/requirements.lock | $(INSTALLED)
	@$(BIN)/python -m tests.clients.environment
	@touch $@
