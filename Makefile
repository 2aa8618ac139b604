# make demo: find the needles of the bundled sample CT.    make test: run every test.
# make lint: style and mistakes.                           make clean: remove what the others made.
# make pictures: draw those of the README and the tutorial anew.

PYTHON := $(shell for python in python3.11 python3 python3.12; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt
SAMPLE := Resources/Sample/sample_ct.nii.gz

.PHONY: demo test lint pictures clean

demo: .venv/ready-to-run
	@mkdir -p demo
	$(BIN)/needles locate $(SAMPLE) --truth Resources/Sample/truth.json \
		--output demo/needles.mrk.json --csv demo/needles.csv --picture demo/overview.png

test: .venv/ready-to-test
	$(BIN)/python -m pytest

lint: .venv/ready-to-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

pictures: .venv/ready-to-test
	$(BIN)/python tools/make_pictures.py
	$(BIN)/python tools/make_us_pictures.py

clean:
	rm -rf .venv demo build *.egg-info .pytest_cache .hypothesis .ruff_cache

# The ready-to-... files are stamps: installing is repeated only when what to install has changed.
.venv/ready-to-run: pyproject.toml constraints.txt | .venv/bin/python
	@$(BIN)/python tools/check_system.py demo
	@echo "Installing the backend (about 5 GB with torch)..."
	$(PIP) -e .
	@touch $@

.venv/ready-to-test: pyproject.toml constraints.txt | .venv/bin/python
	@$(BIN)/python tools/check_system.py test
	@echo "Installing the backend with what training and tests need (about 7 GB)..."
	$(PIP) -e ".[train,test]"
	@touch .venv/ready-to-run $@

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (as python3.11, python3.12 or python3);" \
		"on Debian or Ubuntu: sudo apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) tools/check_system.py demo
	$(PYTHON) -m venv .venv
