# Everything runs in .venv, from the hashed locks in requirements/. `make check` needs no hosts.
.DEFAULT_GOAL := check
.DELETE_ON_ERROR:
SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Ansible loads its plugins anew in each of its processes: compiled anew each time, they are a sixth of a run.
unexport PYTHONDONTWRITEBYTECODE

# Made again only when a lock has changed.
$(VENV)/.installed: requirements/uv.txt requirements/dev.txt
	test -x $(BIN)/python3 || python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python3 --require-hashes -r requirements/dev.txt
	touch $@

.PHONY: venv
venv: $(VENV)/.installed ## the tools, in .venv

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock" pyproject.toml

.PHONY: lock
lock: venv ## new versions into requirements/; add UPGRADE=--upgrade for the newest
	$(LOCK) $(UPGRADE) --group uv -o requirements/uv.txt
	$(LOCK) $(UPGRADE) --group run -o requirements/run.txt
	$(LOCK) $(UPGRADE) --group duckdb -o requirements/duckdb_exporter.txt
	$(LOCK) $(UPGRADE) --group trading -c requirements/duckdb_exporter.txt -o requirements/trading.txt
	$(LOCK) $(UPGRADE) --group run --group duckdb --group trading --group dashboards --group test --group lint -c requirements/run.txt \
		-c requirements/trading.txt -o requirements/dev.txt

# Independent of each other: `make -j2 check` runs them side by side.
CHECKS := check-ansible check-yaml check-python check-types check-tests
.PHONY: check $(CHECKS)
check: $(CHECKS) ## lint, types, unit, contract and rule tests

check-ansible: venv
	ansible-lint

check-yaml: venv
	yamllint --strict .

check-python: venv
	ruff check
	ruff format --check

check-types: venv
	mypy plugins lab tests bench python dashboards tools

check-tests: venv
	pytest

# --- hosts: everything below needs root on a Debian machine, and sets itself up

