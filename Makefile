# Everything a person starts with. `make demo` and `make test` work on a machine that has only
# Python, make and git. STACK=next takes Python 3.12 or 3.13 and the current TensorFlow, in an
# environment of its own; without it, Python 3.11 and TensorFlow 2.15 (docs/stacks.md).

STACK  ?= default
ifeq ($(STACK),next)
VERSIONS     = 3.13 3.12
REQUIREMENTS = requirements-next
VENV        ?= .venv-next
else ifeq ($(STACK),default)
VERSIONS     = 3.11
REQUIREMENTS = requirements
VENV        ?= .venv
else
$(error STACK=$(STACK): there are default and next)
endif
# The first that runs: a name on the PATH may be that of a version manager which has none.
PYTHON ?= $(shell for version in $(VERSIONS); do \
	for python in python$$version "$$HOME"/.pyenv/versions/$$version.*/bin/python; do \
	"$$python" -c "" 2>/dev/null && echo "$$python" && exit; done; done; echo python3)
PY      = $(VENV)/bin/python
DEMO   ?= demo-output
BENCH  ?= bench-output
SITE   ?= docs-site
MINUTES ?= 20
# Processes of the test suite, each with a file of tests at a time: more than two cores, since many
# tests wait for processes of their own.
JOBS   ?= 3
PARALLEL = -n $(JOBS) --dist=loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help env demo test test-quick test-integration test-kubernetes lint docs bench bench-peers tensorboard hashes sbom audit fuzz clean

help:
	@echo "make demo         synthetic faces -> dataset -> training on two replicas -> report (CPU, minutes)"
	@echo "make test         the test suite          make test-quick   without the end-to-end tests"
	@echo "make test-integration   what needs more of the system: Flink, Slurm, Bazel, Chromium"
	@echo "make test-kubernetes    launch and k8s/ on a real control plane, built from source once"
	@echo "make lint         ruff and mypy           make bench        the benchmark tables"
	@echo "make docs         the documentation as a site, links checked"
	@echo "make tensorboard RUN=DIR [PORT=6006]      curves, histograms, graph and traces of a run"
	@echo "STACK=next        any of them on Python 3.12 or 3.13 with the current TensorFlow"

# The stamp is newer than the requirements exactly when they are installed.
$(VENV)/.installed: $(REQUIREMENTS).txt $(REQUIREMENTS)-dev.txt
	@echo "Installing $(REQUIREMENTS)-dev.txt into $(VENV) (3 to 4 GB, once, some minutes), then: make $(MAKECMDGOALS)"
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --progress-bar=$(if $(CI),off,on) -r $(REQUIREMENTS)-dev.txt
	@# So that `python -m preprocess` and `python -m trainer` work from any folder.
	@$(PY) -c "import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('purelib'), 'shardline.pth').write_text('$(CURDIR)\n')"
	@touch $@

env: $(VENV)/.installed

demo: env
	@bash tests/demo.sh $(PY) $(DEMO) $(STACK)

test: env
	$(PY) -m pytest tests $(PARALLEL) -m "not alone and not integration and not kubernetes"
	$(PY) -m pytest tests/trainer/bottleneck -m "alone and not integration"

test-quick: env
	$(PY) -m pytest tests $(PARALLEL) -m "not slow and not integration and not kubernetes"

# Installs what it can (apt as root, pip, Maven) and lists what it skips with the reason; the
# tests of the other folders that take their time are among it.
test-integration: env
	$(PY) -m pytest tests -n 2 --dist=loadfile --no-loadscope-reorder -m "integration and not alone" -rs
	$(PY) -m pytest tests/trainer -m "integration and alone" -rs

# etcd, the API server, its controllers and JobSet's, in namespaces of their own. The first time
# Go builds them (20 minutes on two cores); they are kept in ~/.cache/shardline/kubernetes.
# With KUBELETS=2, as root, the tests that need nodes: two kubelets, CoreDNS, Kueue, and the image
# of the pods.
test-kubernetes: env
	$(PY) -m tests.kubernetes

lint: env
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# A broken link or a page that is not in the navigation ends it.
docs: env
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict --config-file=tests/docs/mkdocs.yml --site-dir=$(abspath $(SITE))
	@echo "$(SITE)/index.html"

# MNIST=DIR with the four idx files adds the 50-model average.
bench: env
	@mkdir -p $(BENCH)
	$(PY) -m tests.benchmarks.bench_recipe
	$(PY) -m tests.benchmarks.bench_loss
	$(PY) -m tests.benchmarks.bench_reader
	$(PY) -m tests.benchmarks.bench_loader
	$(PY) -m tests.benchmarks.bench_build --folder=$(BENCH)
	$(PY) -m tests.benchmarks.bench_tables --folder=$(BENCH)
	$(PY) -m tests.benchmarks.bench_pass
	$(PY) -m tests.benchmarks.bench_step
	$(PY) -m tests.benchmarks.bench_hooks
	$(PY) -m tests.benchmarks.bench_kills
	$(PY) -m tests.benchmarks.bench_follow
	$(PY) -m tests.benchmarks.bench_fec --folder=$(BENCH)
	$(PY) -m tests.benchmarks.bench_long_run
	$(PY) -m tests.benchmarks.bench_diagnose
ifdef MNIST
	$(PY) -m preprocess build --source=idx --images=$(MNIST) --output=$(BENCH)/mnist --variants=1
	$(PY) -m tests.benchmarks.bench_mnist --data=$(BENCH)/mnist
endif

# Readers of others, in an environment of their own (torch and DALI among them: 8 GB).
bench-peers: env
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet -r tests/benchmarks/peers/requirements.txt
	$(PY) -m tests.benchmarks.bench_peers --peers=.venv-peers/bin/python

tensorboard: env
	$(PY) -m launch tensorboard $(RUN) $(if $(PORT),--port=$(PORT))

# The same pins with the hashes of their files, for installations that take nothing else.
hashes: env
	$(PY) -m pip install --quiet uv
	$(VENV)/bin/uv pip compile -q --no-deps --generate-hashes --no-header --no-annotate \
		--python-version 3.11 requirements.txt -o requirements-hashes.txt
	$(VENV)/bin/uv pip compile -q --no-deps --generate-hashes --no-header --no-annotate \
		--python-version 3.12 --universal requirements-next.txt -o requirements-next-hashes.txt

# The bill of materials of both stacks, from their pins (CycloneDX), in BENCH.
sbom: env
	@mkdir -p $(BENCH)
	$(PY) -m tests.supply_chain.sbom --stack=default > $(BENCH)/sbom.json
	$(PY) -m tests.supply_chain.sbom --stack=next > $(BENCH)/sbom-next.json

# Both stacks against known vulnerabilities: ADVISORIES=all.zip (tests/supply_chain/audit.py).
audit: env
	$(PY) -m tests.supply_chain.audit --advisories=$(ADVISORIES)

# Hostile input for MINUTES a target (tests/fuzz).
fuzz: env
	$(PY) -m tests.fuzz --minutes=$(MINUTES)

clean:
	rm -rf $(DEMO) $(BENCH) $(SITE)
