# Two commands for a newcomer: `make demo` and `make test`. Each sets up all that it uses.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
LOCK := deploy/constraints.txt
RUN ?= build/demo
DROP ?=
AGGREGATORS ?=
ONLY ?=
EXTRAS ?= postgres
WHEELHOUSE ?= dist/wheelhouse
AIR_GAPPED ?= build/air-gapped
QUICK ?=
AIM ?=
SECONDS ?= 30

.PHONY: demo test bench fuzz soak lint types check wheel wheelhouse clean help

help: ## Show what can be made
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo $(if $(AGGREGATORS),$(VENV)/.aggregator) ## Three hospitals make synthetic data from NHEFS (DROP=1: one of five is killed mid-round; AGGREGATORS=2: no masks, two operators add up)
	$(BIN)/python -m deploy.demo --run $(RUN) $(if $(DROP),--drop) $(if $(AGGREGATORS),--aggregators $(AGGREGATORS))

test: lint types ## Environment, lint, types and all tests
	$(BIN)/python -m pytest -n 3 --dist loadfile

WHEELS := build/utility/wheels
bench: $(VENV)/.bench $(if $(filter utility,$(ONLY)),$(WHEELS)) ## Benchmarks with ratios against peers (ONLY=mask|aggregation|noise|measurement|databases|sampling|production|out_of_core|utility; QUICK=1, AIM=1)
	$(BIN)/python -m bench $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick) $(if $(AIM),--aim)

# Only the data inside are read: these packages ask for an older pandas than ours.
$(WHEELS): | $(VENV)/.bench
	$(BIN)/python -m pip download -q --no-deps -d $@.part lifelines==0.30.3 causallib==0.10.0
	mv $@.part $@

fuzz: $(VENV)/.test $(VENV)/.fuzz ## Fuzz every decoder for so long each (SECONDS=30), from the corpus in tests/fuzz
	$(BIN)/python -m tests.fuzz $(SECONDS) $(ONLY)

soak: $(VENV)/.test ## Twenty rounds over real processes with random faults, some minutes (200 in one process are among the tests)
	$(BIN)/python -m tests.soak

lint: $(VENV)/.test ## Lint and format check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test ## Strict types
	$(BIN)/mypy

wheel: $(VENV)/.test ## Build the wheel into dist/
	$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w dist .

# The trial install is as on a machine without a network: no index, no cache, nothing of ours.
wheelhouse: wheel ## All wheels for an install without a network, and such an install (EXTRAS=postgres,spark)
	rm -rf $(WHEELHOUSE) $(AIR_GAPPED)
	$(BIN)/python -m pip download -q --disable-pip-version-check -c $(LOCK) -d $(WHEELHOUSE) "$$(ls dist/concause-*.whl)[$(EXTRAS)]"
	$(PYTHON) -m venv --without-pip $(AIR_GAPPED)
	$(BIN)/python -m pip --python $(AIR_GAPPED)/bin/python install -q --disable-pip-version-check --no-index --no-cache-dir --no-compile --find-links $(WHEELHOUSE) "concause[$(EXTRAS)]"
	$(AIR_GAPPED)/bin/concause site init somewhere --folder $(AIR_GAPPED)/site --data records.parquet --unit-column person
	@echo "Installed without an index. Carry $(WHEELHOUSE) along, and install with --no-index --find-links."

clean: ## Remove what was built; keep the environment
	rm -rf build dist

# A stamp per set of extras; made again when the dependencies change.
$(VENV)/.%: pyproject.toml $(LOCK)
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 is needed, none was found. Install it, or say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: Python 3.11 is needed, found $$($(PYTHON) --version). Say make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up the environment in $(VENV) (once; a minute or two)"
	@$(if $(filter test aggregator,$*),$(BIN)/python -m pip install -q --disable-pip-version-check -c $(LOCK) torch==2.13.0)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c $(LOCK) -e '.[demo,$*]'
	@$(if $(filter test aggregator,$*),$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -c $(LOCK) crypten)
	@$(if $(filter test bench,$*),$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -c $(LOCK) dowhy)
	@touch $@
