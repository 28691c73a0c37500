# Everything a person starts with. `make demo` and `make test` work on a machine that has only
# Python 3.11, make and git.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   ?= .venv
PY      = $(VENV)/bin/python
DEMO   ?= demo-output
BENCH  ?= bench-output

.DEFAULT_GOAL := help
.PHONY: help env demo test test-quick test-integration lint bench tensorboard clean

help:
	@echo "make demo         made-up faces -> dataset -> training on two replicas -> report (CPU, minutes)"
	@echo "make test         the test suite          make test-quick   without the end-to-end tests"
	@echo "make test-integration   what needs more of the system: Flink, Slurm, Bazel, Chromium"
	@echo "make lint         ruff and mypy           make bench        the benchmark tables"
	@echo "make tensorboard RUN=DIR [PORT=6006]      curves, histograms, graph and traces of a run"

# The stamp is newer than the requirements exactly when they are installed.
$(VENV)/.installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet -r requirements-dev.txt
	@# So that `python -m preprocess` and `python -m trainer` work from any folder.
	@$(PY) -c "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'shardline.pth').write_text('$(CURDIR)\n')"
	@touch $@

env: $(VENV)/.installed

demo: env
	@bash tests/demo.sh $(PY) $(DEMO)

test: env
	$(PY) -m pytest tests

test-quick: env
	$(PY) -m pytest tests -m "not slow and not integration"

# Installs what it can (apt as root, pip, Maven) and lists what it skips with the reason; the
# tests of the other folders that take their time are among it.
test-integration: env
	$(PY) -m pytest tests -m integration -rs

lint: env
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# MNIST=DIR with the four idx files adds the 50-model average.
bench: env
	@mkdir -p $(BENCH)
	$(PY) -m tests.benchmarks.bench_recipe
	$(PY) -m tests.benchmarks.bench_loss
	$(PY) -m tests.benchmarks.bench_reader
	$(PY) -m tests.benchmarks.bench_build --folder=$(BENCH)
	$(PY) -m tests.benchmarks.bench_pass
	$(PY) -m tests.benchmarks.bench_step
	$(PY) -m tests.benchmarks.bench_hooks
	$(PY) -m tests.benchmarks.bench_kills
	$(PY) -m tests.benchmarks.bench_diagnose
ifdef MNIST
	$(PY) -m preprocess build --source=idx --images=$(MNIST) --output=$(BENCH)/mnist --variants=1
	$(PY) -m tests.benchmarks.bench_mnist --data=$(BENCH)/mnist
endif

tensorboard: env
	$(PY) -m launch tensorboard $(RUN) $(if $(PORT),--port=$(PORT))

clean:
	rm -rf $(DEMO) $(BENCH)
