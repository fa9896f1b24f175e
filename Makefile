# Each target works alone on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-tools faults fuzz check format bench kill clean

demo: $(READY)  ## see it work: sandbox, consent, a week of harvest; needs no network once installed
	$(BIN)/harvester demo

test: $(READY)  ## all tests; those with a browser or newman where these are found, see test-tools
	$(BIN)/pytest -q --numprocesses auto --dist worksteal

test-tools:  ## what some tests drive: Chromium and systemd (Debian), newman (npm)
	@.ci/test-tools

faults: $(READY)  ## more games, and others each time, of what can go wrong on the wire; EXAMPLES=200
	WIRE_EXAMPLES=$(or $(EXAMPLES),200) $(BIN)/pytest -q --timeout 0 tests/faults/test_wire.py

fuzz: $(READY)  ## look for answers that the decoder reads wrongly; SECONDS=60
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install --quiet --disable-pip-version-check atheris
	$(BIN)/python tests/faults/fuzz_decode.py -max_total_time=$(or $(SECONDS),60)

check: $(READY)  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)  ## put the code in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## whole commands against others, the whole against its parts, a late merge, the use of a budget
	$(BIN)/python tests/bench/compare.py $(if $(DLT_PYTHON),--dlt-python $(DLT_PYTHON))
	$(BIN)/python tests/bench/whole_against_parts.py
	$(BIN)/python tests/bench/late_merge.py
	$(BIN)/python tests/bench/budget.py

kill: $(READY)  ## kill harvests N times (1000) and see that nothing is lost, doubled or spent twice
	$(BIN)/python tests/faults/kill.py --kills $(or $(N),1000)

clean:
	rm -rf $(VENV) node_modules demo-lake build *.egg-info

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python lacks venv; on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[speed,dev]'
	@touch $@
