# `make` lists the targets. PYTHON picks the interpreter that .venv is made with: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AUDIT := $(VENV)-audit
INSTALLED := $(VENV)/.installed
INSTALLED_TEST := $(VENV)/.installed-test

# Compute capabilities of the GPUs, one word each (8.0); empty without a GPU, or without a driver that answers
CAPABILITIES := $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep -E '^[0-9]+\.[0-9]+$$')
# torch's default wheels hold code for older GPUs than Turing (7.5; a V100 has 7.0) only in earlier versions
TORCH := $(if $(filter 5.% 6.% 7.0 7.2,$(CAPABILITIES)),constraints-torch-sm70.txt,constraints-torch.txt)
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --constraint $(TORCH)

DEMO := demo
DEMO_PHANTOM := --people 40 --size 96
# A few minutes on the machine at hand; without a GPU that is its processor.
DEMO_PLAN := $(if $(CAPABILITIES),,--gpu cpu) --hours 0.1
AUTOSEG := cd $(DEMO) && ../$(BIN)/autoseg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo docs pictures test test-slow test-data test-browser torture lint types check audit clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

venv: $(INSTALLED) ## make .venv and install autoseg into it, with the pinned versions

demo: $(INSTALLED) ## the phantom and the three commands on it, in ./demo
	@echo "== The phantom: hand X-rays in the files of HandBone, in ./$(DEMO)"
	@mkdir -p $(DEMO)
	$(AUTOSEG) demo make -w . $(DEMO_PHANTOM)
	@echo "== The three commands"
	$(AUTOSEG) plan_and_preprocess -d HandBone $(DEMO_PLAN)
	$(AUTOSEG) train 2d fold0..4
	$(AUTOSEG) predict --ensemble
	@echo "== Dice of the test images"
	$(AUTOSEG) demo score

test: lint types docs ## ruff, mypy, the documentation and the tests; makes .venv if need be
	@echo "== pytest"
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(INSTALLED_TEST) ## the tests marked slow
	@echo "== pytest -m slow"
	$(BIN)/python -m pytest -m slow

test-data: $(INSTALLED_TEST) ## the tests marked data, on ../shared/data
	@echo "== pytest -m data"
	$(BIN)/python -m pytest -m data

test-browser: $(INSTALLED_TEST) ## the tests marked browser: the report in Chromium (apt install chromium chromium-driver)
	@echo "== pytest -m browser"
	$(BIN)/python -m pytest -m browser

torture: $(INSTALLED_TEST) ## a hundred kills at random instants, some minutes on one core; nothing may be lost
	@echo "== 100 kills"
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.torture

lint: $(INSTALLED_TEST) ## ruff
	@echo "== ruff"
	$(BIN)/ruff check .

types: $(INSTALLED_TEST) ## mypy --strict
	@echo "== mypy --strict"
	$(BIN)/mypy --strict

# Not --quiet: mkdocs then counts no warnings. Without the variable mkdocs-material advertises its successor.
docs: $(INSTALLED_TEST) ## the documentation as a site, in ./site: open site/index.html
	@echo "== mkdocs build --strict"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# In a virtual environment of its own: what pip-audit needs is no part of what it audits.
audit: $(INSTALLED_TEST) ## known vulnerabilities of the installed packages; says NOT AUDITED where it cannot look
	@echo "== pip-audit"
	@test -x $(AUDIT)/bin/pip-audit || { $(PYTHON) -m venv $(AUDIT) && $(AUDIT)/bin/python -m pip install --quiet pip-audit; } || true
	@$(BIN)/python -m tests.house.audit $(AUDIT)/bin/pip-audit

check: test test-slow audit ## all tests that need no GPU, no browser and no data, and the audit

clean: ## remove .venv, .venv-audit, ./demo, caches and built files; the next make installs anew
	@echo "== Removing $(VENV), $(DEMO), caches and built files"
	rm -rf $(VENV) $(AUDIT) $(DEMO) build dist site *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "autoseg needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": make PYTHON=python3.12")'
	@echo "== Making $(VENV) with $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt $(TORCH) | $(BIN)/python
	@echo "== Installing autoseg into $(VENV) with $(TORCH): a minute or two"
	$(INSTALL) setuptools
	$(INSTALL) --no-build-isolation --editable .
	@touch $@

$(INSTALLED_TEST): $(INSTALLED)
	@echo "== Installing what the tests need into $(VENV)"
	$(INSTALL) --no-build-isolation --editable '.[docs,test]'
	@touch $@

pictures: $(INSTALLED_TEST) ## the pictures in README.md and docs/: make pictures DEMO=../hands, after the tutorial; needs Chromium
	@echo "== docs/images"
	$(BIN)/python -m benchmarks.pictures $(DEMO)
