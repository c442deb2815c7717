# Two commands are all a newcomer needs: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Where the environment forbids Python to keep what it compiles, each start would compile TensorFlow anew: 10 seconds.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check audit serve lock benchmark fuzz clean

demo: $(INSTALLED)
	$(BIN)/pacs-ai demo --once

serve: $(INSTALLED)
	$(BIN)/pacs-ai serve --config config/pacs-ai.toml

test: $(INSTALLED)
	scripts/peers
	scripts/viewer
	rm -rf .objects
	OBJECTS_MADE=.objects $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/acceptance/test_validators.py
	OBJECTS_MADE=.objects $(BIN)/pytest tests/acceptance/test_validators.py

check: $(INSTALLED)
	scripts/check

# Known vulnerabilities of what is locked. It asks pypi.org, so that it is no part of `check`, which runs without a network.
audit: $(INSTALLED)
	$(BIN)/uv tool run pip-audit --strict --requirement requirements.lock --require-hashes --disable-pip

# The port under damaged PDUs, messages and data sets, for an hour or FUZZ_SECONDS.
fuzz: $(INSTALLED)
	FUZZ_SECONDS=$${FUZZ_SECONDS:-3600} $(BIN)/pytest tests/benchmarks/test_port_fuzz.py -s -p no:cacheprovider

benchmark: $(INSTALLED)
	scripts/peers
	$(BIN)/pytest tests/benchmarks -s -p no:cacheprovider --override-ini testpaths=tests/benchmarks

lock: $(INSTALLED)
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --all-extras --group dev pyproject.toml --upgrade -o requirements.lock

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.12, say")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

clean:
	rm -rf $(VENV) .viewer .objects .mypy_cache .ruff_cache .pytest_cache
