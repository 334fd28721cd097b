# Everything runs in .venv, from the hashed locks in requirements/. `make check` needs no hosts.
.DEFAULT_GOAL := check
.DELETE_ON_ERROR:
SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

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
	$(LOCK) $(UPGRADE) --group run --group test --group lint -c requirements/run.txt -o requirements/dev.txt

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
	mypy plugins lab tests

check-tests: venv
	pytest

.PHONY: docs
docs: venv ## the variable tables in the roles' READMEs
	python3 -m tests.contract.variables --write

.PHONY: help
help:
	@sed -n 's/^\([a-z-]*\):.* ## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12
