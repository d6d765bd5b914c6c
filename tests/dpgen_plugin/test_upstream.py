# SPDX-License-Identifier: LGPL-3.0-or-later
"""A DP-GEN that is not the one we know: plain runs are left alone, an IPIP run is refused before it starts."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from ipip_dp.dpgen_plugin import upstream

RUN = "dpgen/generator/run.py"
# Changes of a copy of DP-GEN or dpdispatcher: file, old text, new text, and the name that the message must have.
CHANGES = {
    "a stage is renamed": (RUN, "def post_model_devi(", "def after_model_devi(", "post_model_devi"),
    "a stage has another argument": (
        RUN,
        "def make_fp(iter_index, jdata, mdata):",
        "def make_fp(iter_index, jdata, mdata, more):",
        "make_fp",
    ),
    "the recorder is renamed": (RUN, "record_iter", "note_iter", "record_iter"),
    "a private name is gone": (RUN, "_check_empty_iter", "_is_empty_iter", "_check_empty_iter"),
    "the reader of deviations has another argument": (
        RUN,
        "def _read_model_devi_file(\n    task_path: str,",
        "def _read_model_devi_file(\n    folder: str,",
        "_read_model_devi_file",
    ),
    "a method of dpdispatcher is renamed": (
        "dpdispatcher/submission.py",
        "try_recover_from_json",
        "recover",
        "try_recover_from_json",
    ),
}


@pytest.fixture(params=CHANGES)
def changed(request, tmp_path) -> tuple[str, str]:
    """A folder with a changed copy of DP-GEN and dpdispatcher, for PYTHONPATH; the name that is not there."""
    import dpdispatcher
    import dpgen

    file, old, new, name = CHANGES[request.param]
    for package in (dpgen, dpdispatcher):
        source = Path(package.__file__).parent
        shutil.copytree(source, tmp_path / "changed" / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (tmp_path / "changed").rglob("*.py"):
        text = path.read_text()
        # a name that the rest of the package uses changes everywhere, as when it is renamed
        if path.match(file) or (old.isidentifier() and old in text):
            path.write_text(text.replace(old, new))
    if not old.isidentifier():
        assert new in (tmp_path / "changed" / file).read_text()
    if old.startswith("def post"):  # called in run.py itself
        path = tmp_path / "changed" / file
        path.write_text(path.read_text().replace(" post_model_devi(ii", " after_model_devi(ii"))
    return str(tmp_path / "changed"), name


def test_an_ipip_run_is_refused_with_the_name_and_the_version(quick, changed):
    path, name = changed
    done = quick("dpgen", "run", "param.json", "machine.json", PYTHONPATH=path)
    assert done.returncode == 1, done.stdout[-2000:]
    package = "dpdispatcher" if name == "try_recover_from_json" else "dpgen"
    lines = [line for line in done.stdout.splitlines() if "ipip: " in line]
    assert any(name in line and f"{package} " in line for line in lines), done.stdout[-2000:]
    assert "Traceback" not in done.stdout
    assert not list(quick.folder.glob("iter.*"))


PLAIN = """
import dpgen.generator.run as run
stages = {name: getattr(run, name, None) for name in (%r)}
try:
    run.run_iter("param.json", "machine.json")
except SystemExit:
    raise
except BaseException as error:
    print("ENDED", type(error).__name__)
print("WRAPPED", [name for name, stage in stages.items() if getattr(run, name, None) is not stage])
"""


def test_plain_runs_are_left_entirely_alone(quick, changed):
    path, _ = changed
    param = quick.param
    del param["ipip"]
    param["ends_here"] = "when DP-GEN has asked for its schema, which is when stages would be wrapped"
    quick.param = param
    done = quick(sys.executable, "-c", PLAIN % (tuple(upstream.STAGES),), PYTHONPATH=path)
    assert "ENDED ArgumentKeyError" in done.stdout, done.stdout[-2000:]
    assert "WRAPPED []" in done.stdout
    assert "ipip: " not in done.stdout


def test_replacements_get_the_original_and_go_again():
    import types

    module = types.ModuleType("module")
    module.double = lambda number: 2 * number
    original = module.double
    with pytest.raises(ZeroDivisionError), upstream.replaced(module, double=lambda double, number: double(number) + 1):
        assert module.double(3) == 7
        raise ZeroDivisionError
    assert module.double is original
