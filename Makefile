# make install    .venv with the `currere` command; needs Python 3.11 or later and, the first time, a package index
# make demo       everything in one process tree, to a report
# make test       every test, against a real Kafka and a real Redis
# make check      what CI runs before the tests: format, lint, types, import rules
# make kafka      a real Kafka in the foreground (Java 17 or later, Maven); PORT=9092
# make redis      a real Redis in the foreground; PORT=6379
# make kafka-image  the same as a Docker image, for the tests where there is Docker and no Maven
# make lock       write the lock files anew from pyproject.toml; UPGRADE=--upgrade takes newer versions

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip --quiet
UPGRADE ?=
ARGS ?=

# A stamp is named after the content of what it was made from: unchanged files mean that nothing is done, nor fetched.
content = $(shell cat $(1) | cksum | tr ' ' -)
LOCKED := $(VENV)/.locked-$(call content,requirements-dev.lock)
INSTALLED := $(VENV)/.installed-$(call content,pyproject.toml)
KAFKA := deploy/kafka
JARS := $(KAFKA)/target/.jars-$(call content,$(KAFKA)/pom.xml)
LOCK := $(UV) compile --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --custom-compile-command "make lock" $(UPGRADE) pyproject.toml --extra roles --extra embedded

.PHONY: install demo test check kafka redis servers kafka-jars kafka-image lock clean
.DELETE_ON_ERROR:

install: $(INSTALLED)

# uv is the one package that pip installs, by the hash in the lock; it does the rest ten times faster.
$(LOCKED):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "currere needs Python 3.11 or later: make install PYTHON=python3.12" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || { sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.lock >$(VENV)/uv.lock && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock; }
	$(UV) sync --require-hashes requirements-dev.lock
	@rm -f $(VENV)/.locked-* $(VENV)/.installed-* && touch $@

# hatchling is in the lock, so that the build fetches nothing.
$(INSTALLED): $(LOCKED)
	$(UV) install --offline --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.installed-* && touch $@

demo: install
	$(BIN)/currere demo $(ARGS)

test: install servers
	$(BIN)/python -m pytest $(ARGS)

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The servers that the tests need. What is missing is installed where we may (Debian, as root); elsewhere the tests
# that need it are skipped and say so, except in CI, where they fail.
servers:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		want=; \
		command -v redis-server >/dev/null || want="$$want redis-server"; \
		command -v java >/dev/null || want="$$want openjdk-17-jre-headless"; \
		command -v mvn >/dev/null || [ -e $(JARS) ] || want="$$want maven"; \
		if [ -n "$$want" ]; then \
			echo "installing$$want"; \
			export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1; \
			apt-get update -qq && apt-get install -y -qq --no-install-recommends $$want >/dev/null; \
		fi; \
	fi
	@if [ -e $(JARS) ]; then :; \
	elif command -v mvn >/dev/null && $(MAKE) --no-print-directory kafka-jars; then :; \
	else echo "no jars by Maven: the tests that need a real Kafka use Docker or CURRERE_TEST_KAFKA" >&2; fi

kafka-jars: $(JARS)

$(JARS):
	rm -rf $(KAFKA)/target
	mvn -q -B --strict-checksums -f $(KAFKA)/pom.xml dependency:copy-dependencies
	@touch $@

# What the tests run in Docker, where an engine answers and there is no Maven. BASE is the Debian 12 to build on.
kafka-image:
	docker build --network $(or $(DOCKER_NETWORK),default) --build-arg BASE=$(or $(BASE),debian:12-slim) \
		--tag currere/kafka:4.1.1 $(KAFKA)

kafka: $(JARS)
	@exec $(PYTHON) $(KAFKA)/broker.py --port $(or $(PORT),9092)

redis:
	@echo "Redis at redis://127.0.0.1:$(or $(PORT),6379), kept in a temporary folder; Ctrl-C ends it"
	@exec redis-server --bind 127.0.0.1 --port $(or $(PORT),6379) --save '' --appendonly yes --appendfsync always \
		--dir "$$(mktemp -d)" --loglevel warning

lock: install
	$(LOCK) --output-file requirements.lock
	$(LOCK) --extra pretrained --extra faust --extra bench --extra dev --constraint requirements.lock --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) $(KAFKA)/target .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
