# One command each; see `make help`. Nothing needs to be installed but Python 3.11 or newer (and uv is used if there).
PY ?=
PYTHONS := $(PY) python3.14 python3.13 python3.12 python3.11 python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
RUN_SET := $(VENV)/.run-set
DEV_SET := $(VENV)/.dev-set
SOURCES := scheduler_bridge tasks workers tests

# $(call install,LOCK FILE): the venv with exactly what the lock file names, by hash, and this project in place.
define install
@set -e; py=; \
for candidate in $(PYTHONS); do \
  if $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then py=$$candidate; break; fi; \
done; \
test -n "$$py" || { echo "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PY=/path/to/python3.12"; exit 1; }; \
if command -v uv >/dev/null 2>&1; then \
  uv venv -q --allow-existing --python "$$py" $(VENV); \
  uv pip install -q --python $(BIN)/python --require-hashes -r $(1); \
  uv pip install -q --python $(BIN)/python --no-deps -e .; \
else \
  $$py -m venv $(VENV) || { echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }; \
  $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $(1); \
  $(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .; \
fi
@touch $@
endef

.PHONY: help run up test check format bench chaos soak clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUN_SET) ## the demonstration, from an empty folder to a finished job stream: make run ARGS="PATH ..."
	@exec $(BIN)/scheduler-bridge run $(ARGS)

up: $(RUN_SET) ## every process on this machine until Ctrl-C
	@exec $(BIN)/scheduler-bridge up $(ARGS)

# Without compiled files each of a thousand processes would compile all of ours again.
test: $(DEV_SET) ## all tests: make test ARGS="-k lease"
	@exec env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

check: $(DEV_SET) ## format, lint, types and the order of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports

format: $(DEV_SET) ## put the source into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV_SET) ## measure: make bench ARGS=--json
	@exec $(BIN)/python -m tests.bench $(ARGS)

chaos: $(DEV_SET) ## random faults on a random load: make chaos ARGS="--trials 20 --seed 7 --json"
	@exec $(BIN)/python -m tests.chaos $(ARGS)

soak: $(DEV_SET) ## a steady load, and whether anything grows: make soak ARGS="--minutes 10 --json"
	@exec $(BIN)/python -m tests.soak $(ARGS)

clean: ## remove the venv, the embedded servers' data and caches
	rm -rf $(VENV) .scheduler-bridge .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The development set contains the run set, so a venv that has it needs no second installation.
$(RUN_SET): pyproject.toml requirements.lock
	$(call install,requirements.lock)

$(DEV_SET): pyproject.toml requirements-dev.lock
	$(call install,requirements-dev.lock)
	@touch $(RUN_SET)
