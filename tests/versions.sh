#!/bin/bash
# SPDX-License-Identifier: LGPL-3.0-or-later
# usage: tests/versions.sh PYTHON lowest-direct|highest
# The fast tests on another Python with the lowest or the newest versions that pyproject.toml allows, without PyTorch.
# Those that take a run, a training or a fault stay with the one environment of `make test`.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never UV_NO_PROGRESS=1

find_python() { # where uv looks, or in pyenv, whose python3.x on PATH may only say that it is elsewhere
    local candidate
    for candidate in "$(uv python find --system "$1" 2>/dev/null)" "$(pyenv root 2>/dev/null)/versions/$1".*/bin/python; do
        if "$candidate" -c "" 2>/dev/null; then echo "$candidate"; return; fi
    done
    return 1
}

if ! python=$(find_python "$1"); then echo "Python $1 is not on this machine: $2 versions not tested"; exit; fi
echo "== Python $1 with $2 versions"
venv=.versions/$1-$2
uv venv --quiet --clear --python "$python" "$venv"
install="uv pip install --quiet --python $venv/bin/python"
$install --resolution "$2" --editable ".[cpu,xtb]"
$install hypothesis pytest pytest-xdist
"$venv/bin/python" - <<'PYTHON'
import importlib, pkgutil, re
from importlib.metadata import requires

import ipip_dp

names = {re.match(r"[\w-]+", line)[0] for line in requires("ipip-dp") if "extra" not in line or "cpu" in line or "xtb" in line}
print(*(f"{name}=={importlib.metadata.version(name)}" for name in sorted(names)))
modules = [module.name for module in pkgutil.walk_packages(ipip_dp.__path__, "ipip_dp.")]
for name in modules:
    importlib.import_module(name)
print(len(modules), "modules import")
PYTHON
"$venv/bin/python" -m pytest -q --disable-warnings -n 2 --dist loadfile -m "not slow and not long and not full" tests/{config,data,evaluation,running} tests/labelers/test_{ase,base,lammps,registry}.py tests/dpgen_plugin/test_install.py