LAB := python3 -m lab
PLAY := ansible-playbook -i inventories/lab
# Molecule warns about a molecule/molecule.yml that nobody has.
export MOLECULE_GLOB := molecule/*/molecule.yml

.PHONY: setup
setup: # first the packages, then what is made with them
	lab/setup
	$(MAKE) venv

.PHONY: demo
demo: export LAB_NAME := demo
demo: PLAY += -i lab/door
demo: setup ## two hosts, a trading system on them, Prometheus that watches it, and the door to it
	$(LAB) up demo mon1 app1
	$(PLAY) lab/playbooks/trading.yml
	$(PLAY) lab/playbooks/webhook.yml
	$(PLAY) site.yml
	$(PLAY) playbooks/verify.yml
	@$(PLAY) lab/playbooks/addresses.yml

.PHONY: down
down: venv ## end the demo
	$(LAB) down demo

# scenario.suite; the transaction and the whole site on every suite. Three at once: two that work, and site.trixie, which most of its
# time waits for alerts and for their absence. First small ones, beside the emulated machine; then the longest, or they would be last alone.
SCENARIOS := bare_metal.trixie site.trixie redis_exporter.trixie timesync.trixie duckdb_exporter.trixie blackbox_exporter.trixie \
	clickhouse_metrics.trixie node_exporter.trixie certificates.trixie kills.trixie daemon.trixie firewall.trixie adoption.trixie \
	site.bookworm site.forky storage.trixie daemon.bookworm daemon.forky proxy.trixie prometheus.trixie alertmanager.trixie grafana.trixie
.PHONY: test scenarios
test: setup ## make check, then every scenario on lab hosts; SCENARIOS=site.trixie for some, GRAFANA_ARCHIVE=FILE to try Grafana itself
	$(if $(GRAFANA_ARCHIVE),$(LAB) artifacts --from $(GRAFANA_ARCHIVE))
	$(MAKE) --jobs=2 check
	@rm -f build/molecule/*.failed
	@$(MAKE) --jobs=3 --keep-going --output-sync=target scenarios || { cat build/molecule/*.failed; exit 1; }

scenarios: $(SCENARIOS:%=scenario/%)

# An emulated machine beside two others is so slow that its disk takes half a minute for seconds of data: site.trixie begins when it is done.
# The lock is not for what a scenario leaves running, such as the mirror that all labs share.
scenario/bare_metal.trixie: ALONE := flock --close build/machine.lock
scenario/site.trixie: ALONE := sleep 5; flock --close build/machine.lock

.PHONY: list-labs
list-labs: # the labs that the scenarios make
	@echo $(subst .,-,$(SCENARIOS))

# Said again after all others, where a reader of the end of a long log sees it.
WHAT_FAILED = echo "$*: FAILED, the whole is in build/molecule/$*.log"; \
	grep -aE -A2 '^.{0,12}(FAILED|ERROR)( |$$)|^.{0,12}E  |fatal: ' build/molecule/$*.log | cut -c-400 | tail -n 30

scenario/%: venv
	@mkdir -p build/molecule/$*
	@export LAB_SUITE=$(patsubst .%,%,$(suffix $*)) MOLECULE_EPHEMERAL_DIRECTORY=$(CURDIR)/build/molecule/$*; \
	$(ALONE) molecule test -s $(basename $*) >build/molecule/$*.log 2>&1 && echo "$*: took $$SECONDS s" \
		|| { tail -n 200 build/molecule/$*.log; { $(WHAT_FAILED); } | tee build/molecule/$*.failed; exit 1; }
	@grep -aEo '[0-9]+ passed.* in [0-9.]+s|[a-z]+: [0-9]+ kills: .*|[0-9]+ rolled back.*|SKIPPED \[[0-9]+\].*' build/molecule/$*.log | sed 's/^/$*: /'

.PHONY: bench-converge
bench-converge: setup ## seconds, tasks and bytes of a fresh and of an unchanged run
	python3 -m bench.converge

.PHONY: bench-alerts
bench-alerts: setup ## seconds from a fault to the webhook, by stage
	python3 -m bench.alerts

.PHONY: bench-duckdb
bench-duckdb: venv ## what a scrape costs the process that writes a DuckDB
	PYTHONPATH=python python3 -m bench.duckdb

.PHONY: bench-ingest
bench-ingest: setup ## what one Prometheus takes in at one second, and what it costs; about 45 minutes
	python3 -m bench.ingest $(BENCH)

.PHONY: bench-proxy
bench-proxy: setup ## through the door against straight to Prometheus, and under a flood of wrong passwords
	python3 -m bench.proxy $(BENCH)

.PHONY: bench-forecast
bench-forecast: setup ## how true the forecast of retention is, on a month that is made up; about 8 minutes
	$(LAB) artifacts
	PYTHONPATH=collections python3 -m bench.forecast

# ---

.PHONY: password-hash
password-hash: venv ## the bcrypt hash of a password, for proxy_users
	@python3 -m tools.password_hash

.PHONY: duckdb-exporter-archive
duckdb-exporter-archive: venv ## the release of duckdb_exporter and its pin, for artifact_source
	python3 -m lab.duckdb_archive build/artifacts

.PHONY: duckdb-exporter-wheel
duckdb-exporter-wheel: venv ## the package and what it needs, for the process that owns a DuckDB
	uv build --quiet --wheel --out-dir build/wheels python
	pip download --quiet --no-deps --require-hashes --dest build/wheels -r requirements/duckdb_exporter.txt

.PHONY: dashboards
dashboards: venv ## the JSON of the dashboards, from their code in dashboards/
	python3 -m dashboards --write

.PHONY: docs
docs: venv ## the variable tables in the roles' READMEs, the metrics' and the list of runbooks
	python3 -m tests.contract.variables --write
	python3 -m tests.contract.metrics --write
	python3 -m tests.contract.runbooks --write
	PYTHONPATH=python python3 -m tests.contract.duckdb_metrics --write

.PHONY: help
help:
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12
