# Everything runs in .venv, which is made anew whenever requirements.txt or pyproject.toml change.
#
#   make lab       JupyterLab at notebooks/; ARGS=--no-browser and the like are passed on
#   make present   JupyterLab for the lecture hall, with the notebooks as slides
#   make voila     the notebooks as pages without code; ARGS=notebooks/03-backward-pass.ipynb for one
#   make site      the course as web pages that need no Python, in build/site
#   make test      the checks and tests; CHROME=/path/to/chrome names the browser that they use
#   make test-full the same, with the tests that take minutes each
#   make lint      the checks alone: ruff and mypy
#   make refresh   execute the notebooks and store their outputs; ARGS="03-backward-pass" for some only
#   make bench     the benchmarks
#   make clean     remove .venv and what the tools leave behind
#
# PYTHON=python3.12 chooses the interpreter, VERSIONS=lowest the packages that tests/versions/lowest.txt names, in a
# .venv-lowest of their own.

PYTHON ?= python3
VERSIONS ?=
ARGS ?=
VENV := .venv$(addprefix -,$(VERSIONS))
BIN := $(VENV)/bin
# Named after the interpreter, so that another PYTHON= makes .venv anew.
STAMP := $(VENV)/made-by-$(subst /,_,$(PYTHON))

# Without a display, JupyterLab would try the browsers of a terminal: let it only print its address.
HEADLESS := $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname)),,--no-browser)
ROOT_USER := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab present voila site test test-full lint browser refresh bench clean

lab: $(STAMP)
	$(BIN)/jupyter lab --ServerApp.root_dir=notebooks $(HEADLESS) $(ROOT_USER) $(ARGS)

present: $(STAMP)
	$(BIN)/jupyter lab --config=deploy/present/jupyter_lab_config.py --ServerApp.root_dir=notebooks \
	    $(HEADLESS) $(ROOT_USER) $(ARGS)

voila: $(STAMP)
	$(BIN)/voila $(or $(ARGS),notebooks) --classic-tree $(HEADLESS)

site: $(STAMP)
	$(BIN)/python docs/site/building.py $(ARGS)

# One run for everything, doctests and notebooks included, so that its last line counts everything. loadscope: the
# cells of a notebook stay in order and in one process; tests/conftest.py says what comes first. Three processes, since
# some wait for servers and browsers. IPYTHONDIR: the user's own profile may change what cells show.
# TQDM_DISABLE: on a slow machine a bar of progress would stand in the output of a cell.
test: export IPYTHONDIR := $(CURDIR)/$(VENV)/ipython
test refresh: export TQDM_DISABLE := 1
# Types and rules are those of requirements.txt.
test: $(if $(VERSIONS),,lint) browser
	$(BIN)/python -m pytest --nbval --numprocesses=3 --dist=loadscope --no-loadscope-reorder $(ARGS)

# -m "": without it, pyproject.toml leaves out what is marked `large`. Hypothesis tries other examples each time, ten times
# as many; its seed stands in the head and in the last lines of what is said.
test-full: override ARGS += -m ""
test-full: export HYPOTHESIS_PROFILE := search
test-full: test

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Before the tests, so that two of their processes need not look for one, or install one, at the same time.
browser: $(STAMP)
	@$(BIN)/python -m tests.browser.chromium

refresh: $(STAMP)
	$(BIN)/python -m tests.notebooks.refresh $(ARGS)

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.txt -r bench/peers.txt
	$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf .venv .venv-* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

PINS := requirements.txt $(VERSIONS:%=tests/versions/%.txt)

$(STAMP): $(PINS) pyproject.toml
	@command -v $(PYTHON) >/dev/null || \
	    { echo "$(PYTHON) not found: install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$(PYTHON) is older than 3.11: install a newer Python and name it: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "$(PYTHON) has no venv: install it (on Debian and Ubuntu: apt install python3-venv)"; exit 1; }
	@echo "Making $(VENV); this takes a few minutes and a gigabyte of disk."
	@$(PYTHON) -m venv --clear $(VENV)
	@# What a later file pins is left out of requirements.txt.
	@awk -F== '!/^#/ && NF { pin[tolower($$1)] = $$0 } END { for (name in pin) print pin[name] }' $(PINS) >$(VENV)/pins.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(VENV)/pins.txt -e .
	@# JupyterLab would ask whether it may fetch news, in front of the first picture.
	@$(BIN)/python -m jupyterlab.labextensions disable --level=sys_prefix \
	    "@jupyterlab/apputils-extension:announcements" 2>/dev/null
	@touch $@
