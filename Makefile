# Each target works alone on a fresh machine with Python 3.11 or newer.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# tests wait a part of their time for what they started: one process more than there are cores
TESTS  ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')

.PHONY: demo test test-tools faults fuzz check format bench memory long-run scale kill clean

demo: $(READY)  ## see it work: sandbox, consent, a week of harvest; needs no network once installed
	$(BIN)/harvester demo

test: $(READY)  ## all tests; those with a browser or newman where these are found, see test-tools
	$(BIN)/pytest -q --numprocesses $(TESTS) --dist worksteal

test-tools:  ## what some tests drive: Chromium, gcc and systemd (Debian), newman (npm)
	@.ci/test-tools

faults: $(READY)  ## more games, and others each time, of what can go wrong on the wire; EXAMPLES=200
	WIRE_EXAMPLES=$(or $(EXAMPLES),200) $(BIN)/pytest -q --timeout 0 tests/faults/test_wire.py

fuzz: $(READY)  ## look for answers that the decoder reads wrongly; SECONDS=60, or RUNS=2000 SEED=1, which are always the same
	@$(BIN)/python -c 'import atheris' 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python tests/faults/fuzz_decode.py -timeout=10 $(if $(SEED),-seed=$(SEED)) \
	  $(if $(RUNS),-runs=$(RUNS),-max_total_time=$(or $(SECONDS),60))

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

memory: $(READY)  ## is memory flat, from 1 to 60 days and from 100 to 10,000 plants? half an hour
	$(BIN)/python tests/bench/flat_memory.py

long-run: $(READY)  ## a daemon at a steady load: do memory, open files and latency stay flat? HOURS=2
	$(BIN)/python tests/bench/long_run.py --hours $(or $(HOURS),2)

scale: $(READY)  ## what fleets of 10, 1,000 and 100,000 plants cost, on paper; a large ledger, for real
	$(BIN)/python tests/bench/scale_on_paper.py
	$(BIN)/python tests/bench/ledger_at_scale.py

kill: $(READY)  ## kill at every step, N times (1000): nothing is lost, doubled or spent twice; SEED=7 repeats a run
	$(BIN)/python tests/faults/kill.py --kills $(or $(N),1000) $(if $(SEED),--seed $(SEED))

clean:
	rm -rf $(VENV) node_modules demo-lake build *.egg-info

$(READY): pyproject.toml constraints.txt $(wildcard harvester/lake/compiled/*)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python lacks venv; on Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[speed,dev]'
	@touch $@
