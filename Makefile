# Two commands need nothing but python3 (3.11 or newer) and make:
#   make demo    install, train on the embedded digits, say where the report is
#   make test    install what the tests need, run every check
# One takes longer (see benchmarks/README.md):
#   make bench   measure trainwell against its peers, in a virtual environment of its own

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BENCH ?= .venv-bench
RAY ?= .venv-ray
AUGMENT ?= .venv-augment
DOCS ?= .venv-docs
FUZZ ?= .venv-fuzz
WHAT ?= all

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format claims clean bench bench-quick bench-augment bench-doctor bench-audit test-ray docs fuzz audit

help:
	@echo "make demo       install, train on the embedded digits, say where the report is"
	@echo "make test       install what the tests need, run lint, types, layers and tests"
	@echo "make test-slow  the checks that take many minutes (real data where present)"
	@echo "make test-ray   members on a Ray cluster of two nodes, in a virtual environment of its own"
	@echo "make bench      measure trainwell against its peers (some 20 minutes, quiet machine);"
	@echo "                WHAT=seeds, letter, cnn or scaling for one part; bench-quick: a tiny run"
	@echo "make bench-augment  speed of augmentation beside kornia, albumentations, audiomentations"
	@echo "make bench-doctor   planted faults: what the doctor finds, and how often it cries wolf"
	@echo "make bench-audit    planted augmentations: how often the audit's verdict is right"
	@echo "make docs       the documentation as a site, in site/index.html"
	@echo "make fuzz       coverage-guided fuzzing of all readers, a minute each (.venv-fuzz)"
	@echo "make audit      known holes in what is installed (pip-audit; asks an advisory database)"
	@echo "make claims     try all claims of the lecture anew, and write docs/claims (20 minutes)"
	@echo "make format     bring the code into its usual form"
	@echo "make clean      remove the virtual environment and caches"

$(BIN)/python:
	@echo "creating the virtual environment $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

# A stamp per set of packages: installing again happens only when the lists have changed.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing trainwell and what it needs (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt $(VENV)/.installed
	@echo "installing what the tests need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

demo: $(VENV)/.installed
	@echo "training on the digits that scikit-learn embeds (about a minute)"
	@$(BIN)/trainwell fit digits --budget 60s

lint: $(VENV)/.installed-test
	@echo "style"; $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "types"; $(BIN)/mypy
	@echo "layers"; $(BIN)/lint-imports

# A process for each core, at most four; tests of a file stay together and share what they made.
test: lint
	@echo "tests"
	@$(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile --cov --cov-report=term -q

test-slow: $(VENV)/.installed-test
	@$(BIN)/python -m pytest -m slow -q --durations=0

$(RAY)/.installed: pyproject.toml constraints.txt constraints-ray.txt
	@echo "installing trainwell, its tests and Ray into $(RAY) (some minutes the first time)"
	@$(PYTHON) -m venv $(RAY)
	@$(RAY)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-ray.txt -e '.[test,ray]'
	@touch $@

test-ray: $(RAY)/.installed
	@$(RAY)/bin/python -m pytest -m ray -q --durations=0

$(FUZZ)/.installed: pyproject.toml constraints.txt constraints-fuzz.txt
	@echo "installing trainwell, Atheris and pip-audit into $(FUZZ) (some minutes the first time)"
	@$(PYTHON) -m venv $(FUZZ)
	@$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-fuzz.txt -e '.[fuzz]'
	@touch $@

fuzz: $(FUZZ)/.installed
	@OMP_NUM_THREADS=1 $(FUZZ)/bin/python -m benchmarks.fuzz

audit: $(FUZZ)/.installed
	@$(FUZZ)/bin/python -m pip_audit -r constraints.txt --no-deps --disable-pip

format: $(VENV)/.installed-test
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

# torch comes first, so that an installed or constrained CPU build is kept. fastai brings torchvision,
# which nothing here uses and which stops Lightning from importing where its build does not match.
$(BENCH)/.installed: pyproject.toml constraints.txt constraints-bench.txt
	@echo "installing trainwell and its peers into $(BENCH) (2 GB, some minutes the first time)"
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-bench.txt -e '.[bench]'
	@$(BENCH)/bin/python -m pip uninstall --quiet --yes torchvision
	@touch $@

bench: $(BENCH)/.installed
	@$(BENCH)/bin/python -m benchmarks.run --what $(WHAT)

bench-quick: $(BENCH)/.installed
	@$(BENCH)/bin/python -m benchmarks.run --what $(WHAT) --quick --out .bench-quick

# torchvision's build for this torch has no CPU wheel: its transforms run, its operators do not.
$(AUGMENT)/.installed: pyproject.toml constraints.txt constraints-augment.txt
	@echo "installing trainwell and the peers of augmentation into $(AUGMENT) (some minutes the first time)"
	@$(PYTHON) -m venv $(AUGMENT)
	@$(AUGMENT)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@$(AUGMENT)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-augment.txt -e '.[bench-augment]'
	@$(AUGMENT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints-augment.txt torchvision
	@touch $@

bench-augment: $(AUGMENT)/.installed
	@OMP_NUM_THREADS=1 $(AUGMENT)/bin/python -m benchmarks.augmentation_images | tee benchmarks/results/augmentation.md
	@OMP_NUM_THREADS=1 $(AUGMENT)/bin/python -m benchmarks.augmentation_audio | tee -a benchmarks/results/augmentation.md

# Some 40 minutes on two quiet cores; goes on where it was. Real data come from TRAINWELL_DATA.
bench-doctor: $(VENV)/.installed-test
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.doctor.run

bench-audit: $(VENV)/.installed
	@echo "planted augmentations, audited one after the other (some ten minutes)"
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.audit.run
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.audit.run --matrix

$(DOCS)/.installed: pyproject.toml constraints.txt constraints-docs.txt
	@echo "installing trainwell and mkdocs into $(DOCS) (some minutes the first time)"
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-docs.txt -e '.[docs]'
	@touch $@

docs: $(DOCS)/.installed
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet
	@echo "the documentation is in site/index.html"

# Seed block 2: rules were written while blocks 0 and 1 were looked at. Some 20 minutes on two cores:
# docs/claims is written anew, with versions, machine and seed. MNIST,
# spoken digits, letter and shuttle are fetched, or come from TRAINWELL_DATA.
claims: $(VENV)/.installed
	@for set in mnist fsdd letter shuttle; do $(BIN)/trainwell data $$set > /dev/null; done
	@OMP_NUM_THREADS=1 $(BIN)/trainwell claims run --all --seed 2 --out docs/claims
	@$(BIN)/trainwell claims report docs/claims --into README.md

clean:
	rm -rf $(VENV) $(BENCH) $(RAY) $(AUGMENT) $(DOCS) $(FUZZ) site .fuzz .bench-quick .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
