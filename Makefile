# make demo   paint the artworks of config/prompts.tsv with the embedded models
# make test   run the everyday tests: minutes
# make test-all   run all the others, half an hour: clusters, conda, original packages, every kill
# make setup  only set up .venv, as all of these do first
# make upstream-NAME [CHECKOUT=FOLDER]   for the tests, an original package: taming, basicsr or glide

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

TEST := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto -m
LONG := cluster or exhaustive or full_size

.PHONY: setup demo test test-all check lock clean

setup: $(READY)

demo: $(READY)
	$(BIN)/snakemake --cores all

test: $(READY)
	$(TEST) "not ($(LONG))"

test-all: $(READY)
	$(TEST) "$(LONG)"

# Linters and type checks
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy workflow/scripts training benchmarks
	PYTHONPATH=workflow/scripts:training $(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

upstream-%: $(READY)
	$(BIN)/python tests/upstream.py $* $(if $(CHECKOUT),--checkout "$(CHECKOUT)")

# Resolve requirements.in again (needs uv, and UV_EXTRA_INDEX_URL of PyTorch's CPU builds)
lock:
	uv pip compile --quiet --python-version 3.11 --custom-compile-command "make lock" \
	  --no-emit-index-url --no-emit-find-links requirements.in --output-file requirements.lock
	sed -i 's/+cpu//' requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

# pip of the system installs into the environment, so that it needs none of its own
$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "BIG.art needs Python 3.11 or newer; this is %d.%d. Try: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv --without-pip --clear $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check -r requirements.lock
	touch $@
