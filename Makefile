# make demo: the whole thing on real input, ten minutes on two cores. make test: the tests.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export OMP_NUM_THREADS := 1
export DP_INTRA_OP_PARALLELISM_THREADS := 1
export DP_INTER_OP_PARALLELISM_THREADS := 1
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: install demo clean-demo test test-long test-versions docs faults bench bench-mo-s-o bench-real-dft

install: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	@(while sleep 20; do echo "... still installing"; done) & heartbeat=$$!; \
	trap "kill $$heartbeat" EXIT; \
	.venv/bin/python -m pip install -e ".[cpu,torch,chgnet,sevennet,xtb,dev,docs]"
	touch $@

demo: install
	.venv/bin/python examples/demo.py demo

clean-demo:
	rm -rf demo

test: install
	ruff check ipip_dp tests
	ruff format --check ipip_dp tests
	mypy
	pytest -n 3 --dist loadfile --no-loadscope-reorder

# What make test leaves out: whole runs with every backend, every descriptor, the demonstration, a real Slurm.
test-long: install
	pytest -n 2 --dist loadfile --no-loadscope-reorder -m "long and not full"

# Fast tests on the oldest Python with the lowest versions we allow, and on the newest Python with the newest.
test-versions: install
	tests/versions.sh 3.10 lowest-direct
	tests/versions.sh 3.13 highest

# The pages of docs/, for a browser: docs/_build/index.html.
docs: install
	sphinx-build -W --keep-going -n -q docs docs/_build

# All of tests/faults, also what takes hours; make test runs a sample.
faults: install
	pytest tests/faults -m "" -n 3 --dist worksteal --fault-table docs/faults.md

bench: install
	.venv/bin/python tests/benchmarks/pool.py
	.venv/bin/python tests/benchmarks/scale.py
	.venv/bin/python tests/benchmarks/forget.py
	.venv/bin/python tests/benchmarks/batching.py

# IPIP against its alternatives: ARGS=--quick takes 20 minutes, ARGS=--full hours; it goes on where it stopped.
bench-mo-s-o: install
	.venv/bin/python -m tests.benchmarks.mo_s_o.study study $(ARGS)

# What pretraining is worth on data of a density functional: ARGS="FOLDER --train DATA --test DATA ...".
bench-real-dft: install
	.venv/bin/python -m tests.benchmarks.real_dft $(ARGS)
